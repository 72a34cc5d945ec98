//! TuRBO: a Gaussian process in a trust region (Eriksson et al., 2019, <https://arxiv.org/abs/1910.01739>), for many
//! dimensions.
//!
//! The region is a box around its best trial. It grows when trials improve on each other and shrinks when they do not; one
//! that has become tiny is given up for a new one, which begins with trials of a Sobol sequence. Where the region stands is
//! found by going through the history. Of the points in it the one of the highest expected improvement is next, where the
//! paper draws one from the posterior; running trials are expected to come out as the model believes.

use super::super::sobol::spread;
use super::super::unrepeated::{Tried, unrepeated};
use super::super::{Finished, History, NoSuggestion, Pending, Request, Suggestion, Tuner, generator};
use super::acquisition::Acquisition;
use super::posterior::Posterior;
use super::trials::{self, Trials};
use super::{Gp, SettingError, Settings, warp};
use crate::space::{Assignment, Domain, SearchSpace};
use rand::{Rng, RngExt};

/// Lengths of the box, in widths of the space: at first, at most, and where it is given up.
const FIRST: f64 = 0.8;
const LARGEST: f64 = 1.6;
const LEAST: f64 = 1.0 / 128.0;
/// Improvements in a row that double the box.
const SUCCESSES: usize = 3;
/// Share of the best loss that a better one must be better by.
const IMPROVEMENT: f64 = 1e-3;
/// Parameters in which a candidate differs from the best trial, on average at most.
const CHANGED: f64 = 20.0;
/// Candidates to look at, and how many multiplications they may take together: a larger model gets fewer.
const CANDIDATES: usize = 2000;
const LEAST_CANDIDATES: usize = 128;
const WORK: usize = 20_000_000;

/// The optimiser.
pub(in crate::tuner) struct Turbo {
    model: Gp,
    /// Trials that a region begins with; `None`: by the number of parameters.
    startup_trials: Option<usize>,
}

/// The trust region.
struct Region {
    /// How many trials of the history are before it.
    before: usize,
    /// How many are in it.
    trials: usize,
    length: f64,
}

impl Turbo {
    /// From its settings.
    pub fn make(settings: &mut Settings<'_>, space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        let allow_repeats = settings.allow_repeats();
        let startup_trials = settings.whole("startupTrials", 0, 0..=10_000) as usize;
        Ok(Box::new(Turbo {
            model: Gp::new(allow_repeats, startup_trials, space),
            startup_trials: Some(startup_trials).filter(|count| *count > 0),
        }))
    }

    fn startup_trials(&self, space: &SearchSpace) -> usize {
        self.startup_trials.unwrap_or((2 * space.parameters().len()).clamp(4, 40))
    }

    /// The best candidate; `None` when there is nothing to model or no candidate is allowed.
    fn candidate(&self, request: &Request<'_>, region: &Region, rng: &mut impl Rng) -> Option<Assignment> {
        let space = request.space;
        let inside = || request.history.iter().skip(region.before);
        // A person may have tried what is outside of the space.
        let within =
            inside().filter_map(|finished| Some((finished.outcome.loss(), space.check(&finished.assignment).ok()?)));
        let finite = within.filter(|(loss, _)| loss.is_finite());
        let (_, centre) = finite.min_by(|(a, _), (b, _)| a.total_cmp(b))?;
        let features = &self.model.features;
        let trials = Trials::of(inside(), space.parameters().len());
        let point = |finished: &&Finished| features.point(space, &finished.assignment);
        let hyperparameters = self.model.fitted(
            0,
            trials.fitted.iter().map(point).collect(),
            warp::standardised(&trials::losses(&trials.fitted, 0)),
        );
        let lengths = box_of(region.length, &hyperparameters.inverse_lengths);
        let targets = warp::standardised(&trials::losses(&trials.modelled, 0));
        let points = trials.modelled.iter().map(point).collect();
        let posterior = Posterior::new(&features.kinds, hyperparameters, points, &targets);
        // Sums of real numbers depend on their order; the answer must not.
        let mut pending: Vec<&Pending> = request.pending.iter().collect();
        pending.sort_unstable_by_key(|pending| pending.index);
        let pending = pending.into_iter().map(|pending| features.point(space, &pending.assignment));
        let acquisition = Acquisition::new(posterior, trials.failed.iter().map(point).collect(), pending);
        let finite = !self.model.allow_repeats && space.cardinality().is_some();
        let tried = Tried::new(request);
        let place = space.encode(&centre);
        let work = WORK / acquisition.work();
        let wanted = work.clamp(LEAST_CANDIDATES, CANDIDATES).min(100 * place.len());
        let candidates = (0..space.effort().min(wanted as u64)).map(|_| near(space, &centre, &place, &lengths, rng));
        let free = candidates.filter(|a| space.satisfies(a) && !(finite && tried.contains(a)));
        let scored = free.map(|assignment| (acquisition.score(&features.point(space, &assignment)), assignment));
        let best = scored.filter(|(score, _)| !score.is_nan()).max_by(|a, b| a.0.total_cmp(&b.0));
        best.map(|(_, assignment)| assignment)
    }
}

impl Tuner for Turbo {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        let mut rng = generator(request);
        let startup_trials = self.startup_trials(request.space);
        let region = Region::of(request.history, request.space.parameters().len(), startup_trials);
        if region.trials >= startup_trials
            && let Some(assignment) = self.candidate(request, &region, &mut rng)
        {
            return Ok(Suggestion::new(assignment));
        }
        let mut scrambling = 0;
        let draw = || {
            scrambling += 1;
            request.space.decode(&spread(request, request.index, scrambling - 1))
        };
        unrepeated(request, self.model.allow_repeats, rng.random(), draw)
    }
}

impl Region {
    /// The one that stands after all these trials.
    fn of(history: &History, dimensions: usize, startup_trials: usize) -> Self {
        let patience = dimensions.max(4);
        let mut region = Region { before: 0, trials: 0, length: FIRST };
        let (mut best, mut successes, mut failures) = (f64::INFINITY, 0, 0);
        for (at, finished) in history.iter().enumerate() {
            let loss = finished.outcome.loss();
            region.trials += 1;
            if region.trials > startup_trials {
                let better = loss < best - IMPROVEMENT * best.abs();
                (successes, failures) = if better { (successes + 1, 0) } else { (0, failures + 1) };
            }
            best = best.min(loss);
            if successes == SUCCESSES {
                (region.length, successes) = ((2.0 * region.length).min(LARGEST), 0);
            }
            if failures == patience {
                (region.length, failures) = (region.length / 2.0, 0);
            }
            if region.length < LEAST {
                region = Region { before: at + 1, trials: 0, length: FIRST };
                (best, successes, failures) = (f64::INFINITY, 0, 0);
            }
        }
        region
    }
}

/// Lengths of the box by parameter: longer where the function changes slowly, its volume as if all were alike.
fn box_of(length: f64, inverse_lengths: &[f64]) -> Vec<f64> {
    let logarithms = || inverse_lengths.iter().map(|inverse| -0.5 * inverse.ln());
    let mean = logarithms().sum::<f64>() / inverse_lengths.len().max(1) as f64;
    logarithms().map(|logarithm| length * (logarithm - mean).exp()).collect()
}

/// The centre with some parameters changed: numbers within the box, categories to any, the fewer the smaller the box.
fn near(space: &SearchSpace, centre: &Assignment, place: &[f64], lengths: &[f64], rng: &mut impl Rng) -> Assignment {
    let share = (CHANGED / place.len().max(1) as f64).min(1.0);
    let changed = rng.random_range(0..place.len().max(1));
    let mut given = centre.clone();
    let mut point = Vec::with_capacity(place.len());
    for (at, ((parameter, place), length)) in space.parameters().iter().zip(place).zip(lengths).enumerate() {
        let (uniform, chance) = (rng.random::<f64>(), rng.random::<f64>());
        let is_changed = at == changed || chance < share;
        let share = if matches!(parameter.domain, Domain::Categorical { .. }) { length.min(1.0) } else { 1.0 };
        let (low, high) = ((place - length / 2.0).max(0.0), (place + length / 2.0).min(1.0));
        if is_changed && rng.random::<f64>() < share {
            given.remove(&parameter.name);
        }
        point.push(match (centre.contains_key(&parameter.name), &parameter.domain) {
            (false, _) | (true, Domain::Categorical { .. }) => uniform,
            _ => low + uniform * (high - low),
        });
    }
    space.prune(space.decode_around(&given, &point))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Parameter, Scale};
    use crate::tuner::Outcome;

    fn history(losses: impl IntoIterator<Item = f64>) -> History {
        let domain = Domain::Double { min: 0.0, max: 1.0, scale: Scale::Linear, step: None };
        let parameter = Parameter { name: "x".into(), domain, when: vec![] };
        let space = SearchSpace::new(vec![parameter], &[]).unwrap();
        let mut history = History::new(&space);
        for (index, loss) in (0..).zip(losses) {
            history.insert(Finished::new(index, space.decode(&[0.5]), Outcome::Complete { losses: vec![loss] }));
        }
        history
    }

    #[test]
    fn regions_grow_shrink_and_begin_again() {
        let falling = |count: usize| (0..count).map(|at| 100.0 - at as f64);
        let flat = |count: usize| std::iter::repeat_n(7.0, count);
        let table: [(&str, History, usize, usize, f64); 7] = [
            ("startup", history(falling(4)), 0, 4, 0.8),
            ("two better ones", history(falling(6)), 0, 6, 0.8),
            ("three better ones", history(falling(7)), 0, 7, 1.6),
            ("no larger", history(falling(30)), 0, 30, 1.6),
            ("four that are not better", history(flat(8)), 0, 8, 0.4),
            ("failed ones", history(flat(4).chain([f64::NAN; 8])), 0, 12, 0.2),
            // Seven halvings, of four trials each.
            ("given up", history(flat(4 + 28 + 3)), 32, 3, 0.8),
        ];
        for (label, history, before, trials, length) in table {
            let region = Region::of(&history, 2, 4);
            assert_eq!((region.before, region.trials), (before, trials), "{label}");
            assert!((region.length - length).abs() < 1e-12, "{label}: {}", region.length);
        }
    }

    /// The best trial is of a person, and outside of the space: the region stands around the best one inside.
    #[test]
    fn what_is_outside_is_no_centre() {
        let domain = Domain::Double { min: 0.0, max: 1.0, scale: Scale::Linear, step: None };
        let parameters = vec![Parameter { name: "x".into(), domain, when: vec![] }];
        let space = SearchSpace::new(parameters, &[]).unwrap();
        let tuner = Turbo { model: Gp::new(false, 4, &space), startup_trials: Some(4) };
        let mut history = History::new(&space);
        for (index, x) in (0..).zip([-1.0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]) {
            let assignment = [("x".to_owned(), crate::space::Value::Double(x))].into();
            history.insert(Finished::new(index, assignment, Outcome::Complete { losses: vec![x] }));
        }
        let request = |index| Request { space: &space, history: &history, pending: &[], seed: 1, index };
        let near = |index| tuner.suggest(&request(index)).unwrap().assignment["x"].as_f64().unwrap() < 0.35;
        assert!((10..20).all(near));
    }

    #[test]
    fn boxes_keep_their_volume() {
        let lengths = box_of(0.4, &[1.0, 100.0, 0.01]);
        assert!((lengths.iter().product::<f64>() - 0.4_f64.powi(3)).abs() < 1e-12, "{lengths:?}");
        assert!(lengths[1] < lengths[0] && lengths[0] < lengths[2], "{lengths:?}");
    }
}
