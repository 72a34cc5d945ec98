//! Whether a Job's fate is decided, and how.

use super::{Round, policy};
use crate::local::runner::admit;
use crate::local::runner::object::{JobCondition, JobSpec, Pod};
use jiff::SignedDuration;

pub(super) const FAILURE_TARGET: &str = "FailureTarget";
pub(super) const SUCCESS_CRITERIA_MET: &str = "SuccessCriteriaMet";

/// Reason of a Job that cannot run on one machine.
pub const NOT_SUPPORTED: &str = "NotSupportedLocally";

impl Round<'_> {
    /// A condition that is now True.
    pub(super) fn condition(&self, r#type: &str, reason: &str, message: impl Into<String>) -> JobCondition {
        JobCondition {
            r#type: r#type.to_owned(),
            status: "True".to_owned(),
            last_probe_time: Some(self.now),
            last_transition_time: Some(self.now),
            reason: reason.to_owned(),
            message: message.into(),
        }
    }

    /// What was decided in an earlier step.
    pub(super) fn stored_success(&self) -> Option<JobCondition> {
        self.status.condition(SUCCESS_CRITERIA_MET).cloned()
    }

    /// Whether the Job fails: in Kubernetes' order, after what cannot run here at all. A stored success stays one.
    pub(super) fn failure(&mut self) -> Option<JobCondition> {
        if self.stored_success().is_some() {
            return None;
        }
        if let Some(stored) = self.status.condition(FAILURE_TARGET) {
            return Some(stored.clone());
        }
        let spec = match &self.job.spec {
            Ok(spec) => spec,
            Err(error) => return Some(self.condition(FAILURE_TARGET, "Invalid", error.clone())),
        };
        if let Err(sentence) = supported(spec) {
            return Some(self.condition(FAILURE_TARGET, NOT_SUPPORTED, sentence));
        }
        let failed = self.pods.iter().filter(|pod| self.has_failed(pod));
        for pod in failed {
            if let policy::Verdict::FailJob(message) = policy::judge(spec.pod_failure_policy.as_ref(), pod) {
                return Some(self.condition(FAILURE_TARGET, "PodFailurePolicy", message));
            }
        }
        if self.failed > spec.backoff_limit || restarted_too_often(spec, self.pods) {
            let message = "Job has reached the specified backoff limit";
            return Some(self.condition(FAILURE_TARGET, "BackoffLimitExceeded", message));
        }
        self.past_deadline(spec)
    }

    fn past_deadline(&mut self, spec: &JobSpec) -> Option<JobCondition> {
        if spec.suspend {
            return None;
        }
        let (start, limit) = (self.status.start_time?, spec.active_deadline_seconds?);
        let deadline = start.saturating_add(SignedDuration::from_secs(limit)).unwrap_or(start);
        if self.now < deadline {
            self.wake_at = Some(deadline);
            return None;
        }
        let message = "Job was active longer than specified deadline";
        Some(self.condition(FAILURE_TARGET, "DeadlineExceeded", message))
    }
}

/// Whether a Job can run on one machine, one pod at a time.
///
/// # Errors
/// A sentence that names the field and says what to do.
pub fn supported(spec: &JobSpec) -> Result<(), String> {
    if spec.completion_mode.as_deref().is_some_and(|mode| mode != "NonIndexed") {
        return Err("spec.completionMode: only NonIndexed Jobs run locally; remove it, or run on a cluster".to_owned());
    }
    for (field, value) in [("parallelism", spec.parallelism), ("completions", spec.completions.unwrap_or(1))] {
        if value > 1 {
            return Err(format!("spec.{field}: a local Job has one pod; write 1, or run on a cluster"));
        }
    }
    let pod = spec.template.get("spec").unwrap_or(&serde_json::Value::Null);
    let plan = admit::admit(pod, "spec.template.spec").map_err(|refusal| refusal.to_string())?;
    if plan.restart_policy == admit::RestartPolicy::Always {
        return Err("spec.template.spec.restartPolicy: must be Never or OnFailure".to_owned());
    }
    Ok(())
}

/// Restarts within the pods count as well, where they are allowed.
fn restarted_too_often(spec: &JobSpec, pods: &[&Pod]) -> bool {
    let policy = spec.template.pointer("/spec/restartPolicy");
    if policy.and_then(serde_json::Value::as_str) != Some("OnFailure") {
        return false;
    }
    let unfinished = pods.iter().filter(|pod| !pod.is_terminal());
    let restarts: u32 =
        unfinished.flat_map(|pod| &pod.status.container_statuses).map(|container| container.restart_count).sum();
    if spec.backoff_limit == 0 { restarts > 0 } else { restarts >= spec.backoff_limit }
}
