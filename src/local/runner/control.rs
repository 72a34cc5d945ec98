//! The loop: watches, ends of processes and the clock in; one Job or Pod at a time is brought forward.

use super::desk::{Desk, Failure, Resource};
use super::handle::Settings;
use super::object::{Job, Pod};
use super::pods::Work;
use super::process::Exit;
use super::scheduler::{Capacity, Slots};
use super::state::StateFolder;
use super::store::{Name, Store};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use kube::api::DynamicObject;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// First pause after a failed call; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a runner that stops goes on trying to store what has become of its pods.
const LAST_WRITES: Duration = Duration::from_secs(10);

/// What can be brought forward.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(pub Resource, pub Name);

/// All that the runner knows and holds.
pub(super) struct Control {
    pub desk: Desk,
    pub settings: Settings,
    pub state: Arc<StateFolder>,
    pub store: Store,
    pub slots: Slots,
    /// What is done about each pod that has not ended, by UID.
    pub work: HashMap<String, Work>,
    /// Pods that were taken up so far.
    pub arrivals: u64,
    /// Pods that an earlier runner started, by UID.
    pub started_before: BTreeSet<String>,
    pub processes: JoinSet<(String, (Exit, String))>,
    /// Grace of a stop that was asked for.
    pub stopping: Option<Duration>,
    give_up: Option<Instant>,
    queue: VecDeque<Key>,
    queued: BTreeSet<Key>,
    due: BTreeMap<Key, Instant>,
    failures: BTreeMap<Key, u32>,
    /// Kinds whose first list is complete.
    listed: BTreeSet<Resource>,
    /// What the list that is coming in has shown so far.
    listing: BTreeMap<Resource, BTreeSet<Name>>,
}

type Events = BoxStream<'static, Result<watcher::Event<DynamicObject>, watcher::Error>>;

impl Control {
    pub fn new(
        desk: Desk,
        settings: Settings,
        state: StateFolder,
        capacity: Capacity,
        started_before: BTreeSet<String>,
    ) -> Self {
        Self {
            desk,
            settings,
            state: Arc::new(state),
            store: Store::default(),
            slots: Slots::new(capacity),
            work: HashMap::new(),
            arrivals: 0,
            started_before,
            processes: JoinSet::new(),
            stopping: None,
            give_up: None,
            queue: VecDeque::new(),
            queued: BTreeSet::new(),
            due: BTreeMap::new(),
            failures: BTreeMap::new(),
            listed: BTreeSet::new(),
            listing: BTreeMap::new(),
        }
    }

    pub async fn run(mut self, mut stop: watch::Receiver<Option<Duration>>) {
        let watch = |resource| -> Events {
            watcher(self.desk.all(resource), watcher::Config::default()).default_backoff().boxed()
        };
        let (mut jobs, mut pods) = (watch(Resource::Job), watch(Resource::Pod));
        while !self.is_done() {
            let next = self.due.values().min().copied();
            let ready = !self.queue.is_empty() && self.listed.len() == 2;
            tokio::select! {
                biased;
                Ok(()) = stop.changed() => {
                    let grace = *stop.borrow_and_update();
                    self.begin_stop(grace.unwrap_or_default());
                }
                Some(ended) = self.processes.join_next() => {
                    // Whoever waits for a process does not fail; if it does, the pod would never end.
                    let Ok((uid, end)) = ended else { return };
                    self.process_ended(&uid, end).await;
                }
                event = jobs.try_next() => self.take_event(Resource::Job, event).await,
                event = pods.try_next() => self.take_event(Resource::Pod, event).await,
                () = std::future::ready(()), if ready => self.bring_one_forward().await,
                () = sleep_until(next) => self.queue_due(),
            }
        }
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        (self.settings.now)()
    }

    fn is_done(&self) -> bool {
        if self.stopping.is_none() {
            return false;
        }
        let stored = self.work.values().all(|work| work.may_be_left(&self.store));
        // A process that the kernel does not let go must not hold the runner for ever.
        stored || self.give_up.is_some_and(|at| Instant::now() >= at)
    }

    fn begin_stop(&mut self, grace: Duration) {
        self.stopping = Some(grace);
        let names: Vec<(String, Name)> = self.work.iter().map(|(uid, work)| (uid.clone(), work.name.clone())).collect();
        for (uid, name) in names {
            self.disrupt(&uid, grace);
            self.enqueue(Key(Resource::Pod, name));
        }
        let longest = self.work.values().map(Work::grace).max().unwrap_or_default().min(grace);
        let give_up = Instant::now() + longest + LAST_WRITES;
        self.give_up = Some(give_up);
        // A key of nothing, so that the loop wakes up.
        let nobody = Name { namespace: String::new(), name: String::new() };
        self.due.insert(Key(Resource::Pod, nobody), give_up);
    }

    /// Looks at something soon.
    pub fn enqueue(&mut self, key: Key) {
        if self.queued.insert(key.clone()) {
            self.queue.push_back(key);
        }
    }

    /// Looks at something after a while, or earlier.
    pub fn enqueue_at(&mut self, key: Key, at: Instant) {
        let due = self.due.entry(key).or_insert(at);
        *due = at.min(*due);
    }

    fn queue_due(&mut self) {
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.due).into_iter().partition(|(_, at)| *at <= now);
        self.due = later;
        for (key, _) in BTreeMap::<Key, Instant>::into_iter(due) {
            self.enqueue(key);
        }
    }

    async fn bring_one_forward(&mut self) {
        let Some(key) = self.queue.pop_front() else { return };
        self.queued.remove(&key);
        let Key(resource, name) = &key;
        let result = match resource {
            Resource::Job => self.sync_job(name).await,
            Resource::Pod => self.sync_pod(name).await,
        };
        match result {
            Ok(()) => {
                self.failures.remove(&key);
            }
            Err(failure) => self.failed(key, &failure).await,
        }
    }

    /// Tries again later; what is out of date is read anew first.
    async fn failed(&mut self, key: Key, failure: &Failure) {
        let Key(resource, name) = &key;
        let failures = self.failures.entry(key.clone()).or_default();
        *failures += 1;
        let pause = FIRST_PAUSE.saturating_mul(1 << (*failures - 1).min(8)).min(LONGEST_PAUSE);
        let Name { namespace, name: object } = name;
        tracing::debug!(?resource, namespace, name = object, %failure, "tried again in {pause:?}");
        if matches!(failure, Failure::Refused(_)) && *failures == 1 {
            tracing::warn!(?resource, namespace, name = object, "the API server {failure}");
        }
        if matches!(failure, Failure::Gone | Failure::Conflict(_)) {
            self.refresh(*resource, &name.clone()).await;
        }
        self.enqueue_at(key, Instant::now() + pause);
    }

    /// Reads an object from the API server itself.
    pub async fn refresh(&mut self, resource: Resource, name: &Name) {
        match self.desk.get(resource, &name.namespace, &name.name).await {
            Ok(object) => self.saw(resource, &object),
            Err(Failure::Gone) => self.saw_gone(resource, name),
            Err(_) => {}
        }
    }

    /// Takes in an object as it is now.
    pub fn saw(&mut self, resource: Resource, object: &Value) {
        match resource {
            Resource::Job => {
                let job = Job::read(object);
                let name = name_of(&job.meta);
                self.store.put_job(job);
                self.enqueue(Key(resource, name));
            }
            Resource::Pod => {
                let pod = Pod::read(object);
                let name = name_of(&pod.meta);
                self.enqueue_owner(&pod);
                if let Some(replaced) = self.store.put_pod(pod) {
                    self.pod_gone(&replaced);
                }
                self.enqueue(Key(resource, name));
            }
        }
    }

    /// Takes in that an object of this name is gone.
    pub fn saw_gone(&mut self, resource: Resource, name: &Name) {
        match resource {
            Resource::Job => {
                let Some(job) = self.store.job(name) else { return };
                self.store.remove_job(name, &job.meta.uid);
                // Its pods have a finalizer that nobody else removes.
                for pod in self.store.pods_of(&job.meta.uid) {
                    self.enqueue(Key(Resource::Pod, name_of(&pod.meta)));
                }
                self.enqueue(Key(resource, name.clone()));
            }
            Resource::Pod => {
                let Some(pod) = self.store.pod(name) else { return };
                self.store.remove_pod(name, &pod.meta.uid);
                self.enqueue_owner(&pod);
                self.pod_gone(&pod.meta.uid);
            }
        }
    }

    fn enqueue_owner(&mut self, pod: &Pod) {
        if let Some(owner) = pod.meta.job_owner() {
            let name = Name { namespace: pod.meta.namespace.clone(), name: owner.name.clone() };
            self.enqueue(Key(Resource::Job, name));
        }
    }

    async fn take_event(
        &mut self,
        resource: Resource,
        event: Result<Option<watcher::Event<DynamicObject>>, watcher::Error>,
    ) {
        let object = |object: &DynamicObject| serde_json::to_value(object).unwrap_or_default();
        match event {
            Ok(Some(watcher::Event::Apply(seen))) => self.saw(resource, &object(&seen)),
            Ok(Some(watcher::Event::Delete(seen))) => {
                let name = name_of_dynamic(&seen);
                let known = match resource {
                    Resource::Job => self.store.job(&name).map(|job| job.meta.uid.clone()),
                    Resource::Pod => self.store.pod(&name).map(|pod| pod.meta.uid.clone()),
                };
                if known == seen.metadata.uid {
                    self.saw_gone(resource, &name);
                }
            }
            Ok(Some(watcher::Event::Init)) => {
                self.listing.insert(resource, BTreeSet::new());
            }
            Ok(Some(watcher::Event::InitApply(seen))) => {
                self.listing.entry(resource).or_default().insert(name_of_dynamic(&seen));
                self.saw(resource, &object(&seen));
            }
            Ok(Some(watcher::Event::InitDone)) => self.list_done(resource).await,
            // The watch tries again by itself, with growing pauses.
            Err(error) => tracing::debug!(?resource, %error, "watch failed"),
            Ok(None) => tracing::warn!(?resource, "watch ended"),
        }
    }

    /// Deletions during a gap are found by comparison. What the list did not show may also be younger than the list.
    async fn list_done(&mut self, resource: Resource) {
        let shown = self.listing.remove(&resource).unwrap_or_default();
        let missing: Vec<Name> = match resource {
            Resource::Job => self.store.job_names().filter(|name| !shown.contains(name)).cloned().collect(),
            Resource::Pod => {
                self.store.pods().map(|(name, _)| name).filter(|name| !shown.contains(name)).cloned().collect()
            }
        };
        for name in missing {
            self.refresh(resource, &name).await;
        }
        if self.listed.insert(resource) && self.listed.len() == 2 {
            self.clear_folders().await;
        }
    }
}

pub(super) fn name_of(meta: &super::object::Meta) -> Name {
    Name { namespace: meta.namespace.clone(), name: meta.name.clone() }
}

fn name_of_dynamic(object: &DynamicObject) -> Name {
    let metadata = &object.metadata;
    Name { namespace: metadata.namespace.clone().unwrap_or_default(), name: metadata.name.clone().unwrap_or_default() }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
