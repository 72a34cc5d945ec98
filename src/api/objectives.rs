//! What an experiment optimises, and what its results must satisfy.

use crate::metrics::{Direction, Statistic};
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A metric to optimise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = (
    "!has(self.over) || self.statistic == 'Mean'",
    "over is the number of values that statistic Mean is of; leave it out, or write statistic: Mean"
))]
#[serde(rename_all = "camelCase")]
pub struct Objective {
    /// Name, as the program prints it.
    #[schemars(schema_with = "metric_schema")]
    pub metric: String,
    /// Maximize or Minimize.
    pub direction: Direction,
    /// The experiment is complete once a trial reaches this value; of several objectives, once one reaches all that are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1e18, max = 1e18))]
    pub goal: Option<f64>,
    /// Which of a trial's values counts.
    #[serde(default)]
    pub statistic: Statistic,
    /// Of so many last values statistic Mean is the mean; 10 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 100))]
    pub over: Option<u32>,
}

impl Objective {
    /// How many of the last values its statistic needs.
    pub fn recent(&self) -> usize {
        const OVER: u32 = 10;
        if self.statistic == Statistic::Mean { self.over.unwrap_or(OVER) as usize } else { 0 }
    }
}

/// A bound of a metric: of the value that counts, where it is an objective's, else of the last one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = ("has(self.min) || has(self.max)", "write min, max, or both"))]
#[x_kube(validation = ("!has(self.min) || !has(self.max) || self.min <= self.max", "min must not exceed max"))]
#[serde(rename_all = "camelCase")]
pub struct OutcomeConstraint {
    /// An objective's metric, or one of additionalMetrics.
    #[schemars(schema_with = "metric_schema")]
    pub metric: String,
    /// The least it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1e18, max = 1e18))]
    pub min: Option<f64>,
    /// The most it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1e18, max = 1e18))]
    pub max: Option<f64>,
}

/// No blanks around a name, since none would be seen in a program's output.
pub(super) fn metric_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 128,
        "x-kubernetes-validations": [{
            "rule": r"self.matches('^\\S(.*\\S)?$')",
            "message": "write the metric's name as the program prints it, without blanks around it",
        }],
    })
}

pub(super) fn metrics_schema(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 15, "items": metric_schema(generator)})
}
