use super::super::lease::Timing;
use super::*;
use http::{Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;

/// What an API server says to a call: status code and object.
type Says = Arc<dyn Fn(&str, &Value) -> (u16, Value) + Send + Sync>;

fn client(says: Says) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let says = says.clone();
        async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let (code, object) = says(&path, &serde_json::from_slice(&body).unwrap_or_default());
            let answer = Response::builder().status(code).body(Body::from(object.to_string().into_bytes()));
            Ok::<_, Infallible>(answer.unwrap())
        }
    });
    Client::new(service, "ns")
}

fn not_found() -> (u16, Value) {
    (404, json!({"kind": "Status", "apiVersion": "v1", "code": 404, "reason": "NotFound", "message": "no"}))
}

/// A good API server, with other answers where `other` has them.
fn server(other: impl Fn(&str, &Value) -> Option<(u16, Value)> + Send + Sync + 'static) -> Client {
    client(Arc::new(move |path, body| {
        if let Some(answer) = other(path, body) {
            return answer;
        }
        match path {
            "/version" => {
                let fields = ["buildDate", "compiler", "gitCommit", "gitTreeState", "goVersion", "platform"];
                let mut version = json!({"major": "1", "minor": "37", "gitVersion": "v1.37.0"});
                fields.iter().for_each(|field| version[*field] = json!(""));
                (200, version)
            }
            "/apis/automl.dev/v1alpha1" => {
                let resource = |name: &str| json!({"name": name, "kind": name, "singularName": "", "namespaced": true, "verbs": []});
                (
                    200,
                    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "automl.dev/v1alpha1",
                        "resources": [resource("experiments"), resource("trials")]}),
                )
            }
            "/apis/coordination.k8s.io/v1/namespaces/system/leases/automl" => not_found(),
            _ => {
                assert!(path.ends_with("/selfsubjectaccessreviews"), "{path}");
                (201, json!({"spec": body["spec"], "status": {"allowed": true}}))
            }
        }
    }))
}

fn plans() -> Plans {
    let lease =
        LeaseName { namespace: "system".into(), name: "automl".into(), own_url: None, timing: Timing::default() };
    Plans { namespace: Some("team".into()), lease: Some(lease), metrics_authentication: true }
}

async fn bad_ones(client: &Client) -> Vec<String> {
    let found = checkup(client, &plans()).await;
    found.into_iter().filter(|finding| !finding.good).map(|finding| finding.sentence).collect()
}

#[tokio::test]
async fn where_all_is_well_each_thing_is_one_line() {
    let found = checkup(&server(|_, _| None), &plans()).await;
    assert!(found.iter().all(|finding| finding.good), "{found:#?}");
    let sentences: Vec<&str> = found.iter().map(|finding| finding.sentence.as_str()).collect();
    for sentence in [
        "the API server is v1.37.0",
        "trials.automl.dev is served in version v1alpha1",
        "may list experiments.automl.dev in namespace team",
        "may patch trials/status.automl.dev in namespace team",
        "may get pods in namespace team",
        "may create tokenreviews.authentication.k8s.io in the cluster",
        "may create subjectaccessreviews.authorization.k8s.io in the cluster",
        "may update leases.coordination.k8s.io system/automl",
        "may create leases.coordination.k8s.io in namespace system",
        "Lease system/automl does not exist yet: whoever starts first leads",
    ] {
        assert!(sentences.contains(&sentence), "{sentence} is not in {sentences:#?}");
    }
    let verbs: usize =
        [ALWAYS, ELECTION, AUTHENTICATION].iter().flat_map(|all| *all).map(|right| right.verbs.len()).sum();
    assert_eq!(sentences.len(), 3 + verbs + 1);
    let fewer = checkup(&server(|_, _| None), &Plans::default()).await;
    assert!(fewer.iter().all(|finding| !finding.sentence.contains("lease") && !finding.sentence.contains("subject")));
    assert!(fewer.iter().any(|finding| finding.sentence == "may watch jobs.batch in all namespaces"), "{fewer:#?}");
}

#[tokio::test]
async fn what_is_missing_is_said_with_what_to_do() {
    let refuse = |path: &str, body: &Value| {
        let attributes = &body["spec"]["resourceAttributes"];
        let asked = json!({"group": "automl.dev", "resource": "trials", "subresource": "status", "verb": "patch", "namespace": "team"});
        (path.ends_with("accessreviews") && *attributes == asked)
            .then(|| (201, json!({"spec": body["spec"], "status": {"allowed": false}})))
    };
    assert_eq!(
        bad_ones(&server(refuse)).await,
        [
            "may not patch trials/status.automl.dev in namespace team; without it no result is stored: give it with a rule \
          {apiGroups: [\"automl.dev\"], resources: [trials/status], verbs: [patch]}, or the chart with rbac.create"
        ]
    );
    let no_kinds = |path: &str, _: &Value| (path == "/apis/automl.dev/v1alpha1").then(not_found);
    let [said] = &bad_ones(&server(no_kinds)).await[..] else { panic!("one") };
    assert!(
        said.starts_with("automl.dev/v1alpha1 is not served; install the CustomResourceDefinitions: automl crd |"),
        "{said}"
    );
    let old = |path: &str, _: &Value| {
        let mut version = json!({"major": "1", "minor": "28+", "gitVersion": "v1.28.3-eks"});
        ["buildDate", "compiler", "gitCommit", "gitTreeState", "goVersion", "platform"]
            .iter()
            .for_each(|field| version[*field] = json!(""));
        (path == "/version").then_some((200, version))
    };
    assert_eq!(bad_ones(&server(old)).await, ["the API server is v1.28.3-eks; Kubernetes 1.29 or newer is needed"]);
    let away = client(Arc::new(|_, _| {
        (503, json!({"kind": "Status", "code": 503, "message": "down", "reason": "ServiceUnavailable"}))
    }));
    assert_eq!(bad_ones(&away).await, ["the API server cannot be reached: down; look at KUBECONFIG and the network"]);
}

#[tokio::test]
async fn an_api_server_without_permissions_is_no_fault() {
    let embedded = |path: &str, _: &Value| path.ends_with("accessreviews").then(not_found);
    let found = checkup(&server(embedded), &plans()).await;
    assert!(found.iter().all(|finding| finding.good), "{found:#?}");
    assert_eq!(found.len(), 5, "{found:#?}");
    let held = |path: &str, _: &Value| {
        path.contains("/leases/")
            .then(|| (200, json!({"metadata": {"name": "automl"}, "spec": {"holderIdentity": "pod-1"}})))
    };
    let found = checkup(&server(held), &plans()).await;
    assert_eq!(
        found.last().unwrap().sentence,
        "Lease system/automl is held by pod-1: another replica waits until that one is gone"
    );
}
