//! Conditions of both kinds: types, and reasons with a sentence each.

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A condition after the Kubernetes API conventions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// One of [`types`].
    #[schemars(length(min = 1, max = 63))]
    pub r#type: String,
    /// `True`, `False` or `Unknown`.
    #[schemars(schema_with = "status_schema")]
    pub status: String,
    /// One of [`reasons`].
    #[schemars(length(min = 1, max = 63))]
    pub reason: String,
    /// A sentence for people.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub message: String,
    /// When `status` last changed.
    #[schemars(schema_with = "time_schema")]
    pub last_transition_time: Timestamp,
    /// The generation that this speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

fn status_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["True", "False", "Unknown"]})
}

pub(super) fn time_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

/// Types of conditions.
pub mod types {
    /// Experiment: the spec can be run. False: nothing is started until it is changed.
    pub const ACCEPTED: &str = "Accepted";
    /// Both kinds: True once ended well. While False its reason and message say what is going on, or why nothing is.
    pub const COMPLETE: &str = "Complete";
    /// Both kinds: True once ended badly.
    pub const FAILED: &str = "Failed";
    /// Experiment: `spec.suspend` is obeyed.
    pub const SUSPENDED: &str = "Suspended";
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $value:literal;)+) => {
        /// Reasons of conditions and events. Each is part of the API.
        pub mod reasons {
            $($(#[doc = $doc])+ pub const $name: &str = $value;)+
            /// Every reason with its sentence, for the documentation's table.
            pub const ALL: &[(&str, &str)] = &[$(($value, concat!($($doc),+))),+];
        }
    };
}

reasons! {
    /// The spec can be run.
    VALID = "Valid";
    /// The search space has an error; the message names the field.
    INVALID_SEARCH_SPACE = "InvalidSearchSpace";
    /// The algorithm's settings have an error; the message names the setting.
    INVALID_ALGORITHM = "InvalidAlgorithm";
    /// A rule of `earlyStopping` has an error; the message names the setting.
    INVALID_EARLY_STOPPING = "InvalidEarlyStopping";
    /// The source of metrics cannot be read as it is said; the message names the field.
    INVALID_METRICS = "InvalidMetrics";
    /// A limit cannot be understood.
    INVALID_LIMITS = "InvalidLimits";
    /// The trial template has an error; the message names the field.
    INVALID_TEMPLATE = "InvalidTemplate";
    /// One of the initial trials does not fit the search space.
    INVALID_INITIAL_TRIAL = "InvalidInitialTrial";
    /// The object cannot be understood at all; it was stored before its schema was.
    INVALID_OBJECT = "InvalidObject";
    /// Trials are running or about to.
    RUNNING = "Running";
    /// No trial starts before the results of an experiment in `warmStartFrom` are read; the message says what is missing.
    WARM_START_WAITS = "WarmStartWaits";
    /// Waiting: no pod of a trial is running yet; the message says what is missing.
    PENDING = "Pending";
    /// `spec.suspend` is true: no new trial starts.
    SUSPENDED = "Suspended";
    /// `spec.suspend` is false.
    NOT_SUSPENDED = "NotSuspended";
    /// All trials of `limits.maxTrials` have ended.
    MAX_TRIALS_REACHED = "MaxTrialsReached";
    /// A trial reached the objective's goal.
    GOAL_REACHED = "GoalReached";
    /// The experiment has been at work for `limits.maxDuration`.
    MAX_DURATION_REACHED = "MaxDurationReached";
    /// The trials have used `limits.maxGpuHours`.
    MAX_GPU_HOURS_REACHED = "MaxGpuHoursReached";
    /// Every configuration of the search space has been tried.
    SEARCH_SPACE_EXHAUSTED = "SearchSpaceExhausted";
    /// More trials failed than `limits.maxFailedTrials` allows.
    MAX_FAILED_TRIALS_EXCEEDED = "MaxFailedTrialsExceeded";
    /// All trials have ended and none gave an objective value.
    NO_SUCCESSFUL_TRIAL = "NoSuccessfulTrial";
    /// No assignment, or no further one, that satisfies parameterConstraints was found.
    CONSTRAINTS_UNSATISFIABLE = "ConstraintsUnsatisfiable";
    /// The tuner failed; this is a bug of ours.
    TUNER_FAILED = "TunerFailed";
    /// Nothing has gone wrong.
    NOT_FAILED = "NotFailed";
    /// The trial ended and gave an objective value.
    SUCCEEDED = "Succeeded";
    /// The trial was stopped before its end; its last results count.
    EARLY_STOPPED = "EarlyStopped";
    /// The program ended with an error.
    PROGRAM_FAILED = "ProgramFailed";
    /// The program ended well but the objective's metric was never seen; the message lists what was.
    METRIC_NOT_FOUND = "MetricNotFound";
    /// The objective's metric was NaN or infinite: throughout, or once where `failurePolicy.nonFinite` is Fail.
    METRIC_NOT_FINITE = "MetricNotFinite";
    /// The trial ran longer than `limits.maxTrialDuration`.
    MAX_TRIAL_DURATION_REACHED = "MaxTrialDurationReached";
    /// The trial's Job ran into the `activeDeadlineSeconds` of its own manifest.
    JOB_DEADLINE_EXCEEDED = "JobDeadlineExceeded";
    /// The trial was interrupted (evicted, preempted, node lost, Job deleted) and starts again.
    RETRYING = "Retrying";
    /// The trial was interrupted more often than `failurePolicy.retries` allows.
    RETRIES_EXHAUSTED = "RetriesExhausted";
    /// The Job's API refused what the trial asked for.
    JOB_REFUSED = "JobRefused";
    /// An object exists under a name that the operator needs, and is not its own; the message says which.
    NAME_TAKEN = "NameTaken";
    /// The API server keeps refusing something that the experiment needs (a quota, a policy, a permission); the message
    /// quotes it. It is tried again and again.
    API_REFUSED = "ApiRefused";
    /// The Trial is not taken into its Experiment; the message says why.
    NOT_ADOPTED = "NotAdopted";
    /// The trial's values do not fit the search space.
    INVALID_ASSIGNMENT = "InvalidAssignment";
    /// The Trial names an Experiment that does not exist.
    EXPERIMENT_NOT_FOUND = "ExperimentNotFound";
    /// The Experiment's spec cannot be run (see its condition Accepted); this trial is not started.
    EXPERIMENT_NOT_ACCEPTED = "ExperimentNotAccepted";
    /// The Experiment has ended; this trial is not started.
    EXPERIMENT_ENDED = "ExperimentEnded";
    /// All of `limits.parallelTrials` are taken; the trial waits.
    WAITING_FOR_SLOT = "WaitingForSlot";
}

/// The condition of this type.
pub fn find<'a>(conditions: &'a [Condition], r#type: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.r#type == r#type)
}

/// Whether the condition of this type is True.
pub fn is_true(conditions: &[Condition], r#type: &str) -> bool {
    find(conditions, r#type).is_some_and(|condition| condition.status == "True")
}

/// The condition whose reason says where the Experiment or Trial stands: `Failed` once it is True, else `Complete`.
pub fn standing(conditions: &[Condition]) -> Option<&Condition> {
    let failed = find(conditions, types::FAILED).filter(|condition| condition.status == "True");
    failed.or_else(|| find(conditions, types::COMPLETE))
}

/// Whether these say that the Experiment or Trial has ended, well or not.
pub fn has_ended(conditions: &[Condition]) -> bool {
    is_true(conditions, types::COMPLETE) || is_true(conditions, types::FAILED)
}
