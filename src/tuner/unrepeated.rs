//! No configuration of a finite space is tried twice.

use super::{NoSuggestion, Request};
use crate::space::{Assignment, Key};
use std::collections::HashSet;

/// Draws before the untried configurations are looked for one by one.
const DRAWS: usize = 64;
/// A space with more configurations is not looked through; a repetition by chance is then unlikely.
const MAX_SCAN: u128 = 1 << 20;

/// Tells whether a configuration has been tried or is being tried.
pub(super) struct Tried<'a> {
    request: &'a Request<'a>,
    pending: HashSet<Key>,
}

impl<'a> Tried<'a> {
    pub fn new(request: &'a Request<'a>) -> Self {
        let pending = request.pending.iter().map(|assignment| request.space.key(assignment)).collect();
        Tried { request, pending }
    }

    pub fn contains(&self, assignment: &Assignment) -> bool {
        let key = self.request.space.key(assignment);
        self.pending.contains(&key) || self.request.history.contains(key)
    }
}

/// What `draw` gives, drawn again while it has been tried; in a finite space at last any untried configuration, searched
/// from `start` (from 0 to 1 of all ranks) on.
pub(super) fn unrepeated(
    request: &Request<'_>,
    allow_repeats: bool,
    start: f64,
    mut draw: impl FnMut() -> Result<Assignment, NoSuggestion>,
) -> Result<Assignment, NoSuggestion> {
    let first = draw()?;
    if allow_repeats {
        return Ok(first);
    }
    let Some(cardinality) = request.space.cardinality() else { return Ok(first) };
    let tried = Tried::new(request);
    if !tried.contains(&first) {
        return Ok(first);
    }
    for _ in 0..DRAWS {
        let next = draw()?;
        if !tried.contains(&next) {
            return Ok(next);
        }
    }
    if cardinality > MAX_SCAN {
        return Ok(first);
    }
    let offset = (start.clamp(0.0, 1.0) * cardinality as f64) as u128;
    (0..cardinality)
        .filter_map(|step| request.space.configuration((offset + step) % cardinality))
        .find(|assignment| request.space.satisfies(assignment) && !tried.contains(assignment))
        .ok_or(NoSuggestion::Exhausted)
}
