//! Spans in OpenTelemetry's own JSON, made of what is stored in the objects.

use crate::api::conditions::{is_true, standing, types};
use crate::api::{Condition, Experiment, Trial};
use crate::engine::{span_id, trace_id};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

/// Kind of a span: internal.
const INTERNAL: u8 = 1;
const OK: u8 = 1;
const ERROR: u8 = 2;

/// What a trial's own times do not say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    /// When the Job of its last attempt was created.
    pub job: Option<Timestamp>,
    /// When its first value was received.
    pub heard: Option<Timestamp>,
}

/// A trial that has ended, with its waiting and its running below it; `experiment`: UID of its Experiment. Empty while it has not
/// ended.
pub fn of_trial(trial: &Trial, experiment: &str, moments: Moments) -> Vec<Value> {
    let (Some(status), Some(made)) = (&trial.status, created(trial)) else { return Vec::new() };
    let Some(end) = status.completion_time else { return Vec::new() };
    let (uid, trace) = (trial.uid().unwrap_or_default(), trace_id(experiment));
    let (failed, reason) = outcome(&status.conditions);
    let attributes = [
        ("k8s.namespace.name", json!({"stringValue": trial.namespace().unwrap_or_default()})),
        ("automl.experiment", json!({"stringValue": trial.spec.experiment})),
        ("automl.trial", json!({"stringValue": trial.name_any()})),
        ("automl.reason", json!({"stringValue": reason})),
        ("automl.attempt", json!({"intValue": status.attempt.to_string()})),
    ];
    let objective = status.objective.map(|value| ("automl.objective", json!({"doubleValue": value})));
    let mut whole = span((&trace, &span_id(&uid)), ("trial", Some(&span_id(experiment))), (made, end));
    whole["attributes"] =
        attributes.into_iter().chain(objective).map(|(key, value)| json!({"key": key, "value": value})).collect();
    whole["status"] = state(failed, reason);
    whole["events"] = json!([event("suggested", made)]);
    let Some(start) = status.start_time else { return vec![whole] };
    let part = |name: &str, times| {
        let own = span_id(&format!("{uid}/{name}/{}", status.attempt));
        span((&trace, &own), (name, Some(&span_id(&uid))), times)
    };
    let (mut waiting, mut running) = (part("waiting", (made, start)), part("running", (start, end)));
    // Stored times are whole seconds.
    if let Some(job) = moments.job {
        waiting["events"] = json!([event("Job created", job.min(start).max(made))]);
    }
    if let Some(heard) = moments.heard {
        running["events"] = json!([event("first metric", heard.min(end).max(start))]);
    }
    vec![whole, waiting, running]
}

/// An Experiment that has ended: the root of its trace. Empty while it has not.
pub fn of_experiment(experiment: &Experiment) -> Vec<Value> {
    let (Some(status), Some(made)) = (&experiment.status, created(experiment)) else { return Vec::new() };
    let Some(end) = status.completion_time else { return Vec::new() };
    let uid = experiment.uid().unwrap_or_default();
    let (failed, reason) = outcome(&status.conditions);
    let mut root = span((&trace_id(&uid), &span_id(&uid)), ("experiment", None), (made, end));
    root["attributes"] = json!([
        {"key": "k8s.namespace.name", "value": {"stringValue": experiment.namespace().unwrap_or_default()}},
        {"key": "automl.experiment", "value": {"stringValue": experiment.name_any()}},
        {"key": "automl.algorithm", "value": {"stringValue": experiment.spec.algorithm.name}},
        {"key": "automl.reason", "value": {"stringValue": reason}},
    ]);
    root["status"] = state(failed, reason);
    vec![root]
}

/// The body of a request to `/v1/traces`.
pub fn request(spans: &[Value]) -> Value {
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let version = env!("CARGO_PKG_VERSION");
    let resource =
        json!({"attributes": [attribute("service.name", "automl-operator"), attribute("service.version", version)]});
    let scope = json!({"name": "automl-operator", "version": version});
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}]})
}

fn span((trace, own): (&str, &str), (name, parent): (&str, Option<&str>), (from, to): (Timestamp, Timestamp)) -> Value {
    let mut span = json!({
        "traceId": trace, "spanId": own, "name": name, "kind": INTERNAL,
        "startTimeUnixNano": nanoseconds(from),
        // Clocks of different machines may differ.
        "endTimeUnixNano": nanoseconds(to.max(from)),
    });
    if let Some(parent) = parent {
        span["parentSpanId"] = parent.into();
    }
    span
}

fn event(name: &str, at: Timestamp) -> Value {
    json!({"name": name, "timeUnixNano": nanoseconds(at)})
}

/// As a text: JSON's numbers are too short.
fn nanoseconds(at: Timestamp) -> String {
    at.as_nanosecond().to_string()
}

fn state(failed: bool, reason: &str) -> Value {
    if failed { json!({"code": ERROR, "message": reason}) } else { json!({"code": OK}) }
}

fn outcome(conditions: &[Condition]) -> (bool, &str) {
    let reason = standing(conditions).map_or("", |condition| condition.reason.as_str());
    (is_true(conditions, types::FAILED), reason)
}

fn created(object: &impl ResourceExt) -> Option<Timestamp> {
    object.meta().creation_timestamp.as_ref().map(|time| time.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(status: &Value) -> Trial {
        serde_json::from_value(json!({
            "apiVersion": "automl.dev/v1alpha1", "kind": "Trial",
            "metadata": {"name": "e-00000", "namespace": "team", "uid": "t", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"experiment": "e", "index": 0, "assignments": {}, "manifest": {}}, "status": status,
        }))
        .unwrap()
    }

    fn ended() -> Value {
        json!({"startTime": "2026-01-01T00:00:20Z", "completionTime": "2026-01-01T00:01:00Z", "objective": 0.5, "attempt": 1,
            "conditions": [{"type": "Complete", "status": "True", "reason": "Succeeded", "message": "",
                "lastTransitionTime": "2026-01-01T00:01:00Z"}]})
    }

    #[test]
    fn a_trial_is_waiting_and_running_below_its_experiment() {
        let at = |text: &str| text.parse().ok();
        let moments = Moments { job: at("2026-01-01T00:00:02Z"), heard: at("2026-01-01T00:00:30Z") };
        let spans = of_trial(&trial(&ended()), "0af76519-16cd-43dd-8448-eb211c80319c", moments);
        let [whole, waiting, running] = &spans[..] else { panic!("{spans:#?}") };
        let second = |at: i64| (1_767_225_600 + at).to_string() + "000000000";
        for (span, name, parent, from, to) in [
            (whole, "trial", span_id("0af76519-16cd-43dd-8448-eb211c80319c"), 0, 60),
            (waiting, "waiting", span_id("t"), 0, 20),
            (running, "running", span_id("t"), 20, 60),
        ] {
            assert_eq!(span["traceId"], "0af7651916cd43dd8448eb211c80319c");
            assert_eq!((&span["name"], &span["parentSpanId"]), (&json!(name), &json!(parent)));
            assert_eq!(
                (&span["startTimeUnixNano"], &span["endTimeUnixNano"]),
                (&json!(second(from)), &json!(second(to)))
            );
        }
        assert_eq!(whole["spanId"], span_id("t"), "below which the program's own spans are");
        assert_eq!(waiting["events"], json!([{"name": "Job created", "timeUnixNano": second(2)}]));
        assert_eq!(running["events"], json!([{"name": "first metric", "timeUnixNano": second(30)}]));
        assert_eq!(whole["status"], json!({"code": 1}));
        assert_eq!(
            of_trial(&trial(&ended()), "0af76519-16cd-43dd-8448-eb211c80319c", moments),
            spans,
            "said again it is the same"
        );
        assert!(of_trial(&trial(&json!({"startTime": "2026-01-01T00:00:20Z"})), "e", moments).is_empty(), "it runs");
    }

    #[test]
    fn one_that_failed_before_it_ran_is_one_span() {
        let condition = |kind: &str, status: &str| {
            json!({"type": kind, "status": status, "reason": "JobRefused", "message": "secret",
            "lastTransitionTime": "2026-01-01T00:01:00Z"})
        };
        let status = json!({"completionTime": "2025-12-31T23:59:59Z",
            "conditions": [condition("Complete", "False"), condition("Failed", "True")]});
        let spans = of_trial(&trial(&status), "e", Moments::default());
        assert_eq!(spans.len(), 1);
        assert_eq!(spans[0]["status"], json!({"code": 2, "message": "JobRefused"}));
        assert_eq!(spans[0]["endTimeUnixNano"], spans[0]["startTimeUnixNano"], "no span ends before it begins");
        assert!(!request(&spans).to_string().contains("secret"));
    }
}
