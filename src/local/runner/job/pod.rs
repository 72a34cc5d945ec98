//! The Pod of a Job, as Kubernetes' controller makes it.

use super::FINALIZER;
use crate::local::runner::object::{Job, JobSpec};
use serde_json::{Map, Value, json};

/// Longest name that leaves room for the random characters.
const MAX_BASE: usize = 58;

/// A Pod for this Job whose name ends in `suffix`.
pub(super) fn build(job: &Job, spec: &JobSpec, suffix: &str) -> Value {
    let base: String = format!("{}-", job.meta.name).chars().take(MAX_BASE).collect();
    let of_template = |field: &str| -> Map<String, Value> {
        let map = spec.template.get("metadata").and_then(|metadata| metadata.get(field));
        map.and_then(Value::as_object).cloned().unwrap_or_default()
    };
    let mut labels = of_template("labels");
    for (key, value) in [
        ("batch.kubernetes.io/controller-uid", &job.meta.uid),
        ("batch.kubernetes.io/job-name", &job.meta.name),
        ("controller-uid", &job.meta.uid),
        ("job-name", &job.meta.name),
    ] {
        labels.insert(key.to_owned(), Value::from(value.clone()));
    }
    let mut finalizers: Vec<Value> = Vec::new();
    let given = spec.template.get("metadata").and_then(|metadata| metadata.get("finalizers"));
    finalizers.extend(given.and_then(Value::as_array).into_iter().flatten().cloned());
    finalizers.push(FINALIZER.into());
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("{base}{suffix}"),
            "generateName": base,
            "namespace": job.meta.namespace,
            "labels": labels,
            "annotations": of_template("annotations"),
            "finalizers": finalizers,
            "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "Job", "name": job.meta.name, "uid": job.meta.uid,
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": spec.template.get("spec").cloned().unwrap_or_default(),
    })
}
