//! Plateau: a trial whose values have come to rest, good or bad.

use super::judged::LAST_STEP;
use super::settings::Settings;
use super::{Question, Rule, number};

/// See the module.
pub(super) struct Plateau {
    steps: u64,
    /// As a share of the range of all the trial's values, so that it fits every metric.
    tolerance: f64,
    warm_up: u64,
}

impl Plateau {
    pub fn new(settings: &mut Settings<'_>) -> Self {
        Plateau {
            steps: settings.whole("steps", 10, 1..=LAST_STEP),
            tolerance: settings.real("tolerance", 0.01, 0.0..=1.0),
            warm_up: settings.whole("warmUpSteps", 0, 0..=LAST_STEP),
        }
    }
}

impl Rule for Plateau {
    fn judge(&self, question: &Question<'_>) -> Option<String> {
        let step = question.series.last_step()?;
        let from = step.checked_sub(self.steps).filter(|from| *from >= self.warm_up)?;
        let points = question.series.points();
        // All of the steps must have been seen: the one before them as well, or one at their very beginning.
        let first = points.partition_point(|point| point.step <= from).checked_sub(1)?;
        let range = |points: &[super::Sample]| {
            let (low, high) = points.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| {
                (point.loss.min(low), point.loss.max(high))
            });
            (low, high)
        };
        let ((low, high), (lowest, highest)) = (range(points.get(first..)?), range(points));
        let rests = question.series.diverged().is_none() && high - low <= self.tolerance * (highest - lowest);
        rests.then(|| {
            let (one, other) = (question.curves.value(low), question.curves.value(high));
            let (from_value, to_value) = if one <= other { (low, high) } else { (high, low) };
            let (from_value, to_value) = (number(question.curves, from_value), number(question.curves, to_value));
            format!("step {step}: between {from_value} and {to_value} for {} steps", self.steps)
        })
    }
}
