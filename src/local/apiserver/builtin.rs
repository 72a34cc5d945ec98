//! What kube-apiserver knows about its built-in kinds, as far as this server needs it: defaults and refusals.

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::{
    object::{self, as_map, child_mut},
    podspec,
    resource::Resource,
    status::{FieldError, FieldErrorKind},
};

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

/// Sets what a new object of this kind has from the start: defaults and a first status.
pub(super) fn prepare_create(resource: &Resource, object: &mut Value, uid: &str) {
    let name = object::name(object).to_owned();
    match resource.kind.as_str() {
        "Pod" => {
            podspec::set_defaults(child_mut(as_map(object), "spec"));
            let status = json!({ "phase": "Pending", "qosClass": qos_class(object) });
            as_map(object).insert("status".to_owned(), status);
        }
        "Job" => {
            as_map(object).insert("status".to_owned(), json!({}));
            job_defaults(object);
            job_selector(object, &name, uid);
        }
        "Namespace" => {
            child_mut(object::metadata_mut(object), "labels")
                .insert("kubernetes.io/metadata.name".to_owned(), json!(name));
            let map = as_map(object);
            map.insert("spec".to_owned(), json!({ "finalizers": ["kubernetes"] }));
            map.insert("status".to_owned(), json!({ "phase": "Active" }));
        }
        _ => set_defaults(resource, object),
    }
}

/// Fills in defaults.
fn set_defaults(resource: &Resource, object: &mut Value) {
    match resource.kind.as_str() {
        "Pod" => podspec::set_defaults(child_mut(as_map(object), "spec")),
        "Job" => job_defaults(object),
        "Secret" => {
            let map = as_map(object);
            map.entry("type").or_insert(json!("Opaque"));
            if let Some(Value::Object(texts)) = map.remove("stringData") {
                let data = child_mut(map, "data");
                for (key, text) in texts {
                    let bytes = ByteString(text.as_str().unwrap_or_default().as_bytes().to_vec());
                    data.insert(key, serde_json::to_value(bytes).unwrap_or_default());
                }
            }
        }
        _ => {}
    }
}

/// Fills in defaults, and keeps what an update cannot change.
pub(super) fn prepare_update(resource: &Resource, old: &Value, new: &mut Value) {
    set_defaults(resource, new);
    if resource.is("batch", "Job") {
        // The selector is the server's own.
        if let (Some(selector), Some(spec)) = (old.pointer("/spec/selector"), new.get_mut("spec")) {
            as_map(spec).entry("selector").or_insert_with(|| selector.clone());
        }
    }
}

fn job_defaults(job: &mut Value) {
    let spec = child_mut(as_map(job), "spec");
    if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
        spec.insert("completions".to_owned(), json!(1));
    }
    let replacement = if spec.contains_key("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    let retries = if spec.contains_key("backoffLimitPerIndex") { i32::MAX } else { 6 };
    for (key, value) in [
        ("parallelism", json!(1)),
        ("backoffLimit", json!(retries)),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        ("podReplacementPolicy", json!(replacement)),
        ("manualSelector", json!(false)),
    ] {
        spec.entry(key).or_insert(value);
    }
    let template = child_mut(spec, "template");
    podspec::set_defaults(child_mut(template, "spec"));
    let labels = template.get("metadata").and_then(|meta| meta.get("labels")).cloned();
    if let Some(labels) = labels.filter(|labels| labels.as_object().is_some_and(|labels| !labels.is_empty())) {
        object::metadata_mut(job).entry("labels").or_insert(labels);
    }
}

/// A Job finds its pods by its uid.
fn job_selector(job: &mut Value, name: &str, uid: &str) {
    let spec = child_mut(as_map(job), "spec");
    if spec.get("manualSelector") == Some(&json!(true)) {
        return;
    }
    spec.insert("selector".to_owned(), json!({ "matchLabels": { "batch.kubernetes.io/controller-uid": uid } }));
    let labels = child_mut(child_mut(child_mut(spec, "template"), "metadata"), "labels");
    for (key, value) in [
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", name),
        ("controller-uid", uid),
        ("job-name", name),
    ] {
        labels.insert(key.to_owned(), json!(value));
    }
}

fn qos_class(pod: &Value) -> &'static str {
    let containers = object::lookup(pod, "spec.containers").and_then(Value::as_array);
    let resources: Vec<&Value> =
        containers.into_iter().flatten().filter_map(|container| container.get("resources")).collect();
    let has =
        |resources: &Value, list: &str, name: &str| resources.get(list).is_some_and(|list| list.get(name).is_some());
    let guaranteed = |resources: &&Value| {
        ["cpu", "memory"].iter().all(|name| {
            has(resources, "limits", name)
                && resources.pointer(&format!("/limits/{name}")) == resources.pointer(&format!("/requests/{name}"))
        })
    };
    let any = |resources: &&Value| {
        ["cpu", "memory"].iter().any(|name| has(resources, "limits", name) || has(resources, "requests", name))
    };
    match () {
        () if !resources.is_empty() && resources.iter().all(guaranteed) => "Guaranteed",
        () if resources.iter().any(any) => "Burstable",
        () => "BestEffort",
    }
}

/// What is wrong with an object of a built-in kind.
pub(super) fn errors(resource: &Resource, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    match resource.kind.as_str() {
        "Pod" => match old {
            None => podspec::errors(object.get("spec").unwrap_or(&Value::Null), "spec"),
            Some(old) => pod_changes(old, object),
        },
        "Job" => {
            let status = old.map(|old| super::job_status::errors(old, object)).unwrap_or_default();
            [job_errors(object, old), status].concat()
        }
        "ConfigMap" => config_map_errors(object),
        "Lease" => lease_errors(object),
        _ => Vec::new(),
    }
}

/// The fields of a pod's spec that may change, the node among them: binding is an update here.
const PODS_CHANGE: &[&str] =
    &["nodeName", "activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations", "schedulingGates"];

fn pod_changes(old: &Value, new: &Value) -> Vec<FieldError> {
    let fixed = |pod: &Value| {
        let mut spec = pod.get("spec").cloned().unwrap_or_default();
        let map = as_map(&mut spec);
        map.retain(|key, _| !PODS_CHANGE.contains(&key.as_str()));
        for list in ["containers", "initContainers"] {
            for container in map.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                as_map(container).remove("image");
            }
        }
        spec
    };
    if old.get("spec") == new.get("spec") || fixed(old) == fixed(new) {
        return Vec::new();
    }
    let why = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.terminationGracePeriodSeconds`,`spec.tolerations` (only additions to existing tolerations)";
    vec![FieldError::forbidden("spec", why)]
}

fn job_errors(job: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = job.get("spec").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    if let Some(old) = old.and_then(|old| old.get("spec")) {
        if old == spec {
            return errors;
        }
        let suspended = old.get("suspend") == Some(&Value::Bool(true));
        for field in
            ["completions", "selector", "template", "completionMode", "podFailurePolicy", "backoffLimitPerIndex"]
        {
            let opened = field == "template" && suspended;
            if spec.get(field) != old.get(field) && !opened {
                let value = spec.get(field).cloned().unwrap_or_default();
                errors.push(FieldError::invalid(format!("spec.{field}"), value, "field is immutable"));
            }
        }
        if spec.get("template") == old.get("template") {
            return errors;
        }
    }
    for key in ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"] {
        podspec::non_negative(spec, key, "spec", &mut errors);
    }
    let template = spec.get("template").unwrap_or(&Value::Null);
    errors.extend(super::names::label_map_errors(template.pointer("/metadata/labels"), "spec.template.labels"));
    let pod = template.get("spec").unwrap_or(&Value::Null);
    errors.extend(podspec::errors(pod, "spec.template.spec"));
    let policy = pod.get("restartPolicy").and_then(Value::as_str).unwrap_or_default();
    if matches!(policy, "" | "Always") {
        errors.push(FieldError::required("spec.template.spec.restartPolicy", "valid values: \"OnFailure\", \"Never\""));
    } else if spec.get("podFailurePolicy").is_some() && policy != "Never" {
        let why = "only \"Never\" is supported when podFailurePolicy is specified";
        errors.push(FieldError::invalid("spec.template.spec.restartPolicy", json!(policy), why));
    }
    errors
}

fn lease_errors(lease: &Value) -> Vec<FieldError> {
    let field = |key: &str| lease.pointer(&format!("/spec/{key}")).filter(|value| !value.is_null());
    let mut errors = Vec::new();
    for (key, least, why) in [
        ("leaseDurationSeconds", 1, "must be greater than 0"),
        ("leaseTransitions", 0, "must be greater than or equal to 0"),
    ] {
        if let Some(value) = field(key).filter(|value| value.as_i64().is_some_and(|value| value < least)) {
            errors.push(FieldError::invalid(format!("spec.{key}"), value.clone(), why));
        }
    }
    errors
}

/// Most bytes of a ConfigMap's values.
const MOST_DATA: usize = 1 << 20;

fn config_map_errors(map: &Value) -> Vec<FieldError> {
    let texts = |key: &str| map.get(key).and_then(Value::as_object).into_iter().flat_map(|data| data.values());
    let size = |text: &Value| text.as_str().map_or(0, str::len);
    // Three bytes are four characters of base64.
    let binary = |text: &Value| size(text) / 4 * 3 - text.as_str().map_or(0, |text| text.matches('=').count());
    if texts("data").map(size).sum::<usize>() + texts("binaryData").map(binary).sum::<usize>() <= MOST_DATA {
        return Vec::new();
    }
    let why = format!("may not be more than {MOST_DATA} bytes");
    vec![FieldError::new(FieldErrorKind::TooLong, "[]", None, why)]
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
