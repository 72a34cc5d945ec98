//! Parameters near those of a good member.

use crate::space::{Assignment, Domain, SearchSpace};
use rand::{Rng, RngExt};

/// Draws until the constraints hold.
const DRAWS: u32 = 64;

/// How a copy explores.
#[derive(Clone, Copy, Debug)]
pub(super) struct Explore {
    /// For each parameter the chance that it is drawn anew from its whole range.
    pub resample: f64,
    /// How far a number moves otherwise, up or down, in widths of its range on its scale; by a level at least.
    pub perturbation: f64,
}

impl Explore {
    /// Parameters like these; these, where the constraints allow no other that was drawn. A category stays unless it is
    /// drawn anew, and what becomes active is.
    pub fn near(&self, space: &SearchSpace, assignment: &Assignment, rng: &mut impl Rng) -> Assignment {
        let places = space.encode(assignment);
        for _ in 0..DRAWS {
            let coordinate = |(parameter, place): (&crate::space::Parameter, &f64)| {
                let (chance, uniform, up) = (rng.random::<f64>(), rng.random::<f64>(), rng.random::<bool>());
                if chance < self.resample || !assignment.contains_key(&parameter.name) {
                    return uniform;
                }
                if matches!(parameter.domain, Domain::Categorical { .. }) {
                    return *place;
                }
                let step = parameter.domain.levels().map_or(0.0, |levels| 1.0 / levels.max(1) as f64);
                let step = self.perturbation.max(step);
                (if up { place + step } else { place - step }).clamp(0.0, 1.0)
            };
            let point: Vec<f64> = space.parameters().iter().zip(&places).map(coordinate).collect();
            let explored = space.decode(&point);
            if space.satisfies(&explored) {
                return explored;
            }
        }
        assignment.clone()
    }
}
