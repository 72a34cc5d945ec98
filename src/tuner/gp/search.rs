//! The configuration that is worth most: many are looked at, the best are improved step by step.
//!
//! Suggestions beside each other look at the same ones: what is known of them is kept, and the next pending trial adds to it.

use super::acquisition::{Acquisition, Glance};
use super::features::{Features, INACTIVE, Point};
use super::minimise::minimise;
use crate::space::{Assignment, SearchSpace};
use crate::tuner::Finished;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

/// Candidates to look at, and how many multiplications they may take together: a larger model gets fewer.
const CANDIDATES: usize = 1024;
const LEAST_CANDIDATES: usize = 128;
const WORK: usize = 10_000_000;
/// Candidates near each of the best trials.
const NEIGHBOURS: usize = 16;
/// Candidates that are improved, and how often each: along the gradient, then value by value.
const STARTS: usize = 5;
const ROUNDS: usize = 3;
/// Pending trials beside which fewer are improved, in proportion, and less often: what counts there is that trials differ.
const MANY: usize = 8;
/// Evaluations along the gradient.
const EVALUATIONS: usize = 25;
/// Other values of one parameter that are tried in a round.
const VALUES: u64 = 16;

/// A configuration with its place in the model.
#[derive(Clone)]
struct Candidate {
    /// One place a parameter, whether active or not: what it would be if it were.
    places: Vec<f64>,
    point: Point,
    assignment: Assignment,
    score: f64,
}

/// Configurations that are looked at, whatever is pending.
pub(super) struct Pool {
    spread: Vec<Looked>,
    near: Vec<Looked>,
}

struct Looked {
    places: Vec<f64>,
    point: Point,
    glance: Glance,
}

impl Pool {
    /// Those of `spread`, which gives evenly spread points of the unit cube by number, and some near the best trials so far;
    /// of both those that satisfy the constraints.
    pub fn new(
        space: &SearchSpace,
        features: &Features,
        acquisition: &Acquisition,
        best: &[&Finished],
        spread: impl Fn(u32) -> Vec<f64>,
        rng: &mut impl Rng,
    ) -> Self {
        let looked = |places: Vec<f64>| {
            let assignment = space.decode(&places);
            let point = space.satisfies(&assignment).then(|| features.point(space, &assignment))?;
            Some(Looked { places, point, glance: Glance::default() })
        };
        let most = wanted(acquisition).min(usize::try_from(space.effort() / 2).unwrap_or(CANDIDATES)).max(1);
        let spread = (0..most).filter_map(|number| looked(spread(u32::try_from(number).ok()?))).collect();
        let mut near = Vec::new();
        for finished in best {
            let places = space.encode(&finished.assignment);
            near.extend((0..NEIGHBOURS).filter_map(|_| looked(around(features, &places, rng))));
        }
        Pool { spread, near }
    }
}

/// How many spread ones are looked at: fewer, the more there is in the model.
fn wanted(acquisition: &Acquisition) -> usize {
    (WORK / acquisition.work()).clamp(LEAST_CANDIDATES, CANDIDATES)
}

/// Some coordinates changed, numbers by little or much, categories to any.
fn around(features: &Features, places: &[f64], rng: &mut impl Rng) -> Vec<f64> {
    let width = 10_f64.powf(-0.5 - 2.5 * rng.random::<f64>());
    let share = rng.random::<f64>().max(1.5 / places.len().max(1) as f64);
    let change = |(place, levels): (&f64, &Option<u64>)| {
        let step: f64 = StandardNormal.sample(rng);
        match (rng.random::<f64>() < share, levels) {
            (false, _) => *place,
            (true, Some(_)) => rng.random(),
            (true, None) => (place + width * step).clamp(0.0, 1.0),
        }
    };
    places.iter().zip(&features.levels).map(change).collect()
}

/// Where to search.
pub(super) struct Search<'a> {
    pub space: &'a SearchSpace,
    pub features: &'a Features,
    pub acquisition: &'a Acquisition,
    /// Whether a configuration may be proposed, constraints aside.
    pub free: &'a dyn Fn(&Assignment) -> bool,
}

impl Search<'_> {
    /// The best configuration found beside so many pending trials, `None` when none of those looked at is allowed.
    pub fn run(&self, pool: &mut Pool, pending: usize, rng: &mut impl Rng) -> Option<Assignment> {
        let mut scored: Vec<(f64, &Looked)> = pool
            .spread
            .iter_mut()
            .take(wanted(self.acquisition))
            .chain(&mut pool.near)
            .map(|looked| (self.acquisition.score_again(&looked.point, &mut looked.glance), &*looked))
            .filter(|(score, _)| !score.is_nan())
            .collect();
        scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        scored.dedup_by(|(_, a), (_, b)| a.point == b.point);
        let starts = (STARTS * MANY / pending.max(1)).clamp(1, STARTS);
        let free = scored.into_iter().filter_map(|(score, Looked { places, point, .. })| {
            let assignment = self.space.decode(places);
            let candidate = |assignment| Candidate { places: places.clone(), point: point.clone(), assignment, score };
            (self.free)(&assignment).then(|| candidate(assignment))
        });
        let improved = free.take(starts).map(|candidate| self.improve(candidate, starts.min(ROUNDS), rng));
        improved.max_by(|a, b| a.score.total_cmp(&b.score)).map(|candidate| candidate.assignment)
    }

    /// `None` where a constraint is violated or the configuration is not free.
    fn candidate(&self, places: Vec<f64>) -> Option<Candidate> {
        let assignment = self.space.decode(&places);
        if !self.space.satisfies(&assignment) || !(self.free)(&assignment) {
            return None;
        }
        let point = self.features.point(self.space, &assignment);
        let score = self.acquisition.score(&point);
        Some(Candidate { places, point, assignment, score }).filter(|candidate| !candidate.score.is_nan())
    }

    fn improve(&self, mut candidate: Candidate, rounds: usize, rng: &mut impl Rng) -> Candidate {
        for _ in 0..rounds {
            let before = candidate.score;
            candidate = self.along_the_gradient(candidate);
            candidate = self.value_by_value(candidate, rng);
            if candidate.score <= before + 1e-3 {
                break;
            }
        }
        candidate
    }

    fn along_the_gradient(&self, candidate: Candidate) -> Candidate {
        let moved: Vec<usize> = (0..candidate.point.len())
            .filter(|at| {
                let fixed = self.features.levels.get(*at).is_none_or(Option::is_some);
                !fixed && candidate.point.get(*at).is_some_and(|x| *x != INACTIVE)
            })
            .collect();
        if moved.is_empty() {
            return candidate;
        }
        let whole = |coordinates: &[f64]| {
            let mut point = candidate.point.clone();
            for (at, coordinate) in moved.iter().zip(coordinates) {
                if let Some(x) = point.get_mut(*at) {
                    *x = *coordinate;
                }
            }
            point
        };
        let part = |whole: &[f64]| moved.iter().filter_map(|at| whole.get(*at).copied()).collect::<Vec<f64>>();
        let evaluate = |coordinates: &[f64]| {
            let (loss, gradient) = self.acquisition.loss(&whole(coordinates));
            (loss, part(&gradient))
        };
        let bounds = vec![(0.0, 1.0); moved.len()];
        let (coordinates, _) = minimise(evaluate, part(&candidate.point), &bounds, EVALUATIONS);
        let mut places = candidate.places.clone();
        for (at, coordinate) in moved.iter().zip(coordinates) {
            if let Some(place) = places.get_mut(*at) {
                *place = coordinate;
            }
        }
        better(candidate, self.candidate(places))
    }

    fn value_by_value(&self, mut candidate: Candidate, rng: &mut impl Rng) -> Candidate {
        for (at, levels) in self.features.levels.iter().enumerate() {
            let Some(levels) = levels.filter(|levels| *levels > 1) else { continue };
            if candidate.point.get(at).is_none_or(|x| *x == INACTIVE) {
                continue;
            }
            for level in 0..levels.min(VALUES) {
                let level = if levels > VALUES { rng.random_range(0..levels) } else { level };
                let mut places = candidate.places.clone();
                if let Some(place) = places.get_mut(at) {
                    *place = (level as f64 + 0.5) / levels as f64;
                }
                candidate = better(candidate, self.candidate(places));
            }
        }
        candidate
    }
}

fn better(old: Candidate, new: Option<Candidate>) -> Candidate {
    new.filter(|new| new.score > old.score).unwrap_or(old)
}
