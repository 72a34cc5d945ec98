//! Rules applied to curves that come in value by value, as when known curves are replayed.

use super::{Course, Curves, Decision, RULES, RuleError, Rules};
use crate::metrics::{Curve, Direction, Point, Statistic};
use serde_json::Value;
use std::collections::BTreeMap;

/// An experiment under one rule. A trial's last value is its result.
pub struct Replay {
    rules: Rules,
    curves: Curves,
    /// Trials that have reported and not ended, and whether they are to be stopped.
    running: BTreeMap<u64, (Curve, bool)>,
}

impl Replay {
    /// No trial has reported. Upper and lower case of the rule's name are alike, and AsyncHalving is also called ASHA.
    ///
    /// # Errors
    /// As [`super::build`].
    pub fn new(rule: &str, settings: &BTreeMap<String, Value>, direction: Direction) -> Result<Self, Vec<RuleError>> {
        let rule = if rule.eq_ignore_ascii_case("ASHA") { "AsyncHalving" } else { rule };
        let known = RULES.iter().map(|(name, _)| *name).find(|name| name.eq_ignore_ascii_case(rule));
        let mut rules = Rules::default();
        rules.add(known.unwrap_or(rule), settings)?;
        Ok(Replay { rules, curves: Curves::new(direction, Statistic::Latest), running: BTreeMap::new() })
    }

    /// A trial's value at a step. Answers whether to stop it.
    pub fn report(&mut self, trial: u64, step: u64, value: f64) -> Option<Decision> {
        let (curve, stopped) = self.running.entry(trial).or_default();
        curve.push(Point::new(step, value));
        self.curves.insert(trial, curve, Course::Running);
        let decision = self.rules.judge(&self.curves, trial);
        *stopped |= decision.is_some();
        decision
    }

    /// A trial has ended: by its own, or because it was stopped; `failed`: without a result.
    pub fn end(&mut self, trial: u64, failed: bool) {
        match self.running.remove(&trial) {
            Some((curve, stopped)) if !failed => {
                let course = if stopped { Course::Stopped } else { Course::Complete };
                self.curves.insert(trial, &curve, course);
            }
            _ => self.curves.remove(trial),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps that each of these trials takes, one after the other; all would take ten.
    fn lengths(rule: &str, values: &[f64]) -> Vec<u64> {
        let mut replay = Replay::new(rule, &BTreeMap::new(), Direction::Minimize).unwrap();
        let trials = values.iter().zip(0..);
        let steps = trials.map(|(value, trial)| {
            let stop = (1..=10).find(|step| replay.report(trial, *step, *value).is_some());
            replay.end(trial, false);
            stop.unwrap_or(10)
        });
        steps.collect()
    }

    #[test]
    fn trials_one_after_the_other() {
        assert_eq!(lengths("asha", &[0.5, 0.4, 0.6, 0.3]), [10, 10, 1, 10]);
        assert_eq!(lengths("AsyncHalving", &[0.5, 0.4, 0.6, 0.3]), [10, 10, 1, 10]);
        assert_eq!(lengths("curvemodel", &[0.5, 0.4, 0.6, 0.3]), [10, 10, 4, 10]);
        assert_eq!(lengths("auto", &[0.5, 0.4, 0.6, 0.3]), [10, 10, 4, 10]);
    }

    #[test]
    fn a_trial_that_failed_is_forgotten() {
        let mut replay = Replay::new("ASHA", &BTreeMap::new(), Direction::Minimize).unwrap();
        assert_eq!(replay.report(0, 1, 0.1), None);
        replay.end(0, true);
        assert_eq!(replay.report(1, 1, 0.2), None);
        assert_eq!(replay.report(2, 1, 0.3).map(|decision| decision.rule), Some("AsyncHalving"));
        assert!(Replay::new("none", &BTreeMap::new(), Direction::Minimize).is_err());
    }
}
