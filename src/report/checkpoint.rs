//! A trial's directory for checkpoints.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// As the operator tells the agent, in JSON. All paths are of the program's own file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// The trial's own directory, called as the trial is, in the folder of its experiment.
    pub directory: String,
    /// What it goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ParentCheckpoint>,
    /// Indices of the trials whose directories may still be needed; those of the operator's own trials before this one that
    /// are not among them are deleted. `None`: all are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<BTreeSet<u32>>,
}

/// The directory of another trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentCheckpoint {
    /// Name of the trial.
    pub trial: String,
    /// Where its directory can be read.
    pub directory: String,
}
