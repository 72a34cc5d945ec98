//! Which of a trial's values counts, and which way is up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which way is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Direction {
    /// Higher is better.
    Maximize,
    /// Lower is better.
    Minimize,
}

/// Which of a trial's values counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Statistic {
    /// The best by the objective's direction.
    #[default]
    Best,
    /// The last.
    Latest,
    /// The lowest.
    Min,
    /// The highest.
    Max,
    /// The mean of the last ones.
    Mean,
}
