//! Covariance matrix adaptation evolution strategy (Hansen's tutorial, <https://arxiv.org/abs/1604.00772>), with margin
//! for numbers of few levels, probabilities for categories, and restarts.
//!
//! Trials are drawn from a normal distribution. Each generation, the next so many trials that have ended in the order of
//! their indices, moves it towards the better ones and shapes it after the directions in which they lay. Nothing is kept
//! between suggestions: the distribution is found again by going through the history. So parallel trials need not wait
//! for their generation, and points that were given count like those that were drawn.
//!
//! Categories are drawn from probabilities. A number that a trial has only a level of, or is not active in, is taken where
//! the distribution might have drawn it.

mod covariance;
mod distribution;
mod margin;
mod restarts;
mod strategy;

pub(super) use restarts::Policy;

use super::settings::{SettingError, Settings};
use super::streams::uniform_of;
use super::unrepeated::unrepeated;
use super::{Finished, NoSuggestion, Request, Suggestion, Tuner, generator};
use crate::space::{Assignment, Domain, SearchSpace};
use distribution::{Distribution, Member};
use rand::RngExt;
use restarts::Restarts;

/// Only so many values of parameters are gone through, and so many trials: bounded work however long the history.
const MOST_VALUES: usize = 1 << 18;
const MOST_TRIALS: usize = 1 << 13;

/// The strategy.
pub(super) struct CmaEs {
    allow_repeats: bool,
    /// Trials in a generation; `None`: by the number of parameters.
    population: Option<usize>,
    /// Standard deviation at first, in widths of the range.
    step: f64,
    restarts: Policy,
}

impl Tuner for CmaEs {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        let axes = Axes::new(request.space);
        let distribution = self.replay(request, &axes);
        let mut rng = generator(request);
        let start = rng.random();
        unrepeated(request, self.allow_repeats, start, || {
            let (numbers, choices) = distribution.draw(&mut rng);
            request.space.decode(&axes.point(&numbers, &choices))
        })
    }
}

impl CmaEs {
    /// From its settings.
    pub fn make(settings: &mut Settings<'_>, _space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        Ok(Box::new(CmaEs {
            allow_repeats: settings.allow_repeats(),
            population: Some(settings.whole("population", 0, 0..=1_000) as usize).filter(|size| *size > 0),
            step: settings.real("step", 0.2, 0.001..=1.0),
            restarts: settings.choice(
                "restarts",
                ("BIPOP", Policy::Bipop),
                &[("IPOP", Policy::Ipop), ("None", Policy::Never)],
            ),
        }))
    }

    fn replay(&self, request: &Request<'_>, axes: &Axes<'_>) -> Distribution {
        let dimensions = axes.numbers.len() + axes.categories.len();
        let by_rule = 4 + (3.0 * (dimensions.max(1) as f64).ln()) as usize;
        let population = self.population.unwrap_or(by_rule);
        // A long history is entered at a whole number of strides, so that the way does not change with each trial.
        let stride = (MOST_VALUES / axes.space.parameters().len().max(1)).clamp(64, MOST_TRIALS) / 2;
        let skipped = (request.history.len() / stride).saturating_sub(1) * stride;
        let before = request.history.iter().take(skipped).filter(|finished| finished.outcome.loss().is_finite());
        let incumbent = before.min_by(|a, b| a.outcome.loss().total_cmp(&b.outcome.loss()));
        let centre = match incumbent {
            Some(finished) => axes.numbers_of(&finished.assignment),
            None => vec![0.5; axes.numbers.len()],
        };
        let choices: Vec<usize> = axes.categories.iter().map(|(_, count)| *count).collect();
        let mut distribution = Distribution::new(centre, &choices, self.step, population);
        let mut restarts = Restarts::new(self.restarts, request.seed, population, self.step);
        let mut generation = Vec::with_capacity(population);
        for finished in request.history.iter().skip(skipped) {
            generation.push(axes.member(&distribution, finished, request.seed));
            if generation.len() < distribution.population {
                continue;
            }
            let losses = generation.iter().map(|member| member.loss);
            let losses = losses.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), loss| (loss.min(a), loss.max(b)));
            distribution.adapt(std::mem::take(&mut generation));
            axes.keep_margin(&mut distribution);
            if let Some(next) = restarts.next(&distribution, losses, &axes.continuous) {
                distribution = next;
            }
        }
        distribution
    }
}

/// Which parameter is which coordinate.
struct Axes<'a> {
    space: &'a SearchSpace,
    /// Indices of the parameters that are numbers.
    numbers: Vec<usize>,
    /// Of those, the positions of the ones without levels.
    continuous: Vec<usize>,
    /// Indices of the categorical parameters, with the number of their choices.
    categories: Vec<(usize, usize)>,
}

impl<'a> Axes<'a> {
    fn new(space: &'a SearchSpace) -> Self {
        let (mut numbers, mut continuous, mut categories) = (Vec::new(), Vec::new(), Vec::new());
        for (at, parameter) in space.parameters().iter().enumerate() {
            match (&parameter.domain, parameter.domain.levels()) {
                (_, Some(1)) => {}
                (Domain::Categorical { choices }, _) => categories.push((at, choices.len())),
                (_, levels) => {
                    if levels.is_none() {
                        continuous.push(numbers.len());
                    }
                    numbers.push(at);
                }
            }
        }
        Axes { space, numbers, continuous, categories }
    }

    fn point(&self, numbers: &[f64], choices: &[usize]) -> Vec<f64> {
        let mut point = vec![0.5; self.space.parameters().len()];
        self.numbers.iter().zip(numbers).for_each(|(at, place)| point[*at] = *place);
        for ((at, count), choice) in self.categories.iter().zip(choices) {
            point[*at] = (*choice as f64 + 0.5) / *count as f64;
        }
        point
    }

    fn numbers_of(&self, assignment: &Assignment) -> Vec<f64> {
        let point = self.space.encode(assignment);
        self.numbers.iter().map(|at| point[*at]).collect()
    }

    fn member(&self, distribution: &Distribution, finished: &Finished, seed: u64) -> Member {
        let point = self.space.encode(&finished.assignment);
        let number = |(dimension, at): (usize, &usize)| {
            let parameter = &self.space.parameters()[*at];
            let share = match finished.assignment.get(&parameter.name) {
                Some(value) => parameter.domain.share(value),
                None => Some((f64::NEG_INFINITY, f64::INFINITY)),
            };
            let Some(share) = share else { return point[*at] };
            margin::within(distribution, dimension, share, uniform_of(seed, finished.index, dimension as u64))
        };
        let choice = |(at, count): &(usize, usize)| {
            let active = finished.assignment.contains_key(&self.space.parameters()[*at].name);
            active.then_some(((point[*at] * *count as f64) as usize).min(count - 1))
        };
        Member {
            loss: finished.outcome.loss(),
            numbers: self.numbers.iter().enumerate().map(number).collect(),
            choices: self.categories.iter().map(choice).collect(),
        }
    }

    fn keep_margin(&self, distribution: &mut Distribution) {
        let least = 1.0 / (self.numbers.len().max(1) as f64 * distribution.population as f64);
        for (dimension, at) in self.numbers.iter().enumerate() {
            let domain = &self.space.parameters()[*at].domain;
            if let Some(share) = domain.share(&domain.at_place(distribution.mean[dimension])) {
                margin::keep(distribution, dimension, share, least);
            }
        }
    }
}

#[cfg(test)]
mod tests;
