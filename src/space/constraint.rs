//! Constraints over an assignment, in CEL (the Common Expression Language).

use super::evaluate::{Operand, evaluate, size};
use super::{Assignment, Domain, Parameter, Value};
use kube_cel::cel::Program;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// One compiled constraint.
pub(super) struct Constraint {
    text: String,
    program: Program,
    /// The parameters in it, by name; true when its values are real numbers even where they have no fraction.
    names: HashMap<String, bool>,
    size: u64,
}

impl Constraint {
    /// Compiles an expression and tries it on a few configurations.
    pub(super) fn new(text: &str, parameters: &[Parameter]) -> Result<Self, String> {
        let program = match catch_unwind(AssertUnwindSafe(|| Program::compile(text))) {
            Ok(Ok(program)) => program,
            Ok(Err(error)) => return Err(format!("is no CEL expression: {}", error.to_string().replace('\n', " "))),
            Err(_) => return Err("is no CEL expression".to_owned()),
        };
        let size = size(program.expression())?;
        let mut used: Vec<String> = program.references().variables().into_iter().map(str::to_owned).collect();
        used.sort();
        let mut used_parameters = Vec::new();
        for name in &used {
            let Some(parameter) = parameters.iter().find(|parameter| parameter.name == *name) else {
                let known: Vec<&str> = parameters.iter().take(20).map(|p| p.name.as_str()).collect();
                return Err(format!("names {name:?}, which is no parameter; there are {}", known.join(", ")));
            };
            used_parameters.push(parameter);
        }
        let names = used_parameters.iter().map(|p| (p.name.clone(), is_real(&p.domain))).collect();
        let constraint = Constraint { text: text.to_owned(), program, names, size };
        for place in [0.0, 0.31, 0.5, 0.77, 1.0] {
            // Whether they can be active together or not.
            let example = used_parameters.iter().map(|p| (p.name.clone(), p.domain.at_place(place))).collect();
            constraint.holds(&example)?;
        }
        Ok(constraint)
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What one evaluation costs, in parts of the expression.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Whether it holds; it does when it names a parameter that is not active.
    pub(super) fn holds(&self, assignment: &Assignment) -> Result<bool, String> {
        if self.names.keys().any(|name| !assignment.contains_key(name)) {
            return Ok(true);
        }
        let lookup = |name: &str| {
            Some(match assignment.get(name)? {
                Value::Int(value) if self.names.get(name) == Some(&true) => Operand::Real(*value as f64),
                Value::Int(value) => Operand::Int(*value),
                Value::Double(value) => Operand::Real(*value),
                Value::Text(text) => Operand::Text(text),
                Value::Foreign(_) => return None,
            })
        };
        match evaluate(self.program.expression(), &lookup) {
            Ok(Operand::Bool(holds)) => Ok(holds),
            Ok(_) => Err("gives no true or false; compare something, as in lr * layers < 0.2".into()),
            Err(error) => Err(format!("cannot be evaluated: {error}")),
        }
    }
}

/// Whether arithmetic with the domain's values is that of real numbers. A list of values is whole only as a whole: in
/// `[0.5, 1]`, a half of 1 is 0.5 and not 0.
fn is_real(domain: &Domain) -> bool {
    match domain {
        Domain::Double { .. } => true,
        Domain::Discrete { values } => values.iter().any(|value| value.fract() != 0.0),
        Domain::Int { .. } | Domain::Categorical { .. } => false,
    }
}
