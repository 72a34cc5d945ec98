//! Trials that have ended, as small as they are kept.

use super::derivatives;
use super::ending::Ending;
use super::result::loss;
use crate::api::{Retain, Usage};
use crate::metrics::Direction;
use crate::space::Assignment;
use crate::tuner::{Finished, Outcome, Stage};
use std::collections::BTreeMap;

/// What depends on the Experiment's spec.
#[derive(Clone)]
pub(super) struct Learnt {
    /// Metric of the first objective.
    pub metric: String,
    /// One an objective; at least one.
    pub directions: Vec<Direction>,
    pub retain: Retain,
    /// The highest fidelity.
    pub most: Option<f64>,
}

/// An ended trial.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Position in the tuner's history.
    pub order: u64,
    /// How it ended.
    pub ending: Ending,
    /// Its failure was none of its own.
    pub excused: bool,
    /// Value of the objective, as the user's program printed it.
    pub objective: Option<f64>,
    /// The same of each objective, where there are several.
    pub objectives: Vec<f64>,
    /// By how much each outcome constraint does not hold.
    pub excesses: Vec<f64>,
    /// Derivatives of metrics that it reported, by their names.
    pub derivatives: BTreeMap<String, f64>,
    /// Its parameters.
    pub assignment: Assignment,
    /// What it has used.
    pub usage: Usage,
    /// What it spent, and what it went on from, where the experiment has a fidelity.
    pub(super) stage: Option<Stage>,
    /// It was not run: its result was known.
    pub(super) known: bool,
    pub(super) uid: String,
    pub(super) attempt: u32,
    pub(super) version: Option<u64>,
}

/// Ended trials by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndedCounts {
    /// With an objective value.
    pub succeeded: u32,
    /// Without one.
    pub failed: u32,
    /// Of these, through no fault of their own.
    pub excused: u32,
    /// Stopped before their end.
    pub early_stopped: u32,
    /// Not run: their results were known. Not among the others.
    pub known: u32,
    /// What all of them have used.
    pub usage: Usage,
}

impl Ended {
    /// What it spent; `most`: the highest fidelity, `None` where there is none.
    pub(super) fn fidelity(&self, most: Option<f64>) -> Option<f64> {
        let (most, stage) = (most?, self.stage?);
        Some(if stage.fidelity.is_nan() { most } else { stage.fidelity })
    }
}

/// As the tuner sees it.
pub(super) fn finished(ended: &Ended, learnt: &Learnt) -> Finished {
    let losses = || match learnt.directions.as_slice() {
        [direction] => vec![ended.objective.map_or(f64::NAN, |value| loss(value, *direction))],
        all => ended.objectives.iter().zip(all).map(|(value, direction)| loss(*value, *direction)).collect(),
    };
    let outcome = match ended.ending {
        Ending::Succeeded => Outcome::Complete { losses: losses() },
        Ending::EarlyStopped => Outcome::EarlyStopped { losses: losses() },
        Ending::Failed => Outcome::Failed,
    };
    let stage = ended.fidelity(learnt.most).zip(ended.stage);
    let stage = stage.map(|(fidelity, stage)| Stage { fidelity, ..stage });
    let excesses = ended.excesses.clone();
    let derivatives = match learnt.directions.first() {
        Some(direction) => derivatives::of_loss(&ended.derivatives, &learnt.metric, *direction),
        None => BTreeMap::new(),
    };
    let finished = Finished::new(ended.order, ended.assignment.clone(), outcome).at(stage).constrained(excesses);
    finished.with_derivatives(derivatives)
}
