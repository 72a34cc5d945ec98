//! The Job controller: a Job, its pods and the time -> what to do. PURE.
//!
//! It follows Kubernetes' controller for Jobs of one pod at a time. A pod that has ended is counted exactly once: its
//! UID is stored in the Job's status, then its finalizer goes, then the counter grows. A condition that decides
//! (`SuccessCriteriaMet`, `FailureTarget`) is stored before its effects, and the final one (`Complete`, `Failed`) after
//! all pods are gone or counted. Each step may be cut off anywhere; the next one goes on from what was stored.

mod manage;
mod pod;
pub mod policy;
mod verdict;

pub use verdict::{NOT_SUPPORTED, supported};

use super::object::{Job, JobCondition, JobStatus, Pod, Uncounted};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::BTreeSet;

/// Keeps a pod until its Job has counted it.
pub const FINALIZER: &str = "batch.kubernetes.io/job-tracking";

/// One effect. Each is safe to repeat.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// POST this Pod.
    CreatePod(Box<Value>),
    /// Merge patch on the Job's status, with the resourceVersion that it was computed from.
    WriteStatus(Box<JobStatus>),
    /// DELETE a pod, with this UID as precondition.
    DeletePod {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
    },
    /// Merge patch on a pod's finalizers, with the resourceVersion that it was computed from.
    RemoveFinalizer {
        /// Its name.
        name: String,
        /// Expected `metadata.resourceVersion`.
        resource_version: String,
        /// Finalizers of others, which stay.
        keep: Vec<String>,
    },
    /// DELETE the Job in the background: it was finished long enough.
    DeleteJob,
    /// An Event on the Job.
    Event(Event),
}

/// A Kubernetes Event on a Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Warning, else Normal.
    pub warning: bool,
    /// Such as `Completed`.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// What to do, in order, and when to look again if nothing happens before. The first action that fails ends the step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// In order.
    pub actions: Vec<Action>,
    /// Absolute.
    pub wake_at: Option<Timestamp>,
}

/// How long to wait after failures: `base` after the first, then twice as long each time, at most `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub base: SignedDuration,
    /// At most.
    pub limit: SignedDuration,
}

impl Backoff {
    /// That of Kubernetes' Job controller.
    pub const JOB: Self = Self { base: SignedDuration::from_secs(10), limit: SignedDuration::from_mins(10) };

    /// How long to wait after so many failures in a row.
    pub fn after(&self, failures: u32) -> SignedDuration {
        let Some(doublings) = failures.checked_sub(1) else { return SignedDuration::ZERO };
        let factor = 1_i32.checked_shl(doublings.min(30)).unwrap_or(i32::MAX);
        self.base.checked_mul(factor).unwrap_or(self.limit).min(self.limit)
    }
}

/// What a step is computed from besides the Job and its pods.
pub struct Context<'a> {
    /// The present.
    pub now: Timestamp,
    /// Between a failed pod and the next.
    pub backoff: Backoff,
    /// Five random characters for the next pod's name.
    pub suffix: &'a mut dyn FnMut() -> String,
}

/// The next step for a Job. `pods` are all that it controls.
pub fn sync(job: &Job, pods: &[&Pod], context: &mut Context<'_>) -> Step {
    if let Some(finished) = job.status.finished() {
        return after_the_end(job, finished, pods, context.now);
    }
    if job.meta.deleting() {
        return Step { actions: release(pods.iter().copied()), wake_at: None };
    }
    if let Ok(spec) = &job.spec
        && spec.managed_by.as_deref().is_some_and(|name| name != "kubernetes.io/job-controller")
    {
        return Step::default();
    }
    Round::new(job, pods, context.now).run(context)
}

fn after_the_end(job: &Job, finished: &JobCondition, pods: &[&Pod], now: Timestamp) -> Step {
    let mut step = Step { actions: release(pods.iter().copied()), wake_at: None };
    let ttl = job.spec.as_ref().ok().and_then(|spec| spec.ttl_seconds_after_finished);
    if let (Some(ttl), Some(end), false) = (ttl, finished.last_transition_time, job.meta.deleting()) {
        let due = end.saturating_add(SignedDuration::from_secs(ttl)).unwrap_or(end);
        if due <= now {
            step.actions.push(Action::DeleteJob);
        } else {
            step.wake_at = Some(due);
        }
    }
    step
}

/// Removes the Job's finalizer from the pods that have it.
fn release<'a>(pods: impl Iterator<Item = &'a Pod>) -> Vec<Action> {
    pods.filter(|pod| tracked(pod)).map(remove_finalizer).collect()
}

/// Removes the Job's finalizer from a pod.
pub fn remove_finalizer(pod: &Pod) -> Action {
    Action::RemoveFinalizer {
        name: pod.meta.name.clone(),
        resource_version: pod.meta.resource_version.clone(),
        keep: pod.meta.finalizers.iter().filter(|name| *name != FINALIZER).cloned().collect(),
    }
}

/// Whether a pod still waits to be counted.
pub fn tracked(pod: &Pod) -> bool {
    pod.meta.finalizers.iter().any(|finalizer| finalizer == FINALIZER)
}

/// One pass over an unfinished Job.
struct Round<'a> {
    job: &'a Job,
    pods: &'a [&'a Pod],
    now: Timestamp,
    /// As it should be after this step.
    status: JobStatus,
    /// Neither ended nor on the way out.
    active: Vec<&'a Pod>,
    /// Stored counters and what will be added to them.
    succeeded: u32,
    failed: u32,
    creates: Vec<Action>,
    deletes: Vec<Action>,
    /// Pods that go without being counted.
    dropped: BTreeSet<&'a str>,
    events: Vec<Event>,
    wake_at: Option<Timestamp>,
}

impl<'a> Round<'a> {
    fn new(job: &'a Job, pods: &'a [&'a Pod], now: Timestamp) -> Self {
        let mut status = job.status.clone();
        settle(&mut status, pods);
        let active: Vec<&Pod> = pods.iter().copied().filter(|pod| !pod.is_terminal() && !pod.meta.deleting()).collect();
        let mut round = Self {
            job,
            pods,
            now: super::object::seconds(now),
            status,
            active,
            succeeded: 0,
            failed: 0,
            creates: Vec::new(),
            deletes: Vec::new(),
            dropped: BTreeSet::new(),
            events: Vec::new(),
            wake_at: None,
        };
        round.count();
        round
    }

    fn run(mut self, context: &mut Context<'_>) -> Step {
        let suspended = self.job.spec.as_ref().is_ok_and(|spec| spec.suspend);
        if self.status.start_time.is_none() && !suspended {
            self.status.start_time = Some(self.now);
        }
        let decided = self.failure().or_else(|| self.stored_success());
        let terminating = self.pods.iter().filter(|pod| pod.meta.deleting() && !pod.is_terminal()).count();
        self.status.terminating = Some(number(terminating));
        self.status.active = number(self.active.len());
        self.status.ready = Some(number(self.active.iter().filter(|pod| pod.is_ready()).count()));
        let decided = match decided {
            Some(decided) => {
                self.end_active_pods();
                Some(decided)
            }
            None => self.manage(context),
        };
        self.finish(decided)
    }

    /// Stored counters, pods in between, and pods that have just ended.
    fn count(&mut self) {
        let uncounted = &self.status.uncounted_terminated_pods;
        let new = |pod: &&&Pod, known: &[String]| tracked(pod) && !known.contains(&pod.meta.uid);
        let succeeded = self.pods.iter().filter(|pod| pod.status.phase == "Succeeded");
        let succeeded = succeeded.filter(|pod| new(pod, &uncounted.succeeded)).count();
        let failed = self.pods.iter().filter(|pod| self.has_failed(pod) && self.counts(pod));
        let failed = failed.filter(|pod| new(pod, &uncounted.failed)).count();
        self.succeeded = self.status.succeeded + number(uncounted.succeeded.len() + succeeded);
        self.failed = self.status.failed + number(uncounted.failed.len() + failed);
    }

    /// As Kubernetes: a pod on its way out has failed, unless only pods that have ended may be replaced.
    fn has_failed(&self, pod: &Pod) -> bool {
        let policy = self.job.spec.as_ref().ok().and_then(|spec| spec.pod_replacement_policy.as_deref());
        let on_its_way = pod.meta.deleting() && pod.status.phase != "Succeeded" && policy != Some("Failed");
        pod.status.phase == "Failed" || on_its_way
    }

    fn counts(&self, pod: &Pod) -> bool {
        let policy = self.job.spec.as_ref().ok().and_then(|spec| spec.pod_failure_policy.as_ref());
        policy::judge(policy, pod) != policy::Verdict::Ignore
    }

    /// Deletes what still runs, because the Job's fate is decided.
    fn end_active_pods(&mut self) {
        for pod in std::mem::take(&mut self.active) {
            self.deletes.push(Action::DeletePod { name: pod.meta.name.clone(), uid: pod.meta.uid.clone() });
        }
        self.status.terminating = Some(self.status.terminating.unwrap_or_default() + number(self.deletes.len()));
        self.status.active = 0;
        self.status.ready = Some(0);
    }

    /// Counts what has ended, and puts the actions into their order.
    fn finish(mut self, decided: Option<JobCondition>) -> Step {
        let failing = decided.as_ref().is_some_and(|condition| condition.r#type == verdict::FAILURE_TARGET);
        let mut releases = Vec::new();
        for pod in self.pods.iter().copied().filter(|pod| tracked(pod)) {
            let (uid, succeeded) = (&pod.meta.uid, pod.status.phase == "Succeeded");
            let failed = !succeeded && (self.has_failed(pod) || failing);
            let dropped = self.dropped.contains(uid.as_str());
            if !(succeeded || failed || dropped || decided.is_some()) {
                continue;
            }
            releases.push(remove_finalizer(pod));
            let counted = self.counts(pod) && !dropped;
            let Uncounted { succeeded: list_succeeded, failed: list_failed } =
                &mut self.status.uncounted_terminated_pods;
            if succeeded && !list_succeeded.contains(uid) {
                list_succeeded.push(uid.clone());
            } else if failed && counted && !list_failed.contains(uid) {
                list_failed.push(uid.clone());
            }
        }
        let waits = !releases.is_empty() || !self.deletes.is_empty() || self.status.terminating != Some(0);
        if let Some(condition) = decided {
            self.conclude(condition, waits || self.status.uncounted_terminated_pods != Uncounted::default());
        }
        let mut actions = self.creates;
        if self.dropped.is_empty() {
            if self.status != self.job.status {
                actions.push(Action::WriteStatus(Box::new(self.status)));
            }
            actions.extend(self.deletes);
            actions.extend(releases);
        } else {
            // Kubernetes lets these go first, so that they are never counted.
            actions.extend(releases);
            actions.extend(self.deletes);
            if self.status != self.job.status {
                actions.push(Action::WriteStatus(Box::new(self.status)));
            }
        }
        actions.extend(self.events.into_iter().map(Action::Event));
        Step { actions, wake_at: self.wake_at }
    }

    /// Stores what was decided, and once nothing is left to do, that the Job has ended.
    fn conclude(&mut self, condition: JobCondition, waits: bool) {
        if self.status.condition(&condition.r#type).is_none() {
            self.status.conditions.push(condition);
            return;
        }
        if waits {
            return;
        }
        let complete = condition.r#type == verdict::SUCCESS_CRITERIA_MET;
        let last = JobCondition {
            r#type: if complete { "Complete" } else { "Failed" }.to_owned(),
            last_probe_time: Some(self.now),
            last_transition_time: Some(self.now),
            ..condition
        };
        self.events.push(match complete {
            true => Event { warning: false, reason: "Completed".to_owned(), message: "Job completed".to_owned() },
            false => Event { warning: true, reason: last.reason.clone(), message: last.message.clone() },
        });
        self.status.completion_time = complete.then_some(self.now);
        self.status.conditions.push(last);
    }
}

/// Moves pods whose finalizer has gone from the list in between to the counters.
fn settle(status: &mut JobStatus, pods: &[&Pod]) {
    let waiting: BTreeSet<&str> = pods.iter().filter(|pod| tracked(pod)).map(|pod| pod.meta.uid.as_str()).collect();
    let settle = |uids: &mut Vec<String>, counter: &mut u32| {
        let before = uids.len();
        uids.retain(|uid| waiting.contains(uid.as_str()));
        *counter += number(before - uids.len());
    };
    let Uncounted { succeeded, failed } = &mut status.uncounted_terminated_pods;
    settle(succeeded, &mut status.succeeded);
    settle(failed, &mut status.failed);
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
