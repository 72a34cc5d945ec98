//! Where the trials of multi-fidelity searches begin.

use super::ladder::Ladder;
use crate::space::Assignment;
use crate::tuner::random::uniform;
use crate::tuner::settings::Settings;
use crate::tuner::streams::uniform_of;
use crate::tuner::tpe::Tpe;
use crate::tuner::unrepeated::unrepeated;
use crate::tuner::{Finished, History, NoSuggestion, Outcome, Request, Suggestion, generator};
use rand::RngExt;

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
    pub fn begin(&self, request: &Request<'_>, ladder: &Ladder) -> Result<Assignment, NoSuggestion> {
        if let Some((tpe, share)) = &self.model
            && uniform_of(request.seed, request.index, SHARE) >= *share
            && let Some(found) = modelled(tpe, request, ladder)
        {
            return Ok(found);
        }
        let mut rng = generator(request);
        let start = rng.random();
        let begun = unrepeated(request, self.allow_repeats, start, || uniform(request.space, &mut rng))?;
        Ok(begun.assignment)
    }
}

/// By the results of the highest rung that has enough of them: one more than there are parameters.
fn modelled(tpe: &Tpe, request: &Request<'_>, ladder: &Ladder) -> Option<Assignment> {
    let space = request.space;
    let rung = ladder.rungs().rev().find(|rung| rung.results.len() > space.parameters().len())?;
    let mut history = History::new(space).with_objectives(request.history.objectives());
    for ended in rung.latest(request.history, MODELLED) {
        // Compared with each other, they are as good as whole.
        let outcome = Outcome::Complete { losses: ended.outcome.losses().to_vec() };
        let known = Finished::new(ended.index, ended.assignment.clone(), outcome);
        history.insert(known.constrained(ended.excesses.clone()));
    }
    let by_these = Request { history: &history, ..*request };
    tpe.by_these(&by_these, request).ok().map(|Suggestion { assignment, .. }| assignment)
}
