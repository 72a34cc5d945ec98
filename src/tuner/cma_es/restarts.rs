//! When a run of CMA-ES is at its end, and how the next one begins.

use super::distribution::Distribution;
use crate::tuner::streams::uniform_of;
use std::collections::VecDeque;

/// Standard deviation, in widths of the range, below which numbers have converged.
const CONVERGED: f64 = 1e-6;
/// Largest population, in first populations.
const LARGEST: usize = 64;

/// How the population grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tuner) enum Policy {
    /// Doubled (Auger and Hansen, 2005, <https://doi.org/10.1109/CEC.2005.1554902>).
    Ipop,
    /// Doubled, in turn with small populations and steps (Hansen, 2009, <https://hal.inria.fr/inria-00382093>).
    Bipop,
    /// Never: one run goes on for ever.
    Never,
}

/// Runs so far.
pub(super) struct Restarts {
    policy: Policy,
    seed: u64,
    population: usize,
    step: f64,
    /// Runs that have ended.
    runs: u64,
    /// Largest population so far.
    large: usize,
    /// Trials that runs with small and large populations have spent.
    spent: [u64; 2],
    is_large: bool,
    /// Best losses of the latest generations.
    bests: VecDeque<f64>,
}

impl Restarts {
    pub fn new(policy: Policy, seed: u64, population: usize, step: f64) -> Self {
        let (spent, bests) = ([0, 0], VecDeque::new());
        Restarts { policy, seed, population, step, runs: 0, large: population, spent, is_large: true, bests }
    }

    /// The distribution that the next run begins with, when the run is at its end after a generation of these best and
    /// worst losses. `continuous` are the coordinates without levels.
    pub fn next(
        &mut self,
        distribution: &Distribution,
        losses: (f64, f64),
        continuous: &[usize],
    ) -> Option<Distribution> {
        self.spent[usize::from(self.is_large)] += distribution.population as u64;
        if self.policy == Policy::Never || !self.ended(distribution, losses, continuous) {
            return None;
        }
        self.runs += 1;
        self.bests.clear();
        self.is_large = self.policy == Policy::Ipop || self.spent[1] <= self.spent[0];
        let (population, step) = if self.is_large {
            self.large = (self.large * 2).min(self.population * LARGEST);
            (self.large, self.step)
        } else {
            let ratio = 0.5 * self.large as f64 / self.population as f64;
            let population = self.population as f64 * ratio.max(1.0).powf(self.uniform(0).powi(2));
            (population as usize, self.step * 10_f64.powf(-2.0 * self.uniform(1)))
        };
        let mean = (0..distribution.mean.len()).map(|at| self.uniform(2 + at as u64)).collect();
        let choices: Vec<usize> = distribution.probabilities.iter().map(Vec::len).collect();
        Some(Distribution::new(mean, &choices, step, population))
    }

    fn ended(&mut self, distribution: &Distribution, losses: (f64, f64), continuous: &[usize]) -> bool {
        let patience = 10 + 30 * distribution.mean.len().max(1) / distribution.population;
        self.bests.push_back(losses.0);
        if self.bests.len() > patience {
            self.bests.pop_front();
        }
        let lowest = self.bests.iter().copied().fold(losses.0, f64::min);
        let highest = self.bests.iter().copied().fold(losses.1, f64::max);
        let flat = self.bests.len() == patience && highest - lowest <= 1e-12 * lowest.abs();
        let converged = |at: &usize| distribution.deviation(*at) < CONVERGED;
        flat || !continuous.is_empty() && continuous.iter().all(converged)
    }

    /// A number of `[0, 1)` for the next run.
    fn uniform(&self, purpose: u64) -> f64 {
        uniform_of(self.seed, self.runs, purpose)
    }
}
