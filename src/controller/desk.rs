//! Where one Experiment is worked on: its ledger, what was learnt by looking, its spec made ready.

use super::act::Learnt;
use super::index::Change;
use crate::api::conditions::has_ended;
use crate::api::{Experiment, Usage};
use crate::engine::{
    Action, Blocked, Compiled, Facts, Finished, JobView, Ledger, Plan, Pods, Probe, Problem, Refusal, Settings,
    Snapshot,
};
use crate::engine::{caught, compile, plan};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// How often something is looked at again that no watch tells of.
const RECHECK: SignedDuration = SignedDuration::from_secs(15);
/// After this time an action that kept failing is not wanted any more.
const FORGET: SignedDuration = SignedDuration::from_mins(20);

/// See the module.
#[derive(Default)]
pub struct Desk {
    ledger: Ledger,
    facts: Facts,
    /// Belongs to this generation.
    compiled: Option<(Option<i64>, Result<Compiled, Problem>)>,
    /// Jobs that our watch does not show, since they lack our labels: when to read them again.
    unwatched: BTreeMap<String, Timestamp>,
    /// What is stored of its trials' usage has been taken in.
    recalled: bool,
    /// When a refusal that may pass is to be forgotten, so that the API server is asked again.
    probe_again: Option<Timestamp>,
}

impl Desk {
    /// Learns what has happened.
    pub fn take(&mut self, changes: Vec<Change>, now: Timestamp) {
        for change in changes {
            match change {
                Change::Trial(trial) => {
                    let name = kube::ResourceExt::name_any(&*trial);
                    self.ledger.upsert_trial(trial);
                    if self.ledger.trial(&name).is_none() {
                        self.facts.forget_trial(&name);
                    }
                }
                Change::TrialGone(name) => {
                    self.ledger.remove_trial(&name);
                    self.facts.forget_trial(&name);
                }
                Change::Job(job) => {
                    self.unwatched.remove(&job.name);
                    self.see_job(*job, now);
                }
                Change::JobGone(name) => self.job_gone(&name),
            }
        }
    }

    /// Learns from an action what no watch tells.
    pub fn learn(&mut self, learnt: Learnt, now: Timestamp) {
        match learnt {
            Learnt::Job(job) => {
                self.unwatched.insert(kube::ResourceExt::name_any(&*job), now + RECHECK);
                self.see_job(job.view(), now);
            }
            Learnt::JobMissing(name) => {
                self.job_gone(&name);
                self.facts.jobs_gone.insert(name);
            }
            Learnt::JobDestroyed { name, .. } => self.job_gone(&name),
            Learnt::JobRefused { name, message, permanent } => {
                self.facts.refused.insert(name, Refusal { at: now, message, permanent });
            }
            Learnt::Probed { generation, refusal, may_pass } => {
                self.probe_again = may_pass.then_some(now + RECHECK);
                self.facts.probe = Some(Probe { generation, refusal, may_pass });
            }
            Learnt::Blocked { what, reason, message } => {
                let since = self.facts.blocked.get(&what).map_or(now, |blocked| blocked.since);
                self.facts.blocked.insert(what, Blocked { since, at: now, reason, message });
            }
            Learnt::Pods { job, why, fate, running, failed, last_words: _ } => {
                self.facts.pods.insert(job, Pods { why, fate, running, failed, at: now });
            }
            Learnt::Results { experiment, finding } => {
                self.facts.findings.insert(experiment, (now, finding));
            }
            Learnt::Curves(past) => self.ledger.recall_curves(past),
            Learnt::Claim => self.facts.claim = Some(now),
            Learnt::Experiment(_) => self.facts.status_written = Some(now),
            Learnt::Trial(_) | Learnt::TrialGone(_) | Learnt::ExperimentGone => {}
        }
    }

    /// An action of this description is known to fail.
    pub fn is_blocked(&self, what: &str) -> bool {
        self.facts.blocked.contains_key(what)
    }

    /// An action has succeeded.
    pub fn succeeded(&mut self, action: &Action) {
        if !self.facts.blocked.is_empty() {
            self.facts.blocked.remove(&action.what());
        }
    }

    /// Decides what to do.
    ///
    /// # Errors
    /// What the engine said when it panicked, which is a bug.
    pub fn plan(&mut self, experiment: &Experiment, settings: &Settings, now: Timestamp) -> Result<Plan, String> {
        // One that is still wanted is tried, and renewed, much more often.
        self.facts.blocked.retain(|_, blocked| now.duration_since(blocked.at) < FORGET);
        if self.probe_again.is_some_and(|at| at <= now) {
            self.probe_again = None;
            self.facts.probe = None;
        }
        // They are read before the first trial, and may be many.
        if self.ledger.has_begun() && !self.facts.findings.is_empty() {
            self.facts.findings = BTreeMap::new();
        }
        let mut plan = caught(|| {
            let generation = experiment.metadata.generation;
            let compiled = match self.compiled.take() {
                Some((known, compiled)) if known == generation => compiled,
                _ => {
                    let compiled = compile(experiment);
                    self.ledger.prepare(&experiment.spec, compiled.as_ref().ok());
                    compiled
                }
            };
            if !std::mem::replace(&mut self.recalled, true) {
                self.ledger.recall(experiment.status.as_ref().map_or_else(Usage::default, |status| status.usage));
            }
            match &compiled {
                _ if has_ended(experiment.conditions()) => self.ledger.adjourn(),
                Ok(compiled) => self.ledger.judge(&experiment.spec, compiled),
                Err(_) => {}
            }
            let (ledger, facts) = (&self.ledger, &self.facts);
            let plan = plan(&Snapshot { experiment, compiled: &compiled, ledger, facts, settings }, now);
            self.compiled = Some((generation, compiled));
            plan
        })?;
        plan.wake_at = plan.wake_at.into_iter().chain(self.probe_again).chain(self.unwatched.values().copied()).min();
        Ok(plan)
    }

    /// A Job, as far as it is known.
    pub fn job(&self, name: &str) -> Option<&JobView> {
        self.ledger.job(name)
    }

    /// What the tuner has learnt.
    pub fn learnt(&self) -> Vec<Finished> {
        self.ledger.learnt()
    }

    /// Jobs to be read again, since no watch shows them.
    pub fn due(&mut self, now: Timestamp) -> Vec<String> {
        self.unwatched.iter().filter(|(_, at)| **at <= now).map(|(name, _)| name.clone()).collect()
    }

    fn see_job(&mut self, job: JobView, now: Timestamp) {
        self.facts.jobs_gone.remove(&job.name);
        self.facts.refused.remove(&job.name);
        if job.ready > 0 || !job.conditions.is_empty() {
            // What they said before they ran is nothing about how they ended.
            self.facts.pods.remove(&job.name);
            self.facts.unready.remove(&job.name);
        } else {
            self.facts.unready.entry(job.name.clone()).or_insert(now);
        }
        self.ledger.upsert_job(job);
    }

    fn job_gone(&mut self, name: &str) {
        self.unwatched.remove(name);
        self.facts.pods.remove(name);
        self.facts.unready.remove(name);
        self.ledger.remove_job(name);
    }
}
