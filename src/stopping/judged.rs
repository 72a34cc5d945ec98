//! At which of its steps a trial is judged.

use super::Question;
use super::settings::Settings;

/// The last step that a JSON reader keeps exactly.
pub(super) const LAST_STEP: u64 = 1 << 53;

/// From a step on, and then every so many steps.
pub(super) struct Judged {
    warm_up: u64,
    interval: u64,
}

impl Judged {
    pub fn new(settings: &mut Settings<'_>) -> Self {
        Judged {
            warm_up: settings.whole("warmUpSteps", 0, 0..=LAST_STEP),
            interval: settings.whole("interval", 1, 1..=LAST_STEP),
        }
    }

    /// The last of these steps that the trial has reached.
    pub fn step(&self, question: &Question<'_>) -> Option<u64> {
        let beyond = question.series.last_step()?.checked_sub(self.warm_up)?;
        Some(self.warm_up + beyond / self.interval * self.interval)
    }
}
