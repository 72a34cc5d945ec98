//! What MLflow keeps of a metric. In its file store a file of the metric's name has a line for each value, `timestamp value step`
//! with the timestamp in milliseconds (and perhaps the data set behind it). A tracking server tells a value as a JSON object
//! (`Metric` of MLflow's REST API).

use super::Observation;
use super::wanted::Wanted;
use jiff::Timestamp;
use serde_json::Value;

/// Longest line, in bytes.
const MAX_LINE: usize = 4096;

/// Finds the wanted metrics among a run's.
pub struct Mlflow {
    wanted: Wanted,
}

/// The values of one metric, as they come.
pub struct MetricSeries {
    /// The wanted name; `None` where it is not.
    metric: Option<String>,
    /// The step of the last value.
    last: Option<u64>,
}

/// The file of one metric, as it grows.
pub struct MetricFile {
    series: MetricSeries,
    /// The line that is not yet whole.
    kept: Vec<u8>,
}

impl Mlflow {
    /// Finds these metrics.
    pub fn new(wanted: impl IntoIterator<Item = String>) -> Self {
        Mlflow { wanted: Wanted::new(wanted) }
    }

    /// A series that begins, of the metric of this name.
    pub fn series(&mut self, name: &str) -> MetricSeries {
        let metric = self.wanted.exact(name);
        if metric.is_none() {
            self.wanted.remember(name);
        }
        MetricSeries { metric, last: None }
    }

    /// A file that begins, of the metric of this name.
    pub fn file(&mut self, name: &str) -> MetricFile {
        MetricFile { series: self.series(name), kept: Vec::new() }
    }

    /// Names that nobody asked for; `None` when there are no new ones since the last call.
    pub fn take_seen(&mut self) -> Option<Vec<String>> {
        self.wanted.take_seen()
    }
}

impl MetricSeries {
    /// Whether anybody asked for it.
    pub fn is_wanted(&self) -> bool {
        self.metric.is_some()
    }

    /// What a `Metric` of the REST API says; `None` where it is none, or nobody asked for it.
    pub fn told(&mut self, metric: &Value) -> Option<Observation> {
        let whole = |name: &str| match &metric[name] {
            Value::String(text) => text.parse().ok(),
            number => number.as_i64(),
        };
        let value = match &metric["value"] {
            // As protocol buffers are written in JSON: `NaN`, `Infinity`.
            Value::String(text) => text.parse().ok(),
            number => number.as_f64(),
        };
        // What is 0 may be left out.
        let time = Timestamp::from_millisecond(whole("timestamp").unwrap_or(0)).ok()?;
        self.next(time, value?, u64::try_from(whole("step").unwrap_or(0)).ok())
    }

    fn next(&mut self, time: Timestamp, value: f64, step: Option<u64>) -> Option<Observation> {
        let metric = self.metric.clone()?;
        // Who logs without a step logs each value at step 0.
        let said = step.filter(|step| *step > 0 || self.last.is_none_or(|last| last > 0));
        self.last = step.or(Some(0));
        Some(Observation { metric, step: said, value, time })
    }
}

impl MetricFile {
    /// The observations that these bytes complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Observation> {
        let mut found = Vec::new();
        if !self.series.is_wanted() {
            return found;
        }
        for byte in bytes {
            if *byte != b'\n' {
                if self.kept.len() < MAX_LINE {
                    self.kept.push(*byte);
                }
                continue;
            }
            let line = std::mem::take(&mut self.kept);
            let read = std::str::from_utf8(&line).ok().and_then(read);
            found.extend(read.and_then(|(time, value, step)| self.series.next(time, value, step)));
        }
        found
    }
}

/// Time, value and step of a line.
fn read(line: &str) -> Option<(Timestamp, f64, Option<u64>)> {
    let mut words = line.split_ascii_whitespace();
    let time = Timestamp::from_millisecond(words.next()?.parse().ok()?).ok()?;
    let value = words.next()?.parse().ok()?;
    let step = words.next().and_then(|step| step.parse().ok());
    Some((time, value, step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str, piece: usize) -> String {
        let mut file = Mlflow::new(["val/loss".to_owned()]).file("val/loss");
        let found: Vec<Observation> = text.as_bytes().chunks(piece).flat_map(|piece| file.feed(piece)).collect();
        let shown = found.into_iter().map(|one| {
            let step = one.step.map_or(String::new(), |step| format!("@{step}"));
            format!("{}{step}={} at {}", one.metric, one.value, one.time.as_millisecond())
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn lines_and_what_they_say() {
        let table = [
            // As MLflow 3.17 writes them.
            (
                "1795808059029 1.0 0\n1795808059030 0.5 1\n1795808059032 nan 2\n",
                "val/loss@0=1 at 1795808059029, val/loss@1=0.5 at 1795808059030, val/loss@2=NaN at 1795808059032",
            ),
            ("5 1e-3 0\n6 2 0\n7 -inf 0\n", "val/loss@0=0.001 at 5, val/loss=2 at 6, val/loss=-inf at 7"),
            ("5 1 3 train 12ab\n", "val/loss@3=1 at 5"),
            ("5 1\n6 2\n", "val/loss=1 at 5, val/loss=2 at 6"),
            ("5 1 2\n6 0.5", "val/loss@2=1 at 5"),
            ("5 1 -1\n", "val/loss=1 at 5"),
            ("\nnothing\nx 1 2\n5 y 2\n99999999999999999999 1 1\n", ""),
        ];
        for (text, expected) in table {
            for piece in [1, 7, 1000] {
                assert_eq!(read(text, piece), expected, "{text}");
            }
        }
    }

    #[test]
    fn objects_of_the_rest_api() {
        let mut series = Mlflow::new(["val/loss".to_owned()]).series("val/loss");
        let mut said = |text: &str| {
            series
                .told(&serde_json::from_str(text).unwrap())
                .map(|one| (one.time.as_millisecond(), one.value, one.step))
        };
        // As MLflow 3.17 writes them.
        assert_eq!(said(r#"{"key": "val/loss", "value": 0.5, "timestamp": 5, "step": 0}"#), Some((5, 0.5, Some(0))));
        assert_eq!(said(r#"{"key": "val/loss", "value": 0.25, "timestamp": "6", "step": "0"}"#), Some((6, 0.25, None)));
        assert_eq!(
            said(r#"{"key": "val/loss", "value": "-Infinity", "timestamp": 7, "step": 3}"#).unwrap().1,
            f64::NEG_INFINITY
        );
        assert!(said(r#"{"key": "val/loss", "value": "NaN", "timestamp": 7, "step": 3}"#).unwrap().1.is_nan());
        assert_eq!(said(r#"{"key": "val/loss", "value": 1}"#), Some((0, 1.0, Some(0))));
        for nothing in ["{}", "[]", "7", r#"{"value": "much"}"#, r#"{"value": 1, "timestamp": 9e300}"#] {
            said(nothing);
        }
        assert_eq!(said(r#"{"value": true}"#), None);
    }

    #[test]
    fn other_names_are_remembered() {
        let mut mlflow = Mlflow::new(["val/loss".to_owned()]);
        assert_eq!(mlflow.file("val_loss").feed(b"5 1 1\n").len(), 1, "as everywhere");
        assert_eq!(mlflow.file("accuracy").feed(b"5 1 1\n").len(), 0);
        assert_eq!(mlflow.take_seen(), Some(vec!["accuracy".to_owned()]));
    }

    proptest! {
        #[test]
        fn any_bytes_will_do(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            Mlflow::new(["loss".to_owned()]).file("loss").feed(&bytes);
        }
    }
}
