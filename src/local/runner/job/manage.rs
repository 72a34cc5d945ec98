//! Pods of a Job whose fate is open: create, delete, suspend.

use super::verdict::SUCCESS_CRITERIA_MET;
use super::{Action, Context, Event, Round, number, pod};
use crate::local::runner::object::{JobCondition, JobSpec, Pod};
use jiff::{SignedDuration, Timestamp};

impl<'a> Round<'a> {
    /// Brings the pods to their number. Returns the success, if that is what it is.
    pub(super) fn manage(&mut self, context: &mut Context<'_>) -> Option<JobCondition> {
        let job = self.job;
        let Ok(spec) = &job.spec else { return None };
        if spec.suspend {
            self.drop_pods(self.active.len());
        } else {
            let wanted = match spec.completions {
                None if self.succeeded > 0 => number(self.active.len()),
                None => spec.parallelism,
                Some(completions) => completions.saturating_sub(self.succeeded).min(spec.parallelism),
            };
            self.drop_pods(self.active.len().saturating_sub(wanted as usize));
            self.create_pods(spec, wanted, context);
        }
        let enough = match spec.completions {
            None => self.succeeded > 0,
            Some(completions) => self.succeeded >= completions,
        };
        if enough && self.status.active == 0 {
            let message = "Reached expected number of succeeded pods";
            return Some(self.condition(SUCCESS_CRITERIA_MET, "CompletionsReached", message));
        }
        self.show_suspended(spec.suspend);
        None
    }

    /// Deletes active pods that are not wanted any more; they are not counted.
    fn drop_pods(&mut self, count: usize) {
        let at = self.active.len().saturating_sub(count);
        for pod in self.active.split_off(at) {
            self.dropped.insert(&pod.meta.uid);
            self.deletes.push(Action::DeletePod { name: pod.meta.name.clone(), uid: pod.meta.uid.clone() });
        }
        let kept = self.active.iter().filter(|pod| pod.is_ready()).count();
        self.status.active = number(self.active.len());
        self.status.ready = Some(number(kept));
        self.status.terminating = Some(self.status.terminating.unwrap_or_default() + number(self.deletes.len()));
    }

    fn create_pods(&mut self, spec: &JobSpec, wanted: u32, context: &mut Context<'_>) {
        let only_failed = spec.pod_replacement_policy.as_deref() == Some("Failed");
        let on_their_way = if only_failed { self.status.terminating.unwrap_or_default() } else { 0 };
        if wanted <= self.status.active + on_their_way {
            return;
        }
        if let Some(after) = self.backoff_ends(context)
            && after > context.now
        {
            self.wake_at = Some(self.wake_at.map_or(after, |other| other.min(after)));
            return;
        }
        let pod = pod::build(self.job, spec, &(context.suffix)());
        self.creates.push(Action::CreatePod(Box::new(pod)));
        self.status.active += 1;
    }

    /// When the next pod may come after the failures so far.
    fn backoff_ends(&self, context: &Context<'_>) -> Option<Timestamp> {
        let failed: Vec<&Pod> = self.pods.iter().copied().filter(|pod| self.has_failed(pod)).collect();
        let last = failed.iter().filter_map(|pod| finish_time(pod)).max()?;
        let failures = self.failed.max(number(failed.len()));
        last.checked_add(context.backoff.after(failures)).ok()
    }

    fn show_suspended(&mut self, suspended: bool) {
        let known = self.status.conditions.iter().position(|condition| condition.r#type == "Suspended");
        let (status, reason, message) =
            if suspended { ("True", "JobSuspended", "Job suspended") } else { ("False", "JobResumed", "Job resumed") };
        let condition = JobCondition { status: status.to_owned(), ..self.condition("Suspended", reason, message) };
        match known.and_then(|index| self.status.conditions.get_mut(index)) {
            Some(stored) if stored.status == status => return,
            Some(stored) => *stored = condition,
            None if suspended => self.status.conditions.push(condition),
            None => return,
        }
        // The deadline counts the time since the Job was let run.
        self.status.start_time = (!suspended).then_some(self.now);
        let reason = if suspended { "Suspended" } else { "Resumed" };
        self.events.push(Event { warning: false, reason: reason.to_owned(), message: message.to_owned() });
    }
}

/// When a pod ended, as Kubernetes finds it out.
fn finish_time(pod: &Pod) -> Option<Timestamp> {
    let of_containers = pod
        .status
        .container_statuses
        .iter()
        .filter_map(|container| container.state.terminated.as_ref()?.finished_at)
        .max();
    let not_ready = pod.status.conditions.iter().find(|it| it.r#type == "Ready" && it.status == "False");
    let deleted = pod.meta.deletion_timestamp.map(|at| {
        let grace = SignedDuration::from_secs(pod.meta.deletion_grace_period_seconds.unwrap_or_default().into());
        at.saturating_sub(grace).unwrap_or(at)
    });
    of_containers
        .or_else(|| not_ready.and_then(|condition| condition.last_transition_time))
        .or(deleted)
        .or(pod.meta.creation_timestamp)
}
