//! From a pod's spec to a process, or a sentence that says why not. PURE.
//!
//! [`admit`] reads the spec; [`Plan::references`] names the ConfigMaps and Secrets that it needs; [`Plan::launch`]
//! puts all together. A plain process has no image and no mounts: the image is ignored, each volume becomes a folder
//! under the pod's own folder, and mount paths are rewritten where they stand in values, commands and arguments.
//! [`fields`] is the table of what is honoured, ignored and refused.

mod container;
mod expand;
pub mod fields;
mod launch;
mod mounts;
mod volumes;

pub use container::{EnvFrom, EnvVar, FieldRef, KeyRef, ResourceFieldRef, ValueFrom};
pub use launch::{HostPath, Identity, Launch, NewFile, Objects, TokenFile};
pub use volumes::{Mode, Source, Volume, VolumeMount};

use super::scheduler::Request;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;

/// Labels of the one node, by which a `nodeSelector` may choose it.
pub const NODE_LABELS: &[(&str, &str)] = &[
    (
        "kubernetes.io/arch",
        match std::env::consts::ARCH.as_bytes() {
            b"x86_64" => "amd64",
            b"aarch64" => "arm64",
            _ => std::env::consts::ARCH,
        },
    ),
    ("kubernetes.io/hostname", super::NODE_NAME),
    (
        "kubernetes.io/os",
        match std::env::consts::OS.as_bytes() {
            b"macos" => "darwin",
            _ => std::env::consts::OS,
        },
    ),
];

/// Why a pod cannot be a local process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {sentence}")]
pub struct Refusal {
    /// Path of the field, such as `spec.containers[0].livenessProbe`.
    pub field: String,
    /// What is wrong with it and what to do.
    pub sentence: String,
}

impl Refusal {
    pub(super) fn new(field: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { field: field.into(), sentence: sentence.into() }
    }
}

/// When a container is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// After any exit.
    Always,
    /// After an exit code other than 0.
    OnFailure,
    /// Not at all.
    Never,
}

/// A pod that can be a local process.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Name of the one container.
    pub container: String,
    /// `command` and then `args`, as they are written; never empty.
    pub command: Vec<String>,
    /// `env`, in order.
    pub env: Vec<EnvVar>,
    /// `envFrom`, in order.
    pub env_from: Vec<EnvFrom>,
    /// As it is written.
    pub working_dir: Option<String>,
    /// By volume name.
    pub mounts: Vec<VolumeMount>,
    /// Each has a source.
    pub volumes: Vec<Volume>,
    /// The slot it needs.
    pub request: Request,
    /// `resources` of the container, for `resourceFieldRef`.
    pub resources: Value,
    /// Whether and when the container is started again.
    pub restart_policy: RestartPolicy,
    /// Seconds between SIGTERM and SIGKILL.
    pub grace_seconds: u32,
    /// Longest life of the pod in seconds.
    pub active_deadline_seconds: Option<u32>,
    /// Whose name is on the pod's tokens.
    pub service_account: String,
    /// The path that the program believes to write its last words to.
    pub termination_message_path: String,
    /// Take the end of the log when there are no last words and the exit code is not 0.
    pub message_from_logs: bool,
}

/// An object that a pod's environment or volumes need.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// ConfigMap or Secret.
    pub kind: Kind,
    /// In the pod's namespace.
    pub name: String,
}

/// Kind of a [`Reference`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `v1 ConfigMap`.
    ConfigMap,
    /// `v1 Secret`.
    Secret,
}

impl Kind {
    /// As Kubernetes' messages spell it.
    pub fn lower(self) -> &'static str {
        match self {
            Kind::ConfigMap => "configmap",
            Kind::Secret => "secret",
        }
    }
}

/// Reads the `spec` of a pod, which lies at `path` (such as `spec.template.spec`).
///
/// # Errors
/// Names the first field that a local process cannot honour, and what to do about it.
pub fn admit(spec: &Value, path: &str) -> Result<Plan, Refusal> {
    let Value::Object(object) = spec else { return Err(Refusal::new(path, "must be an object")) };
    fields::check(object, path, fields::POD)?;
    check_node_selector(spec.get("nodeSelector").unwrap_or(&Value::Null), path)?;
    let containers: Vec<Value> = list(spec, path, "containers")?;
    let [container] = containers.as_slice() else {
        let sentence = match containers.len() {
            0 => "must hold one container",
            _ => "only one container can be a local process; run on a cluster for more than one",
        };
        return Err(Refusal::new(format!("{path}.containers"), sentence));
    };
    let volumes = volumes::read(spec, path)?;
    let mut plan = container::read(container, &format!("{path}.containers[0]"))?;
    volumes::check_mounts(&plan.mounts, &volumes, &format!("{path}.containers[0]"))?;
    plan.volumes = volumes;
    plan.restart_policy = match optional::<String>(spec, path, "restartPolicy")?.as_deref() {
        None | Some("Always") => RestartPolicy::Always,
        Some("OnFailure") => RestartPolicy::OnFailure,
        Some("Never") => RestartPolicy::Never,
        Some(_) => return Err(Refusal::new(format!("{path}.restartPolicy"), "must be Never, OnFailure or Always")),
    };
    plan.grace_seconds = optional(spec, path, "terminationGracePeriodSeconds")?.unwrap_or(30);
    plan.active_deadline_seconds = optional(spec, path, "activeDeadlineSeconds")?;
    let account: Option<String> = optional(spec, path, "serviceAccountName")?;
    plan.service_account = account.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned());
    Ok(plan)
}

fn check_node_selector(selector: &Value, path: &str) -> Result<(), Refusal> {
    for (key, value) in selector.as_object().into_iter().flatten() {
        if !NODE_LABELS.iter().any(|(label, here)| label == key && value == here) {
            let sentence = "this machine has no such label; remove it, or run on a cluster";
            return Err(Refusal::new(format!("{path}.nodeSelector[{key}]"), sentence));
        }
    }
    Ok(())
}

impl Plan {
    /// The ConfigMaps and Secrets to read before [`Plan::launch`].
    pub fn references(&self) -> BTreeSet<Reference> {
        let from_env = self.env.iter().filter_map(|variable| variable.value_from.as_ref()?.reference());
        let from_all = self.env_from.iter().filter_map(EnvFrom::reference);
        let from_volumes = self.volumes.iter().flat_map(|volume| &volume.sources).filter_map(Source::reference);
        from_env.chain(from_all).chain(from_volumes).collect()
    }
}

/// Reads `value`, which lies at `path`.
fn parse<T: DeserializeOwned>(value: &Value, path: &str) -> Result<T, Refusal> {
    T::deserialize(value).map_err(|error| Refusal::new(path, error.to_string()))
}

/// A field that may be absent or null.
fn optional<T: DeserializeOwned>(object: &Value, path: &str, name: &str) -> Result<Option<T>, Refusal> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => parse(value, &format!("{path}.{name}")).map(Some),
    }
}

/// A list that may be absent or null; an error names the element.
fn list<T: DeserializeOwned>(object: &Value, path: &str, name: &str) -> Result<Vec<T>, Refusal> {
    let elements: Vec<Value> = optional(object, path, name)?.unwrap_or_default();
    let read = |(index, element)| parse(element, &format!("{path}.{name}[{index}]"));
    elements.iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests;
