//! The next trials: given points first, then the tuner.

use super::caught::caught;
use super::compile::Compiled;
use super::ledger::{Ledger, order};
use super::membership::joins;
use super::stage::stage_of;
use crate::api::Trial;
use crate::tuner::{NoSuggestion, Pending, Request, Suggestion};

/// Why there is no next trial.
#[derive(Debug)]
pub(super) enum Stop {
    /// The tuner has none.
    None(NoSuggestion),
    /// The tuner panicked or broke its contract: a bug of ours.
    Broken(String),
}

impl Stop {
    /// There will be none, whatever the trials that run give.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Stop::None(none) if *none != NoSuggestion::Waiting)
    }
}

/// How the trial of this index will be chosen, where the tuner has something to say about it.
pub(super) fn note(compiled: &Compiled, ledger: &Ledger, seed: u64, index: u32) -> Option<String> {
    if compiled.initial.get(index as usize).is_some() {
        return None;
    }
    let (space, history) = (&compiled.space, ledger.history()?);
    let request = Request { space, history, pending: &[], seed, index: u64::from(index) };
    caught(|| compiled.tuner.note(&request)).ok().flatten()
}

/// The trials that have not ended, as the tuner is told of them.
pub(super) fn pending(compiled: &Compiled, ledger: &Ledger) -> Vec<Pending> {
    let most = compiled.resource.as_ref().map(|resource| resource.fidelity.max);
    let running = ledger.active().filter(|trial| joins(trial));
    let of = |trial: &Trial| Pending::new(order(trial), trial.spec.assignments.clone()).at(stage_of(trial, most));
    running.map(|trial| of(trial)).collect()
}

/// Up to `count` trials for the indices from `first` on. Each is pending for those after it.
pub(super) fn suggestions(
    compiled: &Compiled,
    ledger: &Ledger,
    seed: u64,
    first: u32,
    count: usize,
) -> (Vec<(u32, Suggestion)>, Option<Stop>) {
    let made = beside_each_other(compiled, ledger, seed, first, count);
    // The next ones have another history.
    compiled.tuner.forget();
    made
}

fn beside_each_other(
    compiled: &Compiled,
    ledger: &Ledger,
    seed: u64,
    first: u32,
    count: usize,
) -> (Vec<(u32, Suggestion)>, Option<Stop>) {
    let Some(history) = ledger.history() else { return (Vec::new(), None) };
    let mut pending = pending(compiled, ledger);
    let mut made = Vec::new();
    for index in (0..count).map_while(|at| first.checked_add(u32::try_from(at).ok()?)) {
        let request = Request { space: &compiled.space, history, pending: &pending, seed, index: u64::from(index) };
        let ask = || caught(|| compiled.tuner.suggest(&request));
        let (assignment, stage) = match compiled.initial.get(index as usize) {
            Some(given) => {
                let said = || ask().ok().and_then(Result::ok).map(|suggestion| suggestion.stage);
                let resource = compiled.resource.as_ref();
                (given.clone(), resource.map(|resource| resource.fidelity.first_stage(said())))
            }
            None => match ask() {
                Ok(Ok(suggestion)) => (suggestion.assignment, compiled.stage(suggestion.stage)),
                Ok(Err(NoSuggestion::Waiting)) if pending.is_empty() => {
                    return (made, Some(Stop::Broken("it waits for trials that run, and none does".into())));
                }
                Ok(Err(none)) => return (made, Some(Stop::None(none))),
                Err(panic) => return (made, Some(Stop::Broken(panic))),
            },
        };
        pending.push(Pending::new(u64::from(index), assignment.clone()).at(stage));
        made.push((index, Suggestion { assignment, stage }));
    }
    (made, None)
}
