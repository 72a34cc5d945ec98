//! What a trial's end means.

use super::ending::Ending;
use super::job::JobEnd;
use super::membership::by_hand;
use super::snapshot::{Fate, Pods};
use crate::api::conditions::{find, reasons, types};
use crate::api::{Objective, Trial, TrialStatus};
use crate::metrics::{Direction, nearest};

const SIGKILL: i32 = 9;

/// The trial has failed, but not through a fault of its program: it was interrupted too often, or it was made by hand and
/// could not be started. `limits.maxFailedTrials` does not count it, and the tuner has nothing to learn from it.
pub(super) fn excused(trial: &Trial) -> bool {
    let failed = find(trial.conditions(), types::FAILED).filter(|condition| condition.status == "True");
    failed.is_some_and(|condition| match condition.reason.as_str() {
        reasons::RETRIES_EXHAUSTED | reasons::INVALID_ASSIGNMENT => true,
        reasons::JOB_REFUSED => by_hand(trial),
        _ => false,
    })
}

/// A trial's verdict, to be written into its status.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    pub ending: Ending,
    pub reason: &'static str,
    pub message: String,
    pub objective: Option<f64>,
}

impl Verdict {
    pub(super) fn failed(reason: &'static str, message: impl Into<String>, objective: Option<f64>) -> Self {
        Verdict { ending: Ending::Failed, reason, message: message.into(), objective }
    }
}

/// The objective's value so far, by its statistic; `None` when it was never seen or never finite.
pub fn value(status: &TrialStatus, objective: &Objective) -> Option<f64> {
    status
        .metrics
        .iter()
        .find(|summary| summary.name == objective.metric)
        .and_then(|summary| summary.statistic(objective.statistic, objective.direction))
}

/// Lower is better, whatever the direction.
pub(super) fn loss(value: f64, direction: Direction) -> f64 {
    match direction {
        Direction::Maximize => -value,
        Direction::Minimize => value,
    }
}

/// Its agent has not told how the present attempt ended, or it was killed, nobody has said why: its pods may tell more.
pub(super) fn unexplained(status: &TrialStatus) -> bool {
    let exit = status.exit.as_ref().filter(|exit| exit.attempt == status.attempt);
    exit.is_none_or(|exit| exit.signal == Some(SIGKILL))
}

/// The present attempt's program was last seen to end with a failure of its own: not by a signal that whoever takes a pod
/// away sends.
pub(super) fn ended_by_itself(status: &TrialStatus) -> bool {
    const SIGTERM: i32 = 15;
    let exit = status.exit.as_ref().filter(|exit| exit.attempt == status.attempt);
    exit.is_some_and(|exit| match (exit.code, exit.signal) {
        (Some(code), _) => ![0, 128 + SIGKILL, 128 + SIGTERM].contains(&code),
        (None, signal) => ![Some(SIGKILL), Some(SIGTERM), None].contains(&signal),
    })
}

/// How the Job ended, in the light of what others have done to its pods, and of what the program's agent had told before.
/// `explained`: its pods are gone because the program failed, which is known of its restarts; any other program that fails
/// leaves its pod behind.
pub(super) fn judged(end: &JobEnd, pods: Option<&Pods>, status: &TrialStatus, explained: bool) -> JobEnd {
    let taken = match (end, pods.map(|pods| pods.fate)) {
        (JobEnd::Failed(_), Some(Fate::Deleted)) if !explained => "its pod was deleted",
        (JobEnd::Failed(message), Some(Fate::Disrupted { .. })) | (JobEnd::Disrupted(message), _) => message,
        _ => return end.clone(),
    };
    // Such as on a node that was lost before it could tell. A failure need not be the program's own then.
    let had_ended_well =
        status.exit.as_ref().is_some_and(|exit| exit.attempt == status.attempt && exit.code == Some(0));
    if had_ended_well { JobEnd::Complete } else { JobEnd::Disrupted(taken.to_owned()) }
}

/// The verdict on a trial whose Job has ended by itself; `None` when it was disrupted, which is no verdict. `seen`: what its
/// pods say, or nothing.
pub(super) fn verdict(status: &TrialStatus, end: &JobEnd, seen: &str, objective: &Objective) -> Option<Verdict> {
    let value = value(status, objective);
    Some(match (end, value) {
        (JobEnd::Disrupted(_), _) => return None,
        (JobEnd::Complete, Some(value)) => Verdict {
            ending: Ending::Succeeded,
            reason: reasons::SUCCEEDED,
            message: format!("{} = {value}{}", objective.metric, left_out(status)),
            objective: Some(value),
        },
        (JobEnd::Complete, None) => {
            let (reason, why) = without_value(status, objective);
            Verdict::failed(reason, format!("the program ended well, but {why}"), None)
        }
        (JobEnd::DeadlineExceeded, _) => {
            let limit = "the activeDeadlineSeconds of its Job";
            out_of_time(status, reasons::JOB_DEADLINE_EXCEEDED, limit, objective)
        }
        (JobEnd::Failed(message), value) => {
            Verdict::failed(reasons::PROGRAM_FAILED, how_the_program_ended(status, message, seen), value)
        }
    })
}

/// The verdict on a trial for which values that are no finite numbers are a failure; `None`: it has reported none.
pub(super) fn not_finite(status: &TrialStatus, objective: &Objective) -> Option<Verdict> {
    let summary = status.metrics.iter().find(|summary| summary.name == objective.metric)?;
    let point = summary.curve.points.iter().find(|point| point.value.is_none());
    let step = point.map_or(String::new(), |point| format!(" at step {}", point.step));
    let message = format!("{} was NaN or infinite{step}; failurePolicy.nonFinite is Fail", objective.metric);
    (summary.non_finite > 0).then(|| Verdict::failed(reasons::METRIC_NOT_FINITE, message, None))
}

/// The verdict on a trial that has run for as long as it may.
pub(super) fn out_of_time(status: &TrialStatus, reason: &'static str, limit: &str, objective: &Objective) -> Verdict {
    let metric = &objective.metric;
    match value(status, objective) {
        Some(value) => Verdict {
            ending: Ending::EarlyStopped,
            reason,
            message: format!("stopped at {limit} with {metric} = {value}"),
            objective: Some(value),
        },
        None => Verdict::failed(reason, format!("stopped at {limit}; {}", without_value(status, objective).1), None),
    }
}

/// The verdict on a trial that the experiment's end cut short.
pub(super) fn stopped(status: &TrialStatus, reason: &'static str, why: &str, objective: Option<&Objective>) -> Verdict {
    let objective = objective.and_then(|objective| value(status, objective));
    Verdict { ending: Ending::EarlyStopped, reason, message: format!("stopped: {why}"), objective }
}

/// Half a sentence about values that came too fast, and one about names that were too many, where there were any.
fn left_out(status: &TrialStatus) -> String {
    let values = match status.exit.as_ref().map_or(0, |exit| exit.values_left_out) {
        0 => String::new(),
        count => format!("; {count} values came faster than they could be stored, and are not in the curves"),
    };
    let names = if status.more_metrics { "; of the names that nobody asked for not all are kept" } else { "" };
    values + names
}

/// Why a trial has no objective value, as a reason and half a sentence: what was seen instead, and what to do.
fn without_value(status: &TrialStatus, objective: &Objective) -> (&'static str, String) {
    without(status, &objective.metric, "spec.objectives[0]")
}

/// Why a trial has no value of a metric that is named in this field.
pub(super) fn without(status: &TrialStatus, wanted: &str, field: &str) -> (&'static str, String) {
    if status.metrics.iter().any(|summary| summary.name == wanted) {
        return (reasons::METRIC_NOT_FINITE, format!("{wanted} was NaN or infinite each time it was reported"));
    }
    let others = status.other_metrics.iter().map(String::as_str);
    let seen = nearest(wanted, status.metrics.iter().map(|summary| summary.name.as_str()).chain(others));
    let more = if status.more_metrics { " and more names than are kept" } else { "" };
    let why = match (seen.first(), &status.trouble) {
        (_, Some(trouble)) => format!("{wanted} was never read: {trouble}"),
        (None, None) => format!("it printed no metric; print a line such as `epoch=1 {wanted}=0.5` to standard output"),
        (Some(first), None) => format!(
            "it never printed {wanted}; it printed {}{more}; if {first} is meant, write metric: {first:?} in {field}",
            seen.join(", ")
        ),
    };
    (reasons::METRIC_NOT_FOUND, why)
}

/// Of a container beside the program's.
pub(super) fn has_failed(container: &str, code: i32) -> String {
    match code.checked_sub(128).filter(|signal| *signal > 0) {
        Some(signal) => format!("container {container} has failed (exit code {code}, as of signal {signal})"),
        None => format!("container {container} has failed (exit code {code})"),
    }
}

/// What the agent saw of the program's end, and what its pods say; what the Job says where neither says anything.
fn how_the_program_ended(status: &TrialStatus, job_message: &str, seen: &str) -> String {
    let Some(exit) = status.exit.as_ref().filter(|exit| exit.attempt == status.attempt) else {
        return if seen.is_empty() { job_message } else { seen }.to_owned();
    };
    let how = match (exit.code, exit.signal) {
        (Some(0), _) => {
            let why = if seen.is_empty() { job_message } else { seen };
            return format!("the program ended well, but its Job did not: {why}");
        }
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) if seen.is_empty() => format!("ended by signal {signal}"),
        (None, Some(signal)) => format!("ended by signal {signal}: {seen}"),
        (None, None) => job_message.to_owned(),
    };
    match exit.tail.trim().lines().last() {
        Some(line) => format!("{how}; its last line: {}", line.trim()),
        None => format!("{how}; it printed nothing"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{MetricSummary, Observation};
    use jiff::Timestamp;
    use serde_json::json;

    #[test]
    fn a_trial_without_a_value_says_what_was_seen_instead() {
        let objective = json!({"metric": "accuracy", "direction": "Maximize"});
        let objective: Objective = serde_json::from_value(objective).unwrap();
        let status = |metric: Option<&str>, others: &[&str]| {
            let summary = metric.map(|name| {
                let mut summary = MetricSummary::new(name);
                let time = Timestamp::UNIX_EPOCH;
                summary.observe(&Observation { metric: name.into(), step: None, value: f64::NAN, time });
                summary
            });
            let other_metrics = others.iter().map(|name| (*name).to_owned()).collect();
            TrialStatus { metrics: summary.into_iter().collect(), other_metrics, ..TrialStatus::default() }
        };
        let troubled = TrialStatus { trouble: Some("no series matches".into()), ..status(None, &["acc"]) };
        let table = [
            (troubled, "MetricNotFound", "accuracy was never read: no series matches"),
            (status(None, &[]), "MetricNotFound", "it printed no metric; print a line such as `epoch=1 accuracy=0.5`"),
            (
                status(Some("loss"), &["acc"]),
                "MetricNotFound",
                "it never printed accuracy; it printed acc, loss; if acc is meant, write metric: \"acc\"",
            ),
            (status(Some("accuracy"), &["acc"]), "MetricNotFinite", "accuracy was NaN or infinite each time"),
        ];
        for (status, reason, says) in table {
            let complete = verdict(&status, &JobEnd::Complete, "", &objective).unwrap();
            assert_eq!((complete.ending, complete.reason, complete.objective), (Ending::Failed, reason, None));
            assert!(
                complete.message.starts_with(&format!("the program ended well, but {says}")),
                "{}",
                complete.message
            );
            let late = verdict(&status, &JobEnd::DeadlineExceeded, "", &objective).unwrap();
            assert_eq!((late.ending, late.reason), (Ending::Failed, "JobDeadlineExceeded"));
            let limit = "stopped at the activeDeadlineSeconds of its Job";
            assert!(late.message.starts_with(&format!("{limit}; {says}")), "{}", late.message);
        }
    }
}
