//! Every decision, apart from all I/O: `plan(snapshot, now) -> actions`.
//!
//! `plan` is total: it never panics and never fails; bad input becomes a condition. Running any prefix of its actions
//! and planning again reaches the same end. The work of a plan is bounded by what is active, not by how many trials
//! have ended.

mod action;
mod caught;
mod checkpoint;
mod claim;
mod clock;
mod compile;
mod derivatives;
mod ended;
mod ending;
mod experiment;
mod fold;
mod given;
mod goals;
mod inject;
mod job;
mod jury;
mod known;
mod ledger;
mod manifest;
mod membership;
mod pieces;
mod plan;
mod query;
mod record;
mod result;
mod running;
mod settings;
mod sidecar;
mod snapshot;
mod source;
mod stage;
mod standing;
mod status;
mod suggest;
mod summary;
mod template;
mod trace;
mod trial;
mod usage;

#[cfg(test)]
mod tests;

pub use action::{Action, Event, Plan, TrialPatch};
pub use caught::caught;
pub use compile::{Compiled, Problem, compile};
pub use ended::{Ended, EndedCounts};
pub use ending::{Ending, has_succeeded};
pub use fold::{Wanted, fold};
pub use job::{JobCondition, JobView, job_name};
pub use jury::Past;
pub use ledger::Ledger;
pub use membership::{orphan, owner};
pub use plan::plan;
pub use query::{Asked, queries};
pub use result::value;
pub use running::PUT_OUT;
pub use settings::{AgentContainer, Prometheus, Settings};
pub use sidecar::SIDECAR;
pub use snapshot::{Blocked, Facts, Fate, Finding, Known, Pods, Probe, Refusal, Snapshot};

pub use trace::{span_id, trace_id, traceparent};

pub use crate::stopping::RULES as STOPPING_RULES;
pub use crate::tuner::Finished;
