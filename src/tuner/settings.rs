//! A tuner's settings: typed, with bounds; what is unknown is refused.

use super::Fidelity;
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

/// A setting of an algorithm, for documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name in `algorithm.settings`.
    pub name: &'static str,
    /// What it is when it is left out.
    pub default: String,
    /// What may be written, as in "a whole number from 0 to 10".
    pub values: String,
}

/// Reads settings and remembers which were asked for, so that the others can be refused.
pub(super) struct Settings<'a> {
    given: &'a BTreeMap<String, Value>,
    fidelity: Option<Fidelity>,
    known: Vec<Setting>,
    errors: Vec<SettingError>,
}

impl<'a> Settings<'a> {
    /// `fidelity`: of the experiment.
    pub fn new(given: &'a BTreeMap<String, Value>, fidelity: Option<Fidelity>) -> Self {
        Settings { given, fidelity, known: Vec::new(), errors: Vec::new() }
    }

    /// What trials may spend.
    ///
    /// # Errors
    /// The experiment does not say.
    pub fn fidelity(&self) -> Result<Fidelity, SettingError> {
        let what = "this algorithm hands out how much a trial spends; write spec.fidelity, for example \
                    {parameter: epochs, min: 1, max: 27}, or choose one that gives each trial the whole, such as Auto";
        self.fidelity.ok_or_else(|| SettingError::new("algorithm.name", what))
    }

    /// Those that were asked for, in that order.
    pub fn known(self) -> Vec<Setting> {
        self.known
    }

    /// `allowRepeats`, which every algorithm has: whether a configuration of a finite space may be tried again.
    pub fn allow_repeats(&mut self) -> bool {
        self.flag("allowRepeats", false)
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

    /// One of these, by name.
    pub fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        default: (&'static str, T),
        others: &[(&'static str, T)],
    ) -> T {
        let all: Vec<(&str, T)> = std::iter::once(default).chain(others.iter().copied()).collect();
        let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
        let want = format!("one of {}", names.join(", "));
        let chosen = self.read(name, default.0.to_owned(), &want, |value| {
            value.as_str().filter(|text| names.contains(text)).map(str::to_owned)
        });
        all.iter().find(|(name, _)| *name == chosen).map_or(default.1, |(_, choice)| *choice)
    }

    /// What was wrong, unknown settings included.
    pub fn finish(mut self) -> Result<(), Vec<SettingError>> {
        let known: Vec<&str> = self.known.iter().map(|setting| setting.name).collect();
        for name in self.given.keys().filter(|name| !known.contains(&name.as_str())) {
            let what = format!("is no setting of this algorithm; there are {}", known.join(", "));
            self.errors.push(SettingError::new(format!("algorithm.settings.{name}"), what));
        }
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors) }
    }

    fn read<T: fmt::Display>(
        &mut self,
        name: &'static str,
        default: T,
        want: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> T {
        self.known.push(Setting { name, default: default.to_string(), values: want.to_owned() });
        let Some(value) = self.given.get(name) else { return default };
        read(value).unwrap_or_else(|| {
            let what = format!("is {value}; write {want}");
            self.errors.push(SettingError::new(format!("algorithm.settings.{name}"), what));
            default
        })
    }
}
