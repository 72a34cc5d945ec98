//! Objects that no schema has looked at: the operator says that it cannot read them, and goes on with the others.

use automl_operator::controller::{Clock, Config, Mutation, Operator};
use automl_operator::engine::Settings;
use automl_operator::local::apiserver::{ApiServer, TokioClock};
use kube::Client;
use serde_json::{Value, json};
use std::time::Duration;

const START: &str = "2026-01-01T00:00:00Z";

/// Both kinds as an API server serves them whose CRDs take everything.
fn server() -> ApiServer {
    let mut builder = ApiServer::builder().clock(TokioClock::starting_at(START.parse().unwrap())).seed(1);
    for mut crd in automl_operator::api::crds().unwrap() {
        crd["spec"]["versions"][0]["schema"] =
            json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        builder = builder.custom_resource_definition(crd);
    }
    builder.build().unwrap()
}

fn start(server: &ApiServer) -> Operator {
    let config = Config {
        namespace: None,
        only: None,
        identity: "operator".into(),
        settings: Settings::default(),
        lease: None,
        concurrency: 4,
        clock: Clock::starting_at(START.parse().unwrap()),
        mutation: Mutation::None,
    };
    Operator::start(server.client_as("default", "operator"), config).unwrap()
}

async fn send(client: &Client, method: &str, path: &str, body: Value) -> Value {
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let path = format!("/apis/automl.dev/v1alpha1/namespaces/default/{path}");
    let request = http::Request::builder().method(method).uri(path).header("content-type", kind);
    client.request(request.body(body.to_string().into_bytes()).unwrap()).await.unwrap()
}

/// Status, reason and message of a condition, once the reason is this.
async fn condition(server: &ApiServer, plural: &str, name: &str, r#type: &str, reason: &str) -> [String; 3] {
    let mut last = Value::Null;
    for _ in 0..600 {
        last = server.peek(plural, "default", name).map(|found| (*found).clone()).unwrap_or_default();
        let conditions = last["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is = |condition: &&Value| condition["type"] == r#type && condition["reason"] == reason;
        if let Some(found) = conditions.iter().find(is) {
            return ["status", "reason", "message"].map(|field| found[field].as_str().unwrap().to_owned());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{plural} {name} never said {reason}: {last}");
}

fn spec() -> Value {
    json!({
        "objectives": [{"metric": "score", "direction": "Maximize"}],
        "parameters": [{"name": "x", "double": {"min": 0.0, "max": 1.0}}],
        "limits": {"maxTrials": 1},
        "trialTemplate": {"primaryContainer": "train", "manifest": {
            "apiVersion": "batch/v1", "kind": "Job",
            "spec": {"template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "train", "image": "x", "command": ["train"]}],
            }}},
        }},
    })
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "automl.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_says_so_until_it_is_mended() {
    let server = server();
    let user = server.client_as("default", "user");
    let mut broken = spec();
    broken["limits"] = json!({"maxTrials": "many"});
    send(&user, "POST", "experiments", object("Experiment", "broken", &broken)).await;
    send(&user, "POST", "trials", object("Trial", "odd", &json!({"experiment": 5, "assignments": {}}))).await;
    let _operator = start(&server);
    assert_eq!(
        condition(&server, "experiments", "broken", "Accepted", "InvalidObject").await,
        [
            "False",
            "InvalidObject",
            "the object cannot be read: invalid type: string \"many\", expected u32; mend it and apply it again"
        ]
    );
    assert_eq!(condition(&server, "experiments", "broken", "Complete", "InvalidObject").await[0], "False");
    assert_eq!(
        condition(&server, "trials", "odd", "Complete", "InvalidObject").await,
        [
            "False",
            "InvalidObject",
            "the object cannot be read: invalid type: integer `5`, expected a string; mend it and apply it again"
        ]
    );
    // It is said once.
    let version = |plural: &str, name: &str| {
        server.peek(plural, "default", name).unwrap()["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
    };
    let before = [version("experiments", "broken"), version("trials", "odd")];
    tokio::time::sleep(Duration::from_secs(900)).await;
    assert_eq!([version("experiments", "broken"), version("trials", "odd")], before);

    send(&user, "PATCH", "experiments/broken", json!({"spec": {"limits": {"maxTrials": 1}}})).await;
    assert_eq!(condition(&server, "experiments", "broken", "Accepted", "Valid").await[0], "True");
    // A spec that was readable and is so no more is not run on.
    send(&user, "PATCH", "experiments/broken", json!({"spec": {"limits": {"maxTrials": "many"}}})).await;
    assert_eq!(condition(&server, "experiments", "broken", "Accepted", "InvalidObject").await[0], "False");
}

/// The schema refuses these; an object that skipped it is told all the same.
#[tokio::test(start_paused = true)]
async fn a_limit_that_is_no_time_is_told() {
    let server = server();
    let user = server.client_as("default", "user");
    let _operator = start(&server);
    for (field, text) in [("maxDuration", "soon"), ("maxTrialDuration", "0s")] {
        let mut limits = json!({"maxTrials": 1});
        limits[field] = json!(text);
        let mut broken = spec();
        broken["limits"] = limits;
        let name = field.to_lowercase();
        send(&user, "POST", "experiments", object("Experiment", &name, &broken)).await;
        let message = format!("limits.{field}: {text:?} is no time; write for example 90s, 20m or 2h30m");
        for r#type in ["Accepted", "Complete"] {
            let told = condition(&server, "experiments", &name, r#type, "InvalidLimits").await;
            assert_eq!(told, ["False", "InvalidLimits", &message]);
        }
        send(&user, "PATCH", &format!("experiments/{name}"), json!({"spec": {"limits": {field: "1h"}}})).await;
        assert_eq!(condition(&server, "experiments", &name, "Accepted", "Valid").await[0], "True");
    }
}
