//! Which brackets are over, kept trial by trial, so that only the others are looked at.

use super::ladder::Ladder;
use super::shape::{Member, Next, Shape, promoted};
use crate::tuner::history::{Digest, Ended, rank};
use crate::tuner::{Finished, Request};

/// See the module.
#[derive(Clone)]
pub(super) struct Rounds {
    shape: Shape,
    pub ladder: Ladder,
    /// Of each kind: the trials that have ended and that began a bracket, by index.
    roots: Vec<Vec<u64>>,
    /// Of each kind: so many brackets are over, the first. It may be more of them: what is left is looked at.
    over: Vec<usize>,
}

/// The trial that began a bracket: which kind of bracket, and which one of its roots.
type Root = (usize, usize);

impl Rounds {
    /// Nobody has ended yet.
    pub fn new(shape: &Shape) -> Self {
        Rounds {
            ladder: Ladder::new(&shape.rungs),
            roots: shape.kinds.iter().map(|_| Vec::new()).collect(),
            over: vec![0; shape.kinds.len()],
            shape: shape.clone(),
        }
    }

    /// Whether it has these brackets.
    pub fn is_of(&self, shape: &Shape) -> bool {
        self.shape == *shape
    }

    /// How many brackets of each kind are over, whatever those that run do; and the members of all others, by index.
    pub fn unfinished<'a>(&self, request: &Request<'a>) -> (Vec<usize>, Vec<Member<'a>>) {
        let mut over = self.over.clone();
        for pending in request.pending {
            let Some(rung) = self.shape.rungs.of(pending.stage) else { continue };
            let root = match pending.stage.and_then(|stage| stage.parent) {
                None => {
                    let kind = self.shape.kind_at(rung);
                    kind.map(|kind| (kind, self.roots[kind].partition_point(|root| *root < pending.index)))
                }
                // One whose parent runs is there for that one's sake.
                Some(parent) => self.root_of(parent, |index| request.history.get(index)),
            };
            if let Some((kind, place)) = root {
                over[kind] = over[kind].min(place / self.shape.kinds[kind].size);
            }
        }
        let roots = self.roots.iter().zip(&over).zip(&self.shape.kinds);
        let roots = roots.flat_map(|((roots, over), kind)| roots.get(over * kind.size..).unwrap_or_default());
        let family = self.family(roots.copied());
        let ended = family.iter().filter_map(|index| request.history.get(*index));
        let members = self.shape.members(ended, request.pending);
        (over, members)
    }

    /// These and all that go on from them.
    fn family(&self, roots: impl Iterator<Item = u64>) -> Vec<u64> {
        let mut family: Vec<u64> = roots.collect();
        let mut looked_at = 0;
        while let Some(parent) = family.get(looked_at).copied() {
            family.extend(self.ladder.children(parent));
            looked_at += 1;
        }
        family
    }

    /// Who began the bracket of a trial that has ended.
    fn root_of<'a>(&self, mut index: u64, ended: impl Fn(u64) -> Option<&'a Finished>) -> Option<Root> {
        // Whoever names parents by hand may close a circle.
        for _ in 0..=self.ladder.rungs().len().max(1000) {
            let stage = ended(index)?.stage;
            let rung = self.shape.rungs.of(stage)?;
            match stage.and_then(|stage| stage.parent) {
                Some(parent) => index = parent,
                None => {
                    let kind = self.shape.kind_at(rung)?;
                    return self.roots[kind].binary_search(&index).ok().map(|place| (kind, place));
                }
            }
        }
        None
    }

    /// A bracket with this root has changed.
    fn look_again(&mut self, root: Option<Root>) {
        if let Some((kind, place)) = root {
            self.over[kind] = self.over[kind].min(place / self.shape.kinds[kind].size);
        }
    }

    /// Counts the brackets of this kind that are over by now.
    fn count(&mut self, kind: usize, ended: &Ended) {
        while self.is_over(kind, self.over[kind], ended) {
            self.over[kind] += 1;
        }
    }

    fn is_over(&self, kind: usize, number: usize, ended: &Ended) -> bool {
        let size = self.shape.kinds[kind].size;
        let Some(roots) = self.roots[kind].get(number * size..(number + 1) * size) else { return false };
        let family = self.family(roots.iter().copied());
        let members = self.shape.members(family.iter().filter_map(|index| ended.get(index)), &[]);
        let gone_on = promoted(&members);
        let brackets = self.shape.begun(&members, &[]);
        let left = |one: &Finished| !gone_on.contains(&one.index);
        brackets.get(&kind).is_some_and(|bracket| matches!(self.shape.next(bracket, false, left), Next::Done))
    }

    /// The root of this trial, which need not be among those that have ended.
    fn root(&self, finished: &Finished, ended: &Ended) -> Option<Root> {
        match finished.stage.and_then(|stage| stage.parent) {
            Some(parent) => self.root_of(parent, |index| ended.get(&index)),
            None => {
                let kind = self.shape.kind_at(self.shape.rungs.of(finished.stage)?)?;
                Some((kind, self.roots[kind].partition_point(|root| *root < finished.index)))
            }
        }
    }
}

impl Digest for Rounds {
    fn insert(&mut self, finished: &Finished, ended: &Ended) {
        self.ladder.insert(finished, ended);
        let Some(rung) = self.shape.rungs.of(finished.stage) else { return };
        let root = self.root(finished, ended);
        if let (Some((kind, place)), None) = (root, finished.stage.and_then(|stage| stage.parent)) {
            self.roots[kind].insert(place, finished.index);
        }
        self.look_again(root);
        // The last one of a bracket is at the highest rung, or of no use.
        if let Some((kind, _)) = root.filter(|_| rung == self.shape.rungs.top() || rank(finished).is_none()) {
            self.count(kind, ended);
        }
    }

    fn remove(&mut self, finished: &Finished, ended: &Ended) {
        self.ladder.remove(finished, ended);
        if self.shape.rungs.of(finished.stage).is_none() {
            return;
        }
        let root = self.root(finished, ended);
        if let (Some((kind, place)), None) = (root, finished.stage.and_then(|stage| stage.parent))
            && self.roots[kind].get(place) == Some(&finished.index)
        {
            self.roots[kind].remove(place);
        }
        self.look_again(root);
    }
}
