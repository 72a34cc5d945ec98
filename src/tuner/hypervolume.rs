//! How much of the space of losses a front of results dominates (Zitzler and Thiele, 1998,
//! <https://doi.org/10.1007/BFb0056872>), and which boxes are left for a result to improve on it.
//!
//! Losses are minimised; what is not below the reference point in every loss counts for nothing. Made for two and three
//! losses: with m of them and n results the work is of the order of `n^(m - 1)`, with a logarithm.

/// The volume between the reference point and the results below it.
pub(super) fn hypervolume(points: &[Vec<f64>], reference: &[f64]) -> f64 {
    let inside: Vec<&[f64]> = points.iter().map(Vec::as_slice).filter(|point| below(point, reference)).collect();
    volume(inside, reference)
}

fn below(point: &[f64], reference: &[f64]) -> bool {
    point.len() == reference.len() && point.iter().zip(reference).all(|(a, b)| a < b)
}

/// Of points that are all below the reference: slices along the last loss, each of what the points up to there dominate in
/// the others.
fn volume(mut points: Vec<&[f64]>, reference: &[f64]) -> f64 {
    let Some((last, others)) = reference.split_last() else { return 0.0 };
    let coordinate = |point: &&[f64]| point.get(others.len()).copied().unwrap_or(*last);
    points.sort_by(|a, b| coordinate(a).total_cmp(&coordinate(b)));
    if others.is_empty() {
        return points.first().map_or(0.0, |first| last - coordinate(first));
    }
    let mut sum = 0.0;
    let mut lowest = others.first().copied().unwrap_or_default();
    for (at, point) in points.iter().enumerate() {
        let top = points.get(at + 1).map_or(*last, &coordinate);
        lowest = point.first().copied().unwrap_or(lowest).min(lowest);
        let base = match others {
            [end] => end - lowest,
            _ if top > coordinate(point) => volume(points.iter().take(at + 1).copied().collect(), others),
            _ => 0.0,
        };
        sum += base * (top - coordinate(point));
    }
    sum
}

/// Boxes that together are what lies below the reference point and is dominated by none of the points. No two overlap.
/// Each has a pair a loss: from (infinitely low in all but the last ones), and up to.
pub(super) fn cells(points: &[Vec<f64>], reference: &[f64]) -> Vec<Vec<(f64, f64)>> {
    let inside: Vec<&[f64]> = points.iter().map(Vec::as_slice).filter(|point| below(point, reference)).collect();
    undominated(inside, reference)
}

fn undominated(mut points: Vec<&[f64]>, reference: &[f64]) -> Vec<Vec<(f64, f64)>> {
    let Some((last, others)) = reference.split_last() else { return vec![vec![]] };
    let coordinate = |point: &&[f64]| point.get(others.len()).copied().unwrap_or(*last);
    points.sort_by(|a, b| coordinate(a).total_cmp(&coordinate(b)));
    if others.is_empty() {
        return vec![vec![(f64::NEG_INFINITY, points.first().map_or(*last, coordinate))]];
    }
    let mut found: Vec<Vec<(f64, f64)>> = Vec::new();
    let (mut low, mut active): (f64, Vec<&[f64]>) = (f64::NEG_INFINITY, Vec::new());
    let mut slice = |active: &[&[f64]], low: f64, high: f64| {
        if high > low {
            found.extend(undominated(active.to_vec(), others).into_iter().map(|mut cell| {
                cell.push((low, high));
                cell
            }));
        }
    };
    for point in points {
        let covers = |a: &[f64], b: &[f64]| a.iter().zip(b).take(others.len()).all(|(a, b)| a <= b);
        // What is dominated in the other losses as well changes nothing from here on.
        if active.iter().any(|other| covers(other, point)) {
            continue;
        }
        slice(&active, low, coordinate(&point));
        low = low.max(coordinate(&point));
        active.retain(|other| !covers(point, other));
        active.push(point);
    }
    slice(&active, low, *last);
    found
}

/// So many of the points, one after the other: always the one that adds most to what those before it dominate (greedy
/// subset selection, at least 1 - 1/e of the best; Guerreiro, Fonseca and Paquete, 2016,
/// <https://doi.org/10.1162/EVCO_a_00188>). Their positions.
pub(super) fn greedy(points: &[Vec<f64>], reference: &[f64], count: usize) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::new();
    let mut dominated: Vec<Vec<f64>> = Vec::new();
    let mut sum = 0.0;
    // What a point would add can only become less, so that of the others only those that promised more are looked at.
    let mut promises: Vec<(f64, usize)> = (0..points.len()).map(|at| (f64::INFINITY, at)).collect();
    while chosen.len() < count && !promises.is_empty() {
        let mut best: Option<(f64, usize)> = None;
        promises.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for promise in &mut promises {
            if best.is_some_and(|(gain, _)| gain > promise.0) {
                break;
            }
            let Some(point) = points.get(promise.1) else { continue };
            dominated.push(point.clone());
            promise.0 = hypervolume(&dominated, reference) - sum;
            dominated.pop();
            if best.is_none_or(|(gain, at)| promise.0 > gain || promise.0 == gain && promise.1 < at) {
                best = Some(*promise);
            }
        }
        let Some((gain, at)) = best else { break };
        promises.retain(|promise| promise.1 != at);
        dominated.extend(points.get(at).cloned());
        sum += gain;
        chosen.push(at);
    }
    chosen
}

/// A reference point for these points: a little beyond the worst of them in each loss.
pub(super) fn reference(points: &[Vec<f64>]) -> Vec<f64> {
    let dimensions = points.first().map_or(0, Vec::len);
    let end = |at: usize| {
        let values = || points.iter().filter_map(|point| point.get(at).copied());
        let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        let width = high - low;
        // Whatever the numbers: strictly beyond, and finite.
        let beyond = if width > 0.0 { 0.1 * width } else { 0.1 * high.abs().max(1e-6) };
        (high + beyond).clamp(f64::MIN, f64::MAX)
    };
    (0..dimensions).map(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Slow and exact: the grid that all coordinates make, box by box.
    fn counted(points: &[Vec<f64>], reference: &[f64], lowest: f64, dominated: bool) -> f64 {
        let edges = |at: usize| {
            let mut edges: Vec<f64> = points.iter().map(|point| point[at].min(reference[at])).collect();
            edges.extend([lowest, reference[at]]);
            edges.sort_by(f64::total_cmp);
            edges
        };
        let edges: Vec<Vec<f64>> = (0..reference.len()).map(edges).collect();
        let mut corners = vec![(1.0, vec![])];
        for edges in &edges {
            corners = corners
                .iter()
                .flat_map(|(size, corner): &(f64, Vec<f64>)| {
                    edges.windows(2).map(move |pair| {
                        let mut corner = corner.clone();
                        corner.push(pair[0]);
                        (size * (pair[1] - pair[0]), corner)
                    })
                })
                .collect();
        }
        let covered = |corner: &[f64]| points.iter().any(|point| point.iter().zip(corner).all(|(a, b)| a <= b));
        corners.iter().filter(|(_, corner)| covered(corner) == dominated).map(|(size, _)| size).sum()
    }

    fn points(dimensions: usize) -> impl Strategy<Value = Vec<Vec<f64>>> {
        // Few places, so that coordinates coincide.
        prop::collection::vec(prop::collection::vec((0_u8..12).prop_map(|at| f64::from(at) / 8.0), dimensions), 0..9)
    }

    proptest! {
        #[test]
        fn is_what_counting_gives((points, dimensions) in (1_usize..4).prop_flat_map(|d| (points(d), Just(d)))) {
            let reference = vec![1.0; dimensions];
            let (fast, slow) = (hypervolume(&points, &reference), counted(&points, &reference, 0.0, true));
            prop_assert!((fast - slow).abs() < 1e-9, "{} is not {}", fast, slow);
            let cells = cells(&points, &reference);
            let volume = |cell: &Vec<(f64, f64)>| cell.iter().map(|(low, high)| high - low.max(0.0)).product::<f64>();
            let (left, slow) = (cells.iter().map(volume).sum::<f64>(), counted(&points, &reference, 0.0, false));
            prop_assert!((left - slow).abs() < 1e-9, "{} is not {}", left, slow);
            let apart = |a: &[(f64, f64)], b: &[(f64, f64)]| a.iter().zip(b).any(|(a, b)| a.1 <= b.0 || b.1 <= a.0);
            for (at, cell) in cells.iter().enumerate() {
                prop_assert!(cells[..at].iter().all(|other| apart(cell, other)), "{:?}", cells);
            }
        }

        /// Looking only at those that promise more changes nothing.
        #[test]
        fn greedy_takes_what_adds_most(points in points(3)) {
            let reference = vec![1.5; 3];
            let mut left: Vec<usize> = (0..points.len()).collect();
            let mut slow: Vec<usize> = Vec::new();
            while !left.is_empty() {
                let gain = |at: &usize| {
                    let some: Vec<Vec<f64>> = slow.iter().chain([at]).map(|at| points[*at].clone()).collect();
                    // Sums of eighths are exact.
                    hypervolume(&some, &reference)
                };
                let best = left.iter().copied().reduce(|best, at| if gain(&at) > gain(&best) { at } else { best }).unwrap();
                left.retain(|at| *at != best);
                slow.push(best);
            }
            prop_assert_eq!(greedy(&points, &reference, points.len()), slow);
        }
    }

    #[test]
    fn a_reference_is_beyond_all() {
        for points in [vec![vec![1.0, -2.0], vec![3.0, -2.0]], vec![vec![0.0, 1e300]], vec![vec![-1e-300, f64::MAX]]] {
            let reference = reference(&points);
            assert!(points.iter().flatten().zip(reference.iter().cycle()).all(|(a, b)| a < b || *b == f64::MAX));
        }
    }
}
