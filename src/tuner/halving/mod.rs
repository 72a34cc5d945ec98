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

use super::pareto::net;
use super::{Fidelity, Finished, Request, Stage, Suggestion};
use crate::space::Assignment;
use std::collections::{HashMap, HashSet};

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
    /// `None` while it runs.
    ended: Option<&'a Finished>,
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
    let ended = request.history.iter().map(|one| (one.index, one.stage, &one.assignment, Some(one)));
    let running = request.pending.iter().map(|pending| (pending.index, pending.stage, &pending.assignment, None));
    let mut members: Vec<Member<'_>> = ended
        .chain(running)
        .filter_map(|(index, stage, assignment, ended)| {
            let parent = stage.and_then(|stage| stage.parent);
            let loss = ended.map(|ended| ended.outcome.loss());
            Some(Member { index, rung: rungs.of(stage)?, parent, assignment, loss, ended })
        })
        .collect();
    members.sort_unstable_by_key(|member| member.index);
    members
}

/// Trials that others go on from.
fn promoted(members: &[Member<'_>]) -> HashSet<u64> {
    members.iter().filter_map(|member| member.parent).collect()
}

/// So many of these that have a result, the best first, of equals the earlier. Of several objectives front by front, and of
/// the front that is too large those that are far apart, others first in each turn.
fn best<'m, 'a>(members: impl Iterator<Item = &'m Member<'a>>, count: usize, turn: usize) -> Vec<&'m Member<'a>> {
    let mut ended: Vec<(&Finished, &Member<'a>)> =
        members.filter(|member| member.has_result()).filter_map(|member| Some((member.ended?, member))).collect();
    if ended.iter().any(|(one, _)| one.outcome.losses().len() > 1) {
        ended.sort_unstable_by_key(|(one, _)| one.index);
        let places: HashMap<u64, &Member<'a>> = ended.iter().map(|(one, member)| (one.index, *member)).collect();
        let results: Vec<&Finished> = ended.iter().map(|(one, _)| *one).collect();
        return net(&results, count, turn).into_iter().filter_map(|one| places.get(&one.index).copied()).collect();
    }
    let key = |one: &Finished| (one.violation(), one.outcome.loss());
    ended.sort_by(|(a, _), (b, _)| {
        let ((violation, loss), (other, others)) = (key(a), key(b));
        violation.total_cmp(&other).then(loss.total_cmp(&others)).then(a.index.cmp(&b.index))
    });
    ended.into_iter().take(count).map(|(_, member)| member).collect()
}

#[cfg(test)]
mod tests;
