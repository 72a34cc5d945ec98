//! What the engine knows of a Job.

use jiff::Timestamp;

/// The few fields of a Job that decisions need.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobView {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// Name of the Trial, by its label.
    pub trial: String,
    /// UID of the controlling owner; empty when there is none.
    pub owner_uid: String,
    /// `spec.suspend`: a queue has not let it in, or has put it out.
    pub suspended: bool,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// `status.startTime`.
    pub start_time: Option<Timestamp>,
    /// `status.active`.
    pub active: i64,
    /// `status.ready`.
    pub ready: i64,
    /// `status.conditions` whose status is True.
    pub conditions: Vec<JobCondition>,
    /// When it ended, as its conditions say.
    pub ended: Option<Timestamp>,
    /// `metadata.creationTimestamp`.
    pub created: Option<Timestamp>,
}

/// A condition of a Job that is True.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobCondition {
    /// Such as `Complete`.
    pub r#type: String,
    /// Such as `BackoffLimitExceeded`.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// How a Job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JobEnd {
    /// It succeeded.
    Complete,
    /// Its pod was taken away: evicted, preempted, node lost.
    Disrupted(String),
    /// `activeDeadlineSeconds` passed.
    DeadlineExceeded,
    /// The program failed.
    Failed(String),
}

impl JobView {
    /// It has ended, whichever way.
    pub fn has_ended(&self) -> bool {
        self.end().is_some()
    }

    /// How the Job ended; `None` while it has not.
    pub(super) fn end(&self) -> Option<JobEnd> {
        if self.condition("Complete").is_some() {
            return Some(JobEnd::Complete);
        }
        let failed = self.condition("Failed")?;
        Some(match failed.reason.as_str() {
            "DeadlineExceeded" => JobEnd::DeadlineExceeded,
            // The rule that `inject` adds: a pod with condition DisruptionTarget fails the Job.
            "PodFailurePolicy" if failed.message.contains("DisruptionTarget") => {
                JobEnd::Disrupted(failed.message.clone())
            }
            _ => JobEnd::Failed(failed.message.clone()),
        })
    }

    fn condition(&self, r#type: &str) -> Option<&JobCondition> {
        self.conditions.iter().find(|condition| condition.r#type == r#type)
    }
}

/// Name of the Job of a trial's attempt: the trial's own name, then `NAME-1`, `NAME-2`, ... for further attempts.
pub fn job_name(trial: &str, attempt: u32) -> String {
    if attempt == 0 { trial.to_owned() } else { format!("{trial}-{attempt}") }
}

/// Which attempt of this trial has a Job of this name; `None` when none has.
pub(super) fn attempt_of(trial: &str, job: &str) -> Option<u32> {
    if job == trial {
        return Some(0);
    }
    let attempt = job.strip_prefix(trial)?.strip_prefix('-')?.parse().ok()?;
    (attempt > 0 && job_name(trial, attempt) == job).then_some(attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jobs_name_says_which_attempt_it_is() {
        let table = [
            ("e-00001", Some(0)),
            ("e-00001-1", Some(1)),
            ("e-00001-4000000000", Some(4_000_000_000)),
            ("e-00001-0", None),
            ("e-00001-01", None),
            ("e-00001-+1", None),
            ("e-00001-", None),
            ("e-000011", None),
            ("e-00001-1-1", None),
            ("debug-1", None),
        ];
        for (job, attempt) in table {
            assert_eq!(attempt_of("e-00001", job), attempt, "{job}");
        }
    }
}
