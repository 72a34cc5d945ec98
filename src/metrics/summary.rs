//! What is kept of a metric: a summary and a bounded curve.

use super::{Curve, Direction, Observation, Point, Statistic};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Summary and curve of one metric of one trial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricSummary {
    /// Name of the metric.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// How many values were seen.
    #[serde(default)]
    pub count: u64,
    /// The last finite value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<f64>,
    /// Step of the last value, finite or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_step: Option<u64>,
    /// The lowest finite value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The highest finite value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// How many values were NaN or infinite.
    #[serde(default)]
    pub non_finite: u64,
    /// The values over the steps, thinned.
    #[serde(default)]
    pub curve: Curve,
}

impl MetricSummary {
    /// Nothing seen yet.
    pub fn new(name: impl Into<String>) -> Self {
        MetricSummary { name: name.into(), ..MetricSummary::default() }
    }

    /// Takes the next value. A step that is not greater than the last one means that the program has started again:
    /// what was known from that step on is replaced.
    pub fn observe(&mut self, observation: &Observation) {
        let step = observation.step.unwrap_or_else(|| self.latest_step.map_or(1, |step| step + 1));
        if self.latest_step.is_some_and(|latest| step <= latest) {
            self.rewind(step);
        }
        self.count += 1;
        self.latest_step = Some(step);
        let value = observation.value;
        if value.is_finite() {
            self.latest = Some(value);
            self.min = Some(self.min.map_or(value, |min| min.min(value)));
            self.max = Some(self.max.map_or(value, |max| max.max(value)));
        } else {
            self.non_finite += 1;
        }
        self.curve.push(Point::new(step, value));
    }

    /// Forgets what was seen from this step on, as far as the kept points tell.
    fn rewind(&mut self, step: u64) {
        self.curve.truncate(step);
        let finite: Vec<f64> = self.curve.points.iter().filter_map(|point| point.value).collect();
        self.latest = finite.last().copied();
        self.min = finite.iter().copied().reduce(f64::min);
        self.max = finite.iter().copied().reduce(f64::max);
        self.count = self.curve.arrived;
        self.non_finite = self.curve.points.iter().filter(|point| point.value.is_none()).count() as u64;
    }

    /// The value that counts; `None` when none was finite.
    pub fn statistic(&self, statistic: Statistic, direction: Direction) -> Option<f64> {
        match (statistic, direction) {
            (Statistic::Latest, _) => self.latest,
            (Statistic::Min, _) | (Statistic::Best, Direction::Minimize) => self.min,
            (Statistic::Max, _) | (Statistic::Best, Direction::Maximize) => self.max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn seen(values: &[(Option<u64>, f64)]) -> MetricSummary {
        let mut summary = MetricSummary::new("m");
        for (step, value) in values {
            summary.observe(&Observation {
                metric: "m".into(),
                step: *step,
                value: *value,
                time: Timestamp::UNIX_EPOCH,
            });
        }
        summary
    }

    #[test]
    fn which_value_counts() {
        let summary = seen(&[(None, 1.0), (None, 3.0), (None, f64::NAN), (None, 2.0), (None, f64::INFINITY)]);
        let table = [
            (Statistic::Best, Direction::Maximize, Some(3.0)),
            (Statistic::Best, Direction::Minimize, Some(1.0)),
            (Statistic::Latest, Direction::Minimize, Some(2.0)),
            (Statistic::Min, Direction::Maximize, Some(1.0)),
            (Statistic::Max, Direction::Minimize, Some(3.0)),
        ];
        for (statistic, direction, value) in table {
            assert_eq!(summary.statistic(statistic, direction), value, "{statistic:?} {direction:?}");
        }
        assert_eq!((summary.count, summary.non_finite, summary.latest_step), (5, 2, Some(5)));
        assert_eq!(seen(&[(None, f64::NAN)]).statistic(Statistic::Best, Direction::Maximize), None);
    }

    #[test]
    fn a_program_that_starts_again_replaces_what_it_says_anew() {
        let summary = seen(&[(Some(1), 0.1), (Some(2), 0.9), (Some(3), 0.3), (Some(2), 0.2)]);
        assert_eq!((summary.max, summary.latest, summary.count), (Some(0.2), Some(0.2), 2));
        let afresh = seen(&[(Some(1), 0.9), (Some(1), 0.1)]);
        assert_eq!((afresh.max, afresh.count), (Some(0.1), 1));
    }

    #[test]
    fn json_has_no_nan() {
        let text = serde_json::to_string(&seen(&[(None, f64::NAN), (None, f64::NEG_INFINITY)])).unwrap();
        let back: MetricSummary = serde_json::from_str(&text).unwrap();
        assert!(back.curve.points[0].number().is_nan() && back.curve.points[1].number() == f64::NEG_INFINITY, "{text}");
    }
}
