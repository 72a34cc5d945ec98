//! Tuners: each proposes the next assignment. One algorithm a file behind one trait.
//!
//! Pure: a tuner is a function of (space, history ordered by index, pending, seed, index), so that a restart or a
//! second replica draws the same next point. Generators are ChaCha8, so that results replay across releases.

mod algorithms;
mod anneal;
mod auto;
mod cma_es;
mod evolution;
mod forest;
mod genetic;
mod gp;
mod gradient;
mod grid;
mod halving;
mod history;
mod hypervolume;
mod neighbour;
mod pareto;
mod policy_gradient;
mod population;
mod protocol;
mod random;
mod ranking;
mod settings;
mod sobol;
mod stage;
mod streams;
mod tpe;
mod translate;
mod unrepeated;

pub use algorithms::{ALGORITHMS, Algorithm, Goals, MAX_OBJECTIVES, build, check_goals};
pub use forest::{Importance, Prediction, Surrogate};
pub use history::{Digest, Ended, Finished, History, Outcome};
pub use pareto::order as best_first;
pub use protocol::Session;
pub use settings::{Setting, SettingError};
pub use stage::{Fidelity, Stage};
pub use translate::{Origin, Translated, translate};

use crate::space::{Assignment, SearchSpace, Unsatisfiable};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a tuner is asked with.
pub struct Request<'a> {
    /// The space to propose from.
    pub space: &'a SearchSpace,
    /// Trials that have ended, ordered by index, failed ones included.
    pub history: &'a History,
    /// Trials that are running or waiting. Their order is of no account.
    pub pending: &'a [Pending],
    /// `spec.algorithm.seed`.
    pub seed: u64,
    /// Index of the trial to propose for.
    pub index: u64,
}

/// A trial that has not ended. Made with [`Pending::new`], so that a field more does not change who makes one.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    /// Position in the experiment's sequence.
    pub index: u64,
    /// Its parameters.
    pub assignment: Assignment,
    /// Where the experiment has a fidelity.
    pub stage: Option<Stage>,
}

impl Pending {
    /// The trial of this index, without a fidelity.
    pub fn new(index: u64, assignment: Assignment) -> Self {
        Pending { index, assignment, stage: None }
    }

    /// The same at this stage.
    #[must_use]
    pub fn at(self, stage: Option<Stage>) -> Self {
        Pending { stage, ..self }
    }
}

/// A trial to make: what a tuner has to say about it. Made with [`Suggestion::new`], as [`Pending`] is.
#[derive(Clone, Debug, PartialEq)]
pub struct Suggestion {
    /// Its parameters: valid in the space, all constraints hold.
    pub assignment: Assignment,
    /// What it spends, where the tuner hands out a fidelity.
    pub stage: Option<Stage>,
}

impl Suggestion {
    /// A trial of these parameters.
    pub fn new(assignment: Assignment) -> Self {
        Suggestion { assignment, stage: None }
    }

    /// The same at this stage.
    #[must_use]
    pub fn at(self, stage: Stage) -> Self {
        Suggestion { stage: Some(stage), ..self }
    }
}

/// A search algorithm.
pub trait Tuner: Send + Sync {
    /// The trial `request.index`.
    ///
    /// The work is bounded, whatever the space and however long the history. The answer is a function of the request
    /// alone: what an implementation remembers between calls may make it faster, never different.
    ///
    /// # Errors
    /// There is none to propose. It is asked again when a trial has ended.
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion>;

    /// What [`History::keep`] may keep for this tuner, so that the work does not grow with the history. Without it, or with
    /// that of another tuner, the answers are the same.
    fn digest(&self) -> Option<Box<dyn Digest>> {
        None
    }

    /// Lets go of what is kept only to answer sooner beside the last suggestions: no further one is expected.
    fn forget(&self) {}

    /// Indices of the trials that have ended and that some trial to come may have as its parent, whatever still ends. Once
    /// a trial is not among them, it never is again. Where there are more than `most`, only so many, those first that it costs
    /// most to do without.
    fn parents(&self, _request: &Request<'_>, _most: usize) -> Vec<u64> {
        Vec::new()
    }

    /// How the trial `request.index` is chosen, in a sentence, where that is not the same for all trials. As
    /// [`Tuner::suggest`], a function of the request alone.
    fn note(&self, _request: &Request<'_>) -> Option<String> {
        None
    }
}

/// Why there is nothing to propose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSuggestion {
    /// Every configuration of a finite space that satisfies the constraints has been tried.
    #[error("every configuration of the search space has been tried")]
    Exhausted,
    /// The constraints leave no room that could be found.
    #[error(transparent)]
    Unsatisfiable(#[from] Unsatisfiable),
    /// Trials run, and the next one depends on what comes out of them.
    #[error("the next trial depends on what comes out of those that run")]
    Waiting,
    /// The space is too large to be looked through whole.
    #[error("none of the {0} configurations that were looked at is untried and satisfies parameterConstraints")]
    NotFound(u64),
}

/// The generator of one suggestion: the seed's stream number `index`. Draws for other purposes use other streams.
fn generator(request: &Request<'_>) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(request.seed);
    rng.set_stream(request.index);
    rng
}

#[cfg(test)]
mod tests;
