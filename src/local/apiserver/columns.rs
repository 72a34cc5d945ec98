//! The columns of the built-in kinds.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{age, object, table::definition};

type Cell = fn(&Value, Timestamp) -> Value;

/// Name, type, priority and content of a column.
type Column = (&'static str, &'static str, i64, Cell);

const AGE: Column = ("Age", "string", 0, |object, now| age_at(object, "metadata.creationTimestamp", now));

fn columns(kind: &str) -> &'static [Column] {
    match kind {
        "Pod" => &[
            ("Ready", "string", 0, |object, _| {
                let (ready, all) = ready(object);
                json!(format!("{ready}/{all}"))
            }),
            ("Status", "string", 0, |object, _| json!(pod_status(object))),
            ("Restarts", "string", 0, |object, _| {
                let restarts = containers(object).filter_map(|status| status.get("restartCount")?.as_u64());
                json!(restarts.sum::<u64>().to_string())
            }),
            AGE,
            ("IP", "string", 1, |object, _| or_none(object, "status.podIP")),
            ("Node", "string", 1, |object, _| or_none(object, "spec.nodeName")),
            ("Nominated Node", "string", 1, |object, _| or_none(object, "status.nominatedNodeName")),
            ("Readiness Gates", "string", 1, |_, _| json!("<none>")),
        ],
        "Job" => &[
            ("Status", "string", 0, |object, _| json!(job_status(object))),
            ("Completions", "string", 0, |object, _| {
                let done = object::lookup(object, "status.succeeded").and_then(Value::as_i64).unwrap_or_default();
                let wanted = object::lookup(object, "spec.completions").and_then(Value::as_i64).unwrap_or(1);
                json!(format!("{done}/{wanted}"))
            }),
            ("Duration", "string", 0, |object, now| {
                let time = |path: &str| object::lookup(object, path).and_then(Value::as_str)?.parse::<Timestamp>().ok();
                let end = time("status.completionTime").unwrap_or(now);
                time("status.startTime").map_or(json!(""), |start| json!(age::since(start, end)))
            }),
            AGE,
            ("Containers", "string", 1, |object, _| joined(object, "name")),
            ("Images", "string", 1, |object, _| joined(object, "image")),
            ("Selector", "string", 1, |object, _| {
                let labels = object::lookup(object, "spec.selector.matchLabels").and_then(Value::as_object);
                let pairs: Vec<String> = labels
                    .into_iter()
                    .flatten()
                    .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
                    .collect();
                json!(pairs.join(","))
            }),
        ],
        "Event" => &[
            ("Last Seen", "string", 0, |object, now| {
                let paths = ["series.lastObservedTime", "lastTimestamp", "eventTime", "metadata.creationTimestamp"];
                let found = paths.iter().find(|path| object::lookup(object, path).is_some_and(Value::is_string));
                found.map_or(json!("<unknown>"), |path| age_at(object, path, now))
            }),
            ("Type", "string", 0, |object, _| text(object, "type")),
            ("Reason", "string", 0, |object, _| text(object, "reason")),
            ("Object", "string", 0, |object, _| {
                let field = |key: &str| text(object, &format!("involvedObject.{key}"));
                let kind = field("kind").as_str().unwrap_or_default().to_lowercase();
                json!(format!("{kind}/{}", field("name").as_str().unwrap_or_default()))
            }),
            ("Source", "string", 1, |object, _| match text(object, "source.component") {
                empty if empty == "" => text(object, "reportingComponent"),
                source => source,
            }),
            ("Message", "string", 0, |object, _| json!(text(object, "message").as_str().unwrap_or_default().trim())),
            ("Count", "string", 1, |object, _| {
                let counts = ["series.count", "count"].map(|path| object::lookup(object, path).and_then(Value::as_u64));
                json!(counts.into_iter().flatten().next().unwrap_or(1).to_string())
            }),
        ],
        "Namespace" => &[("Status", "string", 0, |object, _| text(object, "status.phase")), AGE],
        "Node" => &[
            ("Status", "string", 0, |object, _| {
                let ready = if condition(object, "Ready") == Some("True") { "Ready" } else { "NotReady" };
                let closed = object::lookup(object, "spec.unschedulable").and_then(Value::as_bool).unwrap_or(false);
                json!(if closed { format!("{ready},SchedulingDisabled") } else { ready.to_owned() })
            }),
            ("Roles", "string", 0, |_, _| json!("<none>")),
            AGE,
            ("Version", "string", 0, |object, _| text(object, "status.nodeInfo.kubeletVersion")),
        ],
        "ConfigMap" => &[("Data", "string", 0, |object, _| count(object, &["data", "binaryData"])), AGE],
        "Secret" => &[
            ("Type", "string", 0, |object, _| text(object, "type")),
            ("Data", "string", 0, |object, _| count(object, &["data"])),
            AGE,
        ],
        "Lease" => &[("Holder", "string", 0, |object, _| text(object, "spec.holderIdentity")), AGE],
        "CustomResourceDefinition" => {
            &[("Created At", "date", 0, |object, _| text(object, "metadata.creationTimestamp"))]
        }
        _ => &[AGE],
    }
}

/// The columns after the name.
pub(super) fn definitions(kind: &str) -> Vec<Value> {
    columns(kind).iter().map(|(name, kind, priority, _)| definition(name, kind, "", "", *priority)).collect()
}

/// The cells after the name.
pub(super) fn cells(kind: &str, object: &Value, now: Timestamp) -> Vec<Value> {
    columns(kind).iter().map(|(_, _, _, cell)| cell(object, now)).collect()
}

fn text(object: &Value, path: &str) -> Value {
    json!(object::lookup(object, path).and_then(Value::as_str).unwrap_or_default())
}

fn or_none(object: &Value, path: &str) -> Value {
    json!(object::lookup(object, path).and_then(Value::as_str).filter(|text| !text.is_empty()).unwrap_or("<none>"))
}

fn age_at(object: &Value, path: &str, now: Timestamp) -> Value {
    let at = object::lookup(object, path).and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
    json!(at.map_or_else(|| "<unknown>".to_owned(), |at| age::since(at, now)))
}

fn count(object: &Value, fields: &[&str]) -> Value {
    let sizes = fields.iter().filter_map(|field| object.get(field)?.as_object()).map(serde_json::Map::len);
    json!(sizes.sum::<usize>().to_string())
}

fn containers(object: &Value) -> impl Iterator<Item = &Value> {
    object::lookup(object, "status.containerStatuses").and_then(Value::as_array).into_iter().flatten()
}

fn ready(object: &Value) -> (usize, usize) {
    let all = object::lookup(object, "spec.containers").and_then(Value::as_array).map_or(0, Vec::len);
    (containers(object).filter(|status| status.get("ready") == Some(&Value::Bool(true))).count(), all)
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    let conditions = object::lookup(object, "status.conditions")?.as_array()?;
    conditions
        .iter()
        .find(|condition| condition.get("type").is_some_and(|found| found == kind))?
        .get("status")?
        .as_str()
}

/// The word of `kubectl get pods`: the reason of a container that waits or ended, else the phase.
fn pod_status(object: &Value) -> String {
    if object::is_terminating(object) {
        return "Terminating".to_owned();
    }
    let pod = |path: &str| object::lookup(object, path).and_then(Value::as_str).unwrap_or_default();
    let own = if pod("status.reason").is_empty() { pod("status.phase") } else { pod("status.reason") };
    let reason = containers(object).find_map(|status| {
        let reason = |path: &str| object::lookup(status, path).and_then(Value::as_str).filter(|text| !text.is_empty());
        reason("state.waiting.reason").or_else(|| reason("state.terminated.reason"))
    });
    reason.unwrap_or(own).to_owned()
}

fn job_status(object: &Value) -> &'static str {
    let is = |kind: &str| condition(object, kind) == Some("True");
    match () {
        () if is("Complete") => "Complete",
        () if is("Failed") => "Failed",
        () if object::is_terminating(object) => "Terminating",
        () if is("Suspended") => "Suspended",
        () if is("FailureTarget") => "FailureTarget",
        () if is("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn joined(object: &Value, field: &str) -> Value {
    let containers = object::lookup(object, "spec.template.spec.containers").and_then(Value::as_array);
    let texts: Vec<&str> =
        containers.into_iter().flatten().filter_map(|container| container.get(field)?.as_str()).collect();
    json!(texts.join(","))
}
