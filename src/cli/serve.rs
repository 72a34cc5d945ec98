//! `automl tuner serve`: a tuner, and a stopping rule beside it, asked line by line.

use crate::metrics::Direction;
use crate::stopping::Replay;
use crate::tuner::Session;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Settings of `init` that belong neither to the algorithm nor to the rule: how long a whole trial is, and how many there
/// will be, which rules and tuners here do not ask.
const OF_NOBODY: [&str; 2] = ["max_step", "budget"];

/// One session: what is said, and what is answered.
#[derive(Default)]
pub(super) struct Dialogue {
    session: Session,
    replay: Option<Replay>,
}

impl Dialogue {
    /// The answer to a line; `None` where there is none.
    pub fn line(&mut self, line: &str) -> Option<String> {
        let Ok(Value::Object(message)) = serde_json::from_str(line) else { return self.session.line(line) };
        match (message.get("op").and_then(Value::as_str), &mut self.replay) {
            (Some("init"), _) => self.init(line, &message),
            (Some("report"), Some(replay)) => Some(report(replay, &message).to_string()),
            (Some("tell"), Some(replay)) => {
                if let Some(id) = message.get("id").and_then(Value::as_u64) {
                    replay.end(id, message.get("failed") == Some(&Value::Bool(true)));
                }
                self.session.line(line)
            }
            _ => self.session.line(line),
        }
    }

    /// With `settings.early_stopping` the other settings are those of the rule. All else goes on as it was written: the order
    /// of parameters counts.
    fn init(&mut self, line: &str, message: &Map<String, Value>) -> Option<String> {
        self.replay = None;
        let settings = message.get("settings").and_then(Value::as_object);
        let Some((rule, settings)) = settings.and_then(|settings| Some((settings.get("early_stopping")?, settings)))
        else {
            return self.session.line(line);
        };
        let own = settings.iter().filter(|(name, _)| *name != "early_stopping" && !OF_NOBODY.contains(&name.as_str()));
        let own: BTreeMap<String, Value> = own.map(|(name, value)| (name.clone(), value.clone())).collect();
        // Of several objectives rules see the first.
        let direction = message.get("direction").map(|direction| direction.get(0).unwrap_or(direction));
        let direction = match direction.and_then(Value::as_str) {
            Some(word) if word.eq_ignore_ascii_case("maximize") => Direction::Maximize,
            _ => Direction::Minimize,
        };
        let name = rule.as_str().map_or_else(|| rule.to_string(), str::to_owned);
        match Replay::new(&name, &own, direction) {
            Ok(replay) => self.replay = Some(replay),
            Err(errors) => {
                let sentences: Vec<String> = errors.iter().map(ToString::to_string).collect();
                return Some(json!({"error": format!("early_stopping: {}", sentences.join("; "))}).to_string());
            }
        }
        let mut parts: BTreeMap<String, &RawValue> = serde_json::from_str(line).unwrap_or_default();
        parts.remove("settings");
        let line = serde_json::to_string(&parts).unwrap_or_default();
        self.session.line(&line)
    }
}

fn report(replay: &mut Replay, message: &Map<String, Value>) -> Value {
    let whole = |name: &str| message.get(name).and_then(Value::as_u64);
    let value = match message.get("value") {
        Some(Value::String(text)) => text.parse().ok(),
        value => value.and_then(Value::as_f64),
    };
    let (Some(id), Some(step), Some(value)) = (whole("id"), whole("step"), value) else {
        return json!({"error": "a report has the trial's id, a step and a value"});
    };
    match replay.report(id, step, value) {
        Some(decision) => json!({"stop": true, "reason": format!("{}: {}", decision.rule, decision.reason)}),
        None => json!({"stop": false}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_stay_in_their_order() {
        let space =
            r#"{"z":{"type":"categorical","choices":["a"]},"y":{"type":"double","min":0,"max":1,"when":{"z":"a"}}}"#;
        for settings in ["{}", r#"{"early_stopping":"Median"}"#] {
            let mut dialogue = Dialogue::default();
            let init = format!(
                r#"{{"op":"init","space":{space},"direction":"minimize","algorithm":"random","settings":{settings},"seed":1}}"#
            );
            assert_eq!(dialogue.line(&init), None);
            let answer = dialogue.line(r#"{"op":"ask"}"#).unwrap();
            assert!(answer.contains(r#""z":"a""#) && answer.contains(r#""y":"#), "{answer}");
        }
    }

    #[test]
    fn a_rule_beside_a_tuner() {
        let init = r#"{"op":"init","space":{"x":{"type":"double","min":0,"max":1}},"direction":"minimize","algorithm":"random","settings":{"early_stopping":"Threshold","bound":0.5,"max_step":9},"seed":1}"#;
        let mut dialogue = Dialogue::default();
        let table = [
            (init, ""),
            (r#"{"op":"ask"}"#, r#"{"id":1"#),
            (r#"{"op":"report","id":1,"step":1,"value":0.25}"#, r#"{"stop":false}"#),
            (
                r#"{"op":"report","id":1,"step":2,"value":0.75}"#,
                r#"{"reason":"Threshold: step 2: 0.75 is above the bound 0.5","stop":true}"#,
            ),
            (r#"{"op":"report","id":1,"step":2}"#, r#"{"error":"a report has"#),
            (r#"{"op":"tell","id":1,"value":0.75}"#, ""),
            (
                &init.replace("Threshold", "Best"),
                r#"{"error":"early_stopping: name: \"Best\" is no rule; there are Auto, "#,
            ),
            (&init.replace("bound", "bond"), r#"{"error":"early_stopping: settings."#),
            (&init.replace("early_stopping", "warmth"), r#"{"error":""#),
        ];
        for (line, expected) in table {
            let answer = dialogue.line(line).unwrap_or_default();
            assert!(answer.starts_with(expected), "{line}: {answer}");
            assert_eq!(answer.is_empty(), expected.is_empty(), "{line}: {answer}");
        }
    }
}
