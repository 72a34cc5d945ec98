//! A rule's settings: typed, with bounds; what is unknown is refused.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

/// A problem with a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    path: String,
    what: String,
}

impl RuleError {
    pub(super) fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        RuleError { path: path.into(), what: what.into() }
    }

    /// The same problem, in this field of a larger object.
    #[must_use]
    pub fn within(self, field: &str) -> Self {
        RuleError { path: format!("{field}.{}", self.path), ..self }
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

impl std::error::Error for RuleError {}

/// Reads settings and remembers which were asked for, so that the others can be refused.
pub(super) struct Settings<'a> {
    rule: &'static str,
    given: &'a BTreeMap<String, Value>,
    known: Vec<&'static str>,
    errors: Vec<RuleError>,
}

impl<'a> Settings<'a> {
    pub fn new(rule: &'static str, given: &'a BTreeMap<String, Value>) -> Self {
        Settings { rule, given, known: Vec::new(), errors: Vec::new() }
    }

    pub fn whole(&mut self, name: &'static str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let want = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(name, &want, |value| value.as_u64().filter(|value| range.contains(value))).unwrap_or(default)
    }

    pub fn real(&mut self, name: &'static str, default: f64, range: RangeInclusive<f64>) -> f64 {
        let want = format!("a number from {} to {}", range.start(), range.end());
        self.read(name, &want, |value| value.as_f64().filter(|value| range.contains(value))).unwrap_or(default)
    }

    /// A finite number that has to be there.
    pub fn required(&mut self, name: &'static str) -> f64 {
        if !self.given.contains_key(name) {
            self.errors.push(RuleError::new(format!("settings.{name}"), "is missing; write a number"));
        }
        self.read(name, "a number", Value::as_f64).unwrap_or_default()
    }

    /// What was wrong, unknown settings included.
    pub fn finish(mut self) -> Result<(), Vec<RuleError>> {
        for name in self.given.keys().filter(|name| !self.known.contains(&name.as_str())) {
            let what = format!("is no setting of {}; there are {}", self.rule, self.known.join(", "));
            self.errors.push(RuleError::new(format!("settings.{name}"), what));
        }
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors) }
    }

    fn read<T>(&mut self, name: &'static str, want: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        self.known.push(name);
        let value = self.given.get(name)?;
        let read = read(value);
        if read.is_none() {
            self.errors.push(RuleError::new(format!("settings.{name}"), format!("is {value}; write {want}")));
        }
        read
    }
}
