//! AsyncHalving: at rungs that lie a factor apart only the best share of the trials that came there goes on.
//!
//! L. Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020), in the variant that stops instead of
//! promoting (D. Salinas et al., "Syne Tune", AutoML-Conf 2022). Nothing waits: a trial is held against those that have
//! come to its last rung so far, and again as others come there.

use super::judged::LAST_STEP;
use super::settings::Settings;
use super::{Question, Rule, number};

/// See the module.
pub(super) struct AsyncHalving {
    eta: u64,
    min_steps: u64,
    brackets: u64,
    min_trials: usize,
}

impl AsyncHalving {
    pub fn new(settings: &mut Settings<'_>) -> Self {
        AsyncHalving {
            eta: settings.whole("eta", 2, 2..=100),
            min_steps: settings.whole("minSteps", 1, 1..=LAST_STEP),
            brackets: settings.whole("brackets", 1, 1..=16),
            min_trials: settings.whole("minTrials", 2, 2..=super::KEPT as u64) as usize,
        }
    }

    /// Which rung is the trial's first. Of the trials in their order each eta-th begins a rung later, and of those each
    /// eta-th one more.
    fn bracket(&self, trial: u64) -> u64 {
        let mut place = trial.wrapping_add(1);
        let mut bracket = 0;
        while bracket + 1 < self.brackets && place != 0 && place.is_multiple_of(self.eta) {
            place /= self.eta;
            bracket += 1;
        }
        bracket
    }

    /// The last rung that is not beyond this step.
    fn rung(&self, trial: u64, step: u64) -> Option<u64> {
        let skipped = u32::try_from(self.bracket(trial)).ok()?;
        let mut rung = self.min_steps.checked_mul(self.eta.checked_pow(skipped)?).filter(|first| *first <= step)?;
        while let Some(next) = rung.checked_mul(self.eta).filter(|next| *next <= step) {
            rung = next;
        }
        Some(rung)
    }
}

impl Rule for AsyncHalving {
    fn rungs(&self) -> Vec<u64> {
        let next = |rung: &u64| rung.checked_mul(self.eta).filter(|rung| *rung <= LAST_STEP);
        std::iter::successors(Some(self.min_steps), next).collect()
    }

    fn judge(&self, question: &Question<'_>) -> Option<String> {
        let rung = self.rung(question.trial, question.series.last_step()?)?;
        let (step, table) = question.curves.at(rung)?;
        let own = question.curves.counted(&question.series.at(step)?);
        let trials = table.counted.len();
        if trials < self.min_trials {
            return None;
        }
        let bound = table.counted.quantile(1.0 / self.eta as f64, None)?;
        (own > bound).then(|| {
            let (value, bound) = (number(question.curves, own), number(question.curves, bound));
            let (worse, eta) = (question.curves.worse(), self.eta);
            format!("step {step}: {value} is {worse} {bound}, what the best 1/{eta} of {trials} trials have")
        })
    }
}
