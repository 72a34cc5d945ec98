//! The Experiment: what to optimise, over which space, with which budget, by running which job.

use super::{
    Checkpoint, Condition, Duration, ExperimentStatus, Fidelity, Metrics, Objective, OutcomeConstraint, Parameter,
    TrialTemplate,
};
use crate::space::Assignment;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a person writes.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "automl.dev",
    version = "v1alpha1",
    kind = "Experiment",
    plural = "experiments",
    shortname = "exp",
    category = "automl",
    namespaced,
    status = "ExperimentStatus",
    derive = "PartialEq",
    doc = "An AutoML experiment: a search space, an objective, a budget, and the job that tries one set of parameters.",
    validation = (
        "self.metadata.name.size() <= 40",
        "metadata.name must be at most 40 characters, so that the names of its Jobs and Pods fit"
    ),
    validation = (
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name must start with a lower-case letter and hold lower-case letters, digits and '-' only"
    ),
    printcolumn(name = "Status", type_ = "string", json_path = r#".status.conditions[?(@.type=="Complete")].reason"#),
    printcolumn(name = "Trials", type_ = "integer", json_path = ".status.trials.created"),
    printcolumn(name = "Running", type_ = "integer", json_path = ".status.trials.running"),
    printcolumn(name = "Succeeded", type_ = "integer", json_path = ".status.trials.succeeded"),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.trials.failed"),
    printcolumn(name = "Best", type_ = "number", json_path = ".status.best.value"),
    printcolumn(name = "Best-Trial", type_ = "string", json_path = ".status.best.trial", priority = "1"),
    printcolumn(name = "Objective", type_ = "string", json_path = ".spec.objectives[0].metric", priority = "1"),
    printcolumn(name = "Algorithm", type_ = "string", json_path = ".spec.algorithm.name", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
)]
#[x_kube(validation = (
    "!has(self.additionalMetrics) || !self.objectives.exists(o, o.metric in self.additionalMetrics)",
    "an objective's metric must not be repeated in additionalMetrics"
))]
#[x_kube(validation = (
    "self.objectives == oldSelf.objectives",
    "objectives cannot be changed: results under another objective would not be comparable; create a new Experiment"
))]
#[x_kube(validation = (
    "size(self.objectives) + (has(self.additionalMetrics) ? size(self.additionalMetrics) : 0) <= 16",
    "objectives and additionalMetrics must not be more than 16 together"
))]
#[x_kube(validation = (
    "has(self.constraints) == has(oldSelf.constraints) && \
     (!has(self.constraints) || self.constraints == oldSelf.constraints)",
    "constraints cannot be changed: results under other constraints would not be comparable; create a new Experiment"
))]
#[x_kube(validation = (
    "!has(self.constraints) || self.constraints.all(c, self.objectives.exists(o, o.metric == c.metric) || \
     (has(self.additionalMetrics) && c.metric in self.additionalMetrics))",
    "a constraint's metric must be an objective's, or one of additionalMetrics; add it there"
))]
#[x_kube(validation = (
    "self.parameters == oldSelf.parameters",
    "parameters cannot be changed: the trials made so far belong to the old search space; create a new Experiment"
))]
#[x_kube(validation = (
    "has(self.parameterConstraints) == has(oldSelf.parameterConstraints) && \
     (!has(self.parameterConstraints) || self.parameterConstraints == oldSelf.parameterConstraints)",
    "parameterConstraints cannot be changed: the trials made so far belong to the old search space; create a new Experiment"
))]
#[x_kube(validation = (
    "has(self.initialTrials) == has(oldSelf.initialTrials) && \
     (!has(self.initialTrials) || self.initialTrials == oldSelf.initialTrials)",
    "initialTrials cannot be changed: they come first, and the first trials have been made; create a Trial for each \
     further point instead"
))]
#[x_kube(validation = (
    "has(self.warmStartFrom) == has(oldSelf.warmStartFrom) && \
     (!has(self.warmStartFrom) || self.warmStartFrom == oldSelf.warmStartFrom)",
    "warmStartFrom cannot be changed: it is read before the first trial; create a Trial with a result for each further \
     point instead"
))]
#[x_kube(validation = (
    "!has(self.fidelity) || !self.parameters.exists(p, p.name == self.fidelity.parameter)",
    "fidelity.parameter must not be one of parameters: its values are handed out, not searched"
))]
#[x_kube(validation = (
    "has(self.fidelity) == has(oldSelf.fidelity) && (!has(self.fidelity) || self.fidelity == oldSelf.fidelity)",
    "fidelity cannot be changed: the trials made so far spent what it says; create a new Experiment"
))]
#[x_kube(validation = (
    "has(self.checkpoint) == has(oldSelf.checkpoint) && (!has(self.checkpoint) || self.checkpoint == oldSelf.checkpoint)",
    "checkpoint cannot be changed: the trials made so far keep theirs there; create a new Experiment"
))]
#[serde(rename_all = "camelCase")]
pub struct ExperimentSpec {
    /// What is optimised. Of several objectives the front is searched for: trials that no other one beats in all of them.
    #[schemars(length(min = 1, max = 3))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["metric".into()]))]
    pub objectives: Vec<Objective>,
    /// Other metrics to keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::objectives::metrics_schema")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub additional_metrics: Vec<String>,
    /// What a trial's results must satisfy to count as good: others are never the best, nor on the front.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["metric".into()]))]
    pub constraints: Vec<OutcomeConstraint>,
    /// How metrics are collected.
    #[serde(default)]
    pub metrics: Metrics,
    /// The search space.
    #[schemars(length(min = 1, max = 300))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub parameters: Vec<Parameter>,
    /// CEL expressions over the parameters, such as `lr * layers < 0.2`; all must hold. One that names a parameter
    /// that is not active holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 1024)))]
    pub parameter_constraints: Vec<String>,
    /// How the next parameters are chosen.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// How much of its resource a trial spends: what Hyperband and its like hand out, and populations grow by. Other
    /// algorithms give each trial `max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fidelity: Option<Fidelity>,
    /// Gives each trial a directory for its checkpoints, which survives retries, and goes on to the trials that continue it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
    /// Rules that stop a trial whose intermediate values promise nothing; its last results count. The first that wants to
    /// stop a trial does. May be changed while the experiment runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub early_stopping: Vec<StoppingRule>,
    /// The budget.
    pub limits: Limits,
    /// What happens when a trial fails.
    #[serde(default)]
    pub failure_policy: FailurePolicy,
    /// Points to try first, in this order, and results that are known beforehand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub initial_trials: Vec<InitialTrial>,
    /// Experiments of this namespace whose results the tuner starts with. They need not have the same search space: what
    /// this one does not have is left out, what theirs does not have is taken from the middle. No trial starts before they
    /// are read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["experiment".into()]))]
    pub warm_start_from: Vec<WarmStart>,
    /// While true no new trial starts; running ones go on to their end.
    #[serde(default)]
    pub suspend: bool,
    /// The job to run.
    pub trial_template: TrialTemplate,
}

/// How the next parameters are chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Algorithm {
    /// The tuner.
    #[serde(default = "default_algorithm")]
    #[schemars(schema_with = "algorithm_schema")]
    pub name: String,
    /// Same seed, same space, same results: same suggestions.
    #[serde(default)]
    #[schemars(range(min = 0i64, max = 9007199254740991i64))]
    pub seed: i64,
    /// The tuner's own settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "settings_schema")]
    pub settings: BTreeMap<String, Value>,
}

impl Default for Algorithm {
    fn default() -> Self {
        Algorithm { name: default_algorithm(), seed: 0, settings: BTreeMap::new() }
    }
}

fn default_algorithm() -> String {
    "Auto".into()
}

fn algorithm_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "enum": [
            "Auto", "Random", "Grid", "Sobol", "TPE", "GP", "Evolution", "GeneticNSGA2", "CMA-ES", "Anneal", "Forest",
            "TuRBO", "Gradient", "PolicyGradient", "SuccessiveHalving", "Hyperband", "BOHB", "ASHA", "PBT", "PB2",
        ],
    })
}

/// A rule that judges running trials by their intermediate values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoppingRule {
    /// The rule; see `docs/early-stopping.md`. When absent, Auto.
    #[serde(default = "default_rule")]
    #[schemars(schema_with = "rule_schema")]
    pub name: String,
    /// The rule's own settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "settings_schema")]
    pub settings: BTreeMap<String, Value>,
}

fn default_rule() -> String {
    "Auto".into()
}

fn rule_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "enum": ["Auto", "Median", "Percentile", "Threshold", "Patience", "Plateau", "AsyncHalving", "CurveModel"],
    })
}

fn settings_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "maxProperties": 64})
}

/// The budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = ("self.parallelTrials <= self.maxTrials", "parallelTrials must not exceed maxTrials"))]
#[x_kube(validation = (
    "!has(self.maxFailedTrials) || self.maxFailedTrials <= self.maxTrials",
    "maxFailedTrials must not exceed maxTrials"
))]
#[x_kube(validation = ("!has(self.maxGpuHours) || self.maxGpuHours > 0.0", "maxGpuHours must be more than 0"))]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// How many trials are made in all; those made by hand with kubectl come on top.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_trials: u32,
    /// How many run at a time.
    #[serde(default = "default_parallel_trials")]
    #[schemars(range(min = 1, max = 1000))]
    pub parallel_trials: u32,
    /// More failed trials than this end the experiment as failed; when absent, a tenth of the highest maxTrials so far,
    /// at least 3. Those that failed through no fault of their program do not count: see status.trials.excused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub max_failed_trials: Option<u32>,
    /// The experiment is complete once it has been at work for this time; running trials are stopped and their results
    /// kept. While it is suspended, ended, not accepted, or its machine is down, the time stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<Duration>,
    /// A trial that runs longer is stopped; the time until it runs does not count. It counts with what it reported;
    /// without a report it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_trial_duration: Option<Duration>,
    /// The experiment is complete once its trials have used so many GPU hours; running trials are stopped and their
    /// results kept. A GPU counts from when its trial is seen running, whether it is busy or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1e9))]
    pub max_gpu_hours: Option<f64>,
}

fn default_parallel_trials() -> u32 {
    1
}

/// What happens when a trial fails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailurePolicy {
    /// How often a trial is started again after a failure that is not its own (evicted, preempted, node lost, Job
    /// deleted). A trial that is interrupted more often has failed, but does not count towards maxFailedTrials. Stopping
    /// `automl run` or `automl local` uses up no retry.
    #[serde(default = "default_retries")]
    #[schemars(range(min = 0, max = 50))]
    pub retries: u32,
    /// What it means when a trial reports a value of an objective that is NaN or infinite.
    #[serde(default)]
    pub non_finite: NonFinitePolicy,
}

/// What a value that is no finite number means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NonFinitePolicy {
    /// It is passed over: the finite values count. A trial that has none has failed.
    #[default]
    Ignore,
    /// The trial has failed, and is stopped.
    Fail,
}

impl Default for FailurePolicy {
    fn default() -> Self {
        FailurePolicy { retries: default_retries(), non_finite: NonFinitePolicy::default() }
    }
}

fn default_retries() -> u32 {
    3
}

/// A point to try first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct InitialTrial {
    /// A value for each active parameter; those left out are drawn so that parameterConstraints hold.
    #[schemars(schema_with = "super::trial::assignments_schema")]
    pub assignments: Assignment,
    /// What comes out of it, by metric, when that is known beforehand. It is not run: it becomes a Trial with this result,
    /// which no limit counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::trial::result_schema")]
    pub result: BTreeMap<String, f64>,
}

/// An experiment to learn from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WarmStart {
    /// Its name, in the same namespace. It must read all metrics of this one's objectives and constraints.
    #[schemars(length(min = 1, max = 40))]
    pub experiment: String,
    /// How many of its results are taken: half of them its best, the others spread over the rest.
    #[serde(default = "default_warm_trials")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_trials: u32,
}

fn default_warm_trials() -> u32 {
    100
}

impl Experiment {
    /// `status.conditions`; empty while there is no status.
    pub fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
    }
}
