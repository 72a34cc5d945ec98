//! The trials and Jobs of one Experiment, kept up to date event by event, so that no plan has to walk through the
//! trials that have ended.

use super::compile::Compiled;
use super::derivatives;
use super::ended::{Ended, EndedCounts, Learnt, finished};
use super::ending::{Ending, ending};
use super::job::{JobView, attempt_of};
use super::jury::{Jury, Past};
use super::membership::{index_of, name_of};
use super::result::{excused, loss};
use super::stage::stage_of;
use crate::api::{ExperimentSpec, Retain, Trial, Usage};
use crate::tuner::{Finished, History};
use kube::ResourceExt;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

/// The trials and Jobs of one Experiment (of one UID).
///
/// Trials that have not ended are kept whole, those that have as a small [`Ended`].
#[derive(Default)]
pub struct Ledger {
    active: BTreeMap<String, Arc<Trial>>,
    ended: HashMap<String, Ended>,
    jobs: BTreeMap<String, JobView>,
    /// Jobs that are not needed any more.
    cleanup: BTreeSet<String>,
    counts: EndedCounts,
    next_index: u32,
    /// Name of the Experiment, once one of its trials is known.
    experiment: Option<String>,
    best: Option<String>,
    learnt: Option<Learnt>,
    /// What the tuner learns from; needs a spec that can be run.
    history: Option<History>,
    /// Position in the history -> name, of the ended trials that the operator did not make.
    by_hand: HashMap<u64, String>,
    jury: Jury,
    /// What trials used that are gone.
    gone: Usage,
}

impl Ledger {
    /// Takes what depends on the spec: call it for each new generation, before a plan. `compiled`: the spec made ready,
    /// when it can be run.
    pub fn prepare(&mut self, spec: &ExperimentSpec, compiled: Option<&Compiled>) {
        if let Some(objective) = spec.objectives.first() {
            let known = self.learnt.is_some();
            let directions = spec.objectives.iter().map(|objective| objective.direction).collect();
            let most = spec.fidelity.as_ref().map(|fidelity| fidelity.max);
            let (metric, retain) = (objective.metric.clone(), spec.trial_template.retain);
            self.learnt = Some(Learnt { metric, directions, retain, most });
            if compiled.is_some_and(|compiled| compiled.rules.is_empty()) {
                self.jury.dismiss();
            }
            self.jury.reopen(self.active.values());
            if !known {
                self.find_best();
            }
        }
        if let (Some(compiled), Some(learnt)) = (compiled, &self.learnt) {
            let history = self.history.get_or_insert_with(|| {
                let mut history = History::new(&compiled.space).with_objectives(learnt.directions.len());
                let ended = self.ended.values().filter(|ended| !ended.excused);
                let mut all: Vec<Finished> = ended.map(|ended| finished(ended, learnt)).collect();
                all.sort_by_key(|finished| finished.index);
                all.into_iter().for_each(|finished| history.insert(finished));
                history
            });
            // Another algorithm, or other settings, read something else off it.
            history.keep(compiled.tuner.digest());
        }
        let jobs: Vec<String> = self.jobs.keys().cloned().collect();
        for job in jobs {
            self.sort_out(&job);
        }
    }

    /// Takes what is stored of all trials' usage, once: those that are gone have used it all the same.
    pub fn recall(&mut self, stored: Usage) {
        self.gone = self.gone.max(stored.minus(self.counts.usage));
    }

    /// What all trials that have ended, or are gone, have used.
    pub(super) fn usage(&self) -> Usage {
        self.counts.usage.plus(self.gone)
    }

    /// The experiment has ended: nothing is kept for its rules.
    pub fn adjourn(&mut self) {
        self.jury.dismiss();
    }

    /// Judges the trials that have reported; call it before a plan.
    pub fn judge(&mut self, spec: &ExperimentSpec, compiled: &Compiled) {
        if let Some(objective) = spec.objectives.first().filter(|_| !compiled.rules.is_empty()) {
            self.jury.meet(objective, self.active.values(), !self.ended.is_empty());
            self.jury.judge(&compiled.rules);
        }
    }

    /// There are rules that were not there before, and they lack the curves of trials that have ended: nobody is judged until
    /// they have been read.
    pub(super) fn lacks_curves(&self) -> bool {
        self.jury.is_lacking()
    }

    /// Takes the curves of trials that have ended.
    pub fn recall_curves(&mut self, past: Vec<Past>) {
        let is_known = |past: &Past| self.ended.get(&past.name).is_some_and(|ended| ended.uid == past.uid);
        self.jury.recall(past.into_iter().filter(is_known));
    }

    /// Takes a Trial as it is now; an older version than the known one is ignored.
    pub fn upsert_trial(&mut self, trial: Arc<Trial>) {
        let name = trial.name_any();
        let version = version(&trial);
        let known = match (self.active.get(&name), self.ended.get(&name)) {
            (Some(known), _) => self::version(known),
            (None, Some(known)) => known.version,
            (None, None) => None,
        };
        if matches!((known, version), (Some(known), Some(version)) if version < known) {
            return;
        }
        if let Some(known) = self.order_of(&name).filter(|known| *known != order(&trial)) {
            // Another of the same name.
            self.jury.forget(&name, known);
        }
        self.forget(&name);
        self.experiment.get_or_insert_with(|| trial.spec.experiment.clone());
        if let Some(index) = index_of(&trial) {
            self.next_index = self.next_index.max(index.saturating_add(1));
        }
        let attempt = trial.status.as_ref().map_or(0, |status| status.attempt);
        let ending = ending(&trial);
        self.jury.see(&trial, ending);
        match ending {
            None => {
                self.active.insert(name.clone(), trial);
            }
            Some(ending) => self.end(
                &name,
                Ended {
                    order: order(&trial),
                    ending,
                    excused: excused(&trial),
                    objective: trial.status.as_ref().and_then(|status| status.objective),
                    objectives: trial.status.as_ref().map_or_else(Vec::new, |status| status.objectives.clone()),
                    excesses: trial.status.as_ref().map_or_else(Vec::new, |status| status.excesses.clone()),
                    derivatives: derivatives::reported(&trial),
                    assignment: trial.spec.assignments.clone(),
                    usage: trial.status.as_ref().map_or_else(Usage::default, |status| status.usage),
                    // What is not said depends on the spec.
                    stage: stage_of(&trial, Some(f64::NAN)),
                    known: !trial.spec.result.is_empty(),
                    uid: trial.uid().unwrap_or_default(),
                    attempt,
                    version,
                },
            ),
        }
        for job in self.jobs_of(&name) {
            self.sort_out(&job);
        }
    }

    /// Names of the Jobs that are called as an attempt of this trial is.
    fn jobs_of(&self, trial: &str) -> Vec<String> {
        let from = self.jobs.range::<str, _>((Bound::Included(trial), Bound::Unbounded));
        let called_so = from.map(|(name, _)| name).take_while(|name| name.starts_with(trial));
        called_so.filter(|name| attempt_of(trial, name).is_some()).cloned().collect()
    }

    /// The Trial is gone.
    pub fn remove_trial(&mut self, name: &str) {
        if let Some(order) = self.order_of(name) {
            self.jury.forget(name, order);
        }
        let used = self.ended.get(name).map(|ended| ended.usage);
        let used = used.or_else(|| Some(self.active.get(name)?.status.as_ref()?.usage));
        self.gone = self.gone.plus(used.unwrap_or_default());
        self.forget(name);
    }

    fn order_of(&self, name: &str) -> Option<u64> {
        let active = self.active.get(name).map(|trial| order(trial));
        active.or_else(|| self.ended.get(name).map(|ended| ended.order))
    }

    /// Takes a Job as it is now; an older version than the known one is ignored.
    pub fn upsert_job(&mut self, job: JobView) {
        let older = |known: &JobView| {
            let versions = (known.resource_version.parse::<u64>(), job.resource_version.parse::<u64>());
            known.uid == job.uid && matches!(versions, (Ok(known), Ok(new)) if new < known)
        };
        if self.jobs.get(&job.name).is_some_and(older) {
            return;
        }
        let name = job.name.clone();
        self.jobs.insert(name.clone(), job);
        self.sort_out(&name);
    }

    /// The Job is gone.
    pub fn remove_job(&mut self, name: &str) {
        self.jobs.remove(name);
        self.cleanup.remove(name);
    }

    /// Trials that have not ended, by name.
    pub fn active(&self) -> impl ExactSizeIterator<Item = &Arc<Trial>> {
        self.active.values()
    }

    /// A trial that has not ended.
    pub fn trial(&self, name: &str) -> Option<&Arc<Trial>> {
        self.active.get(name)
    }

    /// A trial that has.
    pub fn ended(&self, name: &str) -> Option<&Ended> {
        self.ended.get(name)
    }

    /// Name of the ended trial at this position of the history.
    pub(super) fn name_at(&self, order: u64) -> Option<String> {
        let name = match u32::try_from(order) {
            Ok(index) => name_of(self.experiment.as_deref()?, index),
            Err(_) => self.by_hand.get(&order)?.clone(),
        };
        self.ended.contains_key(&name).then_some(name)
    }

    /// A Job.
    pub fn job(&self, name: &str) -> Option<&JobView> {
        self.jobs.get(name)
    }

    /// Nothing is known: neither a Trial nor a Job.
    pub fn is_empty(&self) -> bool {
        self.active.is_empty() && self.ended.is_empty() && self.jobs.is_empty()
    }

    /// Ended trials by how they ended.
    pub fn counts(&self) -> EndedCounts {
        self.counts
    }

    /// Jobs that are not needed any more.
    pub(super) fn cleanup(&self) -> impl Iterator<Item = &JobView> {
        self.cleanup.iter().filter_map(|name| self.jobs.get(name))
    }

    /// A trial of the operator's own has been made.
    pub fn has_begun(&self) -> bool {
        self.next_index > 0
    }

    /// One more than the highest index seen.
    pub(super) fn next_index(&self) -> u32 {
        self.next_index
    }

    /// The incumbent and its name.
    pub(super) fn best(&self) -> Option<(&str, &Ended)> {
        let name = self.best.as_deref()?;
        self.ended.get(name).map(|ended| (name, ended))
    }

    /// Of several objectives: trials that satisfy the outcome constraints and that no other one beats in all objectives.
    pub(super) fn front(&self) -> impl Iterator<Item = (String, &Ended)> {
        let members = self.history.iter().flat_map(|history| history.front());
        members.filter_map(|member| {
            let name = self.name_at(member.index)?;
            let ended = self.ended.get(&name)?;
            Some((name, ended))
        })
    }

    /// What the experiment's rules have decided of its trials.
    pub(super) fn jury(&self) -> &Jury {
        &self.jury
    }

    /// What the tuner learns from; `None` before [`Ledger::prepare`] with a spec that can be run.
    pub(super) fn history(&self) -> Option<&History> {
        self.history.as_ref()
    }

    /// What the tuner has learnt, in the order of the history; nothing before [`Ledger::prepare`].
    pub fn learnt(&self) -> Vec<Finished> {
        self.history().map(|history| history.iter().cloned().collect()).unwrap_or_default()
    }

    fn end(&mut self, name: &str, ended: Ended) {
        *self.count(&ended) += 1;
        self.counts.excused += u32::from(ended.excused);
        self.counts.usage = self.counts.usage.plus(ended.usage);
        if let (Some(learnt), Some(history)) = (&self.learnt, &mut self.history)
            && !ended.excused
        {
            history.insert(finished(&ended, learnt));
        }
        if ended.order >= NOT_NUMBERED {
            self.by_hand.insert(ended.order, name.to_owned());
        }
        self.ended.insert(name.to_owned(), ended);
        if self.better(name) {
            self.best = Some(name.to_owned());
        }
    }

    fn forget(&mut self, name: &str) {
        self.active.remove(name);
        if let Some(ended) = self.ended.remove(name) {
            *self.count(&ended) -= 1;
            self.by_hand.remove(&ended.order);
            self.counts.excused -= u32::from(ended.excused);
            self.counts.usage = self.counts.usage.minus(ended.usage);
            if let Some(history) = &mut self.history
                && !ended.excused
            {
                history.remove(ended.order);
            }
            if self.best.as_deref() == Some(name) {
                self.find_best();
            }
        }
    }

    fn count(&mut self, ended: &Ended) -> &mut u32 {
        match ended.ending {
            _ if ended.known => &mut self.counts.known,
            Ending::Succeeded => &mut self.counts.succeeded,
            Ending::Failed => &mut self.counts.failed,
            Ending::EarlyStopped => &mut self.counts.early_stopped,
        }
    }

    fn find_best(&mut self) {
        self.best = None;
        let names: Vec<String> = self.ended.keys().cloned().collect();
        for name in names {
            if self.better(&name) {
                self.best = Some(name);
            }
        }
    }

    /// Whether this ended trial beats the incumbent, which is one of the highest fidelity; of equals the first in order is
    /// kept.
    fn better(&self, name: &str) -> bool {
        let Some(learnt) = &self.learnt else { return false };
        let Some(direction) = learnt.directions.first().copied() else { return false };
        let rank = |name: &str| {
            let ended = self.ended.get(name).filter(|ended| ended.ending != Ending::Failed)?;
            let holds = ended.excesses.iter().all(|excess| *excess <= 0.0);
            let value = ended.objective.filter(|value| holds && value.is_finite())?;
            Some((-ended.fidelity(learnt.most).unwrap_or(0.0), loss(value, direction), ended.order))
        };
        match (rank(name), self.best.as_deref().and_then(rank)) {
            (Some(new), Some(best)) => new < best,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// Decides whether this Job is still needed.
    fn sort_out(&mut self, job: &str) {
        let unneeded = self.jobs.get(job).is_some_and(|view| !view.deleting && self.unneeded(view));
        if unneeded {
            self.cleanup.insert(job.to_owned());
        } else {
            self.cleanup.remove(job);
        }
    }

    /// Only a Job that its trial owns and that is called as one of its attempts is ours to delete: labels are copied
    /// easily.
    fn unneeded(&self, job: &JobView) -> bool {
        let Some(attempt) = attempt_of(&job.trial, &job.name) else { return false };
        if let Some(trial) = self.active.get(&job.trial) {
            let present = trial.status.as_ref().map_or(0, |status| status.attempt);
            return trial.uid().as_deref() == Some(&job.owner_uid) && attempt < present;
        }
        let Some(ended) = self.ended.get(&job.trial).filter(|ended| ended.uid == job.owner_uid) else { return false };
        if attempt < ended.attempt {
            return true;
        }
        match self.learnt.as_ref().map(|learnt| learnt.retain) {
            None => false,
            // A Job that still runs although its trial has ended is stopped in any case.
            Some(_) if job.end().is_none() => true,
            Some(Retain::Always) => false,
            Some(Retain::Failed) => ended.ending != Ending::Failed,
            Some(Retain::Never) => true,
        }
    }
}

/// Position in the history: the index, or for another Trial a number of its UID or name above all indices.
pub(super) fn order(trial: &Trial) -> u64 {
    match index_of(trial) {
        Some(index) => u64::from(index),
        None => {
            // What was known has the same place in each run, so that the tuner draws the same.
            let known = !trial.spec.result.is_empty();
            let identity = if known { trial.name_any() } else { trial.uid().unwrap_or_default() };
            order_by(&identity)
        }
    }
}

/// Positions from here on are those of trials without an index.
const NOT_NUMBERED: u64 = 1 << 63;

/// The position of what is told apart by this: FNV-1a, 64 bit.
pub(super) fn order_by(identity: &str) -> u64 {
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    identity.bytes().fold(0xcbf2_9ce4_8422_2325, hash) | NOT_NUMBERED
}

/// Resource versions of one server can be compared as numbers (KEP-5504).
fn version(trial: &Trial) -> Option<u64> {
    trial.resource_version()?.parse().ok()
}
