//! Members by generation, kept trial by trial.

use crate::tuner::history::{Digest, Ended, Place, rank};
use crate::tuner::ranking::Ranking;
use crate::tuner::{Fidelity, Finished, Stage};
use std::collections::{BTreeMap, BTreeSet};

/// Amounts count as equal when they differ by less than this share.
const TOLERANCE: f64 = 1e-6;

/// See the module.
#[derive(Clone)]
pub(super) struct Crowd {
    fidelity: Fidelity,
    /// From 1 on.
    generations: BTreeMap<u64, Generation>,
    /// Trials with a result that went on from another.
    pub intervals: BTreeSet<u64>,
}

/// Trials of a generation that have ended.
#[derive(Clone, Default)]
pub(super) struct Generation {
    /// How many, those that failed among them.
    pub count: usize,
    /// Those that gave a result, the best first, of equals the earlier.
    pub results: Ranking<Place>,
    /// The same, by index.
    pub latest: BTreeSet<u64>,
    /// What each went on from, and its index.
    children: BTreeSet<(u64, u64)>,
}

impl Crowd {
    /// Nobody has ended yet.
    pub fn new(fidelity: Fidelity) -> Self {
        Crowd { fidelity, generations: BTreeMap::new(), intervals: BTreeSet::new() }
    }

    /// Whether its members train so long.
    pub fn is_of(&self, fidelity: Fidelity) -> bool {
        self.fidelity == fidelity
    }

    /// The last generation.
    pub fn last(&self) -> u64 {
        last(self.fidelity)
    }

    /// The trials of a generation, if there are any.
    pub fn of(&self, generation: u64) -> Option<&Generation> {
        self.generations.get(&generation)
    }

    /// The generations that come before this one.
    pub fn generations(&self, end: u64) -> impl Iterator<Item = (u64, &Generation)> {
        self.generations.range(..end).map(|(generation, ended)| (*generation, ended))
    }

    /// Trials of a generation that went on from this one.
    pub fn children(&self, generation: u64, parent: u64) -> impl Iterator<Item = u64> {
        let children = self.of(generation).into_iter();
        children.flat_map(move |one| one.children.range((parent, 0)..=(parent, u64::MAX))).map(|(_, child)| *child)
    }

    /// The generation at whose end so much is spent.
    pub fn generation(&self, stage: Stage) -> Option<u64> {
        let (amount, fidelity) = (stage.fidelity, self.fidelity);
        let alike = |generation: &u64| (spent(fidelity, *generation) - amount).abs() <= TOLERANCE * amount;
        let round = (amount / fidelity.min).round() as u64;
        let found = [round.max(1), last(fidelity)].into_iter().find(alike)?;
        Some(found.min(last(fidelity)))
    }
}

impl Digest for Crowd {
    fn insert(&mut self, finished: &Finished, _ended: &Ended) {
        let Some((stage, at)) = finished.stage.and_then(|stage| Some((stage, self.generation(stage)?))) else { return };
        let generation = self.generations.entry(at).or_default();
        generation.count += 1;
        if let Some(place) = rank(finished) {
            generation.results.insert(place);
            generation.latest.insert(finished.index);
            if stage.parent.is_some() {
                self.intervals.insert(finished.index);
            }
        }
        if let Some(parent) = stage.parent {
            generation.children.insert((parent, finished.index));
        }
    }

    fn remove(&mut self, finished: &Finished, _ended: &Ended) {
        let Some((stage, at)) = finished.stage.and_then(|stage| Some((stage, self.generation(stage)?))) else { return };
        let Some(generation) = self.generations.get_mut(&at) else { return };
        generation.count -= 1;
        if let Some(place) = rank(finished) {
            generation.results.remove(&place);
            generation.latest.remove(&finished.index);
        }
        if let Some(parent) = stage.parent {
            generation.children.remove(&(parent, finished.index));
        }
        self.intervals.remove(&finished.index);
        if generation.count == 0 {
            self.generations.remove(&at);
        }
    }
}

/// The last generation: as many as it takes to spend `max`, at `min` each.
pub(super) fn last(fidelity: Fidelity) -> u64 {
    (fidelity.max / fidelity.min * (1.0 - TOLERANCE)).ceil() as u64
}

/// What a member has spent at the end of a generation.
pub(super) fn spent(fidelity: Fidelity, generation: u64) -> f64 {
    (generation as f64 * fidelity.min).min(fidelity.max)
}
