//! The CustomResourceDefinitions of both kinds.

use super::{Experiment, Trial};
use kube::CustomResourceExt;
use serde_json::Value;

/// Both CRDs as JSON objects, Experiment first.
///
/// # Errors
/// When a type's schema cannot be written as JSON, which a test excludes.
pub fn crds() -> Result<Vec<Value>, serde_json::Error> {
    [Experiment::crd(), Trial::crd()].into_iter().map(serde_json::to_value).collect()
}
