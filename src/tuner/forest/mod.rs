//! Sequential model-based optimisation with a forest (SMAC: Hutter, Hoos and Leyton-Brown, 2011,
//! <https://doi.org/10.1007/978-3-642-25566-3_40>).
//!
//! Extremely randomised trees predict the loss of a configuration, and how sure they are by how far they disagree. The
//! configuration of the highest expected improvement is looked for among random ones and, step by step, near the best
//! trials. Losses are replaced by normal scores of their ranks, so that outliers and scales do not matter; a trial without
//! a loss has the worst. A parameter that is not active has a value of its own, below all others.

mod explain;
mod tree;

pub use explain::{Importance, Prediction, Surrogate};

use super::neighbour::mutated;
use super::random::uniform;
use super::settings::{SettingError, Settings};
use super::unrepeated::{Tried, unrepeated};
use super::{Finished, NoSuggestion, Pending, Request, Suggestion, Tuner, generator};
use crate::space::{Assignment, SearchSpace};
use rand::{Rng, RngExt};
use statrs::distribution::{Continuous, ContinuousCDF, Normal};
use std::collections::HashSet;
use tree::{Feature, Sample, Tree};

/// Only so many trials are modelled, the best and the latest, and so many values of parameters in them: bounded work
/// however long the history.
const MAX_TRIALS: usize = 1000;
const MAX_VALUES: usize = 1 << 15;
/// Most places of parameters that are looked at for one suggestion.
const MAX_PLACES: u64 = 1 << 14;
/// Trials that are looked around, steps from each, and neighbours for a step.
const STARTS: usize = 5;
const STEPS: i32 = 8;
const NEIGHBOURS: usize = 6;
/// Value of a parameter that is not active.
const INACTIVE: f64 = -1.0;

/// The forest.
pub(super) struct Forest {
    allow_repeats: bool,
    /// Trials before the model is asked; random ones.
    startup_trials: usize,
    trees: usize,
    /// Configurations whose improvement is looked at: half of them random, the others near the best trials.
    candidates: u64,
    /// Share of trials that are random: what the model is wrong about is found out by them.
    random_share: f64,
}

impl Tuner for Forest {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        let mut rng = generator(request);
        let by_model = rng.random::<f64>() >= self.random_share && request.history.len() >= self.startup_trials;
        if by_model && let Some(assignment) = self.model(request, &mut rng) {
            return Ok(Suggestion::new(assignment));
        }
        let start = rng.random();
        unrepeated(request, self.allow_repeats, start, || uniform(request.space, &mut rng))
    }
}

impl Forest {
    /// From its settings.
    pub fn make(settings: &mut Settings<'_>, _space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        Ok(Box::new(Forest {
            allow_repeats: settings.allow_repeats(),
            startup_trials: settings.whole("startupTrials", 10, 0..=10_000) as usize,
            trees: settings.whole("trees", 30, 1..=1_000) as usize,
            candidates: settings.whole("candidates", 500, 2..=10_000),
            random_share: settings.real("randomShare", 0.1, 0.0..=1.0),
        }))
    }

    /// The configuration of the highest expected improvement that was found; `None` when there is nothing to model or
    /// none is allowed.
    fn model(&self, request: &Request<'_>, rng: &mut impl Rng) -> Option<Assignment> {
        let space = request.space;
        let model = Model::new(request, self.trees, rng)?;
        let finite = !self.allow_repeats && space.cardinality().is_some();
        let tried = Tried::new(request);
        let free = |assignment: &Assignment| space.satisfies(assignment) && !(finite && tried.contains(assignment));
        let mut best: Option<(f64, Assignment)> = None;
        let most = MAX_PLACES / space.parameters().len().max(1) as u64;
        let mut effort = space.effort().min(most).min(self.candidates);
        // The improvement of a configuration, and whether it may be tried, as long as there is effort left.
        let mut offer = |assignment: &Assignment| {
            effort = effort.checked_sub(1)?;
            let improvement = model.improvement(space, assignment);
            let better = best.as_ref().is_none_or(|(highest, _)| improvement > *highest);
            if better && free(assignment) {
                best = Some((improvement, assignment.clone()));
            }
            Some(improvement)
        };
        for _ in 0..self.candidates / 2 {
            offer(&uniform(space, rng));
        }
        let starts = request.history.ranked().take(STARTS);
        'search: for start in starts.filter_map(|finished| space.check(&finished.assignment).ok()) {
            let mut here = (model.improvement(space, &start), start);
            for step in 0..STEPS {
                let mut highest = here.clone();
                for _ in 0..NEIGHBOURS {
                    let neighbour = mutated(space, &here.1, 0.2 * 0.7_f64.powi(step), rng);
                    let Some(improvement) = offer(&neighbour) else { break 'search };
                    if improvement > highest.0 {
                        highest = (improvement, neighbour);
                    }
                }
                here = highest;
            }
        }
        best.map(|(_, assignment)| assignment)
    }
}

/// The trees, and what they are compared with.
struct Model {
    trees: Vec<Tree>,
    /// The best score so far.
    incumbent: f64,
}

impl Model {
    /// `None` when no trial has a finite loss.
    fn new(request: &Request<'_>, trees: usize, rng: &mut impl Rng) -> Option<Self> {
        let (space, history) = (request.space, request.history);
        if history.ranked().len() == 0 {
            return None;
        }
        let features: Vec<Feature> = space.parameters().iter().map(Feature::of).collect();
        let most = (MAX_VALUES / features.len().max(1)).clamp(64, MAX_TRIALS);
        let best: Vec<&Finished> = history.ranked().take(most / 2).collect();
        let indices: HashSet<u64> = best.iter().map(|finished| finished.index).collect();
        let latest = history.iter().rev().filter(|finished| !indices.contains(&finished.index));
        let mut trials: Vec<&Finished> = best.into_iter().chain(latest.take(most / 2)).collect();
        trials.sort_by(|a, b| a.outcome.loss().total_cmp(&b.outcome.loss()).then(a.index.cmp(&b.index)));
        let mut samples = scored(space, &trials);
        let incumbent = samples.first()?.target;
        // A pending trial is taken for a middling one, so that parallel ones spread.
        let mut pending: Vec<&Pending> = request.pending.iter().collect();
        pending.sort_unstable_by_key(|pending| pending.index);
        samples.extend(pending.iter().map(|pending| Sample { point: point(space, &pending.assignment), target: 0.0 }));
        let trees = (0..trees).map(|_| Tree::grow(&samples, &features, rng)).collect();
        Some(Model { trees, incumbent })
    }

    /// Expected improvement (Jones, Schonlau and Welch, 1998, <https://doi.org/10.1023/A:1008306431147>), of the score.
    fn improvement(&self, space: &SearchSpace, assignment: &Assignment) -> f64 {
        let point = point(space, assignment);
        let leaves: Vec<(f64, f64)> = self.trees.iter().map(|tree| tree.leaf(&point)).collect();
        let (mean, between) = tree::moments(leaves.iter().map(|(mean, _)| *mean));
        let (within, _) = tree::moments(leaves.iter().map(|(_, variance)| *variance));
        let deviation = (between + within).sqrt();
        let gain = self.incumbent - mean;
        match Normal::new(0.0, 1.0) {
            Ok(unit) if deviation > 0.0 => {
                let ratio = gain / deviation;
                gain * unit.cdf(ratio) + deviation * unit.pdf(ratio)
            }
            _ => gain.max(0.0),
        }
    }
}

/// Trials with normal scores of their ranks, given in the order of their losses; equals share theirs.
fn scored(space: &SearchSpace, trials: &[&Finished]) -> Vec<Sample> {
    let mut samples = Vec::with_capacity(trials.len());
    let unit = Normal::new(0.0, 1.0).ok();
    for equals in trials.chunk_by(|a, b| a.outcome.loss() == b.outcome.loss()) {
        let rank = samples.len() as f64 + equals.len() as f64 / 2.0;
        let target = unit.map_or(rank, |unit| unit.inverse_cdf(rank / trials.len() as f64));
        samples.extend(equals.iter().map(|finished| Sample { point: point(space, &finished.assignment), target }));
    }
    samples
}

/// Places, and where a parameter is not active a number below all of them.
fn point(space: &SearchSpace, assignment: &Assignment) -> Vec<f64> {
    let places = space.parameters().iter().zip(space.encode(assignment));
    places.map(|(p, place)| if assignment.contains_key(&p.name) { place } else { INACTIVE }).collect()
}

#[cfg(test)]
mod tests;
