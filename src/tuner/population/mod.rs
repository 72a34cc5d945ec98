//! Populations that change their parameters while they train.
//!
//! Population based training (Jaderberg et al., 2017, <https://arxiv.org/abs/1711.09846>): each member trains for an interval,
//! `fidelity.min` of the resource. Then it goes on as it is; or, where it is among the worst, it goes on from the checkpoint of
//! one of the best, with that one's parameters perturbed or drawn anew. So what is found is a schedule, not a value. PB2
//! (Parker-Holder et al., 2020, <https://arxiv.org/abs/2002.02518>) perturbs as a model of the gains so far would.
//!
//! Asynchronous: a member is compared with those that have ended the same generation so far, and nothing is waited for
//! while there is a member to go on.

mod crowd;
mod explore;
mod generations;

use super::gp::{Growth, Interval};
use super::random::Random;
use super::settings::{SettingError, Settings};
use super::{Digest, Fidelity, Finished, NoSuggestion, Request, Stage, Suggestion, Tuner, generator};
use crate::space::{Assignment, SearchSpace};
use crowd::{Crowd, last, spent};
use explore::Explore;
use generations::{Generations, Next};
use rand::RngExt;

/// Configurations that the model of PB2 chooses from.
const CANDIDATES: usize = 256;
/// Intervals that it is told of, the latest; it takes fewer.
const INTERVALS: usize = 256;

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

    fn generations<'a>(&self, request: &'a Request<'a>) -> Generations<'a> {
        let crowd = request.history.digest(|crowd: &Crowd| crowd.is_of(self.fidelity), || Crowd::new(self.fidelity));
        Generations::new(crowd, request)
    }

    /// When a generation ends, as a share of a member's life.
    fn time(&self, generation: u64) -> f64 {
        generation as f64 / last(self.fidelity) as f64
    }

    /// The latest intervals of training, those that run last.
    fn intervals<'a>(&self, request: &'a Request<'a>, crowd: &Crowd) -> Vec<Interval<'a>> {
        let result = |index: u64| {
            let before = request.history.get(index)?;
            crowd.generation(before.stage?)?;
            Some(before.outcome.loss()).filter(|loss| loss.is_finite())
        };
        let interval = |stage: Stage, assignment: &'a Assignment, after: Option<f64>| {
            let (before, time) = (result(stage.parent?)?, self.time(crowd.generation(stage)?));
            Some(Interval { assignment, time, before, after })
        };
        let ended = crowd.intervals.iter().rev().take(4 * INTERVALS).filter_map(|index| {
            let one = request.history.get(*index)?;
            interval(one.stage?, &one.assignment, Some(one.outcome.loss()))
        });
        let mut intervals: Vec<Interval<'a>> = ended.take(INTERVALS).collect();
        intervals.reverse();
        let mut running: Vec<_> = request.pending.iter().collect();
        running.sort_unstable_by_key(|pending| pending.index);
        intervals.extend(running.into_iter().filter_map(|one| interval(one.stage?, &one.assignment, None)));
        intervals
    }

    /// The parameters with which a copy of this trial, which has ended this generation, goes on.
    fn explored(&self, request: &Request<'_>, crowd: &Crowd, (generation, from): (u64, &Finished)) -> Assignment {
        let mut rng = generator(request);
        let before = from.outcome.loss();
        if let Some(growth) = self.growth.as_ref().filter(|_| before.is_finite()) {
            let candidates = (0..CANDIDATES).map(|at| match at % 2 {
                0 => Explore { resample: 1.0, ..self.explore }.near(request.space, &from.assignment, &mut rng),
                _ => self.explore.near(request.space, &from.assignment, &mut rng),
            });
            let intervals = self.intervals(request, crowd);
            let next = (self.time(generation + 1), before);
            if let Some(chosen) = growth.choose(request.space, &intervals, next, candidates) {
                return chosen;
            }
        }
        self.explore.near(request.space, &from.assignment, &mut generator(request))
    }
}

impl Tuner for Population {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        let generations = self.generations(request);
        match generations.next(self.members, self.share) {
            Next::Begin => {
                // A small space has fewer configurations than a population has members.
                let drawn = Random::new(false).suggest(request).or_else(|_| Random::new(true).suggest(request))?;
                Ok(self.at(drawn.assignment, 1, None))
            }
            Next::Continue(generation, one) => Ok(self.at(one.assignment.clone(), generation + 1, Some(one.index))),
            Next::Exploit(generation, best) => {
                let mut rng = generator(request);
                // Another stream than that of what is explored.
                rng.set_stream(!request.index);
                let from = best[rng.random_range(0..best.len())];
                let assignment = self.explored(request, &generations.crowd, (generation, from));
                Ok(self.at(assignment, generation + 1, Some(from.index)))
            }
            Next::Wait => Err(NoSuggestion::Waiting),
        }
    }

    fn digest(&self) -> Option<Box<dyn Digest>> {
        Some(Box::new(Crowd::new(self.fidelity)))
    }

    /// A generation is never whole: whoever joins it later may copy the best of it.
    fn parents(&self, request: &Request<'_>, most: usize) -> Vec<u64> {
        self.generations(request).parents(self.members, self.share, most)
    }
}
