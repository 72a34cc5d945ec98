//! The Trial: one assignment, the job that tries it, and what came out. The Trial object is the log: a suggestion
//! exists exactly when its Trial exists.

use super::{Condition, Usage};
use crate::metrics::MetricSummary;
use crate::report::Progress;
use crate::space::Assignment;
use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What is tried. Immutable.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "automl.dev",
    version = "v1alpha1",
    kind = "Trial",
    plural = "trials",
    shortname = "tr",
    category = "automl",
    namespaced,
    status = "TrialStatus",
    derive = "PartialEq",
    doc = "One trial of an Experiment: a set of parameters, the job that tries it, and the metrics that came out. \
           One made by hand (with experiment and assignments) joins its Experiment.",
    validation = (
        "self.metadata.name.size() <= 52",
        "metadata.name must be at most 52 characters, so that the names of its Jobs and Pods fit"
    ),
    validation = (
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name must start with a lower-case letter and hold lower-case letters, digits and '-' only"
    ),
    validation = (
        "!has(self.spec.index) || (self.metadata.name.startsWith(self.spec.experiment + '-') && \
         self.metadata.name.matches('-([0-9]{5}|[1-9][0-9]{5,6})$') && \
         int(self.metadata.name.substring(self.spec.experiment.size() + 1)) == self.spec.index)",
        "spec.index belongs to the operator's own Trials, whose names end with it; leave out index and manifest in a \
         Trial made by hand"
    ),
    printcolumn(name = "Experiment", type_ = "string", json_path = ".spec.experiment"),
    printcolumn(name = "Status", type_ = "string", json_path = r#".status.conditions[?(@.type=="Complete")].reason"#),
    printcolumn(name = "Objective", type_ = "number", json_path = ".status.objective"),
    printcolumn(name = "Fidelity", type_ = "number", json_path = ".spec.fidelity", priority = "1"),
    printcolumn(name = "Parent", type_ = "string", json_path = ".spec.parent.name", priority = "1"),
    printcolumn(name = "Attempt", type_ = "integer", json_path = ".status.attempt", priority = "1"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Complete")].message"#,
        priority = "1"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
)]
#[x_kube(validation = (
    "self == oldSelf",
    "spec cannot be changed: the result belongs to these values; create another Trial"
))]
#[x_kube(validation = (
    "has(self.index) == has(self.manifest)",
    "index and manifest belong to the operator's own Trials; leave out both in a Trial made by hand"
))]
#[x_kube(validation = (
    "!has(self.result) || !has(self.index)",
    "a Trial with a result is not run, so it has no index; leave out one of them"
))]
#[serde(rename_all = "camelCase")]
pub struct TrialSpec {
    /// Name of the Experiment, in the same namespace.
    #[schemars(length(min = 1, max = 40))]
    pub experiment: String,
    /// Position in the experiment's sequence of suggestions. Set by the operator only; leave it out in a Trial made
    /// by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub index: Option<u32>,
    /// A value for each active parameter.
    #[schemars(schema_with = "assignments_schema")]
    pub assignments: Assignment,
    /// What it spends, where the experiment has a fidelity, its parents' part included; `spec.fidelity.max` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1e15))]
    pub fidelity: Option<f64>,
    /// The Trial whose checkpoint it goes on from; its parameters may be others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The experiment's manifest with the values filled in, as it was when the Trial was made; absent in a Trial made
    /// by hand, whose Job is rendered when it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rendered_schema")]
    pub manifest: Option<Value>,
    /// What comes out, by metric, when that is known beforehand: such a Trial has no Job, and the tuner learns from it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "result_schema")]
    pub result: BTreeMap<String, f64>,
}

/// The Trial that another one goes on from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Parent {
    /// Its name, in the same namespace and experiment.
    #[schemars(length(min = 1, max = 52))]
    pub name: String,
    /// Its UID; written by the operator.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub uid: String,
}

/// Names of metrics to numbers.
pub(super) fn result_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 16,
        "additionalProperties": {"type": "number"},
    })
}

/// Names of parameters to numbers or strings. A schema has no type for "number or text": what is neither is refused by
/// the engine with a sentence, here only its size is bounded.
pub(super) fn assignments_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 300,
        "additionalProperties": {
            "x-kubernetes-preserve-unknown-fields": true,
            "maxLength": 63,
            "maxItems": 0,
            "maxProperties": 0,
        },
    })
}

fn rendered_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

impl Trial {
    /// `status.conditions`; empty while there is no status.
    pub fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
    }
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrialStatus {
    /// How many attempts came before the present one.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub attempt: u32,
    /// How many interruptions count towards `failurePolicy.retries` so far.
    #[serde(default, skip_serializing_if = "super::is_default")]
    #[schemars(range(min = 0, max = 1000))]
    pub interruptions: u32,
    /// When the present attempt was seen running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::conditions::time_schema")]
    pub start_time: Option<Timestamp>,
    /// When the result was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::conditions::time_schema")]
    pub completion_time: Option<Timestamp>,
    /// What its attempts that have ended have used.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub usage: Usage,
    /// Value of the objective, by its statistic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<f64>,
    /// Value of each objective, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    pub objectives: Vec<f64>,
    /// One an outcome constraint: 0 or less where it holds, else by how much it does not, in sizes of the bound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub excesses: Vec<f64>,
    /// Summary and curve of each metric asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub metrics: Vec<MetricSummary>,
    /// Other metrics that were seen in the output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 64)))]
    pub other_metrics: Vec<String>,
    /// There were more than are listed.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub more_metrics: bool,
    /// Why metrics could not be read, the last time that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub trouble: Option<String>,
    /// What of the reports is stored here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reports: Option<Progress>,
    /// How the program ended, as its agent saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// See `docs/conditions.md`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// How the program ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// Which attempt.
    #[serde(default)]
    pub attempt: u32,
    /// Exit code; absent when a signal ended the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// Signal that ended the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Its last lines.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096))]
    pub tail: String,
    /// How many values were left out of the curves, since they came faster than they could be stored. The lowest, the
    /// highest and the last of each metric are never.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub values_left_out: u64,
}
