//! Which results are better where there are several losses or outcome constraints: constrained domination, non-dominated
//! sorting and crowding (Deb et al., 2002, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II",
//! <https://doi.org/10.1109/4235.996017>).

use super::hypervolume::{greedy, reference};
use super::{Finished, History};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Whether these losses are nowhere worse than those, and somewhere better.
pub(super) fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a <= b) && a.iter().zip(b).any(|(a, b)| a < b)
}

/// Whether a result is better than another: it violates the constraints less, or neither does and its losses dominate.
fn better(a: &Finished, b: &Finished) -> bool {
    match a.violation().total_cmp(&b.violation()) {
        Ordering::Less => true,
        Ordering::Greater => false,
        Ordering::Equal => dominates(a.outcome.losses(), b.outcome.losses()),
    }
}

/// Results worth learning from, at most three times so many: of the front, of the first by [`History::ranked`], and of the
/// latest. In the order of their indices. What it takes does not grow with the history.
pub(super) fn pool(history: &History, most: usize) -> Vec<&Finished> {
    let latest = history.iter().rev().take(4 * most).filter(|finished| finished.outcome.loss().is_finite()).take(most);
    let chosen = history.front().rev().take(most).chain(history.ranked().take(most)).chain(latest);
    let chosen: BTreeMap<u64, &Finished> = chosen.map(|finished| (finished.index, finished)).collect();
    chosen.into_values().collect()
}

/// Positions of results, front by front: none of a front is better than another of it, and each is worse than some of the
/// front before.
pub(super) fn fronts(results: &[&Finished]) -> Vec<Vec<usize>> {
    let mut above = vec![0_usize; results.len()];
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); results.len()];
    for (at, a) in results.iter().enumerate() {
        for (other, b) in results.iter().enumerate().take(at) {
            let (upper, lower) = match (better(a, b), better(b, a)) {
                (true, _) => (at, other),
                (_, true) => (other, at),
                _ => continue,
            };
            if let (Some(count), Some(list)) = (above.get_mut(lower), below.get_mut(upper)) {
                *count += 1;
                list.push(lower);
            }
        }
    }
    let mut fronts = Vec::new();
    let mut front: Vec<usize> = (0..results.len()).filter(|at| above.get(*at) == Some(&0)).collect();
    while !front.is_empty() {
        let mut next = Vec::new();
        for lower in front.iter().filter_map(|at| below.get(*at)).flatten() {
            let Some(count) = above.get_mut(*lower) else { continue };
            *count -= 1;
            if *count == 0 {
                next.push(*lower);
            }
        }
        next.sort_unstable();
        fronts.push(std::mem::replace(&mut front, next));
    }
    fronts
}

/// How far apart the neighbours of each result are, loss by loss, in widths of the front; those at an end are infinitely
/// lonely. In the order given.
fn crowding(losses: &[&[f64]]) -> Vec<f64> {
    let mut distances = vec![0.0_f64; losses.len()];
    for loss in 0..losses.first().map_or(0, |losses| losses.len()) {
        let value = |at: &usize| losses.get(*at).and_then(|losses| losses.get(loss)).copied().unwrap_or_default();
        let mut order: Vec<usize> = (0..losses.len()).collect();
        order.sort_by(|a, b| value(a).total_cmp(&value(b)));
        let (Some(first), Some(last)) = (order.first().map(value), order.last().map(value)) else { continue };
        for (nth, at) in order.iter().enumerate() {
            let neighbours = nth.checked_sub(1).and_then(|before| order.get(before)).zip(order.get(nth + 1));
            // Halved first, so that no difference overflows.
            let gap = neighbours.map_or(f64::INFINITY, |(before, after)| {
                let width = last / 2.0 - first / 2.0;
                if width > 0.0 { (value(after) / 2.0 - value(before) / 2.0) / width } else { 0.0 }
            });
            if let Some(distance) = distances.get_mut(*at) {
                *distance += gap;
            }
        }
    }
    distances
}

/// Positions of results, the best first: front by front, and the lonelier ones of a front first.
pub(super) fn order(results: &[&Finished]) -> Vec<usize> {
    let sorted = |front: Vec<usize>| {
        let losses: Vec<&[f64]> =
            front.iter().filter_map(|at| results.get(*at)).map(|finished| finished.outcome.losses()).collect();
        let mut lonely: Vec<(f64, usize)> = crowding(&losses).into_iter().zip(front).collect();
        lonely.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        lonely.into_iter().map(|(_, at)| at)
    };
    fronts(results).into_iter().flat_map(sorted).collect()
}

/// The `count` best of these results: front by front, and of the front that is too large those that together dominate most,
/// as MOTPE splits (Ozaki et al., 2022, <https://doi.org/10.1613/jair.1.13188>).
pub(super) fn best<'a>(results: &[&'a Finished], count: usize) -> Vec<&'a Finished> {
    let mut chosen: Vec<&Finished> = Vec::new();
    for front in fronts(results) {
        let members: Vec<&Finished> = front.iter().filter_map(|at| results.get(*at).copied()).collect();
        let wanted = count.saturating_sub(chosen.len());
        if members.len() <= wanted {
            chosen.extend(members);
            continue;
        }
        chosen.extend(spread(&members, wanted));
        break;
    }
    chosen
}

/// So many members of a front that together dominate most.
pub(super) fn spread<'a>(front: &[&'a Finished], count: usize) -> Vec<&'a Finished> {
    let losses: Vec<Vec<f64>> = scaled(front);
    greedy(&losses, &reference(&losses), count).into_iter().filter_map(|at| front.get(at).copied()).collect()
}

/// Losses from 0 to 1 each, so that no volume overflows.
fn scaled(results: &[&Finished]) -> Vec<Vec<f64>> {
    let mut losses: Vec<Vec<f64>> = results.iter().map(|finished| finished.outcome.losses().to_vec()).collect();
    for loss in 0..losses.first().map_or(0, Vec::len) {
        let values = || losses.iter().filter_map(|losses| losses.get(loss).map(|value| value / 2.0));
        let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        let width = high - low;
        for value in losses.iter_mut().filter_map(|losses| losses.get_mut(loss)) {
            *value = if width > 0.0 { (*value / 2.0 - low) / width } else { 0.0 };
        }
    }
    losses
}

/// Results of which none dominates another, kept up to date result by result.
#[derive(Default)]
pub(super) struct Front {
    members: BTreeMap<u64, Vec<f64>>,
}

impl Front {
    /// Takes a result in, and those out that it dominates. As many steps as the front has members.
    pub fn insert(&mut self, index: u64, losses: &[f64]) {
        if self.members.values().any(|other| dominates(other, losses)) {
            return;
        }
        self.members.retain(|_, other| !dominates(losses, other));
        self.members.insert(index, losses.to_vec());
    }

    /// Takes a result out; whether it was a member. Others may be dominated no longer then.
    pub fn remove(&mut self, index: u64) -> bool {
        self.members.remove(&index).is_some()
    }

    /// In the order of their indices.
    pub fn indices(&self) -> impl DoubleEndedIterator<Item = u64> + ExactSizeIterator {
        self.members.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Assignment, SearchSpace};
    use crate::tuner::Outcome;
    use proptest::prelude::*;

    fn finished(index: u64, losses: &[f64], violation: f64) -> Finished {
        let outcome = Outcome::Complete { losses: losses.to_vec() };
        Finished::new(index, Assignment::new(), outcome).constrained(vec![violation])
    }

    #[test]
    fn what_holds_comes_first() {
        let results = [
            finished(0, &[0.0, 4.0], 0.0),
            finished(1, &[1.0, 1.0], -2.0),
            finished(2, &[4.0, 0.0], 0.0),
            finished(3, &[2.0, 2.0], 0.0),
            finished(4, &[0.0, 0.0], 0.5),
            finished(5, &[0.0, 0.0], 0.1),
            finished(6, &[-1.0, -1.0], f64::NAN),
        ];
        let results: Vec<&Finished> = results.iter().collect();
        assert_eq!(fronts(&results), [vec![0, 1, 2], vec![3], vec![5], vec![4], vec![6]]);
        assert_eq!(order(&results), [0, 2, 1, 3, 5, 4, 6]);
        let indices = |count| best(&results, count).iter().map(|finished| finished.index).collect::<Vec<_>>();
        assert_eq!((indices(1), indices(4)), (vec![1], vec![0, 1, 2, 3]));
    }

    proptest! {
        /// Whatever comes and goes, a history's front is what comparing all with all gives.
        #[test]
        fn the_front_is_kept(changes in prop::collection::vec((0_u64..12, prop::collection::vec(0_u8..5, 2), 0_u8..4, any::<bool>()), 1..60)) {
            let mut history = History::new(&SearchSpace::unconstrained(vec![])).with_objectives(2);
            for (index, losses, violation, insert) in changes {
                if insert {
                    let losses: Vec<f64> = losses.iter().map(|loss| if *loss == 4 { f64::NAN } else { f64::from(*loss) }).collect();
                    history.insert(finished(index, &losses, f64::from(violation) - 2.0));
                } else {
                    history.remove(index);
                }
                let holds = |one: &&Finished| one.violation() == 0.0 && one.outcome.loss().is_finite();
                let all: Vec<&Finished> = history.iter().filter(holds).collect();
                let free = |one: &&&Finished| !all.iter().any(|other| dominates(other.outcome.losses(), one.outcome.losses()));
                let slow: Vec<u64> = all.iter().filter(free).map(|one| one.index).collect();
                prop_assert_eq!(history.front().map(|one| one.index).collect::<Vec<_>>(), slow);
            }
        }
    }
}
