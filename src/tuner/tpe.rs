//! Multivariate tree-structured Parzen estimator.
//!
//! Bergstra et al., 2011 (<https://papers.nips.cc/paper/4443>), with the multivariate kernels of Falkner et al., 2018
//! (<https://arxiv.org/abs/1807.01774>); choices of bandwidth, weights and splitting after Watanabe, 2023
//! (<https://arxiv.org/abs/2304.11127>).
//!
//! Trials are split into good and other ones. Each set gives a density over the unit cube: a mixture with one component a
//! trial, the product of a truncated normal (numbers) or a smoothed indicator (categories) for each parameter, and one wide
//! component. Candidates are drawn from the good density, and the one with the highest ratio of good to other wins.
//! Running trials count among the others (constant liar), so that parallel trials spread. A parameter that was not active
//! in a trial is uniform in that trial's component, which makes one mixture serve conditional spaces.

use super::random::uniform;
use super::settings::{SettingError, Settings};
use super::unrepeated::{Tried, unrepeated};
use super::{Finished, NoSuggestion, Pending, Request, Suggestion, Tuner, generator};
use crate::space::{Assignment, Domain, SearchSpace};
use rand::{Rng, RngExt};
use statrs::distribution::{ContinuousCDF, Normal};
use std::collections::HashSet;

/// Only so many trials are modelled, the best and the latest, and so many values of parameters in them: bounded work
/// however long the history.
const MAX_TRIALS: usize = 2000;
const MAX_VALUES: usize = 1 << 16;
/// Most trials that count as good ones.
const MAX_GOOD: usize = 25;

/// The estimator.
pub(super) struct Tpe {
    allow_repeats: bool,
    /// Trials before the model is asked; random ones.
    startup_trials: usize,
    /// Candidates drawn for a suggestion.
    candidates: usize,
    /// Weight of the wide component, in trials.
    prior_weight: f64,
}

impl Tpe {
    /// With all but these as in the papers.
    pub fn new(allow_repeats: bool, startup_trials: usize) -> Self {
        Tpe { allow_repeats, startup_trials, candidates: 24, prior_weight: 1.0 }
    }

    /// From its settings.
    pub fn make(settings: &mut Settings<'_>, _space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        let default = Tpe::new(false, 10);
        Ok(Box::new(Tpe {
            allow_repeats: settings.allow_repeats(),
            startup_trials: settings.whole("startupTrials", default.startup_trials as u64, 0..=10_000) as usize,
            candidates: settings.whole("candidates", default.candidates as u64, 1..=1_000) as usize,
            prior_weight: settings.real("priorWeight", default.prior_weight, 0.0..=1e6),
        }))
    }
}

impl Tuner for Tpe {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        let mut rng = generator(request);
        if request.history.len() >= self.startup_trials
            && let Some(assignment) = self.model(request, &mut rng)
        {
            return Ok(Suggestion::new(assignment));
        }
        let start = rng.random();
        unrepeated(request, self.allow_repeats, start, || uniform(request.space, &mut rng))
    }
}

impl Tpe {
    /// The best candidate; `None` when there is nothing to model or no candidate is allowed.
    fn model(&self, request: &Request<'_>, rng: &mut impl Rng) -> Option<Assignment> {
        let space = request.space;
        let ranked = request.history.ranked();
        // Of ten trials one is good. One without a finite loss never is.
        let good = request.history.len().div_ceil(10).min(MAX_GOOD).min(ranked.len());
        if good == 0 {
            return None;
        }
        let good: Vec<&Finished> = ranked.take(good).collect();
        let indices: HashSet<u64> = good.iter().map(|finished| finished.index).collect();
        let most = (MAX_VALUES / space.parameters().len().max(1)).clamp(MAX_GOOD, MAX_TRIALS);
        let latest = request.history.iter().rev().filter(|finished| !indices.contains(&finished.index)).take(most);
        let point = |assignment: &Assignment| Point::new(space, assignment);
        let points: Vec<Point> = good.iter().map(|finished| point(&finished.assignment)).collect();
        let mut others: Vec<Point> = latest.map(|finished| point(&finished.assignment)).collect();
        // Sums of real numbers depend on their order; the answer must not.
        let mut pending: Vec<&Pending> = request.pending.iter().collect();
        pending.sort_unstable_by_key(|pending| pending.index);
        others.extend(pending.into_iter().map(|pending| point(&pending.assignment)));
        let good = Mixture::new(space, points, self.prior_weight);
        let others = Mixture::new(space, others, self.prior_weight);
        let finite = !self.allow_repeats && space.cardinality().is_some();
        let tried = Tried::new(request);
        let mut best: Option<(f64, Assignment)> = None;
        let mut left = self.candidates;
        // Candidates that are not allowed cost a draw each, up to ten times as many as are wanted.
        for _ in 0..(self.candidates as u64 * 10).min(space.effort()) {
            if left == 0 {
                break;
            }
            let assignment = good.draw(space, rng);
            if !space.satisfies(&assignment) || finite && tried.contains(&assignment) {
                continue;
            }
            left -= 1;
            let point = Point::new(space, &assignment);
            let score = good.log_density(&point) - others.log_density(&point);
            if best.as_ref().is_none_or(|(highest, _)| score > *highest) {
                best = Some((score, assignment));
            }
        }
        best.map(|(_, assignment)| assignment)
    }
}

/// A configuration in the unit cube; `None` where a parameter is not active.
struct Point(Vec<Option<f64>>);

impl Point {
    fn new(space: &SearchSpace, assignment: &Assignment) -> Self {
        let places = space.encode(assignment);
        let active = space.parameters().iter().zip(places);
        Point(active.map(|(p, place)| assignment.contains_key(&p.name).then_some(place)).collect())
    }
}

/// How one parameter varies within a component.
enum Kernel {
    /// Numbers: standard deviation of the truncated normal of every component.
    Numeric { width: f64 },
    /// Categories: their number, and the probability that a component gives to its own.
    Categorical { choices: usize, own: f64 },
}

/// A mixture over the unit cube.
struct Mixture {
    components: Vec<Point>,
    kernels: Vec<Kernel>,
    /// For each component and parameter, the logarithm of what normalises the truncated normal.
    normalisers: Vec<f64>,
    /// Of each component; the last one is the wide component's. They sum to 1.
    weights: Vec<f64>,
}

impl Mixture {
    fn new(space: &SearchSpace, components: Vec<Point>, prior_weight: f64) -> Self {
        let count = components.len();
        let dimensions = space.parameters().len() as f64;
        // Scott's rule for d dimensions, and no narrower than what so many components can resolve ("magic clipping").
        let scott = 0.2 * (count.max(1) as f64).powf(-1.0 / (dimensions + 4.0));
        let width = scott.max(1.0 / (1.0 + count as f64).min(100.0));
        let kernels: Vec<Kernel> = space
            .parameters()
            .iter()
            .map(|parameter| match &parameter.domain {
                Domain::Categorical { choices } => {
                    let smoothing = 1.0 / count.max(1) as f64;
                    let own = (1.0 + smoothing) / (1.0 + choices.len() as f64 * smoothing);
                    Kernel::Categorical { choices: choices.len(), own }
                }
                _ => Kernel::Numeric { width },
            })
            .collect();
        let normalisers = components
            .iter()
            .flat_map(|component| component.0.iter().zip(&kernels).map(|(place, kernel)| normaliser(*place, kernel)))
            .collect();
        // The wide component is always there, however small its weight, so that no density is zero.
        let prior = prior_weight.max(1e-6);
        let total = count as f64 + prior;
        let mut weights = vec![1.0 / total; count];
        weights.push(prior / total);
        Mixture { components, kernels, normalisers, weights }
    }

    /// Draws a configuration: a component, then each active parameter from it.
    fn draw(&self, space: &SearchSpace, rng: &mut impl Rng) -> Assignment {
        let mut choice: f64 = rng.random();
        let chosen = self.weights.iter().position(|weight| {
            choice -= weight;
            choice < 0.0
        });
        let component = chosen.and_then(|at| self.components.get(at));
        let places: Vec<f64> = self
            .kernels
            .iter()
            .enumerate()
            .map(|(at, kernel)| {
                let uniform: f64 = rng.random();
                match (component.and_then(|component| component.0[at]), kernel) {
                    (None, _) => uniform,
                    (Some(mean), Kernel::Numeric { width }) => truncated(mean, *width, uniform),
                    (Some(mean), Kernel::Categorical { choices, own }) => {
                        let others = (1.0 - own) / (*choices as f64 - 1.0).max(1.0);
                        let weight = own - others;
                        // With the weight that the own choice has beyond the others it is taken, else any.
                        if rng.random::<f64>() < weight { mean } else { uniform }
                    }
                }
            })
            .collect();
        space.decode(&places)
    }

    /// Logarithm of the density at a point, over the parameters that are active there.
    fn log_density(&self, point: &Point) -> f64 {
        let dimensions = self.kernels.len();
        let uniform: f64 = point.0.iter().zip(&self.kernels).map(|(place, kernel)| flat(*place, kernel)).sum();
        let terms = self.weights.iter().enumerate().map(|(at, weight)| {
            let Some(component) = self.components.get(at) else { return weight.ln() + uniform };
            let normalisers = &self.normalisers[at * dimensions..(at + 1) * dimensions];
            let each = point.0.iter().zip(&component.0).zip(self.kernels.iter().zip(normalisers));
            let density: f64 =
                each.map(|((x, mean), (kernel, normaliser))| log_kernel(*x, *mean, kernel, *normaliser)).sum();
            weight.ln() + density
        });
        let terms: Vec<f64> = terms.collect();
        let highest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        highest + terms.iter().map(|term| (term - highest).exp()).sum::<f64>().ln()
    }
}

/// Logarithm of the uniform density or probability.
fn flat(place: Option<f64>, kernel: &Kernel) -> f64 {
    match (place, kernel) {
        (Some(_), Kernel::Categorical { choices, .. }) => -(*choices as f64).ln(),
        _ => 0.0,
    }
}

fn log_kernel(x: Option<f64>, mean: Option<f64>, kernel: &Kernel, normaliser: f64) -> f64 {
    let (Some(x), Some(mean)) = (x, mean) else { return flat(x, kernel) };
    match kernel {
        Kernel::Numeric { width } => {
            let distance = (x - mean) / width;
            -0.5 * distance * distance - normaliser
        }
        Kernel::Categorical { choices, own } => {
            let same = (x - mean).abs() < 0.5 / *choices as f64;
            if same { own.ln() } else { ((1.0 - own) / (*choices as f64 - 1.0).max(1.0)).max(1e-300).ln() }
        }
    }
}

/// Logarithm of the integral over `[0, 1]` of the kernel without its constant.
fn normaliser(mean: Option<f64>, kernel: &Kernel) -> f64 {
    match (mean, kernel) {
        (Some(mean), Kernel::Numeric { width }) => {
            let (low, high) = ends(mean, *width);
            (width * (std::f64::consts::TAU).sqrt() * (high - low)).ln()
        }
        _ => 0.0,
    }
}

/// Cumulative probability of the normal at 0 and at 1.
fn ends(mean: f64, width: f64) -> (f64, f64) {
    match Normal::new(mean, width) {
        Ok(normal) => (normal.cdf(0.0), normal.cdf(1.0)),
        Err(_) => (0.0, 1.0),
    }
}

/// The truncated normal's quantile.
fn truncated(mean: f64, width: f64, uniform: f64) -> f64 {
    let Ok(normal) = Normal::new(mean, width) else { return mean };
    let (low, high) = ends(mean, width);
    normal.inverse_cdf((low + uniform * (high - low)).clamp(1e-15, 1.0 - 1e-15)).clamp(0.0, 1.0)
}
