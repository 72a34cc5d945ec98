//! When an experiment ends, and how.

use super::clock::worked;
use super::compile::length;
use super::goals::goal;
use super::result::loss;
use super::snapshot::Snapshot;
use super::standing::takes_slot;
use super::suggest::Stop;
use super::usage::{reaches, used_up};
use crate::api::conditions::{find, reasons, types};
use crate::api::{Best, ExperimentSpec, ExperimentStatus};
use crate::metrics::Direction;
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

/// The end that stands in the status, and whether it belongs to the present generation. A later generation (limits
/// raised) may open the experiment again.
pub(super) fn recorded(snapshot: &Snapshot<'_>) -> Option<(End, bool)> {
    let experiment = snapshot.experiment;
    let conditions = &experiment.status.as_ref()?.conditions;
    let of = |r#type: &str| find(conditions, r#type).filter(|condition| condition.status == "True");
    let (complete, condition) = match (of(types::COMPLETE), of(types::FAILED)) {
        (Some(condition), _) => (true, condition),
        (None, Some(condition)) => (false, condition),
        (None, None) => return None,
    };
    let end = End { complete, reason: condition.reason.clone(), message: condition.message.clone() };
    Some((end, condition.observed_generation == experiment.meta().generation))
}

/// Whether an end that was recorded for an earlier generation still holds under the present limits. `busy`: trials that
/// take a slot. `nothing_more`: whether the tuner has nothing to propose.
pub(super) fn still_holds(
    end: &End,
    spec: &ExperimentSpec,
    status: &ExperimentStatus,
    now: Timestamp,
    busy: usize,
    nothing_more: impl FnOnce() -> bool,
) -> bool {
    // A trial that runs was made after the end: it is being opened again.
    let idle = busy == 0;
    let all_made = status.trials.created >= spec.limits.max_trials && idle;
    match end.reason.as_str() {
        // The objective and its goal cannot be changed.
        reasons::GOAL_REACHED => true,
        reasons::MAX_TRIALS_REACHED => all_made,
        reasons::MAX_DURATION_REACHED => out_of_time(spec, status, now),
        reasons::MAX_GPU_HOURS_REACHED => reaches(status.usage.gpu_seconds, spec),
        reasons::MAX_FAILED_TRIALS_EXCEEDED => too_many_failed(spec, status),
        reasons::NO_SUCCESSFUL_TRIAL if status.best.is_some() => false,
        reasons::NO_SUCCESSFUL_TRIAL => {
            let spent = out_of_time(spec, status, now) || reaches(status.usage.gpu_seconds, spec);
            all_made || spent || (idle && nothing_more())
        }
        _ => idle && nothing_more(),
    }
}

/// Whether it stands in the status that the experiment ends for this reason, be it that trials are still being stopped for it.
pub(super) fn is_announced(snapshot: &Snapshot<'_>, end: &End) -> bool {
    let conditions = snapshot.experiment.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    find(conditions, types::COMPLETE).is_some_and(|condition| condition.reason == end.reason)
}

/// `limits.maxDuration`.
pub(super) fn max_duration(spec: &ExperimentSpec) -> Option<SignedDuration> {
    spec.limits.max_duration.as_ref().and_then(length)
}

fn out_of_time(spec: &ExperimentSpec, status: &ExperimentStatus, now: Timestamp) -> bool {
    max_duration(spec).is_some_and(|most| worked(status, now) >= most)
}

/// How many failed trials are allowed while the spec does not say. It never goes down, so that lowering maxTrials does
/// not make a failure of what was none.
pub(super) fn default_max_failed(spec: &ExperimentSpec, before: Option<u32>) -> Option<u32> {
    const LEAST: u32 = 3;
    let tenth = (spec.limits.max_trials / 10).max(LEAST);
    spec.limits.max_failed_trials.is_none().then(|| before.map_or(tenth, |before| before.max(tenth)))
}

fn max_failed(spec: &ExperimentSpec, status: &ExperimentStatus) -> u32 {
    spec.limits.max_failed_trials.or(status.max_failed_trials).unwrap_or(u32::MAX)
}

/// Failed trials that count.
fn failures(status: &ExperimentStatus) -> u32 {
    status.trials.failed.saturating_sub(status.trials.excused)
}

fn too_many_failed(spec: &ExperimentSpec, status: &ExperimentStatus) -> bool {
    failures(status) > max_failed(spec, status)
}

/// Of the highest fidelity, and then of the lowest loss.
fn rank(best: &Best, direction: Direction) -> (f64, f64) {
    (-best.fidelity.unwrap_or(0.0), loss(best.value, direction))
}

/// The better of what is stored and the best of the trials that still exist; of equals the latter.
pub(super) fn better(snapshot: &Snapshot<'_>, stored: Option<Best>) -> Option<Best> {
    let present = snapshot.ledger.best().and_then(|(name, ended)| {
        let fidelity = ended.fidelity(snapshot.experiment.spec.fidelity.as_ref().map(|fidelity| fidelity.max));
        let assignments = ended.assignment.clone();
        Some(Best { trial: name.to_owned(), value: ended.objective?, fidelity, assignments })
    });
    let direction = snapshot.experiment.spec.objectives.first().map(|objective| objective.direction);
    match (stored, present, direction) {
        (Some(stored), Some(present), Some(direction)) if rank(&stored, direction) < rank(&present, direction) => {
            Some(stored)
        }
        (stored, present, _) => present.or(stored),
    }
}

/// An end that does not wait for the trials that run: they are stopped. `status`: as it is counted now.
pub(super) fn at_once(snapshot: &Snapshot<'_>, status: &ExperimentStatus, now: Timestamp) -> Option<End> {
    let spec = &snapshot.experiment.spec;
    if let Some(message) = goal(snapshot) {
        return Some(End::complete(reasons::GOAL_REACHED, message));
    }
    if let ([objective], Some(best)) = (spec.objectives.as_slice(), &status.best)
        && let Some(goal) = objective.goal
        && loss(best.value, objective.direction) <= loss(goal, objective.direction)
    {
        let message = format!("trial {} reached the goal: {} = {}", best.trial, objective.metric, best.value);
        return Some(End::complete(reasons::GOAL_REACHED, message));
    }
    if too_many_failed(spec, status) {
        let failed = failures(status);
        let failed = if failed == 1 { "1 trial".to_owned() } else { format!("{failed} trials") };
        let message = format!(
            "{failed} failed, more than limits.maxFailedTrials ({}) allows; see the failed trials' messages",
            max_failed(spec, status)
        );
        return Some(End::failed(reasons::MAX_FAILED_TRIALS_EXCEEDED, message));
    }
    let budget = if out_of_time(spec, status, now) {
        Some((reasons::MAX_DURATION_REACHED, "limits.maxDuration has passed"))
    } else if stops_for_gpu_hours(snapshot) || used_up(snapshot, status, now) {
        Some((reasons::MAX_GPU_HOURS_REACHED, "limits.maxGpuHours are used up"))
    } else {
        None
    };
    if let Some((reason, message)) = budget {
        // What the stopped trials have reported may still count.
        let stopping = snapshot.ledger.active().any(|trial| takes_slot(trial, snapshot.ledger));
        return Some(match stopping {
            true => End::complete(reason, message),
            false => or_without_success(spec, status, reason, message.into()),
        });
    }
    None
}

/// It is stored that trials are being stopped since the GPU hours are used up: it stays so when they turn out to have used a
/// little less, as long as the limits are the same.
fn stops_for_gpu_hours(snapshot: &Snapshot<'_>) -> bool {
    let conditions = snapshot.experiment.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    find(conditions, types::COMPLETE).is_some_and(|condition| {
        condition.reason == reasons::MAX_GPU_HOURS_REACHED
            && condition.status == "False"
            && condition.observed_generation == snapshot.experiment.meta().generation
    })
}

/// The end once no trial runs and no further one is to be made.
pub(super) fn drained(spec: &ExperimentSpec, status: &ExperimentStatus, nothing_more: Option<&Stop>) -> Option<End> {
    let (created, max) = (status.trials.created, spec.limits.max_trials);
    if created >= max {
        return Some(or_without_success(
            spec,
            status,
            reasons::MAX_TRIALS_REACHED,
            format!("all {max} trials have ended"),
        ));
    }
    match nothing_more? {
        Stop::None(NoSuggestion::Exhausted) => Some(or_without_success(
            spec,
            status,
            reasons::SEARCH_SPACE_EXHAUSTED,
            format!("every configuration of the search space has been tried ({created} trials)"),
        )),
        Stop::None(NoSuggestion::Waiting) => None,
        Stop::None(other) if status.best.is_some() => {
            Some(End::complete(reasons::CONSTRAINTS_UNSATISFIABLE, other.to_string()))
        }
        Stop::None(other) => Some(End::failed(reasons::CONSTRAINTS_UNSATISFIABLE, other.to_string())),
        Stop::Broken(_) => None,
    }
}

fn or_without_success(spec: &ExperimentSpec, status: &ExperimentStatus, reason: &str, message: String) -> End {
    if status.best.is_some() {
        return End::complete(reason, message);
    }
    let constrained = !spec.constraints.is_empty();
    let message = match status.trials.succeeded {
        1.. if constrained => {
            format!("{message}, and none satisfies spec.constraints; see status.excesses of the trials")
        }
        _ => format!("{message}, and none gave a value of the objective; see the trials' messages"),
    };
    End::failed(reasons::NO_SUCCESSFUL_TRIAL, message)
}
