//! Tuners: each proposes the next assignment. One algorithm a file behind one trait.
//!
//! Pure: a tuner is a function of (space, history ordered by index, pending, seed, index), so that a restart or a
//! second replica draws the same next point.

use crate::space::{Assignment, SearchSpace};

/// What a tuner is asked with.
pub struct Request<'a> {
    /// The space to propose from.
    pub space: &'a SearchSpace,
    /// Trials that have ended, ordered by index, failed ones included.
    pub history: &'a History,
    /// Assignments of trials that are running or waiting, ordered by index.
    pub pending: &'a [Assignment],
    /// `spec.algorithm.seed`.
    pub seed: u64,
    /// Index of the trial to propose for.
    pub index: u64,
}

/// A search algorithm.
pub trait Tuner: Send + Sync {
    /// The assignment of trial `request.index`: valid in the space, all constraints hold.
    fn suggest(&self, request: &Request<'_>) -> Result<Assignment, NoSuggestion>;
}
