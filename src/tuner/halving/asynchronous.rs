//! Asynchronous successive halving, by promotion (Li et al., 2020, <https://arxiv.org/abs/1810.05934>).
//!
//! As soon as a trial is among the best of its rung, one in `eta` of those that have ended there, it goes on to the next;
//! while there is none, another begins. Nothing ever waits for a slow trial. With several objectives it is MO-ASHA (Schmucker et
//! al., 2021, <https://arxiv.org/abs/2106.12639>), by the latest 1,000 of each rung.

use super::Rungs;
use super::ladder::Ladder;
use super::searcher::{Model, Searcher};
use crate::space::SearchSpace;
use crate::tuner::ranking::in_turn;
use crate::tuner::settings::{SettingError, Settings};
use crate::tuner::streams::uniform_of;
use crate::tuner::{Digest, Finished, NoSuggestion, Request, Stage, Suggestion, Tuner};
use std::borrow::Cow;

/// Draws for this purpose alone.
const BRACKET: u64 = 0x6b;

/// Asynchronous successive halving.
pub(in crate::tuner) struct AsyncSuccessiveHalving {
    rungs: Rungs,
    /// How many rungs trials may begin at, the lowest.
    brackets: u64,
    searcher: Searcher,
}

impl AsyncSuccessiveHalving {
    /// From its settings.
    pub fn make(settings: &mut Settings<'_>, _space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        let model = settings.choice("searcher", ("Random", Model::Random), &[("TPE", Model::Tpe)]);
        let searcher = Searcher::with_model(settings, model);
        let brackets = settings.whole("brackets", 1, 1..=16);
        Ok(Box::new(AsyncSuccessiveHalving { rungs: Rungs::new(settings.fidelity()?), brackets, searcher }))
    }

    /// The rung where a trial begins: of those that begin one in `eta` a rung later, and of these one in `eta` one more.
    fn first(&self, request: &Request<'_>) -> usize {
        let drawn = uniform_of(request.seed, request.index, BRACKET);
        let later = (1..self.brackets).take_while(|bracket| drawn < self.rungs.eta.powf(-(*bracket as f64))).count();
        later.min(self.rungs.top())
    }

    fn ladder<'a>(&self, request: &Request<'a>) -> Cow<'a, Ladder> {
        request.history.digest(|ladder: &Ladder| ladder.is_of(&self.rungs), || Ladder::new(&self.rungs))
    }
}

impl Tuner for AsyncSuccessiveHalving {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        let ladder = self.ladder(request);
        let gone_on = ladder.left(request);
        let left = |ended: &Finished| !gone_on.contains(&ended.index) && request.space.check(&ended.assignment).is_ok();
        for (at, rung) in ladder.rungs().enumerate().rev().skip(1) {
            if let Some(next) = rung.next(request.history, self.rungs.eta, left) {
                return Ok(self.rungs.promoted(next, at));
            }
        }
        match self.searcher.begin(request, &ladder) {
            Ok(assignment) => Ok(Suggestion::new(assignment)
                .at(Stage { fidelity: self.rungs.levels[self.first(request)], parent: None })),
            // One that runs may be promoted.
            Err(_) if !request.pending.is_empty() => Err(NoSuggestion::Waiting),
            Err(none) => Err(none),
        }
    }

    fn digest(&self) -> Option<Box<dyn Digest>> {
        Some(Box::new(Ladder::new(&self.rungs)))
    }

    /// However bad it is now, worse ones may come. Of too many the best of each rung in turn, which are the next to go on.
    fn parents(&self, request: &Request<'_>, most: usize) -> Vec<u64> {
        let ladder = self.ladder(request);
        let gone_on = ladder.left(request);
        let at_most = most.saturating_add(gone_on.len());
        let open = ladder.rungs().rev().skip(1).map(|rung| rung.open(request.history, at_most));
        in_turn(open.map(|rung| rung.filter(|index| !gone_on.contains(index))).collect(), most)
    }
}
