//! Where the trials of multi-fidelity searches begin.

use super::Member;
use crate::space::Assignment;
use crate::tuner::random::uniform;
use crate::tuner::settings::Settings;
use crate::tuner::streams::uniform_of;
use crate::tuner::tpe::Tpe;
use crate::tuner::unrepeated::unrepeated;
use crate::tuner::{Finished, History, NoSuggestion, Outcome, Pending, Request, Suggestion, Tuner, generator};
use rand::RngExt;
use std::collections::HashSet;

/// Draws for this purpose alone.
const SHARE: u64 = 0x6a;
/// Only so many results of a rung are modelled, the latest.
const MODELLED: usize = 1000;

/// What chooses.
#[derive(Clone, Copy)]
pub(super) enum Model {
    Random,
    Tpe,
}

/// Chooses where a trial begins.
pub(super) struct Searcher {
    allow_repeats: bool,
    /// With the share of trials that begin at random all the same.
    model: Option<(Tpe, f64)>,
}

impl Searcher {
    /// Without a model, from its settings.
    pub fn random(settings: &mut Settings<'_>) -> Self {
        Searcher { allow_repeats: settings.allow_repeats(), model: None }
    }

    /// With this model, from its settings.
    pub fn with_model(settings: &mut Settings<'_>, model: Model) -> Self {
        let allow_repeats = settings.allow_repeats();
        let share = settings.real("randomShare", 0.33, 0.0..=1.0);
        let model = match model {
            Model::Random => None,
            Model::Tpe => Some((Tpe::new(allow_repeats, 0), share)),
        };
        Searcher { allow_repeats, model }
    }

    /// A configuration that has not been tried at any rung.
    pub fn begin(&self, request: &Request<'_>, members: &[Member<'_>]) -> Result<Assignment, NoSuggestion> {
        if let Some((tpe, share)) = &self.model
            && uniform_of(request.seed, request.index, SHARE) >= *share
            && let Some(found) = self.modelled(tpe, request, members)
        {
            return Ok(found);
        }
        let mut rng = generator(request);
        let start = rng.random();
        let begun = unrepeated(request, self.allow_repeats, start, || uniform(request.space, &mut rng))?;
        Ok(begun.assignment)
    }

    /// By the results of the highest rung that has enough of them: one more than there are parameters.
    fn modelled(&self, tpe: &Tpe, request: &Request<'_>, members: &[Member<'_>]) -> Option<Assignment> {
        let space = request.space;
        let top = members.iter().map(|member| member.rung).max()?;
        let results = |rung: usize| members.iter().rev().filter(move |m| m.rung == rung && m.has_result());
        let rung = (0..=top).rev().find(|rung| results(*rung).count() > space.parameters().len())?;
        let mut history = History::new(space).with_objectives(request.history.objectives());
        for ended in results(rung).take(MODELLED).filter_map(|member| member.ended) {
            // Compared with each other, they are as good as whole.
            let outcome = Outcome::Complete { losses: ended.outcome.losses().to_vec() };
            let known = Finished::new(ended.index, ended.assignment.clone(), outcome);
            history.insert(known.constrained(ended.excesses.clone()));
        }
        let mut pending = request.pending.to_vec();
        if !self.allow_repeats && space.cardinality().is_some() {
            // Those of other rungs are not to be tried again; most of them were no good.
            let mut seen: HashSet<_> = HashSet::new();
            let others = members.iter().filter_map(|m| space.check(m.assignment).ok().map(|known| (m.index, known)));
            let others = others.filter(|(_, known)| {
                let key = space.key(known);
                !history.contains(key) && seen.insert(key)
            });
            pending.extend(others.map(|(index, known)| Pending::new(index, known)));
        }
        let asked = Request { history: &history, pending: &pending, ..*request };
        tpe.suggest(&asked).ok().map(|Suggestion { assignment, .. }| assignment)
    }
}
