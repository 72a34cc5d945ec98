//! Multi-fidelity searches: many trials begin with little of the resource, and the better ones go on.
//!
//! A rung is a fidelity at which trials are compared. A promotion is a trial of its own: the same assignment, at the next
//! rung, with the promoted trial as its parent, from whose checkpoint it goes on. What has been begun and promoted is read
//! off the history each time, so that nothing has to be remembered; a trial that failed has its place in its rung, last,
//! and holds up nothing.

mod asynchronous;
mod brackets;
mod searcher;

pub(super) use asynchronous::AsyncSuccessiveHalving;
pub(super) use brackets::{Bohb, Hyperband, SuccessiveHalving};

use super::{Fidelity, Request, Stage, Suggestion};
use crate::space::Assignment;
use std::collections::HashSet;

/// The fidelities at which trials are compared.
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
}

/// A trial at a rung.
struct Member<'a> {
    index: u64,
    rung: usize,
    parent: Option<u64>,
    assignment: &'a Assignment,
    /// Infinite when it failed; `None` while it runs.
    loss: Option<f64>,
}

impl Member<'_> {
    fn has_result(&self) -> bool {
        self.loss.is_some_and(f64::is_finite)
    }

    /// The trial that goes on from this one.
    fn promoted(&self, rungs: &Rungs) -> Suggestion {
        let stage = Stage { fidelity: rungs.levels[self.rung + 1], parent: Some(self.index) };
        Suggestion::new(self.assignment.clone()).at(stage)
    }
}

/// All trials at rungs, by index.
fn members<'a>(request: &'a Request<'_>, rungs: &Rungs) -> Vec<Member<'a>> {
    let ended = request
        .history
        .iter()
        .map(|finished| (finished.index, finished.stage, &finished.assignment, Some(finished.outcome.loss())));
    let running = request.pending.iter().map(|pending| (pending.index, pending.stage, &pending.assignment, None));
    let mut members: Vec<Member<'_>> = ended
        .chain(running)
        .filter_map(|(index, stage, assignment, loss)| {
            let parent = stage.and_then(|stage| stage.parent);
            Some(Member { index, rung: rungs.of(stage)?, parent, assignment, loss })
        })
        .collect();
    members.sort_unstable_by_key(|member| member.index);
    members
}

/// Trials that others go on from.
fn promoted(members: &[Member<'_>]) -> HashSet<u64> {
    members.iter().filter_map(|member| member.parent).collect()
}

/// The best first, of equals the earlier.
fn rank(members: &mut [&Member<'_>]) {
    let loss = |member: &Member<'_>| member.loss.unwrap_or(f64::INFINITY);
    members.sort_by(|a, b| loss(a).total_cmp(&loss(b)).then(a.index.cmp(&b.index)));
}

#[cfg(test)]
mod tests;
