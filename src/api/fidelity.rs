//! Fidelity, and the checkpoints that let a trial go on where another has stopped.

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// How much of its resource a trial spends: epochs, a share of the data, a resolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = ("self.min < self.max", "min must be less than max"))]
#[x_kube(validation = ("self.min > 0.0", "min must be greater than 0"))]
#[x_kube(validation = ("!has(self.eta) || self.eta > 1.0", "eta must be greater than 1; 3 is usual"))]
#[serde(rename_all = "camelCase")]
pub struct Fidelity {
    /// The parameter by which a trial is told: `${params.NAME}` in the manifest, the environment variable of this name in
    /// capitals. It counts from the start: a trial that goes on from another's checkpoint spends the difference.
    #[schemars(schema_with = "super::parameters::name_schema")]
    pub parameter: String,
    /// The least that tells a good trial from a bad one.
    #[schemars(range(max = 1e15))]
    pub min: f64,
    /// What a whole trial spends. With whole numbers as min and max only whole numbers are handed out.
    #[schemars(range(max = 1e15))]
    pub max: f64,
    /// Of so many trials one goes on, with so many times the resource.
    #[serde(default = "default_eta")]
    #[schemars(range(max = 100.0))]
    pub eta: f64,
}

fn default_eta() -> f64 {
    3.0
}

/// Where trials keep their checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = (
    "has(self.volume) != has(self.volumeClaimTemplate)",
    "write volume for one that is there, or volumeClaimTemplate for a claim that the operator makes; one of the two"
))]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// A source of a pod's volume that all nodes of the trials can mount, such as `persistentVolumeClaim: {claimName: c}`.
    /// The experiment has a folder of its own there. On a laptop, a folder of `--state-dir` takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "volume_schema")]
    pub volume: Option<Value>,
    /// A claim that the operator makes before the first trial, and that goes with the experiment. It is called as the
    /// experiment with `-checkpoints` at the end. On a laptop, a folder of `--state-dir` takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_claim_template: Option<VolumeClaimTemplate>,
}

/// A PersistentVolumeClaim to be made, as a StatefulSet has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeClaimTemplate {
    /// What the claim has besides the operator's own labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<VolumeClaimMetadata>,
    /// Its spec, as Kubernetes has it. Trials on several nodes need `accessModes: [ReadWriteMany]`.
    #[schemars(schema_with = "claim_schema")]
    pub spec: Value,
}

/// Labels and annotations of a claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeClaimMetadata {
    /// Labels; those of the operator win.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "texts_schema")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "texts_schema")]
    pub annotations: BTreeMap<String, String>,
}

fn volume_schema(_: &mut SchemaGenerator) -> Schema {
    let gone = json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {"emptyDir": gone, "ephemeral": gone},
        "x-kubernetes-preserve-unknown-fields": true,
        "x-kubernetes-validations": [
            {
                "rule": "!has(self.emptyDir)",
                "message": "emptyDir ends with the pod; write a volume that outlives it, such as persistentVolumeClaim",
            },
            {
                "rule": "!has(self.ephemeral)",
                "message": "ephemeral ends with the pod; write its volumeClaimTemplate as checkpoint.volumeClaimTemplate",
            },
        ],
    })
}

fn texts_schema(_: &mut SchemaGenerator) -> Schema {
    let text = json_schema!({"type": "string", "maxLength": 4096});
    json_schema!({"type": "object", "maxProperties": 64, "additionalProperties": text})
}

/// What every claim must say; the rest is up to the API server.
fn claim_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["accessModes", "resources"],
        "properties": {
            "accessModes": {"type": "array", "minItems": 1, "maxItems": 4, "items": {"type": "string", "maxLength": 64}},
            "resources": {
                "type": "object",
                "required": ["requests"],
                "properties": {
                    "requests": {
                        "type": "object",
                        "required": ["storage"],
                        "x-kubernetes-preserve-unknown-fields": true,
                    },
                },
                "x-kubernetes-preserve-unknown-fields": true,
            },
        },
        "x-kubernetes-preserve-unknown-fields": true,
    })
}
