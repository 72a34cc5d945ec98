//! What the witness remembers.

use super::{Uid, Witness};
use automl_operator::api::conditions::find;
use automl_operator::api::conditions::{is_true, reasons, types};
use automl_operator::api::{Experiment, Trial, labels};
use automl_operator::metrics::{Direction, Statistic};
use automl_operator::report::Record;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// Values and since when each was in force.
pub struct Series<T>(Vec<(Instant, T)>);

impl<T: PartialEq> Series<T> {
    fn new() -> Self {
        Series(Vec::new())
    }

    pub fn set(&mut self, value: T) {
        if self.0.last().is_none_or(|(_, last)| *last != value) {
            self.0.push((Instant::now(), value));
        }
    }

    /// The values that were in force at this instant or later.
    pub fn since(&self, instant: Instant) -> impl Iterator<Item = &T> {
        let ended = |at: usize| self.0.get(at + 1).map(|(end, _)| *end);
        self.0
            .iter()
            .enumerate()
            .filter(move |(at, _)| ended(*at).is_none_or(|end| end >= instant))
            .map(|(_, (_, v))| v)
    }
}

/// What a status should say of its trials.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Truth {
    /// One more than the highest index there ever was.
    pub created: u32,
    pub pending: u32,
    pub running: u32,
    pub succeeded: u32,
    pub failed: u32,
    pub early_stopped: u32,
    pub known: u32,
    /// Trials that have not ended and take a slot.
    pub slots: u32,
    /// Its name, its value, and its fidelity, 0 where there is none.
    pub best: Option<(String, f64, f64)>,
}

pub struct KnownExperiment {
    pub last: Experiment,
    pub parallel: Series<u32>,
    pub max_trials: Series<u32>,
    pub truth: Series<Truth>,
    pub created: u32,
    /// Deleted, or about to be, since.
    pub leaving: Option<Instant>,
    pub gone: bool,
}

impl KnownExperiment {
    pub fn new(experiment: &Experiment) -> Self {
        KnownExperiment {
            last: experiment.clone(),
            parallel: Series::new(),
            max_trials: Series::new(),
            truth: Series::new(),
            created: 0,
            leaving: None,
            gone: false,
        }
    }

    pub fn see(&mut self, experiment: Experiment) {
        self.parallel.set(experiment.spec.limits.parallel_trials);
        self.max_trials.set(experiment.spec.limits.max_trials);
        if experiment.metadata.deletion_timestamp.is_some() {
            self.leaving = self.leaving.or(Some(Instant::now()));
        }
        self.last = experiment;
    }
}

/// A Trial from its first to its last moment.
#[derive(Default)]
pub struct TrialLife {
    pub experiment: Uid,
    pub ended: Option<Instant>,
    pub gone: Option<Instant>,
    /// There was a Job of its own.
    pub had_job: bool,
    /// All that was ever said, by session.
    pub said: BTreeMap<String, (u32, Vec<Record>)>,
    /// Sessions of which nothing more will be stored.
    pub settled: BTreeSet<String>,
    /// What of it was ever said to be stored in the status, by session.
    pub stored: BTreeMap<String, u64>,
    /// The last number of the latest batch that was sent, by session.
    pub sent: BTreeMap<String, u64>,
    /// The last number of the latest batch that was answered, by operator and session.
    pub heard: BTreeMap<(String, String), u64>,
    /// What an operator has received, by its name: when, session and number.
    pub received: BTreeMap<String, Vec<(Instant, String, u64)>>,
}

impl TrialLife {
    pub fn new(trial: &Trial) -> Self {
        let mut life = TrialLife::default();
        life.see(trial);
        life
    }

    pub fn see(&mut self, trial: &Trial) {
        self.experiment = controller(&trial.metadata).unwrap_or_default().to_owned();
        if self.ended.is_none() && ended(trial) {
            self.ended = Some(Instant::now());
        }
    }
}

pub struct KnownLease {
    pub holder: String,
    /// When it was last written.
    pub written: Instant,
}

impl Witness {
    /// Counts the Trials of an Experiment anew.
    pub fn count(&mut self, uid: &str) {
        let Some(known) = self.experiments.get(uid) else { return };
        let direction = known.last.spec.objectives.first().map_or(Direction::Maximize, |objective| objective.direction);
        let made = self.indices.range((uid.to_owned(), 0)..=(uid.to_owned(), u32::MAX)).next_back();
        let mut truth = Truth { created: made.map_or(0, |(_, index)| index + 1), ..Truth::default() };
        let mut best: Option<((f64, f64, u32), (String, f64, f64))> = None;
        for trial in self.trials_of(uid) {
            let status = trial.status.clone().unwrap_or_default();
            if !ended(trial) {
                let started = status.start_time.is_some();
                *(if started { &mut truth.running } else { &mut truth.pending }) += 1;
                truth.slots += u32::from(started || trial.spec.index.is_some());
                continue;
            }
            let succeeded = find(&status.conditions, types::COMPLETE).is_some_and(|c| c.reason == reasons::SUCCEEDED);
            match (is_true(&status.conditions, types::FAILED), succeeded) {
                _ if !trial.spec.result.is_empty() => truth.known += 1,
                (true, _) => truth.failed += 1,
                (false, true) => truth.succeeded += 1,
                (false, false) => truth.early_stopped += 1,
            }
            let value = status.objective.filter(|value| value.is_finite() && satisfies(&known.last, trial));
            if let Some(value) = value.filter(|_| !is_true(&status.conditions, types::FAILED)) {
                let loss = if direction == Direction::Maximize { -value } else { value };
                let fidelity = trial.spec.fidelity.unwrap_or(0.0);
                let rank = (-fidelity, loss, trial.spec.index.unwrap_or(u32::MAX));
                if best.as_ref().is_none_or(|best| rank < best.0) {
                    best = Some((rank, (trial.name_any(), value, fidelity)));
                }
            }
        }
        truth.best = best.map(|(_, best)| best);
        if let Some(known) = self.experiments.get_mut(uid) {
            known.truth.set(truth);
        }
    }
}

/// Which of a trial's values counts: of an objective by its statistic, else the last; or the one that was known beforehand.
pub fn result(experiment: &Experiment, trial: &Trial, metric: &str) -> Option<f64> {
    let objective = experiment.spec.objectives.iter().find(|objective| objective.metric == metric);
    let (statistic, direction) = objective
        .map_or((Statistic::Latest, Direction::Minimize), |objective| (objective.statistic, objective.direction));
    let summary = || trial.status.as_ref()?.metrics.iter().find(|summary| summary.name == metric);
    trial.spec.result.get(metric).copied().or_else(|| summary()?.statistic(statistic, direction))
}

/// Whether a trial's results are within the bounds of `spec.constraints`.
pub fn satisfies(experiment: &Experiment, trial: &Trial) -> bool {
    experiment.spec.constraints.iter().all(|constraint| {
        result(experiment, trial, &constraint.metric).is_some_and(|value| {
            constraint.min.is_none_or(|min| value >= min) && constraint.max.is_none_or(|max| value <= max)
        })
    })
}

pub fn parsed<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    T::deserialize(value).unwrap()
}

/// UID of the controller.
pub fn controller(metadata: &ObjectMeta) -> Option<&str> {
    let references = metadata.owner_references.as_deref().unwrap_or_default();
    references.iter().find(|reference| reference.controller == Some(true)).map(|reference| reference.uid.as_str())
}

/// UID of the Trial that controls a Job; empty when none does.
pub fn owner(job: &Value) -> &str {
    let references = job["metadata"]["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
    let controller =
        references.iter().find(|reference| reference["controller"] == true && reference["kind"] == "Trial");
    controller.and_then(|reference| reference["uid"].as_str()).unwrap_or_default()
}

/// UID of a Job's Experiment, by its label.
pub fn experiment_uid(job: &Value) -> &str {
    job["metadata"]["labels"][labels::EXPERIMENT_UID].as_str().unwrap_or_default()
}

pub fn attempt(job: &Value) -> &str {
    job["metadata"]["labels"][labels::ATTEMPT].as_str().unwrap_or_default()
}

pub fn ended(trial: &Trial) -> bool {
    let conditions = trial.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    is_true(conditions, types::COMPLETE) || is_true(conditions, types::FAILED)
}

pub fn job_ended(job: &Value) -> bool {
    let conditions = job["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|c| c["status"] == "True" && (c["type"] == "Complete" || c["type"] == "Failed"))
}
