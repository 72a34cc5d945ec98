//! JSON lines: one object a line, as `json.dumps` writes it. Katib's format JSON is one of them: `{"accuracy": "0.93",
//! "timestamp": "2026-01-01T10:00:00Z"}`.

use super::text::object;
use super::wanted::Wanted;
use super::{Misses, Observation, record};
use jiff::Timestamp;

/// Finds the wanted metrics in lines that are JSON objects. Other lines are left alone: a program may print besides.
pub struct JsonLines {
    wanted: Wanted,
}

impl JsonLines {
    /// A parser for these metrics; names of nested objects are joined by dots.
    pub fn new(wanted: impl IntoIterator<Item = String>) -> Self {
        JsonLines { wanted: Wanted::new(wanted) }
    }

    /// A parser for every number there is.
    pub fn all() -> Self {
        JsonLines { wanted: Wanted::all() }
    }

    /// The observations of one line, at the time that its field `timestamp`, `time` or `ts` says, else at the given one.
    pub fn parse(&mut self, line: &[u8], time: Timestamp) -> Vec<Observation> {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_start_matches('\u{feff}').trim();
        let whole = text.starts_with('{').then(|| object::first(text)).flatten();
        let found = match whole.filter(|(_, length)| *length == text.len()) {
            Some((fields, _)) => record::object(&mut self.wanted, fields, time),
            None => {
                if text.starts_with('{') {
                    self.wanted.miss();
                }
                Vec::new()
            }
        };
        self.wanted.end_of(|| text.to_owned());
        found
    }

    /// Lines that begin an object which does not end, or say a wanted metric and no number, since the last call.
    pub fn take_misses(&mut self) -> Misses {
        self.wanted.take_misses()
    }

    /// Names of numbers that nobody asked for; `None` when there are no new ones since the last call.
    pub fn take_seen(&mut self) -> Option<Vec<String>> {
        self.wanted.take_seen()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(names: &[&str], line: &str) -> String {
        let mut parser = match names {
            [] => JsonLines::all(),
            names => JsonLines::new(names.iter().map(|name| (*name).to_owned())),
        };
        let shown = parser.parse(line.as_bytes(), Timestamp::UNIX_EPOCH).into_iter().map(|observation| {
            let step = observation.step.map_or(String::new(), |step| format!("@{step}"));
            let time = observation.time.as_second();
            let time = if time == 0 { String::new() } else { format!(" at {time}") };
            format!("{}{step}={}{time}", observation.metric, observation.value)
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn lines_and_what_they_say() {
        let table: [(&[&str], &str, &str); 14] = [
            (&["loss"], r#"{"step": 10, "loss": 0.3}"#, "loss@10=0.3"),
            (&["loss"], "  {\"step\": 10, \"loss\": 0.3}\r", "loss@10=0.3"),
            (&["accuracy"], r#"{"accuracy":"0.93","timestamp":"2026-01-01T10:00:00Z"}"#, "accuracy=0.93 at 1767261600"),
            (&["accuracy"], r#"{"accuracy":"0.93","timestamp":1767261600.25}"#, "accuracy=0.93 at 1767261600"),
            (&[], r#"{"loss": NaN, "acc": "Infinity", "time": 12.5}"#, "acc=inf, loss=NaN, time=12.5"),
            (&[], r#"{"loss": 0.2, "x": 1e400, "y": [-2E+999]}"#, "loss=0.2, x=inf"),
            (&[], r#"{"a": -1e400, "b": 1e-005, "c": -2}"#, "a=-inf, b=0.00001, c=-2"),
            (&["val/loss"], r#"{"val": {"loss": 0.5}, "trainer/global_step": 7}"#, "val/loss@7=0.5"),
            (&[], r#"{"a": {"b": {"c": 1}}, "list": [1, 2], "flag": true}"#, "a.b.c=1"),
            (&[], r#"{"epoch": 0.5, "step": 20, "loss": 1}"#, "loss@20=1"),
            (&[], r#"{"loss": 1} and more"#, ""),
            (&[], "loss=1", ""),
            (&[], "[1, 2]", ""),
            (&[], r#"{"loss": "#, ""),
        ];
        for (names, line, found) in table {
            assert_eq!(read(names, line), found, "{line}");
        }
    }

    #[test]
    fn lines_that_cannot_be_read() {
        let table = [
            (r#"{"loss": "#, 1),
            (r#"{"loss": 1} and more"#, 1),
            (r#"{"loss": "high", "note": "x"}"#, 1),
            (r#"{"loss": [1, 2]}"#, 1),
            (r#"{"loss": null, "note": [1]}"#, 0),
            (r#"{"loss": NaN}"#, 0),
            ("loss=abc", 0),
            ("", 0),
        ];
        for (line, lines) in table {
            let mut parser = JsonLines::new(["loss".to_owned()]);
            parser.parse(line.as_bytes(), Timestamp::UNIX_EPOCH);
            let misses = parser.take_misses();
            assert_eq!(
                (misses.lines, misses.first.as_deref()),
                (lines, Some(line.trim()).filter(|_| lines > 0)),
                "{line}"
            );
        }
    }

    #[test]
    fn deep_and_long_lines() {
        for line in ["{\"a\":".repeat(1 << 20), format!("{{\"a\":{}}}", "[".repeat(1 << 20)), "{}".repeat(1 << 20)] {
            assert_eq!(read(&[], &line), "");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_will_do(line in "\\{[\\PC]{0,40}\\}", bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            read(&[], &line);
            JsonLines::all().parse(&bytes, Timestamp::UNIX_EPOCH);
        }
    }
}
