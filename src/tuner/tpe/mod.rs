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
//!
//! Of several objectives the good trials are those of the first fronts, and of the front that is too large those that
//! dominate most: MOTPE (Ozaki et al., 2022, <https://doi.org/10.1613/jair.1.13188>). Trials that violate outcome constraints
//! come after all others, the more the later.

mod mixture;

use super::random::uniform;
use super::settings::{SettingError, Settings};
use super::unrepeated::{Tried, unrepeated};
use super::{Finished, NoSuggestion, Pending, Request, Suggestion, Tuner, generator, pareto};
use crate::space::{Assignment, SearchSpace};
use mixture::{Mixture, Point, point};
use rand::{Rng, RngExt};
use std::collections::HashSet;

/// Only so many trials are modelled, the best and the latest, and so many values of parameters in them: bounded work
/// however long the history.
const MAX_TRIALS: usize = 2000;
const MAX_VALUES: usize = 1 << 16;
/// Most trials that count as good ones.
const MAX_GOOD: usize = 25;
/// Of several objectives: trials among which the good ones are found, three times.
const POOL: usize = 200;

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
        self.by_these(request, request)
    }
}

impl Tpe {
    /// Learns from the history of this request; what has been tried stands in that of the whole.
    pub fn by_these(&self, request: &Request<'_>, whole: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        let mut rng = generator(request);
        if request.history.len() >= self.startup_trials
            && let Some(assignment) = self.model(request, &Tried::new(whole), &mut rng)
        {
            return Ok(Suggestion::new(assignment));
        }
        let start = rng.random();
        unrepeated(whole, self.allow_repeats, start, || uniform(request.space, &mut rng))
    }

    /// The best candidate; `None` when there is nothing to model or no candidate is allowed.
    fn model(&self, request: &Request<'_>, tried: &Tried<'_>, rng: &mut impl Rng) -> Option<Assignment> {
        let space = request.space;
        let ranked = request.history.ranked();
        // Of ten trials one is good. One without a finite loss never is.
        let good = request.history.len().div_ceil(10).min(MAX_GOOD).min(ranked.len());
        if good == 0 {
            return None;
        }
        let good: Vec<&Finished> = match request.history.objectives() {
            1 => ranked.take(good).collect(),
            _ => pareto::best(&pareto::pool(request.history, POOL), good),
        };
        let indices: HashSet<u64> = good.iter().map(|finished| finished.index).collect();
        let most = (MAX_VALUES / space.parameters().len().max(1)).clamp(MAX_GOOD, MAX_TRIALS);
        let latest = request.history.iter().rev().filter(|finished| !indices.contains(&finished.index)).take(most);
        let point = |assignment: &Assignment| point(space, assignment);
        let points: Vec<Point> = good.iter().map(|finished| point(&finished.assignment)).collect();
        let mut others: Vec<Point> = latest.map(|finished| point(&finished.assignment)).collect();
        // Sums of real numbers depend on their order; the answer must not.
        let mut pending: Vec<&Pending> = request.pending.iter().collect();
        pending.sort_unstable_by_key(|pending| pending.index);
        others.extend(pending.into_iter().map(|pending| point(&pending.assignment)));
        let good = Mixture::new(space, points, self.prior_weight);
        let others = Mixture::new(space, others, self.prior_weight);
        let finite = !self.allow_repeats && space.cardinality().is_some();
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
            let point = point(&assignment);
            let score = good.log_density(&point) - others.log_density(&point);
            if best.as_ref().is_none_or(|(highest, _)| score > *highest) {
                best = Some((score, assignment));
            }
        }
        best.map(|(_, assignment)| assignment)
    }
}
