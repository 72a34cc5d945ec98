//! Families of learning curves, each a line in a function of the step: loss = level + slope * family(step).
//!
//! They are those of Domhan et al. (see the rule), which NNI's Curvefitting has, too: pow3 is [`Family::Power`], pow4
//! [`Family::LatePower`], the logarithm in x and the line are called so, ilog2 is [`Family::InverseLogarithm`], Hill, MMF and log
//! power are [`Family::Hill`], Weibull, Janoschek and exp4 [`Family::Exponential`] and [`Family::Stretched`], the vapor pressure
//! model and log log linear have their names. What is not linear in a family's parameters lies on a grid, so that a fit is one
//! linear regression.

/// A falling function of the step. Steps that are parts are parts of the whole trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Family {
    /// A power of the step.
    Power(f64),
    /// A power of the step, which is counted from before the first.
    LatePower(f64),
    /// An exponential with this rate over the whole trial.
    Exponential(f64),
    /// With this rate the exponential of a power of the step.
    Stretched(f64, f64),
    /// A sigmoid in the logarithm of the step: half of the way is gone at this part of the trial, as steeply as this power.
    Hill(f64, f64),
    /// A logarithm of the step.
    Logarithm,
    /// One over a logarithm of the step.
    InverseLogarithm,
    /// A logarithm of the logarithm of the step.
    LogLog,
    /// The exponential of this part of the trial over the step, and a power of the step.
    VaporPressure(f64, f64),
    /// The step itself: a trial that goes on as it does now, as those do that start slowly.
    Line,
}

/// All of them.
pub(super) const FAMILIES: [Family; 33] = [
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
    Family::Stretched(2.0, 0.5),
    Family::Stretched(4.0, 0.5),
    Family::Stretched(8.0, 0.5),
    Family::Stretched(2.0, 2.0),
    Family::Hill(0.1, 2.0),
    Family::Hill(0.3, 2.0),
    Family::Hill(1.0, 2.0),
    Family::Hill(0.1, 4.0),
    Family::Hill(0.3, 4.0),
    Family::Logarithm,
    Family::InverseLogarithm,
    Family::LogLog,
    Family::VaporPressure(0.1, 0.0),
    Family::VaporPressure(0.1, 0.5),
    Family::VaporPressure(0.03, 0.2),
    Family::Line,
];

impl Family {
    /// Its value at a step of a trial that takes `end` of them; both above 0.
    pub fn at(self, step: f64, end: f64) -> f64 {
        let part = step / end;
        match self {
            Family::Power(power) => step.powf(-power),
            Family::LatePower(power) => (step + end / 10.0).powf(-power),
            Family::Exponential(rate) => (-rate * part).exp(),
            Family::Stretched(rate, power) => (-(rate * part).powf(power)).exp(),
            Family::Hill(half, power) => 1.0 / (1.0 + (part / half).powf(power)),
            Family::Logarithm => -step.ln(),
            Family::InverseLogarithm => 1.0 / (step + 1.0).ln(),
            Family::LogLog => -(1.0 + (step + 1.0).ln()).ln(),
            Family::VaporPressure(held, power) => -(-held / part).exp() * part.powf(power),
            Family::Line => -part,
        }
    }
}
