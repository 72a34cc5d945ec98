//! The one container: command, environment, resources.

use super::{Kind, Plan, Reference, Refusal, RestartPolicy, fields, list, optional};
use crate::local::runner::scheduler::Request;
use serde::Deserialize;
use serde_json::Value;

/// `env[]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvVar {
    /// Not empty, without `=`.
    pub name: String,
    /// A value in which `$(NAME)` is expanded.
    pub value: Option<String>,
    /// Or where the value comes from.
    pub value_from: Option<ValueFrom>,
}

/// `env[].valueFrom`: one of these is set.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValueFrom {
    /// A key of a ConfigMap.
    pub config_map_key_ref: Option<KeyRef>,
    /// A key of a Secret.
    pub secret_key_ref: Option<KeyRef>,
    /// A field of the pod.
    pub field_ref: Option<FieldRef>,
    /// A limit or request of the container.
    pub resource_field_ref: Option<ResourceFieldRef>,
}

/// A key of a ConfigMap or a Secret.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRef {
    /// Name of the object.
    #[serde(default)]
    pub name: String,
    /// The key.
    pub key: String,
    /// Whether it may be missing.
    #[serde(default)]
    pub optional: bool,
}

/// A field of the pod.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FieldRef {
    /// Such as `metadata.name`.
    pub field_path: String,
    #[serde(default, rename = "apiVersion")]
    _api_version: Option<String>,
}

/// A limit or request of the container.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceFieldRef {
    /// Such as `limits.cpu`.
    pub resource: String,
    /// The unit; 1 where there is none.
    pub divisor: Option<Value>,
    #[serde(default, rename = "containerName")]
    _container_name: Option<String>,
}

/// `envFrom[]`: one of the references is set.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvFrom {
    /// Goes in front of each key.
    #[serde(default)]
    pub prefix: String,
    /// All keys of a ConfigMap.
    pub config_map_ref: Option<ObjectRef>,
    /// All keys of a Secret.
    pub secret_ref: Option<ObjectRef>,
}

/// A whole ConfigMap or Secret.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectRef {
    /// Name of the object.
    #[serde(default)]
    pub name: String,
    /// Whether it may be missing.
    #[serde(default)]
    pub optional: bool,
}

impl ValueFrom {
    pub(super) fn reference(&self) -> Option<Reference> {
        let config_map = self.config_map_key_ref.as_ref().map(|key| (Kind::ConfigMap, key));
        let secret = self.secret_key_ref.as_ref().map(|key| (Kind::Secret, key));
        config_map.or(secret).map(|(kind, key)| Reference { kind, name: key.name.clone() })
    }
}

impl EnvFrom {
    pub(super) fn reference(&self) -> Option<Reference> {
        self.source().map(|(kind, object)| Reference { kind, name: object.name.clone() })
    }

    pub(super) fn source(&self) -> Option<(Kind, &ObjectRef)> {
        let config_map = self.config_map_ref.as_ref().map(|object| (Kind::ConfigMap, object));
        config_map.or(self.secret_ref.as_ref().map(|object| (Kind::Secret, object)))
    }
}

/// Reads a container. What belongs to the pod is left at its default.
pub(super) fn read(container: &Value, path: &str) -> Result<Plan, Refusal> {
    let Value::Object(object) = container else { return Err(Refusal::new(path, "must be an object")) };
    fields::check(object, path, fields::CONTAINER)?;
    let mut command: Vec<String> = list(container, path, "command")?;
    if command.first().is_none_or(String::is_empty) {
        let sentence = "must name the program; an image's own entry point is not known to a local process";
        return Err(Refusal::new(format!("{path}.command"), sentence));
    }
    command.extend(list::<String>(container, path, "args")?);
    if command.iter().any(|word| word.contains('\0')) {
        return Err(Refusal::new(format!("{path}.command"), "must not contain a null character, nor may args"));
    }
    let env: Vec<EnvVar> = list(container, path, "env")?;
    for (index, variable) in env.iter().enumerate() {
        check_variable(variable, &format!("{path}.env[{index}]"))?;
    }
    let resources = container.get("resources").cloned().unwrap_or_default();
    let request =
        Request::of(&resources).map_err(|bad| Refusal::new(format!("{path}.resources.{}", bad.field), bad.sentence))?;
    let claims = resources.get("claims").and_then(Value::as_array);
    if claims.is_some_and(|claims| !claims.is_empty()) {
        let sentence = "needs a device driver in a cluster; ask for nvidia.com/gpu in resources.limits";
        return Err(Refusal::new(format!("{path}.resources.claims"), sentence));
    }
    let message_path: Option<String> = optional(container, path, "terminationMessagePath")?;
    let message_policy: Option<String> = optional(container, path, "terminationMessagePolicy")?;
    Ok(Plan {
        container: optional(container, path, "name")?.unwrap_or_default(),
        command,
        env,
        env_from: list(container, path, "envFrom")?,
        working_dir: optional::<String>(container, path, "workingDir")?.filter(|dir| !dir.is_empty()),
        mounts: list(container, path, "volumeMounts")?,
        volumes: Vec::new(),
        request,
        resources,
        restart_policy: RestartPolicy::Always,
        grace_seconds: 0,
        active_deadline_seconds: None,
        service_account: String::new(),
        termination_message_path: message_path.unwrap_or_else(|| "/dev/termination-log".to_owned()),
        message_from_logs: message_policy.as_deref() == Some("FallbackToLogsOnError"),
    })
}

fn check_variable(variable: &EnvVar, path: &str) -> Result<(), Refusal> {
    if variable.name.is_empty() || variable.name.contains(['=', '\0']) {
        return Err(Refusal::new(format!("{path}.name"), "must be a name without `=`"));
    }
    if variable.value.as_ref().is_some_and(|value| value.contains('\0')) {
        return Err(Refusal::new(format!("{path}.value"), "must not contain a null character"));
    }
    if let Some(field) = variable.value_from.as_ref().and_then(|from| from.field_ref.as_ref()) {
        super::launch::check_field_path(&field.field_path)
            .map_err(|sentence| Refusal::new(format!("{path}.valueFrom.fieldRef.fieldPath"), sentence))?;
    }
    Ok(())
}
