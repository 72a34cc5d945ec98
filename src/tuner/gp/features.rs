//! A configuration as the kernel sees it, and how far two are apart.

use crate::space::{Assignment, Domain, SearchSpace};
use std::f64::consts::FRAC_PI_3;

/// Levels up to which a numeric parameter is searched value by value; beyond that as if it were continuous.
const FEW_LEVELS: u64 = 12;

/// How one parameter's coordinate is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number's place in `[0, 1]`.
    Number,
    /// The same for a parameter that is not always active: places lie on an arc of a third of a half circle, and what is
    /// not active in its centre, as far from each as the ends are from each other (Swersky et al., 2014, "Raiders of the
    /// Lost Architecture", <https://arxiv.org/abs/1409.4011>).
    Arc,
    /// A category's number. All are equally far from each other.
    Category,
}

/// Coordinates of a configuration, one a parameter; [`INACTIVE`] where the parameter is not active.
pub(super) type Point = Vec<f64>;

/// Stands for a parameter that is not active.
pub(super) const INACTIVE: f64 = -1.0;

/// How a space is laid out for the model.
pub(super) struct Features {
    pub kinds: Vec<Kind>,
    /// Values to try one by one, for parameters that are not moved along the gradient; `None` for the others.
    pub levels: Vec<Option<u64>>,
}

impl Features {
    pub fn new(space: &SearchSpace) -> Self {
        let parameters = space.parameters();
        let parent = |name: &str| parameters.iter().flat_map(|p| &p.when).any(|condition| condition.parameter == name);
        let kind = |domain: &Domain, conditional: bool| match domain {
            Domain::Categorical { .. } => Kind::Category,
            _ if conditional => Kind::Arc,
            _ => Kind::Number,
        };
        let kinds = parameters.iter().map(|p| kind(&p.domain, !p.when.is_empty())).collect();
        let levels = parameters.iter().map(|p| {
            let stepwise = matches!(p.domain, Domain::Categorical { .. }) || parent(&p.name);
            p.domain.levels().filter(|levels| stepwise || *levels <= FEW_LEVELS)
        });
        Features { kinds, levels: levels.collect() }
    }

    /// The coordinates of a valid configuration.
    pub fn point(&self, space: &SearchSpace, assignment: &Assignment) -> Point {
        let places = space.encode(assignment);
        let coordinate = |((parameter, place), kind): ((&crate::space::Parameter, f64), &Kind)| {
            if !parameter.when.is_empty() && !assignment.contains_key(&parameter.name) {
                return INACTIVE;
            }
            match kind {
                Kind::Category => (place * parameter.domain.levels().unwrap_or(1) as f64).floor(),
                Kind::Number | Kind::Arc => place,
            }
        };
        space.parameters().iter().zip(places).zip(&self.kinds).map(coordinate).collect()
    }
}

impl Kind {
    /// The squared distance of two coordinates, from 0 to 1.
    pub fn distance(self, a: f64, b: f64) -> f64 {
        match self {
            Kind::Number => (a - b) * (a - b),
            Kind::Category => f64::from(u8::from(a != b)),
            Kind::Arc => match (a == INACTIVE, b == INACTIVE) {
                (true, true) => 0.0,
                (false, false) => 2.0 - 2.0 * ((a - b) * FRAC_PI_3).cos(),
                _ => 1.0,
            },
        }
    }

    /// The derivative of the squared distance by `a`.
    pub fn slope(self, a: f64, b: f64) -> f64 {
        match self {
            Kind::Number => 2.0 * (a - b),
            Kind::Arc if a != INACTIVE && b != INACTIVE => 2.0 * FRAC_PI_3 * ((a - b) * FRAC_PI_3).sin(),
            Kind::Arc | Kind::Category => 0.0,
        }
    }
}
