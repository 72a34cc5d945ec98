//! Gradient descent without gradients: simultaneous perturbation (Spall, 1992, <https://doi.org/10.1109/9.119632>).
//!
//! Trials come in pairs, of indices 2k and 2k + 1: two points on opposite sides of the present one, each number moved by
//! the same amount up or down at random. Their difference gives the slope in that direction, whatever the number of
//! dimensions, and the present point moves down it. Gains decay as Spall, 1998
//! (<https://www.jhuapl.edu/SPSA/PDF-SPSA/Spall_Implementation_of_the_Simultaneous.PDF>) advises; slopes are measured in
//! their own mean size, so that the scale of the losses does not matter.
//!
//! The present point is found by going through the pairs that have ended. Pairs that run side by side start from one point
//! in different directions.
//!
//! Where trials report the derivatives themselves, each is a step of its own: [`reported`].

mod reported;

use super::random::uniform;
use super::settings::{SettingError, Settings};
use super::streams::uniform_of;
use super::unrepeated::unrepeated;
use super::{Finished, NoSuggestion, Request, Suggestion, Tuner, generator};
use crate::space::{Assignment, Domain, SearchSpace};
use rand::RngExt;
use reported::Descent;

/// Decay of the step and of the perturbation, and pairs before the step begins to decay in earnest.
const STEP_DECAY: f64 = 0.602;
const PERTURBATION_DECAY: f64 = 0.101;
const STEADY: f64 = 10.0;
/// The steepest slope that counts, in mean ones.
const STEEPEST: f64 = 3.0;
/// How much wider each draw is than the one before that was not allowed, or was tried.
const WIDENING: f64 = 1.1;
/// Directions that are tried before any point will do.
const DIRECTIONS: u64 = 50;

/// Simultaneous perturbation.
pub(super) struct Gradient {
    allow_repeats: bool,
    /// How far a number moves at first for a slope of mean size, in widths of its range.
    step: f64,
    /// Half of the distance within a pair at first, in widths of the range.
    perturbation: f64,
    derivatives: Derivatives,
}

/// Where derivatives come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Derivatives {
    /// From pairs of trials.
    Estimated,
    /// Each trial reports its own.
    Reported,
}

impl Gradient {
    /// From its settings. A space that is not all numbers, always active, is refused.
    pub fn make(settings: &mut Settings<'_>, space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        let gradient = Gradient {
            allow_repeats: settings.allow_repeats(),
            step: settings.real("step", 0.1, 0.001..=1.0),
            perturbation: settings.real("perturbation", 0.05, 0.0001..=0.5),
            derivatives: settings.choice(
                "derivatives",
                ("Estimated", Derivatives::Estimated),
                &[("Reported", Derivatives::Reported)],
            ),
        };
        let refused = space.parameters().iter().find_map(|parameter| {
            let category = matches!(&parameter.domain, Domain::Categorical { choices } if choices.len() > 1);
            let why = if category { "categorical" } else { "conditional" };
            (category || !parameter.when.is_empty()).then(|| (parameter.name.clone(), why))
        });
        if let Some((name, why)) = refused {
            let what = format!("Gradient needs numbers that are always active, {name:?} is {why}; use Forest or TPE");
            return Err(SettingError::new("algorithm.name", what));
        }
        let real = |domain: &Domain| matches!(domain, Domain::Double { step: None, .. });
        match space.parameters().iter().find(|parameter| !real(&parameter.domain)) {
            Some(parameter) if gradient.derivatives == Derivatives::Reported => {
                let what = format!(
                    "there is no derivative by {:?}, which is no real number without a step; write Estimated, or use Auto or CMA-ES",
                    parameter.name
                );
                Err(SettingError::new("algorithm.settings.derivatives", what))
            }
            _ => Ok(Box::new(gradient)),
        }
    }

    /// A step along the derivatives that were reported; a first point where there are none.
    fn descend(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        let descent = Descent::after(request.space, request.history, self.step);
        let mut rng = generator(request);
        let (mut draws, mut factor) = (0_u64, 1.0);
        let first = request.history.is_empty() && request.pending.is_empty();
        unrepeated(request, self.allow_repeats, rng.random(), || {
            (draws, factor) = (draws + 1, if draws > 0 { factor / 2.0 } else { factor });
            match descent.next(request.pending.len(), factor, &mut rng) {
                Some(point) if draws <= DIRECTIONS => request.space.decode(&point),
                None if first && draws == 1 => request.space.decode(&[]),
                _ => uniform(request.space, &mut rng),
            }
        })
    }

    /// The present point: where the pairs that have ended lead to.
    fn present(&self, request: &Request<'_>) -> Vec<f64> {
        let space = request.space;
        let mut trials = request.history.iter().peekable();
        let mut present: Option<Vec<f64>> = None;
        let (mut steps, mut pairs, mut steepness) = (0.0, 0.0, 0.0);
        while let Some(first) = trials.next() {
            let second = trials.next_if(|second| first.index.is_multiple_of(2) && second.index == first.index + 1);
            let Some(second) = second else { continue };
            let (a, b) = (space.encode(&first.assignment), space.encode(&second.assignment));
            let across: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
            let distance = across.iter().map(|x| x * x).sum::<f64>().sqrt();
            let point = present.get_or_insert_with(|| a.iter().zip(&b).map(|(a, b)| (a + b) / 2.0).collect());
            let Some(slope) = slope(first, second, distance) else { continue };
            // A pair of which one failed has a slope of mean size.
            let relative = if slope.is_infinite() {
                slope.signum()
            } else {
                pairs += 1.0;
                steepness += slope.abs();
                if steepness > 0.0 { slope / steepness * pairs } else { 0.0 }
            };
            steps += 1.0;
            let gain = self.step * ((1.0 + STEADY) / (steps + STEADY)).powf(STEP_DECAY);
            let step = gain * relative.clamp(-STEEPEST, STEEPEST) * (across.len() as f64).sqrt();
            for (place, across) in point.iter_mut().zip(&across) {
                *place = (*place - step * across / distance).clamp(0.0, 1.0);
            }
        }
        present.unwrap_or_else(|| vec![0.5; space.parameters().len()])
    }
}

impl Tuner for Gradient {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        if self.derivatives == Derivatives::Reported {
            return self.descend(request);
        }
        let pair = request.index / 2;
        let half = self.perturbation / (pair as f64 + 1.0).powf(PERTURBATION_DECAY);
        let (from, mut width) = match partner(request) {
            Some(other) => (request.space.encode(other), -2.0 * half),
            None if request.index.is_multiple_of(2) => (self.present(request), half),
            None => (self.present(request), -half),
        };
        let mut draws = 0_u64;
        let mut rng = generator(request);
        unrepeated(request, self.allow_repeats, rng.random(), || {
            if draws == DIRECTIONS {
                return uniform(request.space, &mut rng);
            }
            let moved = |(at, place): (usize, &f64)| {
                let levels = request.space.parameters()[at].domain.levels();
                // A pair has different levels.
                let least = levels.map_or(0.0, |levels| 0.5 / levels as f64) * width / half;
                let up = uniform_of(request.seed, pair, draws << 32 | at as u64) < 0.5;
                let by = if width.abs() > least.abs() { width } else { least };
                place + if up { by } else { -by }
            };
            let point: Vec<f64> = from.iter().enumerate().map(moved).collect();
            (draws, width) = (draws + 1, width * WIDENING);
            request.space.decode(&point)
        })
    }

    fn note(&self, request: &Request<'_>) -> Option<String> {
        if self.derivatives == Derivatives::Estimated {
            return None;
        }
        Some(match Descent::after(request.space, request.history, self.step).from() {
            Some(index) => format!("a step from the trial of index {index}, along the derivatives that it reported"),
            None => "a new start: there is no trial to descend from that has reported all derivatives".to_owned(),
        })
    }
}

/// The other trial of the pair, for the second one.
fn partner<'a>(request: &'a Request<'_>) -> Option<&'a Assignment> {
    let index = request.index.checked_sub(1).filter(|index| index.is_multiple_of(2))?;
    let pending = request.pending.iter().find(|pending| pending.index == index).map(|pending| &pending.assignment);
    pending.or_else(|| {
        request.history.before(request.index).next_back().filter(|f| f.index == index).map(|f| &f.assignment)
    })
}

/// Of the loss along the way from the second to the first; infinite when one of them failed, `None` when both did or they
/// are one point.
fn slope(first: &Finished, second: &Finished, distance: f64) -> Option<f64> {
    let (a, b) = (first.outcome.loss(), second.outcome.loss());
    // Halved first, so that the difference does not overflow.
    let slope = if a == b { 0.0 } else { (a / 2.0 - b / 2.0) / distance };
    (distance > 0.0 && (a.is_finite() || b.is_finite())).then_some(slope)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Parameter, Scale};
    use crate::tuner::{History, Outcome, Pending};

    fn space(dimensions: usize) -> SearchSpace {
        let domain = Domain::Double { min: 0.0, max: 1.0, scale: Scale::Linear, step: None };
        let parameter = |at| Parameter { name: format!("p{at}"), domain: domain.clone(), when: vec![] };
        SearchSpace::new((0..dimensions).map(parameter).collect(), &[]).unwrap()
    }

    const GRADIENT: Gradient =
        Gradient { allow_repeats: false, step: 0.1, perturbation: 0.05, derivatives: Derivatives::Estimated };

    /// So many trials, `parallel` at a time.
    fn run(space: &SearchSpace, trials: u64, parallel: u64, loss: impl Fn(&[f64]) -> f64) -> History {
        let mut history = History::new(space);
        for first in (0..trials).step_by(parallel as usize) {
            let mut pending: Vec<Pending> = Vec::new();
            for index in first..first + parallel {
                let request = Request { space, history: &history, pending: &pending, seed: 3, index };
                pending.push(Pending::new(index, GRADIENT.suggest(&request).unwrap().assignment));
            }
            for Pending { index, assignment, .. } in pending {
                let losses = vec![loss(&space.encode(&assignment))];
                history.insert(Finished::new(index, assignment, Outcome::Complete { losses }));
            }
        }
        history
    }

    #[test]
    fn pairs_lie_opposite_and_lead_downhill() {
        let space = space(10);
        for (parallel, scale) in [(1, 1.0), (2, 1e280), (8, 1e-280)] {
            let history = run(&space, 400, parallel, |x| scale * x.iter().map(|x| (x - 0.7).powi(2)).sum::<f64>());
            let (first, second) = (&history.iter().next().unwrap(), history.iter().nth(1).unwrap());
            let (a, b) = (space.encode(&first.assignment), space.encode(&second.assignment));
            assert!(a.iter().zip(&b).all(|(a, b)| (a + b - 1.0).abs() < 1e-9 && ((a - b).abs() - 0.1).abs() < 1e-9));
            let request = Request { space: &space, history: &history, pending: &[], seed: 3, index: 400 };
            let present = GRADIENT.present(&request);
            assert!(present.iter().all(|x| (x - 0.7).abs() < 0.1), "{parallel} at a time: {present:?}");
        }
    }

    #[test]
    fn failures_are_uphill() {
        let space = space(2);
        let mut history = History::new(&space);
        let outcomes = [(0.4, Outcome::Failed), (0.6, Outcome::Complete { losses: vec![1.0] })];
        for (index, (place, outcome)) in (0..).zip(outcomes) {
            history.insert(Finished::new(index, space.decode(&[place; 2]), outcome));
        }
        let request = Request { space: &space, history: &history, pending: &[], seed: 3, index: 2 };
        let present = GRADIENT.present(&request);
        assert!(present.iter().all(|x| (x - 0.6).abs() < 1e-9), "{present:?}");
    }
}
