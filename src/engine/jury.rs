//! Which of the running trials the experiment's stopping rules want to end.

use super::ending::{Ending, ending};
use super::ledger::order;
use crate::api::{Objective, Trial};
use crate::metrics::{Curve, MetricSummary};
use crate::report::Progress;
use crate::stopping::{Course, Curves, Decision, KEPT, Rules};
use kube::ResourceExt;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The curves of an experiment's trials, and what has been decided by them. A trial is judged when it has reported, not when
/// another one has.
#[derive(Default)]
pub(super) struct Jury {
    /// Once it is known that there are rules, and what they look at.
    court: Option<Court>,
    /// There are no rules: nothing is kept for them.
    dismissed: bool,
    /// Trials may have ended while there were none, whose curves are to be read again before anybody is judged.
    lacking: bool,
    /// Trials that came before that was known, by their order: those that run, and the last ones of those that have ended.
    early: BTreeMap<u64, (Arc<Trial>, Option<Ending>)>,
    /// Names and orders of running trials that have reported since they were judged.
    due: BTreeSet<(String, u64)>,
    decisions: HashMap<String, Decision>,
}

struct Court {
    metric: String,
    curves: Curves,
}

impl Jury {
    /// There are rules. Where there were none before, they know the trials that run, and are to be told of those that have
    /// ended, if there are any: see [`Jury::recall`].
    pub fn meet<'a>(&mut self, objective: &Objective, running: impl Iterator<Item = &'a Arc<Trial>>, any_ended: bool) {
        self.lacking = any_ended && (self.lacking || self.dismissed);
        self.dismissed = false;
        if self.court.is_some() {
            return;
        }
        let curves = Curves::new(objective.direction, objective.statistic).with_goal(objective.goal);
        self.court = Some(Court { metric: objective.metric.clone(), curves });
        for (trial, ending) in std::mem::take(&mut self.early).into_values() {
            self.see(&trial, ending);
        }
        running.for_each(|trial| self.see(trial, None));
    }

    /// There are no rules, or nothing more to judge.
    pub fn dismiss(&mut self) {
        *self = Jury { dismissed: true, ..Jury::default() };
    }

    /// A trial as it is now, and how it has ended, if it has.
    pub fn see(&mut self, trial: &Arc<Trial>, ending: Option<Ending>) {
        if self.dismissed {
            return;
        }
        let (name, order) = (trial.name_any(), order(trial));
        self.decisions.remove(&name);
        self.due.remove(&(name.clone(), order));
        let Some(court) = &mut self.court else {
            self.early.insert(order, (Arc::clone(trial), ending));
            let ended = |(_, ending): &(Arc<Trial>, Option<Ending>)| ending.is_some();
            if self.early.len() > KEPT
                && let Some(oldest) = self.early.iter().find(|(_, trial)| ended(trial)).map(|(order, _)| *order)
            {
                self.early.remove(&oldest);
            }
            return;
        };
        let Some(course) = course(ending) else { return court.curves.remove(order) };
        let Some(curve) = curve(trial, &court.metric) else { return court.curves.remove(order) };
        court.curves.insert(order, &curve, course);
        if course == Course::Running && has_spoken(trial, &court.metric) {
            self.due.insert((name, order));
        }
    }

    /// The curves of trials that have ended have to be read again.
    pub fn is_lacking(&self) -> bool {
        self.lacking
    }

    /// These are the trials that have ended, or the last ones of them.
    pub fn recall(&mut self, past: impl Iterator<Item = Past>) {
        let Some(court) = &mut self.court else { return };
        self.lacking = false;
        for Past { order, course, curve, .. } in past {
            court.curves.insert(order, &curve, course);
        }
    }

    /// The trial is gone.
    pub fn forget(&mut self, name: &str, order: u64) {
        self.decisions.remove(name);
        self.due.remove(&(name.to_owned(), order));
        self.early.remove(&order);
        if let Some(court) = &mut self.court {
            court.curves.remove(order);
        }
    }

    /// Judges those that have reported.
    pub fn judge(&mut self, rules: &Rules) {
        if self.lacking {
            return;
        }
        let due = std::mem::take(&mut self.due);
        let Some(court) = &self.court else { return };
        for (name, order) in due {
            if let Some(decision) = rules.judge(&court.curves, order) {
                self.decisions.insert(name, decision);
            }
        }
    }

    /// The rules have changed: all trials that run are judged anew.
    pub fn reopen<'a>(&mut self, running: impl Iterator<Item = &'a Arc<Trial>>) {
        self.decisions.clear();
        let Some(court) = &self.court else { return };
        let spoken = running.filter(|trial| has_spoken(trial, &court.metric));
        self.due = spoken.map(|trial| (trial.name_any(), order(trial))).collect();
    }

    /// What was decided about this trial: to stop it, and why.
    pub fn decision(&self, name: &str) -> Option<&Decision> {
        self.decisions.get(name)
    }

    /// How many steps a trial takes that nobody stops.
    pub fn whole(&self) -> Option<u64> {
        self.court.as_ref()?.curves.typical()
    }
}

/// A trial that has ended, as rules want to know it: see [`super::Action::ReadCurves`].
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its position in the history.
    pub order: u64,
    course: Course,
    curve: Curve,
}

impl Past {
    /// So many are worth reading: those of the highest orders.
    pub const MOST: usize = KEPT;

    /// What rules look at of this trial; `None`: it has not ended, or has nothing to show.
    pub fn of(trial: &Trial, metric: &str) -> Option<Self> {
        let course = course(Some(ending(trial)?))?;
        let curve = curve(trial, metric)?.into_owned();
        Some(Past { name: trial.name_any(), uid: trial.uid()?, order: order(trial), course, curve })
    }
}

/// How the curve of a trial has come that ended so; `None`: it failed, and is none.
fn course(ending: Option<Ending>) -> Option<Course> {
    match ending {
        None => Some(Course::Running),
        Some(Ending::Succeeded) => Some(Course::Complete),
        Some(Ending::EarlyStopped) => Some(Course::Stopped),
        Some(Ending::Failed) => None,
    }
}

/// The present attempt has said a value: one that begins anew is not judged by what another has said.
fn has_spoken(trial: &Trial, metric: &str) -> bool {
    let Some(status) = &trial.status else { return false };
    let heard = status.reports.as_ref().and_then(Progress::attempt).is_none_or(|attempt| attempt == status.attempt);
    heard && status.metrics.iter().any(|summary| summary.name == metric && !summary.restarted)
}

/// What the trial has reported of this metric.
fn curve<'a>(trial: &'a Trial, metric: &str) -> Option<Cow<'a, Curve>> {
    let metrics = &trial.status.as_ref()?.metrics;
    metrics.iter().find(|summary| summary.name == metric).map(MetricSummary::exact_curve)
}
