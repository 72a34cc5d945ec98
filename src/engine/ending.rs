//! How a trial ended.

use crate::api::Trial;
use crate::api::conditions::{find, is_true, reasons, types};

/// How a trial ended, as its conditions say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With an objective value.
    Succeeded,
    /// Without one.
    Failed,
    /// Stopped before its end; its last results count.
    EarlyStopped,
}

/// The trial ran to its end, and has a value of the objective.
pub fn has_succeeded(trial: &Trial) -> bool {
    ending(trial) == Some(Ending::Succeeded)
}

/// How the trial ended; `None` while it has not.
pub(super) fn ending(trial: &Trial) -> Option<Ending> {
    let conditions = &trial.status.as_ref()?.conditions;
    if is_true(conditions, types::FAILED) {
        return Some(Ending::Failed);
    }
    let complete = find(conditions, types::COMPLETE).filter(|condition| condition.status == "True")?;
    Some(if complete.reason == reasons::SUCCEEDED { Ending::Succeeded } else { Ending::EarlyStopped })
}
