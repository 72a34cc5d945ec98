//! Grid search: each configuration of a finite space exactly once, in an order that spreads.

use super::settings::SettingError;
use super::unrepeated::Tried;
use super::{NoSuggestion, Request, Tuner};
use crate::space::{Assignment, Domain, Parameter, SearchSpace, Value};

/// Every configuration once. A double without a step is taken at a number of evenly spaced levels of its scale.
pub(super) struct Grid {
    space: SearchSpace,
    /// Names of parameters that were continuous.
    levelled: Vec<String>,
    cardinality: u128,
    stride: u128,
    allow_repeats: bool,
}

impl Grid {
    pub fn new(space: &SearchSpace, points: u64, allow_repeats: bool) -> Result<Self, SettingError> {
        let levelled = space.parameters().iter().filter(|parameter| parameter.domain.levels().is_none());
        let levelled: Vec<String> = levelled.map(|parameter| parameter.name.clone()).collect();
        let grid = SearchSpace::unconstrained(space.parameters().iter().map(|p| level(p, points)).collect());
        let cardinality = grid.cardinality().ok_or_else(|| {
            let what = "Grid cannot count this space, it has too many configurations; use Sobol or Random";
            SettingError::new("algorithm.name", what)
        })?;
        Ok(Grid { stride: stride(cardinality), space: grid, levelled, cardinality, allow_repeats })
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

impl Tuner for Grid {
    /// Starts at the position of the trial's index and goes on to the first configuration that is valid and untried, so
    /// that none is left out, whatever constraints and hand-made trials have taken away.
    fn suggest(&self, request: &Request<'_>) -> Result<Assignment, NoSuggestion> {
        let tried = Tried::new(request);
        (0..self.cardinality)
            .filter_map(|step| self.configuration(u128::from(request.index) + step, request.seed))
            .find(|a| request.space.satisfies(a) && (self.allow_repeats || !tried.contains(a)))
            .ok_or(NoSuggestion::Exhausted)
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
    let golden = multiply(cardinality, 618_033_988_749_894_848, u128::MAX) / 1_000_000_000_000_000_000;
    (golden.max(1)..).find(|stride| divisor(*stride, cardinality) == 1).unwrap_or(1)
}

fn divisor(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { divisor(b, a % b) }
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

fn add(a: u128, b: u128, n: u128) -> u128 {
    if a >= n - b { a - (n - b) } else { a + b }
}
