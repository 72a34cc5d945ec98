//! The next assignments: given points first, then the tuner.

use super::compile::Compiled;
use super::ledger::{Ledger, order};
use super::membership::joins;
use crate::space::Assignment;
use crate::tuner::{NoSuggestion, Request};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why there is no next assignment.
#[derive(Debug)]
pub(super) enum Stop {
    /// The tuner has none.
    None(NoSuggestion),
    /// The tuner panicked or broke its contract: a bug of ours.
    Broken(String),
}

/// Up to `count` assignments for the indices from `first` on. Each is pending for those after it.
pub(super) fn assignments(
    compiled: &Compiled,
    ledger: &Ledger,
    seed: u64,
    first: u32,
    count: usize,
) -> (Vec<(u32, Assignment)>, Option<Stop>) {
    let Some(history) = ledger.history() else { return (Vec::new(), None) };
    let running = ledger.active().filter(|trial| joins(trial));
    let mut active: Vec<_> = running.map(|trial| (order(trial), trial.spec.assignments.clone())).collect();
    active.sort_by_key(|(order, _)| *order);
    let mut pending: Vec<Assignment> = active.into_iter().map(|(_, assignment)| assignment).collect();
    let mut made = Vec::new();
    for index in (0..count).map_while(|at| first.checked_add(u32::try_from(at).ok()?)) {
        let given = compiled.initial.get(index as usize).and_then(|given| complete(compiled, given, seed, index));
        let assignment = match given {
            Some(assignment) => assignment,
            None => {
                let request =
                    Request { space: &compiled.space, history, pending: &pending, seed, index: u64::from(index) };
                match catch_unwind(AssertUnwindSafe(|| compiled.tuner.suggest(&request))) {
                    Ok(Ok(assignment)) => assignment,
                    Ok(Err(none)) => return (made, Some(Stop::None(none))),
                    Err(panic) => return (made, Some(Stop::Broken(said(&*panic)))),
                }
            }
        };
        pending.push(assignment.clone());
        made.push((index, assignment));
    }
    (made, None)
}

/// A given point with the parameters that it leaves open drawn at random; `None` when the constraints leave no room.
fn complete(compiled: &Compiled, given: &Assignment, seed: u64, index: u32) -> Option<Assignment> {
    const TRIES: usize = 200;
    // A stream of its own, so that adding given points does not move the tuner's draws.
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::MAX - u64::from(index));
    (0..TRIES).find_map(|_| {
        let mut assignment = compiled.space.sample(&mut rng).ok()?;
        assignment.extend(given.iter().map(|(name, value)| (name.clone(), value.clone())));
        compiled.space.check(&compiled.space.prune(assignment)).ok()
    })
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}
