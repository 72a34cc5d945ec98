//! The Experiment's status: counts, conditions, and what of it is worth an Event.

use super::action::{Action, Event};
use super::claim::stays;
use super::clock;
use super::compile::Accepted;
use super::experiment::{better, max_duration};
use super::goals::front;
use super::membership::joins;
use super::plan::Planner;
use super::standing::{runs, takes_slot};
use super::status::{later, set, stored};
use super::suggest::Stop;
use super::usage::used_up_at;
use crate::api::conditions::{find, has_ended, reasons, types};
use crate::api::{Condition, ExperimentStatus, TrialCounts};
use jiff::SignedDuration;
use kube::{Resource, ResourceExt};

impl Planner<'_> {
    pub(super) fn write_status(&mut self) {
        self.set_conditions();
        self.set_clock();
        let before = self.snapshot.experiment.status.clone().unwrap_or_default();
        if self.status == before {
            return;
        }
        let interval = SignedDuration::from_millis(self.snapshot.settings.status_interval_ms);
        let next = self.snapshot.facts.status_written.map(|written| later(written, interval));
        if let Some(next) = next.filter(|next| *next > self.now)
            && !urgent(&before, &self.status)
        {
            self.wake(Some(next));
            return;
        }
        self.plan.actions.push(Action::WriteExperimentStatus {
            resource_version: self.snapshot.experiment.resource_version().unwrap_or_default(),
            events: events(&before.conditions, &self.status.conditions),
            status: Box::new(self.status.clone()),
        });
    }

    /// What is counted of the trials; it does not depend on what this plan does.
    pub(super) fn count(&mut self, created: u32) {
        let ledger = self.snapshot.ledger;
        let ended = ledger.counts();
        let running = number(ledger.active().filter(|trial| joins(trial) && runs(trial)).count());
        let before = self.status.trials;
        self.status.trials = TrialCounts {
            created,
            pending: number(ledger.active().filter(|trial| joins(trial)).count()).saturating_sub(running),
            running,
            // Ended trials may be deleted by hand; that does not undo that they have ended.
            succeeded: before.succeeded.max(ended.succeeded),
            failed: before.failed.max(ended.failed),
            excused: before.excused.max(ended.excused),
            early_stopped: before.early_stopped.max(ended.early_stopped),
            known: before.known.max(ended.known),
        };
        self.status.usage = self.status.usage.max(ledger.usage());
        self.status.best = better(self.snapshot, self.status.best.take());
        if ledger.history().is_some() {
            self.status.pareto_front = front(self.snapshot);
        }
    }

    fn set_conditions(&mut self) {
        let generation = self.snapshot.experiment.meta().generation;
        let now = self.now;
        let suspended = self.snapshot.experiment.spec.suspend;
        let (complete, failed) = self.outcome();
        let conditions = &mut self.status.conditions;
        match &self.accepted {
            Accepted::Yes(_) => set(conditions, types::ACCEPTED, true, reasons::VALID, "", generation, now),
            Accepted::No(problem) => {
                set(conditions, types::ACCEPTED, false, problem.reason, problem.message.clone(), generation, now)
            }
            Accepted::Asking | Accepted::Refused(_) => {}
        }
        if suspended || find(conditions, types::SUSPENDED).is_some() {
            let reason = if suspended { reasons::SUSPENDED } else { reasons::NOT_SUSPENDED };
            set(conditions, types::SUSPENDED, suspended, reason, "", generation, now);
        }
        // A new spec may open an experiment that has ended; until it is accepted, the end stands as it was.
        if self.end.is_none() && has_ended(conditions) && !matches!(self.accepted, Accepted::Yes(_)) {
            if !matches!(self.accepted, Accepted::No(_)) {
                let before = self.snapshot.experiment.status.as_ref();
                self.status.observed_generation = before.and_then(|status| status.observed_generation);
            }
            return;
        }
        set(conditions, types::COMPLETE, complete.0, &complete.1, complete.2, generation, now);
        if failed.is_some() || find(conditions, types::FAILED).is_some() {
            let (status, reason, message) = failed
                .map_or((false, reasons::NOT_FAILED.to_owned(), String::new()), |(reason, message)| {
                    (true, reason, message)
                });
            set(conditions, types::FAILED, status, &reason, message, generation, now);
        }
        self.status.completion_time = match (has_ended(conditions), self.status.completion_time) {
            (true, None) => Some(stored(now)),
            (true, time) => time,
            (false, _) => None,
        };
    }

    /// The time of `limits.maxDuration` runs or stands still from now on.
    fn set_clock(&mut self) {
        let (now, ended) = (self.now, has_ended(&self.status.conditions));
        match self.accepted {
            _ if ended || self.snapshot.experiment.spec.suspend => clock::halt(&mut self.status, now),
            Accepted::No(_) => clock::halt(&mut self.status, now),
            Accepted::Yes(_) => clock::run(&mut self.status, now),
            // As before.
            Accepted::Asking | Accepted::Refused(_) => {}
        }
        let deadline = max_duration(&self.snapshot.experiment.spec);
        self.wake(deadline.and_then(|most| clock::deadline(&self.status, most)).filter(|at| *at > now));
        if self.end.is_none() {
            self.wake(used_up_at(self.snapshot, &self.status, now));
        }
    }

    /// Complete (status, reason, message), and Failed (reason, message) when it has failed.
    fn outcome(&self) -> ((bool, String, String), Option<(String, String)>) {
        // An end is told once nothing runs any more, so that the counts told with it are final.
        let still = self.snapshot.ledger.active().filter(|trial| takes_slot(trial, self.snapshot.ledger)).count();
        match &self.end {
            Some(end) if still == 0 => {
                let failed = (!end.complete).then(|| (end.reason.clone(), end.message.clone()));
                let mut message = end.message.clone();
                // What was recorded says so already.
                if let Some(stays) = stays(self.snapshot).filter(|stays| !message.contains(stays)) {
                    message = format!("{message}; {stays}");
                }
                return ((end.complete, end.reason.clone(), message), failed);
            }
            Some(end) => {
                let message = format!("{}; stopping {still} trials", end.message);
                // This one is decided once it is stored.
                let reason = match end.reason.as_str() {
                    reasons::MAX_GPU_HOURS_REACHED => reasons::MAX_GPU_HOURS_REACHED,
                    _ => reasons::RUNNING,
                };
                return ((false, reason.into(), message), None);
            }
            None => {}
        }
        let trials = &self.status.trials;
        let (reason, message) = if let Accepted::No(problem) = &self.accepted {
            (problem.reason, problem.message.clone())
        } else if let Some(Stop::Broken(message)) = &self.nothing_more {
            (reasons::TUNER_FAILED, format!("the tuner failed, which is a bug: {message}"))
        } else if self.snapshot.experiment.spec.suspend {
            (reasons::SUSPENDED, format!("spec.suspend is true; {} trials go on to their end", trials.running))
        } else if let Some((reason, message)) = &self.blocked {
            (*reason, message.clone())
        } else if let (0, Some(why)) = (trials.running, &self.waiting) {
            (reasons::PENDING, why.clone())
        } else {
            let (ended, all) = (trials.ended(), self.snapshot.experiment.spec.limits.max_trials);
            let next = self.note().map(|note| format!("; next: {note}")).unwrap_or_default();
            (reasons::RUNNING, format!("{ended} of {all} trials have ended{next}"))
        };
        ((false, reason.into(), message), None)
    }
}

/// Something a person waits for has changed, not only counters.
fn urgent(before: &ExperimentStatus, after: &ExperimentStatus) -> bool {
    let gist = |status: &ExperimentStatus| -> Vec<(String, String, String)> {
        let conditions = status.conditions.iter();
        conditions.map(|c| (c.r#type.clone(), c.status.clone(), c.reason.clone())).collect()
    };
    before.observed_generation != after.observed_generation || gist(before) != gist(after)
}

/// Transitions worth an Event.
fn events(before: &[Condition], after: &[Condition]) -> Vec<Event> {
    let mut events = Vec::new();
    for new in after {
        let old = find(before, &new.r#type);
        if old.is_some_and(|old| old.status == new.status && old.reason == new.reason) {
            continue;
        }
        let warning = match (new.r#type.as_str(), new.status.as_str()) {
            (types::COMPLETE, "True") | (types::SUSPENDED, "True") => false,
            (types::FAILED, "True") | (types::ACCEPTED, "False") => true,
            (types::COMPLETE, "False")
                if matches!(
                    new.reason.as_str(),
                    reasons::NAME_TAKEN | reasons::API_REFUSED | reasons::TUNER_FAILED
                ) =>
            {
                true
            }
            _ => continue,
        };
        if let Some((reason, _)) = reasons::ALL.iter().find(|(reason, _)| *reason == new.reason) {
            events.push(Event { warning, reason, note: new.message.clone() });
        }
    }
    events
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
