//! Percentile and Median: a trial whose best value is worse than what most others have on average at the same step.
//!
//! The median rule of D. Golovin et al., "Google Vizier: A Service for Black-Box Optimization" (KDD 2017), section 3.2.

use super::judged::Judged;
use super::settings::Settings;
use super::{Question, Rule, number};

/// See the module.
pub(super) struct Percentile {
    /// Of each hundred trials so many are good enough.
    percentile: f64,
    min_trials: usize,
    judged: Judged,
}

impl Percentile {
    pub fn new(settings: &mut Settings<'_>) -> Self {
        let percentile = settings.real("percentile", 25.0, 0.0..=100.0);
        Percentile { percentile, ..Percentile::median(settings) }
    }

    pub fn median(settings: &mut Settings<'_>) -> Self {
        let min_trials = settings.whole("minTrials", 5, 1..=super::KEPT as u64) as usize;
        Percentile { percentile: 50.0, min_trials, judged: Judged::new(settings) }
    }

    fn words(&self) -> String {
        if self.percentile == 50.0 { "median".into() } else { format!("percentile {}", self.percentile) }
    }
}

impl Rule for Percentile {
    fn judge(&self, question: &Question<'_>) -> Option<String> {
        let (step, table) = question.curves.at(self.judged.step(question)?)?;
        let own = question.series.at(step)?;
        let others = table.averages.len().checked_sub(1).filter(|others| *others >= self.min_trials)?;
        let bound = table.averages.quantile(self.percentile / 100.0, Some((own.average, question.trial)))?;
        let best = if own.loss.is_finite() { own.best } else { own.loss };
        (best > bound).then(|| {
            let (best, bound) = (number(question.curves, best), number(question.curves, bound));
            let (worse, words) = (question.curves.worse(), self.words());
            format!("step {step}: {best} is {worse} the {words} {bound} of {others} trials")
        })
    }
}
