//! The plan: trials first, then new ones, then what is not needed any more, and the Experiment's status last.

use super::action::{Action, Event, Plan};
use super::compile::{Compiled, Problem};
use super::experiment::{End, at_once, deadline, drained, recorded};
use super::membership::{experiment_reference, joins, name_of};
use super::snapshot::Snapshot;
use super::status::{later, set, stored};
use super::suggest::{Stop, assignments};
use super::trial::{self, Context, RECHECK, started, takes_slot};
use crate::api::conditions::{find, is_true, reasons, types};
use crate::api::{Best, Condition, ExperimentStatus, Trial, TrialCounts, TrialSpec, labels};
use crate::space::Assignment;
use jiff::{SignedDuration, Timestamp};
use kube::{Resource, ResourceExt};
use serde_json::json;

/// What to do now, and when to look again. Total: bad input becomes a condition.
pub fn plan(snapshot: &Snapshot<'_>, now: Timestamp) -> Plan {
    if snapshot.experiment.meta().deletion_timestamp.is_some() {
        return Plan::default();
    }
    let mut planner = Planner::new(snapshot, now);
    planner.accept();
    planner.run_trials();
    planner.create_trials();
    planner.clean_up();
    planner.write_status();
    planner.plan
}

/// Whether the spec can be run.
enum Accepted<'a> {
    Yes(&'a Compiled),
    No(Problem),
    /// The API server is being asked.
    Asking,
}

struct Planner<'a> {
    snapshot: &'a Snapshot<'a>,
    now: Timestamp,
    plan: Plan,
    status: ExperimentStatus,
    accepted: Accepted<'a>,
    /// The experiment has ended, or is about to: what runs is stopped.
    end: Option<End>,
    /// Why the tuner had nothing to propose.
    nothing_more: Option<Stop>,
    created: u32,
    /// Trials that take a slot.
    busy: usize,
    /// The first trial that waits, and why.
    waiting: Option<String>,
    /// The first action that keeps failing: reason and sentence.
    blocked: Option<(&'static str, String)>,
}

impl<'a> Planner<'a> {
    fn new(snapshot: &'a Snapshot<'a>, now: Timestamp) -> Self {
        let mut status = snapshot.experiment.status.clone().unwrap_or_default();
        status.observed_generation = snapshot.experiment.meta().generation;
        status.start_time = status.start_time.or(Some(stored(now)));
        let created = status.trials.created.max(snapshot.ledger.next_index());
        let busy = snapshot.ledger.active().filter(|trial| takes_slot(trial, snapshot.ledger)).count();
        Planner {
            snapshot,
            now,
            plan: Plan::default(),
            status,
            accepted: Accepted::Asking,
            end: None,
            nothing_more: None,
            created,
            busy,
            waiting: None,
            blocked: None,
        }
    }

    /// Asks for an action; one that keeps failing is tried now and then only. False: not now.
    fn push(&mut self, action: Action) -> bool {
        let blocked = &self.snapshot.facts.blocked;
        if let Some((what, blocked)) = (!blocked.is_empty()).then(|| blocked.get_key_value(&action.what())).flatten() {
            self.blocked.get_or_insert_with(|| (blocked.reason, format!("cannot {what}: {}", blocked.message)));
            let again = later(blocked.at, RECHECK);
            if self.now < again {
                self.wake(Some(again));
                return false;
            }
        }
        self.plan.actions.push(action);
        true
    }

    fn accept(&mut self) {
        self.end = recorded(self.snapshot);
        let generation = self.snapshot.experiment.meta().generation;
        let compiled = match self.snapshot.compiled {
            Ok(compiled) => compiled,
            Err(problem) => {
                self.accepted = Accepted::No(problem.clone());
                return;
            }
        };
        let known = find(&self.status.conditions, types::ACCEPTED)
            .is_some_and(|condition| condition.status == "True" && condition.observed_generation == generation);
        let probe = self.snapshot.facts.probe.as_ref().filter(|probe| Some(probe.generation) == generation);
        self.accepted = match probe {
            _ if known || self.end.is_some() => Accepted::Yes(compiled),
            Some(probe) => match &probe.refusal {
                None => Accepted::Yes(compiled),
                Some(sentence) => Accepted::No(Problem::new(reasons::INVALID_TEMPLATE, sentence.clone())),
            },
            None => {
                self.probe(compiled, generation.unwrap_or_default());
                Accepted::Asking
            }
        };
        if self.end.is_none() {
            self.end = at_once(self.snapshot, compiled, self.status.start_time, self.now);
            self.wake(deadline(self.status.start_time, compiled));
        }
    }

    /// Asks the API server whether it would take the Job of a trial that is not made.
    fn probe(&mut self, compiled: &Compiled, generation: i64) {
        let name = self.name_of(self.created);
        let (made, _) = assignments(compiled, self.snapshot.ledger, self.seed(), self.created, 1);
        let assignment = made.into_iter().next().map(|(_, assignment)| assignment).unwrap_or_default();
        let manifest = self.rendered(compiled, &name, self.created, &assignment);
        // The Trial does not exist, so its owner reference has a UID that no object has.
        let uid = "00000000-0000-0000-0000-000000000000";
        let trial = (name.as_str(), uid, Some(self.created), 0);
        let job = trial::job_of(self.snapshot, compiled, trial, &manifest, &assignment);
        self.plan.actions.push(Action::ProbeTemplate { generation, job: Box::new(job) });
    }

    fn run_trials(&mut self) {
        let compiled = self.compiled();
        for trial in self.snapshot.ledger.active() {
            let slot = takes_slot(trial, self.snapshot.ledger);
            let parallel = self.snapshot.experiment.spec.limits.parallel_trials as usize;
            let context = Context {
                snapshot: self.snapshot,
                compiled,
                end: self.end.as_ref(),
                free_slot: self.busy < parallel,
                now: self.now,
            };
            let step = trial::step(trial, &context);
            let starts = step.actions.iter().any(|action| matches!(action, Action::CreateJob { .. }));
            for action in step.actions {
                self.push(action);
            }
            self.wake(step.wake_at);
            if let Some((_, why)) = step.waiting {
                self.waiting.get_or_insert_with(|| format!("trial {}: {why}", trial.name_any()));
            }
            if starts && !slot {
                self.busy += 1;
            }
        }
    }

    /// What running trials are judged with: the spec, even while the API server is being asked about its new template.
    fn compiled(&self) -> Option<&'a Compiled> {
        self.snapshot.compiled.as_ref().ok()
    }

    fn create_trials(&mut self) {
        let Accepted::Yes(compiled) = self.accepted else { return };
        let spec = &self.snapshot.experiment.spec;
        if self.end.is_some() || spec.suspend {
            return;
        }
        let free = (spec.limits.parallel_trials as usize).saturating_sub(self.busy);
        let left = spec.limits.max_trials.saturating_sub(self.created) as usize;
        if free.min(left) > 0 {
            let (made, stop) = assignments(compiled, self.snapshot.ledger, self.seed(), self.created, free.min(left));
            for (index, assignment) in made {
                let trial = self.trial(compiled, index, assignment);
                if !self.push(Action::CreateTrial { trial: Box::new(trial) }) {
                    // Later ones would leave a gap in the sequence.
                    break;
                }
                self.busy += 1;
            }
            self.nothing_more = stop;
        }
        if self.busy == 0 {
            self.end = drained(self.snapshot, self.created, self.nothing_more.as_ref());
        }
    }

    fn trial(&self, compiled: &Compiled, index: u32, assignments: Assignment) -> Trial {
        let experiment = self.snapshot.experiment;
        let name = self.name_of(index);
        let manifest = self.rendered(compiled, &name, index, &assignments);
        let spec =
            TrialSpec { experiment: experiment.name_any(), index: Some(index), assignments, manifest: Some(manifest) };
        let mut trial = Trial::new(&name, spec);
        let metadata = trial.meta_mut();
        metadata.namespace = experiment.namespace();
        metadata.labels = Some(
            [
                (labels::EXPERIMENT, experiment.name_any()),
                (labels::EXPERIMENT_UID, experiment.uid().unwrap_or_default()),
                (labels::INDEX, index.to_string()),
                (labels::MANAGED_BY, labels::MANAGER.to_owned()),
            ]
            .map(|(key, value)| (key.to_owned(), value))
            .into(),
        );
        metadata.owner_references = serde_json::from_value(json!([experiment_reference(experiment)])).ok();
        trial
    }

    fn rendered(&self, compiled: &Compiled, name: &str, index: u32, assignment: &Assignment) -> serde_json::Value {
        trial::rendered(compiled, &self.snapshot.experiment.name_any(), name, Some(index), assignment)
    }

    fn name_of(&self, index: u32) -> String {
        name_of(&self.snapshot.experiment.name_any(), index)
    }

    fn seed(&self) -> u64 {
        self.snapshot.experiment.spec.algorithm.seed.unsigned_abs()
    }

    fn clean_up(&mut self) {
        for job in self.snapshot.ledger.cleanup() {
            self.push(Action::DeleteJob { name: job.name.clone(), uid: job.uid.clone() });
        }
    }

    fn write_status(&mut self) {
        self.count();
        self.set_conditions();
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

    fn count(&mut self) {
        let ledger = self.snapshot.ledger;
        let ended = ledger.counts();
        let running = ledger.active().filter(|trial| joins(trial) && started(trial)).count() as u32;
        let before = self.status.trials;
        self.status.trials = TrialCounts {
            created: self.created,
            pending: ledger.active().filter(|trial| joins(trial)).count() as u32 - running,
            running,
            // Ended trials may be deleted by hand; that does not undo that they have ended.
            succeeded: before.succeeded.max(ended.succeeded),
            failed: before.failed.max(ended.failed),
            early_stopped: before.early_stopped.max(ended.early_stopped),
        };
        if let Some((name, best)) = ledger.best()
            && let Some(value) = best.objective
        {
            self.status.best = Some(Best { trial: name.to_owned(), value, assignments: best.assignment.clone() });
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
            Accepted::Asking => {}
        }
        if suspended || find(conditions, types::SUSPENDED).is_some() {
            let reason = if suspended { reasons::SUSPENDED } else { reasons::NOT_SUSPENDED };
            set(conditions, types::SUSPENDED, suspended, reason, "", generation, now);
        }
        set(conditions, types::COMPLETE, complete.0, &complete.1, complete.2, generation, now);
        if failed.is_some() || find(conditions, types::FAILED).is_some() {
            let (status, reason, message) = failed
                .map_or((false, reasons::NOT_FAILED.to_owned(), String::new()), |(reason, message)| {
                    (true, reason, message)
                });
            set(conditions, types::FAILED, status, &reason, message, generation, now);
        }
        let ended = is_true(conditions, types::COMPLETE) || is_true(conditions, types::FAILED);
        self.status.completion_time = match (ended, self.status.completion_time) {
            (true, None) => Some(stored(now)),
            (true, time) => time,
            (false, _) => None,
        };
    }

    /// Complete (status, reason, message), and Failed (reason, message) when it has failed.
    fn outcome(&self) -> ((bool, String, String), Option<(String, String)>) {
        // An end is told once nothing runs any more, so that the counts told with it are final.
        let still = self.snapshot.ledger.active().filter(|trial| takes_slot(trial, self.snapshot.ledger)).count();
        match &self.end {
            Some(end) if still == 0 => {
                let failed = (!end.complete).then(|| (end.reason.clone(), end.message.clone()));
                return ((end.complete, end.reason.clone(), end.message.clone()), failed);
            }
            Some(end) => {
                let message = format!("{}; stopping {still} trials", end.message);
                return ((false, reasons::RUNNING.into(), message), None);
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
            let ended = trials.succeeded + trials.failed + trials.early_stopped;
            (
                reasons::RUNNING,
                format!("{ended} of {} trials have ended", self.snapshot.experiment.spec.limits.max_trials),
            )
        };
        ((false, reason.into(), message), None)
    }

    fn wake(&mut self, at: Option<Timestamp>) {
        self.plan.wake_at = match (self.plan.wake_at, at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
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
            _ => continue,
        };
        if let Some((reason, _)) = reasons::ALL.iter().find(|(reason, _)| *reason == new.reason) {
            events.push(Event { warning, reason, note: new.message.clone() });
        }
    }
    events
}
