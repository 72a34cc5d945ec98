//! A tuner's settings: typed, with bounds; what is unknown is refused.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

/// A problem with a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    path: String,
    what: String,
}

impl SettingError {
    pub(super) fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        SettingError { path: path.into(), what: what.into() }
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

impl std::error::Error for SettingError {}

/// Reads settings and remembers which were asked for, so that the others can be refused.
pub(super) struct Settings<'a> {
    given: &'a BTreeMap<String, Value>,
    known: Vec<&'static str>,
    errors: Vec<SettingError>,
}

impl<'a> Settings<'a> {
    pub fn new(given: &'a BTreeMap<String, Value>) -> Self {
        Settings { given, known: Vec::new(), errors: Vec::new() }
    }

    pub fn flag(&mut self, name: &'static str, default: bool) -> bool {
        self.read(name, default, "true or false", Value::as_bool)
    }

    pub fn whole(&mut self, name: &'static str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let want = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(name, default, &want, |value| value.as_u64().filter(|value| range.contains(value)))
    }

    pub fn real(&mut self, name: &'static str, default: f64, range: RangeInclusive<f64>) -> f64 {
        let want = format!("a number from {} to {}", range.start(), range.end());
        self.read(name, default, &want, |value| value.as_f64().filter(|value| range.contains(value)))
    }

    /// What was wrong, unknown settings included.
    pub fn finish(mut self) -> Result<(), Vec<SettingError>> {
        for name in self.given.keys().filter(|name| !self.known.contains(&name.as_str())) {
            let what = format!("is no setting of this algorithm; there are {}", self.known.join(", "));
            self.errors.push(SettingError::new(format!("algorithm.settings.{name}"), what));
        }
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors) }
    }

    fn read<T>(&mut self, name: &'static str, default: T, want: &str, read: impl Fn(&Value) -> Option<T>) -> T {
        self.known.push(name);
        let Some(value) = self.given.get(name) else { return default };
        read(value).unwrap_or_else(|| {
            let what = format!("is {value}; write {want}");
            self.errors.push(SettingError::new(format!("algorithm.settings.{name}"), what));
            default
        })
    }
}
