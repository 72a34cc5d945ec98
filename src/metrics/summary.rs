//! What is kept of a metric: a summary and a bounded curve.

use super::{Curve, Direction, MAX_POINTS, Observation, Point, Statistic};
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

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
    /// Step of the lowest value; the first, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_step: Option<u64>,
    /// The highest finite value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Step of the highest value; the first, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_step: Option<u64>,
    /// How many values were NaN or infinite.
    #[serde(default)]
    pub non_finite: u64,
    /// All values are those of a program that has been started again since, and has not yet said one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub restarted: bool,
    /// The last finite values, where their mean counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub recent: Vec<Point>,
    /// When the last value was measured: not before its attempt began, nor after it was received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time_schema")]
    pub latest_time: Option<Timestamp>,
    /// The values at the steps where a rule compares trials, exactly: those at them, or the last before and the first behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub rungs: Vec<Point>,
    /// Where attempts of the trial begin, the last eight: from the first point of at least this step on the curve is that
    /// attempt's, until the next begins. Absent while all is the first one's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub attempts: Vec<AttemptBegin>,
    /// The values over the steps, thinned.
    #[serde(default)]
    pub curve: Curve,
}

/// Where an attempt begins in a curve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptBegin {
    /// How many attempts came before it.
    #[schemars(range(min = 0, max = 1000))]
    pub attempt: u32,
    /// Step of its first value. What was known from there on it has replaced.
    pub step: u64,
}

/// Most points at rungs.
const MAX_RUNG_POINTS: usize = 64;
/// Most attempts whose beginnings are kept.
const MAX_ATTEMPTS: usize = 8;

/// What of a metric is kept, besides what every summary has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exactly {
    /// Of its curve, points.
    pub points: usize,
    /// How many of its last finite values.
    pub recent: usize,
    /// The steps at which rules compare trials.
    pub rungs: Vec<u64>,
}

impl Default for Exactly {
    fn default() -> Self {
        Exactly { points: MAX_POINTS, recent: 0, rungs: Vec::new() }
    }
}

fn time_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

fn is_false(value: &bool) -> bool {
    !value
}

impl MetricSummary {
    /// Nothing seen yet.
    pub fn new(name: impl Into<String>) -> Self {
        MetricSummary { name: name.into(), ..MetricSummary::default() }
    }

    /// The program has been started again: its next value says from which step on the known ones are replaced.
    pub fn restart(&mut self) {
        self.restarted = self.count > 0;
    }

    /// Takes the next value. Within one run of the program each value counts, whatever its step: a program may print
    /// several values an epoch, or begin a second fold. The first value of a program that was started again replaces what
    /// was known from its step on; one without a step replaces all, since such a program begins at the beginning.
    pub fn observe(&mut self, observation: &Observation) {
        self.observe_and_keep(observation, &Exactly::default(), 0);
    }

    /// As [`Self::observe`]; some values are kept as they are. `attempt`: how many attempts of the trial came before the one
    /// that says it.
    pub fn observe_and_keep(&mut self, observation: &Observation, exactly: &Exactly, attempt: u32) {
        if std::mem::take(&mut self.restarted) {
            self.rewind(observation.step.unwrap_or(0));
        }
        let step = observation.step.unwrap_or_else(|| self.latest_step.map_or(1, |step| step.saturating_add(1)));
        self.begin(attempt, step);
        self.count = self.count.saturating_add(1);
        self.latest_step = Some(step);
        self.latest_time = Some(observation.time);
        let value = observation.value;
        if value.is_finite() {
            self.latest = Some(value);
            self.see(step, value);
            self.recent.push(Point::new(step, value));
            let spare = self.recent.len().saturating_sub(exactly.recent);
            self.recent.drain(..spare);
        } else {
            self.non_finite = self.non_finite.saturating_add(1);
        }
        self.pass_rungs(&Point::new(step, value), &exactly.rungs);
        self.curve.push_within(Point::new(step, value), exactly.points);
    }

    /// Remembers where an attempt begins, unless it has begun before.
    fn begin(&mut self, attempt: u32, step: u64) {
        if attempt > self.attempts.last().map_or(0, |last| last.attempt) {
            self.attempts.push(AttemptBegin { attempt, step });
            let spare = self.attempts.len().saturating_sub(MAX_ATTEMPTS);
            self.attempts.drain(..spare);
        }
    }

    /// Keeps the point where it comes to a rung, and where it jumps over one the point before it as well.
    fn pass_rungs(&mut self, point: &Point, rungs: &[u64]) {
        let before = self.curve.points.last();
        let passed = |rung: &u64| *rung <= point.step && before.is_none_or(|before| before.step < *rung);
        let Some(rung) = rungs.iter().rev().find(|rung| passed(rung)) else { return };
        let jumped = before.filter(|before| *rung < point.step && self.rungs.last() != Some(*before)).cloned();
        self.rungs.extend(jumped.into_iter().chain([point.clone()]));
        self.rungs.truncate(MAX_RUNG_POINTS);
    }

    /// The curve with the points at rungs in their places.
    pub fn exact_curve(&self) -> Cow<'_, Curve> {
        let known = |point: &Point| self.curve.points.iter().any(|other| other.step == point.step);
        let dropped: Vec<&Point> = self.rungs.iter().filter(|point| !known(point)).collect();
        if dropped.is_empty() {
            return Cow::Borrowed(&self.curve);
        }
        let mut curve = self.curve.clone();
        for point in dropped {
            let place = curve.points.iter().position(|other| other.step > point.step).unwrap_or(curve.points.len());
            curve.points.insert(place, point.clone());
        }
        Cow::Owned(curve)
    }

    fn see(&mut self, step: u64, value: f64) {
        if self.min.is_none_or(|min| value < min) {
            (self.min, self.min_step) = (Some(value), Some(step));
        }
        if self.max.is_none_or(|max| value > max) {
            (self.max, self.max_step) = (Some(value), Some(step));
        }
    }

    /// Forgets what was seen from this step on, as far as the kept points tell. The extremes are known exactly when they
    /// lie before it.
    fn rewind(&mut self, step: u64) {
        let before = |value: Option<f64>, at: Option<u64>| value.zip(at.filter(|at| *at < step));
        let (min, max) = (before(self.min, self.min_step), before(self.max, self.max_step));
        self.attempts.retain(|begin| begin.step < step);
        let was = self.curve.points.len();
        self.curve.truncate(step);
        if self.curve.points.len() == was {
            return;
        }
        let (name, curve) = (std::mem::take(&mut self.name), std::mem::take(&mut self.curve));
        let (mut recent, mut rungs) = (std::mem::take(&mut self.recent), std::mem::take(&mut self.rungs));
        let attempts = std::mem::take(&mut self.attempts);
        recent.retain(|point| point.step < step);
        rungs.retain(|point| point.step < step);
        *self = MetricSummary { curve, recent, rungs, attempts, ..MetricSummary::new(name) };
        self.count = self.curve.arrived;
        let points: Vec<(u64, Option<f64>)> = self.curve.points.iter().map(|point| (point.step, point.value)).collect();
        self.latest_step = points.last().map(|(step, _)| *step);
        self.latest = points.iter().rev().find_map(|(_, value)| *value);
        self.non_finite = points.iter().filter(|(_, value)| value.is_none()).count() as u64;
        let finite = points.into_iter().filter_map(|(step, value)| Some((step, value?)));
        let extremes = [min, max].into_iter().flatten().map(|(value, step)| (step, value));
        extremes.chain(finite).for_each(|(step, value)| self.see(step, value));
    }

    /// The value that counts; `None` when none was finite.
    pub fn statistic(&self, statistic: Statistic, direction: Direction) -> Option<f64> {
        match (statistic, direction) {
            (Statistic::Latest, _) => self.latest,
            (Statistic::Mean, _) => mean(self.recent.iter().map(Point::number)),
            (Statistic::Min, _) | (Statistic::Best, Direction::Minimize) => self.min,
            (Statistic::Max, _) | (Statistic::Best, Direction::Maximize) => self.max,
        }
    }

    /// The value that counts if this one is the next; a mean is taken without it.
    pub fn statistic_after(&self, next: f64, statistic: Statistic, direction: Direction) -> Option<f64> {
        let known = self.statistic(statistic, direction);
        if !next.is_finite() {
            return known;
        }
        match (statistic, direction) {
            (Statistic::Latest, _) => Some(next),
            (Statistic::Mean, _) => known.or(Some(next)),
            (Statistic::Min, _) | (Statistic::Best, Direction::Minimize) => {
                Some(known.map_or(next, |min| min.min(next)))
            }
            (Statistic::Max, _) | (Statistic::Best, Direction::Maximize) => {
                Some(known.map_or(next, |max| max.max(next)))
            }
        }
    }
}

/// The mean of finite values, reckoned so that it is finite however large they are; `None` where there are none.
fn mean(values: impl ExactSizeIterator<Item = f64>) -> Option<f64> {
    let count = values.len() as f64;
    (count > 0.0).then(|| values.map(|value| value / count).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(values: &[(Option<u64>, f64)]) -> MetricSummary {
        let mut summary = MetricSummary::new("m");
        observe(&mut summary, values);
        summary
    }

    #[test]
    fn the_value_that_counts_if_another_is_next() {
        let summary = seen(&[(Some(1), 0.2), (Some(2), 0.9), (Some(3), 0.5)]);
        use Direction::{Maximize, Minimize};
        for (statistic, direction, next, counts) in [
            (Statistic::Best, Maximize, 0.4, 0.9),
            (Statistic::Best, Maximize, 1.5, 1.5),
            (Statistic::Best, Minimize, 0.1, 0.1),
            (Statistic::Max, Minimize, 0.1, 0.9),
            (Statistic::Min, Maximize, 0.4, 0.2),
            (Statistic::Latest, Maximize, 0.4, 0.4),
            (Statistic::Latest, Maximize, f64::NAN, 0.5),
            (Statistic::Best, Minimize, f64::NEG_INFINITY, 0.2),
        ] {
            let found = summary.statistic_after(next, statistic, direction);
            assert_eq!(found, Some(counts), "{statistic:?} {direction:?} {next}");
        }
        assert_eq!(MetricSummary::new("m").statistic_after(0.3, Statistic::Mean, Maximize), Some(0.3));
        assert_eq!(MetricSummary::new("m").statistic_after(f64::NAN, Statistic::Best, Maximize), None);
    }

    fn three() -> Exactly {
        Exactly { recent: 3, ..Exactly::default() }
    }

    fn observe(summary: &mut MetricSummary, values: &[(Option<u64>, f64)]) {
        for (step, value) in values {
            summary.observe(&Observation {
                metric: "m".into(),
                step: *step,
                value: *value,
                time: Timestamp::UNIX_EPOCH,
            });
        }
    }

    #[test]
    fn points_at_rungs_stay_where_the_curve_is_thinned() {
        let exactly = Exactly { rungs: vec![3, 9, 27, 81, 243, 729, 2187], ..Exactly::default() };
        let time = Timestamp::UNIX_EPOCH;
        let run = |every: u64| {
            let mut summary = MetricSummary::new("m");
            for step in (0..3000).step_by(every as usize) {
                let value = (step as f64).sqrt();
                let observation = Observation { metric: "m".into(), step: Some(step), value, time };
                summary.observe_and_keep(&observation, &exactly, 0);
            }
            summary
        };
        let kept = |summary: &MetricSummary| summary.rungs.iter().map(|point| point.step).collect::<Vec<_>>();
        let mut each = run(1);
        assert_eq!(kept(&each), [3, 9, 27, 81, 243, 729, 2187]);
        // One that jumps over rungs says what is on both sides.
        assert_eq!(kept(&run(10)), [0, 10, 20, 30, 80, 90, 240, 250, 720, 730, 2180, 2190]);
        let curve = each.exact_curve().into_owned();
        assert!(each.curve.points.iter().all(|point| point.step != 27));
        assert!(curve.points.is_sorted_by_key(|point| point.step));
        let at = |step: u64| curve.points.iter().find(|point| point.step == step).and_then(|point| point.value);
        assert_eq!((at(27), at(2187)), (Some(27_f64.sqrt()), Some(2187_f64.sqrt())));
        // A program that starts again from a checkpoint says them anew.
        each.restart();
        each.observe(&Observation { metric: "m".into(), step: Some(50), value: 1.0, time });
        assert_eq!(kept(&each), [3, 9, 27]);
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
    fn the_mean_of_the_last_values() {
        let mut summary = MetricSummary::new("m");
        let mut say = |step: u64, value: f64| {
            let time = Timestamp::UNIX_EPOCH;
            summary.observe_and_keep(&Observation { metric: "m".into(), step: Some(step), value, time }, &three(), 0);
            summary.statistic(Statistic::Mean, Direction::Maximize)
        };
        let values = [9.0, f64::NAN, 1.0, 2.0, 3.0, f64::INFINITY, 7.0];
        let means: Vec<Option<f64>> = values.iter().zip(1..).map(|(value, step)| say(step, *value)).collect();
        let expected = [9.0, 9.0, 5.0, 4.0, 2.0, 2.0, 4.0];
        assert_eq!(means, expected.map(Some), "of fewer while there are no three");
        summary.restart();
        summary.observe_and_keep(
            &Observation { metric: "m".into(), step: Some(5), value: 6.0, time: Timestamp::UNIX_EPOCH },
            &three(),
            0,
        );
        assert_eq!(summary.statistic(Statistic::Mean, Direction::Minimize), Some(4.0), "2 of step 4, and 6");
        assert_eq!(seen(&[(None, 1.0)]).recent, [], "nothing is kept that nobody asks for");
        assert_eq!(mean([f64::MAX, f64::MAX].into_iter()), Some(f64::MAX));
        assert_eq!(seen(&[(None, f64::NAN)]).statistic(Statistic::Mean, Direction::Minimize), None);
    }

    #[test]
    fn within_one_run_every_value_counts() {
        let several_an_epoch = seen(&[(Some(1), 0.9), (Some(1), 0.5)]);
        assert_eq!(
            (several_an_epoch.max, several_an_epoch.max_step, several_an_epoch.latest, several_an_epoch.count),
            (Some(0.9), Some(1), Some(0.5), 2)
        );
        let second_fold = seen(&[(Some(1), 0.1), (Some(2), 0.9), (Some(1), 0.2), (Some(2), 0.3)]);
        assert_eq!((second_fold.min, second_fold.max, second_fold.count), (Some(0.1), Some(0.9), 4));
        assert_eq!(second_fold.curve.points.len(), 4);
    }

    #[test]
    fn a_program_that_starts_again_replaces_what_it_says_anew() {
        let first = [(Some(1), 0.1), (Some(2), 0.9), (Some(3), 0.3)];
        let bare = [(None, 0.1), (None, 0.9), (None, 0.3)];
        // What the first run said, what the second says; then: lowest, highest, latest, its step, count.
        type Values<'a> = &'a [(Option<u64>, f64)];
        type Outcome = (Option<f64>, Option<f64>, Option<f64>, Option<u64>, u64);
        let table: [(&str, Values, Values, Outcome); 6] = [
            ("from a step", &first, &[(Some(2), 0.2)], (Some(0.1), Some(0.2), Some(0.2), Some(2), 2)),
            ("from the start", &first, &[(Some(1), 0.4)], (Some(0.4), Some(0.4), Some(0.4), Some(1), 1)),
            ("going on", &first, &[(Some(4), 0.2)], (Some(0.1), Some(0.9), Some(0.2), Some(4), 4)),
            ("without steps", &bare, &[(None, 0.5), (None, 0.6)], (Some(0.5), Some(0.6), Some(0.6), Some(2), 2)),
            ("steps no more", &first, &[(None, 0.5)], (Some(0.5), Some(0.5), Some(0.5), Some(1), 1)),
            ("saying nothing", &first, &[], (Some(0.1), Some(0.9), Some(0.3), Some(3), 3)),
        ];
        for (what, before, after, outcome) in table {
            let mut summary = seen(before);
            // Any number of starts that say nothing are as one.
            summary.restart();
            summary.restart();
            observe(&mut summary, after);
            let found = (summary.min, summary.max, summary.latest, summary.latest_step, summary.count);
            assert_eq!(found, outcome, "{what}");
            assert_eq!(summary.restarted, after.is_empty(), "{what}");
        }
    }

    #[test]
    fn each_point_is_of_an_attempt() {
        let mut summary = MetricSummary::new("m");
        let mut run = |attempt: u32, steps: &[Option<u64>]| {
            summary.restart();
            for step in steps {
                let observation =
                    Observation { metric: "m".into(), step: *step, value: 1.0, time: Timestamp::UNIX_EPOCH };
                summary.observe_and_keep(&observation, &Exactly::default(), attempt);
            }
            let begun = summary.attempts.iter().map(|begin| (begin.attempt, begin.step)).collect::<Vec<_>>();
            (begun, summary.curve.points.iter().map(|point| point.step).collect::<Vec<_>>())
        };
        let steps = |range: std::ops::Range<u64>| range.map(Some).collect::<Vec<_>>();
        assert_eq!(run(0, &steps(1..5)), (vec![], vec![1, 2, 3, 4]));
        // From a checkpoint behind step 2.
        assert_eq!(run(1, &steps(3..6)), (vec![(1, 3)], vec![1, 2, 3, 4, 5]));
        // A container that starts again within its attempt: behind where that began, and before it.
        assert_eq!(run(1, &steps(5..7)).0, [(1, 3)]);
        assert_eq!(run(1, &steps(2..4)), (vec![(1, 2)], vec![1, 2, 3]));
        // The third says nothing.
        assert_eq!(run(2, &[]).0, [(1, 2)]);
        assert_eq!(run(3, &steps(4..6)), (vec![(1, 2), (3, 4)], vec![1, 2, 3, 4, 5]));
        assert_eq!(run(4, &steps(1..2)), (vec![(4, 1)], vec![1]));
        assert_eq!(run(5, &[None, None]), (vec![(5, 1)], vec![1, 2]), "without steps it begins at the beginning");
        for attempt in 6..20 {
            run(attempt, &steps(u64::from(attempt)..u64::from(attempt) + 1));
        }
        assert_eq!(run(20, &steps(20..21)).0, (13..=20).map(|at| (at, u64::from(at))).collect::<Vec<_>>());
    }

    #[test]
    fn an_extreme_before_the_restart_is_kept_though_its_point_is_not() {
        let mut summary = MetricSummary::new("m");
        let best = 1001;
        observe(
            &mut summary,
            &(0..4000).map(|step| (Some(step), if step == best { 9.0 } else { 1.0 })).collect::<Vec<_>>(),
        );
        assert!(summary.curve.points.iter().all(|point| point.step != best), "else this shows nothing");
        summary.restart();
        observe(&mut summary, &[(Some(2000), 2.0)]);
        assert_eq!((summary.max, summary.max_step), (Some(9.0), Some(best)));
        summary.restart();
        observe(&mut summary, &[(Some(1000), 2.0)]);
        assert_eq!((summary.max, summary.max_step), (Some(2.0), Some(1000)));
    }

    #[test]
    fn json_has_no_nan() {
        let text = serde_json::to_string(&seen(&[(None, f64::NAN), (None, f64::NEG_INFINITY)])).unwrap();
        let back: MetricSummary = serde_json::from_str(&text).unwrap();
        assert!(back.curve.points[0].number().is_nan() && back.curve.points[1].number() == f64::NEG_INFINITY, "{text}");
    }
}
