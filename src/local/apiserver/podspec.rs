//! Pod specs: defaults, and what kube-apiserver refuses in them. The rules for what local processes and this
//! project's templates use; a rule that is missing here lets through what a cluster would refuse.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    names,
    object::{as_map, child_mut},
    status::{FieldError, FieldErrorKind},
};

/// Fills in the defaults of `spec` of a pod or a pod template.
pub(super) fn set_defaults(spec: &mut Map<String, Value>) {
    let mut default = |key: &str, value: Value| {
        spec.entry(key).or_insert(value);
    };
    default("restartPolicy", json!("Always"));
    default("dnsPolicy", json!("ClusterFirst"));
    default("schedulerName", json!("default-scheduler"));
    default("terminationGracePeriodSeconds", json!(30));
    default("securityContext", json!({}));
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            container_defaults(as_map(container));
        }
    }
}

fn container_defaults(container: &mut Map<String, Value>) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let tag = image.rsplit('/').next().unwrap_or_default().split_once(':').map(|(_, tag)| tag);
    let latest = !image.contains('@') && tag.is_none_or(|tag| tag == "latest");
    let policy = if latest { "Always" } else { "IfNotPresent" };
    let mut default = |key: &str, value: Value| {
        container.entry(key).or_insert(value);
    };
    default("imagePullPolicy", json!(policy));
    default("terminationMessagePath", json!("/dev/termination-log"));
    default("terminationMessagePolicy", json!("File"));
    default("resources", json!({}));
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        as_map(port).entry("protocol").or_insert(json!("TCP"));
    }
    // What is limited and not requested is requested.
    let resources = child_mut(container, "resources");
    if let Some(limits) =
        resources.get("limits").and_then(Value::as_object).filter(|limits| !limits.is_empty()).cloned()
    {
        let requests = child_mut(resources, "requests");
        for (name, quantity) in limits {
            requests.entry(name).or_insert(quantity);
        }
    }
}

/// What is wrong with the `spec` at `path`.
pub(super) fn errors(spec: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let list = |key: &str| spec.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let volumes: BTreeSet<&str> = list("volumes").iter().filter_map(|volume| volume.get("name")?.as_str()).collect();
    for (at, volume) in list("volumes").iter().enumerate() {
        let field = format!("{path}.volumes[{at}].name");
        name_errors(volume.get("name"), &field, &mut errors);
    }
    if list("containers").is_empty() {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
    }
    let mut seen = BTreeSet::new();
    for key in ["containers", "initContainers"] {
        for (at, container) in list(key).iter().enumerate() {
            let path = format!("{path}.{key}[{at}]");
            let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
            if !name.is_empty() && !seen.insert(name) {
                errors.push(FieldError::duplicate(format!("{path}.name"), json!(name)));
            }
            container_errors(container, &path, &volumes, &mut errors);
        }
    }
    supported(spec, "restartPolicy", &["Always", "OnFailure", "Never"], path, &mut errors);
    supported(spec, "dnsPolicy", &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], path, &mut errors);
    for key in ["terminationGracePeriodSeconds"] {
        non_negative(spec, key, path, &mut errors);
    }
    if let Some(seconds) =
        spec.get("activeDeadlineSeconds").filter(|value| value.as_i64().is_some_and(|seconds| seconds < 1))
    {
        let why = "must be between 1 and 2147483647, inclusive";
        errors.push(FieldError::invalid(format!("{path}.activeDeadlineSeconds"), seconds.clone(), why));
    }
    errors
}

/// A field of a number that may not be negative.
pub(super) fn non_negative(spec: &Value, key: &str, path: &str, errors: &mut Vec<FieldError>) {
    if let Some(number) = spec.get(key).filter(|value| value.as_i64().is_some_and(|number| number < 0)) {
        errors.push(FieldError::invalid(format!("{path}.{key}"), number.clone(), "must be greater than or equal to 0"));
    }
}

fn supported(spec: &Value, key: &str, allowed: &[&str], path: &str, errors: &mut Vec<FieldError>) {
    if let Some(text) = spec.get(key).and_then(Value::as_str).filter(|text| !allowed.contains(text)) {
        let mut allowed: Vec<String> = allowed.iter().map(|&choice| choice.to_owned()).collect();
        allowed.sort();
        errors.push(FieldError::not_supported(format!("{path}.{key}"), json!(text), &allowed));
    }
}

fn name_errors(name: Option<&Value>, field: &str, errors: &mut Vec<FieldError>) {
    let name = name.and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() {
        errors.push(FieldError::required(field, ""));
    } else {
        errors.extend(names::label_errors(name).into_iter().map(|why| FieldError::invalid(field, json!(name), why)));
    }
}

fn container_errors(container: &Value, path: &str, volumes: &BTreeSet<&str>, errors: &mut Vec<FieldError>) {
    name_errors(container.get("name"), &format!("{path}.name"), errors);
    if container.get("image").and_then(Value::as_str).unwrap_or_default().is_empty() {
        errors.push(FieldError::required(format!("{path}.image"), ""));
    }
    supported(container, "imagePullPolicy", &["Always", "IfNotPresent", "Never"], path, errors);
    supported(container, "terminationMessagePolicy", &["FallbackToLogsOnError", "File"], path, errors);
    let list = |key: &str| container.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (at, variable) in list("env").iter().enumerate() {
        let name = variable.get("name").and_then(Value::as_str).unwrap_or_default();
        let field = format!("{path}.env[{at}].name");
        if name.is_empty() {
            errors.push(FieldError::required(field, ""));
        } else if name.contains('=') || !name.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            let why =
                "a valid environment variable name must consist only of printable ASCII characters other than '='";
            errors.push(FieldError::invalid(field, json!(name), why));
        }
    }
    let mut mounted = BTreeSet::new();
    for (at, mount) in list("volumeMounts").iter().enumerate() {
        let text = |key: &str| mount.get(key).and_then(Value::as_str).unwrap_or_default();
        let field = |key: &str| format!("{path}.volumeMounts[{at}].{key}");
        if text("name").is_empty() {
            errors.push(FieldError::required(field("name"), ""));
        }
        if !volumes.contains(text("name")) {
            errors.push(FieldError::new(FieldErrorKind::NotFound, field("name"), Some(json!(text("name"))), ""));
        }
        if text("mountPath").is_empty() {
            errors.push(FieldError::required(field("mountPath"), ""));
        }
        if !mounted.insert(text("mountPath")) {
            errors.push(FieldError::invalid(field("mountPath"), json!(text("mountPath")), "must be unique"));
        }
    }
    resource_errors(container.get("resources").unwrap_or(&Value::Null), &format!("{path}.resources"), errors);
}

fn resource_errors(resources: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let map = |key: &str| resources.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
    let (limits, requests) = (map("limits"), map("requests"));
    for (list, quantities) in [("limits", &limits), ("requests", &requests)] {
        for (name, quantity) in quantities {
            let field = format!("{path}.{list}[{name}]");
            match quantity.as_str().and_then(amount) {
                None => {
                    let why =
                        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
                    errors.push(FieldError::invalid(field, quantity.clone(), why));
                }
                Some(amount) if amount < 0.0 => {
                    errors.push(FieldError::invalid(field, quantity.clone(), "must be greater than or equal to 0"));
                }
                Some(_) => {}
            }
        }
    }
    for (name, request) in &requests {
        let field = format!("{path}.requests");
        let Some(limit) = limits.get(name) else { continue };
        let (Some(asked), Some(most)) = (request.as_str().and_then(amount), limit.as_str().and_then(amount)) else {
            continue;
        };
        let shown = limit.as_str().unwrap_or_default();
        if name.contains('/') && asked != most {
            let why = format!("must be equal to {name} limit of {shown}");
            errors.push(FieldError::invalid(field, request.clone(), why));
        } else if asked > most {
            let why = format!("must be less than or equal to {name} limit of {shown}");
            errors.push(FieldError::invalid(field, request.clone(), why));
        }
    }
}

/// The amount of a quantity such as `500m`, `1.5`, `2Gi`, `1e3`.
pub(super) fn amount(quantity: &str) -> Option<f64> {
    let end = quantity.find(|character: char| !(character.is_ascii_digit() || "+-.".contains(character)));
    let (number, suffix) = quantity.split_at(end.unwrap_or(quantity.len()));
    let number: f64 = number.parse().ok()?;
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => f64::from(1 << 20),
        "Gi" => f64::from(1 << 30),
        "Ti" => 1024_f64.powi(4),
        "Pi" => 1024_f64.powi(5),
        "Ei" => 1024_f64.powi(6),
        exponent => 10_f64.powi(exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    Some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        for (text, expected) in [
            ("1", Some(1.0)),
            ("500m", Some(0.5)),
            ("1.5", Some(1.5)),
            ("2Ki", Some(2048.0)),
            ("1e3", Some(1000.0)),
            ("1E", Some(1e18)),
            ("-1", Some(-1.0)),
            ("", None),
            ("Gi", None),
            ("1 Gi", None),
            ("one", None),
        ] {
            assert_eq!(amount(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        let good = json!({"name": "c", "image": "i"});
        let with = |key: &str, value: Value| {
            let mut container = good.clone();
            container[key] = value;
            json!({"containers": [container]})
        };
        let table = [
            (json!({"containers": [good]}), vec![]),
            (json!({}), vec!["s.containers: Required value"]),
            (
                json!({"containers": [{}]}),
                vec!["s.containers[0].name: Required value", "s.containers[0].image: Required value"],
            ),
            (json!({"containers": [good, good]}), vec!["s.containers[1].name: Duplicate value: \"c\""]),
            (with("env", json!([{"value": "x"}])), vec!["s.containers[0].env[0].name: Required value"]),
            (
                with("volumeMounts", json!([{"name": "v", "mountPath": "/v"}])),
                vec!["s.containers[0].volumeMounts[0].name: Not found: \"v\""],
            ),
            (
                with("resources", json!({"limits": {"cpu": "1"}, "requests": {"cpu": "2"}})),
                vec![
                    "s.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
                ],
            ),
            (
                with("imagePullPolicy", json!("Sometimes")),
                vec![
                    "s.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
                ],
            ),
        ];
        for (spec, expected) in table {
            let found: Vec<String> = errors(&spec, "s").iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{spec}");
        }
    }
}
