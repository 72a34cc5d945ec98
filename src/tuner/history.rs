//! Trials that have ended, as tuners see them.

use super::Stage;
use crate::space::{Assignment, Key, Parameter, SearchSpace};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A trial that has ended. Made with [`Finished::new`], so that a field more does not change who makes one.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// Position in the experiment's sequence.
    pub index: u64,
    /// Its parameters.
    pub assignment: Assignment,
    /// What came out.
    pub outcome: Outcome,
    /// What it spent, where the experiment has a fidelity.
    pub stage: Option<Stage>,
}

impl Finished {
    /// The trial of this index, without a fidelity.
    pub fn new(index: u64, assignment: Assignment, outcome: Outcome) -> Self {
        Finished { index, assignment, outcome, stage: None }
    }

    /// The same at this stage.
    #[must_use]
    pub fn at(self, stage: Option<Stage>) -> Self {
        Finished { stage, ..self }
    }
}

/// What came out of a trial. Lower losses are better; one that is not finite is worse than all that are.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It ran to its end: one loss an objective.
    Complete {
        /// One an objective.
        losses: Vec<f64>,
    },
    /// It was stopped before its end; the losses are its last.
    EarlyStopped {
        /// One an objective.
        losses: Vec<f64>,
    },
    /// It gave no result.
    Failed,
}

impl Outcome {
    /// The first objective's loss; infinite when there is none.
    pub fn loss(&self) -> f64 {
        match self {
            Outcome::Complete { losses } | Outcome::EarlyStopped { losses } => {
                losses.first().copied().filter(|loss| loss.is_finite()).unwrap_or(f64::INFINITY)
            }
            Outcome::Failed => f64::INFINITY,
        }
    }
}

/// Trials that have ended, ordered by index. Kept up to date trial by trial: each change takes logarithmic time.
pub struct History {
    finished: BTreeMap<u64, Finished>,
    /// Those with a finite loss, the best first.
    ranked: BTreeSet<(Loss, u64)>,
    /// How often each configuration of the space was tried.
    tried: HashMap<Key, u32>,
    space: SearchSpace,
}

impl History {
    /// Nothing has ended yet. Configurations are told apart by this space.
    pub fn new(space: &SearchSpace) -> Self {
        let parameters: Vec<Parameter> = space.parameters().to_vec();
        // Constraints do not matter for telling configurations apart, and the parameters have been checked before.
        let space = SearchSpace::unconstrained(parameters);
        History { finished: BTreeMap::new(), ranked: BTreeSet::new(), tried: HashMap::new(), space }
    }

    /// Adds a trial, in place of the one of the same index.
    pub fn insert(&mut self, finished: Finished) {
        self.remove(finished.index);
        if let Some(key) = self.key(&finished) {
            *self.tried.entry(key).or_default() += 1;
        }
        self.ranked.extend(rank(&finished));
        self.finished.insert(finished.index, finished);
    }

    /// Forgets a trial.
    pub fn remove(&mut self, index: u64) {
        let Some(finished) = self.finished.remove(&index) else { return };
        if let Some(rank) = rank(&finished) {
            self.ranked.remove(&rank);
        }
        let Some(key) = self.key(&finished) else { return };
        if let Some(count) = self.tried.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.tried.remove(&key);
            }
        }
    }

    /// In the order of their indices.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Finished> + ExactSizeIterator {
        self.finished.values()
    }

    /// The trial of this index.
    pub fn get(&self, index: u64) -> Option<&Finished> {
        self.finished.get(&index)
    }

    /// Those of an index below this one, in the order of their indices.
    pub fn before(&self, index: u64) -> impl DoubleEndedIterator<Item = &Finished> {
        self.finished.range(..index).map(|(_, finished)| finished)
    }

    /// Those with a finite loss, the best first; of equals the earlier one.
    pub fn ranked(&self) -> impl ExactSizeIterator<Item = &Finished> {
        // Both hold the same trials, so nothing is left out here.
        self.ranked.iter().map(|(_, index)| &self.finished[index])
    }

    /// How many trials have ended.
    pub fn len(&self) -> usize {
        self.finished.len()
    }

    /// None has.
    pub fn is_empty(&self) -> bool {
        self.finished.is_empty()
    }

    /// Whether a configuration of the space has been tried, by [`SearchSpace::key`].
    pub fn contains(&self, key: Key) -> bool {
        self.tried.contains_key(&key)
    }

    /// How many different configurations of the space have been tried, constraints aside.
    pub fn distinct(&self) -> usize {
        self.tried.len()
    }

    /// `None` for what a person tried outside of the space: it must not stand for a configuration nearby.
    fn key(&self, finished: &Finished) -> Option<Key> {
        self.space.check(&finished.assignment).ok().map(|checked| self.space.key(&checked))
    }
}

/// A finite loss, in the order of numbers.
#[derive(Clone, Copy, Debug)]
struct Loss(f64);

impl Ord for Loss {
    fn cmp(&self, other: &Self) -> Ordering {
        // -0 and 0 are one loss.
        (self.0 + 0.0).total_cmp(&(other.0 + 0.0))
    }
}

impl PartialOrd for Loss {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Loss {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Loss {}

fn rank(finished: &Finished) -> Option<(Loss, u64)> {
    Some(finished.outcome.loss()).filter(|loss| loss.is_finite()).map(|loss| (Loss(loss), finished.index))
}
