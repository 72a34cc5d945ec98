//! Random search (Bergstra and Bengio, 2012, <https://jmlr.org/papers/v13/bergstra12a.html>).

use super::settings::{SettingError, Settings};
use super::unrepeated::unrepeated;
use super::{NoSuggestion, Request, Suggestion, Tuner, generator};
use crate::space::{Assignment, SearchSpace};
use rand::{Rng, RngExt};

/// Draws uniformly, on each parameter's scale.
pub(super) struct Random {
    allow_repeats: bool,
}

impl Random {
    pub fn new(allow_repeats: bool) -> Self {
        Random { allow_repeats }
    }

    /// From its settings.
    pub fn make(settings: &mut Settings<'_>, _space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        Ok(Box::new(Random::new(settings.allow_repeats())))
    }
}

impl Tuner for Random {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        let mut rng = generator(request);
        let start = rng.random();
        unrepeated(request, self.allow_repeats, start, || uniform(request.space, &mut rng))
    }
}

/// A uniform draw; constraints need not hold.
pub(super) fn uniform(space: &SearchSpace, rng: &mut impl Rng) -> Assignment {
    let point: Vec<f64> = space.parameters().iter().map(|_| rng.random::<f64>()).collect();
    space.decode(&point)
}

/// The choice at a place of `[0, 1)` that is cut into these shares.
pub(super) fn pick(shares: &[f64], mut place: f64) -> usize {
    let found = shares.iter().position(|share| {
        place -= share;
        place < 0.0
    });
    found.unwrap_or(shares.len().saturating_sub(1))
}
