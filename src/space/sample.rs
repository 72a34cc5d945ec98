//! Drawing configurations that satisfy the constraints, in bounded work.

use super::{Assignment, SearchSpace, Unsatisfiable};
use rand::{Rng, RngExt};

/// What may be looked at for one suggestion: parameters decoded, and parts of constraints evaluated.
const MAX_WORK: u64 = 1 << 20;
/// Most draws for one sample.
const MAX_DRAWS: u64 = 10_000;

impl SearchSpace {
    /// How many configurations may be looked at for one suggestion, so that its work is bounded whatever the space.
    pub fn effort(&self) -> u64 {
        let each =
            self.parameters.len() as u64 + self.constraints.iter().map(|constraint| constraint.size()).sum::<u64>();
        (MAX_WORK / each.max(1)).max(1)
    }

    /// Draws uniformly (on each parameter's scale) among the configurations that satisfy the constraints. In a finite
    /// space that is small enough to be looked through, one is found whenever there is one.
    ///
    /// # Errors
    /// There is none, or none was found in a bounded number of draws.
    pub fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> Result<Assignment, Unsatisfiable> {
        let draws = self.effort().min(MAX_DRAWS);
        for _ in 0..draws {
            let point: Vec<f64> = self.parameters.iter().map(|_| rng.random::<f64>()).collect();
            let assignment = self.decode(&point);
            if self.satisfies(&assignment) {
                return Ok(assignment);
            }
        }
        match self.valid_count() {
            None => Err(Unsatisfiable::NotFound(draws)),
            Some(0) => Err(self.never()),
            Some(count) => {
                let chosen = (rng.random::<f64>() * count as f64) as u128;
                self.valid_configuration(chosen.min(count - 1)).ok_or(Unsatisfiable::NotFound(draws))
            }
        }
    }

    /// How many configurations satisfy the constraints; `None` when there are infinitely many, or so many that they
    /// cannot be looked through.
    pub fn valid_count(&self) -> Option<u128> {
        if self.constraints.is_empty() { self.cardinality() } else { Some(self.satisfying()?.len() as u128) }
    }

    /// The n-th configuration that satisfies the constraints, from 0 to `valid_count() - 1`; `None` beyond that.
    pub fn valid_configuration(&self, nth: u128) -> Option<Assignment> {
        let rank = match self.constraints.is_empty() {
            true => nth,
            false => u128::from(*self.satisfying()?.get(usize::try_from(nth).ok()?)?),
        };
        self.configuration(rank)
    }

    /// That no configuration of a space that was looked through satisfies the constraints.
    pub(crate) fn never(&self) -> Unsatisfiable {
        Unsatisfiable::Never(self.cardinality().and_then(|count| u64::try_from(count).ok()).unwrap_or(u64::MAX))
    }

    fn satisfying(&self) -> Option<&[u32]> {
        let find = || {
            let count = self.cardinality().filter(|count| *count <= u128::from(self.effort()))?;
            let ranks = 0..u32::try_from(count).ok()?;
            let holds = |rank: &u32| self.configuration(u128::from(*rank)).is_some_and(|a| self.satisfies(&a));
            Some(ranks.filter(holds).collect())
        };
        self.satisfying.get_or_init(find).as_deref()
    }
}
