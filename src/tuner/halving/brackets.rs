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

use super::Rungs;
use super::rounds::Rounds;
use super::searcher::{Model, Searcher};
use super::shape::{Kind, Next, Shape, promoted};
use crate::space::SearchSpace;
use crate::tuner::ranking::in_turn;
use crate::tuner::settings::{SettingError, Settings};
use crate::tuner::{Digest, Finished, NoSuggestion, Request, Stage, Suggestion, Tuner};
use std::borrow::Cow;

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
        Ok(Box::new(Brackets { shape: Shape { kinds: vec![Kind { first: 0, size }], rungs }, overlap, searcher }))
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

struct Brackets {
    shape: Shape,
    overlap: bool,
    searcher: Searcher,
}

impl Brackets {
    fn in_turn(rungs: Rungs, overlap: bool, searcher: Searcher) -> Self {
        let top = rungs.top();
        let kind = |first: usize| {
            let left = top - first;
            let size = (top + 1) as f64 / (left + 1) as f64 * rungs.eta.powf(left as f64);
            Kind { first, size: (size - 1e-9).ceil().clamp(1.0, MOST as f64) as usize }
        };
        Brackets { shape: Shape { kinds: (0..=top).map(kind).collect(), rungs }, overlap, searcher }
    }

    fn rounds<'a>(&self, request: &Request<'a>) -> Cow<'a, Rounds> {
        request.history.digest(|rounds: &Rounds| rounds.is_of(&self.shape), || Rounds::new(&self.shape))
    }
}

impl Tuner for Brackets {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        let rounds = self.rounds(request);
        let (over, members) = rounds.unfinished(request);
        let promoted = promoted(&members);
        let left = |one: &Finished| !promoted.contains(&one.index) && request.space.check(&one.assignment).is_ok();
        let brackets = self.shape.begun(&members, &over);
        let mut none = None;
        for full in [false, true] {
            let mut unfinished = None;
            for bracket in brackets.values() {
                match self.shape.next(bracket, full, left) {
                    Next::Promote(ended) => {
                        let rung = self.shape.rungs.of(ended.stage).unwrap_or_default();
                        return Ok(self.shape.rungs.promoted(ended, rung));
                    }
                    Next::Begin if !self.overlap && unfinished.is_some_and(|unfinished| unfinished < bracket.round) => {
                        break;
                    }
                    Next::Begin => match self.searcher.begin(request, &rounds.ladder) {
                        Ok(assignment) => {
                            let fidelity = self.shape.rungs.levels[bracket.kind.first];
                            return Ok(Suggestion::new(assignment).at(Stage { fidelity, parent: None }));
                        }
                        Err(why) => {
                            none = Some(why);
                            break;
                        }
                    },
                    Next::Wait => unfinished = unfinished.or(Some(bracket.round)),
                    Next::Done => {}
                }
            }
        }
        // One that runs may be promoted.
        let why = none.filter(|_| request.pending.is_empty());
        Err(why.unwrap_or(NoSuggestion::Waiting))
    }

    fn digest(&self) -> Option<Box<dyn Digest>> {
        Some(Box::new(Rounds::new(&self.shape)))
    }

    /// Of too many those that surely go on, then the best of each rung in turn.
    fn parents(&self, request: &Request<'_>, most: usize) -> Vec<u64> {
        let rounds = self.rounds(request);
        let (over, members) = rounds.unfinished(request);
        let promoted = promoted(&members);
        let (mut sure, mut others) = (Vec::new(), Vec::new());
        for bracket in self.shape.begun(&members, &over).into_values() {
            let mut filled = bracket.rungs[0].len() >= bracket.kind.size;
            for (rung, here) in bracket.rungs.iter().enumerate().take(bracket.rungs.len() - 1) {
                let whole = filled && here.iter().all(|member| member.ended.is_some());
                let may = match whole {
                    true => self.shape.good(&bracket, rung, bracket.kind.size),
                    false => self.shape.ranked(&bracket, rung, most.saturating_add(promoted.len())),
                };
                let mut may: Vec<u64> = may.iter().map(|one| one.index).collect();
                may.retain(|index| !promoted.contains(index));
                filled = whole && may.is_empty();
                if whole { sure.extend(may) } else { others.push(may.into_iter()) }
            }
        }
        sure.extend(in_turn(others, most));
        sure.truncate(most);
        sure
    }
}
