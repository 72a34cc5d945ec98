//! Annealing (Kirkpatrick, Gelatt and Vecchi, 1983, <https://doi.org/10.1126/science.220.4598.671>), in the form that
//! hyper-parameter search gave it: Hyperopt's `anneal` (Bergstra et al., 2013, <https://doi.org/10.25080/Majora-8b375195-003>).
//!
//! A suggestion is drawn around a good trial: its rank is geometric, most often the best. The neighbourhood is the whole
//! space at first and shrinks with the number of trials; within it the draw is uniform.

use super::random::uniform;
use super::settings::{SettingError, Settings};
use super::unrepeated::unrepeated;
use super::{NoSuggestion, Request, Suggestion, Tuner, generator};
use crate::space::{Assignment, Domain, SearchSpace};
use rand::{Rng, RngExt};

/// How much warmer each draw is than the one before that was not allowed, or was tried.
const WIDENING: f64 = 1.1;

/// Annealing.
pub(super) struct Anneal {
    allow_repeats: bool,
    /// Mean rank of the trial that is drawn around; 1 is the best.
    mean_rank: f64,
    /// How fast the neighbourhood shrinks: after n trials it is 1 / (1 + n * cooling) of the space's width.
    cooling: f64,
}

impl Tuner for Anneal {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        let mut rng = generator(request);
        let start = rng.random();
        let mut ranked = request.history.ranked();
        let centre = self.rank(ranked.len(), &mut rng).and_then(|rank| ranked.nth(rank));
        // What a person tried outside of the space has no neighbourhood in it.
        let centre = centre.and_then(|finished| request.space.check(&finished.assignment).ok());
        let mut temperature = 1.0 / (1.0 + self.cooling * request.history.len() as f64);
        let place = centre.as_ref().map(|centre| request.space.encode(centre));
        unrepeated(request, self.allow_repeats, start, || match (&centre, &place) {
            (Some(centre), Some(place)) => {
                let drawn = around(request.space, centre, place, temperature, &mut rng);
                temperature = (temperature * WIDENING).min(1.0);
                drawn
            }
            _ => uniform(request.space, &mut rng),
        })
    }
}

impl Anneal {
    /// From its settings.
    pub fn make(settings: &mut Settings<'_>, _space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        Ok(Box::new(Anneal {
            allow_repeats: settings.allow_repeats(),
            mean_rank: settings.real("meanRank", 2.0, 1.0..=1_000.0),
            cooling: settings.real("cooling", 0.1, 0.0..=1_000.0),
        }))
    }

    /// A rank below `count`, from 0, geometrically distributed.
    fn rank(&self, count: usize, rng: &mut impl Rng) -> Option<usize> {
        let next = 1.0 - 1.0 / self.mean_rank;
        let rank = if next > 0.0 { ((1.0 - rng.random::<f64>()).ln() / next.ln()) as usize } else { 0 };
        count.checked_sub(1).map(|last| rank.min(last))
    }
}

/// Uniform in a box around the centre, cut where it leaves the space. A category stays, but with the probability
/// `temperature` it is drawn anew; and what is not active at the centre is drawn from its whole range.
fn around(space: &SearchSpace, centre: &Assignment, place: &[f64], temperature: f64, rng: &mut impl Rng) -> Assignment {
    let coordinate = |(at, place): (usize, &f64)| {
        let (parameter, uniform) = (&space.parameters()[at], rng.random::<f64>());
        if !centre.contains_key(&parameter.name) {
            return uniform;
        }
        match parameter.domain {
            Domain::Categorical { .. } if rng.random::<f64>() < temperature => uniform,
            Domain::Categorical { .. } => *place,
            _ => {
                let (low, high) = ((place - temperature / 2.0).max(0.0), (place + temperature / 2.0).min(1.0));
                low + uniform * (high - low)
            }
        }
    };
    let point: Vec<f64> = place.iter().enumerate().map(coordinate).collect();
    space.decode(&point)
}
