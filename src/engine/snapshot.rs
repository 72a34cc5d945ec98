//! What a plan is made from.

use super::action::create_trial;
use super::job::attempt_of;
use super::{Compiled, Ledger, Problem, Settings};
use crate::api::Experiment;
use crate::space::Assignment;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Everything that a plan may look at. Borrowed: nothing is copied to make a plan.
pub struct Snapshot<'a> {
    /// The Experiment, as last seen or written.
    pub experiment: &'a Experiment,
    /// Its spec made ready, or what is wrong with it. Belongs to the Experiment's present generation.
    pub compiled: &'a Result<Compiled, Problem>,
    /// Its Trials and their Jobs.
    pub ledger: &'a Ledger,
    /// What was learnt by actions that only read.
    pub facts: &'a Facts,
    /// The operator's own settings.
    pub settings: &'a Settings,
}

/// What was learnt by actions that only read. Kept in memory: losing it costs a repetition, nothing else.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The API server's answer to [`super::Action::ProbeTemplate`].
    pub probe: Option<Probe>,
    /// Names of Jobs that the API server said do not exist, by [`super::Action::ConfirmJob`].
    pub jobs_gone: BTreeSet<String>,
    /// Name of a Job -> what its pods say, by [`super::Action::InspectPods`].
    pub pods: BTreeMap<String, Pods>,
    /// Name of a Job none of whose pods is ready -> since when that is known.
    pub unready: BTreeMap<String, Timestamp>,
    /// Name of a Job -> why the API server did not take it.
    pub refused: BTreeMap<String, Refusal>,
    /// [`super::Action::what`] of actions that keep failing -> why.
    pub blocked: BTreeMap<String, Blocked>,
    /// Name of an Experiment -> when it was looked at, and what it has found out, by [`super::Action::ReadResults`].
    pub findings: BTreeMap<String, (Timestamp, Finding)>,
    /// When the claim for checkpoints was last seen, by [`super::Action::CreateClaim`].
    pub claim: Option<Timestamp>,
    /// When the Experiment's status was last written, for coalescing.
    pub status_written: Option<Timestamp>,
}

impl Facts {
    /// What was learnt about a trial that runs is of no use once it has ended or is gone. One that stood in the way of
    /// ours does so no more.
    pub fn forget_trial(&mut self, trial: &str) {
        let other = |job: &str| attempt_of(trial, job).is_none();
        self.jobs_gone.retain(|job| other(job));
        self.pods.retain(|job, _| other(job));
        self.unready.retain(|job, _| other(job));
        self.refused.retain(|job, _| other(job));
        self.blocked.remove(&create_trial(trial));
    }
}

/// What another experiment has found out.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// There is no such Experiment.
    None,
    /// Its trials that have succeeded.
    Results {
        /// The metrics that it reads.
        metrics: Vec<String>,
        /// In any order.
        results: Vec<Known>,
    },
}

/// A result of another experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// What tells it apart from its experiment's others, and may be a part of a name.
    pub name: String,
    /// Its parameters.
    pub assignment: Assignment,
    /// What came out, by metric, of those that were asked for.
    pub values: BTreeMap<String, f64>,
}

/// What the pods of a Job that does not run say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pods {
    /// Why they do not run, or why they were taken away: a sentence; empty when they say nothing.
    pub why: String,
    /// What others have done to them.
    pub fate: Fate,
    /// Containers of the latest that run on, or are to be started (again), although another of its containers has ended.
    pub running: Vec<String>,
    /// Containers of the latest that have failed and are not started again, with their exit codes.
    pub failed: BTreeMap<String, i32>,
    /// When they were looked at.
    pub at: Timestamp,
}

/// What others have done to a Job's pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// Nothing that would show.
    #[default]
    Kept,
    /// There are none, or none that stay.
    Deleted,
    /// The latest was taken away: evicted, preempted, its node lost.
    Disrupted {
        /// Because the machine itself was stopped: see [`crate::api::disruptions`].
        machine_stopped: bool,
    },
}

/// Why the API server did not take a Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When it was tried.
    pub at: Timestamp,
    /// The API server's sentence.
    pub message: String,
    /// The Job itself is wrong (400, 422): trying again cannot help. Otherwise (403: quota, policy) it may.
    pub permanent: bool,
}

/// Why an action keeps failing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// When it was first told of.
    pub since: Timestamp,
    /// When it was tried last.
    pub at: Timestamp,
    /// One of [`crate::api::conditions::reasons`].
    pub reason: &'static str,
    /// The API server's sentence.
    pub message: String,
}

/// The API server's answer to a dry run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Generation of the Experiment that was asked for.
    pub generation: i64,
    /// `None`: taken. Otherwise the API server's sentence.
    pub refusal: Option<String>,
    /// The refusal (403: a quota, a policy; no answer) says nothing about the template, and may pass.
    pub may_pass: bool,
}
