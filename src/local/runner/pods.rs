//! Brings a pod forward: a slot, its files, its process, its end.

use super::admit::{Identity, Plan, admit};
use super::control::{Control, Key, name_of};
use super::desk::{Failure, Resource};
use super::job::{self, Action, Event};
use super::object::{Meta, Pod};
use super::process::{Exit, Stopper, last_words};
use super::status::{Ended, Outcome, Running, Standing};
use super::store::{Name, Store};
use crate::api::disruptions::{NODE_RESTARTED, NODE_SHUTDOWN};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Reason of a pod that cannot be a local process.
const NOT_SUPPORTED: &str = super::job::NOT_SUPPORTED;

/// What is done about a pod that has not ended.
pub(super) struct Work {
    pub name: Name,
    /// Order of arrival.
    pub arrival: u64,
    pub plan: Option<Arc<Plan>>,
    pub standing: Option<Standing>,
    /// Its process runs.
    pub process: Option<Process>,
    /// When its process may be started again.
    pub restart_at: Option<Instant>,
    /// Ends of its process in a row.
    pub failures: u32,
    /// The pod itself is gone from the API server.
    pub gone: bool,
    /// The status as it was written last.
    written: Option<serde_json::Value>,
}

/// A process that runs.
pub(super) struct Process {
    pub stopper: Stopper,
    /// File for its last words.
    pub termination_message: String,
    /// What becomes of the pod when it ends, whatever its exit code.
    pub outcome: Option<Outcome>,
}

impl Work {
    /// Between SIGTERM and SIGKILL.
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.plan.as_ref().map_or(30, |plan| plan.grace_seconds).into())
    }

    fn restarts(&self) -> u32 {
        match &self.standing {
            Some(Standing::Running(Running { restarts, .. }) | Standing::Restarting { restarts, .. }) => *restarts,
            _ => 0,
        }
    }

    /// Whether a runner that stops may leave the pod as it is: nothing runs, and what is stored says so.
    pub fn may_be_left(&self, store: &Store) -> bool {
        let stored = || store.pod(&self.name).is_none_or(|pod| pod.is_terminal());
        let ended = matches!(self.standing, Some(Standing::Ended { .. } | Standing::Restarting { .. }));
        self.process.is_none() && (!ended || self.gone || stored())
    }
}

impl Control {
    /// Brings a Pod one step forward.
    pub async fn sync_pod(&mut self, name: &Name) -> Result<(), Failure> {
        let Some(pod) = self.store.pod(name) else { return Ok(()) };
        if job::tracked(&pod) && self.is_orphan(&pod).await? {
            return self.release(&pod).await;
        }
        if pod.is_terminal() {
            self.forget(&pod.meta.uid).await;
            return self.finish_deletion(&pod).await;
        }
        let uid = &pod.meta.uid;
        self.take_up(&pod);
        if pod.meta.deleting() {
            let grace = pod.meta.deletion_grace_period_seconds.map(|seconds| Duration::from_secs(seconds.into()));
            self.end(uid, grace, None);
        } else if self.stopping.is_none() {
            self.advance(&pod).await?;
        }
        self.write_status(&pod).await
    }

    /// Begins to care for a pod. One that an earlier runner started has lost its process.
    fn take_up(&mut self, pod: &Pod) {
        let uid = &pod.meta.uid;
        if self.work.contains_key(uid) {
            return;
        }
        self.arrivals += 1;
        let lost = self.started_before.contains(uid) || pod.status.phase == "Running";
        let restarts = pod.status.container_statuses.iter().map(|container| container.restart_count).sum();
        let standing = lost.then(|| {
            let message = "the runner of this machine ended while the pod ran; its processes were stopped";
            Standing::Ended { restarts, last: None, outcome: Outcome::Disrupted(NODE_RESTARTED, message.to_owned()) }
        });
        let work = Work {
            name: name_of(&pod.meta),
            arrival: self.arrivals,
            plan: None,
            standing,
            process: None,
            restart_at: None,
            failures: 0,
            gone: false,
            written: None,
        };
        self.work.insert(uid.clone(), work);
    }

    async fn advance(&mut self, pod: &Pod) -> Result<(), Failure> {
        let uid = &pod.meta.uid;
        let Some(work) = self.work.get_mut(uid) else { return Ok(()) };
        match &work.standing {
            Some(Standing::Ended { .. }) => return Ok(()),
            Some(Standing::Running(_)) => {
                self.check_deadline(pod);
                return Ok(());
            }
            Some(Standing::Restarting { .. }) => {
                if let Some(at) = work.restart_at.filter(|at| *at > Instant::now()) {
                    self.enqueue_at(Key(Resource::Pod, name_of(&pod.meta)), at);
                    self.check_deadline(pod);
                    return Ok(());
                }
            }
            None | Some(Standing::Unscheduled(_) | Standing::Waiting(..)) => {}
        }
        if work.plan.is_none() {
            match admit(&pod.spec, "spec") {
                Ok(plan) => work.plan = Some(Arc::new(plan)),
                Err(refusal) => {
                    let outcome = Outcome::Failed(NOT_SUPPORTED, refusal.to_string());
                    work.standing = Some(Standing::Ended { restarts: 0, last: None, outcome });
                    self.tell(&pod.meta, NOT_SUPPORTED, refusal.to_string()).await;
                    return Ok(());
                }
            }
        }
        self.try_start(pod).await
    }

    /// The longest life of a pod counts from its start on this node.
    fn check_deadline(&mut self, pod: &Pod) {
        let Some(work) = self.work.get(&pod.meta.uid) else { return };
        let Some(limit) = work.plan.as_ref().and_then(|plan| plan.active_deadline_seconds) else { return };
        let Some(start) = pod.status.start_time else { return };
        let lived = Duration::try_from(self.now().duration_since(start)).unwrap_or_default();
        let limit = Duration::from_secs(limit.into());
        if lived < limit {
            self.enqueue_at(Key(Resource::Pod, name_of(&pod.meta)), Instant::now() + (limit - lived));
        } else {
            let message = "Pod was active on the node longer than the specified deadline";
            self.end(&pod.meta.uid, None, Some(Outcome::Failed("DeadlineExceeded", message.to_owned())));
        }
    }

    /// Ends a pod: at once where nothing runs, else when its process has ended.
    fn end(&mut self, uid: &str, grace: Option<Duration>, outcome: Option<Outcome>) {
        let Some(work) = self.work.get_mut(uid) else { return };
        let own = work.grace();
        if let Some(process) = &mut work.process {
            process.stopper.stop(grace.unwrap_or(own));
            process.outcome = outcome.or(process.outcome.take());
            return;
        }
        let last = match work.standing.take() {
            Some(ended @ Standing::Ended { .. }) => {
                work.standing = Some(ended);
                return;
            }
            Some(Standing::Restarting { last, .. }) => Some(last),
            _ => None,
        };
        let restarts = work.restarts();
        work.standing = Some(Standing::Ended { restarts, last, outcome: outcome.unwrap_or(Outcome::Exited) });
    }

    /// Ends a pod because the runner stops. One that has not started waits for the next runner.
    pub fn disrupt(&mut self, uid: &str, grace: Duration) {
        let Some(work) = self.work.get(uid) else { return };
        let grace = grace.min(work.grace());
        if work.process.is_some() || matches!(work.standing, Some(Standing::Restarting { .. })) {
            let message = "the runner of this machine was stopped while the pod ran";
            self.end(uid, Some(grace), Some(Outcome::Disrupted(NODE_SHUTDOWN, message.to_owned())));
        }
    }

    /// Takes in that a pod is gone from the API server, whether or not its process has ended.
    pub fn pod_gone(&mut self, uid: &str) {
        let Some(work) = self.work.get_mut(uid) else { return };
        work.gone = true;
        match &work.process {
            Some(process) => process.stopper.stop(work.grace()),
            None => self.let_go(uid),
        }
    }

    /// Takes in the end of a process.
    pub async fn process_ended(&mut self, uid: &str, (exit, output): (Exit, String)) {
        let now = self.now();
        let deleting = |pod: &Pod| pod.meta.uid == uid && pod.meta.deleting();
        let Some(work) = self.work.get_mut(uid) else { return };
        let (Some(process), Some(plan)) = (work.process.take(), work.plan.clone()) else { return };
        let name = work.name.clone();
        let fallback = plan.message_from_logs && exit.code != 0;
        let words =
            tokio::task::spawn_blocking(move || last_words(&process.termination_message, fallback.then_some(output)));
        let message = words.await.unwrap_or_default();
        let Some(work) = self.work.get_mut(uid) else { return };
        let started_at = match &work.standing {
            Some(Standing::Running(Running { started_at, .. })) => *started_at,
            _ => now,
        };
        let ended = Ended::after(exit, message, started_at, now);
        let restarts = work.restarts();
        let doomed = work.gone || self.stopping.is_some() || self.store.pod(&name).is_some_and(|pod| deleting(&pod));
        let outcome = process.outcome;
        if outcome.is_none() && !doomed {
            self.decide(uid, ended, restarts);
        } else {
            let outcome = outcome.unwrap_or(Outcome::Exited);
            work.standing = Some(Standing::Ended { restarts, last: Some(ended), outcome });
        }
        self.after_the_end(uid);
        self.enqueue(Key(Resource::Pod, name));
    }

    /// Whether a container that has ended, or could not start, is started again.
    pub fn decide(&mut self, uid: &str, ended: Ended, restarts: u32) {
        let Some(work) = self.work.get_mut(uid) else { return };
        if !work.plan.as_ref().is_some_and(|plan| ended.restarts_under(plan.restart_policy)) {
            work.standing = Some(Standing::Ended { restarts, last: Some(ended), outcome: Outcome::Exited });
            return;
        }
        let lived = ended.started_at.map(|start| ended.finished_at.duration_since(start));
        // As in Kubernetes a container that ran for long starts afresh.
        if lived.is_some_and(|lived| lived >= self.settings.restart_backoff.limit.saturating_mul(2)) {
            work.failures = 0;
        }
        work.failures += 1;
        let pause = Duration::try_from(self.settings.restart_backoff.after(work.failures)).unwrap_or_default();
        work.restart_at = Some(Instant::now() + pause);
        work.standing = Some(Standing::Restarting { restarts, last: ended });
    }

    /// Frees what a pod that has ended held.
    pub fn after_the_end(&mut self, uid: &str) {
        let Some(work) = self.work.get(uid) else { return };
        if work.gone {
            self.let_go(uid);
        } else if matches!(work.standing, Some(Standing::Ended { .. })) {
            self.settings.tokens.revoke(uid);
            self.free_slot(uid);
        }
    }

    fn free_slot(&mut self, uid: &str) {
        if !self.slots.free(uid) {
            return;
        }
        let mut waiting: Vec<(u64, Name)> = self
            .work
            .values()
            .filter(|work| matches!(work.standing, Some(Standing::Unscheduled(_))))
            .map(|work| (work.arrival, work.name.clone()))
            .collect();
        waiting.sort();
        for (_, name) in waiting {
            self.enqueue(Key(Resource::Pod, name));
        }
    }

    /// Forgets a pod whose end is stored, with its folder.
    async fn forget(&mut self, uid: &str) {
        if self.work.contains_key(uid) || self.started_before.contains(uid) {
            self.let_go(uid);
        }
    }

    fn let_go(&mut self, uid: &str) {
        self.work.remove(uid);
        self.started_before.remove(uid);
        self.settings.tokens.revoke(uid);
        self.free_slot(uid);
        let folder = self.state.pod_folder(uid);
        tokio::task::spawn_blocking(move || remove_folder(&folder));
    }

    /// Removes the folders of pods that do not exist any more.
    pub async fn clear_folders(&mut self) {
        let alive: std::collections::BTreeSet<String> =
            self.store.pods().filter(|(_, pod)| !pod.is_terminal()).map(|(_, pod)| pod.meta.uid.clone()).collect();
        self.started_before.retain(|uid| alive.contains(uid));
        let state = self.state.clone();
        let clear = tokio::task::spawn_blocking(move || {
            for uid in state.pods().unwrap_or_default().iter().filter(|uid| !alive.contains(*uid)) {
                remove_folder(&state.pod_folder(uid));
            }
        });
        let _ = clear.await;
    }

    async fn write_status(&mut self, pod: &Pod) -> Result<(), Failure> {
        let now = self.now();
        let Some(work) = self.work.get(&pod.meta.uid) else { return Ok(()) };
        let Some(standing) = &work.standing else { return Ok(()) };
        let patch = json!({"metadata": {"uid": pod.meta.uid}, "status": standing.patch(pod, now)});
        if work.written.as_ref() == Some(&patch) {
            return Ok(());
        }
        let stored = self.desk.patch(Resource::Pod, &pod.meta.namespace, &pod.meta.name, true, &patch).await?;
        if let Some(work) = self.work.get_mut(&pod.meta.uid) {
            work.written = Some(patch);
        }
        self.saw(Resource::Pod, &stored);
        Ok(())
    }

    /// Whether the Job that should count this pod is gone. Its absence from the store alone proves nothing.
    async fn is_orphan(&self, pod: &Pod) -> Result<bool, Failure> {
        let Some(owner) = pod.meta.job_owner() else { return Ok(true) };
        let name = Name { namespace: pod.meta.namespace.clone(), name: owner.name.clone() };
        if self.store.job(&name).is_some_and(|job| job.meta.uid == owner.uid) {
            return Ok(false);
        }
        match self.desk.get(Resource::Job, &name.namespace, &name.name).await {
            Ok(job) => Ok(job.pointer("/metadata/uid").and_then(|uid| uid.as_str()) != Some(&owner.uid)),
            Err(Failure::Gone) => Ok(true),
            Err(failure) => Err(failure),
        }
    }

    async fn release(&mut self, pod: &Pod) -> Result<(), Failure> {
        let Action::RemoveFinalizer { resource_version, keep, .. } = job::remove_finalizer(pod) else { return Ok(()) };
        let keep = (!keep.is_empty()).then_some(keep);
        let patch = json!({"metadata": {"resourceVersion": resource_version, "finalizers": keep}});
        self.patch_pod(&name_of(&pod.meta), &patch).await
    }

    /// Nothing of the pod runs any more: it may go.
    async fn finish_deletion(&mut self, pod: &Pod) -> Result<(), Failure> {
        let Meta { namespace, name, uid, .. } = &pod.meta;
        if !pod.meta.deleting() || pod.meta.deletion_grace_period_seconds == Some(0) {
            return Ok(());
        }
        let left = self.desk.delete(Resource::Pod, namespace, name, uid, Some(0)).await?;
        self.saw_deleted(Resource::Pod, namespace, name, left.as_ref());
        Ok(())
    }

    /// A warning Event on a pod.
    pub async fn tell(&self, about: &Meta, reason: &str, message: String) {
        let event = Event { warning: true, reason: reason.to_owned(), message };
        self.desk.event(Resource::Pod, about, &event, self.now()).await;
    }
}

fn remove_folder(folder: &str) {
    if let Err(error) = std::fs::remove_dir_all(folder)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(folder, %error, "cannot remove the folder of a pod");
    }
}

/// The pod as its own environment sees it.
pub(super) fn identity(meta: &Meta) -> Identity {
    Identity {
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        labels: meta.labels.clone(),
        annotations: meta.annotations.clone(),
    }
}
