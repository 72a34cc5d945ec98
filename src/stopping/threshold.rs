//! Threshold: a trial whose value is worse than a bound from a step on.

use super::judged::LAST_STEP;
use super::settings::Settings;
use super::{Question, Rule, number};
use crate::metrics::Direction;

/// See the module.
pub(super) struct Threshold {
    /// As the program prints it.
    bound: f64,
    from_step: u64,
}

impl Threshold {
    pub fn new(settings: &mut Settings<'_>) -> Self {
        Threshold { bound: settings.required("bound"), from_step: settings.whole("fromStep", 0, 0..=LAST_STEP) }
    }
}

impl Rule for Threshold {
    fn judge(&self, question: &Question<'_>) -> Option<String> {
        let step = question.series.last_step().filter(|step| *step >= self.from_step)?;
        let loss = question.series.at(step)?.loss;
        let bound = match question.curves.direction() {
            Direction::Minimize => self.bound,
            Direction::Maximize => -self.bound,
        };
        (loss > bound).then(|| {
            let (value, worse) = (number(question.curves, loss), question.curves.worse());
            format!("step {step}: {value} is {worse} the bound {}", number(question.curves, bound))
        })
    }
}
