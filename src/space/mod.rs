//! The search space: what may vary, under which conditions, and how a choice becomes a point of the unit cube.
//!
//! Pure: no I/O, no clock; randomness comes in as a generator.

mod constraint;
mod count;
mod domain;
mod error;
mod evaluate;
mod levels;
mod sample;
mod validate;
mod value;

pub use domain::{Condition, Domain, Parameter, Scale};
pub use error::{SpaceError, Unsatisfiable};
pub(crate) use value::FOREIGN;
pub use value::{Assignment, Value};

use constraint::Constraint;
use count::Component;
use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

/// A configuration in short: equal configurations of one space have equal keys.
pub type Key = u128;

/// A checked search space.
pub struct SearchSpace {
    parameters: Vec<Parameter>,
    by_name: HashMap<String, usize>,
    /// For each parameter its conditions: index of the parent, and levels of it, ascending.
    conditions: Vec<Vec<(usize, Vec<u64>)>>,
    constraints: Vec<Constraint>,
    /// The cardinality and what it is made of, once it was asked for; `None` inside: infinite.
    counted: OnceLock<Option<(u128, Vec<Component>)>>,
    /// Ranks of the configurations that satisfy the constraints, once they were asked for; `None` inside: too many.
    satisfying: OnceLock<Option<Vec<u32>>>,
}

impl SearchSpace {
    /// Checks the parameters and compiles the constraints (CEL over the parameters' names; one that names a parameter
    /// that is not active holds).
    ///
    /// # Errors
    /// All that is wrong, each with the path of its field.
    pub fn new(parameters: Vec<Parameter>, constraints: &[String]) -> Result<Self, Vec<SpaceError>> {
        let errors = validate::parameters(&parameters);
        if !errors.is_empty() {
            return Err(errors);
        }
        let (mut compiled, mut errors) = (Vec::new(), Vec::new());
        for (at, text) in constraints.iter().enumerate() {
            match Constraint::new(text, &parameters) {
                Ok(constraint) => compiled.push(constraint),
                Err(what) => errors.push(SpaceError::new(format!("parameterConstraints[{at}]"), what)),
            }
        }
        if errors.is_empty() { Ok(SearchSpace::of(parameters, compiled)) } else { Err(errors) }
    }

    /// A space of parameters that another space has checked.
    pub(crate) fn unconstrained(parameters: Vec<Parameter>) -> Self {
        SearchSpace::of(parameters, Vec::new())
    }

    fn of(parameters: Vec<Parameter>, constraints: Vec<Constraint>) -> Self {
        let by_name: HashMap<String, usize> =
            parameters.iter().enumerate().map(|(at, parameter)| (parameter.name.clone(), at)).collect();
        let levels = |condition: &Condition| {
            let parent = by_name.get(&condition.parameter).copied()?;
            let domain = &parameters.get(parent)?.domain;
            let mut levels: Vec<u64> = condition.values.iter().filter_map(|text| domain.level_of_text(text)).collect();
            levels.sort_unstable();
            Some((parent, levels))
        };
        let conditions = parameters.iter().map(|p| p.when.iter().filter_map(levels).collect()).collect();
        let (counted, satisfying) = (OnceLock::new(), OnceLock::new());
        SearchSpace { parameters, by_name, conditions, constraints, counted, satisfying }
    }

    /// The parameters, in the order given.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The parameter of this name.
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.by_name.get(name).and_then(|at| self.parameters.get(*at))
    }

    /// Whether the parameter is active, given the values of those before it.
    pub fn active(&self, parameter: &Parameter, assignment: &Assignment) -> bool {
        let conditions = self.by_name.get(&parameter.name).and_then(|at| self.conditions.get(*at));
        // Levels are compared, not numbers: 0.1 + 0.2 is the level that a person calls 0.3.
        conditions.into_iter().flatten().all(|(parent, levels)| {
            let parent = &self.parameters[*parent];
            let level = assignment.get(&parent.name).and_then(|value| parent.domain.level(value));
            level.is_some_and(|level| levels.binary_search(&level).is_ok())
        })
    }

    /// Whether all constraints hold.
    pub fn satisfies(&self, assignment: &Assignment) -> bool {
        self.constraints.iter().all(|constraint| constraint.holds(assignment) == Ok(true))
    }

    /// One coordinate of `[0, 1]` a parameter, in the middle of the value's share of it; 0.5 where inactive.
    pub fn encode(&self, assignment: &Assignment) -> Vec<f64> {
        let coordinate = |parameter: &Parameter| {
            assignment.get(&parameter.name).and_then(|value| parameter.domain.encode(value)).unwrap_or(0.5)
        };
        self.parameters.iter().map(coordinate).collect()
    }

    /// The configuration at a point. Total: coordinates outside `[0, 1]` are clamped, missing ones are 0.5. Constraints
    /// need not hold.
    pub fn decode(&self, point: &[f64]) -> Assignment {
        self.decode_around(&Assignment::new(), point)
    }

    /// As [`SearchSpace::decode`], but with these values given: they stand as they are, active or not.
    pub fn decode_around(&self, given: &Assignment, point: &[f64]) -> Assignment {
        let mut assignment = Assignment::new();
        for (at, parameter) in self.parameters.iter().enumerate() {
            if let Some(value) = given.get(&parameter.name) {
                assignment.insert(parameter.name.clone(), value.clone());
            } else if self.active(parameter, &assignment) {
                let coordinate = point.get(at).copied().filter(|x| x.is_finite()).unwrap_or(0.5);
                assignment.insert(parameter.name.clone(), parameter.domain.at_place(coordinate));
            }
        }
        assignment
    }

    /// Brings an assignment to the parameters' types (`1` to `1.0` for a double) and checks it whole.
    ///
    /// # Errors
    /// All that does not fit, each in a sentence.
    pub fn check(&self, assignment: &Assignment) -> Result<Assignment, Vec<SpaceError>> {
        let mut errors = self.check_partial(assignment).err().unwrap_or_default();
        let mut checked = Assignment::new();
        for parameter in &self.parameters {
            let name = &parameter.name;
            let active = self.active(parameter, &checked);
            match assignment.get(name) {
                Some(value) if active => {
                    checked.insert(name.clone(), parameter.domain.admit(value).unwrap_or_else(|_| value.clone()));
                }
                None if active => errors.push(SpaceError::new(name, "has no value".into())),
                Some(_) => {
                    errors.push(SpaceError::new(name, "is given, but its conditions do not hold; leave it out".into()))
                }
                None => {}
            }
        }
        if errors.is_empty() {
            for constraint in &self.constraints {
                match constraint.holds(&checked) {
                    Ok(true) => {}
                    Ok(false) => errors.push(SpaceError::new(constraint.text(), "does not hold".into())),
                    Err(what) => errors.push(SpaceError::new(constraint.text(), what)),
                }
            }
        }
        if errors.is_empty() { Ok(checked) } else { Err(errors) }
    }

    /// Checks what is given: names and values. What is left out, conditions and constraints are not looked at.
    ///
    /// # Errors
    /// All that does not fit, each in a sentence.
    pub fn check_partial(&self, assignment: &Assignment) -> Result<(), Vec<SpaceError>> {
        let problem = |(name, value): (&String, &Value)| match self.parameter(name) {
            None => {
                let known: Vec<&str> = self.parameters.iter().take(20).map(|p| p.name.as_str()).collect();
                Some(SpaceError::new(name, format!("is no parameter; there are {}", known.join(", "))))
            }
            Some(parameter) => parameter.domain.admit(value).err().map(|what| SpaceError::new(name, what)),
        };
        let errors: Vec<SpaceError> = assignment.iter().filter_map(problem).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Leaves out the values of parameters that are not active.
    pub fn prune(&self, assignment: Assignment) -> Assignment {
        let mut pruned = Assignment::new();
        for parameter in &self.parameters {
            if let Some(value) = assignment.get(&parameter.name)
                && self.active(parameter, &pruned)
            {
                pruned.insert(parameter.name.clone(), value.clone());
            }
        }
        pruned
    }

    /// The configuration in short.
    pub fn key(&self, assignment: &Assignment) -> Key {
        // FNV-1a, 128 bit, over each parameter's level or bits.
        const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
        let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        for parameter in &self.parameters {
            let word = assignment.get(&parameter.name).map_or(u64::MAX, |value| parameter.domain.fingerprint(value));
            for byte in word.to_le_bytes() {
                hash = (hash ^ u128::from(byte)).wrapping_mul(PRIME);
            }
        }
        hash
    }
}

impl fmt::Debug for SearchSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let constraints: Vec<&str> = self.constraints.iter().map(Constraint::text).collect();
        f.debug_struct("SearchSpace").field("parameters", &self.parameters).field("constraints", &constraints).finish()
    }
}

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod tests;
