//! Experiments to simulate.

use serde_json::{Value, json};

/// A small experiment: `x` from 0 to 1, maximise `score`; `change` is merged into its spec.
pub fn experiment(name: &str, change: Value) -> Value {
    let mut spec = json!({
        "objectives": [{"metric": "score", "direction": "Maximize"}],
        "parameters": [{"name": "x", "double": {"min": 0.0, "max": 1.0}}],
        "algorithm": {"name": "Random", "seed": 7},
        "limits": {"maxTrials": 10, "parallelTrials": 2},
        "trialTemplate": {
            "primaryContainer": "train",
            "manifest": {
                "apiVersion": "batch/v1", "kind": "Job",
                "spec": {"template": {"spec": {
                    "restartPolicy": "Never",
                    "containers": [{"name": "train", "image": "x", "command": ["python3", "train.py", "--x", "${params.x}"]}],
                }}},
            },
        },
    });
    json_patch::merge(&mut spec, &change);
    json!({
        "apiVersion": "automl.dev/v1alpha1", "kind": "Experiment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    })
}
