//! Patience: a trial whose best value has not become better for some steps.
//!
//! L. Prechelt, "Early Stopping - But When?" (1998), the third of its criteria, by steps without progress.

use super::judged::LAST_STEP;
use super::settings::Settings;
use super::{Question, Rule, number};

/// See the module.
pub(super) struct Patience {
    steps: u64,
    /// A value that is better by less does not count as better.
    min_delta: f64,
    warm_up: u64,
}

impl Patience {
    pub fn new(settings: &mut Settings<'_>) -> Self {
        Patience {
            steps: settings.whole("steps", 10, 1..=LAST_STEP),
            min_delta: settings.real("minDelta", 0.0, 0.0..=1e18),
            warm_up: settings.whole("warmUpSteps", 0, 0..=LAST_STEP),
        }
    }
}

impl Rule for Patience {
    fn judge(&self, question: &Question<'_>) -> Option<String> {
        let step = question.series.last_step()?;
        let mut points = question.series.points().iter();
        let first = points.next()?;
        let (since, best) = points.fold((first.step, first.loss), |(since, best), point| {
            let better = if self.min_delta == 0.0 { point.loss < best } else { point.loss <= best - self.min_delta };
            if better { (point.step, point.loss) } else { (since, best) }
        });
        let waited = step - since.max(self.warm_up).min(step);
        (waited >= self.steps)
            .then(|| format!("step {step}: not better than {} since step {since}", number(question.curves, best)))
    }
}
