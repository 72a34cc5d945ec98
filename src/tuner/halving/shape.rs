//! What brackets there are, who is in which, and what comes next in one.

use super::Rungs;
use crate::tuner::history::rank;
use crate::tuner::pareto::net;
use crate::tuner::{Finished, Pending, Stage};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Where a bracket begins, and with how many trials.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Kind {
    pub first: usize,
    pub size: usize,
}

/// The brackets of a round.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    pub rungs: Rungs,
    /// In turn.
    pub kinds: Vec<Kind>,
}

/// A trial at a rung.
pub(super) struct Member<'a> {
    pub index: u64,
    rung: usize,
    parent: Option<u64>,
    /// `None` while it runs.
    pub ended: Option<&'a Finished>,
}

impl Member<'_> {
    pub fn has_result(&self) -> bool {
        self.ended.is_some_and(|ended| ended.outcome.loss().is_finite())
    }
}

/// A bracket that has begun.
pub(super) struct Bracket<'a> {
    /// How many rounds began before its own.
    pub round: usize,
    pub kind: Kind,
    /// Those at its first rung, then those at the next.
    pub rungs: Vec<Vec<&'a Member<'a>>>,
}

/// What comes next in a bracket.
pub(super) enum Next<'a> {
    Begin,
    /// This one goes on.
    Promote(&'a Finished),
    Wait,
    Done,
}

/// Trials that others go on from.
pub(super) fn promoted(members: &[Member<'_>]) -> HashSet<u64> {
    members.iter().filter_map(|member| member.parent).collect()
}

/// So many of these that have a result, the best first, of equals the earlier. Of several objectives front by front, and of
/// the front that is too large those that are far apart, others first in each turn.
fn best<'m, 'a>(members: impl Iterator<Item = &'m Member<'a>>, count: usize, turn: usize) -> Vec<&'a Finished>
where
    'a: 'm,
{
    let mut ended: Vec<&Finished> =
        members.filter(|member| member.has_result()).filter_map(|member| member.ended).collect();
    if ended.iter().any(|one| one.outcome.losses().len() > 1) {
        ended.sort_unstable_by_key(|one| one.index);
        return net(&ended, count, turn);
    }
    ended.sort_by_key(|one| rank(one));
    ended.truncate(count);
    ended
}

impl Shape {
    /// The trial at its rung; `None`: it is at none.
    fn member<'a>(&self, index: u64, stage: Option<Stage>, ended: Option<&'a Finished>) -> Option<Member<'a>> {
        let parent = stage.and_then(|stage| stage.parent);
        Some(Member { index, rung: self.rungs.of(stage)?, parent, ended })
    }

    /// These trials as far as they are at rungs, by index.
    pub fn members<'a>(&self, ended: impl Iterator<Item = &'a Finished>, running: &[Pending]) -> Vec<Member<'a>> {
        let ended = ended.filter_map(|one| self.member(one.index, one.stage, Some(one)));
        let running = running.iter().filter_map(|one| self.member(one.index, one.stage, None));
        let mut members: Vec<Member<'a>> = ended.chain(running).collect();
        members.sort_unstable_by_key(|member| member.index);
        members
    }

    fn bracket<'a>(&self, number: usize) -> Bracket<'a> {
        let kind = self.kinds[number % self.kinds.len()];
        Bracket {
            round: number / self.kinds.len(),
            kind,
            rungs: (kind.first..=self.rungs.top()).map(|_| Vec::new()).collect(),
        }
    }

    /// The brackets with their members, in the order in which they begin; the last one may be empty. `over`: of each kind so
    /// many are left out, the first; none of these members is in them.
    pub fn begun<'a>(&self, members: &'a [Member<'a>], over: &[usize]) -> BTreeMap<usize, Bracket<'a>> {
        let kinds = self.kinds.len();
        let mut brackets: BTreeMap<usize, Bracket<'a>> = BTreeMap::new();
        let mut next = over.iter().copied().min().unwrap_or(0) * kinds;
        let mut begin_until = |brackets: &mut BTreeMap<usize, Bracket<'a>>, last: usize| {
            while next <= last {
                if over.get(next % kinds).is_none_or(|over| next / kinds >= *over) {
                    brackets.insert(next, self.bracket(next));
                }
                next += 1;
            }
        };
        let mut place: HashMap<u64, usize> = HashMap::new();
        // A bracket of each kind that is not full; those before it are.
        let mut open: Vec<usize> = (0..kinds).map(|kind| over.get(kind).copied().unwrap_or(0) * kinds + kind).collect();
        for member in members.iter().filter(|member| member.parent.is_none()) {
            let Some(kind) = self.kind_at(member.rung) else { continue };
            begin_until(&mut brackets, open[kind]);
            let Some(bracket) = brackets.get_mut(&open[kind]) else { continue };
            bracket.rungs[0].push(member);
            place.insert(member.index, open[kind]);
            if bracket.rungs[0].len() >= bracket.kind.size {
                open[kind] += kinds;
            }
        }
        let mut children: HashMap<u64, Vec<&Member<'a>>> = HashMap::new();
        for member in members {
            if let Some(parent) = member.parent {
                children.entry(parent).or_default().push(member);
            }
        }
        let mut roots: Vec<u64> = place.keys().copied().collect();
        while let Some(parent) = roots.pop() {
            let at = place[&parent];
            for child in children.remove(&parent).into_iter().flatten() {
                let Some(bracket) = brackets.get_mut(&at) else { continue };
                if let Some(rung) = child.rung.checked_sub(bracket.kind.first) {
                    bracket.rungs[rung].push(child);
                    if place.insert(child.index, at).is_none() {
                        roots.push(child.index);
                    }
                }
            }
        }
        // One that has not begun is always there.
        let first_free = open.iter().copied().min().unwrap_or(0);
        begin_until(&mut brackets, first_free);
        brackets
    }

    /// Which kind of bracket begins at this rung.
    pub fn kind_at(&self, rung: usize) -> Option<usize> {
        self.kinds.iter().position(|kind| kind.first == rung)
    }

    /// What comes next; `full`: no further trial can begin. `left`: whether a trial may go on that has not.
    pub fn next<'a>(&self, bracket: &Bracket<'a>, full: bool, left: impl Fn(&Finished) -> bool) -> Next<'a> {
        let first = &bracket.rungs[0];
        if first.len() < bracket.kind.size && !full {
            return Next::Begin;
        }
        // A child at the first rung, made by hand, is there beside those that began the bracket.
        let begun = first.len().min(bracket.kind.size);
        for rung in 0..bracket.rungs.len() - 1 {
            if bracket.rungs[rung].iter().any(|member| member.ended.is_none()) {
                return Next::Wait;
            }
            if let Some(next) = self.good(bracket, rung, begun).into_iter().find(|ended| left(ended)) {
                return Next::Promote(next);
            }
        }
        let last = bracket.rungs.last();
        let runs = last.into_iter().flatten().any(|member| member.ended.is_none());
        if runs { Next::Wait } else { Next::Done }
    }

    /// Those of a rung that go on once all have ended.
    pub fn good<'a>(&self, bracket: &Bracket<'a>, rung: usize, begun: usize) -> Vec<&'a Finished> {
        let wanted = (begun as f64 / self.rungs.eta.powf((rung + 1) as f64) + 1e-9) as usize;
        best(bracket.rungs[rung].iter().copied(), wanted.max(1), bracket.round)
    }

    /// Those of a rung that have a result, the best first, so many at most.
    pub fn ranked<'a>(&self, bracket: &Bracket<'a>, rung: usize, most: usize) -> Vec<&'a Finished> {
        best(bracket.rungs[rung].iter().copied(), most, bracket.round)
    }
}
