//! Who is whose successor, as the trials themselves say.
//!
//! A member is a chain of trials, one a generation. Each trial that has ended with a result makes room for one trial of the
//! next generation: its own continuation (its parameters, its checkpoint), or that of a better one in its place. Which trial
//! was replaced is not written down and need not be: so many of a generation were, and those are its worst.

use super::crowd::{Crowd, Generation};
use crate::space::Assignment;
use crate::tuner::history::rank;
use crate::tuner::{Finished, Request};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

/// What comes next.
#[derive(Clone, Debug)]
pub(super) enum Next<'a> {
    /// A new member.
    Begin,
    /// This one, which has ended this generation, goes on.
    Continue(u64, &'a Finished),
    /// One of these, the best of this generation, is copied, and explores.
    Exploit(u64, Vec<&'a Finished>),
    /// What comes out of those that run decides.
    Wait,
}

/// All trials of members: those that have ended, and those that run.
pub(super) struct Generations<'a> {
    request: &'a Request<'a>,
    pub crowd: Cow<'a, Crowd>,
    /// By generation, those that run: what each goes on from, and its parameters.
    running: BTreeMap<u64, Vec<(Option<u64>, &'a Assignment)>>,
    last: u64,
}

impl<'a> Generations<'a> {
    /// A trial of no generation (a person's, say) is left out.
    pub fn new(crowd: Cow<'a, Crowd>, request: &'a Request<'a>) -> Self {
        let mut running: BTreeMap<u64, Vec<(Option<u64>, &Assignment)>> = BTreeMap::new();
        for pending in request.pending {
            if let Some((stage, generation)) = pending.stage.and_then(|stage| Some((stage, crowd.generation(stage)?))) {
                running.entry(generation).or_default().push((stage.parent, &pending.assignment));
            }
        }
        Generations { request, last: crowd.last(), crowd, running }
    }

    /// The next trial of a population of so many members, of each generation of which this share is replaced. The lowest
    /// generation comes first, so that few slots compare as many as many would.
    pub fn next(&self, population: usize, share: f64) -> Next<'a> {
        let history = self.request.history;
        let begun = self.living(1);
        if begun < population {
            return Next::Begin;
        }
        for (generation, ended) in self.crowd.generations(self.last) {
            if ended.results.len() <= self.living(generation + 1) {
                continue;
            }
            let kept = ended.count - (share * ended.count as f64 * (1.0 + 1e-12)) as usize;
            let open = self.open(generation, population).into_iter().filter_map(|index| history.get(index));
            let first = open.filter_map(|one| Some((rank(one)?, one))).min_by_key(|(place, _)| *place);
            if let Some((_, one)) = first.filter(|(place, _)| ended.results.rank(place) < kept) {
                return Next::Continue(generation, one);
            }
            let best = best_of(ended.results.len().min(population), share);
            let best = ended.results.iter().take(best).filter_map(|(.., index)| history.get(*index));
            return Next::Exploit(generation, best.collect());
        }
        // Whoever has come to the end makes room for a new member.
        let at_end = self.ended(self.last).map_or(0, |ended| ended.results.len());
        if begun < population + at_end {
            return Next::Begin;
        }
        Next::Wait
    }

    /// Trials that one to come may go on from, or be a copy of, so many at most. Whatever is not among them once it has ended never
    /// will be: the best of a generation are so many of all of it, and of the latest those that have not gone on. Of too many
    /// first those of the generations where members are, then the best of the others, the nearest ahead of a member first.
    pub fn parents(&self, population: usize, share: f64, most: usize) -> Vec<u64> {
        let ahead = |(generation, ended): &(u64, &Generation)| {
            let is_due = ended.results.len() > self.living(generation + 1);
            let member = self.running.range(..=generation).next_back();
            if is_due { 0 } else { generation - member.map_or(0, |(generation, _)| *generation) }
        };
        let mut generations: Vec<(u64, &Generation)> = self.crowd.generations(self.last).collect();
        generations.sort_by_cached_key(ahead);
        let (here, others) = generations.split_at(generations.partition_point(|one| ahead(one) == 0));
        let open = |(generation, _): &(u64, &Generation)| self.open(*generation, population);
        let best = |(_, ended): &(u64, &Generation)| {
            let best = ended.results.iter().take(best_of(population, share));
            best.map(|(.., index)| *index).collect::<Vec<u64>>()
        };
        let mut named = HashSet::new();
        let here = here.iter().flat_map(|one| open(one).into_iter().chain(best(one)));
        let others = others.iter().flat_map(best).chain(others.iter().flat_map(open));
        here.chain(others).filter(|index| named.insert(*index)).take(most).collect()
    }

    fn ended(&self, generation: u64) -> Option<&Generation> {
        self.crowd.of(generation)
    }

    /// Of the latest results of a generation, as many as there are members: those that have not gone on as they are.
    fn open(&self, generation: u64, population: usize) -> Vec<u64> {
        let latest = self.ended(generation).into_iter().flat_map(|ended| ended.latest.iter().rev().take(population));
        latest.copied().filter(|index| !self.continued(generation, *index)).collect()
    }

    /// Trials of a generation that have not failed.
    fn living(&self, generation: u64) -> usize {
        let running = self.running.get(&generation).map_or(0, Vec::len);
        running + self.ended(generation).map_or(0, |ended| ended.results.len())
    }

    /// This trial was continued as it was, with success or not: one whose continuation failed is not tried in the same way
    /// again.
    fn continued(&self, generation: u64, index: u64) -> bool {
        let Some(parent) = self.request.history.get(index) else { return false };
        let running = self.running.get(&(generation + 1)).into_iter().flatten();
        let mut running = running.filter(|(from, _)| *from == Some(index)).map(|(_, assignment)| *assignment);
        let ended = self.crowd.children(generation + 1, index).filter_map(|child| self.request.history.get(child));
        running.any(|assignment| *assignment == parent.assignment)
            || ended.into_iter().any(|child| child.assignment == parent.assignment)
    }
}

/// How many of so many are copied.
fn best_of(count: usize, share: f64) -> usize {
    ((share * count as f64).ceil() as usize).max(1)
}
