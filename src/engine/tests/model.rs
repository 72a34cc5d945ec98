//! A cluster in a few maps: carries out the actions of a plan, and plays the Jobs.

use crate::api::{Condition, Exit, Experiment, Trial, TrialStatus};
use crate::engine::membership::index_of;
use crate::engine::{
    Action, Blocked, Facts, Fate, Finding, JobCondition, JobView, Ledger, Plan, Pods, Probe, Settings, Snapshot,
    compile, plan,
};
use crate::metrics::{MetricSummary, Observation};
use jiff::{SignedDuration, Timestamp};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a trial's program behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Play {
    /// Reports this value, then ends well.
    Value(f64),
    /// Ends well without a report.
    Silent,
    /// Exits with an error, and its agent says nothing.
    Fail,
    /// Exits with this code, and its agent says so.
    Exit(i32),
    /// Its node is lost this many times, then it reports this value.
    Lost(u32, f64),
    /// Exits with this code after it has reported 0.5, as its agent says; its pod goes on.
    Lingers(i32),
    /// Never ends.
    Forever,
    /// Reports this value and goes on for ever.
    Endless(f64),
    /// Runs, then its pod is replaced by one that never runs.
    Stalls,
    /// Its Job never gets a pod.
    Pending,
}

#[derive(Debug)]
pub struct Model {
    pub experiment: Experiment,
    pub trials: BTreeMap<String, Trial>,
    pub jobs: BTreeMap<String, JobView>,
    pub now: Timestamp,
    pub play: fn(&Trial) -> Play,
    pub refuse_template: Option<String>,
    /// Such a refusal may pass.
    pub may_pass: bool,
    /// What pods say that do not run.
    pub pods_say: String,
    /// What somebody has done to them.
    pub fate: Fate,
    /// Containers that run on after the program's end.
    pub still_running: Vec<String>,
    /// Containers that have failed, with their exit codes.
    pub have_failed: BTreeMap<String, i32>,
    /// Every Job that was ever created, by trial UID and attempt.
    pub created_jobs: Vec<String>,
    pub most_running: usize,
    pub facts: Facts,
    pub settings: Settings,
    /// Other experiments.
    pub others: BTreeMap<String, Finding>,
    /// Every claim that was ever asked for.
    pub claims: Vec<Value>,
    version: u64,
}

pub fn experiment(spec: Value) -> Experiment {
    let mut base = json!({
        "objectives": [{"metric": "accuracy", "direction": "Maximize"}],
        "parameters": [{"name": "x", "double": {"min": 0.0, "max": 1.0}}],
        "algorithm": {"name": "Random", "seed": 1},
        "limits": {"maxTrials": 6, "parallelTrials": 2},
        "trialTemplate": {
            "primaryContainer": "train",
            "manifest": {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "train", "image": "i", "command": ["train", "${params.x}"]}],
            }}}},
        },
    });
    json_patch::merge(&mut base, &spec);
    serde_json::from_value(json!({
        "apiVersion": "automl.dev/v1alpha1", "kind": "Experiment",
        "metadata": {"name": "e", "namespace": "default", "uid": "e-uid", "generation": 1, "resourceVersion": "1"},
        "spec": base,
    }))
    .unwrap()
}

impl Model {
    pub fn new(spec: Value, play: fn(&Trial) -> Play) -> Self {
        Model {
            experiment: experiment(spec),
            trials: BTreeMap::new(),
            jobs: BTreeMap::new(),
            now: Timestamp::from_second(1_000_000).unwrap(),
            play,
            refuse_template: None,
            may_pass: false,
            pods_say: String::new(),
            fate: Fate::Kept,
            still_running: Vec::new(),
            have_failed: BTreeMap::new(),
            created_jobs: Vec::new(),
            most_running: 0,
            facts: Facts::default(),
            settings: Settings::default(),
            others: BTreeMap::new(),
            claims: Vec::new(),
            version: 1,
        }
    }

    fn next_version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    /// Forgets what is kept in memory only, as a restart does.
    pub fn restart(&mut self) {
        self.facts = Facts::default();
    }

    pub fn plan(&self) -> Plan {
        let compiled = compile(&self.experiment);
        let mut ledger = Ledger::default();
        ledger.prepare(&self.experiment.spec, compiled.as_ref().ok());
        self.trials.values().for_each(|trial| ledger.upsert_trial(Arc::new(trial.clone())));
        self.jobs.values().for_each(|job| ledger.upsert_job(job.clone()));
        ledger.recall(self.experiment.status.clone().unwrap_or_default().usage);
        if let Ok(compiled) = &compiled {
            ledger.judge(&self.experiment.spec, compiled);
        }
        let snapshot = Snapshot {
            experiment: &self.experiment,
            compiled: &compiled,
            ledger: &ledger,
            facts: &self.facts,
            settings: &self.settings,
        };
        plan(&snapshot, self.now)
    }

    /// Plans and acts until there is nothing to do; `fuel` counts actions down and stops in the middle at 0.
    pub fn settle(&mut self, fuel: &mut usize) {
        for _ in 0..1000 {
            let actions = self.plan().actions;
            if actions.is_empty() {
                return;
            }
            let blocked = self.facts.blocked.clone();
            for action in actions {
                // As the controller does: none is made after one that was not.
                if matches!(action, Action::CreateTrial { .. }) && self.facts.blocked != blocked {
                    continue;
                }
                if *fuel == 0 {
                    return;
                }
                *fuel -= 1;
                self.act(action);
            }
        }
        panic!("no rest after 1000 plans: {:?}", self.plan().actions);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::ProbeTemplate { generation, .. } => {
                self.facts.probe =
                    Some(Probe { generation, refusal: self.refuse_template.clone(), may_pass: self.may_pass });
            }
            Action::CreateClaim { claim } => {
                self.claims.push(*claim);
                self.facts.claim = Some(self.now);
            }
            Action::CreateTrial { trial } => {
                let name = trial.name_any();
                match self.trials.get(&name) {
                    None => self.add(*trial),
                    Some(other) => {
                        assert_eq!(index_of(other), None, "{name} is made twice");
                        let blocked =
                            Blocked { since: self.now, at: self.now, reason: "NameTaken", message: "it exists".into() };
                        self.facts.blocked.insert(format!("create Trial {name}"), blocked);
                    }
                }
            }
            Action::AdoptTrial { name, patch } => {
                let version = self.next_version();
                let trial = self.trials.get_mut(&name).unwrap();
                let mut value = serde_json::to_value(&*trial).unwrap();
                assert_eq!(value["metadata"]["resourceVersion"], patch["metadata"]["resourceVersion"]);
                json_patch::merge(&mut value, &patch);
                *trial = serde_json::from_value(value).unwrap();
                trial.metadata.resource_version = Some(version);
            }
            Action::CreateJob { trial, job } => {
                let name = job["metadata"]["name"].as_str().unwrap().to_owned();
                assert!(!self.jobs.contains_key(&name), "Job {name} is made twice");
                let owner_uid = job["metadata"]["ownerReferences"][0]["uid"].as_str().unwrap().to_owned();
                assert_eq!(self.trials[&trial].uid().as_ref(), Some(&owner_uid));
                self.created_jobs.push(format!("{owner_uid}/{name}"));
                let (uid, resource_version) = (format!("uid-of-{name}-{}", self.version), self.next_version());
                let created = Some(self.now);
                let view = JobView {
                    name: name.clone(),
                    uid,
                    resource_version,
                    trial,
                    owner_uid,
                    created,
                    ..JobView::default()
                };
                self.jobs.insert(name, view);
            }
            Action::WriteTrialStatus { name, resource_version, patch, .. } => {
                let version = self.next_version();
                let trial = self.trials.get_mut(&name).unwrap();
                assert_eq!(
                    trial.resource_version().as_deref(),
                    Some(resource_version.as_str()),
                    "stale write to {name}"
                );
                let status = trial.status.get_or_insert_default();
                status.attempt = patch.attempt;
                status.interruptions = patch.interruptions;
                status.usage = patch.usage;
                status.start_time = patch.start_time;
                status.completion_time = patch.completion_time;
                status.objective = patch.objective;
                status.objectives = patch.objectives;
                status.excesses = patch.excesses;
                status.conditions = patch.conditions;
                trial.metadata.resource_version = Some(version);
            }
            Action::ConfirmJob { name } => {
                if !self.jobs.contains_key(&name) {
                    self.facts.jobs_gone.insert(name);
                }
            }
            Action::InspectPods { job } => {
                let (why, running, failed) =
                    (self.pods_say.clone(), self.still_running.clone(), self.have_failed.clone());
                let pods = Pods { why, fate: self.fate, running, failed, at: self.now };
                self.facts.pods.insert(job, pods);
            }
            Action::ReadResults { experiment, .. } => {
                let finding = self.others.get(&experiment).cloned().unwrap_or(Finding::None);
                self.facts.findings.insert(experiment, (self.now, finding));
            }
            Action::ReadCurves => panic!("a ledger that is made anew lacks none"),
            Action::DeleteJob { name, uid, trial } => {
                assert_eq!(self.jobs[&name].trial, trial);
                let trial = self.trials.get(&trial).unwrap();
                let attempt = trial.status.as_ref().map_or(0, |status| status.attempt);
                let old = name != crate::engine::job::job_name(&trial.name_any(), attempt);
                assert!(old || super::ended(trial), "Job {name} is deleted before its trial's end is stored");
                assert_eq!(self.jobs[&name].uid, uid);
                self.jobs.remove(&name);
            }
            Action::WriteExperimentStatus { resource_version, status, .. } => {
                assert_eq!(self.experiment.resource_version(), Some(resource_version));
                self.experiment.status = Some(*status);
                self.experiment.metadata.resource_version = Some(self.next_version());
                self.facts.status_written = Some(self.now);
            }
        }
    }

    pub fn add(&mut self, mut trial: Trial) {
        let name = trial.name_any();
        trial.metadata.uid = Some(format!("uid-of-{name}"));
        trial.metadata.resource_version = Some(self.next_version());
        self.trials.insert(name, trial);
    }

    /// A person deletes a Trial.
    pub fn remove(&mut self, name: &str) {
        let trial = self.trials.remove(name).unwrap();
        self.jobs.retain(|_, job| Some(&job.owner_uid) != trial.uid().as_ref());
        self.facts.forget_trial(name);
    }

    /// One second passes, and each Job takes a step: starts, reports, ends.
    pub fn tick(&mut self) {
        self.now += SignedDuration::from_secs(1);
        self.play_jobs();
        for job in self.jobs.values() {
            if job.ready == 0 && job.conditions.is_empty() {
                self.facts.unready.entry(job.name.clone()).or_insert(self.now);
            } else {
                self.facts.unready.remove(&job.name);
            }
        }
    }

    fn play_jobs(&mut self) {
        let running = self.jobs.values().filter(|job| job.active > 0).count();
        self.most_running = self.most_running.max(running);
        for name in self.jobs.keys().cloned().collect::<Vec<_>>() {
            let version = self.next_version();
            let job = self.jobs.get_mut(&name).unwrap();
            let Some(trial) = self.trials.get_mut(&job.trial) else { continue };
            if !job.conditions.is_empty() {
                continue;
            }
            job.resource_version = version.clone();
            if (self.play)(trial) == Play::Pending {
                continue;
            }
            if job.active == 0 {
                (job.active, job.ready, job.start_time) = (1, 1, Some(self.now));
                continue;
            }
            let attempt = trial.status.as_ref().map_or(0, |status| status.attempt);
            let (value, end) = match (self.play)(trial) {
                Play::Forever | Play::Pending => continue,
                Play::Stalls => {
                    job.ready = 0;
                    continue;
                }
                Play::Endless(value) => {
                    report(trial.status.get_or_insert_default(), value, self.now);
                    trial.metadata.resource_version = Some(version);
                    continue;
                }
                Play::Silent => (None, ("Complete", "", "")),
                Play::Lingers(code) => {
                    job.ready = 0;
                    let status = trial.status.get_or_insert_default();
                    if status.exit.is_none() {
                        report(status, 0.5, self.now);
                        status.exit = Some(Exit {
                            attempt,
                            code: Some(code),
                            signal: None,
                            tail: String::new(),
                            values_left_out: 0,
                        });
                        trial.metadata.resource_version = Some(version);
                    }
                    continue;
                }
                Play::Exit(code) => {
                    let exit =
                        Exit { attempt, code: Some(code), signal: None, tail: String::new(), values_left_out: 0 };
                    trial.status.get_or_insert_default().exit = Some(exit);
                    trial.metadata.resource_version = Some(version.clone());
                    (None, ("Failed", "BackoffLimitExceeded", "failed"))
                }
                Play::Fail => (None, ("Failed", "BackoffLimitExceeded", "failed")),
                Play::Lost(times, _) if attempt < times => (
                    None,
                    (
                        "Failed",
                        "PodFailurePolicy",
                        "Pod has condition DisruptionTarget matching FailJob rule at index 0",
                    ),
                ),
                Play::Value(value) | Play::Lost(_, value) => (Some(value), ("Complete", "", "")),
            };
            if let Some(value) = value {
                report(trial.status.get_or_insert_default(), value, self.now);
                trial.metadata.resource_version = Some(version);
            }
            (job.active, job.ready) = (0, 0);
            job.conditions.push(JobCondition { r#type: end.0.into(), reason: end.1.into(), message: end.2.into() });
        }
    }

    /// Lets seconds pass.
    pub fn pass(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.settle(&mut usize::MAX.clone());
            self.tick();
        }
        self.settle(&mut usize::MAX.clone());
    }

    /// Runs to the end of the experiment, or until nothing has moved for long.
    pub fn run(&mut self) {
        self.pass(200);
    }

    pub fn edit(&mut self, patch: &Value) {
        let mut value = serde_json::to_value(&self.experiment).unwrap();
        json_patch::merge(&mut value, &json!({"spec": patch}));
        self.experiment = serde_json::from_value(value).unwrap();
        self.experiment.metadata.generation = self.experiment.meta().generation.map(|generation| generation + 1);
        self.experiment.metadata.resource_version = Some(self.next_version());
    }

    pub fn condition(&self, r#type: &str) -> (String, String, String) {
        let conditions = &self.experiment.status.as_ref().unwrap().conditions;
        gist(conditions, r#type)
    }

    pub fn trial_condition(&self, name: &str, r#type: &str) -> (String, String, String) {
        gist(&self.trials[name].status.as_ref().unwrap().conditions, r#type)
    }
}

fn gist(conditions: &[Condition], r#type: &str) -> (String, String, String) {
    let found = conditions.iter().find(|condition| condition.r#type == r#type);
    found.map_or(Default::default(), |c| (c.status.clone(), c.reason.clone(), c.message.clone()))
}

fn report(status: &mut TrialStatus, value: f64, time: Timestamp) {
    if status.metrics.is_empty() {
        status.metrics.push(MetricSummary::new("accuracy"));
    }
    status.metrics[0].observe(&Observation { metric: "accuracy".into(), step: None, value, time });
}
