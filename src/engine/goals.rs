//! What a trial has reached of several objectives and outcome constraints, and the front of an experiment.

use super::result::{loss, value};
use super::snapshot::Snapshot;
use crate::api::{ExperimentSpec, FrontTrial, Objective, OutcomeConstraint, TrialStatus};
use crate::metrics::{Direction, Statistic};
use std::collections::BTreeMap;

/// Members of the front that the status shows.
const SHOWN: usize = 50;

/// What came out of a trial, of everything that is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reached {
    /// By objective.
    pub values: Vec<f64>,
    /// By constraint: 0 or less where it holds, else by how much it does not, in sizes of the bound.
    pub excesses: Vec<f64>,
}

/// Where a number is missing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Missing {
    /// As an objective of that metric.
    pub wanted: Objective,
    /// Where the metric is named.
    pub field: String,
}

/// From what the trial reported.
pub(super) fn reached(spec: &ExperimentSpec, status: &TrialStatus) -> Result<Reached, Missing> {
    weighed(spec, |wanted| value(status, wanted))
}

/// From a result that was known beforehand.
pub(super) fn known(spec: &ExperimentSpec, result: &BTreeMap<String, f64>) -> Result<Reached, Missing> {
    weighed(spec, |wanted| result.get(&wanted.metric).copied().filter(|value| value.is_finite()))
}

/// The metrics that a trial's result must have, each with which of its values counts.
pub(super) fn wanted(spec: &ExperimentSpec) -> Vec<Objective> {
    let mut wanted = spec.objectives.clone();
    for constraint in &spec.constraints {
        if wanted.iter().all(|other| other.metric != constraint.metric) {
            wanted.push(counted(spec, constraint));
        }
    }
    wanted
}

fn weighed(spec: &ExperimentSpec, number: impl Fn(&Objective) -> Option<f64>) -> Result<Reached, Missing> {
    let mut reached = Reached::default();
    for (at, objective) in spec.objectives.iter().enumerate() {
        let missing = || Missing { wanted: objective.clone(), field: format!("spec.objectives[{at}]") };
        reached.values.push(number(objective).ok_or_else(missing)?);
    }
    for (at, constraint) in spec.constraints.iter().enumerate() {
        let wanted = counted(spec, constraint);
        let value = number(&wanted);
        let missing = || Missing { wanted, field: format!("spec.constraints[{at}]") };
        reached.excesses.push(excess(constraint, value.ok_or_else(missing)?));
    }
    Ok(reached)
}

/// Which of a constrained metric's values counts: that of the objective, where it is one, else the last.
fn counted(spec: &ExperimentSpec, constraint: &OutcomeConstraint) -> Objective {
    let objective = spec.objectives.iter().find(|objective| objective.metric == constraint.metric);
    objective.cloned().unwrap_or_else(|| Objective {
        metric: constraint.metric.clone(),
        direction: Direction::Minimize,
        goal: None,
        over: None,
        statistic: Statistic::Latest,
    })
}

/// In sizes of the bound, so that several constraints can be added up.
fn excess(constraint: &OutcomeConstraint, value: f64) -> f64 {
    let beyond = |bound: f64, excess: f64| excess / if bound == 0.0 { 1.0 } else { bound.abs() };
    let above = constraint.max.map(|max| beyond(max, value - max));
    let below = constraint.min.map(|min| beyond(min, min - value));
    above.into_iter().chain(below).fold(-1e300, f64::max).min(1e300)
}

/// The front of the trials that still exist: at most so many as the status shows, evenly by the first objective.
pub(super) fn front(snapshot: &Snapshot<'_>) -> Vec<FrontTrial> {
    let spec = &snapshot.experiment.spec;
    let Some(first) = spec.objectives.first().filter(|_| spec.objectives.len() > 1) else { return Vec::new() };
    let mut all: Vec<FrontTrial> = snapshot
        .ledger
        .front()
        .map(|(name, ended)| FrontTrial {
            trial: name.to_owned(),
            values: ended.objectives.clone(),
            assignments: ended.assignment.clone(),
        })
        .collect();
    let place = |one: &FrontTrial| one.values.first().map_or(f64::INFINITY, |value| loss(*value, first.direction));
    all.sort_by(|a, b| place(a).total_cmp(&place(b)).then_with(|| a.trial.cmp(&b.trial)));
    let count = all.len();
    if count <= SHOWN {
        return all;
    }
    let shown = |nth: usize| nth * (count - 1) / (SHOWN - 1);
    let mut wanted = (0..SHOWN).map(shown).peekable();
    let mut at = 0;
    all.retain(|_| {
        let keep = wanted.next_if_eq(&at).is_some();
        at += 1;
        keep
    });
    all
}

/// A trial that satisfies the constraints and meets the goals of all objectives that have one, of several; with what it
/// reached, in words.
pub(super) fn goal(snapshot: &Snapshot<'_>) -> Option<String> {
    let objectives = &snapshot.experiment.spec.objectives;
    if objectives.len() < 2 || objectives.iter().all(|objective| objective.goal.is_none()) {
        return None;
    }
    let meets = |values: &[f64]| {
        objectives.iter().zip(values).all(|(objective, value)| {
            let direction = objective.direction;
            objective.goal.is_none_or(|goal| loss(*value, direction) <= loss(goal, direction))
        })
    };
    // Whatever meets them all is on the front, or something that is better still.
    let (name, ended) = snapshot.ledger.front().find(|(_, ended)| meets(&ended.objectives))?;
    let each =
        objectives.iter().zip(&ended.objectives).map(|(objective, value)| format!("{} = {value}", objective.metric));
    Some(format!("trial {name} reached all goals: {}", each.collect::<Vec<_>>().join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_count_in_sizes_of_their_bounds() {
        let table = [
            (None, Some(20.0), 30.0, 0.5),
            (None, Some(20.0), 10.0, -0.5),
            (Some(0.8), None, 0.6, 0.25),
            (Some(-2.0), Some(2.0), 0.0, -1.0),
            (None, Some(0.0), 3.0, 3.0),
        ];
        for (min, max, value, expected) in table {
            let constraint = OutcomeConstraint { metric: "m".into(), min, max };
            let found = excess(&constraint, value);
            assert!((found - expected).abs() < 1e-12, "{constraint:?}: {found}");
        }
    }
}
