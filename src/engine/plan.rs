//! The plan: trials first, then new ones, then what is not needed any more, and the Experiment's status last.

use super::action::{Action, Plan};
use super::claim::claim;
use super::clock;
use super::compile::{Accepted, Compiled, Problem};
use super::experiment::{End, at_once, default_max_failed, drained, is_announced, recorded, still_holds};
use super::membership::name_of;
use super::snapshot::Snapshot;
use super::stage::parent;
use super::standing::takes_slot;
use super::status::{later, stored};
use super::suggest::{Stop, note, suggestions};
use super::trial::{self, Context, LONGEST_LOOK, RECHECK};
use crate::api::conditions::{find, reasons, types};
use crate::api::{ExperimentStatus, Trial, TrialSpec};
use crate::space::Assignment;
use crate::tuner::Suggestion;
use jiff::Timestamp;
use kube::{Resource, ResourceExt};

/// What to do now, and when to look again. Total: bad input becomes a condition.
pub fn plan(snapshot: &Snapshot<'_>, now: Timestamp) -> Plan {
    if snapshot.experiment.meta().deletion_timestamp.is_some() {
        return Plan::default();
    }
    let mut planner = Planner::new(snapshot, now);
    planner.accept();
    planner.inform_rules();
    planner.run_trials();
    planner.create_trials();
    planner.clean_up();
    planner.write_status();
    planner.plan
}

/// Said of an Experiment that cannot be measured here.
const NO_PROMETHEUS: &str = "metrics.source.prometheusQuery: this operator has no Prometheus to ask; start it with \
                             --prometheus-url (in the chart: prometheus.url), or choose another source";

/// Most trials that one plan makes; the schema allows no more at a time.
const AT_A_TIME: usize = 1000;

/// Makes one plan.
pub(super) struct Planner<'a> {
    pub(super) snapshot: &'a Snapshot<'a>,
    pub(super) now: Timestamp,
    pub(super) plan: Plan,
    /// The status as it will be written.
    pub(super) status: ExperimentStatus,
    pub(super) accepted: Accepted<'a>,
    /// The experiment has ended, or is about to: what runs is stopped.
    pub(super) end: Option<End>,
    /// Why the tuner had nothing to propose.
    pub(super) nothing_more: Option<Stop>,
    created: u32,
    /// Trials that take a slot.
    busy: usize,
    /// The first trial that waits, and why.
    pub(super) waiting: Option<String>,
    /// The first action that keeps failing: reason and sentence.
    pub(super) blocked: Option<(&'static str, String)>,
}

impl<'a> Planner<'a> {
    fn new(snapshot: &'a Snapshot<'a>, now: Timestamp) -> Self {
        let mut status = snapshot.experiment.status.clone().unwrap_or_default();
        status.observed_generation = snapshot.experiment.meta().generation;
        status.start_time = status.start_time.or(Some(stored(now)));
        status.max_failed_trials = default_max_failed(&snapshot.experiment.spec, status.max_failed_trials);
        if let Some(away) = snapshot.settings.away {
            clock::away(&mut status, away);
        }
        let created = status.trials.created.max(snapshot.ledger.next_index());
        let busy = snapshot.ledger.active().filter(|trial| takes_slot(trial, snapshot.ledger)).count();
        let mut planner = Planner {
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
        };
        planner.count(created);
        planner
    }

    /// Asks for an action; one that keeps failing is tried now and then only. False: not now.
    pub(super) fn push(&mut self, action: Action) -> bool {
        let blocked = &self.snapshot.facts.blocked;
        if let Some((what, blocked)) = (!blocked.is_empty()).then(|| blocked.get_key_value(&action.what())).flatten() {
            self.blocked.get_or_insert_with(|| (blocked.reason, format!("cannot {what}: {}", blocked.message)));
            // That a name is free is seen, but of a claim; whether something is allowed must be tried.
            let waited = match blocked.reason {
                reasons::NAME_TAKEN if !matches!(action, Action::CreateClaim { .. }) => LONGEST_LOOK,
                _ => blocked.at.duration_since(blocked.since).clamp(RECHECK, LONGEST_LOOK),
            };
            let again = later(blocked.at, waited);
            if self.now < again {
                self.wake(Some(again));
                return false;
            }
        }
        self.plan.actions.push(action);
        true
    }

    fn accept(&mut self) {
        let (recorded, spec) = (recorded(self.snapshot), &self.snapshot.experiment.spec);
        let old = recorded.filter(|(end, present)| {
            let nothing_more = || self.propose(1).is_some_and(|(_, stop)| stop.is_some_and(|stop| stop.is_final()));
            *present || still_holds(end, spec, &self.status, self.now, self.busy, nothing_more)
        });
        self.end = old.map(|(end, _)| end).or_else(|| at_once(self.snapshot, &self.status, self.now));
        self.accepted = self.judge_spec();
    }

    fn judge_spec(&mut self) -> Accepted<'a> {
        let generation = self.snapshot.experiment.meta().generation;
        let compiled = match self.snapshot.compiled {
            Ok(compiled) => compiled,
            Err(problem) => return Accepted::No(problem.clone()),
        };
        if self.snapshot.experiment.spec.metrics.source.prometheus_query.is_some()
            && self.snapshot.settings.prometheus.is_none()
            && self.end.is_none()
        {
            return Accepted::No(Problem::new(reasons::INVALID_METRICS, NO_PROMETHEUS));
        }
        let known = find(&self.status.conditions, types::ACCEPTED)
            .filter(|condition| condition.observed_generation == generation);
        if known.is_some_and(|condition| condition.status == "True") {
            return Accepted::Yes(compiled);
        }
        if self.end.is_some() {
            return if known.is_some() { Accepted::Asking } else { Accepted::Yes(compiled) };
        }
        let probe = self.snapshot.facts.probe.as_ref().filter(|probe| Some(probe.generation) == generation);
        let Some(probe) = probe else {
            self.probe(compiled, generation.unwrap_or_default());
            return Accepted::Asking;
        };
        match &probe.refusal {
            None => Accepted::Yes(compiled),
            Some(sentence) if probe.may_pass => {
                let sentence = format!("cannot try out the template's Job: {sentence}");
                self.blocked = Some((reasons::API_REFUSED, sentence.clone()));
                Accepted::Refused(sentence)
            }
            Some(sentence) => Accepted::No(Problem::new(reasons::INVALID_TEMPLATE, sentence.clone())),
        }
    }

    /// What the tuner proposes for the next trials, and why it stopped before; `None` while the spec cannot be run.
    fn propose(&self, count: usize) -> Option<(Vec<(u32, Suggestion)>, Option<Stop>)> {
        let compiled = self.snapshot.compiled.as_ref().ok()?;
        Some(suggestions(compiled, self.snapshot.ledger, self.seed(), self.created, count))
    }

    /// How the next trial will be chosen; `None` where there is nothing to say, or no next one.
    pub(super) fn note(&self) -> Option<String> {
        let more = self.created < self.snapshot.experiment.spec.limits.max_trials;
        let compiled = self.snapshot.compiled.as_ref().ok().filter(|_| more)?;
        note(compiled, self.snapshot.ledger, self.seed(), self.created)
    }

    /// Asks the API server whether it would take the Job of a trial that is not made.
    fn probe(&mut self, compiled: &Compiled, generation: i64) {
        let name = self.name_of(self.created);
        let made = self.propose(1).and_then(|(made, _)| made.into_iter().next());
        // A tuner that has nothing to propose says nothing about the template.
        let suggestion = made.map_or_else(|| Suggestion::new(compiled.space.decode(&[])), |(_, suggestion)| suggestion);
        let fidelity = suggestion.stage.map(|stage| stage.fidelity);
        let assignment = compiled.told(&suggestion.assignment, fidelity);
        let manifest = self.rendered(compiled, &name, self.created, &assignment);
        // The Trial does not exist, so its owner reference has a UID that no object has.
        let uid = "00000000-0000-0000-0000-000000000000";
        let trial = (name.as_str(), uid, Some(self.created), 0);
        let job = trial::job_of(self.snapshot, compiled, trial, &manifest, &assignment, None);
        let claim = claim(self.snapshot).map(Box::new);
        self.plan.actions.push(Action::ProbeTemplate { generation, job: Box::new(job), claim });
    }

    fn inform_rules(&mut self) {
        if self.end.is_none() && self.snapshot.ledger.lacks_curves() {
            self.push(Action::ReadCurves);
        }
    }

    /// The end for which trials are stopped. How much they have used depends on when one looks, so for that a trial is stopped
    /// only once it is stored.
    fn stored_end(&self) -> Option<&End> {
        self.end.as_ref().filter(|end| end.reason != reasons::MAX_GPU_HOURS_REACHED || is_announced(self.snapshot, end))
    }

    fn run_trials(&mut self) {
        let parallel = self.snapshot.experiment.spec.limits.parallel_trials as usize;
        for trial in self.snapshot.ledger.active() {
            let slot = takes_slot(trial, self.snapshot.ledger);
            let context = Context {
                snapshot: self.snapshot,
                accepted: &self.accepted,
                end: self.stored_end(),
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

    fn create_trials(&mut self) {
        let spec = &self.snapshot.experiment.spec;
        if self.end.is_some() {
            return;
        }
        if let (Accepted::Yes(compiled), false) = (&self.accepted, spec.suspend) {
            let compiled = *compiled;
            if !self.claim_is_there() || !self.start_with_known(&compiled.known, &compiled.space) {
                return;
            }
            let free = (spec.limits.parallel_trials as usize).saturating_sub(self.busy);
            let left = spec.limits.max_trials.saturating_sub(self.created) as usize;
            let (made, stop) = self.propose(free.min(left).min(AT_A_TIME)).unwrap_or_default();
            for (index, suggestion) in made {
                let trial = self.trial(compiled, index, suggestion);
                if !self.push(Action::CreateTrial { trial: Box::new(trial) }) {
                    // Later ones would leave a gap in the sequence.
                    break;
                }
                self.busy += 1;
            }
            self.nothing_more = stop;
        }
        // Nothing runs, and nothing that is wanted is missing: that holds for a suspended one as well.
        if self.busy == 0 {
            self.end = drained(spec, &self.status, self.nothing_more.as_ref());
        }
    }

    fn trial(&self, compiled: &Compiled, index: u32, suggestion: Suggestion) -> Trial {
        let name = self.name_of(index);
        let fidelity = suggestion.stage.map(|stage| stage.fidelity);
        let from = suggestion.stage.and_then(|stage| stage.parent);
        let told = compiled.told(&suggestion.assignment, fidelity);
        let spec = TrialSpec {
            index: Some(index),
            manifest: Some(self.rendered(compiled, &name, index, &told)),
            fidelity,
            parent: from.and_then(|order| parent(self.snapshot.ledger, order)),
            experiment: self.snapshot.experiment.name_any(),
            assignments: suggestion.assignment,
            ..TrialSpec::default()
        };
        self.owned(Trial::new(&name, spec))
    }

    fn rendered(&self, compiled: &Compiled, name: &str, index: u32, assignment: &Assignment) -> serde_json::Value {
        trial::rendered(compiled, &self.snapshot.experiment.name_any(), name, Some(index), assignment)
    }

    fn name_of(&self, index: u32) -> String {
        name_of(&self.snapshot.experiment.name_any(), index)
    }

    /// Trials of the operator's own so far.
    pub(super) fn created(&self) -> u32 {
        self.created
    }

    fn seed(&self) -> u64 {
        self.snapshot.experiment.spec.algorithm.seed.unsigned_abs()
    }

    fn clean_up(&mut self) {
        for job in self.snapshot.ledger.cleanup() {
            let (name, uid, trial) = (job.name.clone(), job.uid.clone(), job.trial.clone());
            self.push(Action::DeleteJob { name, uid, trial });
        }
    }

    pub(super) fn wake(&mut self, at: Option<Timestamp>) {
        self.plan.wake_at = match (self.plan.wake_at, at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}
