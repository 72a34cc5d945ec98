//! The rungs and who has ended there, kept trial by trial.

use super::Rungs;
use crate::tuner::history::{Digest, Ended, History, Place, rank};
use crate::tuner::pareto::net;
use crate::tuner::ranking::Ranking;
use crate::tuner::{Finished, Request};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Of several objectives only so many trials of a rung are compared, the latest.
const COMPARED: usize = 1000;

/// See the module.
#[derive(Clone)]
pub(super) struct Ladder {
    levels: Rungs,
    rungs: Vec<Rung>,
    /// Who goes on from whom, at any rung.
    children: HashMap<u64, BTreeSet<u64>>,
}

/// Trials of a rung that have ended.
#[derive(Clone, Default)]
pub(super) struct Rung {
    /// Those that failed, too.
    pub ended: BTreeSet<u64>,
    /// The best first; of several objectives by the first one.
    pub results: Ranking<Place>,
    /// Of these, those that no trial that has ended went on from.
    open: BTreeSet<Place>,
}

impl Rung {
    /// So many of the latest results.
    pub fn latest<'a>(&self, history: &'a History, most: usize) -> impl Iterator<Item = &'a Finished> {
        let ended = self.ended.iter().rev().take(4 * most).filter_map(|index| history.get(*index));
        ended.filter(|ended| rank(ended).is_some()).take(most)
    }

    /// The first of those that are compared, where there are several objectives.
    fn oldest_compared(&self) -> u64 {
        self.ended.iter().rev().take(COMPARED).next_back().copied().unwrap_or(0)
    }

    /// The best one that goes on, when of so many trials one does; `left`: which of them have not.
    pub fn next<'a>(&self, history: &'a History, eta: f64, left: impl Fn(&Finished) -> bool) -> Option<&'a Finished> {
        if history.objectives() < 2 {
            let count = (self.ended.len() as f64 / eta) as usize;
            let of = |place: &Place| history.get(place.2).filter(|ended| left(ended)).map(|ended| (*place, ended));
            let (place, next) = self.open.iter().find_map(of)?;
            return (self.results.rank(&place) < count).then_some(next);
        }
        let compared: Vec<u64> = self.ended.iter().rev().take(COMPARED).copied().collect();
        let count = (compared.len() as f64 / eta) as usize;
        let results = compared.iter().rev().filter_map(|index| history.get(*index));
        let results: Vec<&Finished> = results.filter(|ended| rank(ended).is_some()).collect();
        let open = |ended: &&Finished| rank(ended).is_some_and(|place| self.open.contains(&place)) && left(ended);
        net(&results, count, 0).into_iter().find(open)
    }

    /// Those that no trial that has ended went on from, and that may still be among the best; the best first. Of several
    /// objectives so many at most.
    pub fn open<'a>(&'a self, history: &History, most: usize) -> Box<dyn Iterator<Item = u64> + 'a> {
        let open = self.open.iter().map(|(.., index)| *index);
        if history.objectives() < 2 {
            return Box::new(open);
        }
        let oldest = self.oldest_compared();
        let mut open: Vec<u64> = open.filter(|index| *index >= oldest).collect();
        if open.len() > most {
            open.sort_unstable();
            let results: Vec<&Finished> = open.iter().filter_map(|index| history.get(*index)).collect();
            open = net(&results, most, 0).into_iter().map(|one| one.index).collect();
        }
        Box::new(open.into_iter())
    }
}

impl Ladder {
    /// Nobody has ended yet.
    pub fn new(levels: &Rungs) -> Self {
        let rungs = levels.levels.iter().map(|_| Rung::default()).collect();
        Ladder { levels: levels.clone(), rungs, children: HashMap::new() }
    }

    /// Whether it has these rungs.
    pub fn is_of(&self, levels: &Rungs) -> bool {
        self.levels == *levels
    }

    /// The lowest first.
    pub fn rungs(&self) -> impl DoubleEndedIterator<Item = &Rung> + ExactSizeIterator {
        self.rungs.iter()
    }

    /// Trials that have ended and went on from this one.
    pub fn children(&self, index: u64) -> impl Iterator<Item = u64> {
        self.children.get(&index).into_iter().flatten().copied()
    }

    /// Trials that others go on from which have not ended.
    pub fn left(&self, request: &Request<'_>) -> HashSet<u64> {
        let at_rungs = request.pending.iter().filter(|pending| self.levels.of(pending.stage).is_some());
        at_rungs.filter_map(|pending| pending.stage?.parent).collect()
    }

    fn rung_of(&mut self, finished: &Finished) -> Option<&mut Rung> {
        self.rungs.get_mut(self.levels.of(finished.stage)?)
    }

    /// Whether somebody has gone on from this trial has changed.
    fn reopen(&mut self, index: u64, open: bool, ended: &Ended) {
        let Some((finished, place)) = ended.get(&index).and_then(|finished| Some((finished, rank(finished)?))) else {
            return;
        };
        if let Some(rung) = self.rung_of(finished) {
            if open {
                rung.open.insert(place)
            } else {
                rung.open.remove(&place)
            };
        }
    }
}

impl Digest for Ladder {
    fn insert(&mut self, finished: &Finished, ended: &Ended) {
        let (index, place) = (finished.index, rank(finished));
        let gone_on = self.children.contains_key(&index);
        let Some(rung) = self.rung_of(finished) else { return };
        rung.ended.insert(index);
        if let Some(place) = place {
            rung.results.insert(place);
            if !gone_on {
                rung.open.insert(place);
            }
        }
        if let Some(parent) = finished.stage.and_then(|stage| stage.parent) {
            self.children.entry(parent).or_default().insert(index);
            self.reopen(parent, false, ended);
        }
    }

    fn remove(&mut self, finished: &Finished, ended: &Ended) {
        let (index, place) = (finished.index, rank(finished));
        let Some(rung) = self.rung_of(finished) else { return };
        rung.ended.remove(&index);
        if let Some(place) = place {
            rung.results.remove(&place);
            rung.open.remove(&place);
        }
        if let Some(parent) = finished.stage.and_then(|stage| stage.parent)
            && let Some(children) = self.children.get_mut(&parent)
        {
            children.remove(&index);
            if children.is_empty() {
                self.children.remove(&parent);
                self.reopen(parent, true, ended);
            }
        }
    }
}
