//! Successive halving in brackets: a bracket begins with a number of trials at its first rung; once all of a rung have
//! ended, the best of them go on to the next, one in `eta`.
//!
//! - SuccessiveHalving (Jamieson and Talwalkar, 2016, <https://arxiv.org/abs/1502.07943>): all brackets begin at the lowest
//!   rung.
//! - Hyperband (Li et al., 2018, <https://arxiv.org/abs/1603.06560>): brackets begin at each rung in turn, those at higher
//!   ones with fewer trials, in case the lowest rungs say little.
//! - BOHB (Falkner, Klein and Hutter, 2018, <https://arxiv.org/abs/1807.01774>): Hyperband, whose trials begin where TPE
//!   says, by the results of the highest rung that has enough of them.
//!
//! A round has one bracket of each kind. While a rung waits for its last trials, the next bracket of its round begins; the
//! next round only once all of this one have ended, unless `overlap` says otherwise: then no slot idles, but a limit of
//! trials may cut off the round that matters.

use super::searcher::{Model, Searcher};
use super::{Member, Rungs, best, members, promoted};
use crate::space::SearchSpace;
use crate::tuner::settings::{SettingError, Settings};
use crate::tuner::{NoSuggestion, Request, Stage, Suggestion, Tuner};
use std::collections::{HashMap, HashSet};

/// Successive halving.
pub(in crate::tuner) struct SuccessiveHalving;
/// Brackets of all kinds in turn.
pub(in crate::tuner) struct Hyperband;
/// Hyperband with a model.
pub(in crate::tuner) struct Bohb;

/// Most trials that a bracket may begin with.
const MOST: u64 = 100_000;

impl SuccessiveHalving {
    /// From its settings.
    pub fn make(settings: &mut Settings<'_>, _space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        let size = settings.whole("trials", 0, 0..=MOST) as usize;
        let overlap = overlap(settings);
        let searcher = Searcher::random(settings);
        let rungs = Rungs::new(settings.fidelity()?);
        let size = if size > 0 { size } else { power(rungs.eta, rungs.top()) };
        Ok(Box::new(Brackets { kinds: vec![Kind { first: 0, size }], rungs, overlap, searcher }))
    }
}

impl Hyperband {
    /// From its settings.
    pub fn make(settings: &mut Settings<'_>, _space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        let overlap = overlap(settings);
        let searcher = Searcher::random(settings);
        Ok(Box::new(Brackets::in_turn(Rungs::new(settings.fidelity()?), overlap, searcher)))
    }
}

impl Bohb {
    /// From its settings.
    pub fn make(settings: &mut Settings<'_>, _space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        let overlap = overlap(settings);
        let searcher = Searcher::with_model(settings, Model::Tpe);
        Ok(Box::new(Brackets::in_turn(Rungs::new(settings.fidelity()?), overlap, searcher)))
    }
}

/// Whether a round begins while trials of the last one run.
fn overlap(settings: &mut Settings<'_>) -> bool {
    settings.flag("overlap", false)
}

/// `base` to this power, rounded up.
fn power(base: f64, exponent: usize) -> usize {
    (base.powf(exponent as f64) - 1e-9).ceil().clamp(1.0, MOST as f64) as usize
}

/// Where a bracket begins, and with how many trials.
#[derive(Clone, Copy)]
struct Kind {
    first: usize,
    size: usize,
}

struct Brackets {
    rungs: Rungs,
    /// In turn.
    kinds: Vec<Kind>,
    overlap: bool,
    searcher: Searcher,
}

/// A bracket that has begun.
struct Bracket<'a> {
    /// How many rounds began before its own.
    round: usize,
    kind: Kind,
    /// Those at its first rung, then those at the next.
    rungs: Vec<Vec<&'a Member<'a>>>,
}

enum Next<'a> {
    Begin,
    Promote(&'a Member<'a>),
    Wait,
    Done,
}

impl Brackets {
    fn in_turn(rungs: Rungs, overlap: bool, searcher: Searcher) -> Self {
        let top = rungs.top();
        let kind = |first: usize| {
            let left = top - first;
            let size = (top + 1) as f64 / (left + 1) as f64 * rungs.eta.powf(left as f64);
            Kind { first, size: (size - 1e-9).ceil().clamp(1.0, MOST as f64) as usize }
        };
        Brackets { kinds: (0..=top).map(kind).collect(), rungs, overlap, searcher }
    }

    fn bracket<'a>(&self, number: usize) -> Bracket<'a> {
        let kind = self.kinds[number % self.kinds.len()];
        Bracket {
            round: number / self.kinds.len(),
            kind,
            rungs: (kind.first..=self.rungs.top()).map(|_| Vec::new()).collect(),
        }
    }

    /// The brackets with their members, in the order in which they begin; the last one may be empty.
    fn begun<'a>(&self, members: &'a [Member<'a>]) -> Vec<Bracket<'a>> {
        let mut brackets: Vec<Bracket<'a>> = Vec::new();
        let mut place: HashMap<u64, usize> = HashMap::new();
        // A bracket of each kind that is not full; those before it are.
        let mut open: Vec<usize> = (0..self.kinds.len()).collect();
        for member in members.iter().filter(|member| member.parent.is_none()) {
            let Some(kind) = self.kinds.iter().position(|kind| kind.first == member.rung) else { continue };
            while brackets.len() <= open[kind] {
                brackets.push(self.bracket(brackets.len()));
            }
            let bracket = &mut brackets[open[kind]];
            bracket.rungs[0].push(member);
            place.insert(member.index, open[kind]);
            if bracket.rungs[0].len() >= bracket.kind.size {
                open[kind] += self.kinds.len();
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
                let bracket = &mut brackets[at];
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
        while brackets.len() <= first_free {
            brackets.push(self.bracket(brackets.len()));
        }
        brackets
    }

    /// What comes next; `full`: no further trial can begin.
    fn next<'a>(&self, bracket: &Bracket<'a>, promoted: &HashSet<u64>, full: bool, request: &Request<'_>) -> Next<'a> {
        let first = &bracket.rungs[0];
        if first.len() < bracket.kind.size && !full {
            return Next::Begin;
        }
        let begun = if full { first.len() } else { bracket.kind.size };
        for rung in 0..bracket.rungs.len() - 1 {
            if bracket.rungs[rung].iter().any(|member| member.loss.is_none()) {
                return Next::Wait;
            }
            let good = self.good(bracket, rung, begun);
            let mut next = good.into_iter().filter(|member| !promoted.contains(&member.index));
            if let Some(member) = next.find(|member| request.space.check(member.assignment).is_ok()) {
                return Next::Promote(member);
            }
        }
        let last = bracket.rungs.last();
        let runs = last.into_iter().flatten().any(|member| member.loss.is_none());
        if runs { Next::Wait } else { Next::Done }
    }

    /// Those of a rung that go on once all have ended.
    fn good<'a>(&self, bracket: &Bracket<'a>, rung: usize, begun: usize) -> Vec<&'a Member<'a>> {
        let wanted = (begun as f64 / self.rungs.eta.powf((rung + 1) as f64) + 1e-9) as usize;
        best(bracket.rungs[rung].iter().copied(), wanted.max(1), bracket.round)
    }
}

impl Tuner for Brackets {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        let members = members(request, &self.rungs);
        let promoted = promoted(&members);
        let brackets = self.begun(&members);
        let mut none = None;
        for full in [false, true] {
            let mut unfinished = None;
            for (number, bracket) in brackets.iter().enumerate() {
                let round = number / self.kinds.len();
                match self.next(bracket, &promoted, full, request) {
                    Next::Promote(member) => return Ok(member.promoted(&self.rungs)),
                    Next::Begin if !self.overlap && unfinished.is_some_and(|unfinished| unfinished < round) => break,
                    Next::Begin => match self.searcher.begin(request, &members) {
                        Ok(assignment) => {
                            let fidelity = self.rungs.levels[bracket.kind.first];
                            return Ok(Suggestion::new(assignment).at(Stage { fidelity, parent: None }));
                        }
                        Err(why) => {
                            none = Some(why);
                            break;
                        }
                    },
                    Next::Wait => unfinished = unfinished.or(Some(round)),
                    Next::Done => {}
                }
            }
        }
        // One that runs may be promoted.
        let why = none.filter(|_| request.pending.is_empty());
        Err(why.unwrap_or(NoSuggestion::Waiting))
    }

    fn parents(&self, request: &Request<'_>) -> Vec<u64> {
        let members = members(request, &self.rungs);
        let promoted = promoted(&members);
        let mut parents = Vec::new();
        for bracket in self.begun(&members) {
            let mut filled = bracket.rungs[0].len() >= bracket.kind.size;
            for (rung, here) in bracket.rungs.iter().enumerate().take(bracket.rungs.len() - 1) {
                let whole = filled && here.iter().all(|member| member.loss.is_some());
                let may = match whole {
                    true => self.good(&bracket, rung, bracket.kind.size),
                    false => here.iter().copied().filter(|member| member.has_result()).collect(),
                };
                let left = may.iter().map(|member| member.index).filter(|index| !promoted.contains(index));
                let before = parents.len();
                parents.extend(left);
                filled = whole && parents.len() == before;
            }
        }
        parents
    }
}
