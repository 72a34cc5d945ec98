//! The model's parameters that are most probable given the data.

use super::factor::{Factor, dot};
use super::features::{Kind, Point};
use super::kernel::{Hyperparameters, matern, matern_slope};
use super::minimise::minimise;
use std::f64::consts::SQRT_2;

/// Evaluations of the posterior from each start.
const EVALUATIONS: usize = 40;
/// Bounds of the logarithms of `1 / length^2`, of the signal's variance and of the noise's.
const SHAPE: (f64, f64) = (-12.0, 9.0);
const SIGNAL: (f64, f64) = (-3.0, 3.0);
const NOISE: (f64, f64) = (-14.0, 0.0);
/// Prior of the signal's variance, a normal of its logarithm: mode and deviation. Targets are standardised.
const SIGNAL_PRIOR: (f64, f64) = (0.0, 1.0);
/// The same of the noise's variance, `LogNormal(-4, 1)` as there.
const NOISE_PRIOR: (f64, f64) = (-5.0, 1.0);

/// Data, and what does not change while parameters do.
struct Data<'a> {
    targets: &'a [f64],
    dimensions: usize,
    /// For each pair of points, the later one first, squared distances by parameter.
    distances: Vec<f64>,
}

/// Maximum a posteriori, with the prior of lengths that grows with the dimension (Hvarfner, Hellsten and Nardi, 2024,
/// "Vanilla Bayesian Optimization Performs Great in High Dimensions", <https://arxiv.org/abs/2402.02229>). Targets are
/// standardised, one a point.
pub(super) fn fit(kinds: &[Kind], points: &[Point], targets: &[f64]) -> Hyperparameters {
    let dimensions = kinds.len();
    let pairs = points.iter().enumerate().flat_map(|(at, a)| points.iter().take(at).map(move |b| (a, b)));
    let distances = pairs
        .flat_map(|(a, b)| kinds.iter().zip(a.iter().zip(b)).map(|(kind, (a, b))| kind.distance(*a, *b)))
        .collect();
    let data = Data { targets, dimensions, distances };
    let mut bounds = vec![SHAPE; dimensions];
    bounds.extend([SIGNAL, NOISE]);
    let (mode, _) = length_prior(dimensions);
    let starts = [mode, mode + 3.0].map(|shape| {
        let mut start = vec![shape.clamp(SHAPE.0, SHAPE.1); dimensions];
        start.extend([SIGNAL_PRIOR.0, NOISE_PRIOR.0]);
        start
    });
    let found = starts.map(|start| minimise(|at| data.improbability(at), start, &bounds, EVALUATIONS));
    let best = found.into_iter().min_by(|(_, a), (_, b)| a.total_cmp(b));
    Hyperparameters::of(&best.map(|(at, _)| at).unwrap_or_default(), dimensions)
}

/// Mode and deviation of the logarithm of `1 / length^2`: lengths are `LogNormal(sqrt 2 + ln(D) / 2, sqrt 3)`, whose mode
/// lies a variance below.
fn length_prior(dimensions: usize) -> (f64, f64) {
    let mode = SQRT_2 + 0.5 * (dimensions.max(1) as f64).ln() - 3.0;
    (-2.0 * mode, 2.0 * 3.0_f64.sqrt())
}

impl Hyperparameters {
    /// From their logarithms: shapes, signal, noise.
    fn of(logarithms: &[f64], dimensions: usize) -> Self {
        let value = |at: usize| logarithms.get(at).copied().unwrap_or_default().exp();
        Hyperparameters {
            inverse_lengths: (0..dimensions).map(value).collect(),
            signal: value(dimensions),
            noise: value(dimensions + 1),
        }
    }
}

impl Data<'_> {
    /// The negative logarithm of the posterior density, up to a constant, and its gradient.
    fn improbability(&self, logarithms: &[f64]) -> (f64, Vec<f64>) {
        let hyperparameters = Hyperparameters::of(logarithms, self.dimensions);
        let Hyperparameters { inverse_lengths, signal, noise } = &hyperparameters;
        let squared: Vec<f64> =
            self.distances.chunks(self.dimensions.max(1)).map(|each| dot(each, inverse_lengths)).collect();
        let covariances: Vec<f64> = squared.iter().map(|squared| signal * matern(*squared)).collect();
        let mut factor = Factor::with_capacity(self.targets.len());
        let mut rest = covariances.as_slice();
        for at in 0..self.targets.len() {
            let (row, after) = rest.split_at(at.min(rest.len()));
            factor.push(row, signal + noise);
            rest = after;
        }
        let whitened = factor.forward(self.targets);
        let weights = factor.backward(whitened.clone());
        let mut value = 0.5 * dot(&whitened, &whitened) + factor.half_log_determinant();
        let mut gradient = vec![0.0; self.dimensions];
        let (mut by_signal, mut by_noise) = (0.0, 0.0);
        let inverse = factor.inverse();
        let mut inverse = inverse.iter();
        let mut pairs = squared.iter().zip(&covariances).zip(self.distances.chunks(self.dimensions.max(1)));
        for (at, weight) in weights.iter().enumerate() {
            for (other, inverse) in weights.iter().take(at).zip(&mut inverse) {
                let Some(((squared, covariance), distances)) = pairs.next() else { break };
                // Twice half, since each pair stands for two elements of the matrix.
                let pull = inverse - weight * other;
                by_signal += pull * covariance;
                let slope = pull * signal * matern_slope(*squared);
                for (sum, distance) in gradient.iter_mut().zip(distances) {
                    *sum += slope * distance;
                }
            }
            let pull = 0.5 * (inverse.next().copied().unwrap_or_default() - weight * weight);
            by_signal += pull * signal;
            by_noise += pull * noise;
        }
        for (sum, scale) in gradient.iter_mut().zip(inverse_lengths) {
            *sum *= scale;
        }
        gradient.extend([by_signal, by_noise]);
        let priors = std::iter::repeat_n(length_prior(self.dimensions), self.dimensions);
        let priors = priors.chain([SIGNAL_PRIOR, NOISE_PRIOR]);
        for ((slope, logarithm), (mode, deviation)) in gradient.iter_mut().zip(logarithms).zip(priors) {
            let distance = (logarithm - mode) / deviation;
            value += 0.5 * distance * distance;
            *slope += distance / deviation;
        }
        if value.is_finite() { (value, gradient) } else { (f64::INFINITY, gradient) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points() -> (Vec<Kind>, Vec<Point>, Vec<f64>) {
        let place = |at: usize, step: f64| (at as f64 * step).fract();
        let point = |at| vec![place(at, 0.618), place(at, 0.414), (at % 3) as f64];
        let points: Vec<Point> = (0..25).map(point).collect();
        let targets = points.iter().map(|p| (6.0 * p[0]).sin() + 0.3 * p[2] - 0.3).collect();
        (vec![Kind::Number, Kind::Arc, Kind::Category], points, targets)
    }

    #[test]
    fn the_gradient_is_the_functions() {
        let (kinds, points, targets) = points();
        let distances = (0..25)
            .flat_map(|a| (0..a).map(move |b| (a, b)))
            .flat_map(|(a, b)| (0..3).map(move |d| (a, b, d)))
            .map(|(a, b, d): (usize, usize, usize)| kinds[d].distance(points[a][d], points[b][d]))
            .collect();
        let data = Data { targets: &targets, dimensions: 3, distances };
        let at = [1.0, 0.5, -0.5, 0.2, -4.0];
        let (_, gradient) = data.improbability(&at);
        for (which, slope) in gradient.iter().enumerate() {
            let value = |step: f64| {
                let mut near = at;
                near[which] += step;
                data.improbability(&near).0
            };
            let numeric = (value(1e-5) - value(-1e-5)) / 2e-5;
            assert!((slope - numeric).abs() < 1e-5 * (1.0 + slope.abs()), "{which}: {slope} is not {numeric}");
        }
    }

    #[test]
    fn what_matters_has_a_short_length() {
        let (kinds, points, targets) = points();
        let Hyperparameters { inverse_lengths, noise, .. } = fit(&kinds, &points, &targets);
        assert!(inverse_lengths[0] > 20.0 * inverse_lengths[1], "{inverse_lengths:?}");
        assert!(inverse_lengths[2] > inverse_lengths[1], "{inverse_lengths:?}");
        assert!(noise < 0.01, "{noise}");
    }
}
