//! What the operator adds to a trial's Job: name, labels, owner, the agent in front of the command, its token.

use super::job::job_name;
use super::manifest::{Injection, Owner, array, entry, escaped, identity, object, pod_grace, set};
use super::sidecar::{self, Token};
use super::template::plain;
use super::trace::traceparent;
use crate::api::{GROUP, VERSION, labels};
use crate::report::{Source, env};
use crate::space::Assignment;
use serde_json::{Map, Value, json};

/// The agent's token, and where it finds it in the container.
const TOKEN: Token = Token { volume: "automl-report", folder: "/var/run/secrets/automl.dev" };

/// Most of it that is kept back for the agent's last reports, in seconds.
const REPORT_TIME: f64 = 5.0;

/// The variables by which the agent is told what to do.
pub(super) const AGENTS_OWN: [&str; 16] = [
    env::NAMESPACE,
    env::TRIAL,
    env::TRIAL_UID,
    env::ATTEMPT,
    env::METRICS,
    env::SOURCE,
    env::PARAMETERS,
    env::REPORT_URL,
    env::TOKEN_FILE,
    env::SOCKET,
    env::PARAMETERS_FILE,
    env::PUSH_URL,
    env::CHECKPOINT,
    env::CHECKPOINT_DIR,
    env::PARENT_CHECKPOINT_DIR,
    env::QUERY_SECONDS,
];

/// The Job of a trial's attempt, from its rendered manifest. What is not an object where one must be is left as it is:
/// the API server then says so.
pub(super) fn job(manifest: &Value, owner: &Owner<'_>, assignment: &Assignment, injection: &Injection<'_>) -> Value {
    let mut job = manifest.clone();
    let labels = labels_of(owner);
    let metadata = object(&mut job, "metadata");
    metadata.insert("name".into(), job_name(owner.trial, owner.attempt).into());
    metadata.insert("namespace".into(), owner.namespace.into());
    metadata.insert(
        "ownerReferences".into(),
        json!([{
            "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "Trial", "name": owner.trial, "uid": owner.trial_uid,
            "controller": true, "blockOwnerDeletion": true,
        }]),
    );
    merge_labels(metadata, &labels);
    let restarting = restarts(&job);
    let spec = object(&mut job, "spec");
    if !restarting {
        fail_on_disruption(spec);
    }
    let template = entry(spec, "template");
    merge_labels(entry(template, "metadata"), &labels);
    let pod = entry(template, "spec");
    let grace = grace_seconds(pod);
    array(pod, "volumes").push(json!({
        "name": TOKEN.volume,
        "projected": {"sources": [{"serviceAccountToken": {
            "audience": crate::report::AUDIENCE, "expirationSeconds": 3600, "path": "token",
        }}]},
    }));
    if let Some(checkpoints) = &injection.checkpoints {
        checkpoints.add_to_pod(pod);
    }
    for container in array(pod, "containers").iter_mut().filter_map(Value::as_object_mut) {
        if container.get("name").and_then(Value::as_str) == Some(injection.primary_container) {
            wrap(container, owner, assignment, injection, grace);
        }
    }
    if let Some(agent) = &injection.settings.agent {
        sidecar::into_pod(pod, agent, owner, assignment, injection, TOKEN);
    }
    job
}

fn labels_of(owner: &Owner<'_>) -> Vec<(&'static str, String)> {
    let mut all = vec![
        (labels::MANAGED_BY, labels::MANAGER.to_owned()),
        (labels::EXPERIMENT, owner.experiment.to_owned()),
        (labels::EXPERIMENT_UID, owner.experiment_uid.to_owned()),
        (labels::TRIAL, owner.trial.to_owned()),
        (labels::ATTEMPT, owner.attempt.to_string()),
    ];
    all.extend(owner.index.map(|index| (labels::INDEX, index.to_string())));
    all
}

/// The pod's containers are to be started again where they fail.
pub(super) fn restarts(manifest: &Value) -> bool {
    manifest.pointer("/spec/template/spec/restartPolicy").and_then(Value::as_str) == Some("OnFailure")
}

/// A pod that was taken away fails the Job with a reason of its own, so that it is told from a failed program; this goes
/// before the user's own rules, which still say what a failed program means. Also: no retry by Kubernetes unless asked
/// for; a failed program is a result.
///
/// Not where containers are restarted: that asks for retries, and Kubernetes takes no such rule there. What became of
/// the pods is then looked at once the Job has failed.
fn fail_on_disruption(spec: &mut Map<String, Value>) {
    spec.entry("backoffLimit").or_insert_with(|| 0.into());
    let rule = json!({
        "action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    });
    let policy = spec.entry("podFailurePolicy").or_insert_with(|| json!({"rules": []}));
    if let Some(rules) = policy.get_mut("rules").and_then(Value::as_array_mut) {
        rules.insert(0, rule);
    }
}

/// How long the program has between SIGTERM and SIGKILL, in seconds: what the pod has, less what the agent needs to kill
/// it and report what it has said.
fn grace_seconds(pod: &Map<String, Value>) -> f64 {
    let own = pod_grace(pod);
    own - (own / 2.0).min(REPORT_TIME)
}

fn wrap(
    container: &mut Map<String, Value>,
    owner: &Owner<'_>,
    assignment: &Assignment,
    injection: &Injection<'_>,
    grace: f64,
) {
    let on_cluster = injection.settings.agent.is_some();
    let agent = if on_cluster { sidecar::command() } else { ["automl-agent", "exec", "--"].map(Value::from).into() };
    array(container, "command").splice(0..0, agent);
    let parameters = assignment.iter().map(|(name, value)| set(&variable(name), escaped(&plain(value))));
    let mut agents: Vec<Value> = identity(owner).into_iter().map(|(name, value)| set(name, value)).collect();
    agents.push(set(env::METRICS, escaped(&json!(injection.metrics).to_string())));
    if *injection.source != Source::default() {
        agents.push(set(env::SOURCE, escaped(&json!(injection.source).to_string())));
    }
    agents.extend(injection.query_seconds.map(|seconds| set(env::QUERY_SECONDS, seconds.to_string())));
    agents.push(set(env::PARAMETERS, escaped(&json!(assignment).to_string())));
    if on_cluster {
        agents.extend(sidecar::into_container(container, injection.source, TOKEN));
    } else {
        agents.push(set(env::REPORT_URL, injection.settings.report_url.clone()));
        agents.push(TOKEN.mount(container));
    }
    if let Some(checkpoints) = &injection.checkpoints {
        agents.extend(checkpoints.mount(container, owner));
    }
    let grace = set(env::GRACE_SECONDS, grace.to_string());
    let traced = injection.settings.otlp_endpoint.is_some();
    let place = traced.then(|| set("TRACEPARENT", traceparent(owner.experiment_uid, owner.trial_uid)));
    let variables = array(container, "env");
    // In front, so that the user's own variables can refer to them and win over them.
    variables.splice(0..0, parameters.chain([grace]).chain(place).collect::<Vec<_>>());
    // Behind, so that nothing wins over them.
    variables.extend(agents);
}

/// The environment variable of a parameter.
pub(super) fn variable(parameter: &str) -> String {
    parameter.to_uppercase()
}

fn merge_labels(metadata: &mut Map<String, Value>, labels: &[(&'static str, String)]) {
    let all = entry(metadata, "labels");
    all.extend(labels.iter().map(|(key, value)| ((*key).to_owned(), Value::from(value.clone()))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Settings;
    use crate::space::Value as ParameterValue;
    use expect_test::expect;

    fn injected(manifest: &Value) -> Value {
        let assignment: Assignment = [("lr".to_owned(), ParameterValue::Double(0.01))].into();
        let settings = Settings { report_url: "http://operator:8080".into(), ..Settings::default() };
        let metrics = ["accuracy".to_owned()];
        let injection = Injection {
            primary_container: "train",
            metrics: &metrics,
            source: &Source::default(),
            checkpoints: None,
            query_seconds: None,
            settings: &settings,
        };
        job(manifest, &Owner::example(), &assignment, &injection)
    }

    #[test]
    fn a_whole_job() {
        let manifest = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [
                {"name": "side", "image": "b"},
                {"name": "train", "image": "a", "command": ["python3", "train.py"], "args": ["--lr", "$(LR)"],
                 "env": [{"name": "MINE", "value": "x"}]},
            ]}}},
        });
        expect![[r#"
{
  "apiVersion": "batch/v1",
  "kind": "Job",
  "metadata": {
    "labels": {
      "app.kubernetes.io/managed-by": "automl-operator",
      "automl.dev/attempt": "1",
      "automl.dev/experiment": "digits",
      "automl.dev/experiment-uid": "e-uid",
      "automl.dev/index": "7",
      "automl.dev/trial": "digits-00007"
    },
    "name": "digits-00007-1",
    "namespace": "default",
    "ownerReferences": [
      {
        "apiVersion": "automl.dev/v1alpha1",
        "blockOwnerDeletion": true,
        "controller": true,
        "kind": "Trial",
        "name": "digits-00007",
        "uid": "t-uid"
      }
    ]
  }
}"#]]
        .assert_eq(
            &serde_json::to_string_pretty(&{
                let mut job = injected(&manifest);
                job.as_object_mut().unwrap().remove("spec");
                job
            })
            .unwrap(),
        );
        let spec = injected(&manifest)["spec"].clone();
        assert!(spec.get("activeDeadlineSeconds").is_none(), "waiting for a GPU is no running time");
        assert_eq!(spec["backoffLimit"], 0);
        assert_eq!(spec["podFailurePolicy"]["rules"][0]["action"], "FailJob");
        let containers = &spec["template"]["spec"]["containers"];
        assert_eq!(containers[0], json!({"name": "side", "image": "b"}), "other containers stay as they are");
        assert_eq!(containers[1]["command"], json!(["automl-agent", "exec", "--", "python3", "train.py"]));
        assert_eq!(containers[1]["args"], json!(["--lr", "$(LR)"]));
        let env = containers[1]["env"].as_array().unwrap();
        let names: Vec<&str> = env.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
        assert_eq!(names[..3], ["LR", "AUTOML_GRACE_SECONDS", "MINE"]);
        assert_eq!(env[0]["value"], "0.01");
        let own: Vec<&str> = AGENTS_OWN.into_iter().filter(|name| *name != env::SOURCE).take(8).collect();
        assert_eq!(names[3..], own, "nothing wins over the agent's own");
        assert!(env.contains(&json!({"name": "AUTOML_PARAMETERS", "value": "{\"lr\":0.01}"})));
    }

    #[test]
    fn the_program_gets_less_grace_than_its_agent() {
        let table = [
            (json!(null), "25"),
            (json!(120), "115"),
            (json!(10), "5"),
            (json!(5), "2.5"),
            (json!(1), "0.5"),
            (json!(0), "0"),
            (json!(-1), "0"),
            (json!("x"), "25"),
        ];
        for (given, expected) in table {
            let job = injected(&json!({"spec": {"template": {"spec": {
                "terminationGracePeriodSeconds": given, "containers": [{"name": "train", "command": ["x"]}],
            }}}}));
            let env = job["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap().clone();
            assert!(env.contains(&json!({"name": "AUTOML_GRACE_SECONDS", "value": expected})), "{given}: {env:?}");
        }
    }

    #[test]
    fn what_the_user_wrote_wins_where_it_may() {
        let job = injected(&json!({"spec": {
            "activeDeadlineSeconds": 10, "backoffLimit": 2,
            "podFailurePolicy": {"rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
                {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}},
            ]},
            "template": {"spec": {"restartPolicy": "Never", "containers": []}},
        }}));
        assert_eq!(job["spec"]["activeDeadlineSeconds"], 10);
        assert_eq!(job["spec"]["backoffLimit"], 2);
        let rules = job["spec"]["podFailurePolicy"]["rules"].as_array().unwrap();
        assert_eq!(rules.len(), 3, "his own rules stay");
        assert_eq!(rules[0]["onPodConditions"][0], json!({"type": "DisruptionTarget", "status": "True"}), "after ours");
        assert_eq!(rules[2]["onExitCodes"]["values"], json!([3]));
        let odd = injected(&json!({"spec": {"podFailurePolicy": 5}}));
        assert_eq!(odd["spec"]["podFailurePolicy"], 5, "the API server says what is wrong with it");
    }

    #[test]
    fn a_job_whose_containers_are_restarted_keeps_kubernetes_own_limit() {
        let template = json!({"spec": {"restartPolicy": "OnFailure", "containers": []}});
        let job = injected(&json!({"spec": {"template": template}}));
        assert_eq!((&job["spec"]["backoffLimit"], &job["spec"]["podFailurePolicy"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn never_panics() {
        for manifest in
            [json!(null), json!([]), json!({"spec": 5}), json!({"spec": {"template": {"spec": {"containers": [5]}}}})]
        {
            injected(&manifest);
        }
    }
}
