//! S1, S2, S3, S6: what is made, adopted and deleted.

use super::Witness;
use super::facts::{attempt, controller, ended, experiment_uid, job_ended, owner};
use automl_operator::api::Trial;
use kube::ResourceExt;
use serde_json::Value;
use tokio::time::Instant;

impl Witness {
    pub(super) fn s1_one_trial_for_an_index(&mut self, trial: &Trial) {
        let (Some(uid), Some(index)) = (controller(&trial.metadata), trial.spec.index) else {
            return self.violated("S1", format!("Trial {} was made without owner or index", trial.name_any()));
        };
        if !self.indices.insert((uid.to_owned(), index)) {
            self.violated("S1", format!("a second Trial of index {index}: {}", trial.name_any()));
        }
    }

    pub(super) fn s1_one_trial_for_a_known_result(&mut self, trial: &Trial) {
        let Some(uid) = controller(&trial.metadata).filter(|_| trial.spec.index.is_none()) else {
            return self.violated("S1", format!("Trial {} was made without owner, or with an index", trial.name_any()));
        };
        if !self.known_results.insert((uid.to_owned(), trial.name_any())) {
            self.violated("S1", format!("a second Trial {}", trial.name_any()));
        }
    }

    pub(super) fn s1_one_job_for_an_attempt(&mut self, job: &Value) {
        if self.trial(owner(job)).is_some_and(|trial| !trial.spec.result.is_empty()) {
            self.violated("S1", format!("Job {} was made although its result is known", job["metadata"]["name"]));
        }
        if !self.attempts.insert((owner(job).to_owned(), attempt(job).to_owned())) {
            let name = &job["metadata"]["name"];
            self.violated("S1", format!("a second Job for attempt {} of one Trial: {name}", attempt(job)));
        }
    }

    pub(super) fn s1_one_running_job_for_a_trial(&mut self, job: &Value, _: Instant) {
        let other = self.jobs.values().find(|other| owner(other) == owner(job) && !job_ended(other));
        if let Some(other) = other.map(|other| other["metadata"]["name"].clone()) {
            let name = &job["metadata"]["name"];
            self.violated("S1", format!("Job {name} was made while Job {other} of the same Trial runs"));
        }
    }

    pub(super) fn s2_no_more_trials_than_slots(&mut self, trial: &Trial, since: Instant) {
        let uid = controller(&trial.metadata).unwrap_or_default();
        let active = 1 + self.busy(uid);
        if let Some(slots) = self.slots(uid, since).filter(|slots| active > *slots) {
            self.violated("S2", format!("{active} Trials take {slots} slots with {}", trial.name_any()));
        }
    }

    /// A Trial with an index takes its slot when it is made, one made by hand with its first Job.
    pub(super) fn s2_no_more_jobs_than_slots(&mut self, job: &Value, since: Instant) {
        let Some(trial) = self.trial(owner(job)) else { return };
        if trial.spec.index.is_some() || attempt(job) != "0" {
            return;
        }
        let uid = experiment_uid(job);
        let active = 1 + self.busy(uid);
        if let Some(slots) = self.slots(uid, since).filter(|slots| active > *slots) {
            self.violated("S2", format!("{active} Trials take {slots} slots with Job {}", job["metadata"]["name"]));
        }
    }

    /// Trials that take a slot.
    fn busy(&self, experiment: &str) -> u32 {
        let takes_slot = |trial: &&std::sync::Arc<Trial>| {
            let has_job = || self.jobs.values().any(|job| trial.uid().as_deref() == Some(owner(job)));
            let started = trial.status.as_ref().is_some_and(|status| status.start_time.is_some());
            !ended(trial)
                && trial.metadata.deletion_timestamp.is_none()
                && (trial.spec.index.is_some() || started || has_job())
        };
        u32::try_from(self.trials_of(experiment).filter(takes_slot).count()).unwrap()
    }

    /// `limits.parallelTrials`, the highest since.
    fn slots(&self, uid: &str, since: Instant) -> Option<u32> {
        self.experiments.get(uid)?.parallel.since(since).copied().max()
    }

    pub(super) fn s3_no_more_trials_than_asked_for(&mut self, trial: &Trial, since: Instant) {
        let uid = controller(&trial.metadata).unwrap_or_default();
        let Some(known) = self.experiments.get_mut(uid) else { return };
        known.created += 1;
        let (created, most) = (known.created, known.max_trials.since(since).copied().max().unwrap_or(0));
        if created > most {
            self.violated("S3", format!("{created} of {most} Trials with {}", trial.name_any()));
        }
    }

    pub(super) fn s6_no_trial_for_an_experiment_that_is_gone(&mut self, trial: &Trial, since: Instant) {
        if self.has_left(controller(&trial.metadata).unwrap_or_default(), since) {
            self.violated("S6", format!("Trial {} was made for an Experiment that is gone", trial.name_any()));
        }
    }

    pub(super) fn s6_no_job_for_what_is_gone(&mut self, job: &Value, since: Instant) {
        let name = &job["metadata"]["name"];
        let gone = match self.lives.get(owner(job)) {
            None => true,
            Some(life) => life.gone.is_some_and(|gone| gone < since),
        };
        if gone {
            self.violated("S6", format!("Job {name} was made for a Trial that is gone"));
        } else if self.has_left(experiment_uid(job), since) {
            self.violated("S6", format!("Job {name} was made for an Experiment that is gone"));
        }
    }

    fn has_left(&self, experiment: &str, since: Instant) -> bool {
        let known = self.experiments.get(experiment);
        known.is_none_or(|known| known.leaving.is_some_and(|left| left < since))
    }

    pub(super) fn s6_nothing_of_others_is_adopted(&mut self, before: &Trial, after: &Trial, since: Instant) {
        let (was, is) = (controller(&before.metadata), controller(&after.metadata));
        if was == is {
            return;
        }
        let name = after.name_any();
        let named = is.and_then(|uid| self.experiments.get(uid)).is_some_and(|known| {
            known.last.name_any() == after.spec.experiment && known.last.namespace() == after.namespace()
        });
        if was.is_some() || before.spec.index.is_some() || !named {
            self.violated("S6", format!("Trial {name}, which is another's, was adopted"));
        } else if self.has_left(is.unwrap_or_default(), since) {
            self.violated("S6", format!("Trial {name} was adopted by an Experiment that is gone"));
        }
    }

    pub(super) fn s6_no_trial_starts_with_anothers_job(&mut self, before: &Trial, after: &Trial) {
        let started = |trial: &Trial| trial.status.as_ref().is_some_and(|status| status.start_time.is_some());
        let had_job = self.lives.get(&after.uid().unwrap()).is_some_and(|life| life.had_job);
        if !started(before) && started(after) && !had_job {
            self.violated("S6", format!("Trial {} has started, but none of its own Jobs has", after.name_any()));
        }
    }

    pub(super) fn s6_nothing_of_others_is_deleted(&mut self, job: &Value) {
        // Whose it is says its owner; labels are for anyone to write.
        if !self.lives.contains_key(owner(job)) {
            self.violated("S6", format!("the operator deleted Job {}, which is not its own", job["metadata"]["name"]));
        }
    }
}
