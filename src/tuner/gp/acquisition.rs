//! How much a trial is worth: expected improvement, where trials do not fail.

use super::features::Point;
use super::improvement::log_improvement;
use super::posterior::{Belief, Posterior};

/// The logarithm of the expected improvement times the chance that the trial does not fail.
pub(super) struct Acquisition<'a> {
    posterior: Posterior<'a>,
    /// What is to be improved on.
    lowest: f64,
    failed: Vec<Point>,
}

impl<'a> Acquisition<'a> {
    /// Over observations. Trials that failed, and those that are pending, take their variance away.
    pub fn new(mut posterior: Posterior<'a>, failed: Vec<Point>, pending: impl Iterator<Item = Point>) -> Self {
        let lowest = posterior.lowest();
        for point in failed.iter().cloned().chain(pending) {
            posterior.expect(point);
        }
        Acquisition { posterior, lowest, failed }
    }

    /// Observations, failed and pending trials in the model.
    pub fn size(&self) -> usize {
        self.posterior.size()
    }

    /// The higher the better.
    pub fn score(&self, point: &[f64]) -> f64 {
        self.improvement(self.posterior.at(point)).0 + self.success(point)
    }

    /// The negative of the improvement's part, with its gradient.
    pub fn loss(&self, point: &[f64]) -> (f64, Vec<f64>) {
        let (belief, slopes) = self.posterior.slopes(point);
        let (value, by_mean, by_variance) = self.improvement(belief);
        (-value, slopes.into_iter().map(|(mean, variance)| -(by_mean * mean + by_variance * variance)).collect())
    }

    /// Logarithm of the expected improvement, and its derivatives by mean and variance.
    fn improvement(&self, Belief { mean, variance }: Belief) -> (f64, f64, f64) {
        let deviation = variance.sqrt();
        let z = (self.lowest - mean) / deviation;
        let (value, slope) = log_improvement(z);
        (deviation.ln() + value, -slope / deviation, (1.0 - slope * z) / (2.0 * variance))
    }

    /// Logarithm of the chance of success: trials nearby vote, by their covariance; one vote is for success.
    fn success(&self, point: &[f64]) -> f64 {
        if self.failed.is_empty() {
            return 0.0;
        }
        let votes = |points: &[Point]| points.iter().map(|other| self.posterior.similarity(point, other)).sum::<f64>();
        let failed = votes(&self.failed);
        let all = votes(self.posterior.observed()) + failed + 1.0;
        (1.0 - failed / all).ln()
    }
}
