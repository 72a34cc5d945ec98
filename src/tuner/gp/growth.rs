//! How much a loss falls in the next interval of training, by configuration, time and loss so far.
//!
//! The model of PB2 (Parker-Holder et al., 2020, <https://arxiv.org/abs/2002.02518>): an upper confidence bound on a Gaussian
//! process that varies in time. Time is one more coordinate of the Matern kernel, with a length that is fitted like the
//! others, in place of a forgetting factor.

use super::features::{Features, Kind, Point};
use super::fit::fit;
use super::posterior::{Belief, Posterior};
use super::warp::standardised;
use crate::space::{Assignment, SearchSpace};

/// Intervals that are modelled, the latest; and those that it takes to model them.
const MOST: usize = 128;
const LEAST: usize = 4;

/// One trial of a member.
pub(in crate::tuner) struct Interval<'a> {
    pub assignment: &'a Assignment,
    /// When it ends, from 0 to 1 of a member's life.
    pub time: f64,
    /// The loss at which it begins.
    pub before: f64,
    /// The loss at which it has ended; `None` while it runs.
    pub after: Option<f64>,
}

/// The model.
pub(in crate::tuner) struct Growth {
    features: Features,
    kinds: Vec<Kind>,
}

impl Growth {
    pub fn new(space: &SearchSpace) -> Self {
        let features = Features::new(space);
        let kinds = features.kinds.iter().copied().chain([Kind::Number, Kind::Number]).collect();
        Growth { features, kinds }
    }

    /// Of these configurations the one whose loss may fall most in an interval that ends at this time and begins at this
    /// loss. `None` while too few intervals, which are ordered by index, have ended.
    pub fn choose(
        &self,
        space: &SearchSpace,
        intervals: &[Interval<'_>],
        (time, before): (f64, f64),
        candidates: impl Iterator<Item = Assignment>,
    ) -> Option<Assignment> {
        let ended: Vec<(&Interval<'_>, f64)> =
            intervals.iter().filter_map(|interval| Some((interval, interval.after?))).collect();
        if ended.len() < LEAST {
            return None;
        }
        let ended = ended.get(ended.len().saturating_sub(MOST)..).unwrap_or_default();
        let losses = || ended.iter().map(|(interval, _)| interval.before);
        let (low, high) = (losses().fold(f64::INFINITY, f64::min), losses().fold(f64::NEG_INFINITY, f64::max));
        let place = |loss: f64| if high > low { ((loss - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 };
        let point = |assignment: &Assignment, time: f64, before: f64| -> Point {
            self.features.point(space, assignment).into_iter().chain([time, place(before)]).collect()
        };
        let at = |interval: &Interval<'_>| point(interval.assignment, interval.time, interval.before);
        let points: Vec<Point> = ended.iter().map(|(interval, _)| at(interval)).collect();
        let targets =
            standardised(&ended.iter().map(|(interval, after)| after - interval.before).collect::<Vec<f64>>());
        let hyperparameters = fit(&self.kinds, &points, &targets);
        let mut posterior = Posterior::new(&self.kinds, hyperparameters, points, &targets);
        intervals.iter().filter(|interval| interval.after.is_none()).for_each(|running| posterior.expect(at(running)));
        // As in the paper's experiments.
        let width = (0.2 + (0.4 * ended.len() as f64).ln().max(0.0)).sqrt();
        let bound = |assignment: &Assignment| {
            let Belief { mean, variance } = posterior.at(&point(assignment, time, before));
            mean - width * variance.sqrt()
        };
        let bounds = candidates.map(|candidate| (bound(&candidate), candidate)).filter(|(bound, _)| !bound.is_nan());
        bounds.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, candidate)| candidate)
    }
}
