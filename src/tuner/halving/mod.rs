//! Multi-fidelity searches: many trials begin with little of the resource, and the better ones go on.
//!
//! A rung is a fidelity at which trials are compared. A promotion is a trial of its own: the same assignment, at the next
//! rung, with the promoted trial as its parent, from whose checkpoint it goes on. What has been begun and promoted is read
//! off the history, so that nothing has to be remembered, and kept with it trial by trial, so that nothing has to be read twice. A
//! trial that failed has its place in its rung, last, and holds up nothing.

mod asynchronous;
mod brackets;
mod ladder;
mod rounds;
mod searcher;
mod shape;

pub(super) use asynchronous::AsyncSuccessiveHalving;
pub(super) use brackets::{Bohb, Hyperband, SuccessiveHalving};

use super::{Fidelity, Finished, Stage, Suggestion};

/// The fidelities at which trials are compared.
#[derive(Clone, Debug, PartialEq)]
struct Rungs {
    /// Ascending; the last is the fidelity's `max`.
    levels: Vec<f64>,
    eta: f64,
}

impl Rungs {
    /// `max`, and that divided by `eta` as often as it stays above `min`; whole numbers where `min` and `max` are whole.
    fn new(fidelity: Fidelity) -> Self {
        let Fidelity { min, max, eta } = fidelity;
        let whole = fidelity.is_whole();
        // What rounding errors leave below `min` is `min`.
        let least = min * (1.0 - 1e-9);
        let steps = std::iter::successors(Some(max), |level| Some(level / eta)).take_while(|level| *level >= least);
        let mut levels: Vec<f64> = steps.map(|level| if whole { level.round() } else { level }).collect();
        levels.reverse();
        levels.dedup();
        Rungs { levels, eta }
    }

    fn top(&self) -> usize {
        self.levels.len() - 1
    }

    /// The rung of a trial; one without a stage was given whole. `None`: its fidelity is that of no rung.
    fn of(&self, stage: Option<Stage>) -> Option<usize> {
        let Some(stage) = stage else { return Some(self.top()) };
        self.levels.iter().position(|level| (stage.fidelity - level).abs() <= level * 1e-9)
    }

    /// The trial that goes on from this one, which is at this rung.
    fn promoted(&self, finished: &Finished, rung: usize) -> Suggestion {
        let stage = Stage { fidelity: self.levels[rung + 1], parent: Some(finished.index) };
        Suggestion::new(finished.assignment.clone()).at(stage)
    }
}

#[cfg(test)]
mod tests;
