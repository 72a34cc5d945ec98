//! Trials for benches that need no server.

use automl_operator::api::Trial;
use serde_json::json;
use std::sync::Arc;

/// One of its Trials.
pub fn trial(index: u32, version: u64, ended: bool) -> Arc<Trial> {
    let mut trial: Trial = serde_json::from_value(json!({
        "apiVersion": "automl.dev/v1alpha1", "kind": "Trial",
        "metadata": {
            "name": format!("bench-{index:05}"), "namespace": "default", "uid": format!("t{index}"),
            "resourceVersion": version.to_string(),
            "ownerReferences": [{"apiVersion": "automl.dev/v1alpha1", "kind": "Experiment", "name": "bench", "uid": "e", "controller": true}],
        },
        "spec": {"experiment": "bench", "index": index, "assignments": {"x": f64::from(index) * 1e-6, "n": 1}, "manifest": {}},
    }))
    .expect("a valid trial");
    if ended {
        trial.status = serde_json::from_value(json!({"objective": 0.5, "conditions": [
            {"type": "Complete", "status": "True", "reason": "Succeeded", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
        ]}))
        .ok();
    }
    Arc::new(trial)
}
