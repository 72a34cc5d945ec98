//! One pass over an Experiment: plan, act, take in what was learnt, and plan again until there is nothing to do.

use super::act::{Done, Hand, Learnt, Subject};
use super::clock::Clock;
use super::desk::Desk;
use super::events::Events;
use super::failure::{Class, Failure};
use super::index::{Key, Kind, Lookup, Moment, Uid, name};
use super::mutation::Mutation;
use super::reports::Reports;
use super::shared::Shared;
use super::traces::Traces;
use super::turn::Progress;
use super::watch::Name;
use super::wire::Pen;
use crate::api::Experiment;
use crate::api::conditions::has_ended;
use crate::engine::{Action, Finished, Plan, Settings, orphan};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Resource, ResourceExt};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A pass takes at most this many turns; a plan that still wants more has a loop in it.
const TURNS: usize = 64;
/// Turns in a row whose plan was void before the pass is broken off and tried later.
const VOID_TURNS: usize = 8;

/// Makes passes. At most one at a time for each key.
pub struct Reconciler {
    /// The index and the queue.
    pub shared: Arc<Shared>,
    /// Carries out actions.
    pub hand: Hand,
    /// Whether we may write, and where it is counted.
    pub pen: Pen,
    /// Publishes Events.
    pub events: Events,
    /// Stores what trials have said.
    pub reports: Arc<Reports>,
    /// Exports traces, where they are wanted.
    pub traces: Option<Traces>,
    /// The time.
    pub clock: Clock,
    /// For the engine.
    pub settings: Settings,
    /// None, outside tests.
    pub mutation: Mutation,
    desks: Mutex<HashMap<Uid, Arc<Mutex<Desk>>>>,
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// When to look again if nothing happens before.
    pub wake_at: Option<Timestamp>,
    /// There is something that could be missed, so look again now and then.
    pub restless: bool,
}

impl Reconciler {
    /// Nothing is known yet.
    pub fn new(
        shared: Arc<Shared>,
        hand: Hand,
        pen: Pen,
        (events, reports, traces): (Events, Arc<Reports>, Option<Traces>),
        clock: Clock,
        settings: Settings,
        mutation: Mutation,
    ) -> Self {
        Reconciler { shared, hand, pen, events, reports, traces, clock, settings, mutation, desks: Mutex::default() }
    }

    /// One pass. `failures`: how often in a row this key has failed before.
    ///
    /// # Errors
    /// The first failure that cannot be dealt with at once.
    pub async fn pass(&self, key: &Key, failures: u32) -> Result<Rest, Failure> {
        match key {
            Key::Experiment(uid) => self.experiment(key, uid, failures).await,
            Key::Orphan(name) => self.orphan(name).await,
        }
    }

    async fn experiment(&self, key: &Key, uid: &Uid, failures: u32) -> Result<Rest, Failure> {
        let asleep = Rest { wake_at: None, restless: false };
        let desk = self.desk(uid);
        let (mut void, mut heard) = (0, HashSet::new());
        for _ in 0..TURNS {
            self.shared.queue.renewed(key);
            let (work, synced) = self.shared.with(|index| (index.take(uid), index.synced()));
            lock(&desk).take(self.mutation.changes(work.changes), self.clock.now());
            if work.forgotten {
                lock(&self.desks).remove(uid);
                return Ok(asleep);
            }
            let Some(experiment) = work.experiment else { return Ok(asleep) };
            let may_plan = synced || self.mutation == Mutation::PlanUnsynced;
            if !may_plan || !self.pen.gate.is_open() {
                // Both wake it when they change; what is not finished does not rely on that alone.
                return Ok(Rest { wake_at: None, restless: !has_ended(experiment.conditions()) });
            }
            let now = self.clock.now();
            let due = lock(&desk).due(now);
            let started = std::time::Instant::now();
            let plan = lock(&desk).plan(&experiment, &self.settings, now).map_err(|said| bug(&experiment, said))?;
            self.time_suggestions(&plan, &experiment, started.elapsed());
            let plan = self.mutation.plan(plan, &experiment, &lock(&desk));
            if due.is_empty() && plan.actions.is_empty() {
                return Ok(Rest { wake_at: plan.wake_at, restless: !has_ended(experiment.conditions()) });
            }
            for job in due {
                let asked = self.shared.with(|index| index.moment());
                let learnt = self.hand.read_job(&name(&*experiment).0, &job).await?;
                self.take_in(uid, &desk, &experiment, (learnt, asked));
            }
            match self.carry_out(uid, &desk, &experiment, plan, (failures, &mut heard)).await? {
                Progress::Done => void = 0,
                Progress::MoreToSay => {}
                Progress::Void if void < VOID_TURNS => void += 1,
                Progress::Void => return Err(contested(&experiment)),
            }
        }
        tracing::warn!(%uid, "a pass did not come to rest; it goes on later");
        let later = self.clock.now().checked_add(jiff::SignedDuration::from_secs(1)).ok();
        Ok(Rest { wake_at: later, restless: true })
    }

    /// The tuner takes most of the time of a plan that proposes trials.
    fn time_suggestions(&self, plan: &Plan, experiment: &Experiment, took: Duration) {
        // Given points come first, and nobody has to think of them.
        let given = experiment.spec.initial_trials.iter().filter(|given| given.result.is_empty()).count();
        let proposed = plan.actions.iter().filter(|action| match action {
            Action::CreateTrial { trial } => trial.spec.index.is_some_and(|index| index as usize >= given),
            _ => false,
        });
        let count = u32::try_from(proposed.count()).unwrap_or(u32::MAX);
        if count > 0 {
            let duration = &self.pen.telemetry.suggestion_duration;
            let duration = duration.with_label_values(&[&experiment.spec.algorithm.name]);
            (0..count).for_each(|_| duration.observe((took / count).as_secs_f64()));
        }
    }

    /// Takes in what was learnt by asking at that moment, so that the next plan sees it before any watch tells.
    pub(super) fn take_in(
        &self,
        uid: &Uid,
        desk: &Mutex<Desk>,
        experiment: &Experiment,
        (learnt, asked): (Learnt, Moment),
    ) {
        let (namespace, now) = (experiment.namespace().unwrap_or_default(), self.clock.now());
        let at = |name: &str| (namespace.clone(), name.to_owned());
        let forget = self.mutation == Mutation::ForgetAnswers;
        match learnt {
            Learnt::Trial(_) | Learnt::Job(_) if forget => {}
            Learnt::Trial(trial) => self.shared.with(|index| index.see_trial(*trial)),
            Learnt::TrialGone(name) => self.shared.with(|index| index.trial_gone(&at(&name), asked)),
            Learnt::Job(job) if job.experiment().as_ref() == Some(uid) => {
                if let Some(seen) = job.seen() {
                    self.shared.with(|index| index.see_job(seen));
                }
            }
            Learnt::Job(job) => {
                self.shared.with(|index| index.want(Kind::Job, at(&job.name_any()), uid.clone()));
                lock(desk).learn(Learnt::Job(job), now);
            }
            Learnt::JobDestroyed { name, uid: job } => {
                self.shared.with(|index| index.job_destroyed(&at(&name), &job));
                lock(desk).learn(Learnt::JobDestroyed { name, uid: job }, now);
            }
            Learnt::JobMissing(name) => {
                self.shared.with(|index| index.job_gone(&at(&name), asked));
                lock(desk).learn(Learnt::JobMissing(name), now);
            }
            Learnt::Experiment(written) => {
                if !forget {
                    self.shared.with(|index| index.see_experiment((*written).clone()));
                }
                lock(desk).learn(Learnt::Experiment(written), now);
            }
            Learnt::ExperimentGone => self.shared.with(|index| index.experiment_gone(&name(experiment), uid)),
            other => lock(desk).learn(other, now),
        }
    }

    /// What was written is told; `regarding` is the object that was.
    pub(super) fn tell_events(&self, regarding: Option<ObjectReference>, action: &Action) {
        let Some(regarding) = regarding else { return };
        match action {
            Action::WriteTrialStatus { event, .. } => {
                event.iter().for_each(|event| self.events.tell(regarding.clone(), event));
            }
            Action::WriteExperimentStatus { events, .. } => {
                events.iter().for_each(|event| self.events.tell(regarding.clone(), event));
            }
            _ => {}
        }
    }

    async fn orphan(&self, name: &Name) -> Result<Rest, Failure> {
        let asleep = Ok(Rest { wake_at: None, restless: false });
        let found = self
            .shared
            .with(|index| (index.synced() && index.is_orphan(name)).then(|| (index.trial(name), index.moment())));
        let Some((Lookup::Active(trial), asked)) = found else { return asleep };
        if !self.pen.gate.is_open() {
            return asleep;
        }
        let Some(action) = orphan(&trial, self.clock.now()) else { return asleep };
        let subject = Subject { namespace: &name.0, experiment: None };
        let learnt = match self.hand.carry_out(subject, &action).await? {
            Done::Done(learnt) => {
                self.tell_events(regarding(&learnt), &action);
                learnt
            }
            Done::Void(learnt) => learnt,
        };
        self.shared.with(|index| match learnt {
            Learnt::Trial(trial) => index.see_trial(*trial),
            Learnt::TrialGone(_) => index.trial_gone(name, asked),
            _ => {}
        });
        asleep
    }

    /// What the tuner of this Experiment has learnt; `None` when nothing is known of the Experiment.
    pub fn learnt(&self, uid: &str) -> Option<Vec<Finished>> {
        let desk = lock(&self.desks).get(uid).cloned()?;
        let learnt = lock(&desk).learnt();
        Some(learnt)
    }

    fn desk(&self, uid: &Uid) -> Arc<Mutex<Desk>> {
        lock(&self.desks).entry(uid.clone()).or_default().clone()
    }
}

/// The object that was written.
pub(super) fn regarding(learnt: &Learnt) -> Option<ObjectReference> {
    match learnt {
        Learnt::Trial(trial) => Some(trial.object_ref(&())),
        Learnt::Experiment(experiment) => Some(experiment.object_ref(&())),
        _ => None,
    }
}

fn bug(experiment: &Experiment, said: String) -> Failure {
    let (namespace, name) = name(experiment);
    let call = format!("plan Experiment {namespace}/{name}");
    tracing::error!(call, said, "the engine panicked, which is a bug");
    Failure { call, class: Class::Transient, message: said, retry_after: None }
}

fn contested(experiment: &Experiment) -> Failure {
    let (namespace, name) = name(experiment);
    let message = "the objects keep changing while they are worked on".to_owned();
    Failure {
        call: format!("pass over Experiment {namespace}/{name}"),
        class: Class::Conflict,
        message,
        retry_after: None,
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
