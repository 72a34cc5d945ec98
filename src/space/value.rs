//! Values of parameters.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The value of one parameter, as it stands in `Trial.spec.assignments`.
///
/// On the wire a JSON number without a fraction is [`Value::Int`], any other number [`Value::Double`].
/// [`crate::space::SearchSpace`] brings a value that a person wrote (`1` for a double) to its parameter's type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A whole number.
    Int(i64),
    /// A finite real number.
    Double(f64),
    /// One of a categorical parameter's choices.
    Text(String),
    /// Neither a number nor text. No domain admits it; it can be read, so that a sentence can be said about it.
    Foreign(serde_json::Value),
}

impl Value {
    /// The value as a number; `None` for what is none.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(value) => Some(*value as f64),
            Value::Double(value) => Some(*value),
            Value::Text(_) | Value::Foreign(_) => None,
        }
    }
}

/// What is said of a [`Value::Foreign`].
pub(crate) const FOREIGN: &str = "is neither a number nor text; put a word such as true into quotes";

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Int(value) => write!(f, "{value}"),
            Value::Double(value) => write!(f, "{value}"),
            Value::Text(value) => f.write_str(value),
            Value::Foreign(value) => write!(f, "{value}"),
        }
    }
}

/// A value for each *active* parameter, by name.
pub type Assignment = BTreeMap<String, Value>;
