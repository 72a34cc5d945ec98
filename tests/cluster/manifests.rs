//! The Experiments of these tests.

use serde_json::{Value, json};

/// An image with a shell. On a cluster that is not ours AUTOML_TEST_BUSYBOX names one that it can pull.
pub fn image() -> String {
    std::env::var("AUTOML_TEST_BUSYBOX").unwrap_or_else(|_| "localhost/automl-test/busybox:1".into())
}

/// A container that runs a script, as Pod Security "restricted" wants it.
pub fn busybox(script: &str) -> Value {
    json!({
        "name": "train", "image": image(), "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    })
}

/// A script that prints accuracy as often, and waits so many seconds after each time. `$e` is the epoch.
pub fn epochs(count: u32, accuracy: &str, pause: f64) -> String {
    format!("e=0; while [ $e -lt {count} ]; do e=$((e+1)); echo epoch=$e accuracy={accuracy}; sleep {pause}; done")
}

/// An Experiment of one parameter x from 0 to 1, whose pods have this container.
pub fn experiment(name: &str, limits: Value, container: Value) -> Value {
    of_pod(name, limits, json!({"containers": [container]}))
}

/// An Experiment with these fields of its pods besides.
pub fn of_pod(name: &str, limits: Value, pod: Value) -> Value {
    let mut spec = json!({
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"},
        },
    });
    json_patch::merge(&mut spec, &pod);
    json!({
        "apiVersion": "automl.dev/v1alpha1", "kind": "Experiment", "metadata": {"name": name},
        "spec": {
            "objectives": [{"metric": "accuracy", "direction": "Maximize"}],
            "parameters": [{"name": "x", "double": {"min": 0.0, "max": 1.0}}],
            "algorithm": {"name": "Random", "seed": 1},
            "limits": limits,
            "trialTemplate": {"primaryContainer": "train", "manifest": {
                "apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": spec}},
            }},
        },
    })
}

/// As many trials, one at a time, none of which may fail.
pub fn trials(count: u32) -> Value {
    json!({"maxTrials": count, "parallelTrials": 1, "maxFailedTrials": 0})
}
