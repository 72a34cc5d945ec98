//! What exists, as far as it was seen: which Trial and Job belongs to which Experiment.
//!
//! Three watches and the answers to our own writes come together here, in any order. Each object is told to its
//! Experiment's desk through an inbox, each version at most once and never an older one after a newer one. No I/O.

mod gone;
mod object;
mod sizes;
mod words;

use super::job::SeenJob;
use super::watch::{Name, number};
use crate::api::{Experiment, Trial};
use crate::engine::owner;
use gone::Gone;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
pub use object::{has_ended, name};
use object::{name_in, pruned, version, version_in};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
pub use words::{Change, Key, Kind, Lookup, Moment, Uid, Work};

/// See the module.
#[derive(Default)]
pub struct Index {
    /// Counts the UIDs that were seen.
    moment: u64,
    synced: HashSet<Kind>,
    experiments: HashMap<Name, Arc<Experiment>>,
    experiment_bytes: HashMap<Name, usize>,
    homes: HashMap<Uid, Home>,
    trials: HashMap<Name, KnownTrial>,
    orphans: BTreeSet<Name>,
    jobs: HashMap<Name, KnownJob>,
    gone: Gone,
    wanted: HashMap<(Kind, Name), Uid>,
    touched: Vec<Key>,
}

/// What belongs to one UID. It can come before its Experiment is seen and stay after it is gone.
#[derive(Default)]
struct Home {
    experiment: Option<Arc<Experiment>>,
    inbox: Vec<Change>,
    objects: usize,
    /// Trials that are here only because they name the Experiment.
    by_hand: BTreeSet<Name>,
}

struct KnownTrial {
    version: u64,
    uid: Uid,
    /// When this UID was seen first.
    since: u64,
    home: Option<Uid>,
    /// How long it is as JSON; 0 before a watch has shown it.
    bytes: usize,
    /// `None` once it has ended.
    active: Option<Arc<Trial>>,
}

struct KnownJob {
    version: u64,
    uid: String,
    /// When this UID was seen first.
    since: u64,
    home: Uid,
}

impl Index {
    /// All three kinds were listed at least once: what is not here does not exist.
    pub fn synced(&self) -> bool {
        self.synced.len() == 3
    }

    /// To be taken before a request is sent whose answer may be that an object does not exist.
    pub fn moment(&self) -> Moment {
        Moment(self.moment)
    }

    /// What has changed since this was asked last.
    pub fn take_touched(&mut self) -> Vec<Key> {
        std::mem::take(&mut self.touched)
    }

    /// What is waiting for this Experiment's desk.
    pub fn take(&mut self, uid: &Uid) -> Work {
        let Some(home) = self.homes.get_mut(uid) else { return Work { forgotten: true, ..Work::default() } };
        let work = Work {
            experiment: home.experiment.clone(),
            changes: std::mem::take(&mut home.inbox),
            forgotten: home.experiment.is_none() && home.objects == 0,
        };
        if work.forgotten {
            self.homes.remove(uid);
            self.wanted.retain(|_, wants| wants != uid);
        }
        work
    }

    /// The Experiment of this name.
    pub fn experiment(&self, name: &Name) -> Option<&Arc<Experiment>> {
        self.experiments.get(name)
    }

    /// All Experiments, in any order.
    pub fn all_experiments(&self) -> Vec<Arc<Experiment>> {
        self.experiments.values().cloned().collect()
    }

    /// All Trials that have not ended, in any order.
    pub fn all_active_trials(&self) -> Vec<Arc<Trial>> {
        self.trials.values().filter_map(|known| known.active.clone()).collect()
    }

    /// The Trial of this name.
    pub fn trial(&self, name: &Name) -> Lookup {
        match self.trials.get(name) {
            None => Lookup::Absent,
            Some(known) => known.active.clone().map_or_else(|| Lookup::Ended(known.uid.clone()), Lookup::Active),
        }
    }

    /// The Trial was made by hand and its Experiment does not exist.
    pub fn is_orphan(&self, name: &Name) -> bool {
        self.orphans.contains(name)
    }

    /// Everything wants attention: this process has begun to lead.
    pub fn touch_all(&mut self) {
        let experiments = self.homes.keys().cloned().map(Key::Experiment);
        let orphans = self.orphans.iter().cloned().map(Key::Orphan);
        let mut all: Vec<Key> = experiments.chain(orphans).collect();
        // A map has no order that could be replayed.
        all.sort();
        self.touched.extend(all);
    }

    /// Wakes this Experiment when the object of another one, whose name it needs, is gone.
    pub fn want(&mut self, kind: Kind, name: Name, uid: Uid) {
        self.wanted.insert((kind, name), uid);
    }

    /// An Experiment is so.
    pub fn see_experiment(&mut self, experiment: Experiment) {
        let (Some(uid), version) = (experiment.uid(), version(&experiment)) else { return };
        let name = name(&experiment);
        if self.gone.covers(&uid, version) {
            return;
        }
        if let Some(known) = self.experiments.get(&name) {
            if self::version(&**known) >= version {
                return;
            }
            if known.uid().as_deref() != Some(&uid) {
                // Its deletion was missed: there is one object of a name.
                self.remove_experiment(&name);
            }
        }
        let (experiment, uid) = (pruned(experiment), Uid::from(uid));
        self.experiments.insert(name.clone(), experiment.clone());
        self.homes.entry(uid.clone()).or_default().experiment = Some(experiment);
        self.touch(Key::Experiment(uid));
        let waiting: Vec<Name> = self.orphans.iter().filter(|orphan| orphan.0 == name.0).cloned().collect();
        for orphan in waiting {
            self.rehome(&orphan);
        }
    }

    /// The watch says that an Experiment was deleted.
    pub fn experiment_deleted(&mut self, last: &ObjectMeta) {
        self.gone.insert(last.uid.clone(), version_in(last));
        let name = name_in(last);
        if self.experiments.get(&name).is_some_and(|known| known.uid() == last.uid) {
            self.remove_experiment(&name);
        }
    }

    /// The API server says that the Experiment of this name and UID does not exist any more: whatever else is heard of
    /// this UID is old.
    pub fn experiment_gone(&mut self, name: &Name, uid: &str) {
        self.gone.insert(Some(uid.to_owned()), u64::MAX);
        if self.experiments.get(name).is_some_and(|known| known.uid().as_deref() == Some(uid)) {
            self.remove_experiment(name);
        }
    }

    fn remove_experiment(&mut self, name: &Name) {
        let Some(experiment) = self.experiments.remove(name) else { return };
        self.experiment_bytes.remove(name);
        let uid = Uid::from(experiment.uid().unwrap_or_default());
        let mut by_hand = BTreeSet::new();
        if let Some(home) = self.homes.get_mut(&uid) {
            home.experiment = None;
            by_hand = std::mem::take(&mut home.by_hand);
        }
        self.touch(Key::Experiment(uid));
        for trial in by_hand {
            self.rehome(&trial);
        }
    }

    /// A Trial is so.
    pub fn see_trial(&mut self, trial: Trial) {
        let (name, version) = (name(&trial), version(&trial));
        let stale = self.trials.get(&name).is_some_and(|known| known.version >= version);
        if stale || self.gone.covers(&trial.uid().unwrap_or_default(), version) {
            return;
        }
        let uid = Uid::from(trial.uid().unwrap_or_default());
        let (home, trial) = (self.home_of(&trial), pruned(trial));
        let known = self.forget_trial(&name);
        let (since, bytes) = known.as_ref().filter(|known| known.uid == uid).map(|one| (one.since, one.bytes)).unzip();
        let since = since.unwrap_or_else(|| self.next_moment());
        self.leave(&name, known.and_then(|known| known.home), home.as_ref());
        let active = (!has_ended(&trial)).then(|| trial.clone());
        self.settle(&name, home.as_ref(), &trial);
        self.trials.insert(name, KnownTrial { version, uid, since, home, bytes: bytes.unwrap_or(0), active });
    }

    /// The watch says that a Trial was deleted.
    pub fn trial_deleted(&mut self, last: &ObjectMeta) {
        let (name, version) = (name_in(last), version_in(last));
        self.gone.insert(last.uid.clone(), version);
        if self.trials.get(&name).is_some_and(|known| known.version <= version) {
            self.remove_trial(&name);
        }
    }

    /// The API server, asked at that moment, says that there is no Trial of this name.
    pub fn trial_gone(&mut self, name: &Name, asked: Moment) {
        if self.trials.get(name).is_none_or(|known| known.since <= asked.0) {
            self.remove_trial(name);
        }
    }

    fn remove_trial(&mut self, name: &Name) {
        if let Some(known) = self.forget_trial(name) {
            self.leave(name, known.home, None);
            self.wake_waiting(Kind::Trial, name);
        }
    }

    fn forget_trial(&mut self, name: &Name) -> Option<KnownTrial> {
        self.trials.remove(name)
    }

    /// A Job is so.
    pub fn see_job(&mut self, job: SeenJob) {
        let SeenJob { namespace, experiment, view } = job;
        let name = (namespace, view.name.clone());
        let version = number(&view.resource_version);
        let stale = self.jobs.get(&name).is_some_and(|known| known.version >= version);
        if stale || self.gone.covers(&view.uid, version) {
            return;
        }
        let since = self.jobs.get(&name).filter(|known| known.uid == view.uid).map(|known| known.since);
        let since = since.unwrap_or_else(|| self.next_moment());
        let known = KnownJob { version, uid: view.uid.clone(), since, home: experiment.clone() };
        let before = self.jobs.insert(name.clone(), known).map(|known| known.home);
        if let Some(other) = before.as_ref().filter(|home| **home != experiment) {
            self.drop_job(&name, other);
        }
        let home = self.homes.entry(experiment.clone()).or_default();
        home.objects += usize::from(before.as_ref() != Some(&experiment));
        home.inbox.push(Change::Job(Box::new(view)));
        self.touch(Key::Experiment(experiment));
    }

    /// The watch says that a Job was deleted (or that it lost our label).
    pub fn job_deleted(&mut self, job: &SeenJob) {
        let version = number(&job.view.resource_version);
        let name = (job.namespace.clone(), job.view.name.clone());
        self.gone.insert(Some(job.view.uid.clone()), version);
        if self.jobs.get(&name).is_some_and(|known| known.version <= version) {
            self.remove_job(&name);
        } else {
            self.wake_waiting(Kind::Job, &name);
        }
    }

    /// The API server, asked at that moment, says that there is no Job of this name.
    pub fn job_gone(&mut self, name: &Name, asked: Moment) {
        if self.jobs.get(name).is_none_or(|known| known.since <= asked.0) {
            self.remove_job(name);
        }
    }

    fn remove_job(&mut self, name: &Name) {
        if let Some(known) = self.jobs.remove(name) {
            self.drop_job(name, &known.home);
        }
        self.wake_waiting(Kind::Job, name);
    }

    /// The API server has deleted this Job for us: whatever else is heard of this UID is old.
    pub fn job_destroyed(&mut self, name: &Name, uid: &str) {
        self.gone.insert(Some(uid.to_owned()), u64::MAX);
        if self.jobs.get(name).is_some_and(|known| known.uid == uid) {
            self.remove_job(name);
        }
    }

    /// These are all objects of the kind that existed at this resourceVersion. What was known before and is not among
    /// them was deleted while nobody watched.
    pub fn listed(&mut self, kind: Kind, names: &HashSet<Name>, version: u64) {
        let missing = |name: &Name, known: u64| known <= version && !names.contains(name);
        match kind {
            Kind::Experiment => {
                let known = self.experiments.iter();
                let gone: BTreeSet<Name> =
                    known.filter(|(n, e)| missing(n, self::version(&***e))).map(|(n, _)| n.clone()).collect();
                gone.iter().for_each(|name| self.remove_experiment(name));
            }
            Kind::Trial => {
                let known = self.trials.iter();
                let gone: BTreeSet<Name> =
                    known.filter(|(n, t)| missing(n, t.version)).map(|(n, _)| n.clone()).collect();
                gone.iter().for_each(|name| self.remove_trial(name));
            }
            Kind::Job => {
                let known = self.jobs.iter();
                let gone: BTreeSet<Name> =
                    known.filter(|(n, j)| missing(n, j.version)).map(|(n, _)| n.clone()).collect();
                gone.iter().for_each(|name| self.remove_job(name));
            }
        }
        if self.synced.insert(kind) && self.synced() {
            self.touch_all();
        }
    }

    /// Where a Trial belongs: to the Experiment that controls it; one made by hand to the Experiment it names. One that
    /// has ended and is controlled by none was cut off by a person and belongs nowhere.
    fn home_of(&self, trial: &Trial) -> Option<Uid> {
        if let Some(uid) = owner(trial) {
            return Some(uid.into());
        }
        if has_ended(trial) {
            return None;
        }
        let name = (trial.namespace().unwrap_or_default(), trial.spec.experiment.clone());
        self.experiments.get(&name).and_then(|experiment| experiment.uid()).map(Uid::from)
    }

    /// Puts a Trial made by hand where it belongs now.
    fn rehome(&mut self, name: &Name) {
        let Some(known) = self.trials.get(name) else { return };
        let (Some(trial), before) = (known.active.clone(), known.home.clone()) else { return };
        let home = self.home_of(&trial);
        if home == before {
            return;
        }
        self.leave(name, before, home.as_ref());
        self.settle(name, home.as_ref(), &trial);
        if let Some(known) = self.trials.get_mut(name) {
            known.home = home;
        }
    }

    fn settle(&mut self, name: &Name, home: Option<&Uid>, trial: &Arc<Trial>) {
        if let Some(uid) = home {
            let home = self.homes.entry(uid.clone()).or_default();
            home.objects += 1;
            if owner(trial).is_none() {
                home.by_hand.insert(name.clone());
            }
            home.inbox.push(Change::Trial(trial.clone()));
            self.touch(Key::Experiment(uid.clone()));
        } else if !has_ended(trial) {
            self.orphans.insert(name.clone());
            self.touch(Key::Orphan(name.clone()));
        }
    }

    /// Takes a Trial out of its home; the desk is told unless it stays there.
    fn leave(&mut self, name: &Name, home: Option<Uid>, next: Option<&Uid>) {
        self.orphans.remove(name);
        let Some(uid) = home else { return };
        if let Some(home) = self.homes.get_mut(&uid) {
            home.objects = home.objects.saturating_sub(1);
            home.by_hand.remove(name);
            if next != Some(&uid) {
                home.inbox.push(Change::TrialGone(name.1.clone()));
                self.touch(Key::Experiment(uid));
            }
        }
    }

    fn drop_job(&mut self, name: &Name, uid: &Uid) {
        if let Some(home) = self.homes.get_mut(uid) {
            home.objects = home.objects.saturating_sub(1);
            home.inbox.push(Change::JobGone(name.1.clone()));
            self.touch(Key::Experiment(uid.clone()));
        }
    }

    fn wake_waiting(&mut self, kind: Kind, name: &Name) {
        let Some(uid) = self.wanted.remove(&(kind, name.clone())) else { return };
        if let Some(home) = self.homes.get_mut(&uid) {
            match kind {
                Kind::Job => home.inbox.push(Change::JobGone(name.1.clone())),
                Kind::Trial => home.inbox.push(Change::TrialGone(name.1.clone())),
                Kind::Experiment => {}
            }
            self.touch(Key::Experiment(uid));
        }
    }

    fn next_moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    fn touch(&mut self, key: Key) {
        self.touched.push(key);
    }
}

#[cfg(test)]
mod tests;
