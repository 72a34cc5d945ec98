//! What the index is asked and what it tells.

use super::super::watch::Name;
use crate::api::{Experiment, Trial};
use crate::engine::JobView;
use std::sync::Arc;

/// UID of an Experiment.
pub type Uid = Arc<str>;

/// What can want attention.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// An Experiment, by UID.
    Experiment(Uid),
    /// A Trial made by hand whose Experiment does not exist.
    Orphan(Name),
}

/// Kinds of objects that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// automl.dev
    Experiment,
    /// automl.dev
    Trial,
    /// batch, those with our label.
    Job,
}

/// Something that an Experiment's desk has to learn.
#[derive(Clone, Debug)]
pub enum Change {
    /// A Trial is so.
    Trial(Arc<Trial>),
    /// A Trial is gone.
    TrialGone(String),
    /// A Job is so.
    Job(Box<JobView>),
    /// A Job is gone.
    JobGone(String),
}

/// What is waiting for an Experiment's desk.
#[derive(Debug, Default)]
pub struct Work {
    /// The Experiment; `None` when it does not exist (any more).
    pub experiment: Option<Arc<Experiment>>,
    /// In the order in which they happened.
    pub changes: Vec<Change>,
    /// Nothing is left of this UID; its desk can be cleared.
    pub forgotten: bool,
}

/// A Trial, looked up by name.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// It exists and has not ended.
    Active(Arc<Trial>),
    /// The one of this UID has ended.
    Ended(Uid),
    /// There is none.
    Absent,
}

/// Orders what is asked of the API server and what is seen. An answer that an object does not exist speaks of what was
/// known when it was asked for; a namesake that came since is another object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub(super) u64);
