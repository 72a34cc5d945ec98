//! The wire types: Experiment and Trial, and the conditions both carry. No logic beyond accessors.
//!
//! The CRDs under `crds/` are generated from these types (`automl crd`); a test proves that they are current.

pub mod conditions;
mod crds;
mod duration;
mod experiment;
mod experiment_status;
mod fidelity;
mod metrics;
mod objectives;
mod parameters;
mod template;
mod trial;
mod usage;

pub use conditions::Condition;
pub use crds::crds;
pub use duration::Duration;
pub use experiment::{
    Algorithm, Experiment, ExperimentSpec, FailurePolicy, InitialTrial, Limits, NonFinitePolicy, StoppingRule,
    WarmStart,
};
pub use experiment_status::{Best, ExperimentStatus, FrontTrial, TrialCounts};
pub use fidelity::{Checkpoint, Fidelity, VolumeClaimMetadata, VolumeClaimTemplate};
pub use metrics::{
    FileSource, MetricQuery, Metrics, MetricsSource, MlflowSource, NniSource, PrometheusQuerySource, PrometheusSource,
    PushSource, StdoutSource, TensorboardSource,
};
pub use objectives::{Objective, OutcomeConstraint};
pub use parameters::{CategoricalDomain, DiscreteDomain, DoubleDomain, IntDomain, Parameter, ScaleName, When};
pub use template::{Retain, TrialTemplate};
pub use trial::{Exit, Parent, Trial, TrialSpec, TrialStatus};
pub use usage::Usage;

/// API group of both kinds.
pub const GROUP: &str = "automl.dev";
/// Served version of both kinds.
pub const VERSION: &str = "v1alpha1";

/// Reasons of a pod's condition `DisruptionTarget` that this project's own runner writes: the machine itself was stopped,
/// by the person whose it is. Such an interruption uses up no retry.
pub mod disruptions {
    /// The runner was told to stop while the pod ran.
    pub const NODE_SHUTDOWN: &str = "NodeShutdown";
    /// The runner was killed while the pod ran.
    pub const NODE_RESTARTED: &str = "NodeRestarted";
}

/// Labels and annotations that the operator writes.
pub mod labels {
    /// On Trials, Jobs and Pods: name of the Experiment.
    pub const EXPERIMENT: &str = "automl.dev/experiment";
    /// On Trials, Jobs and Pods: UID of the Experiment.
    pub const EXPERIMENT_UID: &str = "automl.dev/experiment-uid";
    /// On Jobs and Pods: name of the Trial.
    pub const TRIAL: &str = "automl.dev/trial";
    /// On Trials, Jobs and Pods: the trial's index; absent for a Trial made by hand.
    pub const INDEX: &str = "automl.dev/index";
    /// On Jobs and Pods: how many attempts came before this one.
    pub const ATTEMPT: &str = "automl.dev/attempt";
    /// On Jobs and Pods: `app.kubernetes.io/managed-by`, value [`MANAGER`].
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// On the Lease of the election: URL at which the other replicas reach its holder.
    pub const LEADER_URL: &str = "automl.dev/leader-url";
    /// Field manager, and value of [`MANAGED_BY`].
    pub const MANAGER: &str = "automl-operator";
}

/// For fields that are left out while they have their first value.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
