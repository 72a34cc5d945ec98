//! Fidelity, and the checkpoints that let a trial go on where another has stopped.

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// A source of a pod's volume that all nodes of the trials can mount, such as `persistentVolumeClaim: {claimName: c}`.
    /// The experiment has a folder of its own there. On a laptop, a folder of `--state-dir` takes its place.
    #[schemars(schema_with = "volume_schema")]
    pub volume: Value,
}

fn volume_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {"emptyDir": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
        "x-kubernetes-preserve-unknown-fields": true,
        "x-kubernetes-validations": [{
            "rule": "!has(self.emptyDir)",
            "message": "emptyDir ends with the pod; write a volume that outlives it, such as persistentVolumeClaim",
        }],
    })
}
