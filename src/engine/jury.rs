//! Which of the running trials the experiment's stopping rules want to end.

use super::ending::Ending;
use super::ledger::order;
use crate::api::{Objective, Trial};
use crate::metrics::Curve;
use crate::stopping::{Course, Curves, Decision, KEPT, Rules};
use kube::ResourceExt;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The curves of an experiment's trials, and what has been decided by them. A trial is judged when it has reported, not when
/// another one has.
#[derive(Default)]
pub(super) struct Jury {
    /// Known once the objective is.
    court: Option<Court>,
    /// Trials that came before it, by their order: the last ones.
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
    /// Learns what the trials are judged by; it does not change.
    pub fn meet(&mut self, objective: &Objective) {
        if self.court.is_some() {
            return;
        }
        let curves = Curves::new(objective.direction, objective.statistic);
        self.court = Some(Court { metric: objective.metric.clone(), curves });
        for (trial, ending) in std::mem::take(&mut self.early).into_values() {
            self.see(&trial, ending);
        }
    }

    /// A trial as it is now, and how it has ended, if it has.
    pub fn see(&mut self, trial: &Arc<Trial>, ending: Option<Ending>) {
        let (name, order) = (trial.name_any(), order(trial));
        self.decisions.remove(&name);
        self.due.remove(&(name.clone(), order));
        let Some(court) = &mut self.court else {
            self.early.insert(order, (Arc::clone(trial), ending));
            if self.early.len() > KEPT {
                self.early.pop_first();
            }
            return;
        };
        let course = match ending {
            None => Course::Running,
            Some(Ending::Succeeded) => Course::Complete,
            Some(Ending::EarlyStopped) => Course::Stopped,
            Some(Ending::Failed) => return court.curves.remove(order),
        };
        let Some(curve) = curve(trial, &court.metric) else { return court.curves.remove(order) };
        court.curves.insert(order, curve, course);
        if course == Course::Running {
            self.due.insert((name, order));
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
        let due = std::mem::take(&mut self.due);
        let Some(court) = self.court.as_ref().filter(|_| !rules.is_empty()) else { return };
        for (name, order) in due {
            if let Some(decision) = rules.judge(&court.curves, order) {
                self.decisions.insert(name, decision);
            }
        }
    }

    /// The rules have changed: all trials that run are judged anew.
    pub fn reopen<'a>(&mut self, running: impl Iterator<Item = &'a Arc<Trial>>) {
        self.decisions.clear();
        self.due = running.map(|trial| (trial.name_any(), order(trial))).collect();
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

/// What the trial has reported of this metric.
fn curve<'a>(trial: &'a Trial, metric: &str) -> Option<&'a Curve> {
    let metrics = &trial.status.as_ref()?.metrics;
    metrics.iter().find(|summary| summary.name == metric).map(|summary| &summary.curve)
}
