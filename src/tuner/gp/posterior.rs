//! What the Gaussian process believes of a configuration (Rasmussen and Williams, 2006, algorithm 2.1).

use super::factor::{Factor, dot};
use super::features::{Kind, Point};
use super::kernel::{Hyperparameters, matern, matern_slope, scaled_distance};

/// A Gaussian process given observations, and given that some points will be observed.
pub(super) struct Posterior {
    kinds: Vec<Kind>,
    hyperparameters: Hyperparameters,
    points: Vec<Point>,
    factor: Factor,
    /// `K^-1 y`, one an observation.
    weights: Vec<f64>,
}

/// What of a belief stays as it is while further points are expected.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    mean: f64,
    /// `L^-1 k`, as long as there were points then.
    whitened: Vec<f64>,
}

/// Mean and variance of the function at a point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Belief {
    pub mean: f64,
    pub variance: f64,
}

impl Posterior {
    /// Given standardised targets, one a point.
    pub fn new(kinds: &[Kind], hyperparameters: Hyperparameters, points: Vec<Point>, targets: &[f64]) -> Self {
        let factor = Factor::with_capacity(points.len());
        let kinds = kinds.to_vec();
        let mut posterior = Posterior { kinds, hyperparameters, points: Vec::new(), factor, weights: Vec::new() };
        for point in points {
            posterior.expect(point);
        }
        posterior.weights = posterior.factor.backward(posterior.factor.forward(targets));
        posterior
    }

    /// Takes for granted that the mean will be observed here ("kriging believer", Ginsbourger, Le Riche and Carraro, 2010,
    /// <https://hal.science/hal-00260579>): the mean stays what it is everywhere, only the variance shrinks.
    pub fn expect(&mut self, point: Point) {
        let covariances = self.covariances(&point);
        self.factor.push(&covariances, self.hyperparameters.signal + self.hyperparameters.noise);
        self.points.push(point);
    }

    /// What is believed of a point.
    pub fn at(&self, point: &[f64]) -> Belief {
        let covariances = self.covariances(point);
        let whitened = self.factor.forward(&covariances);
        self.belief(&covariances, &whitened)
    }

    /// What is believed of a point, by a look at it that may be older than the last points that are expected.
    pub fn renewed(&self, point: &[f64], look: &mut Look) -> Belief {
        let new = self.points.get(look.whitened.len()..).unwrap_or_default();
        let signal = self.hyperparameters.signal;
        let covariances: Vec<f64> = new.iter().map(|other| signal * matern(self.squared(point, other))).collect();
        if look.whitened.is_empty() {
            look.mean = dot(&covariances, &self.weights);
        }
        self.factor.go_forward(&covariances, &mut look.whitened);
        Belief { mean: look.mean, variance: self.variance(&look.whitened) }
    }

    /// The same with its derivatives by the coordinates, of mean and variance.
    pub fn slopes(&self, point: &[f64]) -> (Belief, Vec<(f64, f64)>) {
        let squared: Vec<f64> = self.points.iter().map(|other| self.squared(point, other)).collect();
        let signal = self.hyperparameters.signal;
        let covariances: Vec<f64> = squared.iter().map(|squared| signal * matern(*squared)).collect();
        let whitened = self.factor.forward(&covariances);
        let belief = self.belief(&covariances, &whitened);
        let solved = self.factor.backward(whitened);
        let mut slopes = vec![(0.0, 0.0); point.len()];
        let weights = self.weights.iter().copied().chain(std::iter::repeat(0.0));
        for (((other, squared), solved), weight) in self.points.iter().zip(&squared).zip(&solved).zip(weights) {
            let slope = signal * matern_slope(*squared);
            let coordinates = self.kinds.iter().zip(&self.hyperparameters.inverse_lengths);
            for ((by, (kind, scale)), (a, b)) in slopes.iter_mut().zip(coordinates).zip(point.iter().zip(other)) {
                let covariance = slope * scale * kind.slope(*a, *b);
                by.0 += weight * covariance;
                by.1 -= 2.0 * solved * covariance;
            }
        }
        (belief, slopes)
    }

    /// The means at the observed points.
    pub fn means(&self) -> Vec<f64> {
        self.observed().iter().map(|point| dot(&self.covariances(point), &self.weights)).collect()
    }

    /// Points in the model, observed or not.
    pub fn size(&self) -> usize {
        self.points.len()
    }

    /// The points that were observed.
    pub fn observed(&self) -> &[Point] {
        self.points.get(..self.weights.len()).unwrap_or_default()
    }

    /// The correlation of two points, from 0 to 1.
    pub fn similarity(&self, a: &[f64], b: &[f64]) -> f64 {
        matern(self.squared(a, b))
    }

    fn belief(&self, covariances: &[f64], whitened: &[f64]) -> Belief {
        Belief { mean: dot(covariances, &self.weights), variance: self.variance(whitened) }
    }

    fn variance(&self, whitened: &[f64]) -> f64 {
        let signal = self.hyperparameters.signal;
        (signal - dot(whitened, whitened)).max(1e-12 * signal)
    }

    fn covariances(&self, point: &[f64]) -> Vec<f64> {
        let signal = self.hyperparameters.signal;
        self.points.iter().map(|other| signal * matern(self.squared(point, other))).collect()
    }

    fn squared(&self, a: &[f64], b: &[f64]) -> f64 {
        scaled_distance(&self.kinds, &self.hyperparameters.inverse_lengths, a, b)
    }
}
