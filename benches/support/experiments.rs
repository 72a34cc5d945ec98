//! An Experiment for benches.

use automl_operator::api::Experiment;
use serde_json::json;

/// An Experiment that an API server has taken.
pub fn experiment(algorithm: &str, max_trials: u32, parallel: u32) -> Experiment {
    serde_json::from_value(json!({
        "apiVersion": "automl.dev/v1alpha1", "kind": "Experiment",
        "metadata": {"name": "bench", "namespace": "default", "uid": "e", "generation": 1, "resourceVersion": "1"},
        "spec": {
            "objectives": [{"metric": "accuracy", "direction": "Maximize"}],
            "parameters": [{"name": "x", "double": {"min": 0.0, "max": 1.0}}, {"name": "n", "int": {"min": 1, "max": 9}}],
            "algorithm": {"name": algorithm},
            "limits": {"maxTrials": max_trials, "parallelTrials": parallel},
            "trialTemplate": {"primaryContainer": "c", "manifest": {
                "apiVersion": "batch/v1", "kind": "Job",
                "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [
                    {"name": "c", "image": "i", "command": ["true"], "args": ["--x=${params.x}"]},
                ]}}},
            }},
        },
        "status": {"observedGeneration": 1, "startTime": "2026-01-01T00:00:00Z", "conditions": [
            {"type": "Accepted", "status": "True", "reason": "Valid", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1},
        ]},
    }))
    .expect("a valid experiment")
}
