//! Trials that have ended, as tuners see them.

use super::Stage;
use super::pareto::Front;
use crate::space::{Assignment, Key, Parameter, SearchSpace};
use std::any::Any;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
    /// One an outcome constraint: 0 or less where it holds, else by how much it does not. One that is not a number does not
    /// hold at all.
    pub excesses: Vec<f64>,
    /// Derivatives of the first loss by parameters, where it reported them.
    pub derivatives: BTreeMap<String, f64>,
}

impl Finished {
    /// The trial of this index, without a fidelity and without outcome constraints.
    pub fn new(index: u64, assignment: Assignment, outcome: Outcome) -> Self {
        Finished { index, assignment, outcome, stage: None, excesses: Vec::new(), derivatives: BTreeMap::new() }
    }

    /// The same under outcome constraints; one number each, see [`Finished::excesses`].
    #[must_use]
    pub fn constrained(self, excesses: Vec<f64>) -> Self {
        Finished { excesses, ..self }
    }

    /// The same with derivatives of the first loss, by parameters' names.
    #[must_use]
    pub fn with_derivatives(self, derivatives: BTreeMap<String, f64>) -> Self {
        Finished { derivatives, ..self }
    }

    /// By how much all outcome constraints together do not hold; 0 when they do.
    pub fn violation(&self) -> f64 {
        let sum: f64 =
            self.excesses.iter().map(|excess| if excess.is_nan() { f64::INFINITY } else { excess.max(0.0) }).sum();
        // The sum of nothing is -0, which would come before 0.
        sum + 0.0
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
    /// The first objective's loss; infinite unless there is one for each objective.
    pub fn loss(&self) -> f64 {
        let losses = self.losses();
        let finite = losses.iter().all(|loss| loss.is_finite());
        losses.first().copied().filter(|_| finite).unwrap_or(f64::INFINITY)
    }

    /// One an objective; none when the trial failed.
    pub fn losses(&self) -> &[f64] {
        match self {
            Outcome::Complete { losses } | Outcome::EarlyStopped { losses } => losses,
            Outcome::Failed => &[],
        }
    }
}

/// Trials that have ended, by their indices.
pub type Ended = BTreeMap<u64, Finished>;

/// What a tuner reads off a history, kept up to date trial by trial, so that no suggestion walks through all of it. What a tuner
/// answers by it depends on the trials alone, not on the order in which they came and others went.
pub trait Digest: Any + Send + Sync {
    /// A trial has ended. It is among these already; others that are may come later.
    fn insert(&mut self, finished: &Finished, ended: &Ended);

    /// A trial is gone from these.
    fn remove(&mut self, finished: &Finished, ended: &Ended);
}

/// Trials that have ended, ordered by index. Kept up to date trial by trial: each change takes logarithmic time.
pub struct History {
    finished: Ended,
    /// What the tuner of this history keeps of it.
    digest: Option<Box<dyn Digest>>,
    /// Those with finite losses, the best first: by violation, then by the first loss.
    ranked: BTreeSet<Place>,
    objectives: usize,
    /// Those that no other of the same fidelity dominates, which is the highest so far; kept only for several objectives.
    front: Front,
    highest: f64,
    /// How often each configuration of the space was tried.
    tried: HashMap<Key, u32>,
    space: SearchSpace,
    stamp: u64,
}

impl History {
    /// Nothing has ended yet. Configurations are told apart by this space.
    pub fn new(space: &SearchSpace) -> Self {
        let parameters: Vec<Parameter> = space.parameters().to_vec();
        // Constraints do not matter for telling configurations apart, and the parameters have been checked before.
        let space = SearchSpace::unconstrained(parameters);
        History {
            finished: BTreeMap::new(),
            digest: None,
            ranked: BTreeSet::new(),
            objectives: 1,
            front: Front::default(),
            highest: f64::NEG_INFINITY,
            tried: HashMap::new(),
            space,
            stamp: next_stamp(),
        }
    }

    /// The same for so many objectives; to be said before the first trial is added.
    #[must_use]
    pub fn with_objectives(self, objectives: usize) -> Self {
        History { objectives, stamp: next_stamp(), ..self }
    }

    /// How many objectives there are.
    pub fn objectives(&self) -> usize {
        self.objectives
    }

    /// From now on this is kept up to date, as well: see [`super::Tuner::digest`].
    pub fn keep(&mut self, mut digest: Option<Box<dyn Digest>>) {
        if let Some(digest) = &mut digest {
            self.finished.values().for_each(|finished| digest.insert(finished, &self.finished));
        }
        self.digest = digest;
    }

    /// What is kept of it, where it is what fits; else this, with all trials of the history.
    pub(super) fn digest<T: Digest + Clone>(&self, fits: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> Cow<'_, T> {
        let kept = self.digest.as_deref().and_then(|digest| (digest as &dyn Any).downcast_ref::<T>());
        kept.filter(|kept| fits(kept)).map_or_else(
            || {
                let mut made = new();
                self.finished.values().for_each(|finished| made.insert(finished, &self.finished));
                Cow::Owned(made)
            },
            Cow::Borrowed,
        )
    }

    /// Adds a trial, in place of the one of the same index. Of several objectives each must have a loss, or it counts as
    /// failed.
    pub fn insert(&mut self, mut finished: Finished) {
        self.remove(finished.index);
        self.stamp = next_stamp();
        if self.objectives > 1 && finished.outcome.losses().len() != self.objectives {
            finished.outcome = Outcome::Failed;
        }
        if let Some(key) = self.key(&finished) {
            *self.tried.entry(key).or_default() += 1;
        }
        self.ranked.extend(rank(&finished));
        self.hold(&finished);
        let index = finished.index;
        self.finished.insert(index, finished);
        if let (Some(digest), Some(finished)) = (&mut self.digest, self.finished.get(&index)) {
            digest.insert(finished, &self.finished);
        }
    }

    /// Forgets a trial.
    pub fn remove(&mut self, index: u64) {
        let Some(finished) = self.finished.remove(&index) else { return };
        if let Some(digest) = &mut self.digest {
            digest.remove(&finished, &self.finished);
        }
        self.stamp = next_stamp();
        if let Some(rank) = rank(&finished) {
            self.ranked.remove(&rank);
        }
        if self.front.remove(index) {
            // Rare: only what is deleted or changed goes, and only of a member another may take the place.
            (self.front, self.highest) = (Front::default(), f64::NEG_INFINITY);
            let left = std::mem::take(&mut self.finished);
            left.values().for_each(|other| self.hold(other));
            self.finished = left;
        }
        let Some(key) = self.key(&finished) else { return };
        if let Some(count) = self.tried.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.tried.remove(&key);
            }
        }
    }

    /// Another number after each change, and in each history: where it is the same, so is all that the history says. It is another
    /// one after a restart, so that no answer may depend on it.
    pub fn stamp(&self) -> u64 {
        self.stamp
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

    /// Those with finite losses, the best first; of equals the earlier one. Where there are outcome constraints, those that
    /// violate them come last, the more the later; where there are several objectives, the first one counts.
    pub fn ranked(&self) -> impl ExactSizeIterator<Item = &Finished> {
        // Both hold the same trials, so nothing is left out here.
        self.ranked.iter().map(|(_, _, index)| &self.finished[index])
    }

    /// Of several objectives: those that satisfy the outcome constraints and that no other such trial dominates, in the
    /// order of their indices. Where trials differ in fidelity, those of the highest so far.
    pub fn front(&self) -> impl DoubleEndedIterator<Item = &Finished> {
        self.front.indices().filter_map(|index| self.finished.get(&index))
    }

    /// Takes a trial into the front, if it belongs there.
    fn hold(&mut self, finished: &Finished) {
        if self.objectives < 2 || !finished.outcome.loss().is_finite() || finished.violation() != 0.0 {
            return;
        }
        let fidelity = finished.stage.map_or(f64::INFINITY, |stage| stage.fidelity);
        if fidelity > self.highest {
            (self.front, self.highest) = (Front::default(), fidelity);
        }
        if fidelity == self.highest {
            self.front.insert(finished.index, finished.outcome.losses());
        }
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

/// A number that nobody has had before.
fn next_stamp() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Relaxed)
}

/// A loss, in the order of numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss(pub f64);

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

/// Where a trial with finite losses stands among others: see [`History::ranked`].
pub(super) type Place = (Loss, Loss, u64);

pub(super) fn rank(finished: &Finished) -> Option<Place> {
    let loss = Some(finished.outcome.loss()).filter(|loss| loss.is_finite())?;
    Some((Loss(finished.violation()), Loss(loss), finished.index))
}
