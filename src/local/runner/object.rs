//! Jobs and Pods, as far as the runner looks at them.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// `metadata`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Name within the namespace.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// UID.
    pub uid: String,
    /// Grows with each write.
    pub resource_version: String,
    /// Labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
    /// What keeps the object after its deletion.
    #[serde(deserialize_with = "or_default")]
    pub finalizers: Vec<String>,
    /// Whose it is.
    #[serde(deserialize_with = "or_default")]
    pub owner_references: Vec<Owner>,
    /// When it was created.
    pub creation_timestamp: Option<Timestamp>,
    /// When it should be gone, once it was deleted.
    pub deletion_timestamp: Option<Timestamp>,
    /// Seconds between its deletion and that time.
    pub deletion_grace_period_seconds: Option<u32>,
}

/// One of `metadata.ownerReferences`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// Kind, such as `Job`.
    pub kind: String,
    /// Name in the same namespace.
    pub name: String,
    /// UID.
    pub uid: String,
    /// Whether it is the one that controls the object.
    pub controller: bool,
}

impl Meta {
    /// Whether its deletion was asked for.
    pub fn deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// The Job that controls the object.
    pub fn job_owner(&self) -> Option<&Owner> {
        self.owner_references.iter().find(|owner| owner.controller && owner.kind == "Job")
    }

    /// The resourceVersion as a number, to tell older from newer.
    pub fn version(&self) -> u64 {
        self.resource_version.parse().unwrap_or_default()
    }
}

/// A Pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    /// `metadata`.
    pub meta: Meta,
    /// `spec`, raw.
    pub spec: Arc<Value>,
    /// `status`.
    pub status: PodStatus,
}

/// `status` of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Pending, Running, Succeeded or Failed; empty before anybody has looked.
    pub phase: String,
    /// Conditions.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<PodCondition>,
    /// One a container.
    #[serde(deserialize_with = "or_default")]
    pub container_statuses: Vec<ContainerStatus>,
    /// When the node took the pod.
    pub start_time: Option<Timestamp>,
}

/// A condition of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodCondition {
    /// Such as `DisruptionTarget`.
    pub r#type: String,
    /// True, False or Unknown.
    pub status: String,
    /// When the status changed last.
    pub last_transition_time: Option<Timestamp>,
}

/// How a container is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Name of the container.
    pub name: String,
    /// How often it was started again.
    pub restart_count: u32,
    /// Its state.
    pub state: ContainerState,
}

/// State of a container, as far as it has ended.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// How it ended.
    pub terminated: Option<Terminated>,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    /// Exit code; 128 + n after signal n.
    pub exit_code: i32,
    /// When.
    pub finished_at: Option<Timestamp>,
}

impl Pod {
    /// Reads a pod from its JSON. What has a wrong type counts as absent.
    pub fn read(object: &Value) -> Self {
        Self {
            meta: lenient(object.get("metadata")),
            spec: Arc::new(object.get("spec").cloned().unwrap_or_default()),
            status: lenient(object.get("status")),
        }
    }

    /// Whether it has ended for good.
    pub fn is_terminal(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }

    /// Whether condition `Ready` is True.
    pub fn is_ready(&self) -> bool {
        self.has_condition("Ready", "True")
    }

    /// Whether it has this condition with this status.
    pub fn has_condition(&self, r#type: &str, status: &str) -> bool {
        self.status.conditions.iter().any(|condition| condition.r#type == r#type && condition.status == status)
    }
}

/// A Job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// `metadata`.
    pub meta: Meta,
    /// `spec`, or what is wrong with it.
    pub spec: Result<Arc<JobSpec>, String>,
    /// `status`.
    pub status: JobStatus,
}

/// `spec` of a Job, with Kubernetes' defaults.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobSpec {
    /// Pods at a time.
    #[serde(default = "one")]
    pub parallelism: u32,
    /// Successful pods that are wanted; `None`: any one.
    pub completions: Option<u32>,
    /// `NonIndexed` or `Indexed`.
    pub completion_mode: Option<String>,
    /// Failed pods that are borne.
    #[serde(default = "six")]
    pub backoff_limit: u32,
    /// Longest life in seconds.
    pub active_deadline_seconds: Option<i64>,
    /// What to do about which failure.
    pub pod_failure_policy: Option<PodFailurePolicy>,
    /// `TerminatingOrFailed` or `Failed`.
    pub pod_replacement_policy: Option<String>,
    /// Whether no pod may run.
    #[serde(default, deserialize_with = "or_default")]
    pub suspend: bool,
    /// Which controller cares for the Job.
    pub managed_by: Option<String>,
    /// Seconds that a finished Job is kept.
    pub ttl_seconds_after_finished: Option<i64>,
    /// Of the pods, raw.
    #[serde(default)]
    pub template: Value,
}

fn one() -> u32 {
    1
}

fn six() -> u32 {
    6
}

/// `spec.podFailurePolicy`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PodFailurePolicy {
    /// The first that matches counts.
    #[serde(default, deserialize_with = "or_default")]
    pub rules: Vec<FailureRule>,
}

/// One rule of a pod failure policy.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureRule {
    /// `FailJob`, `Ignore` or `Count`.
    pub action: String,
    /// Which exit codes it is about.
    pub on_exit_codes: Option<OnExitCodes>,
    /// Which conditions it is about.
    pub on_pod_conditions: Option<Vec<OnPodCondition>>,
}

/// `onExitCodes`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OnExitCodes {
    /// `None`: any container.
    pub container_name: Option<String>,
    /// `In` or `NotIn`.
    pub operator: String,
    /// Exit codes.
    #[serde(default, deserialize_with = "or_default")]
    pub values: Vec<i32>,
}

/// `onPodConditions[]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct OnPodCondition {
    /// Type of the condition.
    pub r#type: String,
    /// Its status; `True` where nothing is said.
    pub status: Option<String>,
}

/// `status` of a Job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobStatus {
    /// Pods that run or will.
    pub active: u32,
    /// Active pods that are ready.
    pub ready: Option<u32>,
    /// Pods on their way out.
    pub terminating: Option<u32>,
    /// Pods that succeeded.
    pub succeeded: u32,
    /// Pods that failed.
    pub failed: u32,
    /// When the Job began to run.
    pub start_time: Option<Timestamp>,
    /// When it was complete.
    pub completion_time: Option<Timestamp>,
    /// Conditions, in the order of their appearance.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<JobCondition>,
    /// Ended pods that are not in the counters yet.
    #[serde(deserialize_with = "or_default")]
    pub uncounted_terminated_pods: Uncounted,
}

/// A condition of a Job.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobCondition {
    /// Such as `Complete`.
    pub r#type: String,
    /// True or False.
    pub status: String,
    /// When it was looked at last.
    pub last_probe_time: Option<Timestamp>,
    /// When its status changed last.
    pub last_transition_time: Option<Timestamp>,
    /// Such as `BackoffLimitExceeded`.
    #[serde(default)]
    pub reason: String,
    /// A sentence.
    #[serde(default)]
    pub message: String,
}

/// UIDs of pods that have ended and still carry the Job's finalizer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Uncounted {
    /// UIDs of those that succeeded.
    #[serde(deserialize_with = "or_default")]
    pub succeeded: Vec<String>,
    /// UIDs of those that failed.
    #[serde(deserialize_with = "or_default")]
    pub failed: Vec<String>,
}

impl Job {
    /// Reads a Job from its JSON.
    pub fn read(object: &Value) -> Self {
        let spec = JobSpec::deserialize(object.get("spec").unwrap_or(&Value::Null));
        Self {
            meta: lenient(object.get("metadata")),
            spec: spec.map(Arc::new).map_err(|error| format!("spec: {error}")),
            status: lenient(object.get("status")),
        }
    }
}

impl JobStatus {
    /// Whether it has this condition, and it is True.
    pub fn condition(&self, r#type: &str) -> Option<&JobCondition> {
        self.conditions.iter().find(|condition| condition.r#type == r#type && condition.status == "True")
    }

    /// When it ended, if it has.
    pub fn finished(&self) -> Option<&JobCondition> {
        self.condition("Complete").or_else(|| self.condition("Failed"))
    }

    /// A merge patch that leaves exactly these fields. As in Kubernetes a counter that is 0 is absent.
    pub fn to_patch(&self) -> Value {
        let count = |count: u32| (count > 0).then_some(count);
        let uids = |uids: &[String]| (!uids.is_empty()).then(|| uids.to_vec());
        json!({
            "active": count(self.active),
            "ready": self.ready,
            "terminating": self.terminating,
            "succeeded": count(self.succeeded),
            "failed": count(self.failed),
            "startTime": self.start_time.map(seconds),
            "completionTime": self.completion_time.map(seconds),
            "conditions": (!self.conditions.is_empty()).then_some(&self.conditions),
            "uncountedTerminatedPods": {
                "succeeded": uids(&self.uncounted_terminated_pods.succeeded),
                "failed": uids(&self.uncounted_terminated_pods.failed),
            },
        })
    }
}

/// Kubernetes' times have whole seconds.
pub fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn lenient<T: DeserializeOwned + Default>(value: Option<&Value>) -> T {
    value.and_then(|value| T::deserialize(value).ok()).unwrap_or_default()
}

/// Null is as good as absent.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}
