//! What must hold after each stored change, whatever goes wrong. S1 to S10 are about safety; each is a function that
//! is named in the message of a violation.

use automl_operator::api::conditions::{find, is_true, types};
use automl_operator::api::{Experiment, Trial, labels};
use automl_operator::local::apiserver::Write;
use kube::ResourceExt;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// How long a request may be under way: what was right when it was sent is forgiven when it arrives.
const UNDER_WAY: Duration = Duration::from_secs(3);

/// Sees every stored change and remembers what is needed to judge the next one.
#[derive(Default)]
pub struct Witness {
    experiments: BTreeMap<String, KnownExperiment>,
    trials: BTreeMap<String, Trial>,
    jobs: BTreeMap<String, Value>,
    /// (UID of the Experiment, index).
    indices: BTreeSet<(String, u32)>,
    /// (UID of the Trial, attempt).
    attempts: BTreeSet<(String, String)>,
    gone_trials: BTreeMap<String, Instant>,
    pub violations: Vec<String>,
}

struct KnownExperiment {
    last: Experiment,
    /// Highest limits that were in force of late.
    parallel: Vec<(Instant, u32)>,
    max_trials: u32,
    created: u32,
    /// Deleted, or about to be.
    leaving: Option<Instant>,
}

impl Witness {
    /// Judges one stored change.
    pub fn see(&mut self, write: &Write) {
        match write.resource.as_str() {
            "experiments" => self.see_experiment(write),
            "trials" => self.see_trial(write),
            "jobs" => self.see_job(write),
            _ => {}
        }
    }

    fn violated(&mut self, invariant: &str, what: String) {
        self.violations.push(format!("{invariant}: {what}"));
    }

    fn see_experiment(&mut self, write: &Write) {
        let before: Option<Experiment> = write.before.as_deref().map(parsed);
        let Some(after) = write.after.as_deref().map(parsed::<Experiment>) else {
            let uid = before.unwrap().uid().unwrap();
            self.experiments.entry(uid).and_modify(|known| known.leaving = known.leaving.or(Some(Instant::now())));
            return;
        };
        if let Some(before) = &before {
            self.s5_experiment_conditions_are_monotone(before, &after);
            if before.status != after.status {
                self.s9_status_follows_from_what_is_stored(&after);
            }
        }
        let known = self.experiments.entry(after.uid().unwrap()).or_insert_with(|| KnownExperiment {
            last: after.clone(),
            parallel: Vec::new(),
            max_trials: 0,
            created: 0,
            leaving: None,
        });
        let limits = &after.spec.limits;
        let now = Instant::now();
        if known.parallel.last().is_none_or(|(_, parallel)| *parallel != limits.parallel_trials) {
            known.parallel.push((now, limits.parallel_trials));
        }
        known.max_trials = known.max_trials.max(limits.max_trials);
        if after.metadata.deletion_timestamp.is_some() {
            known.leaving = known.leaving.or(Some(now));
        }
        known.last = after;
    }

    fn see_trial(&mut self, write: &Write) {
        let before: Option<Trial> = write.before.as_deref().map(parsed);
        match (before, write.after.as_deref().map(parsed::<Trial>)) {
            (None, Some(trial)) => {
                self.trials.insert(write.name.clone(), trial.clone());
                if trial.spec.index.is_some() {
                    self.s1_one_trial_for_an_index(&trial);
                    self.s2_no_more_trials_than_slots(&trial);
                    self.s3_no_more_trials_than_asked_for(&trial);
                }
                self.s6_nothing_is_made_for_what_is_gone(&trial);
            }
            (Some(before), Some(after)) => {
                self.s4_what_is_stored_stays(&before, &after);
                self.s5_trial_conditions_are_monotone(&before, &after);
                self.trials.insert(write.name.clone(), after);
            }
            (Some(before), None) => {
                self.trials.remove(&write.name);
                self.gone_trials.insert(before.uid().unwrap(), Instant::now());
                if write.user_agent.starts_with("operator") {
                    self.violated("S6", format!("the operator deleted Trial {}", write.name));
                }
            }
            (None, None) => {}
        }
    }

    fn see_job(&mut self, write: &Write) {
        match (&write.before, &write.after) {
            (None, Some(job)) => {
                self.jobs.insert(write.name.clone(), (**job).clone());
                if write.user_agent.starts_with("operator") {
                    self.s1_one_job_for_an_attempt(job);
                    self.s2_no_more_jobs_than_slots(job);
                    self.s6_a_job_has_a_trial(job);
                }
            }
            (_, Some(job)) => drop(self.jobs.insert(write.name.clone(), (**job).clone())),
            (Some(job), None) => {
                self.jobs.remove(&write.name);
                if write.user_agent.starts_with("operator") {
                    self.s6_nothing_of_others_is_deleted(job);
                    self.s7_a_job_goes_after_its_result_is_stored(job);
                }
            }
            (None, None) => {}
        }
    }

    fn s1_one_trial_for_an_index(&mut self, trial: &Trial) {
        let key = (owner(&json!(trial)), trial.spec.index.unwrap());
        if !self.indices.insert(key) {
            self.violated("S1", format!("a second Trial of index {:?}: {}", trial.spec.index, trial.name_any()));
        }
    }

    fn s1_one_job_for_an_attempt(&mut self, job: &Value) {
        let attempt = job["metadata"]["labels"][labels::ATTEMPT].as_str().unwrap_or_default().to_owned();
        if !self.attempts.insert((owner(job), attempt.clone())) {
            let name = &job["metadata"]["name"];
            self.violated("S1", format!("a second Job for attempt {attempt} of one Trial: {name}"));
        }
    }

    fn s2_no_more_trials_than_slots(&mut self, trial: &Trial) {
        let uid = owner(&json!(trial));
        let active = self.trials.values().filter(|other| {
            other.spec.index.is_some()
                && owner(&json!(other)) == uid
                && !ended(other)
                && other.metadata.deletion_timestamp.is_none()
        });
        let active = active.count();
        if active > self.slots(&uid) {
            self.violated("S2", format!("{active} active Trials with {}", trial.name_any()));
        }
    }

    fn s2_no_more_jobs_than_slots(&mut self, job: &Value) {
        let uid = experiment_uid(job);
        let runs = |job: &&Value| {
            experiment_uid(job) == uid && !job_ended(job) && job["metadata"]["deletionTimestamp"].is_null()
        };
        // A Job whose Trial has ended is being deleted.
        let needed = |job: &&Value| self.trials.values().any(|t| t.uid().as_deref() == Some(&owner(job)) && !ended(t));
        let running = self.jobs.values().filter(runs).filter(needed).count();
        if running > self.slots(&uid) {
            self.violated("S2", format!("{running} Jobs run with {}", job["metadata"]["name"]));
        }
    }

    fn s3_no_more_trials_than_asked_for(&mut self, trial: &Trial) {
        let Some(known) = self.experiments.get_mut(&owner(&json!(trial))) else { return };
        known.created += 1;
        let (created, most) = (known.created, known.max_trials);
        if created > most {
            self.violated("S3", format!("{created} of {most} Trials with {}", trial.name_any()));
        }
    }

    fn s4_what_is_stored_stays(&mut self, before: &Trial, after: &Trial) {
        let name = after.name_any();
        if before.spec != after.spec {
            self.violated("S4", format!("the spec of {name} changed"));
        }
        let status = |trial: &Trial| trial.status.clone().unwrap_or_default();
        let (old, new) = (status(before), status(after));
        let progress = |status: &automl_operator::api::TrialStatus| {
            status.reports.as_ref().map(|progress| (progress.session.clone(), progress.sequence)).unwrap_or_default()
        };
        if progress(&new) < progress(&old) {
            self.violated("S4", format!("reports of {name} were forgotten: {:?} after {:?}", new.reports, old.reports));
        }
        let same_session = progress(&old).0 == progress(&new).0;
        for summary in &old.metrics {
            let now = new.metrics.iter().find(|now| now.name == summary.name);
            if now.is_none_or(|now| same_session && now.count < summary.count) {
                self.violated("S4", format!("values of {} of {name} were forgotten", summary.name));
            }
        }
        for summary in &new.metrics {
            if new.attempt == 0 && summary.count > progress(&new).1 {
                self.violated("S4", format!("{} of {name} was counted more often than it was said", summary.name));
            }
        }
        if ended(before) && old != new {
            self.violated("S4", format!("the result of {name} changed after it was stored"));
        }
    }

    fn s5_trial_conditions_are_monotone(&mut self, before: &Trial, after: &Trial) {
        for kind in [types::COMPLETE, types::FAILED] {
            let holds = |trial: &Trial| trial.status.as_ref().is_some_and(|status| is_true(&status.conditions, kind));
            if holds(before) && !holds(after) {
                self.violated("S5", format!("{kind} of Trial {} was taken back", after.name_any()));
            }
        }
        let attempt = |trial: &Trial| trial.status.as_ref().map_or(0, |status| status.attempt);
        if attempt(after) < attempt(before) {
            self.violated("S5", format!("the attempt of Trial {} went down", after.name_any()));
        }
    }

    fn s5_experiment_conditions_are_monotone(&mut self, before: &Experiment, after: &Experiment) {
        let status = |experiment: &Experiment| experiment.status.clone().unwrap_or_default();
        let (old, new, name) = (status(before), status(after), after.name_any());
        for kind in [types::COMPLETE, types::FAILED] {
            let ended = |status: &automl_operator::api::ExperimentStatus| is_true(&status.conditions, kind);
            if ended(&old) && !ended(&new) && old.observed_generation == after.metadata.generation {
                self.violated("S5", format!("{kind} of Experiment {name} was taken back"));
            }
        }
        for condition in &new.conditions {
            let was = find(&old.conditions, &condition.r#type);
            if was.is_some_and(|was| {
                was.status == condition.status && was.last_transition_time != condition.last_transition_time
            }) {
                self.violated("S5", format!("{} of {name} moved its time without a change", condition.r#type));
            }
        }
        let counts = |s: &automl_operator::api::ExperimentStatus| {
            [s.trials.created, s.trials.succeeded, s.trials.failed, s.trials.early_stopped]
        };
        if counts(&new).iter().zip(counts(&old)).any(|(new, old)| *new < old) {
            self.violated("S5", format!("a count of {name} went down: {:?} after {:?}", counts(&new), counts(&old)));
        }
        if new.observed_generation < old.observed_generation {
            self.violated("S5", format!("the observed generation of {name} went down"));
        }
    }

    fn s6_nothing_is_made_for_what_is_gone(&mut self, trial: &Trial) {
        let uid = owner(&json!(trial));
        let leaving = self.experiments.get(&uid).and_then(|known| known.leaving);
        if leaving.is_some_and(|since| since.elapsed() > UNDER_WAY) {
            self.violated("S6", format!("Trial {} was made for an Experiment that is gone", trial.name_any()));
        }
    }

    fn s6_a_job_has_a_trial(&mut self, job: &Value) {
        let uid = owner(job);
        let lives = self.trials.values().any(|trial| trial.uid().as_deref() == Some(&uid));
        let forgiven = self.gone_trials.get(&uid).is_some_and(|since| since.elapsed() <= UNDER_WAY);
        if !lives && !forgiven {
            self.violated("S6", format!("Job {} was made for a Trial that is gone", job["metadata"]["name"]));
        }
    }

    fn s6_nothing_of_others_is_deleted(&mut self, job: &Value) {
        let ours = job["metadata"]["labels"][labels::MANAGED_BY] == labels::MANAGER && !owner(job).is_empty();
        if !ours {
            self.violated("S6", format!("the operator deleted Job {}, which is not its own", job["metadata"]["name"]));
        }
    }

    fn s7_a_job_goes_after_its_result_is_stored(&mut self, job: &Value) {
        let uid = owner(job);
        let Some(trial) = self.trials.values().find(|trial| trial.uid().as_deref() == Some(&uid)) else { return };
        let attempt: u32 = job["metadata"]["labels"][labels::ATTEMPT].as_str().unwrap_or_default().parse().unwrap_or(0);
        let later = trial.status.as_ref().is_some_and(|status| status.attempt > attempt);
        if !ended(trial) && !later {
            self.violated("S7", format!("Job {} was deleted before its result was stored", job["metadata"]["name"]));
        }
    }

    fn s9_status_follows_from_what_is_stored(&mut self, experiment: &Experiment) {
        let (uid, name) = (experiment.uid().unwrap(), experiment.name_any());
        let status = experiment.status.clone().unwrap_or_default();
        let made = self.indices.iter().filter(|(of, _)| *of == uid).count();
        if status.trials.created as usize > made {
            self.violated("S9", format!("{name} counts {} Trials, but {made} were made", status.trials.created));
        }
        if let Some(best) = &status.best
            && let Some(trial) = self.trials.get(&best.trial)
            && trial.status.as_ref().and_then(|status| status.objective) != Some(best.value)
        {
            self.violated("S9", format!("{name} says that {} is best with {}", best.trial, best.value));
        }
        if status.observed_generation > experiment.metadata.generation {
            self.violated("S9", format!("{name} has observed a generation that does not exist"));
        }
    }

    /// `limits.parallelTrials`, the highest of late.
    fn slots(&self, uid: &str) -> usize {
        let Some(known) = self.experiments.get(uid) else { return usize::MAX };
        let parallel = &known.parallel;
        let counts = parallel.iter().enumerate().filter(|(at, _)| {
            // In force now, or until a moment ago.
            parallel.get(at + 1).is_none_or(|(since, _)| since.elapsed() <= UNDER_WAY)
        });
        counts.map(|(_, (_, parallel))| *parallel as usize).max().unwrap_or(0)
    }

    /// Once all is quiet, the counts in the status are those of the store, and no Job runs without its Trial.
    pub fn at_the_end(&mut self) {
        let experiments: Vec<Experiment> =
            self.experiments.values().filter(|known| known.leaving.is_none()).map(|known| known.last.clone()).collect();
        for experiment in experiments {
            let uid = experiment.uid().unwrap();
            let status = experiment.status.clone().unwrap_or_default();
            let made = self.indices.iter().filter(|(of, _)| *of == uid).count();
            if status.trials.created as usize != made {
                let created = status.trials.created;
                self.violated("S9", format!("at the end {} counts {created} of {made} Trials", experiment.name_any()));
            }
            let best = self.trials.values().filter(|trial| owner(&json!(trial)) == uid);
            let best = best
                .filter(|trial| trial.status.as_ref().is_some_and(|s| is_true(&s.conditions, types::COMPLETE)))
                .filter_map(|trial| trial.status.as_ref()?.objective)
                .max_by(f64::total_cmp);
            if best.is_some() && status.best.as_ref().map(|best| best.value) != best {
                self.violated("S9", format!("at the end {:?} is best, not {:?}", best, status.best));
            }
        }
        let running: Vec<Value> = self.jobs.values().filter(|job| !job_ended(job)).cloned().collect();
        for job in running.iter().filter(|job| !experiment_uid(job).is_empty()) {
            let uid = owner(job);
            if !self.trials.values().any(|trial| trial.uid().as_deref() == Some(&uid) && !ended(trial)) {
                self.violated("L2", format!("Job {} runs without its Trial", job["metadata"]["name"]));
            }
        }
    }
}

fn parsed<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

/// UID of the controller.
fn owner(object: &Value) -> String {
    let references = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    let controller = references.iter().find(|reference| reference["controller"] == true);
    controller.and_then(|reference| reference["uid"].as_str()).unwrap_or_default().to_owned()
}

fn experiment_uid(job: &Value) -> String {
    job["metadata"]["labels"][labels::EXPERIMENT_UID].as_str().unwrap_or_default().to_owned()
}

pub fn ended(trial: &Trial) -> bool {
    let conditions = trial.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    is_true(&conditions, types::COMPLETE) || is_true(&conditions, types::FAILED)
}

fn job_ended(job: &Value) -> bool {
    let conditions = job["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|c| c["status"] == "True" && (c["type"] == "Complete" || c["type"] == "Failed"))
}
