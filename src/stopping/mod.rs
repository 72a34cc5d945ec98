//! Stopping rules: each judges a running trial by its intermediate values. One rule a file behind one trait.
//!
//! Pure: a decision is a function of the curves of the experiment's trials and of the rule's settings.

mod auto;
mod curve_model;
mod curves;
mod halving;
mod judged;
mod levels;
mod patience;
mod percentile;
mod plateau;
mod ranks;
mod replay;
mod series;
mod settings;
mod threshold;
mod translate;

pub use curves::{Course, Curves, KEPT, Table};
pub use ranks::Ranks;
pub use replay::Replay;
pub use series::{Sample, Series};
pub use settings::RuleError;
pub use translate::{System, Translation, translate};

use serde_json::Value;
use settings::Settings;
use std::collections::{BTreeMap, BTreeSet};

/// What a rule is asked with: a trial that runs, among the others.
pub struct Question<'a> {
    /// The curves of all trials, this one's included.
    pub curves: &'a Curves,
    /// Its key there.
    pub trial: u64,
    /// Its curve.
    pub series: &'a Series,
}

/// A stopping rule.
pub trait Rule: Send + Sync {
    /// Why this trial should be stopped, as a sentence with the step, the value and what it was held against; `None`: it
    /// goes on. A function of the question alone. Bounded: a pass over the trial's own curve, none over the trials.
    fn judge(&self, question: &Question<'_>) -> Option<String>;

    /// The steps at which it compares trials, where these are few and the same for all: what is said there is kept exactly.
    fn rungs(&self) -> Vec<u64> {
        Vec::new()
    }
}

/// To stop a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Name of the rule, one of [`RULES`].
    pub rule: &'static str,
    /// Why, as a sentence.
    pub reason: String,
}

/// Names of the rules and what each is, for messages and documentation.
pub const RULES: &[(&str, &str)] = &[
    (
        "Auto",
        "CurveModel, and before there is a curve the place among the other trials; who starts slowly but catches up is spared",
    ),
    ("Median", "the best value so far is worse than the median of the other trials' running averages at the same step"),
    ("Percentile", "as Median, for another share of the trials"),
    ("Threshold", "the value is worse than a bound, from a step on"),
    ("Patience", "the best value has not become better for some steps"),
    ("Plateau", "the values of some steps lie close together"),
    (
        "AsyncHalving",
        "at certain steps only the best share of the trials that came there goes on (ASHA, its stopping variant)",
    ),
    ("CurveModel", "the trial's curve is unlikely to become better than the best trial by its end"),
];

/// The rules of an experiment. Each may stop a trial; the first that wants to is the one that does.
#[derive(Default)]
pub struct Rules(Vec<(&'static str, Box<dyn Rule>)>);

impl Rules {
    /// Adds a rule by its name and settings, behind those that are there.
    ///
    /// # Errors
    /// Each setting that is unknown, missing or out of range; the name is unknown.
    pub fn add(&mut self, name: &str, settings: &BTreeMap<String, Value>) -> Result<(), Vec<RuleError>> {
        self.0.push(build(name, settings)?);
        Ok(())
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The steps at which they compare trials, rising: see [`Rule::rungs`].
    pub fn rungs(&self) -> Vec<u64> {
        let all: BTreeSet<u64> = self.0.iter().flat_map(|(_, rule)| rule.rungs()).collect();
        all.into_iter().collect()
    }

    /// Whether to stop this trial; `None` as well when it does not run.
    pub fn judge(&self, curves: &Curves, trial: u64) -> Option<Decision> {
        let question = Question { curves, trial, series: curves.running(trial)? };
        self.0.iter().find_map(|(rule, judge)| Some(Decision { rule, reason: judge.judge(&question)? }))
    }
}

/// Makes a rule from its name and settings.
///
/// # Errors
/// Each setting that is unknown, missing or out of range; the name is unknown.
pub fn build(name: &str, settings: &BTreeMap<String, Value>) -> Result<(&'static str, Box<dyn Rule>), Vec<RuleError>> {
    let Some((name, _)) = RULES.iter().find(|(rule, _)| *rule == name) else {
        let known: Vec<&str> = RULES.iter().map(|(name, _)| *name).collect();
        return Err(vec![RuleError::new("name", format!("{name:?} is no rule; there are {}", known.join(", ")))]);
    };
    let mut settings = Settings::new(name, settings);
    let rule: Box<dyn Rule> = match *name {
        "Auto" => Box::new(auto::Auto::new(&mut settings)),
        "Median" => Box::new(percentile::Percentile::median(&mut settings)),
        "Percentile" => Box::new(percentile::Percentile::new(&mut settings)),
        "Threshold" => Box::new(threshold::Threshold::new(&mut settings)),
        "Patience" => Box::new(patience::Patience::new(&mut settings)),
        "Plateau" => Box::new(plateau::Plateau::new(&mut settings)),
        "CurveModel" => Box::new(curve_model::CurveModel::new(&mut settings)),
        _ => Box::new(halving::AsyncHalving::new(&mut settings)),
    };
    settings.finish().map(|()| (*name, rule))
}

/// A loss as a person reads the value: five digits.
fn number(curves: &Curves, loss: f64) -> String {
    let value = curves.value(loss);
    let rounded = format!("{value:.4e}").parse::<f64>().unwrap_or(value);
    match rounded.abs() {
        size if !size.is_finite() => "no finite number".into(),
        size if size != 0.0 && !(1e-5..1e9).contains(&size) => format!("{rounded:e}"),
        _ => rounded.to_string(),
    }
}

#[cfg(test)]
mod tests;
