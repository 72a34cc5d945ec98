//! S4, S5, S7: what was measured stays, and things go forward.

use super::Witness;
use super::facts::{TrialLife, attempt, ended, owner};
use automl_operator::api::conditions::{find, is_true, types};
use automl_operator::api::{Experiment, ExperimentStatus, Trial, TrialStatus};
use automl_operator::engine::{Wanted, fold};
use automl_operator::metrics::MetricSummary;
use automl_operator::report::{Answer, Batch, Progress, Record};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

impl Witness {
    /// A program has said something; it may never arrive.
    pub fn said(&mut self, who: &Batch, record: Record) {
        let Some(life) = self.lives.get_mut(&who.trial_uid) else { return };
        life.said.entry(who.session.clone()).or_insert((who.attempt, Vec::new())).1.push(record);
    }

    /// An agent sends this batch; it may never arrive.
    pub fn sent(&mut self, batch: &Batch) {
        if let Some(life) = self.lives.get_mut(&batch.trial_uid) {
            let sent = life.sent.entry(batch.session.clone()).or_default();
            *sent = last(batch).max(*sent);
        }
    }

    /// An agent goes on under the name of a later session.
    pub fn renamed(&mut self, who: &Batch, session: &str) {
        if let Some(life) = self.lives.get_mut(&who.trial_uid)
            && let Some(said) = life.said.remove(&who.session)
        {
            life.said.insert(session.to_owned(), said);
        }
    }

    /// An operator has answered this batch: it says what it holds, and what of it is stored.
    pub fn answered(&mut self, operator: &str, batch: &Batch, answer: &Answer) {
        let last = last(batch);
        let held = answer.taken.unwrap_or(last).min(last);
        if let Some(life) = self.lives.get_mut(&batch.trial_uid) {
            life.heard.insert((operator.to_owned(), batch.session.clone()), held);
            life.received.entry(operator.to_owned()).or_default().push((Instant::now(), batch.session.clone(), held));
        }
        self.s4_what_is_acknowledged_is_stored(batch, answer.stored.min(last));
    }

    fn s4_what_is_acknowledged_is_stored(&mut self, batch: &Batch, acknowledged: u64) {
        let Some(trial) = self.trial(&batch.trial_uid) else { return };
        let progress = trial.status.as_ref().and_then(|status| status.reports.clone()).unwrap_or_default();
        if progress.stored(&batch.session) < acknowledged {
            let trial = &batch.trial;
            self.violated("S4", format!("{acknowledged} records of {trial} were acknowledged, stored is {progress:?}"));
        }
    }

    pub(super) fn s4_what_is_stored_stays(&mut self, before: &Trial, after: &Trial) {
        let name = after.name_any();
        if before.spec != after.spec {
            self.violated("S4", format!("the spec of {name} changed"));
        }
        let (old, new) = (status(before), status(after));
        let (was, is) = (progress(&old), progress(&new));
        if (&is.session, is.sequence) < (&was.session, was.sequence) {
            self.violated("S4", format!("reports of {name} were forgotten: {is:?} after {was:?}"));
        }
        if ended(before) && old != new {
            self.violated("S4", format!("the result of {name} changed after it was stored"));
        }
    }

    /// All values up to the stored number, each once, and no other.
    pub(super) fn s4_values_are_those_that_were_said(&mut self, before: &Trial, trial: &Trial) {
        let stored = status(trial);
        let progress = progress(&stored);
        let home = self.home_of(trial);
        let Some(known) = home.and_then(|home| self.experiments.get(&home)).filter(|known| !known.gone) else { return };
        let wanted = Wanted::of(&known.last.spec);
        let Some(life) = self.lives.get_mut(&trial.uid().unwrap()) else { return };
        let shown = |status: &TrialStatus| {
            // When a value was measured is held to the times of its attempt, which a report does not say.
            let metrics = status.metrics.iter().map(|summary| MetricSummary { latest_time: None, ..summary.clone() });
            serde_json::json!([metrics.collect::<Vec<_>>(), status.other_metrics, status.reports, status.exit])
        };
        let found = shown(&stored);
        if found == shown(&status(before)) {
            return;
        }
        life.stored.insert(progress.session.clone(), progress.sequence);
        // Several sessions may be stored at once. Of the earlier ones only this much can be in it.
        let earlier: Vec<String> = life.said.keys().filter(|session| **session < progress.session).cloned().collect();
        let mut guesses = vec![life.stored.clone()];
        for session in earlier.into_iter().filter(|session| !life.settled.contains(session)) {
            let mut upto: BTreeSet<u64> = [0].into();
            upto.extend(life.stored.get(&session));
            upto.extend(life.sent.get(&session));
            upto.extend(life.heard.iter().filter(|((_, of), _)| *of == session).map(|(_, last)| *last));
            let least = life.stored.get(&session).copied().unwrap_or(0);
            let with = |guess: &BTreeMap<String, u64>, upto: u64| {
                let mut guess = guess.clone();
                guess.insert(session.clone(), upto);
                guess
            };
            guesses =
                upto.range(least..).flat_map(|upto| guesses.iter().map(move |guess| with(guess, *upto))).collect();
        }
        let expected: Vec<_> = guesses.iter().map(|guess| shown(&life.folded(trial, guess, &wanted))).collect();
        match expected.iter().position(|expected| *expected == found) {
            Some(at) => {
                life.stored = guesses.swap_remove(at);
                life.settled = life.said.keys().filter(|session| **session < progress.session).cloned().collect();
            }
            None => {
                let (name, expected) = (trial.name_any(), &expected[0]);
                self.violated("S4", format!("of {name} this was said\n  {expected}\nand this is stored\n  {found}"));
            }
        }
    }

    /// What an operator has received before it ends a trial belongs to the result.
    pub(super) fn s4_a_result_holds_what_was_received(
        &mut self,
        operator: &str,
        (before, after): (&Trial, &Trial),
        since: Instant,
    ) {
        if ended(before) || !ended(after) {
            return;
        }
        let Some(life) = self.lives.get(&after.uid().unwrap()) else { return };
        let received = life.received.get(operator).into_iter().flatten();
        let Some((_, session, sequence)) = received.take_while(|(at, ..)| *at < since).last() else { return };
        let stored = progress(&status(after)).stored(session);
        if stored < *sequence {
            let text = format!("{} ended with {stored} of {sequence} records that were received", after.name_any());
            self.violated("S4", text);
        }
    }

    pub(super) fn s4_a_trial_with_a_result_never_runs_again(&mut self, job: &Value, since: Instant) {
        let ended = self.lives.get(owner(job)).and_then(|life| life.ended);
        if ended.is_some_and(|ended| ended < since) {
            let name = &job["metadata"]["name"];
            self.violated("S4", format!("Job {name} was made although its Trial has a result"));
        }
    }

    pub(super) fn s5_a_trial_goes_forward(&mut self, before: &Trial, after: &Trial) {
        let (old, new, name) = (status(before), status(after), after.name_any());
        for kind in [types::COMPLETE, types::FAILED] {
            if is_true(&old.conditions, kind) && !is_true(&new.conditions, kind) {
                self.violated("S5", format!("{kind} of Trial {name} was taken back"));
            }
        }
        if new.attempt < old.attempt {
            self.violated("S5", format!("the attempt of Trial {name} went down"));
        }
    }

    pub(super) fn s5_an_experiment_goes_forward(&mut self, before: &Experiment, after: &Experiment) {
        let status = |experiment: &Experiment| experiment.status.clone().unwrap_or_default();
        let (old, new, name) = (status(before), status(after), after.name_any());
        for kind in [types::COMPLETE, types::FAILED] {
            let taken_back = is_true(&old.conditions, kind) && !is_true(&new.conditions, kind);
            if taken_back && old.observed_generation == after.metadata.generation {
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
        let counts =
            |s: &ExperimentStatus| [s.trials.created, s.trials.succeeded, s.trials.failed, s.trials.early_stopped];
        if counts(&new).iter().zip(counts(&old)).any(|(new, old)| *new < old) {
            self.violated("S5", format!("counters of {name} went down: {:?} after {:?}", new.trials, old.trials));
        }
        if new.observed_generation < old.observed_generation {
            self.violated("S5", format!("the observed generation of {name} went down"));
        }
    }

    pub(super) fn s7_a_job_goes_after_its_result_is_stored(&mut self, job: &Value) {
        let Some(trial) = self.trial(owner(job)) else { return };
        let attempt: u32 = attempt(job).parse().unwrap_or(0);
        if !ended(trial) && status(trial).attempt <= attempt {
            self.violated("S7", format!("Job {} was deleted before its result was stored", job["metadata"]["name"]));
        }
    }
}

fn status(trial: &Trial) -> TrialStatus {
    trial.status.clone().unwrap_or_default()
}

/// Up to where its agent has said what it has to say.
fn last(batch: &Batch) -> u64 {
    batch.records.last().map_or(batch.after.unwrap_or(0), |record| record.sequence)
}

fn progress(status: &TrialStatus) -> Progress {
    status.reports.clone().unwrap_or_default()
}

impl TrialLife {
    /// The status with so many records of each session in it.
    fn folded(&self, trial: &Trial, stored: &BTreeMap<String, u64>, wanted: &[Wanted]) -> TrialStatus {
        let batch = |(session, (attempt, records)): (&String, &(u32, Vec<Record>))| {
            let upto = *stored.get(session).filter(|upto| **upto > 0)?;
            Some(Batch {
                namespace: String::new(),
                trial: trial.name_any(),
                trial_uid: trial.uid()?,
                attempt: *attempt,
                session: session.clone(),
                after: None,
                records: records.iter().filter(|record| record.sequence <= upto).cloned().collect(),
                end: false,
            })
        };
        let batches: Vec<Batch> = self.said.iter().filter_map(batch).collect();
        fold(&TrialStatus::default(), &batches, Some(wanted), Timestamp::MAX)
    }
}
