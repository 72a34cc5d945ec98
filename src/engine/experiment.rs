//! When an experiment ends, and how.

use super::compile::Compiled;
use super::result::loss;
use super::snapshot::Snapshot;
use super::suggest::Stop;
use super::trial::takes_slot;
use crate::api::conditions::{find, reasons, types};
use crate::tuner::NoSuggestion;
use jiff::{SignedDuration, Timestamp};
use kube::Resource;

/// How an experiment ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Complete, else Failed.
    pub complete: bool,
    pub reason: String,
    pub message: String,
}

impl End {
    fn complete(reason: &str, message: impl Into<String>) -> Self {
        End { complete: true, reason: reason.into(), message: message.into() }
    }

    fn failed(reason: &str, message: impl Into<String>) -> Self {
        End { complete: false, reason: reason.into(), message: message.into() }
    }
}

/// The end that stands in the status and belongs to the present generation. A later generation (limits raised) may
/// open the experiment again.
pub(super) fn recorded(snapshot: &Snapshot<'_>) -> Option<End> {
    let experiment = snapshot.experiment;
    let conditions = &experiment.status.as_ref()?.conditions;
    let of = |r#type: &str| {
        find(conditions, r#type).filter(|condition| {
            condition.status == "True" && condition.observed_generation == experiment.meta().generation
        })
    };
    let (complete, condition) = match (of(types::COMPLETE), of(types::FAILED)) {
        (Some(condition), _) => (true, condition),
        (None, Some(condition)) => (false, condition),
        (None, None) => return None,
    };
    Some(End { complete, reason: condition.reason.clone(), message: condition.message.clone() })
}

/// When `limits.maxDuration` has passed.
pub(super) fn deadline(start: Option<Timestamp>, compiled: &Compiled) -> Option<Timestamp> {
    start?.checked_add(SignedDuration::from_secs(compiled.max_duration_seconds?)).ok()
}

/// An end that does not wait for the trials that run: they are stopped.
pub(super) fn at_once(
    snapshot: &Snapshot<'_>,
    compiled: &Compiled,
    start: Option<Timestamp>,
    now: Timestamp,
) -> Option<End> {
    let objective = &compiled.objective;
    if let (Some(goal), Some((name, best))) = (objective.goal, snapshot.ledger.best())
        && let Some(value) = best.objective
        && loss(value, objective.direction) <= loss(goal, objective.direction)
    {
        let message = format!("trial {name} reached the goal: {} = {value}", objective.metric);
        return Some(End::complete(reasons::GOAL_REACHED, message));
    }
    let failed = snapshot.ledger.counts().failed;
    if failed > compiled.max_failed_trials {
        let failed = if failed == 1 { "1 trial".to_owned() } else { format!("{failed} trials") };
        let message = format!(
            "{failed} failed, more than limits.maxFailedTrials ({}) allows; see the failed trials' messages",
            compiled.max_failed_trials
        );
        return Some(End::failed(reasons::MAX_FAILED_TRIALS_EXCEEDED, message));
    }
    if deadline(start, compiled).is_some_and(|deadline| deadline <= now) {
        let (reason, message) = (reasons::MAX_DURATION_REACHED, "limits.maxDuration has passed");
        // What the stopped trials have reported may still count.
        let stopping = snapshot.ledger.active().any(|trial| takes_slot(trial, snapshot.ledger));
        return Some(match stopping {
            true => End::complete(reason, message),
            false => or_without_success(snapshot, reason, message.into()),
        });
    }
    None
}

/// The end once no trial runs and no further one is to be made.
pub(super) fn drained(snapshot: &Snapshot<'_>, created: u32, nothing_more: Option<&Stop>) -> Option<End> {
    let max = snapshot.experiment.spec.limits.max_trials;
    if created >= max {
        return Some(or_without_success(snapshot, reasons::MAX_TRIALS_REACHED, format!("all {max} trials have ended")));
    }
    match nothing_more? {
        Stop::None(NoSuggestion::Exhausted) => Some(or_without_success(
            snapshot,
            reasons::SEARCH_SPACE_EXHAUSTED,
            format!("every configuration of the search space has been tried ({created} trials)"),
        )),
        // A best trial that was found stays found.
        Stop::None(other) if snapshot.ledger.best().is_some() => {
            Some(End::complete(reasons::CONSTRAINTS_UNSATISFIABLE, other.to_string()))
        }
        Stop::None(other) => Some(End::failed(reasons::CONSTRAINTS_UNSATISFIABLE, other.to_string())),
        Stop::Broken(_) => None,
    }
}

fn or_without_success(snapshot: &Snapshot<'_>, reason: &str, message: String) -> End {
    if snapshot.ledger.best().is_some() {
        return End::complete(reason, message);
    }
    let message = format!("{message}, and none gave a value of the objective; see the trials' messages");
    End::failed(reasons::NO_SUCCESSFUL_TRIAL, message)
}
