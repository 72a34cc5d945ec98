//! The CustomResourceDefinitions of both kinds.

use super::{Experiment, Trial};
use kube::CustomResourceExt;
use serde_json::Value;

/// Both CRDs as JSON objects, Experiment first.
///
/// # Errors
/// When a type's schema cannot be written as JSON, which a test excludes.
pub fn crds() -> Result<Vec<Value>, serde_json::Error> {
    [Experiment::crd(), Trial::crd()]
        .into_iter()
        .map(|crd| {
            let mut crd = serde_json::to_value(crd)?;
            tidy(&mut crd);
            Ok(crd)
        })
        .collect()
}

/// Leaves out two things that schemars says and Kubernetes does not mean.
///
/// An API server drops an explicit null from a field that is not nullable, so that it is as if it were not there; a
/// nullable one would keep it, and `has(self.field)` would then be true in a CEL rule. The formats of unsigned numbers
/// are unknown to it; their bounds stand in the schema.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("nullable") == Some(&Value::Bool(true)) {
                fields.remove("nullable");
            }
            if matches!(fields.get("format").and_then(Value::as_str), Some("uint" | "uint16" | "uint32" | "uint64")) {
                fields.remove("format");
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Paths of texts, lists and maps without a bound. An API server estimates the cost of rules from the bounds.
    fn unbounded(schema: &Value, path: &str, found: &mut Vec<String>) {
        let bounded = match schema["type"].as_str() {
            Some("string") => ["maxLength", "enum", "format"].iter().any(|bound| schema.get(bound).is_some()),
            Some("array") => schema.get("maxItems").is_some(),
            Some("object") => schema.get("additionalProperties").is_none() || schema.get("maxProperties").is_some(),
            // What may be of any type.
            None => ["maxLength", "maxItems", "maxProperties"].iter().all(|bound| schema.get(bound).is_some()),
            Some(_) => true,
        };
        if !bounded {
            found.push(path.to_owned());
        }
        for (name, below) in schema["properties"].as_object().into_iter().flatten() {
            unbounded(below, &format!("{path}.{name}"), found);
        }
        for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
            if let Some(below) = schema.get(key).filter(|below| below.is_object()) {
                unbounded(below, &format!("{path}{mark}"), found);
            }
        }
    }

    #[test]
    fn both_kinds_have_a_short_name_and_a_category() {
        let names = |crd: &Value| {
            (crd["spec"]["names"]["shortNames"][0].clone(), crd["spec"]["names"]["categories"][0].clone())
        };
        let found: Vec<_> = crds().unwrap().iter().map(names).collect();
        assert_eq!(found, [("exp".into(), "automl".into()), ("tr".into(), "automl".into())]);
    }

    #[test]
    fn every_text_list_and_map_is_bounded() {
        let mut found = Vec::new();
        for crd in crds().unwrap() {
            unbounded(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "", &mut found);
        }
        // Fixed to one word each.
        found.retain(|path| !path.ends_with(".apiVersion") && !path.ends_with(".kind"));
        assert_eq!(found, Vec::<String>::new());
    }
}
