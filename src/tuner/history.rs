//! Trials that have ended, as tuners see them.

use crate::space::{Assignment, Key, Parameter, SearchSpace};
use std::collections::{BTreeMap, HashMap};

/// A trial that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// Position in the experiment's sequence.
    pub index: u64,
    /// Its parameters.
    pub assignment: Assignment,
    /// What came out.
    pub outcome: Outcome,
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
    /// How often each configuration was tried.
    tried: HashMap<Key, u32>,
    space: SearchSpace,
}

impl History {
    /// Nothing has ended yet. Configurations are told apart by this space.
    pub fn new(space: &SearchSpace) -> Self {
        let parameters: Vec<Parameter> = space.parameters().to_vec();
        // Constraints do not matter for telling configurations apart, and the parameters have been checked before.
        let space = SearchSpace::unconstrained(parameters);
        History { finished: BTreeMap::new(), tried: HashMap::new(), space }
    }

    /// Adds a trial, in place of the one of the same index.
    pub fn insert(&mut self, finished: Finished) {
        self.remove(finished.index);
        *self.tried.entry(self.space.key(&finished.assignment)).or_default() += 1;
        self.finished.insert(finished.index, finished);
    }

    /// Forgets a trial.
    pub fn remove(&mut self, index: u64) {
        let Some(finished) = self.finished.remove(&index) else { return };
        let key = self.space.key(&finished.assignment);
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

    /// How many trials have ended.
    pub fn len(&self) -> usize {
        self.finished.len()
    }

    /// None has.
    pub fn is_empty(&self) -> bool {
        self.finished.is_empty()
    }

    /// Whether a configuration has been tried, by [`SearchSpace::key`].
    pub fn contains(&self, key: Key) -> bool {
        self.tried.contains_key(&key)
    }

    /// How many different configurations have been tried.
    pub fn distinct(&self) -> usize {
        self.tried.len()
    }
}
