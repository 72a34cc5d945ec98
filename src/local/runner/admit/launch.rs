//! From a plan and the objects it needs to the exact process: argv, environment, files.

use super::container::{EnvFrom, EnvVar, ResourceFieldRef, ValueFrom};
use super::expand::expand;
use super::mounts::{Mount, rewrite};
use super::volumes::{KeyToPath, Mode, Source, Volume};
use super::{Kind, Plan, Reference};
use crate::local::runner::quantity::Quantity;
use crate::local::runner::scheduler::Capacity;
use serde_json::Value;
use std::collections::BTreeMap;

/// What the pod's environment may tell about the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
}

/// Data of the ConfigMaps and Secrets that exist.
pub type Objects = BTreeMap<Reference, BTreeMap<String, Vec<u8>>>;

/// A process to start, and what must lie on the disk before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launch {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// On top of the runner's own environment.
    pub env: BTreeMap<String, String>,
    /// Relative to the experiment's folder, or absolute.
    pub working_dir: Option<String>,
    /// Folders to make.
    pub folders: Vec<String>,
    /// Files to write.
    pub files: Vec<NewFile>,
    /// Tokens to issue and write.
    pub tokens: Vec<TokenFile>,
    /// Paths of the machine to look at first.
    pub host_paths: Vec<HostPath>,
    /// File that may hold the program's last words.
    pub termination_message: String,
}

/// A file to write before the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// Absolute.
    pub path: String,
    /// Content.
    pub bytes: Vec<u8>,
    /// Permission bits.
    pub mode: Mode,
}

/// A token to issue before the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFile {
    /// Absolute.
    pub path: String,
    /// Whom the token is for; empty: the API server.
    pub audience: String,
}

/// A path of the machine, and what `hostPath.type` says it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPath {
    /// Absolute.
    pub path: String,
    /// Such as `DirectoryOrCreate`; empty: anything.
    pub kind: String,
}

impl Plan {
    /// Puts the process together. `folder` is the pod's own folder, absolute.
    ///
    /// # Errors
    /// A sentence in Kubernetes' words: an object or a key that does not exist (yet).
    pub fn launch(
        &self,
        identity: &Identity,
        objects: &Objects,
        capacity: &Capacity,
        folder: &str,
    ) -> Result<Launch, String> {
        let context = Context { plan: self, identity, objects, capacity };
        let mut launch = Launch { termination_message: format!("{folder}/termination-log"), ..Launch::default() };
        for volume in &self.volumes {
            context.fill(volume, &format!("{folder}/volumes/{}", volume.name), &mut launch)?;
        }
        let mounts = self.real_mounts(folder, &mut launch);
        // Paths are rewritten once, at the end: a real path may well contain a mount path.
        let env = context.environment()?;
        let lookup = |name: &str| env.get(name).map(String::as_str);
        launch.argv = self.command.iter().map(|word| rewrite(&expand(word, lookup), &mounts)).collect();
        launch.env = env.iter().map(|(name, value)| (name.clone(), rewrite(value, &mounts))).collect();
        launch.working_dir = self.working_dir.as_deref().map(|dir| rewrite(dir, &mounts));
        Ok(launch)
    }

    fn real_mounts(&self, folder: &str, launch: &mut Launch) -> Vec<Mount> {
        let mut mounts = vec![Mount {
            container_path: self.termination_message_path.clone(),
            real_path: launch.termination_message.clone(),
        }];
        for mount in &self.mounts {
            let Some(volume) = self.volumes.iter().find(|volume| volume.name == mount.name) else { continue };
            let root = match &volume.host_path {
                Some(host) => host.path.trim_end_matches('/').to_owned(),
                None => format!("{folder}/volumes/{}", volume.name),
            };
            let real_path =
                if mount.sub_path.is_empty() { root } else { format!("{root}/{}", mount.sub_path.trim_matches('/')) };
            if volume.host_path.is_none() && volume.sources.is_empty() {
                launch.folders.push(real_path.clone());
            }
            let container_path = mount.mount_path.trim_end_matches('/').to_owned();
            mounts.push(Mount { container_path, real_path });
        }
        mounts
    }
}

struct Context<'a> {
    plan: &'a Plan,
    identity: &'a Identity,
    objects: &'a Objects,
    capacity: &'a Capacity,
}

impl Context<'_> {
    fn environment(&self) -> Result<BTreeMap<String, String>, String> {
        let mut env = BTreeMap::new();
        for from in &self.plan.env_from {
            self.add_all(from, &mut env)?;
        }
        for variable in &self.plan.env {
            if let Some(value) = self.value(variable, &env)? {
                env.insert(variable.name.clone(), value);
            }
        }
        Ok(env)
    }

    fn add_all(&self, from: &EnvFrom, env: &mut BTreeMap<String, String>) -> Result<(), String> {
        let Some((kind, object)) = from.source() else { return Ok(()) };
        let Some(data) = self.object(kind, &object.name, object.optional)? else { return Ok(()) };
        for (key, bytes) in data {
            // As in Kubernetes a key that is no name of a variable is passed over.
            if !key.is_empty() && !key.contains('=') {
                env.insert(format!("{}{key}", from.prefix), text(bytes, key)?);
            }
        }
        Ok(())
    }

    fn value(&self, variable: &EnvVar, env: &BTreeMap<String, String>) -> Result<Option<String>, String> {
        let Some(from) = &variable.value_from else {
            let lookup = |name: &str| env.get(name).map(String::as_str);
            return Ok(Some(expand(variable.value.as_deref().unwrap_or_default(), lookup)));
        };
        let ValueFrom { config_map_key_ref, secret_key_ref, field_ref, resource_field_ref } = from;
        if let Some(field) = field_ref {
            return self.field(&field.field_path).map(Some);
        }
        if let Some(resource) = resource_field_ref {
            return self.resource(resource).map(Some);
        }
        let config_map = config_map_key_ref.as_ref().map(|key| (Kind::ConfigMap, key));
        let Some((kind, key)) = config_map.or(secret_key_ref.as_ref().map(|key| (Kind::Secret, key))) else {
            return Ok(Some(String::new()));
        };
        let Some(data) = self.object(kind, &key.name, key.optional)? else { return Ok(None) };
        match data.get(&key.key) {
            Some(bytes) => text(bytes, &key.key).map(Some),
            None if key.optional => Ok(None),
            None => Err(self.no_key(kind, &key.name, &key.key)),
        }
    }

    fn object(&self, kind: Kind, name: &str, optional: bool) -> Result<Option<&BTreeMap<String, Vec<u8>>>, String> {
        match self.objects.get(&Reference { kind, name: name.to_owned() }) {
            None if !optional => Err(format!("{} \"{name}\" not found", kind.lower())),
            found => Ok(found),
        }
    }

    fn no_key(&self, kind: Kind, name: &str, key: &str) -> String {
        format!("couldn't find key {key} in {kind:?} {}/{name}", self.identity.namespace)
    }

    fn field(&self, path: &str) -> Result<String, String> {
        let identity = self.identity;
        Ok(match PodField::parse(path)? {
            PodField::Name => identity.name.clone(),
            PodField::Namespace => identity.namespace.clone(),
            PodField::Uid => identity.uid.clone(),
            PodField::Labels => lines(&identity.labels),
            PodField::Annotations => lines(&identity.annotations),
            PodField::Label(key) => identity.labels.get(key).cloned().unwrap_or_default(),
            PodField::Annotation(key) => identity.annotations.get(key).cloned().unwrap_or_default(),
            PodField::NodeName => super::super::NODE_NAME.to_owned(),
            PodField::ServiceAccount => self.plan.service_account.clone(),
            PodField::Address => "127.0.0.1".to_owned(),
        })
    }

    /// As the kubelet does: in whole divisors, rounded up; what has no limit has the machine as its limit.
    fn resource(&self, field: &ResourceFieldRef) -> Result<String, String> {
        let (list, name) = field.resource.split_once('.').unwrap_or_default();
        let given = self.plan.resources.get(list).and_then(|list| list.get(name)).and_then(Quantity::parse);
        let milli = match (given, list, name) {
            (Some(quantity), ..) => i128::from(quantity.milli()),
            (None, "limits", "cpu") => i128::from(self.capacity.cpu_milli),
            (None, "limits", "memory") => i128::from(self.capacity.memory) * 1000,
            (None, "requests", _) => {
                let limit = self.plan.resources.get("limits").and_then(|list| list.get(name));
                limit.and_then(Quantity::parse).map_or(0, |quantity| i128::from(quantity.milli()))
            }
            _ => return Err(format!("container resource {} is not set", field.resource)),
        };
        let divisor = field.divisor.as_ref().and_then(Quantity::parse).map_or(0, |divisor| i128::from(divisor.milli()));
        let divisor = if divisor > 0 { divisor } else { 1000 };
        Ok((milli.div_euclid(divisor) + i128::from(milli.rem_euclid(divisor) > 0)).to_string())
    }

    fn fill(&self, volume: &Volume, root: &str, launch: &mut Launch) -> Result<(), String> {
        if let Some(host) = &volume.host_path {
            let kind = host.kind.clone().unwrap_or_default();
            launch.host_paths.push(HostPath { path: host.path.clone(), kind });
            return Ok(());
        }
        launch.folders.push(root.to_owned());
        let file = |path: &str, bytes: Vec<u8>, mode: Option<Mode>| NewFile {
            path: format!("{root}/{path}"),
            bytes,
            mode: mode.unwrap_or(volume.default_mode),
        };
        for source in &volume.sources {
            match source {
                Source::Object { reference, items, optional } => {
                    let Some(data) = self.object(reference.kind, &reference.name, *optional)? else { continue };
                    let every: Vec<KeyToPath>;
                    let chosen = if items.is_empty() {
                        every = data
                            .keys()
                            .map(|key| KeyToPath { key: key.clone(), path: key.clone(), mode: None })
                            .collect();
                        &every
                    } else {
                        items
                    };
                    for item in chosen {
                        match data.get(&item.key) {
                            Some(bytes) => launch.files.push(file(&item.path, bytes.clone(), item.mode)),
                            None if *optional => {}
                            None => return Err(self.no_key(reference.kind, &reference.name, &item.key)),
                        }
                    }
                }
                Source::DownwardApi(items) => {
                    for item in items {
                        let value = match (&item.field_ref, &item.resource_field_ref) {
                            (Some(field), _) => self.field(&field.field_path)?,
                            (None, Some(resource)) => self.resource(resource)?,
                            (None, None) => String::new(),
                        };
                        launch.files.push(file(&item.path, value.into_bytes(), item.mode));
                    }
                }
                Source::Token(token) => {
                    let path = format!("{root}/{}", token.path);
                    launch.tokens.push(TokenFile { path, audience: token.audience.clone() });
                }
            }
        }
        Ok(())
    }
}

fn text(bytes: &[u8], key: &str) -> Result<String, String> {
    match String::from_utf8(bytes.to_vec()) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(format!("the value of key {key} is not text; mount it as a file instead")),
    }
}

/// As the downward API writes a whole map: one `key="value"` a line.
fn lines(map: &BTreeMap<String, String>) -> String {
    let each: Vec<String> = map.iter().map(|(key, value)| format!("{key}={}", Value::from(value.as_str()))).collect();
    each.join("\n")
}

enum PodField<'a> {
    Name,
    Namespace,
    Uid,
    Labels,
    Annotations,
    Label(&'a str),
    Annotation(&'a str),
    NodeName,
    ServiceAccount,
    Address,
}

impl<'a> PodField<'a> {
    fn parse(path: &'a str) -> Result<Self, String> {
        let quoted = |prefix: &str| path.strip_prefix(prefix)?.strip_suffix("']");
        Ok(match path {
            "metadata.name" => Self::Name,
            "metadata.namespace" => Self::Namespace,
            "metadata.uid" => Self::Uid,
            "metadata.labels" => Self::Labels,
            "metadata.annotations" => Self::Annotations,
            "spec.nodeName" => Self::NodeName,
            "spec.serviceAccountName" => Self::ServiceAccount,
            "status.hostIP" | "status.hostIPs" | "status.podIP" | "status.podIPs" => Self::Address,
            _ => match (quoted("metadata.labels['"), quoted("metadata.annotations['")) {
                (Some(key), _) => Self::Label(key),
                (None, Some(key)) => Self::Annotation(key),
                (None, None) => return Err(format!("{path} is not a field that the downward API knows")),
            },
        })
    }
}

/// Whether the downward API knows a field; else a sentence.
pub(super) fn check_field_path(path: &str) -> Result<(), String> {
    PodField::parse(path).map(|_| ())
}
