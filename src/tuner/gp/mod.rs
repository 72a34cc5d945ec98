//! Bayesian optimisation with a Gaussian process.
//!
//! Jones, Schonlau and Welch, 1998 (expected improvement); Snoek, Larochelle and Adams, 2012
//! (<https://arxiv.org/abs/1206.2944>); what is newer stands beside its part. Losses are warped, a Gaussian process with a
//! Matern kernel is fitted to them, and the configuration with the highest expected improvement wins. Categories and
//! parameters that are not always active have kernels of their own; whole numbers are where they are when looked at, not
//! between. Running trials are expected to come out as the model believes.

mod acquisition;
mod factor;
mod features;
mod fit;
mod front;
mod growth;
mod improvement;
mod kernel;
mod minimise;
mod posterior;
mod search;
mod trials;
mod turbo;
mod warp;

pub(super) use growth::{Growth, Interval};
pub(super) use turbo::Turbo;

use super::settings::{SettingError, Settings};
use super::sobol::spread;
use super::unrepeated::{Tried, unrepeated};
use super::{Finished, NoSuggestion, Pending, Request, Suggestion, Tuner, generator, pareto};
use crate::space::{Assignment, SearchSpace};
use acquisition::{Acquisition, Limit};
use features::{Features, Point};
use fit::fit;
use kernel::Hyperparameters;
use posterior::Posterior;
use rand::{Rng, RngExt};
use search::Search;
use std::collections::BTreeMap;
use std::sync::Mutex;
use trials::Trials;

/// Trials whose neighbourhood is searched more closely.
const BEST: usize = 5;
/// Of several objectives: trials among which these are found, three times.
const POOL: usize = 100;

/// The optimiser.
pub(super) struct Gp {
    allow_repeats: bool,
    /// Trials before the model is asked; those of a Sobol sequence.
    pub startup_trials: usize,
    features: Features,
    /// The last fit, with what it was fitted to, by objective and then by outcome constraint.
    fitted: Mutex<BTreeMap<usize, Fitted>>,
}

struct Fitted {
    points: Vec<Point>,
    targets: Vec<f64>,
    hyperparameters: Hyperparameters,
}

impl Gp {
    /// From its settings.
    pub fn make(settings: &mut Settings<'_>, space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        let allow_repeats = settings.allow_repeats();
        let startup_trials = settings.whole("startupTrials", 10, 0..=10_000) as usize;
        Ok(Box::new(Gp::new(allow_repeats, startup_trials, space)))
    }

    pub fn new(allow_repeats: bool, startup_trials: usize, space: &SearchSpace) -> Self {
        Gp { allow_repeats, startup_trials, features: Features::new(space), fitted: Mutex::default() }
    }
}

impl Tuner for Gp {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        let mut rng = generator(request);
        if request.history.len() >= self.startup_trials
            && let Some(assignment) = self.model(request, &mut rng)
        {
            return Ok(Suggestion::new(assignment));
        }
        let mut scrambling = 0;
        let draw = || {
            scrambling += 1;
            request.space.decode(&spread(request, request.index, scrambling - 1))
        };
        unrepeated(request, self.allow_repeats, rng.random(), draw)
    }
}

impl Gp {
    /// The configuration that the model wants; `None` when there is nothing to model or no configuration is allowed.
    fn model(&self, request: &Request<'_>, rng: &mut impl Rng) -> Option<Assignment> {
        let space = request.space;
        let trials = Trials::new(request.history, space.parameters().len());
        if trials.modelled.is_empty() {
            return None;
        }
        let point = |assignment: &Assignment| self.features.point(space, assignment);
        let objectives = request.history.objectives();
        let points = |trials: &[&Finished]| trials.iter().map(|finished| point(&finished.assignment)).collect();
        let model = |which: usize, fitted: Vec<f64>, targets: &[f64]| {
            let hyperparameters = self.fitted(which, points(&trials.fitted), fitted);
            Posterior::new(&self.features.kinds, hyperparameters, points(&trials.modelled), targets)
        };
        let of_objective = |which: usize| {
            let targets = |some: &[&Finished]| warp::standardised(&trials::losses(some, which));
            model(which, targets(&trials.fitted), &targets(&trials.modelled))
        };
        let of_constraint = |which: usize| {
            let (targets, most) = trials::excesses(&trials.modelled, which);
            let posterior = model(objectives + which, trials::excesses(&trials.fitted, which).0, &targets);
            Limit { posterior, most }
        };
        let posteriors: Vec<Posterior<'_>> = (0..objectives).map(of_objective).collect();
        let constraints = trials.modelled.iter().map(|finished| finished.excesses.len()).max().unwrap_or(0);
        let limits: Vec<Limit<'_>> = (0..constraints).map(of_constraint).collect();
        let failed = trials.failed.iter().map(|finished| point(&finished.assignment)).collect();
        // Sums of real numbers depend on their order; the answer must not.
        let mut pending: Vec<&Pending> = request.pending.iter().collect();
        pending.sort_unstable_by_key(|pending| pending.index);
        let pending = pending.into_iter().map(|pending| point(&pending.assignment));
        let holds = |at: usize| trials.modelled.get(at).is_some_and(|finished| finished.violation() == 0.0);
        let acquisition = Acquisition::of(posteriors, limits, &holds, failed, pending);
        let tried = (!self.allow_repeats && space.cardinality().is_some()).then(|| Tried::new(request));
        let free = |assignment: &Assignment| tried.as_ref().is_none_or(|tried| !tried.contains(assignment));
        let best: Vec<&Finished> = match objectives {
            1 => request.history.ranked().take(BEST).collect(),
            _ => pareto::best(&pareto::pool(request.history, POOL), BEST),
        };
        let best: Vec<&Assignment> = best.into_iter().map(|finished| &finished.assignment).collect();
        // Scrambled anew for each trial, and not as for the trials that the sequence itself gives.
        let scrambling = rng.random_range(1 << 16..1 << 30);
        let spread = |number| spread(request, u64::from(number), scrambling);
        let search = Search { space, features: &self.features, acquisition: &acquisition, free: &free };
        search.run(&best, spread, rng)
    }

    /// The fit, or the last one of this model if that was of the same data.
    fn fitted(&self, which: usize, points: Vec<Point>, targets: Vec<f64>) -> Hyperparameters {
        let Ok(mut fitted) = self.fitted.lock() else { return fit(&self.features.kinds, &points, &targets) };
        if let Some(fitted) = fitted.get(&which).filter(|last| last.points == points && last.targets == targets) {
            return fitted.hyperparameters.clone();
        }
        let hyperparameters = fit(&self.features.kinds, &points, &targets);
        fitted.insert(which, Fitted { points, targets, hyperparameters: hyperparameters.clone() });
        hyperparameters
    }
}
