//! Constraints over an assignment, in CEL (the Common Expression Language).
//!
//! CEL does not mix whole and real numbers in arithmetic, people do: `lr * layers < 0.2`. An expression that fails with
//! the numbers as they are is evaluated once more with all of them, and its integer literals, as real numbers.

use super::{Assignment, SearchSpace, Value};
use kube_cel::cel::{Context, Program, Value as CelValue};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// One compiled constraint.
pub(super) struct Constraint {
    text: String,
    exact: Program,
    real: Program,
    /// Names of the parameters in it.
    names: Vec<String>,
}

impl Constraint {
    /// Compiles an expression and tries it on a few configurations.
    pub(super) fn new(text: &str, space: &SearchSpace) -> Result<Self, String> {
        let compile = |text: &str| {
            let parsed = catch_unwind(AssertUnwindSafe(|| Program::compile(text)));
            match parsed {
                Ok(Ok(program)) => Ok(program),
                Ok(Err(error)) => Err(format!("is no CEL expression: {}", error.to_string().replace('\n', " "))),
                Err(_) => Err("is no CEL expression".to_owned()),
            }
        };
        let exact = compile(text)?;
        let real = compile(&with_real_literals(text))?;
        let mut names: Vec<String> = exact.references().variables().into_iter().map(str::to_owned).collect();
        names.sort();
        for name in &names {
            if space.parameter(name).is_none() {
                let known: Vec<&str> = space.parameters().iter().take(20).map(|p| p.name.as_str()).collect();
                return Err(format!("names {name:?}, which is no parameter; there are {}", known.join(", ")));
            }
        }
        let constraint = Constraint { text: text.to_owned(), exact, real, names };
        for place in [0.0, 0.31, 0.5, 0.77, 1.0] {
            constraint.holds(&constraint.example(space, place))?;
        }
        Ok(constraint)
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it holds; it does when it names a parameter that is not active.
    pub(super) fn holds(&self, assignment: &Assignment) -> Result<bool, String> {
        if self.names.iter().any(|name| !assignment.contains_key(name)) {
            return Ok(true);
        }
        let evaluated = evaluate(&self.exact, &self.names, assignment, false)
            .or_else(|_| evaluate(&self.real, &self.names, assignment, true));
        match evaluated {
            Ok(CelValue::Bool(holds)) => Ok(holds),
            Ok(_) => Err("gives no true or false; compare something, as in lr * layers < 0.2".into()),
            Err(error) => Err(format!("cannot be evaluated: {error}")),
        }
    }

    /// Values for its parameters, whether they can be active together or not.
    fn example(&self, space: &SearchSpace, place: f64) -> Assignment {
        let value = |name: &String| space.parameter(name).map(|p| (name.clone(), p.domain.at_place(place)));
        self.names.iter().filter_map(value).collect()
    }
}

fn evaluate(program: &Program, names: &[String], assignment: &Assignment, real: bool) -> Result<CelValue, String> {
    let mut context = Context::default();
    for name in names {
        let value = match assignment.get(name) {
            Some(Value::Int(value)) if !real => CelValue::Int(*value),
            Some(Value::Int(value)) => CelValue::Float(*value as f64),
            Some(Value::Double(value)) => CelValue::Float(*value),
            Some(Value::Text(text)) => CelValue::String(text.clone().into()),
            None => continue,
        };
        context.add_variable_from_value(name.as_str(), value);
    }
    catch_unwind(AssertUnwindSafe(|| program.execute(&context)))
        .map_err(|_| "the evaluation panicked".to_owned())?
        .map_err(|error| error.to_string())
}

/// The expression with `2` written as `2.0`, outside of texts.
fn with_real_literals(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut quote = None;
    let characters: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < characters.len() {
        let c = characters[at];
        match quote {
            Some(_) if c == '\\' => {
                out.push(c);
                at += 1;
                out.extend(characters.get(at));
            }
            Some(open) => {
                quote = (c != open).then_some(open);
                out.push(c);
            }
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                out.push(c);
            }
            None if c.is_ascii_digit() => {
                let word = at > 0 && (characters[at - 1].is_alphanumeric() || matches!(characters[at - 1], '_' | '.'));
                let start = at;
                while at < characters.len() && (characters[at].is_alphanumeric() || matches!(characters[at], '_' | '.'))
                {
                    at += 1;
                }
                let token: String = characters[start..at].iter().collect();
                out.push_str(&token);
                if !word && token.chars().all(|c| c.is_ascii_digit()) {
                    out.push_str(".0");
                }
                continue;
            }
            None => out.push(c),
        }
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::with_real_literals;

    #[test]
    fn literals_become_real_outside_of_texts_and_names() {
        let table = [
            ("a * 2 < 10", "a * 2.0 < 10.0"),
            ("x2 + 1.5e3 > 0x1F", "x2 + 1.5e3 > 0x1F"),
            ("o == 'v 2' || o == \"3\\\"4\"", "o == 'v 2' || o == \"3\\\"4\""),
            ("é2 < 3", "é2 < 3.0"),
        ];
        for (text, real) in table {
            assert_eq!(with_real_literals(text), real);
        }
    }
}
