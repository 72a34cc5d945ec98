//! What MLflow's file store keeps of a metric: a file of its name, and in it a line for each value, `timestamp value step`
//! with the timestamp in milliseconds (and perhaps the data set behind it).

use super::Observation;
use super::wanted::Wanted;
use jiff::Timestamp;

/// Longest line, in bytes.
const MAX_LINE: usize = 4096;

/// Finds the wanted metrics among a run's.
pub struct Mlflow {
    wanted: Wanted,
}

/// The file of one metric, as it grows.
pub struct MetricFile {
    /// The wanted name; `None` where it is not.
    metric: Option<String>,
    /// The line that is not yet whole.
    kept: Vec<u8>,
    /// The step of the last line.
    last: Option<u64>,
}

impl Mlflow {
    /// Finds these metrics.
    pub fn new(wanted: impl IntoIterator<Item = String>) -> Self {
        Mlflow { wanted: Wanted::new(wanted) }
    }

    /// A file that begins, of the metric of this name.
    pub fn file(&mut self, name: &str) -> MetricFile {
        let metric = self.wanted.exact(name);
        if metric.is_none() {
            self.wanted.remember(name);
        }
        MetricFile { metric, kept: Vec::new(), last: None }
    }

    /// Names that nobody asked for; `None` when there are no new ones since the last call.
    pub fn take_seen(&mut self) -> Option<Vec<String>> {
        self.wanted.take_seen()
    }
}

impl MetricFile {
    /// The observations that these bytes complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Observation> {
        let (Some(metric), mut found) = (self.metric.clone(), Vec::new()) else { return Vec::new() };
        for byte in bytes {
            if *byte != b'\n' {
                if self.kept.len() < MAX_LINE {
                    self.kept.push(*byte);
                }
                continue;
            }
            let line = std::mem::take(&mut self.kept);
            let read = std::str::from_utf8(&line).ok().and_then(read);
            found.extend(read.map(|(time, value, step)| {
                // Who logs without a step logs each value at step 0.
                let said = step.filter(|step| *step > 0 || self.last.is_none_or(|last| last > 0));
                self.last = step.or(Some(0));
                Observation { metric: metric.clone(), step: said, value, time }
            }));
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
