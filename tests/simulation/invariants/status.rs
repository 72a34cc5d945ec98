//! S8, S9: what operators believe follows from what is stored.

use super::Witness;
use super::facts::{Truth, controller};
use automl_operator::api::conditions::{is_true, types};
use automl_operator::api::{Best, Experiment, Trial};
use automl_operator::metrics::Direction;
use automl_operator::tuner::Outcome;
use kube::ResourceExt;
use std::collections::BTreeMap;
use tokio::time::Instant;

impl Witness {
    /// When a Trial is made: what the operator's tuner has learnt is what has ended, each once.
    pub(super) fn s8_the_tuner_has_learnt_what_has_ended(&mut self, operator: &str, trial: &Trial, since: Instant) {
        let uid = controller(&trial.metadata).unwrap_or_default().to_owned();
        self.s8_history(operator, &uid, since);
    }

    /// At rest, all operators' tuners have learnt all that has ended.
    pub fn s8_at_rest(&mut self) {
        // A standby plans nothing, so its tuners learn nothing.
        let leader = self.lease.as_ref().filter(|_| self.elects).map(|lease| lease.holder.clone());
        let leads = |operator: &&String| leader.as_ref().is_none_or(|leader| leader == *operator);
        let operators: Vec<String> = self.tuners.keys().filter(leads).cloned().collect();
        let experiments: Vec<String> =
            self.experiments.iter().filter(|(_, known)| !known.gone).map(|(uid, _)| uid.clone()).collect();
        for operator in &operators {
            for uid in &experiments {
                self.s8_history(operator, uid, Instant::now());
            }
        }
    }

    fn s8_history(&mut self, operator: &str, uid: &str, since: Instant) {
        let Some(learnt) = self.tuners.get(operator).and_then(|learnt| learnt(uid)) else { return };
        let Some(known) = self.experiments.get(uid) else { return };
        let direction = known.last.spec.objectives.first().map_or(Direction::Maximize, |objective| objective.direction);
        let mut wrong = Vec::new();
        // Trials made by hand stand at the end, under numbers of their own.
        let mut told: BTreeMap<u64, f64> = BTreeMap::new();
        for finished in learnt {
            told.insert(finished.index, finished.outcome.loss());
        }
        let mut by_hand = told.range(1 << 63..).count();
        for trial in self.trials.values().filter(|trial| controller(&trial.metadata) == Some(uid)) {
            let Some(ended) = self.lives.get(&trial.uid().unwrap()).and_then(|life| life.ended) else { continue };
            let Some(index) = trial.spec.index else {
                by_hand = by_hand.saturating_sub(1);
                continue;
            };
            match told.remove(&u64::from(index)) {
                None if excused(trial) => {}
                Some(_) if excused(trial) => wrong.push(format!(
                    "has learnt from {}, whose failure says nothing about its parameters",
                    trial.name_any()
                )),
                None if ended < since => wrong.push(format!("has not learnt how {} ended", trial.name_any())),
                Some(loss) if loss != true_loss(trial, direction) => {
                    wrong.push(format!(
                        "has learnt {loss} of {}, not {}",
                        trial.name_any(),
                        true_loss(trial, direction)
                    ));
                }
                _ => {}
            }
        }
        let late = |life: &super::TrialLife| life.experiment == uid && life.gone.is_some_and(|gone| gone >= since);
        let left = told.range(..1 << 63).count() + by_hand;
        if left > self.lives.values().filter(|life| late(life)).count() {
            wrong.push(format!("has learnt of {left} Trials that do not exist: {:?}", told.keys()));
        }
        for what in wrong {
            self.violated("S8", format!("the tuner of {operator} {what}"));
        }
    }

    /// Counts and the incumbent are those of one moment between the sending of the write (or a little before) and now.
    pub(super) fn s9_a_status_follows_from_what_is_stored(
        &mut self,
        before: &Experiment,
        after: &Experiment,
        since: Instant,
    ) {
        let Some(known) = self.experiments.get(&after.uid().unwrap()) else { return };
        let truths: Vec<Truth> = known.truth.since(since).cloned().collect();
        let name = after.name_any();
        let (old, new) = (before.status.clone().unwrap_or_default(), after.status.clone().unwrap_or_default());
        let told = Truth {
            created: new.trials.created,
            pending: new.trials.pending,
            running: new.trials.running,
            succeeded: new.trials.succeeded,
            failed: new.trials.failed,
            early_stopped: new.trials.early_stopped,
            known: new.trials.known,
            slots: 0,
            best: new.best.as_ref().map(known_best),
        };
        let direction = after.spec.objectives.first().map_or(Direction::Maximize, |objective| objective.direction);
        let rank = |best: &(String, f64, f64)| (-best.2, loss(best.1, direction));
        let better = |present: Option<(String, f64, f64)>, stored: Option<(String, f64, f64)>| match (present, stored) {
            (Some(present), Some(stored)) if rank(&stored) < rank(&present) => Some(stored),
            (present, stored) => present.or(stored),
        };
        // What was once counted stays so when the Trial is deleted.
        let expected = |truth: &Truth| Truth {
            created: truth.created.max(old.trials.created),
            succeeded: truth.succeeded.max(old.trials.succeeded),
            failed: truth.failed.max(old.trials.failed),
            early_stopped: truth.early_stopped.max(old.trials.early_stopped),
            known: truth.known.max(old.trials.known),
            slots: 0,
            best: better(truth.best.clone(), old.best.as_ref().map(known_best)),
            ..*truth
        };
        let truths_told: Vec<Truth> = truths.iter().map(expected).collect();
        let follows = match self.slack.is_zero() {
            true => truths_told.contains(&told),
            // An operator's own answers are ahead of what a lagging watch shows it: no moment need fit as a whole.
            false => self.s9_each_count_was_true_once(&after.uid().unwrap(), &truths_told, &told),
        };
        if !follows {
            self.violated("S9", format!("{name} tells\n  {told:?}\nand stored is\n  {truths_told:?}"));
        }
        let ends = |kind| is_true(&new.conditions, kind) && !is_true(&old.conditions, kind);
        if (ends(types::COMPLETE) || ends(types::FAILED)) && truths.iter().all(|truth| truth.slots > 0) {
            self.violated("S9", format!("{name} is told to have ended while trials run"));
        }
        if new.observed_generation > after.metadata.generation {
            self.violated("S9", format!("{name} has observed a generation that does not exist"));
        }
    }
}

impl Witness {
    fn s9_each_count_was_true_once(&self, uid: &str, truths: &[Truth], told: &Truth) -> bool {
        let ever = self.lives.values().filter(|life| life.experiment == uid && life.ended.is_some()).count();
        let ever = u32::try_from(ever).unwrap();
        let between = |count: fn(&Truth) -> u32, most: u32| {
            let least = truths.iter().map(count).min().unwrap_or(0);
            let most = truths.iter().map(count).max().unwrap_or(0).max(most);
            (least..=most).contains(&count(told))
        };
        between(|truth| truth.created, 0)
            && between(|truth| truth.pending, 0)
            && between(|truth| truth.running, 0)
            && between(|truth| truth.succeeded, ever)
            && between(|truth| truth.failed, ever)
            && between(|truth| truth.early_stopped, ever)
            && between(|truth| truth.known, ever)
            && truths.iter().any(|truth| truth.best == told.best)
    }
}

/// As [`Truth::best`].
fn known_best(best: &Best) -> (String, f64, f64) {
    (best.trial.clone(), best.value, best.fidelity.unwrap_or(0.0))
}

fn loss(value: f64, direction: Direction) -> f64 {
    if direction == Direction::Maximize { -value } else { value }
}

/// It failed because it was interrupted too often.
fn excused(trial: &Trial) -> bool {
    let conditions = trial.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    conditions.iter().any(|condition| {
        condition.r#type == types::FAILED && condition.status == "True" && condition.reason == "RetriesExhausted"
    })
}

fn true_loss(trial: &Trial, direction: Direction) -> f64 {
    let status = trial.status.clone().unwrap_or_default();
    let value = status.objective.map_or(f64::NAN, |value| loss(value, direction));
    match is_true(&status.conditions, types::FAILED) {
        true => Outcome::Failed.loss(),
        false => Outcome::Complete { losses: vec![value] }.loss(),
    }
}
