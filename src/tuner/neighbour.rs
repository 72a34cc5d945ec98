//! A configuration near another one.

use crate::space::{Assignment, Domain, SearchSpace, Value};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

/// The same configuration but for one parameter that is active in it and can vary: another choice of a category, or a
/// normal step of a number, `step` times the width of its range, to another value. Parameters that become active are
/// drawn uniformly. Constraints need not hold.
///
/// `parent` must have passed [`SearchSpace::check`].
pub(super) fn mutated(space: &SearchSpace, parent: &Assignment, step: f64, rng: &mut impl Rng) -> Assignment {
    let varies = |at: &usize| {
        let parameter = &space.parameters()[*at];
        parameter.domain.levels() != Some(1) && parent.contains_key(&parameter.name)
    };
    let varying: Vec<usize> = (0..space.parameters().len()).filter(varies).collect();
    if varying.is_empty() {
        return parent.clone();
    }
    let at = varying[rng.random_range(0..varying.len())];
    let chosen = &space.parameters()[at];
    let mut given = parent.clone();
    if let Some(value) = given.remove(&chosen.name) {
        given.insert(chosen.name.clone(), moved(&chosen.domain, &value, space.encode(parent)[at], step, rng));
    }
    let point: Vec<f64> = space.parameters().iter().map(|_| rng.random()).collect();
    space.prune(space.decode_around(&given, &point))
}

/// Another value of the domain; `place` is the old one's.
fn moved(domain: &Domain, value: &Value, place: f64, step: f64, rng: &mut impl Rng) -> Value {
    if let Domain::Categorical { choices } = domain {
        let own = (place * choices.len() as f64) as u64;
        let other = rng.random_range(0..(choices.len() as u64).saturating_sub(1).max(1));
        return domain.at(if other < own { other } else { other + 1 });
    }
    let normal: f64 = StandardNormal.sample(rng);
    let mut offset = normal * step;
    // A step that is too short for the next level is doubled; one beyond an end is turned round.
    for _ in 0..64 {
        let to = if (0.0..=1.0).contains(&(place + offset)) { place + offset } else { place - offset };
        let moved = domain.at_place(to);
        if moved != *value {
            return moved;
        }
        offset *= 2.0;
    }
    value.clone()
}
