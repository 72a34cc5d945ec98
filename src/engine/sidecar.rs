//! What is added to a pod on a cluster, so that any image will do: a native sidecar (KEP-753) that puts the agent into a
//! volume before the program starts, and then says to the operator what the agent around the program reads.

use super::manifest::{Injection, Owner, array, escaped, identity, pod_grace, set};
use super::settings::AgentContainer;
use crate::report::{Source, env};
use crate::space::Assignment;
use serde_json::{Map, Value, json};

/// Name of the sidecar; by it the pod's last words are found.
pub const SIDECAR: &str = "automl-agent";
const VOLUME: &str = "automl-agent";
const FOLDER: &str = "/automl.dev";
const PROGRAM: &str = "/automl.dev/automl-agent";
const SOCKET: &str = "/automl.dev/agent.sock";
const PARAMETERS_FILE: &str = "/automl.dev/parameters.json";
/// The agent's own files are small; the user's program can write there, too.
const VOLUME_SIZE: &str = "64Mi";
/// A user and group that need not exist in any image, as in images that are made without a shell.
const NOBODY: u32 = 65532;
/// Most of the pod's grace period that is left for the last words, in seconds.
const LAST_WORDS_TIME: f64 = 2.0;

/// The agent's words before the program's own.
pub(super) fn command() -> Vec<Value> {
    [PROGRAM, "exec", "--"].map(Value::from).into()
}

/// What the program's container needs besides. The token is the sidecar's alone, unless the program shows it when it pushes.
pub(super) fn into_container(container: &mut Map<String, Value>, source: &Source, token: Token) -> Vec<Value> {
    array(container, "volumeMounts").push(json!({"name": VOLUME, "mountPath": FOLDER, "readOnly": true}));
    let mut variables = vec![set(env::SOCKET, SOCKET.into()), set(env::PARAMETERS_FILE, PARAMETERS_FILE.into())];
    if *source == (Source::Push {}) {
        variables.push(token.mount(container));
    }
    variables
}

/// The volume with the trial's token. Each container can read it, whoever it runs as: the kubelet makes it one for all users,
/// unless the pod has a group for its volumes (`fsGroup`), or one user for all containers.
#[derive(Clone, Copy)]
pub(super) struct Token {
    pub volume: &'static str,
    /// Where it is mounted.
    pub folder: &'static str,
}

impl Token {
    /// Mounts it; the variable that says where.
    pub fn mount(self, container: &mut Map<String, Value>) -> Value {
        let mount = json!({"name": self.volume, "mountPath": self.folder, "readOnly": true});
        array(container, "volumeMounts").push(mount);
        set(env::TOKEN_FILE, format!("{}/token", self.folder))
    }
}

/// Adds the volume and the sidecar, in front of the user's own, so that these can be measured as well. No container starts
/// before the sidecar's hook has run. (An init container that copies the agent would cost each trial the time of one more
/// container.)
pub(super) fn into_pod(
    pod: &mut Map<String, Value>,
    agent: &AgentContainer,
    owner: &Owner<'_>,
    assignment: &Assignment,
    injection: &Injection<'_>,
    token: Token,
) {
    let grace = pod_grace(pod);
    let flush = grace - LAST_WORDS_TIME.min(grace / 2.0);
    array(pod, "volumes").push(json!({"name": VOLUME, "emptyDir": {"sizeLimit": VOLUME_SIZE}}));
    let mut sidecar = container(agent, all_have_a_cpu_limit(pod));
    let token_file = token.mount(&mut sidecar);
    let mut variables = identity(owner);
    variables.extend([
        (env::REPORT_URL, injection.settings.report_url.clone()),
        (env::SOCKET, SOCKET.to_owned()),
        (env::FLUSH_SECONDS, flush.to_string()),
        (env::PARAMETERS, escaped(&json!(assignment).to_string())),
    ]);
    let variables = variables.into_iter().map(|(name, value)| set(name, value));
    let variables: Vec<Value> = variables.chain([token_file]).collect();
    sidecar.insert("env".into(), variables.into());
    array(pod, "initContainers").insert(0, sidecar.into());
}

/// Each container that the user has written. A pod of class Guaranteed must have it so, and a quota may want it.
fn all_have_a_cpu_limit(pod: &Map<String, Value>) -> bool {
    let all = ["containers", "initContainers"].into_iter().filter_map(|field| pod.get(field)?.as_array()).flatten();
    all.into_iter().all(|container| container.pointer("/resources/limits/cpu").is_some())
}

/// Allowed under Pod Security "restricted". Requests are its limits, so that a pod of class Guaranteed stays one; but where
/// `limited` is false it may use more of the processor for the moment of its start. (A limit of 100m slows down what the
/// container's runtime does in it, twice: each trial would start a quarter of a second later.)
fn container(agent: &AgentContainer, limited: bool) -> Map<String, Value> {
    let size = json!({"cpu": agent.cpu, "memory": agent.memory});
    let limits = if limited { size.clone() } else { json!({"memory": agent.memory}) };
    let mut container = Map::new();
    container.insert("name".into(), SIDECAR.into());
    container.insert("image".into(), agent.image.clone().into());
    if let Some(policy) = &agent.pull_policy {
        container.insert("imagePullPolicy".into(), policy.clone().into());
    }
    container.insert("command".into(), json!(["/automl-agent", "relay"]));
    container.insert("restartPolicy".into(), "Always".into());
    let install = json!({"exec": {"command": ["/automl-agent", "install", "--", PROGRAM]}});
    container.insert("lifecycle".into(), json!({"postStart": install}));
    container.insert("resources".into(), json!({"requests": size, "limits": limits}));
    container.insert("volumeMounts".into(), json!([{"name": VOLUME, "mountPath": FOLDER}]));
    let security = json!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true,
        "runAsNonRoot": true, "runAsUser": NOBODY, "runAsGroup": NOBODY, "seccompProfile": {"type": "RuntimeDefault"},
    });
    container.insert("securityContext".into(), security);
    container
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Settings;
    use crate::engine::inject::job;
    use crate::space::Value as ParameterValue;

    fn injected(pod: &Value) -> Value {
        with_source(pod, &Source::default())
    }

    fn with_source(pod: &Value, source: &Source) -> Value {
        let agent = Some(AgentContainer {
            image: "automl:1".into(),
            pull_policy: Some("Never".into()),
            cpu: "50m".into(),
            memory: "64Mi".into(),
        });
        let settings = Settings { report_url: "http://operator:8080".into(), agent, ..Settings::default() };
        let injection = Injection {
            primary_container: "train",
            metrics: &["accuracy".to_owned()],
            source,
            checkpoints: None,
            query_seconds: None,
            settings: &settings,
        };
        let assignment: Assignment = [("lr".to_owned(), ParameterValue::Double(0.01))].into();
        job(&json!({"spec": {"template": {"spec": pod}}}), &Owner::example(), &assignment, &injection)["spec"]["template"]["spec"]
            .clone()
    }

    fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
        container["env"].as_array()?.iter().find(|variable| variable["name"] == name)?["value"].as_str()
    }

    #[test]
    fn any_image_gets_an_agent_and_a_sidecar() {
        let pod = injected(&json!({
            "terminationGracePeriodSeconds": 20,
            "initContainers": [{"name": "data", "image": "d"}],
            "containers": [{"name": "train", "image": "a", "command": ["/train"]}, {"name": "other", "image": "b"}],
        }));
        let names: Vec<&Value> = pod["initContainers"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
        assert_eq!(names, [SIDECAR, "data"]);
        let (sidecar, train) = (&pod["initContainers"][0], &pod["containers"][0]);
        let hook = &sidecar["lifecycle"]["postStart"]["exec"]["command"];
        assert_eq!(hook, &json!(["/automl-agent", "install", "--", "/automl.dev/automl-agent"]));
        assert_eq!(variable(sidecar, "AUTOML_PARAMETERS"), Some("{\"lr\":0.01}"));
        assert_eq!((&sidecar["restartPolicy"], &sidecar["imagePullPolicy"]), (&json!("Always"), &json!("Never")));
        let size = json!({"cpu": "50m", "memory": "64Mi"});
        assert_eq!(sidecar["resources"], json!({"requests": size, "limits": {"memory": "64Mi"}}));
        assert_eq!(variable(sidecar, "AUTOML_FLUSH_SECONDS"), Some("18"));
        assert_eq!(variable(sidecar, "AUTOML_REPORT_URL"), Some("http://operator:8080"));
        assert_eq!(train["command"], json!(["/automl.dev/automl-agent", "exec", "--", "/train"]));
        assert_eq!(variable(train, "AUTOML_SOCKET"), Some("/automl.dev/agent.sock"));
        assert_eq!(variable(train, "AUTOML_TRIAL"), Some("digits-00007"));
        assert_eq!(variable(train, "AUTOML_GRACE_SECONDS"), Some("15"), "less than the sidecar has");
        // The user's program has no token where it has no use for one.
        assert_eq!((variable(train, "AUTOML_TOKEN_FILE"), variable(train, "AUTOML_REPORT_URL")), (None, None));
        let mounts = |container: &Value| -> Vec<String> {
            let mounts = container["volumeMounts"].as_array().cloned().unwrap_or_default();
            mounts.iter().map(|mount| mount["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(mounts(train), [VOLUME]);
        assert_eq!(mounts(sidecar), [VOLUME, "automl-report"]);
        assert_eq!(pod["containers"][1], json!({"name": "other", "image": "b"}), "other containers stay as they are");
        let security = &sidecar["securityContext"];
        assert_eq!(
            (&security["runAsNonRoot"], &security["readOnlyRootFilesystem"], &security["runAsUser"]),
            (&json!(true), &json!(true), &json!(NOBODY)),
        );
    }

    #[test]
    fn a_program_that_pushes_has_the_token() {
        let pod = json!({"containers": [{"name": "train"}, {"name": "other"}]});
        let pod = with_source(&pod, &Source::Push {});
        let (train, other) = (&pod["containers"][0], &pod["containers"][1]);
        let file = variable(train, "AUTOML_TOKEN_FILE");
        assert_eq!((file, variable(train, "AUTOML_REPORT_URL")), (Some("/var/run/secrets/automl.dev/token"), None));
        let mount = json!({"name": "automl-report", "mountPath": "/var/run/secrets/automl.dev", "readOnly": true});
        assert_eq!(train["volumeMounts"][1], mount);
        assert_eq!(other, &json!({"name": "other"}));
        assert_eq!(file, variable(&pod["initContainers"][0], "AUTOML_TOKEN_FILE"));
    }

    #[test]
    fn the_sidecar_has_a_cpu_limit_where_all_others_have_one() {
        let limited = json!({"name": "a", "resources": {"limits": {"cpu": 1, "memory": "1Gi"}}});
        let free = json!({"name": "b", "resources": {"requests": {"cpu": 1}, "limits": {"nvidia.com/gpu": 1}}});
        let table = [
            (json!({"containers": [limited]}), true),
            (json!({"containers": [limited, free]}), false),
            (json!({"containers": [limited], "initContainers": [free]}), false),
            (json!({"containers": [limited], "initContainers": [limited]}), true),
        ];
        for (pod, expected) in table {
            let limit = injected(&pod)["initContainers"][0]["resources"]["limits"].get("cpu").cloned();
            assert_eq!(limit, expected.then(|| json!("50m")), "{pod}");
        }
    }
}
