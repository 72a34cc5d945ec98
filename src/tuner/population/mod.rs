//! Populations that change their parameters while they train.
//!
//! Population based training (Jaderberg et al., 2017, <https://arxiv.org/abs/1711.09846>): each member trains for an interval,
//! `fidelity.min` of the resource. Then it goes on as it is; or, where it is among the worst, it goes on from the checkpoint of
//! one of the best, with that one's parameters perturbed or drawn anew. So what is found is a schedule, not a value. PB2
//! (Parker-Holder et al., 2020, <https://arxiv.org/abs/2002.02518>) perturbs as a model of the gains so far would.
//!
//! Asynchronous: a member is compared with those that have ended the same generation so far, and nothing is waited for
//! while there is a member to go on.

mod explore;
mod generations;

use super::gp::{Growth, Interval};
use super::random::Random;
use super::settings::{SettingError, Settings};
use super::{Fidelity, NoSuggestion, Request, Stage, Suggestion, Tuner, generator};
use crate::space::{Assignment, SearchSpace};
use explore::Explore;
use generations::{Entry, Generations, Next, last, spent};
use rand::RngExt;
use std::collections::BTreeMap;

/// Configurations that the model of PB2 chooses from.
const CANDIDATES: usize = 256;

/// A population.
pub(super) struct Population {
    fidelity: Fidelity,
    /// Members that train at a time.
    members: usize,
    /// Share of a generation that is replaced, and share that is copied.
    share: f64,
    explore: Explore,
    /// PB2's.
    growth: Option<Growth>,
}

impl Population {
    /// Population based training, from its settings.
    pub fn pbt(settings: &mut Settings<'_>, _space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        Ok(Box::new(Population::new(settings, None)?))
    }

    /// PB2, from its settings.
    pub fn pb2(settings: &mut Settings<'_>, space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        Ok(Box::new(Population::new(settings, Some(Growth::new(space)))?))
    }

    fn new(settings: &mut Settings<'_>, growth: Option<Growth>) -> Result<Self, SettingError> {
        let members = settings.whole("population", 10, 2..=1_000) as usize;
        let share = settings.real("truncation", 0.2, 0.01..=0.5);
        let resample = settings.real("resampleProbability", 0.25, 0.0..=1.0);
        let perturbation = settings.real("perturbation", 0.1, 0.0..=1.0);
        let explore = Explore { resample, perturbation };
        Ok(Population { fidelity: settings.fidelity()?, members, share, explore, growth })
    }

    fn at(&self, assignment: Assignment, generation: u64, parent: Option<u64>) -> Suggestion {
        Suggestion::new(assignment).at(Stage { fidelity: spent(self.fidelity, generation), parent })
    }

    /// The parameters with which a copy of this trial goes on.
    fn explored(&self, request: &Request<'_>, generations: &Generations<'_>, from: &Entry<'_>) -> Assignment {
        let mut rng = generator(request);
        if let Some(growth) = &self.growth
            && let Some(before) = from.result()
        {
            let known: BTreeMap<u64, f64> =
                generations.of.values().flatten().filter_map(|entry| Some((entry.index, entry.result()?))).collect();
            let time = |generation: u64| generation as f64 / last(self.fidelity) as f64;
            let begun = generations.of.values().flatten().filter_map(|entry| {
                let (before, after) = (*known.get(&entry.parent?)?, entry.loss);
                let interval = Interval { assignment: entry.assignment, time: time(entry.generation), before, after };
                after.is_none_or(f64::is_finite).then_some((entry.index, interval))
            });
            let mut intervals: Vec<(u64, Interval<'_>)> = begun.collect();
            intervals.sort_by_key(|(index, _)| *index);
            let intervals: Vec<Interval<'_>> = intervals.into_iter().map(|(_, interval)| interval).collect();
            let candidates = (0..CANDIDATES).map(|at| match at % 2 {
                0 => Explore { resample: 1.0, ..self.explore }.near(request.space, from.assignment, &mut rng),
                _ => self.explore.near(request.space, from.assignment, &mut rng),
            });
            let next = (time(from.generation + 1), before);
            if let Some(chosen) = growth.choose(request.space, &intervals, next, candidates) {
                return chosen;
            }
        }
        self.explore.near(request.space, from.assignment, &mut generator(request))
    }
}

impl Tuner for Population {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        let generations = Generations::new(self.fidelity, request);
        match generations.next(self.members, self.share) {
            Next::Begin => {
                // A small space has fewer configurations than a population has members.
                let drawn = Random::new(false).suggest(request).or_else(|_| Random::new(true).suggest(request))?;
                Ok(self.at(drawn.assignment, 1, None))
            }
            Next::Continue(entry) => Ok(self.at(entry.assignment.clone(), entry.generation + 1, Some(entry.index))),
            Next::Exploit(best) => {
                let mut rng = generator(request);
                // Another stream than that of what is explored.
                rng.set_stream(!request.index);
                let from = &best[rng.random_range(0..best.len())];
                let assignment = self.explored(request, &generations, from);
                Ok(self.at(assignment, from.generation + 1, Some(from.index)))
            }
            Next::Wait => Err(NoSuggestion::Waiting),
        }
    }

    /// A generation is never whole: whoever joins it later may copy the best of it.
    fn parents(&self, request: &Request<'_>) -> Vec<u64> {
        Generations::new(self.fidelity, request).parents(self.members, self.share).into_iter().collect()
    }
}
