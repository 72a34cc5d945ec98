//! Volumes: each becomes a folder of the pod, or is a path of the machine.

use super::container::{FieldRef, ResourceFieldRef};
use super::{Kind, Reference, Refusal, fields, list, optional, parse};
use serde::Deserialize;
use serde_json::Value;
use std::path::{Component, Path};

/// A volume and what fills it.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    /// A DNS label.
    pub name: String,
    /// The path of the machine that it stands for; `None`: a folder of the pod.
    pub host_path: Option<HostPathSource>,
    /// Files to write into it.
    pub sources: Vec<Source>,
    /// Mode of these files where the item says nothing.
    pub default_mode: Mode,
}

/// Permission bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Mode(pub u32);

impl Default for Mode {
    fn default() -> Self {
        Self(0o644)
    }
}

/// `hostPath`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostPathSource {
    /// Absolute.
    pub path: String,
    /// `DirectoryOrCreate` and the like; empty: nothing is checked.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
}

/// Files of a volume.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Keys of a ConfigMap or a Secret.
    Object {
        /// Which object.
        reference: Reference,
        /// Which keys; empty: all.
        items: Vec<KeyToPath>,
        /// Whether it may be missing.
        optional: bool,
    },
    /// Fields of the pod.
    DownwardApi(Vec<DownwardFile>),
    /// A token of the pod's service account.
    Token(TokenSource),
}

impl Source {
    pub(super) fn reference(&self) -> Option<Reference> {
        match self {
            Source::Object { reference, .. } => Some(reference.clone()),
            _ => None,
        }
    }
}

/// One key and the file that it becomes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyToPath {
    /// Key of the object.
    pub key: String,
    /// Relative to the volume.
    pub path: String,
    /// Permission bits.
    pub mode: Option<Mode>,
}

/// One field of the pod and the file that it becomes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DownwardFile {
    /// Relative to the volume.
    pub path: String,
    /// A field of the pod.
    pub field_ref: Option<FieldRef>,
    /// Or a limit or request of the container.
    pub resource_field_ref: Option<ResourceFieldRef>,
    /// Permission bits.
    pub mode: Option<Mode>,
}

/// `serviceAccountToken`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenSource {
    /// Whom the token is for; empty: the API server.
    #[serde(default)]
    pub audience: String,
    /// Ignored: a token lives as long as its pod runs.
    #[serde(default, rename = "expirationSeconds")]
    _expiration_seconds: Option<i64>,
    /// Relative to the volume.
    pub path: String,
}

/// `volumeMounts[]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeMount {
    /// Name of the volume.
    pub name: String,
    /// Absolute path that the program believes in.
    pub mount_path: String,
    /// Path in the volume.
    #[serde(default)]
    pub sub_path: String,
    // A process of the same person can always write: these cannot be enforced, and harm nothing.
    #[serde(default, rename = "readOnly")]
    _read_only: Option<bool>,
    #[serde(default, rename = "recursiveReadOnly")]
    _recursive_read_only: Option<String>,
    #[serde(default, rename = "mountPropagation")]
    _mount_propagation: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ObjectSource {
    #[serde(default, alias = "secretName")]
    name: String,
    #[serde(default)]
    items: Vec<KeyToPath>,
    #[serde(default)]
    optional: Option<bool>,
    #[serde(default)]
    default_mode: Option<Mode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DownwardSource {
    #[serde(default)]
    items: Vec<DownwardFile>,
    #[serde(default)]
    default_mode: Option<Mode>,
}

/// Reads `volumes` of a pod's spec.
pub(super) fn read(spec: &Value, path: &str) -> Result<Vec<Volume>, Refusal> {
    let volumes: Vec<Value> = list(spec, path, "volumes")?;
    let each = |(index, volume)| read_one(volume, &format!("{path}.volumes[{index}]"));
    volumes.iter().enumerate().map(each).collect()
}

fn read_one(volume: &Value, path: &str) -> Result<Volume, Refusal> {
    let name: String = optional(volume, path, "name")?.unwrap_or_default();
    if !inside(&name) || name.contains('/') {
        return Err(Refusal::new(format!("{path}.name"), "must be a DNS label"));
    }
    let mut read = Volume { name, host_path: None, sources: Vec::new(), default_mode: Mode::default() };
    let mut given = volume.as_object().into_iter().flatten().filter(|(key, value)| *key != "name" && !value.is_null());
    // As in Kubernetes a volume without a source is an emptyDir.
    let Some((kind, source)) = given.next() else { return Ok(read) };
    let path = format!("{path}.{kind}");
    if given.next().is_some() {
        return Err(Refusal::new(path, "a volume can have only one source"));
    }
    match kind.as_str() {
        "emptyDir" => {
            let object = source.as_object().ok_or_else(|| Refusal::new(path.clone(), "must be an object"))?;
            fields::check(object, &path, fields::EMPTY_DIR)?;
        }
        "hostPath" => {
            let host: HostPathSource = parse(source, &path)?;
            if !host.path.starts_with('/') {
                return Err(Refusal::new(format!("{path}.path"), "must be an absolute path of this machine"));
            }
            read.host_path = Some(host);
        }
        "projected" => {
            let sources: Vec<Value> = list(source, &path, "sources")?;
            for (index, source) in sources.iter().enumerate() {
                for (kind, source) in source.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
                    let path = format!("{path}.sources[{index}].{kind}");
                    read.sources.push(read_source(kind, source, &path)?.0);
                }
            }
            read.default_mode = optional(source, &path, "defaultMode")?.unwrap_or_default();
        }
        _ => {
            let (source, mode) = read_source(kind, source, &path)?;
            read.sources.push(source);
            read.default_mode = mode.unwrap_or_default();
        }
    }
    Ok(read)
}

fn read_source(kind: &str, source: &Value, path: &str) -> Result<(Source, Option<Mode>), Refusal> {
    let (read, mode) = match kind {
        "configMap" | "secret" => {
            let kind = if kind == "secret" { Kind::Secret } else { Kind::ConfigMap };
            let ObjectSource { name, items, optional, default_mode } = parse(source, path)?;
            let reference = Reference { kind, name };
            (Source::Object { reference, items, optional: optional.unwrap_or(false) }, default_mode)
        }
        "downwardAPI" => {
            let DownwardSource { items, default_mode } = parse(source, path)?;
            for (index, item) in items.iter().enumerate() {
                if let Some(field) = &item.field_ref {
                    super::launch::check_field_path(&field.field_path).map_err(|sentence| {
                        Refusal::new(format!("{path}.items[{index}].fieldRef.fieldPath"), sentence)
                    })?;
                }
            }
            (Source::DownwardApi(items), default_mode)
        }
        "serviceAccountToken" => (Source::Token(parse(source, path)?), None),
        _ => {
            let sentence = "cannot be mounted by a local process; use hostPath or emptyDir, or run on a cluster";
            return Err(Refusal::new(path, sentence));
        }
    };
    let paths: Vec<&String> = match &read {
        Source::Object { items, .. } => items.iter().map(|item| &item.path).collect(),
        Source::DownwardApi(items) => items.iter().map(|item| &item.path).collect(),
        Source::Token(token) => vec![&token.path],
    };
    match paths.into_iter().find(|path| !inside(path)) {
        Some(outside) => {
            Err(Refusal::new(path, format!("path {outside:?} must be relative and must not contain `..`")))
        }
        None => Ok((read, mode)),
    }
}

/// Checks `volumeMounts` of the container at `path`.
pub(super) fn check_mounts(mounts: &[VolumeMount], volumes: &[Volume], path: &str) -> Result<(), Refusal> {
    for (index, mount) in mounts.iter().enumerate() {
        let refuse =
            |field: &str, sentence: &str| Err(Refusal::new(format!("{path}.volumeMounts[{index}].{field}"), sentence));
        if !volumes.iter().any(|volume| volume.name == mount.name) {
            return refuse("name", "no volume has this name");
        }
        if !mount.mount_path.starts_with('/') || mount.mount_path.trim_end_matches('/').is_empty() {
            return refuse("mountPath", "must be an absolute path other than /");
        }
        if !mount.sub_path.is_empty() && !inside(&mount.sub_path) {
            return refuse("subPath", "must be relative and must not contain `..`");
        }
    }
    Ok(())
}

/// Whether a relative path stays where it starts.
fn inside(path: &str) -> bool {
    !path.is_empty()
        && !path.contains('\0')
        && Path::new(path).components().all(|component| matches!(component, Component::Normal(_)))
}
