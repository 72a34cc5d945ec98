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
/// front before. Efficient non-dominated sorting (Zhang et al., 2015, <https://doi.org/10.1109/TEVC.2014.2308305>).
pub(super) fn fronts(results: &[&Finished]) -> Vec<Vec<usize>> {
    // None is better than one that comes before it in this order.
    let mut order: Vec<usize> = (0..results.len()).collect();
    let key = |at: &usize| results.get(*at).map(|one| (one.violation(), one.outcome.losses()));
    order.sort_by(|a, b| {
        let (Some((violation, losses)), Some((other, others))) = (key(a), key(b)) else { return Ordering::Equal };
        let by_loss = || {
            let mut pairs = losses.iter().zip(others).map(|(a, b)| (a + 0.0).total_cmp(&(b + 0.0)));
            pairs.find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
        };
        violation.total_cmp(&other).then_with(by_loss).then(a.cmp(b))
    });
    let mut fronts: Vec<Vec<usize>> = Vec::new();
    for at in order {
        let Some(one) = results.get(at) else { continue };
        let beaten = |other: &usize| results.get(*other).is_some_and(|other| better(other, one));
        // All of a front violate the constraints alike. Of two losses the first does not fall along a front, so the second
        // is least at its end: whatever that one does not beat, none does.
        let last_tells = one.outcome.losses().len() <= 2 && one.outcome.losses().iter().all(|loss| !loss.is_nan());
        let above = |front: &Vec<usize>| match last_tells {
            true => front.last().is_some_and(beaten),
            false => front.iter().rev().any(beaten),
        };
        // Whom a front does not beat, no later front does.
        match fronts.partition_point(above) {
            place if place == fronts.len() => fronts.push(vec![at]),
            place => fronts.get_mut(place).into_iter().for_each(|front| front.push(at)),
        }
    }
    fronts.iter_mut().for_each(|front| front.sort_unstable());
    fronts
}

/// The `count` best of these results: front by front, and of the front that is too large an epsilon-net: always the one that is
/// farthest from those taken, by losses in widths of the front. So a search for several objectives halves (Schmucker et al.,
/// 2021, "Multi-objective Asynchronous Successive Halving", <https://arxiv.org/abs/2106.12639>). The first is the best by weights
/// that differ from turn to turn: who takes a single one each time is not to take the same end of the front each time.
pub(super) fn net<'a>(results: &[&'a Finished], count: usize, turn: usize) -> Vec<&'a Finished> {
    front_by_front(results, count, |members, wanted| {
        let losses = scaled(members);
        let weights = weights(losses.first().map_or(0, Vec::len), turn);
        let places = farthest_first(&losses, best_by(&losses, &weights), wanted);
        places.into_iter().filter_map(|at| members.get(at).copied()).collect()
    })
}

/// The `count` best of these results: whole fronts, the best first, and of the one that is too large as many as are missing, which
/// `narrow` takes of its members.
fn front_by_front<'a>(
    results: &[&'a Finished],
    count: usize,
    narrow: impl FnOnce(&[&'a Finished], usize) -> Vec<&'a Finished>,
) -> Vec<&'a Finished> {
    let mut chosen: Vec<&Finished> = Vec::new();
    for front in fronts(results) {
        let members: Vec<&Finished> = front.iter().filter_map(|at| results.get(*at).copied()).collect();
        let wanted = count.saturating_sub(chosen.len());
        if members.len() > wanted {
            chosen.extend(narrow(&members, wanted));
            break;
        }
        chosen.extend(members);
    }
    chosen
}

/// Weights of so many losses, which are 1 together: of all there are, evenly one turn after the other (Halton, 1960).
fn weights(losses: usize, turn: usize) -> Vec<f64> {
    let radical_inverse = |base: usize| {
        let (mut left, mut digit, mut sum) = (turn, 1.0 / base as f64, 0.0);
        while left > 0 {
            sum += digit * (left % base) as f64;
            (left, digit) = (left / base, digit / base as f64);
        }
        sum
    };
    let mut cuts: Vec<f64> = [2, 3].into_iter().take(losses.saturating_sub(1)).map(radical_inverse).collect();
    cuts.push(1.0);
    cuts.sort_by(f64::total_cmp);
    let before = std::iter::once(0.0).chain(cuts.iter().copied());
    cuts.iter().zip(before).map(|(cut, before)| cut - before).collect()
}

/// Position of the point whose largest weighted loss is least; of equals the one of the least sum, then the first.
fn best_by(points: &[Vec<f64>], weights: &[f64]) -> Option<usize> {
    let weighed = |at: usize| {
        let losses = points.get(at).into_iter().flatten().zip(weights).map(|(loss, weight)| loss * weight);
        (losses.clone().fold(0.0, f64::max), points.get(at).into_iter().flatten().sum::<f64>())
    };
    (0..points.len()).min_by(|a, b| {
        let ((a, sum), (b, other)) = (weighed(*a), weighed(*b));
        a.total_cmp(&b).then(sum.total_cmp(&other))
    })
}

/// Positions of so many points from the first on, each the farthest from those before it; of equals the first.
fn farthest_first(points: &[Vec<f64>], first: Option<usize>, count: usize) -> Vec<usize> {
    let mut next = first;
    let mut away = vec![f64::INFINITY; points.len()];
    let mut chosen = Vec::new();
    while let Some(at) = next.filter(|_| chosen.len() < count) {
        chosen.push(at);
        for (distance, point) in away.iter_mut().zip(points) {
            let squares = point.iter().zip(&points[at]).map(|(a, b)| (a - b) * (a - b));
            *distance = distance.min(squares.sum());
        }
        away[at] = f64::NEG_INFINITY;
        let open = (0..points.len()).rev().filter(|at| away[*at] >= 0.0);
        next = open.max_by(|a, b| away[*a].total_cmp(&away[*b]));
    }
    chosen
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
pub fn order(results: &[&Finished]) -> Vec<usize> {
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
    front_by_front(results, count, spread)
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
    use crate::tuner::{Outcome, Stage};
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

    #[test]
    fn a_net_spans_the_front_that_is_too_large() {
        let results: Vec<Finished> =
            [[0.0, 8.0], [1.0, 4.0], [1.1, 3.9], [1.2, 3.8], [4.0, 1.0], [8.0, 0.0], [9.0, 9.0]]
                .iter()
                .zip(0..)
                .map(|(losses, index)| finished(index, losses, 0.0))
                .collect();
        let results: Vec<&Finished> = results.iter().collect();
        let of_turn = |count, turn| net(&results, count, turn).iter().map(|one| one.index).collect::<Vec<_>>();
        let chosen = |count| of_turn(count, 0);
        assert_eq!(chosen(0), [] as [u64; 0]);
        assert_eq!(chosen(4), [5, 0, 3, 4], "the ends first, and none of a crowd twice");
        let firsts: Vec<u64> = (0..64).map(|turn| of_turn(1, turn)[0]).collect();
        assert!([0, 3, 5].iter().all(|wanted| firsts.contains(wanted)), "another one each time: {firsts:?}");
        assert_eq!(chosen(7), [0, 1, 2, 3, 4, 5, 6], "the front behind comes last");
        assert_eq!(chosen(9).len(), 7);
    }

    #[test]
    fn weights_come_from_everywhere() {
        assert_eq!(weights(1, 5), [1.0]);
        let pairs: Vec<Vec<f64>> = (0..5).map(|turn| weights(2, turn)).collect();
        assert_eq!(pairs, [[0.0, 1.0], [0.5, 0.5], [0.25, 0.75], [0.75, 0.25], [0.125, 0.875]]);
        for turn in 0..100 {
            let weights = weights(3, turn);
            assert!(weights.len() == 3 && weights.iter().all(|weight| *weight >= 0.0), "{weights:?}");
            assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{weights:?}");
        }
    }

    /// As the definition says: those that none of the rest beats, then of those that are left, and so on.
    fn peeled(results: &[&Finished]) -> Vec<Vec<usize>> {
        let mut left: Vec<usize> = (0..results.len()).collect();
        let mut fronts = Vec::new();
        while !left.is_empty() {
            let free = |at: &usize| !left.iter().any(|other| better(results[*other], results[*at]));
            let front: Vec<usize> = left.iter().copied().filter(free).collect();
            left.retain(|at| !front.contains(at));
            fronts.push(front);
        }
        fronts
    }

    proptest! {
        #[test]
        fn fronts_are_as_defined(
            objectives in 1_usize..4,
            rows in prop::collection::vec((prop::collection::vec(-2_i8..3, 3), 0_u8..4), 0..40),
        ) {
            let loss = |loss: &i8| if *loss == 0 { -0.0 } else { f64::from(*loss / 2) };
            let results: Vec<Finished> = (0..).zip(&rows).map(|(index, (losses, violation))| {
                let losses: Vec<f64> = losses[..objectives].iter().map(loss).collect();
                finished(index, &losses, f64::from(*violation) - 2.0)
            }).collect();
            let results: Vec<&Finished> = results.iter().collect();
            prop_assert_eq!(fronts(&results), peeled(&results));
        }

        /// Whatever comes and goes, a history's front is what comparing all with all gives.
        #[test]
        fn the_front_is_kept(changes in prop::collection::vec((0_u64..12, prop::collection::vec(0_u8..5, 2), 0_u8..4, 1_u8..3, any::<bool>()), 1..60)) {
            let mut history = History::new(&SearchSpace::unconstrained(vec![])).with_objectives(2);
            for (index, losses, violation, fidelity, insert) in changes {
                if insert {
                    let losses: Vec<f64> = losses.iter().map(|loss| if *loss == 4 { f64::NAN } else { f64::from(*loss) }).collect();
                    let stage = Stage { fidelity: f64::from(fidelity), parent: None };
                    history.insert(finished(index, &losses, f64::from(violation) - 2.0).at(Some(stage)));
                } else {
                    history.remove(index);
                }
                let holds = |one: &&Finished| one.violation() == 0.0 && one.outcome.loss().is_finite();
                let spent = |one: &Finished| one.stage.unwrap().fidelity;
                let most = history.iter().filter(holds).map(spent).fold(0.0, f64::max);
                let all: Vec<&Finished> = history.iter().filter(holds).filter(|one| spent(one) == most).collect();
                let free = |one: &&&Finished| !all.iter().any(|other| dominates(other.outcome.losses(), one.outcome.losses()));
                let slow: Vec<u64> = all.iter().filter(free).map(|one| one.index).collect();
                prop_assert_eq!(history.front().map(|one| one.index).collect::<Vec<_>>(), slow);
            }
        }
    }
}
