//! A density over the unit cube: one component a trial, and a wide one.

use crate::space::{Assignment, Domain, SearchSpace};
use rand::{Rng, RngExt};
use statrs::distribution::{ContinuousCDF, Normal};
use std::f64::consts::TAU;

/// A configuration in the unit cube; NaN where a parameter is not active.
pub(super) type Point = Vec<f64>;

/// Where a configuration lies.
pub(super) fn point(space: &SearchSpace, assignment: &Assignment) -> Point {
    let mut places = space.encode(assignment);
    for (place, parameter) in places.iter_mut().zip(space.parameters()) {
        if !parameter.when.is_empty() && !assignment.contains_key(&parameter.name) {
            *place = f64::NAN;
        }
    }
    places
}

/// How one parameter varies within a component.
#[derive(Clone, Copy)]
enum Kernel {
    /// Numbers: a truncated normal, of a width that each component has of its own.
    Numeric,
    /// Categories: their number, and the logarithms of the probabilities that a component gives to its own and to another.
    Categorical { choices: f64, own: f64, other: f64 },
}

/// The density around one trial.
struct Component {
    point: Point,
    /// One over the width of the truncated normal, by parameter.
    sharpness: Vec<f64>,
    /// Logarithm of what normalises it, by parameter.
    normalisers: Vec<f64>,
    /// The sum of these.
    constant: f64,
}

/// A mixture over the unit cube.
pub(super) struct Mixture {
    kernels: Vec<Kernel>,
    components: Vec<Component>,
    /// Weight of each component, and of the wide one: all together they sum to 1.
    weight: f64,
    wide: f64,
    /// Whether every parameter is active everywhere.
    dense: bool,
}

impl Mixture {
    pub fn new(space: &SearchSpace, points: Vec<Point>, prior_weight: f64) -> Self {
        let count = points.len() as f64;
        let kernel = |domain: &Domain| match domain {
            Domain::Categorical { choices } => {
                let (choices, smoothing) = (choices.len() as f64, 1.0 / count.max(1.0));
                let own = (1.0 + smoothing) / (1.0 + choices * smoothing);
                let other = (1.0 - own) / (choices - 1.0).max(1.0);
                Kernel::Categorical { choices, own: own.ln(), other: other.max(1e-300).ln() }
            }
            _ => Kernel::Numeric,
        };
        let kernels: Vec<Kernel> = space.parameters().iter().map(|parameter| kernel(&parameter.domain)).collect();
        let mut sharpness = vec![vec![1.0; kernels.len()]; points.len()];
        for (parameter, kernel) in kernels.iter().enumerate() {
            if matches!(kernel, Kernel::Numeric) {
                for (at, width) in widths(&points, parameter) {
                    if let Some(sharpness) = sharpness.get_mut(at).and_then(|each| each.get_mut(parameter)) {
                        *sharpness = 1.0 / width;
                    }
                }
            }
        }
        let component = |(point, sharpness): (Point, Vec<f64>)| {
            let each = point.iter().zip(&sharpness).zip(&kernels);
            let normalisers: Vec<f64> =
                each.map(|((mean, sharpness), kernel)| normaliser(*mean, 1.0 / sharpness, *kernel)).collect();
            let constant = normalisers.iter().sum();
            Component { point, sharpness, normalisers, constant }
        };
        let components = points.into_iter().zip(sharpness).map(component).collect();
        // The wide component is always there, however small its weight, so that no density is zero.
        let prior = prior_weight.max(1e-6);
        let (weight, wide) = (1.0 / (count + prior), prior / (count + prior));
        let dense = space.parameters().iter().all(|parameter| parameter.when.is_empty());
        Mixture { kernels, components, weight, wide, dense }
    }

    /// Draws a configuration: a component, then each active parameter from it.
    pub fn draw(&self, space: &SearchSpace, rng: &mut impl Rng) -> Assignment {
        let chosen = (rng.random::<f64>() / self.weight) as usize;
        let component = self.components.get(chosen);
        let places: Vec<f64> = self
            .kernels
            .iter()
            .enumerate()
            .map(|(at, kernel)| {
                let uniform: f64 = rng.random();
                let near = component.and_then(|near| Some((near.point.get(at)?, near.sharpness.get(at)?)));
                match (near.filter(|(mean, _)| !mean.is_nan()), kernel) {
                    (None, _) => uniform,
                    (Some((mean, sharpness)), Kernel::Numeric) => truncated(*mean, 1.0 / sharpness, uniform),
                    (Some((mean, _)), Kernel::Categorical { own, other, .. }) => {
                        // With the weight that the own choice has beyond the others it is taken, else any.
                        if rng.random::<f64>() < own.exp() - other.exp() { *mean } else { uniform }
                    }
                }
            })
            .collect();
        space.decode(&places)
    }

    /// Logarithm of the density at a point, over the parameters that are active there.
    pub fn log_density(&self, point: &[f64]) -> f64 {
        let flat: f64 = point.iter().zip(&self.kernels).map(|(place, kernel)| flat(*place, *kernel)).sum();
        let mut terms: Vec<f64> = Vec::with_capacity(self.components.len() + 1);
        terms.push(self.wide.ln() + flat);
        let weight = self.weight.ln();
        let density = |component| match self.dense {
            true => self.log_dense(point, component),
            false => self.log_sparse(point, component),
        };
        terms.extend(self.components.iter().map(|component| weight + density(component)));
        let highest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // What is smaller than the highest by more than 40 does not change the sum.
        let sum: f64 = terms.iter().map(|term| term - highest).filter(|term| *term > -40.0).map(f64::exp).sum();
        highest + sum.ln()
    }

    /// One component's density, all parameters active.
    fn log_dense(&self, point: &[f64], component: &Component) -> f64 {
        let each = point.iter().zip(&component.point).zip(self.kernels.iter().zip(&component.sharpness));
        let sum: f64 = each.map(|((x, mean), (kernel, sharpness))| kernel.log(*x, *mean, *sharpness)).sum();
        sum - component.constant
    }

    /// One component's density, where parameters may not be active.
    fn log_sparse(&self, point: &[f64], component: &Component) -> f64 {
        let shape = component.sharpness.iter().zip(&component.normalisers);
        let each = point.iter().zip(&component.point).zip(self.kernels.iter().zip(shape));
        each.map(|((x, mean), (kernel, (sharpness, normaliser)))| match x.is_nan() || mean.is_nan() {
            true => flat(*x, *kernel),
            false => kernel.log(*x, *mean, *sharpness) - normaliser,
        })
        .sum()
    }
}

/// How wide each point's component is along a parameter: as far as the farther one of its two neighbours (Bergstra et al.,
/// 2011), but no wider than the cube and no narrower than what so many points can resolve ("magic clipping").
fn widths(points: &[Point], parameter: usize) -> Vec<(usize, f64)> {
    let places = points.iter().enumerate().filter_map(|(at, point)| Some((at, *point.get(parameter)?)));
    let mut sorted: Vec<(usize, f64)> = places.filter(|(_, place)| !place.is_nan()).collect();
    sorted.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    let least = 1.0 / (2.0 + points.len() as f64).min(100.0);
    let gap = |a: Option<&(usize, f64)>, b: Option<&(usize, f64)>| match (a, b) {
        (Some((_, a)), Some((_, b))) => b - a,
        _ => 0.0,
    };
    let alone = sorted.len() == 1;
    let width = |nth: usize| {
        let before = nth.checked_sub(1).and_then(|before| sorted.get(before));
        let (this, after) = (sorted.get(nth), sorted.get(nth + 1));
        let width = if alone { 1.0 } else { gap(before, this).max(gap(this, after)) };
        Some((this?.0, width.clamp(least, 1.0)))
    };
    (0..sorted.len()).filter_map(width).collect()
}

impl Kernel {
    /// The logarithm without the normaliser.
    fn log(self, x: f64, mean: f64, sharpness: f64) -> f64 {
        match self {
            Kernel::Numeric => {
                let distance = (x - mean) * sharpness;
                -0.5 * distance * distance
            }
            Kernel::Categorical { choices, own, other } => {
                if (x - mean).abs() * choices < 0.5 {
                    own
                } else {
                    other
                }
            }
        }
    }
}

/// Logarithm of the uniform density or probability.
fn flat(place: f64, kernel: Kernel) -> f64 {
    match kernel {
        Kernel::Categorical { choices, .. } if !place.is_nan() => -choices.ln(),
        _ => 0.0,
    }
}

/// Logarithm of the integral over `[0, 1]` of the kernel without its constant.
fn normaliser(mean: f64, width: f64, kernel: Kernel) -> f64 {
    match kernel {
        Kernel::Numeric if !mean.is_nan() => {
            let (low, high) = ends(mean, width);
            (width * TAU.sqrt() * (high - low)).ln()
        }
        _ => 0.0,
    }
}

/// Cumulative probability of the normal at 0 and at 1.
fn ends(mean: f64, width: f64) -> (f64, f64) {
    // Seven deviations away nothing is left.
    if mean.min(1.0 - mean) > 7.0 * width {
        return (0.0, 1.0);
    }
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
