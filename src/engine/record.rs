//! What is written into a Trial's status, and what of it is worth an Event.

use super::action::{Action, Event, TrialPatch};
use super::status::set;
use crate::api::conditions::{find, reasons, types};
use crate::api::{Condition, Trial, TrialStatus};
use jiff::Timestamp;
use kube::ResourceExt;

pub(super) fn patch_of(status: &TrialStatus) -> TrialPatch {
    TrialPatch {
        attempt: status.attempt,
        interruptions: status.interruptions,
        start_time: status.start_time,
        completion_time: status.completion_time,
        usage: status.usage,
        objective: status.objective,
        objectives: status.objectives.clone(),
        excesses: status.excesses.clone(),
        conditions: status.conditions.clone(),
    }
}

pub(super) fn write(trial: &Trial, patch: TrialPatch, event: Option<Event>) -> Action {
    let resource_version = trial.resource_version().unwrap_or_default();
    Action::WriteTrialStatus { name: trial.name_any(), resource_version, patch: Box::new(patch), event }
}

/// Says why the trial waits; `None` when the condition says so already.
pub(super) fn write_waiting(
    trial: &Trial,
    status: &TrialStatus,
    reason: &'static str,
    message: &str,
    now: Timestamp,
) -> Option<Action> {
    let mut patch = patch_of(status);
    set(&mut patch.conditions, types::COMPLETE, false, reason, message, None, now);
    let event = waiting_event(find(&status.conditions, types::COMPLETE), reason, message);
    (!same_complete(&status.conditions, &patch.conditions)).then(|| write(trial, patch, event))
}

/// What a person would want to know of a trial that waits; not that a count in the same sentence has changed.
fn waiting_event(before: Option<&Condition>, reason: &'static str, message: &str) -> Option<Event> {
    let warning = match reason {
        reasons::NAME_TAKEN | reasons::NOT_ADOPTED | reasons::JOB_REFUSED | reasons::EXPERIMENT_NOT_FOUND => true,
        reasons::PENDING => false,
        _ => return None,
    };
    let gist = |message: &str| {
        message.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("#")
    };
    let told = before.is_some_and(|before| before.reason == reason && gist(&before.message) == gist(message));
    (!told).then(|| Event { warning, reason, note: message.to_owned() })
}

pub(super) fn same_complete(old: &[Condition], new: &[Condition]) -> bool {
    match (find(old, types::COMPLETE), find(new, types::COMPLETE)) {
        (Some(old), Some(new)) => old.reason == new.reason && old.message == new.message,
        _ => false,
    }
}
