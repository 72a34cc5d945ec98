//! What a program that keeps its runs with MLflow finds in its environment: where, under which name, and tags.

use super::feed::TAG;
use super::settings::Whose;
use serde_json::{Map, Value};
use std::ffi::OsString;

const TRACKING_URI: &str = "MLFLOW_TRACKING_URI";
const EXPERIMENT_NAME: &str = "MLFLOW_EXPERIMENT_NAME";
const EXPERIMENT_ID: &str = "MLFLOW_EXPERIMENT_ID";
/// Without it newer versions of MLflow 3 keep no runs in a folder.
const ALLOW_FILE_STORE: &str = "MLFLOW_ALLOW_FILE_STORE";
/// Tags of each run, a JSON object.
const RUN_CONTEXT: &str = "MLFLOW_RUN_CONTEXT";
const RUN_NAME: &str = "mlflow.runName";

/// The variables. What the user has said stays as it is.
pub(super) fn variables(path: &str, experiment: &str, whose: &Whose) -> Vec<(&'static str, OsString)> {
    let given = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let mut variables = vec![(ALLOW_FILE_STORE, "true".into())];
    if !given(TRACKING_URI) {
        let store = std::path::absolute(path).map_or_else(|_| path.into(), OsString::from);
        variables.push((TRACKING_URI, store));
    }
    if !given(EXPERIMENT_NAME) && !given(EXPERIMENT_ID) {
        variables.push((EXPERIMENT_NAME, experiment.into()));
    }
    let before = std::env::var(RUN_CONTEXT).ok().and_then(|context| serde_json::from_str(&context).ok());
    let mut tags: Map<String, Value> = before.unwrap_or_default();
    tags.insert(TAG.into(), whose.mark().into());
    tags.entry(RUN_NAME).or_insert_with(|| whose.trial.clone().into());
    variables.push((RUN_CONTEXT, Value::from(tags).to_string().into()));
    variables
}
