//! Grid search: each configuration of a finite space exactly once, in an order that spreads.

use super::settings::{SettingError, Settings};
use super::unrepeated::Tried;
use super::{NoSuggestion, Request, Suggestion, Tuner};
use crate::space::{Assignment, Domain, Parameter, SearchSpace, Unsatisfiable, Value};

/// So many of the latest trials are looked at for one that stands on the grid; given points need not.
const LOOK_BACK: usize = 128;

/// Every configuration once. A double without a step is taken at a number of evenly spaced levels of its scale.
pub(super) struct Grid {
    space: SearchSpace,
    /// Names of parameters that were continuous.
    levelled: Vec<String>,
    cardinality: u128,
    stride: u128,
    /// The stride's inverse, modulo the cardinality.
    inverse: u128,
    allow_repeats: bool,
}

impl Grid {
    /// From its settings. A space that cannot be counted is refused.
    pub fn make(settings: &mut Settings<'_>, space: &SearchSpace) -> Result<Box<dyn Tuner>, SettingError> {
        let allow_repeats = settings.allow_repeats();
        let points = settings.whole("points", 10, 2..=1000);
        let levelled = space.parameters().iter().filter(|parameter| parameter.domain.levels().is_none());
        let levelled: Vec<String> = levelled.map(|parameter| parameter.name.clone()).collect();
        let grid = SearchSpace::unconstrained(space.parameters().iter().map(|p| level(p, points)).collect());
        let cardinality = grid.cardinality().ok_or_else(|| {
            let what = "Grid cannot count this space, it has too many configurations; use Sobol or Random";
            SettingError::new("algorithm.name", what)
        })?;
        let stride = stride(cardinality);
        let inverse = inverse(stride, cardinality);
        Ok(Box::new(Grid { space: grid, levelled, cardinality, stride, inverse, allow_repeats }))
    }

    fn configuration(&self, position: u128, seed: u64) -> Option<Assignment> {
        let spread = multiply(position % self.cardinality, self.stride, self.cardinality);
        let mut assignment = self.space.configuration((spread + u128::from(seed)) % self.cardinality)?;
        for name in &self.levelled {
            if let Some(value) = assignment.get_mut(name)
                && let Some(number) = value.as_f64()
            {
                *value = Value::Double(number);
            }
        }
        Some(assignment)
    }
}

impl Grid {
    /// Where a configuration stands in the order; `None` beside the grid.
    fn position(&self, assignment: &Assignment, seed: u64) -> Option<u128> {
        let rank = self.space.rank(&self.space.check(assignment).ok()?)?;
        let seed = u128::from(seed) % self.cardinality;
        let spread = add(rank, self.cardinality - seed, self.cardinality);
        Some(multiply(spread, self.inverse, self.cardinality))
    }

    /// The position after that of the latest trial.
    fn start(&self, request: &Request<'_>) -> u128 {
        let mut latest: Vec<(u64, &Assignment)> =
            request.pending.iter().map(|pending| (pending.index, &pending.assignment)).collect();
        latest.retain(|(index, _)| *index < request.index);
        let ended = request.history.before(request.index).rev().take(LOOK_BACK);
        latest.extend(ended.map(|finished| (finished.index, &finished.assignment)));
        latest.sort_unstable_by_key(|(index, _)| std::cmp::Reverse(*index));
        let position = latest.into_iter().find_map(|(_, assignment)| self.position(assignment, request.seed));
        position.map_or(0, |position| position + 1)
    }
}

impl Tuner for Grid {
    /// Goes on after the latest trial to the next configuration that is valid and untried, at last from the beginning
    /// again, so that none is left out, whatever constraints, given points and deleted trials have taken away.
    fn suggest(&self, request: &Request<'_>) -> Result<Suggestion, NoSuggestion> {
        let tried = Tried::new(request);
        let start = self.start(request);
        let steps = self.cardinality.min(u128::from(request.space.effort()));
        let mut satisfied = false;
        for step in 0..steps {
            let Some(assignment) = self.configuration(start + step, request.seed) else { continue };
            if request.space.satisfies(&assignment) {
                if self.allow_repeats || !tried.contains(&assignment) {
                    return Ok(Suggestion::new(assignment));
                }
                satisfied = true;
            }
        }
        let steps_taken = u64::try_from(steps).unwrap_or(u64::MAX);
        Err(match (steps == self.cardinality, satisfied) {
            (true, true) => NoSuggestion::Exhausted,
            (true, false) => Unsatisfiable::Never(steps_taken).into(),
            // All that was looked at is tried, and so many are tried as there are.
            (false, true) if self.levelled.is_empty() && tried.all(self.cardinality) => NoSuggestion::Exhausted,
            (false, _) => NoSuggestion::NotFound(steps_taken),
        })
    }
}

/// The parameter with levels: a continuum is taken at its ends and evenly between them, on its scale.
fn level(parameter: &Parameter, points: u64) -> Parameter {
    let mut parameter = parameter.clone();
    if let Domain::Double { min, max, step: None, .. } = parameter.domain {
        let last = (points - 1) as f64;
        let place = |point: u64| match point {
            0 => min,
            point if point == points - 1 => max,
            point => parameter.domain.at_place(point as f64 / last).as_f64().unwrap_or(min),
        };
        let mut values: Vec<f64> = (0..points).map(place).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        parameter.domain = Domain::Discrete { values };
    }
    parameter
}

/// A step through the ranks that has no divisor in common with their number, near the golden section of it: successive
/// points of `k * stride mod n` fall into the largest gaps (three-distance theorem), so each prefix is spread.
fn stride(cardinality: u128) -> u128 {
    const ONE: u128 = 1_000_000_000_000_000_000;
    const GOLDEN: u128 = 618_033_988_749_894_848;
    let golden = cardinality / ONE * GOLDEN + cardinality % ONE * GOLDEN / ONE;
    (golden.max(1)..).find(|stride| divisor(*stride, cardinality) == 1).unwrap_or(1)
}

fn divisor(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// `x` with `a * x = 1 mod n`, for `a` and `n` without a common divisor (extended Euclid).
fn inverse(a: u128, n: u128) -> u128 {
    let (mut old, mut new) = ((n, 0_u128), (a % n, 1 % n));
    while new.0 != 0 {
        let quotient = old.0 / new.0;
        let product = multiply(quotient, new.1, n);
        (old, new) = (new, (old.0 % new.0, add(old.1, n - product, n)));
    }
    old.1 % n
}

/// `a * b mod n` without overflow.
fn multiply(mut a: u128, mut b: u128, n: u128) -> u128 {
    if let Some(product) = a.checked_mul(b) {
        return product % n;
    }
    let mut product = 0_u128;
    a %= n;
    while b > 0 {
        if b & 1 == 1 {
            product = add(product, a, n);
        }
        a = add(a, a, n);
        b >>= 1;
    }
    product
}

/// `a + b mod n`, for `a < n` and `b <= n`.
fn add(a: u128, b: u128, n: u128) -> u128 {
    if a >= n - b { a - (n - b) } else { a + b }
}
