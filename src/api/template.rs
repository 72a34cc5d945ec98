//! The job a trial runs.

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The job to run for each trial, with placeholders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrialTemplate {
    /// Name of the container whose output carries the metrics and whose end is the trial's end.
    #[schemars(length(max = 63))]
    #[x_kube(validation = (
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "write the name of one of the manifest's containers: lower-case letters, digits and '-', neither first nor last a '-'"
    ))]
    pub primary_container: String,
    /// Which Jobs stay after their trial has ended; the others are deleted once the result is stored.
    #[serde(default)]
    pub retain: Retain,
    /// A batch/v1 Job. `${params.NAME}`, `${trial.name}`, `${trial.index}` and `${experiment.name}` are filled in; a
    /// scalar that is nothing but one `${params.NAME}` takes the parameter's type.
    #[schemars(schema_with = "manifest_schema")]
    #[x_kube(validation = (
        "!has(self.metadata) || (!has(self.metadata.name) && !has(self.metadata.generateName) && !has(self.metadata.__namespace__))",
        "leave out metadata.name, metadata.generateName and metadata.namespace: each trial's Job is named after its Trial"
    ))]
    pub manifest: Value,
}

/// Which Jobs stay after their trial has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Retain {
    /// None.
    Never,
    /// Those of failed trials, so that their pods and logs can be looked at.
    #[default]
    Failed,
    /// All, until the Experiment is deleted.
    Always,
}

fn manifest_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["apiVersion", "kind", "spec"],
        "properties": {
            "apiVersion": {"type": "string", "enum": ["batch/v1"]},
            "kind": {"type": "string", "enum": ["Job"]},
            "metadata": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "maxLength": 253},
                    "generateName": {"type": "string", "maxLength": 253},
                    "namespace": {"type": "string", "maxLength": 253},
                },
                "x-kubernetes-preserve-unknown-fields": true,
            },
            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        },
        "x-kubernetes-preserve-unknown-fields": true,
    })
}
