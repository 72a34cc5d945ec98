//! What a plan asks for. Each action is safe to repeat.

use crate::api::{Condition, ExperimentStatus, Objective, Trial, Usage};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

/// Actions in the order in which they must be carried out, and when to plan again if nothing happens before.
///
/// An action that fails does not hold up those for other objects; new trials alone are made strictly one after the
/// other. The next plan starts from what was reached.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In order.
    pub actions: Vec<Action>,
    /// Absolute, from stored times.
    pub wake_at: Option<Timestamp>,
}

/// One effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Ask the API server, by a dry run with strict field validation, whether it would take this Job. Its answer comes
    /// back as [`super::Probe`].
    ProbeTemplate {
        /// Generation of the Experiment whose template this is.
        generation: i64,
        /// The Job as the first trial would have it.
        job: Box<Value>,
        /// The claim for checkpoints, where the operator is to make one.
        claim: Option<Box<Value>>,
    },
    /// POST of the PersistentVolumeClaim for checkpoints, unless it is there. One that is not this Experiment's, or is being
    /// deleted, is a failure. When it was seen comes back in [`super::Facts::claim`].
    CreateClaim {
        /// With name, labels and owner reference.
        claim: Box<Value>,
    },
    /// POST. AlreadyExists is success when the existing Trial belongs to the same Experiment UID.
    CreateTrial {
        /// With name, labels and owner reference.
        trial: Box<Trial>,
    },
    /// Merge patch on a Trial made by hand: owner reference and label, so that it is found and goes with its Experiment.
    AdoptTrial {
        /// Name of the Trial.
        name: String,
        /// The patch, with the resourceVersion that it was computed from.
        patch: Box<Value>,
    },
    /// POST. AlreadyExists is success when the existing Job belongs to the same Trial UID, else the Job is told back as
    /// a [`super::JobView`] of another owner.
    CreateJob {
        /// Name of the Trial.
        trial: String,
        /// With name, labels and owner reference.
        job: Box<Value>,
    },
    /// Merge patch on the Trial's status, with the resourceVersion that it was computed from.
    WriteTrialStatus {
        /// Name of the Trial.
        name: String,
        /// Expected `metadata.resourceVersion`.
        resource_version: String,
        /// The fields that the engine owns.
        patch: Box<TrialPatch>,
        /// To tell once the write has succeeded.
        event: Option<Event>,
    },
    /// Read the Job from the API server itself: the watch does not show it, though it was seen before. NotFound comes
    /// back in [`super::Facts::jobs_gone`].
    ConfirmJob {
        /// Name of the Job.
        name: String,
    },
    /// Read the pods of a Job that does not run, so that a condition can say why, or why they were taken away. What they
    /// say comes back in [`super::Facts::pods`].
    InspectPods {
        /// Name of the Job.
        job: String,
    },
    /// Read the results of another Experiment. They come back in [`super::Facts::findings`].
    ReadResults {
        /// Its name.
        experiment: String,
        /// The metrics to read, and which of a trial's values counts.
        wanted: Vec<Objective>,
    },
    /// Read the curves of the Experiment's trials that have ended: there are rules now that were not there before. They go to
    /// [`super::Ledger::recall_curves`].
    ReadCurves,
    /// DELETE with UID precondition, background propagation. NotFound is success.
    DeleteJob {
        /// Name of the Job.
        name: String,
        /// Expected `metadata.uid`.
        uid: String,
        /// Name of the Trial that does not need it any more.
        trial: String,
    },
    /// Merge patch on the Experiment's status, with the resourceVersion that it was computed from. Always last.
    WriteExperimentStatus {
        /// Expected `metadata.resourceVersion`.
        resource_version: String,
        /// The whole status.
        status: Box<ExperimentStatus>,
        /// To tell once the write has succeeded.
        events: Vec<Event>,
    },
}

impl Action {
    /// What it does, such as `create Trial e-00002`: for people, and to remember by that it does not succeed.
    pub fn what(&self) -> String {
        match self {
            Action::ProbeTemplate { .. } => "try out the template's Job".into(),
            Action::CreateClaim { claim } => {
                let name = claim.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                format!("create PersistentVolumeClaim {name}")
            }
            Action::CreateTrial { trial } => create_trial(&trial.name_any()),
            Action::AdoptTrial { name, .. } => format!("adopt Trial {name}"),
            Action::CreateJob { job, .. } => {
                let name = job.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                format!("create Job {name}")
            }
            Action::WriteTrialStatus { name, .. } => format!("write the status of Trial {name}"),
            Action::ConfirmJob { name } => format!("read Job {name}"),
            Action::InspectPods { job } => format!("read the pods of Job {job}"),
            Action::ReadResults { experiment, .. } => format!("read the results of Experiment {experiment}"),
            Action::ReadCurves => "read the curves of the Trials that have ended".into(),
            Action::DeleteJob { name, .. } => format!("delete Job {name}"),
            Action::WriteExperimentStatus { .. } => "write the status of the Experiment".into(),
        }
    }
}

/// [`Action::what`] of the action that makes the Trial of this name.
pub(super) fn create_trial(name: &str) -> String {
    format!("create Trial {name}")
}

/// The fields of a Trial's status that the engine owns; the reports' fields are written by the report route.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrialPatch {
    /// `status.attempt`.
    pub attempt: u32,
    /// `status.interruptions`.
    pub interruptions: u32,
    /// `status.startTime`; `None` clears it.
    pub start_time: Option<Timestamp>,
    /// `status.completionTime`.
    pub completion_time: Option<Timestamp>,
    /// `status.usage`.
    pub usage: Usage,
    /// `status.objective`.
    pub objective: Option<f64>,
    /// `status.objectives`.
    pub objectives: Vec<f64>,
    /// `status.excesses`.
    pub excesses: Vec<f64>,
    /// `status.conditions`, all of them.
    pub conditions: Vec<Condition>,
}

/// A Kubernetes Event on the object that is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Warning, else Normal.
    pub warning: bool,
    /// One of [`crate::api::conditions::reasons`].
    pub reason: &'static str,
    /// A sentence.
    pub note: String,
}
