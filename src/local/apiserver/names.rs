//! Rules for names, labels and the rest of `metadata`, with kube-apiserver's sentences.

use serde_json::{Value, json};

use super::{object, resource::Resource, status::FieldError};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// What is wrong with a DNS label (RFC 1123), if anything.
pub(super) fn label_errors(name: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if name.len() > 63 {
        errors.push("must be no more than 63 bytes".to_owned());
    }
    if !is_label(name) {
        errors.push(LABEL.to_owned());
    }
    errors
}

fn subdomain_errors(name: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if name.len() > 253 {
        errors.push("must be no more than 253 bytes".to_owned());
    }
    if !name.split('.').all(is_label) {
        errors.push(SUBDOMAIN.to_owned());
    }
    errors
}

fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.first().copied().is_some_and(inner)
        && bytes.last().copied().is_some_and(inner)
        && bytes.iter().all(|&byte| inner(byte) || byte == b'-')
}

fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn qualified_name_errors(name: &str) -> Vec<String> {
    let (prefix, word) = match name.split_once('/') {
        Some((prefix, word)) => (Some(prefix), word),
        None => (None, name),
    };
    let mut errors = Vec::new();
    if let Some(prefix) = prefix {
        if prefix.is_empty() {
            errors.push("prefix part must be non-empty".to_owned());
        } else {
            errors.extend(subdomain_errors(prefix).into_iter().map(|error| format!("prefix part {error}")));
        }
    }
    if word.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if word.len() > 63 {
        errors.push("name part must be no more than 63 bytes".to_owned());
    }
    if !is_word(word) {
        errors.push(QUALIFIED.to_owned());
    }
    errors
}

fn label_value_errors(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > 63 {
        errors.push("must be no more than 63 bytes".to_owned());
    }
    if !value.is_empty() && !is_word(value) {
        errors.push(LABEL_VALUE.to_owned());
    }
    errors
}

/// Checks the labels at `path`.
pub(super) fn label_map_errors(labels: Option<&Value>, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        for why in qualified_name_errors(key) {
            errors.push(FieldError::invalid(path, json!(key), why));
        }
        for why in label_value_errors(value.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid(path, value.clone(), why));
        }
    }
    errors
}

/// Checks `metadata` of an object that has its name.
pub(super) fn metadata_errors(resource: &Resource, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = object::name(object);
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else {
        let found = if resource.is("", "Namespace") { label_errors(name) } else { subdomain_errors(name) };
        errors.extend(found.into_iter().map(|why| FieldError::invalid("metadata.name", json!(name), why)));
    }
    let Some(meta) = object::metadata(object) else { return errors };
    errors.extend(label_map_errors(meta.get("labels"), "metadata.labels"));
    for key in meta.get("annotations").and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key) {
        for why in qualified_name_errors(&key.to_lowercase()) {
            errors.push(FieldError::invalid("metadata.annotations", json!(key), why));
        }
    }
    for (at, owner) in meta.get("ownerReferences").and_then(Value::as_array).into_iter().flatten().enumerate() {
        for (field, why) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if owner.get(field).and_then(Value::as_str).unwrap_or_default().is_empty() {
                errors.push(FieldError::invalid(format!("metadata.ownerReferences[{at}].{field}"), json!(""), why));
            }
        }
    }
    let controllers = meta.get("ownerReferences").and_then(Value::as_array).into_iter().flatten();
    let controllers: Vec<&str> = controllers
        .filter(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))
        .filter_map(|owner| owner.get("kind").and_then(Value::as_str))
        .collect();
    if let [first, second, ..] = controllers.as_slice() {
        let why = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {first}/ and {second}/"
        );
        errors.push(FieldError::invalid("metadata.ownerReferences", json!(controllers.len()), why));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_objects() {
        for (name, good) in [
            ("a", true),
            ("a-1.b", true),
            ("", false),
            ("A", false),
            ("a_b", false),
            ("-a", false),
            ("a-", false),
            ("a..b", false),
            ("ä", false),
            (&"a".repeat(253), true),
            (&"a".repeat(254), false),
        ] {
            assert_eq!(subdomain_errors(name).is_empty(), good, "{name}");
        }
    }

    #[test]
    fn keys_and_values_of_labels() {
        for (key, good) in
            [("app", true), ("a.b/c", true), ("/c", false), ("a/", false), ("A_b/c", false), ("a b", false)]
        {
            assert_eq!(qualified_name_errors(key).is_empty(), good, "{key}");
        }
        for (value, good) in [("", true), ("a.B_1", true), ("-a", false), ("a b", false), (&"a".repeat(64), false)] {
            assert_eq!(label_value_errors(value).is_empty(), good, "{value}");
        }
    }
}
