//! Descent along derivatives that the trials report: hypergradients (Maclaurin, Duvenaud and Adams, 2015,
//! <https://arxiv.org/abs/1502.03492>; Pedregosa, 2016, <https://arxiv.org/abs/1602.02355>; Franceschi et al., 2017,
//! <https://arxiv.org/abs/1703.01785>).
//!
//! Each number has a step of its own, which grows as long as its derivative keeps its sign and shrinks when that turns
//! (resilient propagation: Igel and Hüsken, 2000), so that neither the scale of losses nor that of parameters matters. The
//! next trial is a step away from the best one of the descent, whatever was tried after it; a descent that has come to its end
//! is followed by another from a point drawn at random. Where the descent stands is found by going through the history.

use crate::space::{Parameter, SearchSpace};
use crate::tuner::{Finished, History};
use rand::{Rng, RngExt};

/// How much a step grows and shrinks.
const GROWTH: f64 = 1.2;
const SHRINKAGE: f64 = 0.5;
/// The largest step, in widths of the range, and the one below which a descent is at its end.
const LARGEST: f64 = 0.25;
const LEAST: f64 = 1e-5;

/// A descent.
pub(super) struct Descent {
    /// Lengths, by parameter.
    steps: Vec<f64>,
    /// The best trial; `None` where none has reported all derivatives.
    best: Option<Best>,
}

struct Best {
    index: u64,
    loss: f64,
    /// In the unit cube, as all here.
    places: Vec<f64>,
    slopes: Vec<f64>,
}

impl Descent {
    /// After all these trials. `first`: the length of a step at first.
    pub fn after(space: &SearchSpace, history: &History, first: f64) -> Self {
        let dimensions = space.parameters().len();
        let mut descent = Descent { steps: vec![first; dimensions], best: None };
        for finished in history.iter() {
            descent.take(space, finished);
            if descent.is_at_its_end() {
                descent = Descent { steps: vec![first; dimensions], best: None };
            }
        }
        descent
    }

    fn take(&mut self, space: &SearchSpace, finished: &Finished) {
        let Ok(assignment) = space.check(&finished.assignment) else { return };
        let (index, loss, slopes) = (finished.index, finished.outcome.loss(), slopes(space, finished));
        let places = space.encode(&assignment);
        let next =
            slopes.filter(|_| loss.is_finite()).map(|slopes| Best { index, loss, places: places.clone(), slopes });
        let Some(best) = &self.best else {
            self.best = next;
            return;
        };
        let better = next.is_some() && loss < best.loss;
        let ways: Vec<f64> = places.iter().zip(&best.places).map(|(new, old)| new - old).collect();
        // Where this trial lies downhill of the best one, and where the slope has turned on the way.
        let downhill: Vec<bool> =
            ways.iter().zip(&best.slopes).map(|(way, slope)| way * slope.signum() < 0.0).collect();
        let turned: Vec<bool> = match &next {
            Some(next) => next.slopes.iter().zip(&best.slopes).map(|(new, old)| new.signum() * old < 0.0).collect(),
            None => vec![false; ways.len()],
        };
        let none = !turned.iter().zip(&downhill).any(|(turned, downhill)| *turned && *downhill);
        for (((step, way), downhill), turned) in self.steps.iter_mut().zip(&ways).zip(downhill).zip(turned) {
            match (better, turned) {
                _ if !downhill => {}
                (true, false) => *step = step.max(GROWTH * way.abs()).min(LARGEST),
                // Too far: where the slope turned, or else wherever it went.
                (true, true) => *step = step.min(SHRINKAGE * way.abs()),
                (false, turned) if turned || none => *step = step.min(SHRINKAGE * way.abs()),
                (false, _) => {}
            }
        }
        if better {
            self.best = next;
        }
    }

    /// Neither smaller steps nor the way downhill, which ends at the bounds, lead anywhere.
    fn is_at_its_end(&self) -> bool {
        let Some(best) = &self.best else { return false };
        self.step(best, |_| 1.0).iter().zip(&best.places).all(|(new, old)| (new - old).abs() < LEAST)
    }

    /// The point a step away from the best one, each length times a factor.
    fn step(&self, best: &Best, mut factor: impl FnMut(usize) -> f64) -> Vec<f64> {
        let each = best.places.iter().zip(&self.steps).zip(&best.slopes).enumerate();
        each.map(|(at, ((place, step), slope))| {
            let direction = if *slope == 0.0 { 0.0 } else { -slope.signum() };
            (place + direction * step * factor(at)).clamp(0.0, 1.0)
        })
        .collect()
    }

    /// The point to try next beside so many that are tried already, each length times a factor; `None` where there is nothing
    /// to descend from.
    pub fn next(&self, pending: usize, factor: f64, rng: &mut impl Rng) -> Option<Vec<f64>> {
        let best = self.best.as_ref()?;
        Some(match pending {
            0 => self.step(best, |_| factor),
            // Others, somewhere in the box up to twice as far.
            _ => self.step(best, |_| 2.0 * factor * rng.random::<f64>()),
        })
    }

    /// The trial that is descended from.
    pub fn from(&self) -> Option<u64> {
        self.best.as_ref().map(|best| best.index)
    }
}

/// Derivatives of the loss by the parameters; `None` unless there is one for each. Only their signs matter, and those are the
/// same along the unit cube, whatever the scale.
fn slopes(space: &SearchSpace, finished: &Finished) -> Option<Vec<f64>> {
    let slope = |parameter: &Parameter| finished.derivatives.get(&parameter.name).copied();
    space.parameters().iter().map(|parameter| slope(parameter).filter(|slope| slope.is_finite())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Derivatives, Gradient};
    use super::*;
    use crate::space::{Domain, Scale};
    use crate::tuner::{Outcome, Pending, Request, Suggestion, Tuner};

    fn space(dimensions: usize, constraints: &[&str]) -> SearchSpace {
        let parameter = |at| {
            let (name, scale) = (format!("p{at}"), if at % 2 == 0 { Scale::Linear } else { Scale::Log });
            Parameter { name, domain: Domain::Double { min: 1e-3, max: 1.0, scale, step: None }, when: vec![] }
        };
        let constraints: Vec<String> = constraints.iter().map(|text| (*text).to_owned()).collect();
        SearchSpace::new((0..dimensions).map(parameter).collect(), &constraints).unwrap()
    }

    const GRADIENT: Gradient =
        Gradient { allow_repeats: false, step: 0.1, perturbation: 0.05, derivatives: Derivatives::Reported };

    /// A loss with its derivatives.
    type Function = dyn Fn(&[f64]) -> (f64, Vec<f64>);

    /// So many trials, `parallel` at a time; every `failing`th fails.
    fn run(space: &SearchSpace, trials: u64, parallel: u64, failing: u64, function: &Function) -> History {
        let mut history = History::new(space);
        for first in (0..trials).step_by(parallel as usize) {
            let mut pending: Vec<Pending> = Vec::new();
            for index in first..first + parallel {
                let request = Request { space, history: &history, pending: &pending, seed: 3, index };
                let Suggestion { assignment, .. } = GRADIENT.suggest(&request).unwrap();
                assert_eq!(space.check(&assignment), Ok(assignment.clone()));
                pending.push(Pending::new(index, assignment));
            }
            for Pending { index, assignment, .. } in pending {
                let x: Vec<f64> = assignment.values().map(|value| value.as_f64().unwrap()).collect();
                let (loss, slopes) = function(&x);
                let derivatives = assignment.keys().cloned().zip(slopes).collect();
                let finished = match (index + 1) % failing {
                    0 => Finished::new(index, assignment, Outcome::Failed),
                    _ => {
                        let outcome = Outcome::Complete { losses: vec![loss] };
                        Finished::new(index, assignment, outcome).with_derivatives(derivatives)
                    }
                };
                history.insert(finished);
            }
        }
        history
    }

    fn best(history: &History) -> f64 {
        history.ranked().next().unwrap().outcome.loss()
    }

    /// The validation loss of ridge regression in closed form, by the logarithm of its two penalties: a real hypergradient.
    /// Features come in two groups, of which one is noise.
    fn ridge(x: &[f64]) -> (f64, Vec<f64>) {
        // One feature a group, orthogonal: weights are c / (s + penalty), the loss is that of the held-out part.
        let groups = [(4.0, 3.6, 4.1, 3.2), (4.0, 0.9, 4.2, -0.4)];
        let (mut loss, mut slopes) = (1.0, Vec::new());
        for ((inner, cross, held_inner, held_cross), penalty) in groups.into_iter().zip(x) {
            let weight = cross / (inner + penalty);
            loss += 0.5 * held_inner * weight * weight - held_cross * weight;
            slopes.push((held_inner * weight - held_cross) * -weight / (inner + penalty));
        }
        (loss, slopes)
    }

    #[test]
    fn the_example_has_the_right_derivatives() {
        for x in [[0.1, 0.5], [0.9, 0.01]] {
            for at in 0..2 {
                let near = |by: f64| {
                    let mut near = x;
                    near[at] += by;
                    ridge(&near).0
                };
                let numeric = (near(1e-6) - near(-1e-6)) / 2e-6;
                assert!((ridge(&x).1[at] - numeric).abs() < 1e-6, "{at}: {} is not {numeric}", ridge(&x).1[at]);
            }
        }
    }

    /// The noise wants the highest penalty, the other group one inside.
    #[test]
    fn penalties_are_found_in_a_few_trials() {
        let space = space(2, &[]);
        let inside = 4.1 * 3.6 / 3.2 - 4.0;
        let lowest = ridge(&[inside, 1.0]).0;
        for (trials, parallel, failing) in [(20, 1, 1000), (40, 4, 1000), (40, 1, 5)] {
            let found = best(&run(&space, trials, parallel, failing, &ridge));
            assert!(found - lowest < 1e-4, "{parallel} at a time: {found} is not {lowest}");
        }
    }

    /// Many dimensions cost no more trials than few, and the size of the losses is of no account.
    #[test]
    fn a_valley_of_fifty_dimensions() {
        let space = space(50, &[]);
        for scale in [1.0, 1e280, 1e-280] {
            let bowl = move |x: &[f64]| {
                let each = x.iter().enumerate().map(|(at, x)| (x - 0.3, 1.0 + at as f64));
                let loss = each.clone().map(|(away, steep)| steep * away * away).sum::<f64>();
                (scale * loss, each.map(|(away, steep)| scale * 2.0 * steep * away).collect())
            };
            let history = run(&space, 60, 1, 1000, &bowl);
            let first = history.iter().next().unwrap().outcome.loss();
            assert!(best(&history) < 1e-3 * first, "{} of {first}", best(&history));
        }
    }

    /// Minima of different depth: a descent that is at its end makes room for the next.
    #[test]
    fn another_descent_follows() {
        let space = space(1, &[]);
        let waves = |x: &[f64]| {
            let angle = 12.0 * x[0];
            (angle.sin() - x[0], vec![12.0 * angle.cos() - 1.0])
        };
        let grid = (0..=1000).map(|at| waves(&[f64::from(at) / 1000.0]).0).fold(f64::INFINITY, f64::min);
        let found = best(&run(&space, 200, 1, 1000, &waves));
        assert!(found < grid + 1e-3, "{found} is not {grid}");
    }

    #[test]
    fn constraints_hold_and_what_reports_nothing_does_no_harm() {
        let space = space(2, &["p0 + p1 > 0.5"]);
        let sum = |x: &[f64]| (x[0] + x[1], vec![1.0; 2]);
        assert!(best(&run(&space, 60, 1, 1000, &sum)) < 0.55);
        let silent = |x: &[f64]| (x[0], vec![f64::NAN, 1.0]);
        let history = run(&space, 20, 2, 1000, &silent);
        let request = Request { space: &space, history: &history, pending: &[], seed: 3, index: 20 };
        let note = GRADIENT.note(&request).unwrap();
        assert!(note.starts_with("a new start: "), "{note}");
        assert_eq!(history.distinct(), 20, "drawn at random");
        assert_eq!(Descent::after(&space, &history, 0.1).steps, [0.1, 0.1]);
    }
}
