//! What the operator says of an Experiment.

use super::{Condition, Usage};
use crate::space::Assignment;
use jiff::Timestamp;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentStatus {
    /// The generation that the rest speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the operator first saw the experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::conditions::time_schema")]
    pub start_time: Option<Timestamp>,
    /// When it became Complete or Failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::conditions::time_schema")]
    pub completion_time: Option<Timestamp>,
    /// Since when the time of `limits.maxDuration` runs; absent while it stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::conditions::time_schema")]
    pub active_since: Option<Timestamp>,
    /// How much of it had passed before, in seconds.
    #[serde(default, skip_serializing_if = "super::is_default")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub active_seconds: i64,
    /// How many failed trials are allowed while `limits.maxFailedTrials` is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub max_failed_trials: Option<u32>,
    /// Trials by state.
    #[serde(default)]
    pub trials: TrialCounts,
    /// What the ended trials have used, and what rules have saved.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub usage: Usage,
    /// The incumbent; of several objectives, the best by the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Best>,
    /// Of several objectives: the trials that no other one beats in all of them, the best by the first objective first. Of
    /// more than 50, 50 that are spread evenly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub pareto_front: Vec<FrontTrial>,
    /// See `docs/conditions.md`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Trials by state. Counts of ended trials never go down, even when Trials are deleted by hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TrialCounts {
    /// Made by the operator so far.
    pub created: u32,
    /// Made, not yet running.
    pub pending: u32,
    /// Running.
    pub running: u32,
    /// Ended with an objective value.
    pub succeeded: u32,
    /// Ended without one.
    pub failed: u32,
    /// Of the failed ones, those that `limits.maxFailedTrials` does not count: interrupted too often, or made by hand
    /// and never started.
    pub excused: u32,
    /// Stopped before their end; their last results count.
    pub early_stopped: u32,
    /// Not run, since their results were known beforehand. No other count and no limit holds these.
    #[serde(skip_serializing_if = "super::is_default")]
    pub known: u32,
}

impl TrialCounts {
    /// Those that have ended. Anybody may have written the counts, so their sum may be more than a number of this kind holds.
    pub fn ended(&self) -> u32 {
        self.succeeded.saturating_add(self.failed).saturating_add(self.early_stopped)
    }
}

/// The incumbent: the trial with the best objective value so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Best {
    /// Name of the Trial.
    #[schemars(length(max = 63))]
    pub trial: String,
    /// Value of the objective.
    pub value: f64,
    /// What it has spent, where the experiment has a fidelity. Only trials of the highest fidelity so far are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fidelity: Option<f64>,
    /// Its parameters.
    #[schemars(schema_with = "super::trial::assignments_schema")]
    pub assignments: Assignment,
}

/// A trial of the front.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FrontTrial {
    /// Name of the Trial.
    #[schemars(length(max = 63))]
    pub trial: String,
    /// Value of each objective, in their order.
    #[schemars(length(max = 3))]
    pub values: Vec<f64>,
    /// Its parameters.
    #[schemars(schema_with = "super::trial::assignments_schema")]
    pub assignments: Assignment,
}
