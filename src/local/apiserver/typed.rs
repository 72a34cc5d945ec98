//! Decoding objects of the built-in kinds, as kube-apiserver does before anything else: wrong types are refused,
//! unknown fields are dropped and named.

use k8s_openapi::{
    api::{
        batch::v1::Job,
        coordination::v1::Lease,
        core::v1::{ConfigMap, Event, Namespace, Node, PersistentVolumeClaim, Pod, Secret, ServiceAccount},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::resource::Resource;

/// Drops what the kind does not know. Returns the paths of what was dropped.
///
/// # Errors
/// A field has a value of a wrong type.
pub(super) fn decode(resource: &Resource, object: &mut Value) -> Result<Vec<String>, String> {
    if matches!(resource.kind.as_str(), "Job" | "Pod" | "Node" | "PersistentVolumeClaim") {
        quantities_as_text(object);
    }
    let known = match resource.kind.as_str() {
        "Job" => round_trip::<Job>(object),
        "Pod" => round_trip::<Pod>(object),
        "Node" => round_trip::<Node>(object),
        "Event" => round_trip::<Event>(object),
        "ConfigMap" => round_trip::<ConfigMap>(object),
        "Secret" => round_trip::<Secret>(object),
        "Namespace" => round_trip::<Namespace>(object),
        "PersistentVolumeClaim" => round_trip::<PersistentVolumeClaim>(object),
        "ServiceAccount" => round_trip::<ServiceAccount>(object),
        "Lease" => round_trip::<Lease>(object),
        // Schemas of definitions are JSON of their own kind; a round trip would lose what k8s-openapi does not model.
        "CustomResourceDefinition" => {
            return of_type::<CustomResourceDefinition>(object, "").map(|_| Vec::new());
        }
        _ => return Ok(Vec::new()),
    };
    let known = known?;
    let mut unknown = Vec::new();
    keep_known(object, &known, "", &mut unknown);
    unknown.sort();
    Ok(unknown)
}

/// The schema of a custom kind says nothing of `metadata`, which is of the same form in all kinds.
///
/// # Errors
/// A field of it has a value of a wrong type.
pub(super) fn check_metadata(object: &Value) -> Result<(), String> {
    object.get("metadata").map_or(Ok(()), |metadata| of_type::<ObjectMeta>(metadata, "metadata").map(drop))
}

fn round_trip<T: for<'de> Deserialize<'de> + Serialize>(object: &Value) -> Result<Value, String> {
    serde_json::to_value(of_type::<T>(object, "")?).map_err(|error| error.to_string())
}

/// As this type, or which field is not; `within`: the path of `value`.
fn of_type<T: for<'de> Deserialize<'de>>(value: &Value, within: &str) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let path = match (within, path.as_str()) {
            (within, ".") => within.to_owned(),
            ("", path) => path.to_owned(),
            (within, path) => format!("{within}.{path}"),
        };
        let why = error.into_inner();
        if path.is_empty() { why.to_string() } else { format!("{path}: {why}") }
    })
}

fn keep_known(object: &mut Value, known: &Value, path: &str, unknown: &mut Vec<String>) {
    match (object, known) {
        (Value::Object(map), Value::Object(known)) => map.retain(|key, value| {
            let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match known.get(key) {
                Some(known) => {
                    keep_known(value, known, &below, unknown);
                    true
                }
                None => {
                    if !value.is_null() {
                        unknown.push(below);
                    }
                    false
                }
            }
        }),
        (Value::Array(items), Value::Array(known)) => {
            for (at, (item, known)) in items.iter_mut().zip(known).enumerate() {
                keep_known(item, known, &format!("{path}[{at}]"), unknown);
            }
        }
        _ => {}
    }
}

/// Quantities may be written as numbers; they are kept as text.
fn quantities_as_text(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if matches!(key.as_str(), "limits" | "requests" | "capacity" | "allocatable")
                    && let Some(quantities) = value.as_object_mut()
                {
                    for quantity in quantities.values_mut().filter(|quantity| quantity.is_number()) {
                        *quantity = Value::String(quantity.to_string());
                    }
                } else {
                    quantities_as_text(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(quantities_as_text),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::local::apiserver::resource::Registry;

    fn decoded(mut object: Value) -> Result<(Value, Vec<String>), String> {
        let job = Registry::builtin().get("batch", "v1", "jobs").unwrap();
        decode(&job, &mut object).map(|unknown| (object, unknown))
    }

    #[test]
    fn unknown_fields_are_dropped_and_named() {
        let container = json!({"name": "c", "image": "i", "colour": "red", "resources": {"limits": {"cpu": 1, "nvidia.com/gpu": "2"}}});
        let object = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "creationTimestamp": null},
            "spec": {"size": 1, "template": {"spec": {"containers": [container], "volumes": [{"name": "v", "emptyDir": {}}]}}}});
        let (kept, unknown) = decoded(object).unwrap();
        assert_eq!(unknown, ["spec.size", "spec.template.spec.containers[0].colour"]);
        let container =
            json!({"name": "c", "image": "i", "resources": {"limits": {"cpu": "1", "nvidia.com/gpu": "2"}}});
        assert_eq!(
            kept,
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
                "spec": {"template": {"spec": {"containers": [container], "volumes": [{"name": "v", "emptyDir": {}}]}}}})
        );
    }

    #[test]
    fn wrong_types_are_refused() {
        let object = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"backoffLimit": "many"}});
        let message = decoded(object).unwrap_err();
        assert_eq!(message, "spec.backoffLimit: invalid type: string \"many\", expected i32");
        let env = json!([{"name": "A", "value": 5}]);
        let pod = json!({"containers": [{"name": "c", "env": env}]});
        let object = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": {"spec": pod}}});
        let message = decoded(object).unwrap_err();
        let path = "spec.template.spec.containers[0].env[0].value";
        assert_eq!(message, format!("{path}: invalid type: integer `5`, expected a string"));
        let message = check_metadata(&json!({"metadata": {"labels": {"v": 1}}})).unwrap_err();
        assert_eq!(message, "metadata.labels.v: invalid type: integer `1`, expected a string");
        assert!(check_metadata(&json!({"metadata": "x"})).unwrap_err().starts_with("metadata: "));
    }
}
