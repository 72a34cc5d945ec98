//! Random search (Bergstra and Bengio, 2012, <https://jmlr.org/papers/v13/bergstra12a.html>).

use super::unrepeated::unrepeated;
use super::{NoSuggestion, Request, Tuner, generator};
use crate::space::Assignment;
use rand::RngExt;

/// Draws uniformly, on each parameter's scale.
pub(super) struct Random {
    pub allow_repeats: bool,
}

impl Tuner for Random {
    fn suggest(&self, request: &Request<'_>) -> Result<Assignment, NoSuggestion> {
        let mut rng = generator(request);
        let start = rng.random();
        unrepeated(request, self.allow_repeats, start, || Ok(request.space.sample(&mut rng)?))
    }
}
