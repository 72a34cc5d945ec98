//! Which fields of a pod a local process can honour: the one table, for the check and for the documentation.

use super::Refusal;
use serde_json::{Map, Value};

/// What happens with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Does what Kubernetes does.
    Honoured,
    /// Has no effect, and a process runs without it just as well: why.
    Ignored(&'static str),
    /// The pod is refused: why, and what to do.
    Refused(&'static str),
    /// An object with fields of its own.
    Object(&'static [(&'static str, Rule)]),
}

use Rule::{Honoured, Ignored, Object, Refused};

const CLUSTER_SCHEDULING: &str = "there is one machine only; remove it, or run on a cluster";
const AS_THE_PERSON: &str = "a local process runs as the person who started it, and sees what that person sees";

/// Fields of a pod's `spec`.
pub const POD: &[(&str, Rule)] = &[
    ("activeDeadlineSeconds", Honoured),
    ("affinity", Object(AFFINITY)),
    ("automountServiceAccountToken", Ignored("no API credentials are mounted")),
    ("containers", Honoured),
    ("dnsConfig", Ignored("names are resolved as the machine does")),
    ("dnsPolicy", Ignored("names are resolved as the machine does")),
    ("enableServiceLinks", Ignored("there are no Services")),
    ("ephemeralContainers", Refused("there are no containers; attach a debugger to the process instead")),
    ("hostAliases", Refused("needs a file system of its own; write the addresses into the environment instead")),
    ("hostIPC", Ignored("a local process shares it anyway")),
    ("hostNetwork", Ignored("a local process shares it anyway")),
    ("hostPID", Ignored("a local process shares it anyway")),
    ("hostUsers", Ignored(AS_THE_PERSON)),
    ("hostname", Ignored("the machine's name stays")),
    ("hostnameOverride", Ignored("the machine's name stays")),
    ("imagePullSecrets", Ignored("no image is pulled")),
    (
        "initContainers",
        Refused("only one container can be a local process; do the preparation in its command, or run on a cluster"),
    ),
    ("nodeName", Ignored("there is one machine only")),
    ("nodeSelector", Honoured),
    ("os", Ignored("a local process runs on this system")),
    ("overhead", Ignored("a process has none")),
    ("preemptionPolicy", Ignored("nothing is preempted")),
    ("priority", Ignored("pods start in the order of their creation")),
    ("priorityClassName", Ignored("pods start in the order of their creation")),
    ("readinessGates", Refused("nothing here would ever open the gate; remove it, or run on a cluster")),
    ("resourceClaims", Refused("needs a device driver in a cluster; ask for nvidia.com/gpu in resources.limits")),
    ("resources", Refused("write the resources of the container instead")),
    ("restartPolicy", Honoured),
    ("runtimeClassName", Refused("there is no container runtime; remove it, or run on a cluster")),
    ("schedulerName", Ignored("there is one machine only")),
    ("schedulingGates", Refused("nothing here would ever open the gate; remove it, or run on a cluster")),
    ("schedulingGroup", Refused(CLUSTER_SCHEDULING)),
    ("securityContext", Object(POD_SECURITY)),
    ("serviceAccount", Honoured),
    ("serviceAccountName", Honoured),
    ("setHostnameAsFQDN", Ignored("the machine's name stays")),
    ("shareProcessNamespace", Ignored("a local process shares it anyway")),
    ("subdomain", Ignored("the machine's name stays")),
    ("terminationGracePeriodSeconds", Honoured),
    ("tolerations", Ignored("the machine has no taints")),
    ("topologySpreadConstraints", Ignored("there is one machine only")),
    ("volumes", Honoured),
];

/// Fields of a container.
pub const CONTAINER: &[(&str, Rule)] = &[
    ("args", Honoured),
    ("command", Honoured),
    ("env", Honoured),
    ("envFrom", Honoured),
    ("image", Ignored("the command runs with what is installed on the machine")),
    ("imagePullPolicy", Ignored("no image is pulled")),
    ("lifecycle", Refused("hooks need a container; put them into the command, or run on a cluster")),
    ("livenessProbe", Refused("a local process is not probed; remove it, or run on a cluster")),
    ("name", Honoured),
    ("ports", Ignored("a local process listens on the machine itself")),
    ("readinessProbe", Refused("a local process is not probed; remove it, or run on a cluster")),
    ("resizePolicy", Ignored("slots are not resized")),
    ("resources", Honoured),
    ("restartPolicy", Refused("write the pod's restartPolicy instead")),
    ("restartPolicyRules", Refused("write the pod's restartPolicy instead")),
    ("securityContext", Object(CONTAINER_SECURITY)),
    ("startupProbe", Refused("a local process is not probed; remove it, or run on a cluster")),
    ("stdin", Ignored("a local process has no standard input")),
    ("stdinOnce", Ignored("a local process has no standard input")),
    ("terminationMessagePath", Honoured),
    ("terminationMessagePolicy", Honoured),
    ("tty", Ignored("a local process has no terminal")),
    ("volumeDevices", Refused("a local process has no block devices of its own; remove it, or run on a cluster")),
    ("volumeMounts", Honoured),
    ("workingDir", Honoured),
];

/// Fields of `volumes[].emptyDir`.
pub const EMPTY_DIR: &[(&str, Rule)] = &[
    ("medium", Ignored("the volume is a folder on the disk, also for medium Memory")),
    ("sizeLimit", Ignored("nobody measures the folder")),
];

const CONTAINER_SECURITY: &[(&str, Rule)] = &[
    ("allowPrivilegeEscalation", Ignored(AS_THE_PERSON)),
    ("appArmorProfile", Ignored(AS_THE_PERSON)),
    ("capabilities", Object(CAPABILITIES)),
    ("privileged", Refused("a local process gets no more rights than the person who started it; run on a cluster")),
    ("procMount", Ignored(AS_THE_PERSON)),
    ("readOnlyRootFilesystem", Ignored(AS_THE_PERSON)),
    ("runAsGroup", Ignored(AS_THE_PERSON)),
    ("runAsNonRoot", Ignored(AS_THE_PERSON)),
    ("runAsUser", Ignored(AS_THE_PERSON)),
    ("seLinuxOptions", Ignored(AS_THE_PERSON)),
    ("seccompProfile", Ignored(AS_THE_PERSON)),
];

const CAPABILITIES: &[(&str, Rule)] = &[
    ("add", Refused("a local process gets no more rights than the person who started it; run on a cluster")),
    ("drop", Ignored(AS_THE_PERSON)),
];

const POD_SECURITY: &[(&str, Rule)] = &[
    ("appArmorProfile", Ignored(AS_THE_PERSON)),
    ("fsGroup", Ignored(AS_THE_PERSON)),
    ("fsGroupChangePolicy", Ignored(AS_THE_PERSON)),
    ("runAsGroup", Ignored(AS_THE_PERSON)),
    ("runAsNonRoot", Ignored(AS_THE_PERSON)),
    ("runAsUser", Ignored(AS_THE_PERSON)),
    ("seLinuxChangePolicy", Ignored(AS_THE_PERSON)),
    ("seLinuxOptions", Ignored(AS_THE_PERSON)),
    ("seccompProfile", Ignored(AS_THE_PERSON)),
    ("supplementalGroups", Ignored(AS_THE_PERSON)),
    ("supplementalGroupsPolicy", Ignored(AS_THE_PERSON)),
    ("sysctls", Refused("would change the whole machine; set them there, or run on a cluster")),
];

const AFFINITY: &[(&str, Rule)] =
    &[("nodeAffinity", Object(TERMS)), ("podAffinity", Object(TERMS)), ("podAntiAffinity", Object(TERMS))];

const TERMS: &[(&str, Rule)] = &[
    ("preferredDuringSchedulingIgnoredDuringExecution", Ignored("there is one machine only")),
    ("requiredDuringSchedulingIgnoredDuringExecution", Refused(CLUSTER_SCHEDULING)),
];

/// Checks the fields of `object`, which lies at `path`, against a table.
///
/// A value that says nothing (null, false, an empty text, list or object) is as good as absent.
///
/// # Errors
/// Names the first field that cannot be honoured.
pub fn check(object: &Map<String, Value>, path: &str, table: &[(&str, Rule)]) -> Result<(), Refusal> {
    for (name, value) in object.iter().filter(|(_, value)| !says_nothing(value)) {
        let field = format!("{path}.{name}");
        match table.iter().find(|(known, _)| known == name).map(|(_, rule)| rule) {
            Some(Honoured | Ignored(_)) => {}
            Some(Refused(sentence)) => return Err(Refusal::new(field, *sentence)),
            Some(Object(inner)) => match value {
                Value::Object(object) => check(object, &field, inner)?,
                _ => return Err(Refusal::new(field, "must be an object")),
            },
            None => {
                let sentence = "is not a field that a local process can honour; remove it, or run on a cluster";
                return Err(Refusal::new(field, sentence));
            }
        }
    }
    Ok(())
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    }
}

/// The table as Markdown, for the documentation.
pub fn markdown() -> String {
    let mut text = String::from("| Field | Local process |\n| --- | --- |\n");
    rows(&mut text, "spec", POD);
    rows(&mut text, "spec.containers[]", CONTAINER);
    rows(&mut text, "spec.volumes[].emptyDir", EMPTY_DIR);
    text
}

fn rows(text: &mut String, path: &str, table: &[(&str, Rule)]) {
    for (name, rule) in table {
        let what = match rule {
            Honoured => "honoured".to_owned(),
            Ignored(why) => format!("ignored: {why}"),
            Refused(why) => format!("refused: {why}"),
            Object(inner) => {
                rows(text, &format!("{path}.{name}"), inner);
                continue;
            }
        };
        text.push_str(&format!("| `{path}.{name}` | {what} |\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tables_are_sorted_and_each_sentence_fits_behind_its_field() {
        for table in [POD, CONTAINER, EMPTY_DIR, CONTAINER_SECURITY, CAPABILITIES, POD_SECURITY, AFFINITY, TERMS] {
            assert!(table.is_sorted_by_key(|(name, _)| *name));
        }
        for line in markdown().lines() {
            assert_eq!(line.matches('|').count(), 3, "{line}");
        }
        assert!(markdown().contains("| `spec.containers[].securityContext.privileged` | refused: "));
    }

    #[test]
    fn checks_nested_fields_and_skips_what_says_nothing() {
        for (spec, expected) in [
            (json!({"hostNetwork": true, "initContainers": [], "securityContext": {"sysctls": null}}), None),
            (json!({"initContainers": [{}]}), Some("spec.initContainers")),
            (json!({"securityContext": {"sysctls": [{}]}}), Some("spec.securityContext.sysctls")),
            (json!({"securityContext": 7}), Some("spec.securityContext")),
            (json!({"brandNewField": 0}), Some("spec.brandNewField")),
            (
                json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [1]}}}),
                Some("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution"),
            ),
            (json!({"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [1]}}}), None),
        ] {
            let refused = check(spec.as_object().unwrap(), "spec", POD).err().map(|refusal| refusal.field);
            assert_eq!(refused.as_deref(), expected, "{spec}");
        }
    }
}
