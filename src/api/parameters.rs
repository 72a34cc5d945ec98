//! The search space as people write it.

use crate::space;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// One dimension of the search space: a name and exactly one domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = (
    "[has(self.double), has(self.int), has(self.categorical), has(self.discrete)].filter(x, x).size() == 1",
    "give exactly one of double, int, categorical and discrete"
))]
#[serde(rename_all = "camelCase")]
pub struct Parameter {
    /// Unique in the experiment, also in capitals: `${params.NAME}` in the manifest stands for the value, and so does
    /// the environment variable of this name in capitals. A letter or underscore first, then letters, digits and
    /// underscores.
    #[schemars(schema_with = "name_schema")]
    pub name: String,
    /// Real numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub double: Option<DoubleDomain>,
    /// Whole numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int: Option<IntDomain>,
    /// Names without an order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub categorical: Option<CategoricalDomain>,
    /// Numbers with an order, each given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discrete: Option<DiscreteDomain>,
    /// The parameter exists only while all of these hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub when: Vec<When>,
}

/// What is also the name of an environment variable.
pub(super) fn name_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 63,
        "x-kubernetes-validations": [
            {
                "rule": "self.matches('^[A-Za-z_][A-Za-z0-9_]*$')",
                "message": "begin with a letter or '_', then write letters, digits and '_' only: the name also becomes that \
                            of an environment variable",
            },
            {
                "rule": "!self.matches('^(?i)((AUTOML|KUBERNETES|LD)_.*|PATH|HOME|HOSTNAME|SHELL|PWD|TMPDIR|IFS|BASH_ENV|\
                         PYTHONPATH|PYTHONHOME|CUDA_VISIBLE_DEVICES|NVIDIA_VISIBLE_DEVICES)$')",
                "message": "choose another name: in capitals it is an environment variable that programs, or the operator's \
                            agent, need for themselves",
            },
        ],
    })
}

/// Real numbers from `min` to `max`, both included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = ("self.min < self.max", "min must be less than max; put a constant into the manifest instead"))]
#[x_kube(validation = (
    "!has(self.scale) || self.scale != 'Log' || self.min > 0.0",
    "scale Log needs min greater than 0"
))]
#[x_kube(validation = (
    "!has(self.step) || (self.step > 0.0 && self.step <= self.max - self.min)",
    "step must be greater than 0 and not exceed max - min"
))]
#[serde(rename_all = "camelCase")]
pub struct DoubleDomain {
    /// Smallest value.
    #[schemars(range(min = -1e18, max = 1e18))]
    pub min: f64,
    /// Largest value.
    #[schemars(range(min = -1e18, max = 1e18))]
    pub max: f64,
    /// Linear, or Log for values that span orders of magnitude.
    #[serde(default)]
    pub scale: ScaleName,
    /// Only `min`, `min + step`, `min + 2 step`, ... are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1e18))]
    pub step: Option<f64>,
}

/// Whole numbers from `min` to `max`, both included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = ("self.min < self.max", "min must be less than max; put a constant into the manifest instead"))]
#[x_kube(validation = (
    "!has(self.scale) || self.scale != 'Log' || self.min > 0",
    "scale Log needs min greater than 0"
))]
#[x_kube(validation = ("!has(self.step) || self.step <= self.max - self.min", "step must not exceed max - min"))]
#[serde(rename_all = "camelCase")]
pub struct IntDomain {
    /// Smallest value.
    #[schemars(range(min = -9007199254740991i64, max = 9007199254740991i64))]
    pub min: i64,
    /// Largest value.
    #[schemars(range(min = -9007199254740991i64, max = 9007199254740991i64))]
    pub max: i64,
    /// Linear, or Log for values that span orders of magnitude.
    #[serde(default)]
    pub scale: ScaleName,
    /// Only `min`, `min + step`, `min + 2 step`, ... are taken; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1i64, max = 9007199254740991i64))]
    pub step: Option<i64>,
}

/// Names without an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CategoricalDomain {
    /// At least one, no two alike.
    #[schemars(length(min = 1, max = 2000), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub choices: Vec<String>,
}

/// Numbers with an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiscreteDomain {
    /// At least one, no two alike; they are put in ascending order.
    #[schemars(length(min = 1, max = 2000), inner(range(min = -1e18, max = 1e18)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub values: Vec<f64>,
}

/// The parameter exists only while another one has one of these values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct When {
    /// Name of a parameter that stands earlier in the list.
    #[schemars(length(min = 1, max = 63))]
    pub parameter: String,
    /// Its values, numbers written as text.
    #[schemars(length(min = 1, max = 100), inner(length(max = 63)))]
    pub r#in: Vec<String>,
}

/// How a numeric range is searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ScaleName {
    /// Equal differences are equally likely.
    #[default]
    Linear,
    /// Equal ratios are equally likely.
    Log,
}

impl From<ScaleName> for space::Scale {
    fn from(scale: ScaleName) -> Self {
        match scale {
            ScaleName::Linear => space::Scale::Linear,
            ScaleName::Log => space::Scale::Log,
        }
    }
}

impl Parameter {
    /// The parameter as the search space knows it; `None` when it has no domain (an object that skipped admission).
    pub fn to_space(&self) -> Option<space::Parameter> {
        let domain = if let Some(d) = &self.double {
            space::Domain::Double { min: d.min, max: d.max, scale: d.scale.into(), step: d.step }
        } else if let Some(d) = &self.int {
            space::Domain::Int { min: d.min, max: d.max, scale: d.scale.into(), step: d.step }
        } else if let Some(d) = &self.categorical {
            space::Domain::Categorical { choices: d.choices.clone() }
        } else if let Some(d) = &self.discrete {
            let mut values = d.values.clone();
            values.sort_by(f64::total_cmp);
            space::Domain::Discrete { values }
        } else {
            return None;
        };
        let when = self
            .when
            .iter()
            .map(|when| space::Condition { parameter: when.parameter.clone(), values: when.r#in.clone() })
            .collect();
        Some(space::Parameter { name: self.name.clone(), domain, when })
    }
}
