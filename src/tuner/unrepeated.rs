//! No configuration of a finite space is tried twice, and none that violates a constraint.

use super::{NoSuggestion, Request, Suggestion};
use crate::space::{Assignment, Key, Unsatisfiable};
use std::collections::HashSet;

/// Draws that satisfy the constraints, before the untried configurations are looked for one by one.
const REPEATS: u32 = 64;
/// Draws whether they satisfy the constraints or not.
const DRAWS: u64 = 10_000;

/// Tells whether a configuration has been tried or is being tried.
pub(super) struct Tried<'a> {
    request: &'a Request<'a>,
    /// Those that are being tried and have not been tried before.
    pending: HashSet<Key>,
}

impl<'a> Tried<'a> {
    pub fn new(request: &'a Request<'a>) -> Self {
        let inside = request.pending.iter().filter_map(|pending| request.space.check(&pending.assignment).ok());
        let keys = inside.map(|assignment| request.space.key(&assignment));
        let pending = keys.filter(|key| !request.history.contains(*key)).collect();
        Tried { request, pending }
    }

    pub fn contains(&self, assignment: &Assignment) -> bool {
        let key = self.request.space.key(assignment);
        self.pending.contains(&key) || self.request.history.contains(key)
    }

    /// Whether so many different configurations are tried as there are.
    pub fn all(&self, cardinality: u128) -> bool {
        (self.pending.len() + self.request.history.distinct()) as u128 >= cardinality
    }
}

/// What `draw` gives, drawn again while it violates a constraint or has been tried; in a finite space at last any untried
/// configuration, searched from `start` (from 0 to 1 of all) on.
pub(super) fn unrepeated(
    request: &Request<'_>,
    allow_repeats: bool,
    start: f64,
    mut draw: impl FnMut() -> Assignment,
) -> Result<Suggestion, NoSuggestion> {
    let space = request.space;
    let tried = (!allow_repeats && space.cardinality().is_some()).then(|| Tried::new(request));
    let free = |assignment: &Assignment| tried.as_ref().is_none_or(|tried| !tried.contains(assignment));
    let draws = space.effort().min(DRAWS);
    let mut repeats = 0;
    for _ in 0..draws {
        let assignment = draw();
        if !space.satisfies(&assignment) {
            continue;
        }
        if free(&assignment) {
            return Ok(Suggestion::new(assignment));
        }
        repeats += 1;
        if repeats == REPEATS {
            break;
        }
    }
    let Some(cardinality) = space.cardinality() else { return Err(Unsatisfiable::NotFound(draws).into()) };
    let offset = |count: u128| ((start.clamp(0.0, 1.0) * count as f64) as u128).min(count - 1);
    let effort = u128::from(space.effort());
    match space.valid_count() {
        Some(0) => Err(space.never().into()),
        Some(count) => {
            let steps = count.min(effort);
            let used_up = count == cardinality && tried.as_ref().is_some_and(|tried| tried.all(count));
            let mut configurations =
                (0..steps).filter_map(|step| space.valid_configuration((offset(count) + step) % count));
            match (!used_up).then(|| configurations.find(free)).flatten() {
                Some(assignment) => Ok(Suggestion::new(assignment)),
                None if used_up || steps == count => Err(NoSuggestion::Exhausted),
                None => Err(NoSuggestion::NotFound(space.effort())),
            }
        }
        None => {
            let start = offset(cardinality);
            let configurations =
                (0..effort.min(cardinality)).filter_map(|step| space.configuration((start + step) % cardinality));
            let found = configurations.filter(|assignment| space.satisfies(assignment)).find(free);
            found.map(Suggestion::new).ok_or(match repeats {
                0 => Unsatisfiable::NotFound(draws + space.effort()).into(),
                _ => NoSuggestion::NotFound(space.effort()),
            })
        }
    }
}
