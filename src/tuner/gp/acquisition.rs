//! How much a trial is worth: expected improvement, where trials do not fail and outcome constraints hold.

use super::features::Point;
use super::front::Room;
use super::improvement::{log_cumulative, log_improvement};
use super::posterior::{Belief, Look, Posterior};

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
pub(super) struct Limit {
    pub posterior: Posterior,
    /// It holds up to here.
    pub most: f64,
}

/// The logarithm of the expected improvement times the chance that the trial does not fail and satisfies the constraints
/// (Gardner et al., 2014, "Bayesian Optimization with Inequality Constraints").
pub(super) struct Acquisition {
    /// One an objective.
    posteriors: Vec<Posterior>,
    limits: Vec<Limit>,
    /// Means of the observations that satisfied the constraints, one an objective; of several objectives also those of trials
    /// that are pending.
    held: Vec<Vec<f64>>,
    aim: Aim,
    failed: Vec<Point>,
}

/// What of a score stays as it is while further trials are pending.
#[derive(Clone, Debug, Default)]
pub(super) struct Glance {
    /// One a model: of the objectives, then of the constraints.
    looks: Vec<Look>,
    success: Option<f64>,
}

impl Acquisition {
    /// Over observations of one objective. Trials that failed, and those that are pending, take their variance away.
    pub fn new(posterior: Posterior, failed: Vec<Point>, pending: impl Iterator<Item = Point>) -> Self {
        let mut acquisition = Acquisition::of(vec![posterior], Vec::new(), &|_| true, failed);
        acquisition.expect(&pending.collect::<Vec<Point>>());
        acquisition
    }

    /// The same of several objectives, which have the same observations, and under outcome constraints, while nothing is
    /// pending; `holds` tells of an observation whether it satisfied them.
    pub fn of(
        posteriors: Vec<Posterior>,
        limits: Vec<Limit>,
        holds: &dyn Fn(usize) -> bool,
        failed: Vec<Point>,
    ) -> Self {
        let means: Vec<Vec<f64>> = posteriors.iter().map(Posterior::means).collect();
        let observed = means.first().map_or(0, Vec::len);
        let row = |at: usize| means.iter().filter_map(|means| means.get(at).copied()).collect::<Vec<f64>>();
        let held: Vec<Vec<f64>> = (0..observed).filter(|at| holds(*at)).map(row).collect();
        let mut acquisition = Acquisition { posteriors, limits, held, aim: Aim::Any, failed: Vec::new() };
        acquisition.aim = acquisition.aimed();
        failed.iter().for_each(|point| acquisition.shrink(point));
        acquisition.failed = failed;
        acquisition
    }

    /// These are pending, too.
    pub fn expect(&mut self, pending: &[Point]) {
        if self.posteriors.len() > 1 && !self.held.is_empty() && !pending.is_empty() {
            // Running trials are believed, so that another one does not go where they are.
            let means = pending.iter().map(|point| self.posteriors.iter().map(|model| model.at(point).mean).collect());
            let means: Vec<Vec<f64>> = means.collect();
            self.held.extend(means);
            self.aim = self.aimed();
        }
        pending.iter().for_each(|point| self.shrink(point));
    }

    fn aimed(&self) -> Aim {
        match (self.posteriors.len(), self.held.is_empty()) {
            (_, true) => Aim::Any,
            (1, _) => Aim::Lowest(self.held.iter().flatten().copied().fold(f64::INFINITY, f64::min)),
            _ => Aim::Front(Room::beside(self.held.clone())),
        }
    }

    /// Takes the variance away at a point.
    fn shrink(&mut self, point: &Point) {
        let models = self.posteriors.iter_mut().chain(self.limits.iter_mut().map(|limit| &mut limit.posterior));
        models.for_each(|model| model.expect(point.clone()));
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

    /// The same of a point that was glanced at before, or is now.
    pub fn score_again(&self, point: &[f64], glance: &mut Glance) -> f64 {
        glance.looks.resize(self.posteriors.len() + self.limits.len(), Look::default());
        let (of_objectives, of_limits) = glance.looks.split_at_mut(self.posteriors.len());
        let models = self.posteriors.iter().zip(of_objectives);
        let beliefs: Vec<Belief> = models.map(|(model, look)| model.renewed(point, look)).collect();
        let limits = self.limits.iter().zip(of_limits);
        let holds: f64 = limits.map(|(limit, look)| limit.holds(limit.posterior.renewed(point, look)).0).sum();
        let success = *glance.success.get_or_insert_with(|| self.success(point));
        self.improvement(&beliefs).0 + holds + success
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

impl Limit {
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
