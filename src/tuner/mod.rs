//! Tuners: each proposes the next assignment. One algorithm a file behind one trait.
//!
//! Pure: a tuner is a function of (space, history ordered by index, pending, seed, index), so that a restart or a
//! second replica draws the same next point. Generators are ChaCha8, so that results replay across releases.

mod grid;
mod history;
mod random;
mod settings;
mod sobol;
mod tpe;
mod unrepeated;

pub use history::{Finished, History, Outcome};
pub use settings::SettingError;

use crate::space::{Assignment, SearchSpace, Unsatisfiable};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use settings::Settings;
use std::collections::BTreeMap;

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
}

impl Pending {
    /// The trial of this index.
    pub fn new(index: u64, assignment: Assignment) -> Self {
        Pending { index, assignment }
    }
}

/// A trial to make: what a tuner has to say about it. Made with [`Suggestion::new`], as [`Pending`] is.
#[derive(Clone, Debug, PartialEq)]
pub struct Suggestion {
    /// Its parameters: valid in the space, all constraints hold.
    pub assignment: Assignment,
}

impl Suggestion {
    /// A trial of these parameters.
    pub fn new(assignment: Assignment) -> Self {
        Suggestion { assignment }
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
    /// The space is too large to be looked through whole.
    #[error("none of the {0} configurations that were looked at is untried and satisfies parameterConstraints")]
    NotFound(u64),
}

/// Names of the algorithms and what each is, for messages and documentation.
pub const ALGORITHMS: &[(&str, &str)] = &[
    ("Random", "draws uniformly, on each parameter's scale"),
    ("Grid", "every configuration once, in an order that spreads; doubles without a step have `points` levels"),
    ("Sobol", "an Owen-scrambled Sobol sequence: as random, but evenly spread"),
    ("TPE", "multivariate tree-structured Parzen estimator: samples where good trials are dense and others are not"),
];

/// Makes a tuner from its name and settings.
///
/// # Errors
/// Each setting that is unknown or out of range; the name is unknown.
pub fn build(
    name: &str,
    settings: &BTreeMap<String, Value>,
    space: &SearchSpace,
) -> Result<Box<dyn Tuner>, Vec<SettingError>> {
    let mut settings = Settings::new(settings);
    let allow_repeats = settings.flag("allowRepeats", false);
    let tuner: Box<dyn Tuner> = match name {
        "Random" => Box::new(random::Random { allow_repeats }),
        "Grid" => {
            let points = settings.whole("points", 10, 2..=1000);
            match grid::Grid::new(space, points, allow_repeats) {
                Ok(grid) => Box::new(grid),
                Err(error) => return Err(vec![error]),
            }
        }
        "Sobol" => Box::new(sobol::Sobol { allow_repeats }),
        "TPE" => Box::new(tpe::Tpe {
            allow_repeats,
            startup_trials: settings.whole("startupTrials", 10, 0..=10_000) as usize,
            candidates: settings.whole("candidates", 24, 1..=1_000) as usize,
            prior_weight: settings.real("priorWeight", 1.0, 0.0..=1e6),
        }),
        other => {
            let known: Vec<&str> = ALGORITHMS.iter().map(|(name, _)| *name).collect();
            let what = format!("{other:?} is no algorithm; there are {}", known.join(", "));
            return Err(vec![SettingError::new("algorithm.name", what)]);
        }
    };
    settings.finish().map(|()| tuner)
}

/// The generator of one suggestion: the seed's stream number `index`. Draws for other purposes use other streams.
fn generator(request: &Request<'_>) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(request.seed);
    rng.set_stream(request.index);
    rng
}

#[cfg(test)]
mod tests;
