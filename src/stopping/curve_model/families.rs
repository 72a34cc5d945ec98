//! Families of learning curves, each a line in a function of the step: loss = level + slope * family(step).

/// A falling function of the step. What is not linear in a family's parameters lies on a grid, so that a fit is one linear
/// regression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Family {
    /// A power of the step.
    Power(f64),
    /// A power of the step, which is counted from before the first.
    LatePower(f64),
    /// An exponential with this rate over the whole trial.
    Exponential(f64),
    /// A logarithm of the step.
    Logarithm,
    /// The step itself: a trial that goes on as it does now, as those do that start slowly.
    Line,
}

/// All of them.
pub(super) const FAMILIES: [Family; 19] = [
    Family::Power(0.1),
    Family::Power(0.3),
    Family::Power(0.5),
    Family::Power(0.75),
    Family::Power(1.0),
    Family::Power(1.5),
    Family::Power(2.0),
    Family::Power(3.0),
    Family::LatePower(0.5),
    Family::LatePower(1.0),
    Family::LatePower(2.0),
    Family::Exponential(0.5),
    Family::Exponential(1.0),
    Family::Exponential(2.0),
    Family::Exponential(4.0),
    Family::Exponential(8.0),
    Family::Exponential(16.0),
    Family::Logarithm,
    Family::Line,
];

impl Family {
    /// Its value at a step of a trial that takes `end` of them; both above 0.
    pub fn at(self, step: f64, end: f64) -> f64 {
        match self {
            Family::Power(power) => step.powf(-power),
            Family::LatePower(power) => (step + end / 10.0).powf(-power),
            Family::Exponential(rate) => (-rate * step / end).exp(),
            Family::Logarithm => -step.ln(),
            Family::Line => -step / end,
        }
    }
}
