//! The trials and Jobs of one Experiment, kept up to date event by event, so that no plan has to walk through the
//! trials that have ended.

use super::JobView;
use super::result::{Ending, ending};
use crate::api::conditions::{is_true, types};
use crate::api::{Retain, Trial, labels};
use crate::space::Assignment;
use kube::ResourceExt;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The trials and Jobs of one Experiment (of one UID).
///
/// Trials that have not ended are kept whole, those that have as a small [`Ended`].
#[derive(Default)]
pub struct Ledger {
    active: BTreeMap<String, Arc<Trial>>,
    ended: HashMap<String, Ended>,
    /// Ended trials in the order of their index, with what the tuner learns from them.
    by_index: BTreeMap<u64, String>,
    jobs: BTreeMap<String, JobView>,
    /// Jobs whose trial has ended and that are not to be kept.
    cleanup: BTreeSet<String>,
    counts: EndedCounts,
    next_index: u32,
    retain: Retain,
}

/// An ended trial.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Position in the tuner's history.
    pub order: u64,
    /// How it ended.
    pub ending: Ending,
    /// Value of the objective, as the user's program printed it.
    pub objective: Option<f64>,
    /// Its parameters.
    pub assignment: Assignment,
}

/// Ended trials by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndedCounts {
    /// With an objective value.
    pub succeeded: u32,
    /// Without one.
    pub failed: u32,
    /// Stopped before their end.
    pub early_stopped: u32,
}
