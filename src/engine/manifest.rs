//! Manifests as they are edited for a trial: whose they become, and how fields are reached that need not be there.

use super::checkpoint::Checkpoints;
use super::settings::Settings;
use crate::report::{Source, env};
use serde_json::{Map, Value, json};

/// A pod's grace period where it names none, in seconds.
const POD_GRACE: f64 = 30.0;

/// Whose Job it is.
pub(super) struct Owner<'a> {
    pub namespace: &'a str,
    pub experiment: &'a str,
    pub experiment_uid: &'a str,
    pub trial: &'a str,
    pub trial_uid: &'a str,
    pub index: Option<u32>,
    pub attempt: u32,
}

#[cfg(test)]
impl Owner<'static> {
    /// The second attempt of a trial, for tests.
    pub fn example() -> Self {
        Owner {
            namespace: "default",
            experiment: "digits",
            experiment_uid: "e-uid",
            trial: "digits-00007",
            trial_uid: "t-uid",
            index: Some(7),
            attempt: 1,
        }
    }
}

/// What of the experiment goes into each Job.
pub(super) struct Injection<'a> {
    pub primary_container: &'a str,
    pub metrics: &'a [String],
    pub source: &'a Source,
    pub checkpoints: Option<Checkpoints<'a>>,
    /// How often Prometheus is asked about the trial, if it is.
    pub query_seconds: Option<u32>,
    pub settings: &'a Settings,
}

/// How long a pod has between SIGTERM and SIGKILL, in seconds.
pub(super) fn pod_grace(pod: &Map<String, Value>) -> f64 {
    pod.get("terminationGracePeriodSeconds").and_then(Value::as_f64).unwrap_or(POD_GRACE).max(0.0)
}

/// By which an agent says whose it is.
pub(super) fn identity(owner: &Owner<'_>) -> Vec<(&'static str, String)> {
    vec![
        (env::NAMESPACE, owner.namespace.to_owned()),
        (env::TRIAL, owner.trial.to_owned()),
        (env::TRIAL_UID, owner.trial_uid.to_owned()),
        (env::ATTEMPT, owner.attempt.to_string()),
    ]
}

/// A variable of a container.
pub(super) fn set(name: &str, value: String) -> Value {
    json!({"name": name, "value": value})
}

/// Kubernetes expands `$(NAME)` in values; `$$` keeps a dollar.
pub(super) fn escaped(text: &str) -> String {
    text.replace('$', "$$")
}

/// The object in this field of an object; put there when there is none.
pub(super) fn object<'a>(value: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(fields) => entry(fields, key),
        _ => unreachable!("made an object above"),
    }
}

pub(super) fn entry<'a>(fields: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let field = fields.entry(key).or_insert(Value::Null);
    if !field.is_object() {
        *field = Value::Object(Map::new());
    }
    match field {
        Value::Object(fields) => fields,
        _ => unreachable!("made an object above"),
    }
}

pub(super) fn array<'a>(fields: &'a mut Map<String, Value>, key: &str) -> &'a mut Vec<Value> {
    let field = fields.entry(key).or_insert(Value::Null);
    if !field.is_array() {
        *field = Value::Array(Vec::new());
    }
    match field {
        Value::Array(items) => items,
        _ => unreachable!("made an array above"),
    }
}
