//! The search distribution: a normal one for numbers, probabilities for categories, and how a generation changes it.

use super::covariance::Covariance;
use super::strategy::Strategy;
use crate::tuner::random::pick;
use rand::{Rng, RngExt};
use rand_distr::{Distribution as _, StandardNormal};

/// Above so many numeric dimensions the covariance is diagonal: bounded work.
const MOST_FULL: usize = 40;
/// The widest standard deviation of a coordinate, in widths of its range.
const WIDEST: f64 = 1.0;

/// A member of a generation.
pub(super) struct Member {
    /// Infinite when the trial gave none.
    pub loss: f64,
    /// Places of the numbers.
    pub numbers: Vec<f64>,
    /// Of each categorical parameter the choice; `None` where it was not active.
    pub choices: Vec<Option<usize>>,
}

/// The state of CMA-ES between two generations.
pub(super) struct Distribution {
    pub mean: Vec<f64>,
    /// Of each categorical parameter, of each choice.
    pub probabilities: Vec<Vec<f64>>,
    pub population: usize,
    strategy: Strategy,
    step: f64,
    covariance: Covariance,
    /// Widening of each coordinate that the margin asked for.
    widening: Vec<f64>,
    step_path: Vec<f64>,
    path: Vec<f64>,
    generations: i32,
}

impl Distribution {
    /// Around this mean; `choices` has the number of choices of each categorical parameter.
    pub fn new(mean: Vec<f64>, choices: &[usize], step: f64, population: usize) -> Self {
        let dimensions = mean.len();
        let full = dimensions <= MOST_FULL;
        Distribution {
            probabilities: choices.iter().map(|count| vec![1.0 / *count as f64; *count]).collect(),
            population,
            strategy: Strategy::new(dimensions.max(1), population, full),
            step,
            covariance: Covariance::unit(dimensions, full),
            widening: vec![1.0; dimensions],
            step_path: vec![0.0; dimensions],
            path: vec![0.0; dimensions],
            generations: 0,
            mean,
        }
    }

    /// Standard deviation of a coordinate.
    pub fn deviation(&self, at: usize) -> f64 {
        self.step * self.widening[at] * self.covariance.deviation(at)
    }

    /// Gives a coordinate another normal marginal.
    pub fn set_marginal(&mut self, at: usize, mean: f64, deviation: f64) {
        let factor = deviation / self.deviation(at);
        if mean.is_finite() && factor.is_finite() && factor > 0.0 {
            self.mean[at] = mean;
            self.widening[at] *= factor;
        }
    }

    /// Draws numbers, which may lie outside of `[0, 1]`, and choices.
    pub fn draw(&self, rng: &mut impl Rng) -> (Vec<f64>, Vec<usize>) {
        let white: Vec<f64> = self.mean.iter().map(|_| StandardNormal.sample(rng)).collect();
        let coloured = self.covariance.colour(&white);
        let numbers = self.mean.iter().zip(&coloured).zip(&self.widening);
        let numbers = numbers.map(|((mean, y), widening)| mean + self.step * widening * y).collect();
        (numbers, self.probabilities.iter().map(|of| pick(of, rng.random())).collect())
    }

    /// Learns from a generation.
    pub fn adapt(&mut self, mut generation: Vec<Member>) {
        generation.sort_by(|a, b| a.loss.total_cmp(&b.loss));
        // A generation whose members are all alike says nothing.
        if generation.first().map(|m| m.loss) == generation.last().map(|m| m.loss) {
            return;
        }
        let weights = tied(&self.strategy.weights, &generation);
        self.adapt_numbers(&weights, &generation);
        self.adapt_choices(&weights, &generation);
    }

    fn adapt_numbers(&mut self, weights: &[f64], generation: &[Member]) {
        let dimensions = self.mean.len();
        if dimensions == 0 {
            return;
        }
        let (n, strategy) = (dimensions as f64, &self.strategy);
        // A trial that this distribution did not draw may lie far outside of it; its step is shortened (Hansen, 2011,
        // <https://arxiv.org/abs/1110.4181>).
        let longest = n.sqrt() + 2.0 * n / (n + 2.0);
        let step = |member: &Member| {
            let places = member.numbers.iter().zip(&self.mean).zip(&self.widening);
            let mut y: Vec<f64> = places.map(|((x, mean), widening)| (x - mean) / (self.step * widening)).collect();
            let length = length(&self.covariance.whiten(&y));
            let shorter = (longest / length).min(1.0);
            y.iter_mut().for_each(|y| *y *= shorter);
            (y, length * shorter)
        };
        let steps: Vec<(Vec<f64>, f64)> = generation.iter().map(step).collect();
        let mut mean_step = vec![0.0; dimensions];
        for (weight, (step, _)) in weights.iter().zip(&steps).filter(|(weight, _)| **weight > 0.0) {
            mean_step.iter_mut().zip(step).for_each(|(sum, y)| *sum += weight * y);
        }
        for ((mean, y), widening) in self.mean.iter_mut().zip(&mean_step).zip(&self.widening) {
            *mean = (*mean + self.step * widening * y).clamp(0.0, 1.0);
        }
        self.generations = self.generations.saturating_add(1);
        let rate = strategy.step_rate;
        let gain = (rate * (2.0 - rate) * strategy.parents).sqrt();
        let white = self.covariance.whiten(&mean_step);
        self.step_path.iter_mut().zip(&white).for_each(|(path, z)| *path = (1.0 - rate) * *path + gain * z);
        let travelled = length(&self.step_path);
        let unbiased = travelled / (1.0 - (1.0 - rate).powi(2 * self.generations)).sqrt();
        let stalled = unbiased >= (1.4 + 2.0 / (n + 1.0)) * strategy.expected_length;
        let rate = strategy.path_rate;
        let gain = if stalled { 0.0 } else { (rate * (2.0 - rate) * strategy.parents).sqrt() };
        self.path.iter_mut().zip(&mean_step).for_each(|(path, y)| *path = (1.0 - rate) * *path + gain * y);
        let lost = if stalled { strategy.rank_one * rate * (2.0 - rate) } else { 0.0 };
        let sum: f64 = weights.iter().sum();
        let keep = 1.0 + lost - strategy.rank_one - strategy.rank_many * sum;
        let mut directions = vec![(strategy.rank_one, self.path.clone())];
        directions.extend(weights.iter().zip(steps).map(|(weight, (step, length))| {
            let shrunk = if *weight < 0.0 { n / (length * length).max(1e-12) } else { 1.0 };
            (strategy.rank_many * weight * shrunk, step)
        }));
        self.covariance.adapt(keep, &directions);
        let growth = strategy.step_rate / strategy.step_damping * (travelled / strategy.expected_length - 1.0);
        self.step *= growth.min(1.0).exp();
        let widest = (0..dimensions).map(|at| self.deviation(at)).fold(0.0, f64::max);
        self.step *= (WIDEST / widest).min(1.0);
    }

    /// Probabilities move towards the choices of the better ones: the natural gradient, as in CatCMA (Hamano et al.,
    /// 2024, <https://arxiv.org/abs/2405.09962>), at a fixed rate, and with its margin.
    fn adapt_choices(&mut self, weights: &[f64], generation: &[Member]) {
        let categories = self.probabilities.len();
        for (at, probabilities) in self.probabilities.iter_mut().enumerate() {
            let count = probabilities.len() as f64;
            let rate = self.strategy.parents / (self.strategy.parents + count);
            let better = || weights.iter().zip(generation).filter(|(weight, _)| **weight > 0.0);
            let known: f64 =
                better().filter(|(_, member)| member.choices[at].is_some()).map(|(weight, _)| weight).sum();
            probabilities.iter_mut().for_each(|probability| *probability *= 1.0 - rate * known);
            for (weight, member) in better() {
                if let Some(probability) = member.choices[at].and_then(|choice| probabilities.get_mut(choice)) {
                    *probability += rate * weight;
                }
            }
            // In one generation of two some member has another choice than the best one.
            let margin = 1.0 / (2.0 * self.population as f64 * categories as f64 * (count - 1.0).max(1.0));
            let margin = margin.min(0.5 / count);
            let spare: f64 = probabilities.iter().map(|probability| (probability - margin).max(0.0)).sum();
            let share = (1.0 - count * margin) / spare.max(1e-300);
            probabilities.iter_mut().for_each(|p| *p = margin + (*p - margin).max(0.0) * share);
        }
    }
}

/// The weights of the ranks; those of equal losses share theirs.
fn tied(weights: &[f64], generation: &[Member]) -> Vec<f64> {
    let mut shared = Vec::with_capacity(weights.len());
    for equals in generation.chunk_by(|a, b| a.loss == b.loss) {
        let of = &weights[shared.len()..shared.len() + equals.len()];
        let each = of.iter().sum::<f64>() / equals.len() as f64;
        shared.extend(std::iter::repeat_n(each, equals.len()));
    }
    shared
}

fn length(vector: &[f64]) -> f64 {
    vector.iter().map(|entry| entry * entry).sum::<f64>().sqrt()
}
