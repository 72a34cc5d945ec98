//! Aging evolution (Real et al., 2019, <https://arxiv.org/abs/1802.01548>).
//!
//! The population is the latest trials that have ended: the oldest dies, not the worst, so that one lucky result does not
//! rule for long. Of a random sample of it the best is the parent, and its child differs in one parameter.

use super::neighbour::mutated;
use super::random::uniform;
use super::settings::{SettingError, Settings};
use super::unrepeated::unrepeated;
use super::{NoSuggestion, Request, Suggestion, Tuner, generator};
use crate::space::{Assignment, SearchSpace};
use rand::{Rng, RngExt};

/// Aging evolution.
pub(super) struct Evolution {
    allow_repeats: bool,
    /// Trials that are alive; the first so many are random.
    population: usize,
    /// Trials of a tournament, drawn with replacement.
    sample: usize,
    /// Standard deviation of a number's mutation, in widths of its range.
    step: f64,
}

impl Tuner for Evolution {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        let mut rng = generator(request);
        let start = rng.random();
        let population = self.population(request);
        unrepeated(request, self.allow_repeats, start, || match self.tournament(&population, &mut rng) {
            Some(parent) => mutated(request.space, parent, self.step, &mut rng),
            None => uniform(request.space, &mut rng),
        })
    }
}

impl Evolution {
    /// From its settings.
    pub fn make(settings: &mut Settings<'_>, _space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        Ok(Box::new(Evolution {
            allow_repeats: settings.allow_repeats(),
            population: settings.whole("population", 20, 2..=1_000) as usize,
            sample: settings.whole("sample", 8, 1..=1_000) as usize,
            step: settings.real("step", 0.2, 0.001..=1.0),
        }))
    }

    /// Those alive that gave a result, with their violations and losses; none until the first population is complete.
    fn population(&self, request: &Request<'_>) -> Vec<((f64, f64), Assignment)> {
        if request.history.len() < self.population {
            return Vec::new();
        }
        let alive = request.history.iter().rev().take(self.population);
        let fit = alive.filter(|finished| finished.outcome.loss().is_finite());
        let fit = fit.map(|finished| ((finished.violation(), finished.outcome.loss()), &finished.assignment));
        // What a person tried outside of the space has no children in it.
        fit.filter_map(|(fitness, assignment)| Some((fitness, request.space.check(assignment).ok()?))).collect()
    }

    fn tournament<'a>(&self, population: &'a [((f64, f64), Assignment)], rng: &mut impl Rng) -> Option<&'a Assignment> {
        if population.is_empty() {
            return None;
        }
        let drawn = (0..self.sample).map(|_| &population[rng.random_range(0..population.len())]);
        let better = |a: &(f64, f64), b: &(f64, f64)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1));
        drawn.min_by(|a, b| better(&a.0, &b.0)).map(|(_, assignment)| assignment)
    }
}
