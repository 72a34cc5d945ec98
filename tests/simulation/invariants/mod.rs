//! What must hold after each stored change, whatever goes wrong: S1 to S10, and L1 to L3, each a function whose name
//! begins so. A violation's message begins with the invariant's name. (L4 and L5 compare two runs: `compare.rs`.)
//!
//! A write is judged by what was so when it was sent, or since then. Where the views of the operators are made to lag,
//! `slack` says by how much, and what was so within that time counts, too.

mod facts;
mod lease;
mod making;
mod rest;
mod results;
mod status;

use automl_operator::api::{Experiment, Trial};
use automl_operator::engine::Finished;
use automl_operator::local::apiserver::{Fault, RequestInfo, Write};
use facts::{KnownExperiment, KnownLease, TrialLife, attempt, controller, ended, owner, parsed};
use kube::ResourceExt;
use rest::Requests;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

pub use facts::{ended as has_ended, result, satisfies};

/// The witness, as all who see something share it.
#[derive(Clone, Default)]
pub struct Eyes(Arc<Mutex<Witness>>);

impl Eyes {
    pub fn lock(&self) -> MutexGuard<'_, Witness> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Namespace and name.
type Name = (String, String);
type Uid = String;
/// What the tuner of an Experiment has learnt, asked of a living operator.
type Learnt = Box<dyn Fn(&str) -> Option<Vec<Finished>> + Send + Sync>;

/// Sees every stored change and remembers what is needed to judge the next one.
pub struct Witness {
    /// By how much the operators' views may lag.
    pub slack: Duration,
    /// Two operators know nothing of each other, and may undo each other's words.
    pub twins: bool,
    /// Operators elect a leader.
    pub elects: bool,
    /// There is always one that could lead.
    pub standby: bool,
    pub violations: Vec<String>,
    /// Reasons of all conditions that operators have written.
    pub reasons: BTreeSet<String>,
    start: Instant,
    experiments: BTreeMap<Uid, KnownExperiment>,
    trials: BTreeMap<Name, Arc<Trial>>,
    jobs: BTreeMap<Name, Arc<Value>>,
    /// All Trials there ever were, by UID.
    lives: BTreeMap<Uid, TrialLife>,
    /// (UID of the Experiment, index).
    indices: BTreeSet<(Uid, u32)>,
    /// Trials that were made of known results.
    known_results: BTreeSet<(Uid, String)>,
    /// (UID of the Trial, attempt).
    attempts: BTreeSet<(Uid, String)>,
    requests: Requests,
    lease: Option<KnownLease>,
    tuners: BTreeMap<String, Learnt>,
}

impl Default for Witness {
    fn default() -> Self {
        Witness {
            slack: Duration::ZERO,
            twins: false,
            elects: false,
            standby: false,
            violations: Vec::new(),
            reasons: BTreeSet::new(),
            start: Instant::now(),
            experiments: BTreeMap::new(),
            trials: BTreeMap::new(),
            jobs: BTreeMap::new(),
            lives: BTreeMap::new(),
            indices: BTreeSet::new(),
            known_results: BTreeSet::new(),
            attempts: BTreeSet::new(),
            requests: Requests::default(),
            lease: None,
            tuners: BTreeMap::new(),
        }
    }
}

impl Witness {
    /// How to ask this operator what its tuners have learnt.
    pub fn learnt_by(&mut self, operator: &str, learnt: Learnt) {
        self.tuners.insert(operator.to_owned(), learnt);
    }

    /// An operator sends a request, which will fare so. False: it must be stopped.
    pub fn asked(&mut self, request: &RequestInfo, fault: &Fault) -> bool {
        self.requests.sent(request);
        let bounded = self.s10_requests_are_bounded(request);
        self.s10_retry_after_is_obeyed(request, fault);
        if request.is_write() && request.resource != "leases" {
            self.l3_only_the_holder_writes(request);
        }
        bounded
    }

    /// Judges one stored change.
    pub fn see(&mut self, write: &Write) {
        if write.user_agent.starts_with("operator")
            && let Some(conditions) = write.after.as_deref().and_then(|after| after["status"]["conditions"].as_array())
        {
            let reasons = conditions.iter().filter_map(|condition| condition["reason"].as_str());
            self.reasons.extend(reasons.map(str::to_owned));
        }
        match write.resource.as_str() {
            "experiments" => self.see_experiment(write),
            "trials" => self.see_trial(write),
            "jobs" => self.see_job(write),
            "leases" => self.see_lease(write),
            _ => {}
        }
    }

    fn violated(&mut self, invariant: &str, what: impl std::fmt::Display) {
        let at = self.start.elapsed().as_secs_f64();
        self.violations.push(format!("{invariant}: {what} (after {at:.1} s)"));
    }

    /// What was so at this instant or later may have led to the write.
    fn since(&self, write: &Write) -> Instant {
        let sent = self.requests.when(write).unwrap_or_else(Instant::now);
        sent.checked_sub(self.slack).unwrap_or(self.start).max(self.start)
    }

    fn see_experiment(&mut self, write: &Write) {
        let Some(after) = write.after.as_deref().map(parsed::<Experiment>) else {
            let uid = write.before.as_ref().unwrap()["metadata"]["uid"].as_str().unwrap_or_default();
            if let Some(known) = self.experiments.get_mut(uid) {
                known.leaving = known.leaving.or(Some(Instant::now()));
                known.gone = true;
            }
            return;
        };
        let uid = after.uid().unwrap();
        if let Some(known) = self.experiments.get(&uid) {
            let before = known.last.clone();
            self.s5_an_experiment_goes_forward(&before, &after);
            if before.status != after.status {
                let since = self.since(write);
                self.s9_a_status_follows_from_what_is_stored(&before, &after, since);
            }
        }
        let known = self.experiments.entry(uid.clone()).or_insert_with(|| KnownExperiment::new(&after));
        known.see(after);
        self.count(&uid);
    }

    fn see_trial(&mut self, write: &Write) {
        let name = (write.namespace.clone(), write.name.clone());
        let by_operator = write.user_agent.starts_with("operator");
        let since = self.since(write);
        let before = self.trials.get(&name).cloned();
        let after = write.after.as_deref().map(|after| Arc::new(parsed::<Trial>(after)));
        let home = after.as_ref().or(before.as_ref()).and_then(|trial| self.home_of(trial));
        match (&before, &after) {
            (None, Some(trial)) => {
                if by_operator {
                    if trial.spec.result.is_empty() {
                        self.s1_one_trial_for_an_index(trial);
                        self.s2_no_more_trials_than_slots(trial, since);
                        self.s3_no_more_trials_than_asked_for(trial, since);
                    } else {
                        self.s1_one_trial_for_a_known_result(trial);
                    }
                    self.s6_no_trial_for_an_experiment_that_is_gone(trial, since);
                    self.s8_the_tuner_has_learnt_what_has_ended(&write.user_agent, trial, since);
                }
                self.lives.insert(trial.uid().unwrap(), TrialLife::new(trial));
            }
            (Some(before), Some(after)) => {
                self.s4_what_is_stored_stays(before, after);
                self.s4_values_are_those_that_were_said(before, after);
                if by_operator {
                    self.s4_a_result_holds_what_was_received(&write.user_agent, (before, after), since);
                    self.s6_nothing_of_others_is_adopted(before, after, since);
                    self.s6_no_trial_starts_with_anothers_job(before, after);
                }
                self.s5_a_trial_goes_forward(before, after);
                if let Some(life) = self.lives.get_mut(&after.uid().unwrap()) {
                    life.see(after);
                }
            }
            (Some(before), None) => {
                if by_operator {
                    self.violated("S6", format!("the operator deleted Trial {}", write.name));
                }
                if let Some(life) = self.lives.get_mut(&before.uid().unwrap()) {
                    life.gone = Some(Instant::now());
                }
            }
            (None, None) => {}
        }
        match after {
            Some(after) => drop(self.trials.insert(name, after)),
            None => drop(self.trials.remove(&name)),
        }
        if let Some(home) = home {
            self.count(&home);
        }
    }

    fn see_job(&mut self, write: &Write) {
        let name = (write.namespace.clone(), write.name.clone());
        let by_operator = write.user_agent.starts_with("operator");
        let since = self.since(write);
        match (&write.before, &write.after) {
            (None, Some(job)) if by_operator => {
                self.s1_one_job_for_an_attempt(job);
                self.s1_one_running_job_for_a_trial(job, since);
                self.s2_no_more_jobs_than_slots(job, since);
                self.s4_a_trial_with_a_result_never_runs_again(job, since);
                self.s6_no_job_for_what_is_gone(job, since);
            }
            (Some(job), None) if by_operator => {
                self.s6_nothing_of_others_is_deleted(job);
                self.s7_a_job_goes_after_its_result_is_stored(job);
            }
            (Some(job), None) => {
                // Whoever deletes a Job that has not been seen running wants another one.
                self.attempts.remove(&(owner(job).to_owned(), attempt(job).to_owned()));
            }
            _ => {}
        }
        if let Some(life) = write.after.as_deref().and_then(|job| self.lives.get_mut(owner(job))) {
            life.had_job = true;
        }
        match &write.after {
            Some(job) => drop(self.jobs.insert(name, job.clone())),
            None => drop(self.jobs.remove(&name)),
        }
    }

    /// UID of the Experiment that a Trial belongs to.
    fn home_of(&self, trial: &Trial) -> Option<Uid> {
        if let Some(owner) = controller(&trial.metadata) {
            return Some(owner.to_owned());
        }
        if ended(trial) {
            return None;
        }
        let same = |known: &&KnownExperiment| {
            !known.gone && known.last.name_any() == trial.spec.experiment && known.last.namespace() == trial.namespace()
        };
        self.experiments.values().find(same).and_then(|known| known.last.uid())
    }

    /// The Trial of this UID, while it exists.
    fn trial(&self, uid: &str) -> Option<&Arc<Trial>> {
        self.trials.values().find(|trial| trial.metadata.uid.as_deref() == Some(uid))
    }

    /// The Trials of this Experiment.
    fn trials_of<'a>(&'a self, experiment: &'a str) -> impl Iterator<Item = &'a Arc<Trial>> + 'a {
        self.trials.values().filter(move |trial| self.home_of(trial).as_deref() == Some(experiment))
    }
}
