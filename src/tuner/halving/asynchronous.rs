//! Asynchronous successive halving, by promotion (Li et al., 2020, <https://arxiv.org/abs/1810.05934>).
//!
//! As soon as a trial is among the best of its rung, one in `eta` of those that have ended there, it goes on to the next;
//! while there is none, another begins. Nothing ever waits for a slow trial. With several objectives it is MO-ASHA (Schmucker et
//! al., 2021, <https://arxiv.org/abs/2106.12639>).

use super::searcher::{Model, Searcher};
use super::{Rungs, best, members, promoted};
use crate::space::SearchSpace;
use crate::tuner::settings::{SettingError, Settings};
use crate::tuner::{NoSuggestion, Request, Stage, Suggestion, Tuner};

/// Asynchronous successive halving.
pub(in crate::tuner) struct AsyncSuccessiveHalving {
    rungs: Rungs,
    searcher: Searcher,
}

impl AsyncSuccessiveHalving {
    /// From its settings.
    pub fn make(settings: &mut Settings<'_>, _space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        let model = settings.choice("searcher", ("Random", Model::Random), &[("TPE", Model::Tpe)]);
        let searcher = Searcher::with_model(settings, model);
        Ok(Box::new(AsyncSuccessiveHalving { rungs: Rungs::new(settings.fidelity()?), searcher }))
    }
}

impl Tuner for AsyncSuccessiveHalving {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        let members = members(request, &self.rungs);
        let promoted = promoted(&members);
        for rung in (0..self.rungs.top()).rev() {
            let ended = || members.iter().filter(|m| m.rung == rung && m.loss.is_some());
            let good = best(ended(), (ended().count() as f64 / self.rungs.eta) as usize, 0);
            let mut next = good.into_iter().filter(|member| !promoted.contains(&member.index));
            if let Some(member) = next.find(|member| request.space.check(member.assignment).is_ok()) {
                return Ok(member.promoted(&self.rungs));
            }
        }
        match self.searcher.begin(request, &members) {
            Ok(assignment) => {
                Ok(Suggestion::new(assignment).at(Stage { fidelity: self.rungs.levels[0], parent: None }))
            }
            // One that runs may be promoted.
            Err(_) if !request.pending.is_empty() => Err(NoSuggestion::Waiting),
            Err(none) => Err(none),
        }
    }

    /// However bad it is now, worse ones may come.
    fn parents(&self, request: &Request<'_>) -> Vec<u64> {
        let members = members(request, &self.rungs);
        let promoted = promoted(&members);
        let may =
            members.iter().filter(|m| m.rung < self.rungs.top() && m.has_result() && !promoted.contains(&m.index));
        may.map(|member| member.index).collect()
    }
}
