//! What a program posts: JSON objects, and the progress of training as Kubeflow's Trainer defines it (KEP-2779), which
//! Hugging Face's `Trainer` posts by itself.

use super::text::object::{self, Fields};
use super::wanted::Wanted;
use super::{Misses, Observation, record};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// What holds the progress of training.
const PROGRESS: &str = "trainerStatus";
/// Among its metrics: what step it is, and other words for how far it has come, on scales of their own.
const STEP: &str = "current_step";
const OTHER_SCALES: [&str; 3] = [TOTAL, "current_epoch", "epoch"];
const TOTAL: &str = "total_steps";
/// So many metrics are known by their last value.
const MAX_KNOWN: usize = 1024;

/// Finds the wanted metrics in what is posted.
pub struct Push {
    wanted: Wanted,
    /// The last values of [`PROGRESS`], which says them again and again.
    known: BTreeMap<String, u64>,
    /// The last [`STEP`] and [`TOTAL`]. Hugging Face's last words say neither.
    step: Option<f64>,
    total: Option<f64>,
}

/// Why nothing can be taken from what was posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "byte {0} begins no JSON object; post one such as {{\"step\": 3, \"accuracy\": 0.93}}, a list of such objects, or one a line"
)]
pub struct PushError(usize);

impl Push {
    /// Finds these metrics; names of nested objects are joined by dots.
    pub fn new(wanted: impl IntoIterator<Item = String>) -> Self {
        Push { wanted: Wanted::new(wanted), known: BTreeMap::new(), step: None, total: None }
    }

    /// The observations in one object, in a list of objects, or in objects that follow one another: each as
    /// [`super::JsonLines`] reads a line.
    ///
    /// # Errors
    /// It is none of these. Nothing of it counts then, so that it can be posted again once it is mended.
    pub fn parse(&mut self, posted: &[u8], time: Timestamp) -> Result<Vec<Observation>, PushError> {
        let text = String::from_utf8_lossy(posted);
        let mut objects = Vec::new();
        let mut rest = text.trim_start_matches('\u{feff}').trim();
        if let Some(list) = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            rest = list.trim();
        }
        while !rest.is_empty() {
            let broken = PushError(rest.as_ptr() as usize - text.as_ptr() as usize);
            let Some((fields, length)) = rest.starts_with('{').then(|| object::first(rest)).flatten() else {
                self.wanted.miss();
                self.wanted.end_of(|| text.clone().into_owned());
                return Err(broken);
            };
            objects.push(fields);
            rest = rest[length..].trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        let found = objects.into_iter().flat_map(|fields| self.object(fields, time)).collect();
        self.wanted.end_of(|| text.into_owned());
        Ok(found)
    }

    /// Posts that are no JSON, or say a wanted metric and no number, since the last call.
    pub fn take_misses(&mut self) -> Misses {
        self.wanted.take_misses()
    }

    /// Names of numbers that nobody asked for; `None` when there are no new ones since the last call.
    pub fn take_seen(&mut self) -> Option<Vec<String>> {
        self.wanted.take_seen()
    }

    fn object(&mut self, mut fields: Fields, time: Timestamp) -> Vec<Observation> {
        if let Some(Value::Object(status)) = fields.get_mut(PROGRESS) {
            let status = std::mem::take(status);
            return self.progress(&status, time);
        }
        record::object(&mut self.wanted, fields, time)
    }

    fn progress(&mut self, status: &Fields, time: Timestamp) -> Vec<Observation> {
        let own = status.get("lastUpdatedTime").and_then(Value::as_str).and_then(|text| text.parse().ok());
        let listed = status.get("metrics").and_then(Value::as_array).into_iter().flatten();
        let numbers: Vec<(String, f64)> = listed.filter_map(number).collect();
        let said = |wanted: &str| numbers.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value);
        (self.step, self.total) = (said(STEP).or(self.step), said(TOTAL).or(self.total));
        let ended = status.get("progressPercentage").and_then(Value::as_f64).is_some_and(|percent| percent >= 100.0);
        let step = self.step.or(self.total.filter(|_| ended));
        let news = numbers.into_iter().filter_map(|(name, value)| match name.as_str() {
            STEP => None,
            name if step.is_some() && OTHER_SCALES.contains(&name) => None,
            _ => self.is_news(&name, value).then_some((name, value)),
        });
        let news: Vec<_> = news.chain(step.map(|step| ("step".to_owned(), step))).collect();
        record::observe(&mut self.wanted, news, own.unwrap_or(time))
    }

    fn is_news(&mut self, name: &str, value: f64) -> bool {
        if self.known.len() >= MAX_KNOWN && !self.known.contains_key(name) {
            return true;
        }
        self.known.insert(name.to_owned(), value.to_bits()) != Some(value.to_bits())
    }
}

/// A metric of [`PROGRESS`]: its value is a text.
fn number(metric: &Value) -> Option<(String, f64)> {
    let value = match metric.get("value")? {
        Value::String(text) => text.trim().parse().ok()?,
        value => value.as_f64()?,
    };
    Some((metric.get("name")?.as_str()?.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(found: Vec<Observation>) -> String {
        let shown = found.into_iter().map(|observation| {
            let step = observation.step.map_or(String::new(), |step| format!("@{step}"));
            let time = observation.time.as_second();
            let time = if time == 0 { String::new() } else { format!(" at {time}") };
            format!("{}{step}={}{time}", observation.metric, observation.value)
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    fn push() -> Push {
        Push::new(["loss", "val.acc"].map(String::from))
    }

    fn posted(posted: &str) -> Result<String, PushError> {
        push().parse(posted.as_bytes(), Timestamp::UNIX_EPOCH).map(shown)
    }

    #[test]
    fn one_or_many_objects() {
        let table = [
            (r#"{"loss": 0.5}"#, "loss=0.5"),
            (r#"{"step": 3, "loss": "0.5", "val": {"acc": 1}, "lr": 1}"#, "loss@3=0.5, val.acc@3=1"),
            ("{\"loss\": 2}\n{\"loss\": 1}\n", "loss=2, loss=1"),
            (r#" [{"step": 1, "loss": NaN}, {"step": 2, "loss": -Infinity}] "#, "loss@1=NaN, loss@2=-inf"),
            (r#"{"loss": 1, "time": "2026-01-01T10:00:00Z"}"#, "loss=1 at 1767261600"),
            ("{}", ""),
            ("[]", ""),
            ("", ""),
        ];
        for (body, expected) in table {
            assert_eq!(posted(body).as_deref(), Ok(expected), "{body}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused_whole() {
        let table = [("loss=1", 0), ("[1, 2]", 1), (r#"{"loss": 1"#, 0), (r#"  {"loss": 1} x"#, 14), ("{\"a\": }", 0)];
        for (body, at) in table {
            assert_eq!(posted(body), Err(PushError(at)), "{body}");
        }
        for deep in ["{\"a\":".repeat(1 << 18), "[".repeat(1 << 18), format!("{{\"a\":{}}}", "[".repeat(1 << 18))] {
            assert!(posted(&deep).is_err());
        }
    }

    /// As `KubeflowCallback` of transformers 5 says it.
    #[test]
    fn progress_of_training_is_read_as_what_is_new_in_it() {
        let mut push = push();
        let mut say = |loss: &str, step: &str| {
            let body = format!(
                r#"{{"trainerStatus": {{"lastUpdatedTime": "2026-01-01T10:00:00.123456+00:00", "progressPercentage": 10,
                "estimatedRemainingSeconds": 9, "metrics": [{{"name": "loss", "value": "{loss}"}},
                {{"name": "epoch", "value": "1.0"}}, {{"name": "current_step", "value": "{step}"}},
                {{"name": "total_steps", "value": "100"}}, {{"name": "current_epoch", "value": "0.1"}}]}}}}"#
            );
            shown(push.parse(body.as_bytes(), Timestamp::UNIX_EPOCH).unwrap())
        };
        assert_eq!(say("0.5", "10"), "loss@10=0.5 at 1767261600");
        assert_eq!(say("0.5", "20"), "", "it has not been logged again since");
        assert_eq!(say("nan", "30"), "loss@30=NaN at 1767261600");
        assert_eq!(say("nan", "40"), "");
        assert_eq!(posted(r#"{"trainerStatus": {"metrics": 5}}"#).as_deref(), Ok(""));
        assert_eq!(
            posted(r#"{"trainerStatus": {"metrics": [{"name": "loss"}, 7, {"value": "1"}]}}"#).as_deref(),
            Ok("")
        );
    }

    #[test]
    fn the_last_words_of_training_are_of_its_last_step() {
        let say = |push: &mut Push, percent: u32, metrics: &[(&str, &str)]| {
            let metrics: Vec<_> =
                metrics.iter().map(|(name, value)| serde_json::json!({"name": name, "value": value})).collect();
            let body = serde_json::json!({"trainerStatus": {"progressPercentage": percent, "metrics": metrics}});
            shown(push.parse(body.to_string().as_bytes(), Timestamp::UNIX_EPOCH).unwrap())
        };
        let mut long = push();
        assert_eq!(say(&mut long, 0, &[("total_steps", "30")]), "");
        let middle = [("loss", "0.5"), ("epoch", "1.0"), ("current_step", "10"), ("total_steps", "30")];
        assert_eq!(say(&mut long, 33, &middle), "loss@10=0.5");
        assert_eq!(say(&mut long, 100, &[("loss", "0.25"), ("epoch", "3.0")]), "loss@10=0.25", "not of step 3");
        // Too short for a word in between.
        let mut short = push();
        assert_eq!(say(&mut short, 0, &[("total_steps", "30")]), "");
        assert_eq!(say(&mut short, 100, &[("loss", "0.25"), ("epoch", "3.0")]), "loss@30=0.25");
        // Others may know of epochs alone.
        let mut other = push();
        assert_eq!(say(&mut other, 50, &[("loss", "0.5"), ("epoch", "2"), ("total_steps", "30")]), "loss@2=0.5");
        assert_eq!(say(&mut other, 90, &[("loss", "0.4"), ("epoch", "3")]), "loss@3=0.4");
    }

    #[test]
    fn other_names_are_remembered() {
        let mut push = push();
        push.parse(
            br#"[{"accuracy": 1}, {"trainerStatus": {"metrics": [{"name": "eval_loss", "value": "1"}]}}]"#,
            Timestamp::UNIX_EPOCH,
        )
        .unwrap();
        assert_eq!(push.take_seen(), Some(vec!["accuracy".to_owned(), "eval_loss".to_owned()]));
    }

    proptest! {
        #[test]
        fn any_bytes_will_do(text in "[\\[{][\\PC]{0,40}[\\]}]", bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = push().parse(text.as_bytes(), Timestamp::UNIX_EPOCH);
            let _ = push().parse(&bytes, Timestamp::UNIX_EPOCH);
        }
    }
}
