//! Carries out a plan: what is about different trials together, new trials in their order, the Experiment's status last.

use super::act::{Done, Learnt, Subject};
use super::decisions;
use super::desk::Desk;
use super::failure::{Class, Failure};
use super::index::{Kind, Moment, Uid, name};
use super::reconcile::{Reconciler, lock, regarding};
use super::traces::Moments;
use crate::api::Experiment;
use crate::api::conditions::{find, has_ended, reasons, types};
use crate::engine::{Action, Plan, job_name};
use crate::report::Batch;
use futures::future::join_all;
use kube::ResourceExt;
use std::collections::HashSet;
use std::sync::Mutex;

/// Most calls that are under way at a time for one Experiment.
const TOGETHER: usize = 8;
/// After this many failures in a row (about 7 s) the API server's sentence goes into a condition.
const TELL_AFTER: u32 = 3;
/// So many calls of one plan may get no proper answer, once people are told of such: then the API server is left alone.
const TROUBLES: usize = 3;

/// How a plan was carried out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Progress {
    /// All of it.
    Done,
    /// A trial that was about to be ended had something to say first: plan again with that.
    MoreToSay,
    /// Things are not as it took them to be.
    Void,
}

/// What became of an action.
struct Answer {
    /// When it was sent.
    asked: Moment,
    /// The trial that it is about to end was heard, and has or has not said more.
    heard: bool,
    /// `None`: it was not carried out, because there was more to say.
    done: Result<Option<Done>, Failure>,
}

/// A plan on its way.
struct Turn<'a> {
    uid: &'a Uid,
    desk: &'a Mutex<Desk>,
    experiment: &'a Experiment,
    /// How often in a row this Experiment's passes have failed before.
    failures: u32,
    /// The first refusal that does not hold up the rest.
    refused: Option<Failure>,
    troubles: usize,
    no_more_trials: bool,
    outdated: bool,
}

impl Turn<'_> {
    fn skips(&self, action: &Action) -> bool {
        match action {
            // A gap in their sequence is never filled.
            Action::CreateTrial { .. } => self.no_more_trials,
            // What it says was thought of before something failed; the next plan knows better.
            Action::WriteExperimentStatus { .. } => self.outdated,
            _ => false,
        }
    }
}

impl Reconciler {
    /// Carries out a plan. `heard`: trials that need not be asked again whether they have more to say.
    ///
    /// # Errors
    /// What ended it early, else the first refusal.
    pub(super) async fn carry_out(
        &self,
        uid: &Uid,
        desk: &Mutex<Desk>,
        experiment: &Experiment,
        plan: Plan,
        (failures, heard): (u32, &mut HashSet<String>),
    ) -> Result<Progress, Failure> {
        let (refused, outdated) = (None, false);
        let mut turn = Turn { uid, desk, experiment, failures, refused, troubles: 0, no_more_trials: false, outdated };
        let mut left = plan.actions.as_slice();
        while let Some(first) = left.first() {
            let (group, rest) = left.split_at(group(left));
            left = rest;
            if turn.skips(first) {
                continue;
            }
            let answers = join_all(group.iter().map(|action| self.call(experiment, action, heard))).await;
            let (mut progress, mut ended) = (Progress::Done, None);
            // Whatever was done is taken in, even where something beside it failed.
            for (action, answer) in group.iter().zip(answers) {
                if answer.heard
                    && let Action::WriteTrialStatus { name, .. } = action
                {
                    heard.insert(name.clone());
                }
                match self.hear(&mut turn, action, answer).await {
                    Ok(one) => progress = progress.max(one),
                    Err(failure) => ended = ended.or(Some(failure)),
                }
            }
            if let Some(failure) = ended {
                return Err(failure);
            }
            if progress != Progress::Done {
                return Ok(progress);
            }
        }
        turn.refused.map_or(Ok(Progress::Done), Err)
    }

    async fn call(&self, experiment: &Experiment, action: &Action, heard: &HashSet<String>) -> Answer {
        let (namespace, _) = name(experiment);
        let subject = Subject { namespace: &namespace, experiment: Some(experiment) };
        let asked = self.shared.with(|index| index.moment());
        let last = match action {
            Action::WriteTrialStatus { name, patch, .. } if patch.completion_time.is_some() => {
                Some(name).filter(|name| !heard.contains(*name))
            }
            _ => None,
        };
        let more = match (last, self.shared.unstored()) {
            // It is about to be ended: what it has reported by now belongs to its result. Each is asked once a pass, or one
            // that never ends its talk would never be ended.
            (Some(trial), Some(unstored)) => Some(unstored.store_now(&(namespace.clone(), trial.clone())).await),
            _ => None,
        };
        let heard = matches!(more, Some(Ok(_)));
        let done = match more {
            Some(Err(failure)) => Err(failure),
            Some(Ok(true)) => Ok(None),
            Some(Ok(false)) | None => self.hand.carry_out(subject, action).await.map(Some),
        };
        Answer { asked, heard, done }
    }

    /// Takes in what became of an action.
    ///
    /// # Errors
    /// The pass ends here.
    async fn hear(&self, turn: &mut Turn<'_>, action: &Action, answer: Answer) -> Result<Progress, Failure> {
        let (learnt, progress) = match answer.done {
            Ok(None) => return Ok(Progress::MoreToSay),
            Ok(Some(Done::Done(learnt))) => (learnt, Progress::Done),
            Ok(Some(Done::Void(learnt))) => (learnt, Progress::Void),
            Err(failure) => return self.failed(turn, action, failure, answer.asked),
        };
        lock(turn.desk).succeeded(action);
        if let Learnt::Pods { last_words, .. } = &learnt {
            self.store(&name(turn.experiment).0, last_words).await?;
        }
        let regarding = regarding(&learnt);
        if progress == Progress::Done {
            let trial = if let Learnt::Trial(trial) = &learnt { Some(&**trial) } else { None };
            self.pen.telemetry.count(action, turn.experiment, trial);
            decisions::log(action, turn.experiment, trial);
            self.trace(action, turn, &learnt);
        }
        self.take_in(turn.uid, turn.desk, turn.experiment, (learnt, answer.asked));
        if progress == Progress::Done {
            self.tell_events(regarding, action);
        }
        Ok(progress)
    }

    /// Tells of what has just ended.
    fn trace(&self, action: &Action, turn: &Turn<'_>, learnt: &Learnt) {
        let Some(traces) = &self.traces else { return };
        let experiment = turn.experiment;
        match (action, learnt) {
            (Action::WriteTrialStatus { patch, .. }, Learnt::Trial(trial)) if patch.completion_time.is_some() => {
                let name = (name(experiment).0, trial.name_any());
                let heard = self.shared.unstored().and_then(|unstored| unstored.heard(&name)?.first);
                let attempt = trial.status.as_ref().map_or(0, |status| status.attempt);
                let job = lock(turn.desk).job(&job_name(&name.1, attempt)).and_then(|job| job.created);
                traces.trial(trial, &experiment.uid().unwrap_or_default(), Moments { job, heard });
            }
            (Action::WriteExperimentStatus { status, .. }, Learnt::Experiment(written))
                if has_ended(&status.conditions) && !has_ended(experiment.conditions()) =>
            {
                traces.experiment(written);
            }
            _ => {}
        }
    }

    fn failed(
        &self,
        turn: &mut Turn<'_>,
        action: &Action,
        failure: Failure,
        asked: Moment,
    ) -> Result<Progress, Failure> {
        turn.outdated = true;
        if let Action::CreateTrial { trial } = action {
            turn.no_more_trials = true;
            if failure.class == Class::AlreadyExists {
                let taken = (name(turn.experiment).0, trial.name_any());
                self.shared.with(|index| index.want(Kind::Trial, taken, turn.uid.clone()));
            }
        }
        let known = lock(turn.desk).is_blocked(&action.what()) || is_told(turn.experiment);
        let lasting = turn.failures >= TELL_AFTER || known;
        turn.troubles += usize::from(failure.class == Class::Transient);
        // One that asks to be left alone is left alone: the pass ends here.
        let goes_on = failure.retry_after.is_none() && turn.troubles <= TROUBLES;
        match tell(action, &failure).filter(|_| lasting && goes_on) {
            Some(learnt) => self.take_in(turn.uid, turn.desk, turn.experiment, (learnt, asked)),
            // The API server itself is in trouble, or nobody may write any more.
            None if !refused(&failure) => return Err(failure),
            None => turn.refused = turn.refused.take().or(Some(failure)),
        }
        Ok(Progress::Done)
    }

    /// Last words go the way of all reports.
    async fn store(&self, namespace: &str, last_words: &[Batch]) -> Result<(), Failure> {
        let Some(first) = last_words.first() else { return Ok(()) };
        match self.reports.store(&(namespace.to_owned(), first.trial.clone()), &first.trial_uid, last_words).await {
            // Nothing can be made of them, now or later.
            Err(failure) if failure.class == Class::Invalid => {
                tracing::warn!(%failure, "the last words of a trial's pod cannot be stored");
                Ok(())
            }
            stored => stored.map(drop),
        }
    }
}

/// How many of these actions, from the first on, are carried out together.
fn group(actions: &[Action]) -> usize {
    let apart = |action: &Action| matches!(action, Action::CreateTrial { .. } | Action::WriteExperimentStatus { .. });
    actions.iter().take(TOGETHER).take_while(|action| !apart(action)).count().max(1)
}

/// What to tell people about a call that keeps failing, where the engine has a place for it.
fn tell(action: &Action, failure: &Failure) -> Option<Learnt> {
    if failure.class == Class::NotLeader {
        return None;
    }
    let message = failure.message.clone();
    match action {
        Action::CreateJob { job, .. } => {
            let name = job.pointer("/metadata/name")?.as_str()?.to_owned();
            Some(Learnt::JobRefused { name, message, permanent: false })
        }
        Action::ProbeTemplate { generation, .. } => {
            Some(Learnt::Probed { generation: *generation, refusal: Some(message), may_pass: true })
        }
        Action::InspectPods { job } => Some(Learnt::unread_pods(job.clone(), failure)),
        // The place itself where people are told.
        Action::WriteExperimentStatus { .. } => None,
        _ => {
            let taken = failure.class == Class::AlreadyExists;
            let reason = if taken { reasons::NAME_TAKEN } else { reasons::API_REFUSED };
            Some(Learnt::Blocked { what: action.what(), reason, message })
        }
    }
}

/// People know that something keeps failing: an operator that begins anew need not wait to be sure.
fn is_told(experiment: &Experiment) -> bool {
    let complete = find(experiment.conditions(), types::COMPLETE);
    complete.is_some_and(|complete| [reasons::NAME_TAKEN, reasons::API_REFUSED].contains(&complete.reason.as_str()))
}

/// The API server has answered, and says no to this one thing: that says nothing about others.
fn refused(failure: &Failure) -> bool {
    !matches!(failure.class, Class::Transient | Class::NotLeader)
}
