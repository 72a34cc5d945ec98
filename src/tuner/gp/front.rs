//! Expected hypervolume improvement: how much more of the space of losses a trial is expected to dominate.
//!
//! What the front does not dominate is cut into boxes. In each box the expectation is a product over the objectives, since
//! their models are independent (Emmerich, Giannakoglou and Naujoks, 2006, <https://doi.org/10.1109/TEVC.2005.859463>;
//! Yang et al., 2019, <https://doi.org/10.1007/s10898-019-00798-7>); logarithms throughout, as in Ament et al., 2023.

use super::acquisition::below;
use super::posterior::Belief;
use crate::tuner::hypervolume::{cells, greedy, reference};
use crate::tuner::pareto::dominates;

/// Members of a front that are looked at: those that dominate most. By two objectives and by more.
const MEMBERS: [usize; 2] = [64, 24];

/// What a front leaves to be dominated.
pub(super) struct Room {
    /// By objective: the ends of the boxes, in rising order.
    levels: Vec<Vec<f64>>,
    /// By box and objective: the positions of its ends among the levels; without a lower one it has no end.
    boxes: Vec<Vec<(Option<usize>, usize)>>,
}

/// Of a level: the logarithm of how far below it a loss is expected to be, and the derivatives by mean and variance.
type Below = (f64, f64, f64);

impl Room {
    /// Beside these results, up to a little beyond the worst of those that none dominates. At least one.
    pub fn beside(results: Vec<Vec<f64>>) -> Self {
        let free = |at: &usize| {
            let Some(one) = results.get(*at) else { return false };
            !results.iter().take(*at).any(|other| other == one) && !results.iter().any(|other| dominates(other, one))
        };
        let mut front: Vec<Vec<f64>> =
            (0..results.len()).filter(free).filter_map(|at| results.get(at).cloned()).collect();
        // A front of one has no width of its own.
        let reference = if front.len() > 1 { reference(&front) } else { reference(&results) };
        let most = if reference.len() == 2 { MEMBERS[0] } else { MEMBERS[1] };
        if front.len() > most {
            let chosen = greedy(&front, &reference, most);
            front = chosen.into_iter().filter_map(|at| front.get(at).cloned()).collect();
        }
        let cells = cells(&front, &reference);
        let ends = |at: usize| {
            let pairs = cells.iter().filter_map(|cell| cell.get(at));
            let mut ends: Vec<f64> =
                pairs.flat_map(|(low, high)| [*low, *high]).filter(|end| end.is_finite()).collect();
            ends.sort_by(f64::total_cmp);
            ends.dedup();
            ends
        };
        let levels: Vec<Vec<f64>> = (0..reference.len()).map(ends).collect();
        let place = |end: f64, levels: &[f64]| levels.partition_point(|level| *level < end);
        let pair = |((low, high), levels): (&(f64, f64), &Vec<f64>)| {
            (low.is_finite().then(|| place(*low, levels)), place(*high, levels))
        };
        let boxes = cells.iter().map(|cell| cell.iter().zip(&levels).map(pair).collect()).collect();
        Room { levels, boxes }
    }

    /// Logarithm of the expected improvement, and its derivatives by mean and variance, one pair an objective.
    pub fn improvement(&self, beliefs: &[Belief]) -> (f64, Vec<(f64, f64)>) {
        let tables: Vec<Vec<Below>> = self
            .levels
            .iter()
            .zip(beliefs)
            .map(|(levels, belief)| levels.iter().map(|level| below(*level, *belief)).collect())
            .collect();
        let mut terms: Vec<(f64, Vec<(f64, f64)>)> = Vec::with_capacity(self.boxes.len());
        for ends in &self.boxes {
            let parts: Option<Vec<Below>> =
                ends.iter().zip(&tables).map(|(ends, table)| within(*ends, table)).collect();
            let Some(parts) = parts else { continue };
            let value = parts.iter().map(|part| part.0).sum();
            terms.push((value, parts.into_iter().map(|part| (part.1, part.2)).collect()));
        }
        let highest = terms.iter().map(|term| term.0).fold(f64::NEG_INFINITY, f64::max);
        let mut by = vec![(0.0, 0.0); beliefs.len()];
        if highest == f64::NEG_INFINITY {
            return (highest, by);
        }
        let mut sum = 0.0;
        for (value, parts) in &terms {
            let weight = (value - highest).exp();
            sum += weight;
            for (total, part) in by.iter_mut().zip(parts) {
                *total = (total.0 + weight * part.0, total.1 + weight * part.1);
            }
        }
        by.iter_mut().for_each(|total| *total = (total.0 / sum, total.1 / sum));
        (highest + sum.ln(), by)
    }
}

/// The logarithm of how much of a box's side a loss is expected to leave below the upper end, and its derivatives; `None`
/// where that is too little for a number.
fn within((low, high): (Option<usize>, usize), table: &[Below]) -> Option<Below> {
    let high = *table.get(high)?;
    let Some(low) = low else { return Some(high) };
    let low = *table.get(low)?;
    let ratio = (low.0 - high.0).exp();
    let rest = 1.0 - ratio;
    let by = |high: f64, low: f64| (high - ratio * low) / rest;
    (rest > 1e-14).then(|| (high.0 + rest.ln(), by(high.1, low.1), by(high.2, low.2)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuner::hypervolume::hypervolume;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    fn cases() -> [(Vec<Vec<f64>>, Vec<Belief>); 2] {
        let belief = |mean, variance| Belief { mean, variance };
        [
            (
                vec![vec![0.0, 1.0], vec![0.4, 0.5], vec![1.0, 0.0], vec![0.9, 0.9]],
                vec![belief(0.3, 0.04), belief(0.6, 0.09)],
            ),
            (
                vec![vec![0.0, 1.0, 0.5], vec![0.4, 0.5, 0.6], vec![1.0, 0.0, 0.2], vec![0.5, 0.5, 0.0]],
                vec![belief(0.3, 0.04), belief(0.4, 0.09), belief(0.5, 0.01)],
            ),
        ]
    }

    /// Against the mean of what draws add.
    #[test]
    fn is_what_draws_add() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (front, beliefs) in cases() {
            let room = Room::beside(front.clone());
            let reference = reference(&front);
            let before = hypervolume(&front, &reference);
            let draws = 40_000;
            let gain = |_| {
                let mut more = front.clone();
                more.push(
                    beliefs
                        .iter()
                        .map(|belief| {
                            let normal: f64 = StandardNormal.sample(&mut rng);
                            belief.mean + belief.variance.sqrt() * normal
                        })
                        .collect(),
                );
                hypervolume(&more, &reference) - before
            };
            let drawn = (0..draws).map(gain).sum::<f64>() / f64::from(draws);
            let exact = room.improvement(&beliefs).0.exp();
            assert!((drawn / exact - 1.0).abs() < 0.03, "{exact} is not {drawn}");
        }
    }

    #[test]
    fn the_gradient_is_the_functions() {
        for (front, beliefs) in cases() {
            let room = Room::beside(front);
            for far in [0.0, 3.0, 30.0] {
                let beliefs: Vec<Belief> =
                    beliefs.iter().map(|belief| Belief { mean: belief.mean + far, ..*belief }).collect();
                let (value, by) = room.improvement(&beliefs);
                assert!(value.is_finite(), "{value}");
                for (at, (by_mean, by_variance)) in by.into_iter().enumerate() {
                    let moved = |mean: f64, variance: f64| {
                        let mut beliefs = beliefs.clone();
                        beliefs[at].mean += mean;
                        beliefs[at].variance += variance;
                        room.improvement(&beliefs).0
                    };
                    let numeric = (moved(1e-6, 0.0) - moved(-1e-6, 0.0)) / 2e-6;
                    assert!((by_mean - numeric).abs() < 1e-3 * (1.0 + by_mean.abs()), "{by_mean} is not {numeric}");
                    let numeric = (moved(0.0, 1e-7) - moved(0.0, -1e-7)) / 2e-7;
                    assert!(
                        (by_variance - numeric).abs() < 1e-3 * (1.0 + by_variance.abs()),
                        "{by_variance} is not {numeric}"
                    );
                }
            }
        }
    }
}
