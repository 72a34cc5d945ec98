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
