//! What trial code of Microsoft's NNI reports: records of JSON that hold a JSON text, through HTTP (NNI 3) or as marked
//! lines of its output (NNI 1.9 to 2).

use super::Observation;
use super::text::object;
use super::wanted::Wanted;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// What a line of output begins with that is a record, up to its quote.
const MARK: &[u8] = b"NNISDK_MEb";
/// The metric of a dictionary that counts.
const DEFAULT: &str = "default";

/// Finds the wanted metrics in what trial code reports. A number is the objective; of a dictionary that is `default`, and
/// its other numbers go by their names. Intermediate results are steps from 1 on, a final one is the step after them.
pub struct Nni {
    objective: String,
    wanted: Wanted,
    /// The number of the next intermediate result. An earlier one was said before, or is another process's.
    next: u64,
    ended: bool,
}

/// A report.
#[derive(Deserialize)]
struct Record {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    sequence: u64,
    value: Value,
}

impl Nni {
    /// Finds these metrics; the first is the objective.
    pub fn new(metrics: &[String]) -> Self {
        let objective = metrics.first().cloned().unwrap_or_default();
        Nni { objective, wanted: Wanted::new(metrics.iter().cloned()), next: 0, ended: false }
    }

    /// The final result has been said.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The observations of one record; none of what is no record, or was said before.
    pub fn record(&mut self, record: &[u8], time: Timestamp) -> Vec<Observation> {
        let Ok(Record { kind, sequence, value }) = serde_json::from_slice(record) else { return Vec::new() };
        let step = match kind.as_str() {
            "PERIODICAL" if sequence >= self.next && !self.ended => {
                self.next = sequence.saturating_add(1);
                self.next
            }
            "FINAL" if !self.ended => {
                self.ended = true;
                self.next.saturating_add(1)
            }
            _ => return Vec::new(),
        };
        let text = match &value {
            Value::String(text) => text.trim(),
            _ => return Vec::new(),
        };
        let observe = |(metric, value)| Observation { metric, step: Some(step), value, time };
        self.values(text).into_iter().map(observe).collect()
    }

    /// The observations of one line of output.
    pub fn line(&mut self, line: &[u8], time: Timestamp) -> Vec<Observation> {
        let Some(at) = line.windows(MARK.len()).position(|part| part == MARK) else { return Vec::new() };
        let rest = &line[at + MARK.len()..];
        // Up to the last quote: a text within may have some.
        let end = rest.iter().rposition(|byte| *byte == b'\'');
        let Some(record) = end.and_then(|end| rest.get(..end)?.strip_prefix(b"'")) else { return Vec::new() };
        self.record(record, time)
    }

    /// Names of numbers that nobody asked for; `None` when there are no new ones since the last call.
    pub fn take_seen(&mut self) -> Option<Vec<String>> {
        self.wanted.take_seen()
    }

    fn values(&mut self, text: &str) -> Vec<(String, f64)> {
        if !text.starts_with('{') {
            return number(text).map(|value| (self.objective.clone(), value)).into_iter().collect();
        }
        let numbers: Vec<(String, f64)> =
            object::first(text).into_iter().flat_map(|(fields, _)| object::numbers(fields)).collect();
        let mut found: Vec<(String, f64)> = Vec::new();
        let default = numbers.iter().find(|(name, _)| name == DEFAULT).map(|(_, value)| *value);
        found.extend(default.map(|value| (self.objective.clone(), value)));
        for (name, value) in numbers.into_iter().filter(|(name, _)| name != DEFAULT) {
            match self.wanted.exact(&name) {
                // What is said to count comes first.
                Some(metric) if default.is_some() && metric == self.objective => {}
                Some(metric) => found.push((metric, value)),
                None => self.wanted.remember(&name),
            }
        }
        found
    }
}

/// As Python writes numbers in JSON, in quotes or without.
fn number(text: &str) -> Option<f64> {
    match text.trim_matches('"') {
        "true" => Some(1.0),
        "false" => Some(0.0),
        text => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nni() -> Nni {
        Nni::new(&["accuracy", "loss"].map(String::from))
    }

    fn record(kind: &str, sequence: u64, value: &str) -> String {
        let record = serde_json::json!({
            "parameter_id": 0, "trial_job_id": "t", "type": kind, "sequence": sequence, "value": value,
        });
        record.to_string()
    }

    fn shown(found: Vec<Observation>) -> String {
        let shown = found.into_iter().map(|one| format!("{}@{}={}", one.metric, one.step.unwrap(), one.value));
        shown.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn values_of_every_kind() {
        let table = [
            ("0.5", "accuracy@1=0.5"),
            ("NaN", "accuracy@1=NaN"),
            ("-Infinity", "accuracy@1=-inf"),
            ("true", "accuracy@1=1"),
            ("\"0.25\"", "accuracy@1=0.25"),
            (r#"{"default": 0.5, "loss": 2, "lr": 1}"#, "accuracy@1=0.5, loss@1=2"),
            (r#"{"default": 0.5, "accuracy": 0.1}"#, "accuracy@1=0.5"),
            (r#"{"accuracy": 0.1, "loss": NaN}"#, "accuracy@1=0.1, loss@1=NaN"),
            (r#"{"__nni_obj__": "torch.tensor"}"#, ""),
            ("[1, 2]", ""),
            ("nothing", ""),
        ];
        for (value, expected) in table {
            let found = nni().record(record("PERIODICAL", 0, value).as_bytes(), Timestamp::UNIX_EPOCH);
            assert_eq!(shown(found), expected, "{value}");
        }
    }

    #[test]
    fn what_was_said_before_changes_nothing() {
        let mut nni = nni();
        let said = [
            (record("PERIODICAL", 0, "0.1"), "accuracy@1=0.1"),
            (record("PERIODICAL", 0, "0.9"), ""),
            (record("PERIODICAL", 1, "0.2"), "accuracy@2=0.2"),
            (record("REQUEST_PARAMETER", 0, "0"), ""),
            (record("FINAL", 0, "0.3"), "accuracy@3=0.3"),
            (record("FINAL", 0, "0.4"), ""),
            (record("PERIODICAL", 2, "0.5"), ""),
            ("no record".into(), ""),
            (r#"{"type": "FINAL", "sequence": -1, "value": "1"}"#.into(), ""),
        ];
        for (record, expected) in said {
            assert_eq!(shown(nni.record(record.as_bytes(), Timestamp::UNIX_EPOCH)), expected, "{record}");
        }
        assert!(nni.has_ended());
    }

    #[test]
    fn lines_of_older_packages() {
        let it_is = record("PERIODICAL", 0, r#"{"default": 0.5, "it's": 1}"#);
        let table = [
            (format!("NNISDK_MEb'{}'", record("FINAL", 0, "0.5")), "accuracy@1=0.5"),
            (format!("step 3NNISDK_MEb'{it_is}' \r"), "accuracy@1=0.5"),
            ("NNISDK_MEb'{".into(), ""),
            ("NNISDK_MEb'".into(), ""),
            ("accuracy=0.5".into(), ""),
        ];
        for (line, expected) in table {
            assert_eq!(shown(nni().line(line.as_bytes(), Timestamp::UNIX_EPOCH)), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_will_do(value in "\\PC{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            nni().record(record("FINAL", 0, &value).as_bytes(), Timestamp::UNIX_EPOCH);
            nni().record(&bytes, Timestamp::UNIX_EPOCH);
            nni().line(&[MARK, &bytes].concat(), Timestamp::UNIX_EPOCH);
        }
    }
}
