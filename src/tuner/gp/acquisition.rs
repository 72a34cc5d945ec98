//! How much a trial is worth: expected improvement, where trials do not fail and outcome constraints hold.

use super::features::Point;
use super::front::Room;
use super::improvement::{log_cumulative, log_improvement};
use super::posterior::{Belief, Posterior};

/// What is to be improved on.
enum Aim {
    /// The lowest loss so far.
    Lowest(f64),
    /// What the front of several losses leaves.
    Front(Room),
    /// There is none yet that satisfies the constraints: one that does.
    Any,
}

/// An outcome constraint.
pub(super) struct Limit<'a> {
    pub posterior: Posterior<'a>,
    /// It holds up to here.
    pub most: f64,
}

/// The logarithm of the expected improvement times the chance that the trial does not fail and satisfies the constraints
/// (Gardner et al., 2014, "Bayesian Optimization with Inequality Constraints").
pub(super) struct Acquisition<'a> {
    /// One an objective.
    posteriors: Vec<Posterior<'a>>,
    limits: Vec<Limit<'a>>,
    aim: Aim,
    failed: Vec<Point>,
}

impl<'a> Acquisition<'a> {
    /// Over observations of one objective. Trials that failed, and those that are pending, take their variance away.
    pub fn new(posterior: Posterior<'a>, failed: Vec<Point>, pending: impl Iterator<Item = Point>) -> Self {
        Acquisition::of(vec![posterior], Vec::new(), &|_| true, failed, pending)
    }

    /// The same of several objectives, which have the same observations, and under outcome constraints; `holds` tells of an
    /// observation whether it satisfied them.
    pub fn of(
        mut posteriors: Vec<Posterior<'a>>,
        mut limits: Vec<Limit<'a>>,
        holds: &dyn Fn(usize) -> bool,
        failed: Vec<Point>,
        pending: impl Iterator<Item = Point>,
    ) -> Self {
        let means: Vec<Vec<f64>> = posteriors.iter().map(Posterior::means).collect();
        let observed = means.first().map_or(0, Vec::len);
        let row = |at: usize| means.iter().filter_map(|means| means.get(at).copied()).collect::<Vec<f64>>();
        let mut held: Vec<Vec<f64>> = (0..observed).filter(|at| holds(*at)).map(row).collect();
        let pending: Vec<Point> = pending.collect();
        if posteriors.len() > 1 && !held.is_empty() {
            // Running trials are believed, so that another one does not go where they are.
            held.extend(pending.iter().map(|point| posteriors.iter().map(|model| model.at(point).mean).collect()));
        }
        let aim = match (posteriors.len(), held.is_empty()) {
            (_, true) => Aim::Any,
            (1, _) => Aim::Lowest(held.iter().flatten().copied().fold(f64::INFINITY, f64::min)),
            _ => Aim::Front(Room::beside(held)),
        };
        let models = posteriors.iter_mut().chain(limits.iter_mut().map(|limit| &mut limit.posterior));
        for model in models {
            for point in failed.iter().chain(&pending) {
                model.expect(point.clone());
            }
        }
        Acquisition { posteriors, limits, aim, failed }
    }

    /// About how many multiplications one evaluation takes; at least 1.
    pub fn work(&self) -> usize {
        let size = self.posteriors.first().map_or(1, Posterior::size).max(1);
        size * size * (self.posteriors.len() + self.limits.len()).max(1)
    }

    /// The higher the better.
    pub fn score(&self, point: &[f64]) -> f64 {
        let beliefs: Vec<Belief> = self.posteriors.iter().map(|model| model.at(point)).collect();
        let holds: f64 = self.limits.iter().map(|limit| limit.holds(limit.posterior.at(point)).0).sum();
        self.improvement(&beliefs).0 + holds + self.success(point)
    }

    /// The negative of the parts that have a gradient, with it.
    pub fn loss(&self, point: &[f64]) -> (f64, Vec<f64>) {
        let (beliefs, slopes): (Vec<Belief>, Vec<Vec<(f64, f64)>>) =
            self.posteriors.iter().map(|model| model.slopes(point)).unzip();
        let (mut value, by) = self.improvement(&beliefs);
        let mut gradient = vec![0.0; point.len()];
        let mut add = |slopes: Vec<(f64, f64)>, (by_mean, by_variance): (f64, f64)| {
            for (sum, (mean, variance)) in gradient.iter_mut().zip(slopes) {
                *sum -= by_mean * mean + by_variance * variance;
            }
        };
        slopes.into_iter().zip(by).for_each(|(slopes, by)| add(slopes, by));
        for limit in &self.limits {
            let (belief, slopes) = limit.posterior.slopes(point);
            let (holds, by) = limit.holds(belief);
            value += holds;
            add(slopes, by);
        }
        (-value, gradient)
    }

    /// Logarithm of the expected improvement, and its derivatives by mean and variance, one pair an objective.
    fn improvement(&self, beliefs: &[Belief]) -> (f64, Vec<(f64, f64)>) {
        match (&self.aim, beliefs) {
            (Aim::Lowest(lowest), [belief]) => {
                let (value, by_mean, by_variance) = below(*lowest, *belief);
                (value, vec![(by_mean, by_variance)])
            }
            (Aim::Front(room), _) => room.improvement(beliefs),
            (Aim::Any | Aim::Lowest(_), _) => (0.0, vec![(0.0, 0.0); beliefs.len()]),
        }
    }

    /// Logarithm of the chance of success: trials nearby vote, by their covariance; one vote is for success.
    fn success(&self, point: &[f64]) -> f64 {
        let Some(model) = self.posteriors.first().filter(|_| !self.failed.is_empty()) else { return 0.0 };
        let votes = |points: &[Point]| points.iter().map(|other| model.similarity(point, other)).sum::<f64>();
        let failed = votes(&self.failed);
        let all = votes(model.observed()) + failed + 1.0;
        (1.0 - failed / all).ln()
    }
}

impl Limit<'_> {
    /// Logarithm of the chance that it holds, and its derivatives by mean and variance.
    fn holds(&self, Belief { mean, variance }: Belief) -> (f64, (f64, f64)) {
        let deviation = variance.sqrt();
        let z = (self.most - mean) / deviation;
        let (value, slope) = log_cumulative(z);
        (value, (-slope / deviation, -0.5 * slope * z / variance))
    }
}

/// Logarithm of how far below a level a loss is expected to be where it is below, and its derivatives by mean and variance.
pub(super) fn below(level: f64, Belief { mean, variance }: Belief) -> (f64, f64, f64) {
    let deviation = variance.sqrt();
    let z = (level - mean) / deviation;
    let (value, slope) = log_improvement(z);
    (deviation.ln() + value, -slope / deviation, (1.0 - slope * z) / (2.0 * variance))
}
