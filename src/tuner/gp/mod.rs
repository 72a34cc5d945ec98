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
use search::{Pool, Search};
use std::collections::BTreeMap;
use std::sync::Mutex;
use trials::Trials;

/// Trials whose neighbourhood is searched more closely.
const BEST: usize = 5;
/// Of several objectives: trials among which these are found, three times.
const POOL: usize = 100;
/// Random streams from here on are for suggestions beside each other, by how many trials have ended.
const BATCHES: u64 = 1 << 63;

/// The optimiser.
pub(super) struct Gp {
    allow_repeats: bool,
    /// Trials before the model is asked; those of a Sobol sequence.
    pub startup_trials: usize,
    features: Features,
    /// The last fit, with what it was fitted to, by objective and then by outcome constraint.
    fitted: Mutex<BTreeMap<usize, Fitted>>,
    /// What the last suggestion was found with: those beside it are found with the same.
    batch: Mutex<Option<Batch>>,
}

/// Suggestions beside each other: the same history, and ever more that is pending.
struct Batch {
    seed: u64,
    /// [`History::stamp`].
    history: u64,
    pending: Vec<Point>,
    acquisition: Acquisition,
    pool: Pool,
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
        let features = Features::new(space);
        Gp { allow_repeats, startup_trials, features, fitted: Mutex::default(), batch: Mutex::default() }
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

    fn forget(&self) {
        if let Ok(mut batch) = self.batch.lock() {
            *batch = None;
        }
    }
}

impl Gp {
    /// The configuration that the model wants; `None` when there is nothing to model or no configuration is allowed.
    fn model(&self, request: &Request<'_>, rng: &mut impl Rng) -> Option<Assignment> {
        let space = request.space;
        // Sums of real numbers depend on their order; the answer must not.
        let mut pending: Vec<&Pending> = request.pending.iter().collect();
        pending.sort_unstable_by_key(|pending| pending.index);
        let pending: Vec<Point> =
            pending.into_iter().map(|pending| self.features.point(space, &pending.assignment)).collect();
        // Taken out, so that nothing half done is left if this panics.
        let last = self.batch.lock().ok().and_then(|mut batch| batch.take());
        let goes_on = |batch: &Batch| {
            (batch.seed, batch.history) == (request.seed, request.history.stamp())
                && pending.starts_with(&batch.pending)
        };
        let mut batch = match last.filter(goes_on) {
            Some(batch) => batch,
            None => self.batch(request)?,
        };
        batch.acquisition.expect(pending.get(batch.pending.len()..).unwrap_or_default());
        batch.pending = pending;
        let tried = (!self.allow_repeats && space.cardinality().is_some()).then(|| Tried::new(request));
        let free = |assignment: &Assignment| tried.as_ref().is_none_or(|tried| !tried.contains(assignment));
        let search = Search { space, features: &self.features, acquisition: &batch.acquisition, free: &free };
        let found = search.run(&mut batch.pool, batch.pending.len(), rng);
        if let Ok(mut kept) = self.batch.lock() {
            *kept = Some(batch);
        }
        found
    }

    /// Of this history, while nothing is pending. `None` when there is nothing to model.
    fn batch(&self, request: &Request<'_>) -> Option<Batch> {
        let (space, history) = (request.space, request.history);
        let trials = Trials::new(history, space.parameters().len());
        if trials.modelled.is_empty() {
            return None;
        }
        let point = |finished: &&Finished| self.features.point(space, &finished.assignment);
        let points = |trials: &[&Finished]| trials.iter().map(point).collect::<Vec<Point>>();
        let (fitted, modelled) = (points(&trials.fitted), points(&trials.modelled));
        let objectives = history.objectives();
        let model = |which: usize, targets_fitted: Vec<f64>, targets: &[f64]| {
            let hyperparameters = self.fitted(which, fitted.clone(), targets_fitted);
            Posterior::new(&self.features.kinds, hyperparameters, modelled.clone(), targets)
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
        let posteriors: Vec<Posterior> = (0..objectives).map(of_objective).collect();
        let constraints = trials.modelled.iter().map(|finished| finished.excesses.len()).max().unwrap_or(0);
        let limits: Vec<Limit> = (0..constraints).map(of_constraint).collect();
        let holds = |at: usize| trials.modelled.get(at).is_some_and(|finished| finished.violation() == 0.0);
        let acquisition = Acquisition::of(posteriors, limits, &holds, points(&trials.failed));
        let best: Vec<&Finished> = match objectives {
            1 => history.ranked().take(BEST).collect(),
            _ => pareto::best(&pareto::pool(history, POOL), BEST),
        };
        // Not the stream of any trial, since those beside each other have the same; anew for each history.
        let mut rng = generator(request);
        rng.set_stream(BATCHES | history.len() as u64);
        // Not scrambled as for the trials that the sequence itself gives.
        let scrambling = rng.random_range(1 << 16..1 << 30);
        let spread = |number| spread(request, u64::from(number), scrambling);
        let pool = Pool::new(space, &self.features, &acquisition, &best, spread, &mut rng);
        let (seed, history) = (request.seed, history.stamp());
        Some(Batch { seed, history, pending: Vec::new(), acquisition, pool })
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
