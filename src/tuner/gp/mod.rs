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
use super::{NoSuggestion, Pending, Request, Suggestion, Tuner, generator};
use crate::space::{Assignment, SearchSpace};
use acquisition::Acquisition;
use features::{Features, Point};
use fit::fit;
use kernel::Hyperparameters;
use posterior::Posterior;
use rand::{Rng, RngExt};
use search::Search;
use std::sync::Mutex;
use trials::Trials;

/// Trials whose neighbourhood is searched more closely.
const BEST: usize = 5;

/// The optimiser.
pub(super) struct Gp {
    allow_repeats: bool,
    /// Trials before the model is asked; those of a Sobol sequence.
    pub startup_trials: usize,
    features: Features,
    /// The last fit, with what it was fitted to.
    fitted: Mutex<Option<Fitted>>,
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
        Gp { allow_repeats, startup_trials, features: Features::new(space), fitted: Mutex::new(None) }
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
        let hyperparameters = self.fitted(
            trials.fitted.iter().map(|finished| point(&finished.assignment)).collect(),
            warp::standardised(&trials::losses(&trials.fitted)),
        );
        let points = trials.modelled.iter().map(|finished| point(&finished.assignment)).collect();
        let targets = warp::standardised(&trials::losses(&trials.modelled));
        let posterior = Posterior::new(&self.features.kinds, hyperparameters, points, &targets);
        let failed = trials.failed.iter().map(|finished| point(&finished.assignment)).collect();
        // Sums of real numbers depend on their order; the answer must not.
        let mut pending: Vec<&Pending> = request.pending.iter().collect();
        pending.sort_unstable_by_key(|pending| pending.index);
        let pending = pending.into_iter().map(|pending| point(&pending.assignment));
        let acquisition = Acquisition::new(posterior, failed, pending);
        let tried = (!self.allow_repeats && space.cardinality().is_some()).then(|| Tried::new(request));
        let free = |assignment: &Assignment| tried.as_ref().is_none_or(|tried| !tried.contains(assignment));
        let best: Vec<&Assignment> = request.history.ranked().take(BEST).map(|finished| &finished.assignment).collect();
        // Scrambled anew for each trial, and not as for the trials that the sequence itself gives.
        let scrambling = rng.random_range(1 << 16..1 << 30);
        let spread = |number| spread(request, u64::from(number), scrambling);
        let search = Search { space, features: &self.features, acquisition: &acquisition, free: &free };
        search.run(&best, spread, rng)
    }

    /// The fit, or the last one if that was of the same data.
    fn fitted(&self, points: Vec<Point>, targets: Vec<f64>) -> Hyperparameters {
        let Ok(mut fitted) = self.fitted.lock() else { return fit(&self.features.kinds, &points, &targets) };
        if let Some(fitted) = fitted.as_ref().filter(|last| last.points == points && last.targets == targets) {
            return fitted.hyperparameters.clone();
        }
        let hyperparameters = fit(&self.features.kinds, &points, &targets);
        *fitted = Some(Fitted { points, targets, hyperparameters: hyperparameters.clone() });
        hyperparameters
    }
}
