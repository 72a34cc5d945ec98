//! Points that are spread evenly, whatever came out: a Sobol sequence with Owen scrambling (Burley, 2020,
//! <https://jcgt.org/published/0009/04/01/>), or Latin hypercubes (McKay, Beckman and Conover, 1979,
//! <https://doi.org/10.1080/00401706.1979.10489755>).

use super::settings::{SettingError, Settings};
use super::streams::{mix, uniform_of};
use super::unrepeated::unrepeated;
use super::{NoSuggestion, Request, Suggestion, Tuner};
use crate::space::SearchSpace;

/// Points in one sequence, and dimensions in one, of the library's direction numbers.
const SEQUENCE: u64 = 1 << 16;
const DIMENSIONS: usize = 256;

/// As random search, but evenly spread.
pub(super) struct Sobol {
    allow_repeats: bool,
    design: Design,
}

impl Sobol {
    /// The sequence.
    pub fn sequence(allow_repeats: bool) -> Self {
        Sobol { allow_repeats, design: Design::Sobol }
    }

    /// From its settings.
    pub fn make(settings: &mut Settings<'_>, _space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        let allow_repeats = settings.allow_repeats();
        let hypercube = Design::LatinHypercube { points: settings.whole("points", 64, 2..=1_000_000) };
        let design = settings.choice("design", ("Sobol", Design::Sobol), &[("LatinHypercube", hypercube)]);
        Ok(Box::new(Sobol { allow_repeats, design }))
    }
}

/// Which points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Design {
    /// The sequence: each power of two of points is even.
    Sobol,
    /// One hypercube after the other.
    LatinHypercube {
        /// Points in one: each coordinate has one of them in each of as many equal parts.
        points: u64,
    },
}

impl Tuner for Sobol {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        // The design's point, or where that is not allowed the same point of further scramblings.
        let mut scrambling = 0;
        let draw = || {
            scrambling += 1;
            request.space.decode(&match self.design {
                Design::Sobol => spread(request, request.index, scrambling - 1),
                Design::LatinHypercube { points } => hypercube(request, points, scrambling - 1),
            })
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

/// The point of a hypercube: in each dimension the index shuffled, and a place within that part drawn at random.
fn hypercube(request: &Request<'_>, points: u64, scrambling: u32) -> Vec<f64> {
    let round = request.index / points;
    let coordinate = |dimension| {
        let key = mix(request.seed ^ mix(u64::from(scrambling) ^ mix(dimension ^ mix(round))));
        let part = shuffled(request.index % points, points, key);
        (part as f64 + uniform_of(key, part, 0)) / points as f64
    };
    (0..request.space.parameters().len() as u64).map(coordinate).collect()
}

/// Where a permutation of `0..count` that the key chooses sends an index below `count`: a Feistel network over the least
/// even number of bits that will do, gone through until it ends below `count` (Black and Rogaway, 2002,
/// <https://doi.org/10.1007/3-540-45760-7_9>).
fn shuffled(index: u64, count: u64, key: u64) -> u64 {
    let half = count.max(2).next_power_of_two().ilog2().div_ceil(2);
    let mask = (1 << half) - 1;
    let mut at = index;
    loop {
        let (mut left, mut right) = (at >> half, at & mask);
        for round in 0..6 {
            (left, right) = (right, left ^ (mix(key ^ mix(right ^ mix(round))) & mask));
        }
        at = left << half | right;
        if at < count {
            return at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_shuffle_is_a_permutation(count in 1_u64..700, key in any::<u64>()) {
            let mut sent: Vec<u64> = (0..count).map(|index| shuffled(index, count, key)).collect();
            sent.sort_unstable();
            prop_assert_eq!(sent, (0..count).collect::<Vec<_>>());
        }
    }

    /// Each place of a shuffle of five is as likely for each index.
    #[test]
    fn shuffles_are_fair() {
        let mut counts = [[0_u32; 5]; 5];
        for key in 0..5_000 {
            (0..5).for_each(|index| counts[index as usize][shuffled(index, 5, mix(key)) as usize] += 1);
        }
        // A count has a standard deviation of 28.
        assert!(counts.iter().flatten().all(|count| count.abs_diff(1_000) < 140), "{counts:?}");
    }
}
