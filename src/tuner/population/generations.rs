//! Who is whose successor, as the trials themselves say.
//!
//! A member is a chain of trials, one a generation. Each trial that has ended with a result makes room for one trial of the
//! next generation: its own continuation (its parameters, its checkpoint), or that of a better one in its place. Which trial
//! was replaced is not written down and need not be: so many of a generation were, and those are its worst.

use crate::space::Assignment;
use crate::tuner::{Fidelity, Request};
use std::collections::{BTreeMap, HashSet};

/// Amounts count as equal when they differ by less than this share.
const TOLERANCE: f64 = 1e-6;

/// A trial of a member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub index: u64,
    /// From 1 on.
    pub generation: u64,
    pub parent: Option<u64>,
    pub assignment: &'a Assignment,
    /// `None`: it has not ended. Infinite: it failed.
    pub loss: Option<f64>,
}

impl Entry<'_> {
    /// The loss of one that gave a result.
    pub fn result(&self) -> Option<f64> {
        self.loss.filter(|loss| loss.is_finite())
    }

    fn failed(&self) -> bool {
        self.loss.is_some_and(|loss| !loss.is_finite())
    }
}

/// What comes next.
#[derive(Clone, Debug)]
pub(super) enum Next<'a> {
    /// A new member.
    Begin,
    /// This one goes on.
    Continue(Entry<'a>),
    /// One of these, the best of their generation, is copied, and explores.
    Exploit(Vec<Entry<'a>>),
    /// What comes out of those that run decides.
    Wait,
}

/// All trials of members, by generation, ordered by index.
pub(super) struct Generations<'a> {
    pub of: BTreeMap<u64, Vec<Entry<'a>>>,
    last: u64,
}

impl<'a> Generations<'a> {
    /// A trial of no generation (a person's, say) is left out.
    pub fn new(fidelity: Fidelity, request: &'a Request<'a>) -> Self {
        let ended = request.history.iter().map(|t| (t.index, t.stage, &t.assignment, Some(t.outcome.loss())));
        let running = request.pending.iter().map(|t| (t.index, t.stage, &t.assignment, None));
        let mut of: BTreeMap<u64, Vec<Entry<'a>>> = BTreeMap::new();
        for (index, stage, assignment, loss) in ended.chain(running) {
            let Some(stage) = stage else { continue };
            let Some(generation) = generation(fidelity, stage.fidelity) else { continue };
            of.entry(generation).or_default().push(Entry { index, generation, parent: stage.parent, assignment, loss });
        }
        of.values_mut().for_each(|entries| entries.sort_by_key(|entry| entry.index));
        Generations { of, last: last(fidelity) }
    }

    /// The next trial of a population of so many members, of each generation of which this share is replaced. The lowest
    /// generation comes first, so that few slots compare as many as many would.
    pub fn next(&self, population: usize, share: f64) -> Next<'a> {
        let begun = self.living(1);
        if begun < population {
            return Next::Begin;
        }
        for (generation, entries) in self.of.range(..self.last) {
            let ranked = ranked(entries);
            if ranked.len() <= self.living(generation + 1) {
                continue;
            }
            let ended = entries.iter().filter(|entry| entry.loss.is_some()).count();
            let kept = ended - (share * ended as f64 * (1.0 + 1e-12)) as usize;
            let open = self.open(*generation, population);
            let mut good = ranked.iter().take(kept).map(|(_, entry)| *entry);
            if let Some(entry) = good.find(|entry| open.contains(&entry.index)) {
                return Next::Continue(entry);
            }
            let best = best_of(ranked.len().min(population), share);
            return Next::Exploit(ranked.into_iter().take(best).map(|(_, entry)| entry).collect());
        }
        // Whoever has come to the end makes room for a new member.
        let at_end = self.of.get(&self.last).into_iter().flatten().filter(|entry| entry.result().is_some()).count();
        if begun < population + at_end {
            return Next::Begin;
        }
        Next::Wait
    }

    /// Trials that one to come may go on from, or be a copy of. Whatever is not among them once it has ended never will be: the
    /// best of a generation are so many of all of it, and of the latest those that have not gone on.
    pub fn parents(&self, population: usize, share: f64) -> HashSet<u64> {
        let mut parents = HashSet::new();
        for (generation, entries) in self.of.range(..self.last) {
            parents.extend(self.open(*generation, population));
            parents.extend(ranked(entries).iter().take(best_of(population, share)).map(|(_, entry)| entry.index));
        }
        parents
    }

    /// Of the latest results of a generation, as many as there are members: those that have not gone on as they are.
    fn open(&self, generation: u64, population: usize) -> HashSet<u64> {
        let continued = self.continued(generation);
        let results = self.of.get(&generation).into_iter().flatten().rev().filter(|entry| entry.result().is_some());
        results.take(population).map(|entry| entry.index).filter(|index| !continued.contains(index)).collect()
    }

    /// Trials of a generation that have not failed.
    fn living(&self, generation: u64) -> usize {
        self.of.get(&generation).into_iter().flatten().filter(|entry| !entry.failed()).count()
    }

    /// Trials of a generation that were continued as they were, with success or not: one whose continuation failed is not
    /// tried in the same way again.
    fn continued(&self, generation: u64) -> HashSet<u64> {
        let parents = self.of.get(&generation).into_iter().flatten().map(|entry| (entry.index, entry.assignment));
        let parents: BTreeMap<u64, &Assignment> = parents.collect();
        let children = self.of.get(&(generation + 1)).into_iter().flatten();
        let same = |child: &&Entry<'_>| child.parent.and_then(|at| parents.get(&at)) == Some(&child.assignment);
        children.filter(same).filter_map(|child| child.parent).collect()
    }
}

/// Those that gave a result, the best first, of equals the earlier.
fn ranked<'a>(entries: &[Entry<'a>]) -> Vec<(f64, Entry<'a>)> {
    let mut ranked: Vec<(f64, Entry<'a>)> =
        entries.iter().filter_map(|entry| Some((entry.result()?, *entry))).collect();
    ranked.sort_by(|(a, _), (b, _)| (a + 0.0).total_cmp(&(b + 0.0)));
    ranked
}

/// How many of so many are copied.
fn best_of(count: usize, share: f64) -> usize {
    ((share * count as f64).ceil() as usize).max(1)
}

/// The last generation: as many as it takes to spend `max`, at `min` each.
pub(super) fn last(fidelity: Fidelity) -> u64 {
    (fidelity.max / fidelity.min * (1.0 - TOLERANCE)).ceil() as u64
}

/// What a member has spent at the end of a generation.
pub(super) fn spent(fidelity: Fidelity, generation: u64) -> f64 {
    (generation as f64 * fidelity.min).min(fidelity.max)
}

/// The generation at whose end so much is spent.
fn generation(fidelity: Fidelity, amount: f64) -> Option<u64> {
    let alike = |generation: &u64| (spent(fidelity, *generation) - amount).abs() <= TOLERANCE * amount;
    let round = (amount / fidelity.min).round() as u64;
    [round.max(1), last(fidelity)].into_iter().find(alike).map(|generation| generation.min(last(fidelity)))
}
