//! NSGA-II (Deb et al., 2002, <https://doi.org/10.1109/4235.996017>), for several objectives.
//!
//! The population is the best of the trials that have ended: front by front, and of a front the lonelier ones. Two parents
//! are winners of tournaments; their child is crossed (simulated binary crossover, Deb and Agrawal, 1995) and mutated
//! (polynomially). A child joins as soon as it has ended, not with its generation (Durillo et al., 2009,
//! <https://doi.org/10.1007/978-3-642-01020-0_18>: the steady state finds better fronts), so that parallel trials never wait.

use super::random::uniform;
use super::settings::{SettingError, Settings};
use super::unrepeated::unrepeated;
use super::{NoSuggestion, Request, Suggestion, Tuner, generator, pareto};
use crate::space::{Assignment, Domain, SearchSpace};
use rand::{Rng, RngExt};

/// The algorithm.
pub(super) struct GeneticNsga2 {
    allow_repeats: bool,
    /// Trials to be parents; the first so many are random.
    population: usize,
    /// Chance that parents are crossed at all.
    crossover: f64,
    /// Distribution indices: the higher, the nearer a child is to a parent.
    crossover_index: f64,
    mutation_index: f64,
}

/// A parent.
struct Parent {
    assignment: Assignment,
    places: Vec<f64>,
}

impl Tuner for GeneticNsga2 {
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        let mut rng = generator(request);
        let start = rng.random();
        let population = self.population(request);
        unrepeated(request, self.allow_repeats, start, || match population.is_empty() {
            true => uniform(request.space, &mut rng),
            false => self.child(request.space, &population, &mut rng),
        })
    }
}

impl GeneticNsga2 {
    /// From its settings.
    pub fn make(settings: &mut Settings<'_>, _space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        Ok(Box::new(GeneticNsga2 {
            allow_repeats: settings.allow_repeats(),
            population: settings.whole("population", 20, 4..=1_000) as usize,
            crossover: settings.real("crossover", 0.9, 0.0..=1.0),
            crossover_index: settings.real("crossoverIndex", 15.0, 0.0..=1_000.0),
            mutation_index: settings.real("mutationIndex", 20.0, 0.0..=1_000.0),
        }))
    }

    /// The best, in their order; none until so many trials have ended.
    fn population(&self, request: &Request<'_>) -> Vec<Parent> {
        if request.history.len() < self.population {
            return Vec::new();
        }
        let pool = pareto::pool(request.history, self.population);
        let best = pareto::order(&pool).into_iter().take(self.population).filter_map(|at| pool.get(at));
        // What a person tried outside of the space has no children in it.
        best.filter_map(|finished| request.space.check(&finished.assignment).ok())
            .map(|assignment| Parent { places: request.space.encode(&assignment), assignment })
            .collect()
    }

    /// Constraints need not hold.
    fn child(&self, space: &SearchSpace, population: &[Parent], rng: &mut impl Rng) -> Assignment {
        // Of two the better one: the population is in order.
        let mut winner = || rng.random_range(0..population.len()).min(rng.random_range(0..population.len()));
        let (first, second) = (winner(), winner());
        let (Some(first), Some(second)) = (population.get(first), population.get(second)) else {
            return uniform(space, rng);
        };
        let crossed = rng.random::<f64>() < self.crossover;
        let rate = 1.0 / first.assignment.len().max(1) as f64;
        let gene = |(at, parameter): (usize, &crate::space::Parameter)| {
            let place = |parent: &Parent| {
                let active = parent.assignment.contains_key(&parameter.name);
                active.then(|| parent.places.get(at).copied()).flatten()
            };
            let numeric = !matches!(parameter.domain, Domain::Categorical { .. });
            // The same draws whatever the parents are.
            let (spread, side, mutates, change): (f64, f64, f64, f64) =
                (rng.random(), rng.random(), rng.random(), rng.random());
            let inherited = match (place(first), place(second)) {
                (Some(a), Some(b)) if crossed && numeric => self.between(a, b, spread, side),
                (Some(a), Some(b)) => {
                    if crossed && side < 0.5 {
                        b
                    } else {
                        a
                    }
                }
                (Some(one), None) | (None, Some(one)) => one,
                (None, None) => return change,
            };
            match (mutates < rate, numeric) {
                (false, _) => inherited,
                (true, true) => self.mutated(inherited, change),
                (true, false) => change,
            }
        };
        let places: Vec<f64> = space.parameters().iter().enumerate().map(gene).collect();
        space.decode(&places)
    }

    /// Simulated binary crossover within the unit interval; one of the two children.
    fn between(&self, a: f64, b: f64, spread: f64, side: f64) -> f64 {
        // Half of the parameters are crossed, as in the paper.
        let (side, crossed) = if side < 0.5 { (2.0 * side, true) } else { (2.0 * side - 1.0, false) };
        let (low, high) = (a.min(b), a.max(b));
        if !crossed || high - low < 1e-12 {
            return a;
        }
        let power = self.crossover_index + 1.0;
        // The paper's beta_q, with the distance to the end of the range on the child's side.
        let beta = |room: f64| {
            let alpha = 2.0 - (1.0 + 2.0 * room / (high - low)).powf(-power);
            let base = if spread <= 1.0 / alpha { spread * alpha } else { 1.0 / (2.0 - spread * alpha) };
            base.powf(1.0 / power)
        };
        let (middle, half) = (0.5 * (low + high), 0.5 * (high - low));
        let child = if side < 0.5 { middle - beta(low) * half } else { middle + beta(1.0 - high) * half };
        child.clamp(0.0, 1.0)
    }

    /// Polynomial mutation within the unit interval.
    fn mutated(&self, place: f64, change: f64) -> f64 {
        let power = self.mutation_index + 1.0;
        let step = if change < 0.5 {
            (2.0 * change + (1.0 - 2.0 * change) * (1.0 - place).powf(power)).powf(1.0 / power) - 1.0
        } else {
            1.0 - (2.0 * (1.0 - change) + (2.0 * change - 1.0) * place.powf(power)).powf(1.0 / power)
        };
        (place + step).clamp(0.0, 1.0)
    }
}
