//! A Sobol sequence with Owen scrambling (Burley, 2020, <https://jcgt.org/published/0009/04/01/>).

use super::settings::{SettingError, Settings};
use super::streams::mix;
use super::unrepeated::unrepeated;
use super::{NoSuggestion, Request, Suggestion, Tuner};
use crate::space::SearchSpace;

/// Points in one sequence, and dimensions in one, of the library's direction numbers.
const SEQUENCE: u64 = 1 << 16;
const DIMENSIONS: usize = 256;

/// As random search, but evenly spread.
pub(super) struct Sobol {
    pub allow_repeats: bool,
}

impl Sobol {
    /// From its settings.
    pub fn make(settings: &mut Settings<'_>, _space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        Ok(Box::new(Sobol { allow_repeats: settings.allow_repeats() }))
    }
}

impl Tuner for Sobol {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        // The sequence's point, or where that is not allowed the same point of further scramblings.
        let mut scrambling = 0;
        let draw = || {
            scrambling += 1;
            request.space.decode(&spread(request, request.index, scrambling - 1))
        };
        unrepeated(request, self.allow_repeats, coordinate(request, 0, request.index, u32::MAX), draw)
    }
}

/// A point of the unit cube: the one of this number in a scrambling of the sequence.
pub(super) fn spread(request: &Request<'_>, number: u64, scrambling: u32) -> Vec<f64> {
    let dimensions = 0..request.space.parameters().len();
    dimensions.map(|dimension| coordinate(request, dimension, number, scrambling)).collect()
}

/// One coordinate of the sequence's point, in the middle of its 2^-24 cell so that it is never 0.
fn coordinate(request: &Request<'_>, dimension: usize, number: u64, scrambling: u32) -> f64 {
    let block = (dimension / DIMENSIONS) as u64;
    let round = number / SEQUENCE;
    let seed = mix(request.seed ^ mix(u64::from(scrambling) ^ mix(block ^ mix(round))));
    let sample = sobol_burley::sample((number % SEQUENCE) as u32, (dimension % DIMENSIONS) as u32, seed as u32);
    f64::from(sample) + f64::powi(2.0, -25)
}
