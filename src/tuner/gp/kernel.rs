//! The covariance of two configurations: Matern 5/2 with one length a parameter (Rasmussen and Williams, 2006, chapter 4).

use super::features::Kind;

/// What the model's parameters are.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hyperparameters {
    /// For each parameter `1 / length^2`.
    pub inverse_lengths: Vec<f64>,
    /// Variance of the function.
    pub signal: f64,
    /// Variance of the noise.
    pub noise: f64,
}

const SQRT_5: f64 = 2.236_067_977_499_79;

/// The covariance at a squared scaled distance, for a variance of 1.
pub(super) fn matern(squared: f64) -> f64 {
    let r = SQRT_5 * squared.sqrt();
    (1.0 + r + 5.0 / 3.0 * squared) * (-r).exp()
}

/// Its derivative by the squared scaled distance.
pub(super) fn matern_slope(squared: f64) -> f64 {
    let r = SQRT_5 * squared.sqrt();
    -5.0 / 6.0 * (1.0 + r) * (-r).exp()
}

/// The squared scaled distance of two points.
pub(super) fn scaled_distance(kinds: &[Kind], inverse_lengths: &[f64], a: &[f64], b: &[f64]) -> f64 {
    let each = kinds.iter().zip(inverse_lengths).zip(a.iter().zip(b));
    each.map(|((kind, scale), (a, b))| scale * kind.distance(*a, *b)).sum()
}
