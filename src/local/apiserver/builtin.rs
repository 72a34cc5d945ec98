//! What kube-apiserver knows about its built-in kinds, as far as this server needs it: defaults and refusals.

use serde_json::{Value, json};

use super::{object, resource::Resource, status::FieldError};

/// A namespace as it is after its creation.
pub(super) fn namespace(name: &str, uid: &str, created: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {
            "name": name, "uid": uid, "creationTimestamp": created,
            "labels": { "kubernetes.io/metadata.name": name },
        },
        "spec": { "finalizers": ["kubernetes"] },
        "status": { "phase": "Active" },
    })
}

pub(super) fn prepare_create(resource: &Resource, object: &mut Value) {
    let _ = (resource, object);
}

pub(super) fn default_with_uid(resource: &Resource, object: &mut Value, uid: &str) {
    let _ = (resource, object, uid);
}

pub(super) fn prepare_update(resource: &Resource, old: &Value, new: &mut Value) {
    let _ = (resource, old, new);
}

pub(super) fn errors(resource: &Resource, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let _ = (resource, object, old);
    Vec::new()
}

/// Seconds that a deleted object has left. Only a pod that a node knows has any.
pub(super) fn grace_seconds(resource: &Resource, object: &Value, asked: Option<i64>) -> i64 {
    if !resource.is("", "Pod") {
        return 0;
    }
    let text = |path: &str| object::lookup(object, path).and_then(Value::as_str).unwrap_or_default();
    if text("spec.nodeName").is_empty() || matches!(text("status.phase"), "Succeeded" | "Failed") {
        return 0;
    }
    let own = object::lookup(object, "spec.terminationGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(30);
    asked.unwrap_or(own).max(0)
}

/// Whether an object whose finalizers are gone may be removed by an update: a pod waits for its node.
pub(super) fn may_go(resource: &Resource, object: &Value) -> bool {
    if resource.is("", "Namespace") {
        return false;
    }
    let grace = object::lookup(object, "metadata.deletionGracePeriodSeconds").and_then(Value::as_i64);
    grace.unwrap_or_default() == 0
}
