//! A minimum of a smooth function in a box: L-BFGS with projection (Nocedal and Wright, 2006, algorithm 7.4; Bertsekas,
//! 1982, for the projection).

use super::factor::dot;
use std::collections::VecDeque;

/// Steps remembered for the curvature.
const MEMORY: usize = 8;
/// Halvings of one step.
const HALVINGS: usize = 12;

/// Walks downhill from a point within the bounds, for at most so many evaluations of value and gradient. Gives the best point
/// and its value; one pair of bounds a coordinate. A value that is not a number counts as infinite.
pub(super) fn minimise(
    mut evaluate: impl FnMut(&[f64]) -> (f64, Vec<f64>),
    start: Vec<f64>,
    bounds: &[(f64, f64)],
    most: usize,
) -> (Vec<f64>, f64) {
    let (mut at, mut left) = (start, most);
    let (mut value, mut gradient) = evaluate(&at);
    let mut memory: VecDeque<(Vec<f64>, Vec<f64>, f64)> = VecDeque::new();
    'steps: while left > 0 {
        let free: Vec<bool> =
            at.iter().zip(&gradient).zip(bounds).map(|((x, g), bounds)| !blocked(*x, *g, *bounds)).collect();
        let direction = direction(&gradient, &free, &memory);
        let slope = dot(&direction, &gradient);
        if !slope.is_finite() || slope > -1e-12 {
            break;
        }
        // The first step has no scale yet.
        let mut length = if memory.is_empty() { (0.25 / dot(&direction, &direction).sqrt()).min(1.0) } else { 1.0 };
        for _ in 0..HALVINGS {
            if left == 0 {
                break 'steps;
            }
            left -= 1;
            let next: Vec<f64> = at
                .iter()
                .zip(&direction)
                .zip(bounds)
                .map(|((x, d), (low, high))| (x + length * d).clamp(*low, *high))
                .collect();
            let (next_value, next_gradient) = evaluate(&next);
            if next_value <= value + 1e-4 * length * slope {
                let step: Vec<f64> = next.iter().zip(&at).map(|(new, old)| new - old).collect();
                let change: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(new, old)| new - old).collect();
                let curvature = dot(&step, &change);
                if curvature > 1e-10 * dot(&change, &change) {
                    memory.push_back((step, change, curvature));
                    if memory.len() > MEMORY {
                        memory.pop_front();
                    }
                }
                let gained = value - next_value;
                (at, value, gradient) = (next, next_value, next_gradient);
                if gained < 1e-8 * (1.0 + value.abs()) {
                    break 'steps;
                }
                continue 'steps;
            }
            length *= 0.4;
        }
        // No step helps: without the memory there may be one, else this is the end.
        if memory.is_empty() {
            break;
        }
        memory.clear();
    }
    (at, value)
}

/// Whether a coordinate stands at a bound and wants beyond it.
fn blocked(x: f64, gradient: f64, bounds: (f64, f64)) -> bool {
    x <= bounds.0 && gradient > 0.0 || x >= bounds.1 && gradient < 0.0
}

/// The quasi-Newton direction, by two loops over the memory; nothing along coordinates that are not free.
fn direction(gradient: &[f64], free: &[bool], memory: &VecDeque<(Vec<f64>, Vec<f64>, f64)>) -> Vec<f64> {
    let project = |direction: &mut Vec<f64>| {
        for (value, free) in direction.iter_mut().zip(free) {
            *value *= f64::from(u8::from(*free));
        }
    };
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    project(&mut direction);
    let steepest = direction.clone();
    let mut weights = Vec::with_capacity(memory.len());
    for (step, change, curvature) in memory.iter().rev() {
        let weight = dot(step, &direction) / curvature;
        add(&mut direction, -weight, change);
        weights.push(weight);
    }
    if let Some((_, change, curvature)) = memory.back() {
        let scale = curvature / dot(change, change);
        direction.iter_mut().for_each(|value| *value *= scale);
    }
    for ((step, change, curvature), weight) in memory.iter().zip(weights.into_iter().rev()) {
        let correction = weight - dot(change, &direction) / curvature;
        add(&mut direction, correction, step);
    }
    project(&mut direction);
    if dot(&direction, gradient) < 0.0 { direction } else { steepest }
}

fn add(target: &mut [f64], weight: f64, values: &[f64]) {
    for (target, value) in target.iter_mut().zip(values) {
        *target += weight * value;
    }
}
