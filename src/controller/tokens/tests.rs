use super::super::lease::Gate;
use super::super::mutation::Mutation;
use super::super::remembered::{CONCURRENCY, MAX_TOKEN};
use super::super::telemetry::Telemetry;
use super::super::wire::Pen;
use super::*;
use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What the API server answers: status code and object.
#[derive(Clone)]
struct Server {
    review: (u16, Value),
    pod: (u16, Value),
    job: (u16, Value),
    reviews: Arc<AtomicUsize>,
    /// How long a review takes.
    slow: Duration,
}

impl Server {
    /// One where all is well.
    fn good() -> Self {
        let owner = |api: &str, kind: &str, name: &str, uid: &str| json!([{"apiVersion": api, "kind": kind, "name": name, "uid": uid, "controller": true}]);
        let status = json!({
            "authenticated": true, "audiences": [AUDIENCE],
            "user": {"username": "system:serviceaccount:ns:default", "extra": {
                "authentication.kubernetes.io/pod-name": ["p"], "authentication.kubernetes.io/pod-uid": ["pod-uid"],
            }},
        });
        let pod = json!({"metadata": {
            "name": "p", "namespace": "ns", "uid": "pod-uid", "ownerReferences": owner("batch/v1", "Job", "j", "job-uid"),
        }});
        let job = json!({"metadata": {
            "name": "j", "namespace": "ns", "uid": "job-uid",
            "ownerReferences": owner("automl.dev/v1alpha1", "Trial", "t", "trial-uid"),
        }});
        Server {
            review: (201, json!({"spec": {"token": ""}, "status": status})),
            pod: (200, pod),
            job: (200, job),
            reviews: Arc::default(),
            slow: Duration::ZERO,
        }
    }

    fn tokens(&self) -> Tokens {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let path = request.uri().path().to_owned();
                let (code, object) = if path.ends_with("/tokenreviews") {
                    server.reviews.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(server.slow).await;
                    server.review
                } else if path.ends_with("/namespaces/ns/pods/p") {
                    server.pod
                } else {
                    assert!(path.ends_with("/namespaces/ns/jobs/j"), "{path}");
                    server.job
                };
                let answer =
                    Response::builder().status(code).body(Body::from(object.to_string().into_bytes())).unwrap();
                Ok::<_, Infallible>(answer)
            }
        });
        let client = Client::new(service, "ns");
        let pen = Pen { gate: Gate::always_open(), telemetry: Telemetry::new().unwrap() };
        Tokens::new(client.clone(), Hand::new(client, pen, Mutation::None))
    }
}

fn error(code: u16, reason: &str) -> (u16, Value) {
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "no"}),
    )
}

#[tokio::test]
async fn a_pod_of_a_trial_is_known_by_the_chain_of_its_owners() {
    let caller = Server::good().tokens().check("token").await.unwrap();
    assert_eq!((caller.trial, caller.trial_uid.as_str()), (("ns".to_owned(), "t".to_owned()), "trial-uid"));
}

#[tokio::test]
async fn whoever_is_no_trials_pod_is_told_why() {
    let change = |change: &dyn Fn(&mut Server)| {
        let mut server = Server::good();
        change(&mut server);
        server
    };
    let status = |server: &mut Server, field: &str, value: Value| server.review.1["status"][field] = value;
    let no_pod = "pod ns/p belongs to no trial: it does not exist any more";
    let no_job = "pod ns/p belongs to no trial: its Job does not exist any more";
    let table: Vec<(Server, &str)> = vec![
        (
            change(&|s| s.review.1["status"] = json!({"authenticated": false, "error": "expired"})),
            "the token is not valid here: expired",
        ),
        (change(&|s| s.review.1["status"] = json!({})), "the token is not valid here: the API server does not know it"),
        (
            change(&|s| status(s, "audiences", json!(["https://kubernetes.default.svc"]))),
            "the token is not valid here: its audience is not automl.dev/report",
        ),
        (
            change(&|s| status(s, "audiences", json!(null))),
            "the token is not valid here: its audience is not automl.dev/report",
        ),
        (
            change(&|s| status(s, "user", json!({"username": "alice"}))),
            "the token is not valid here: it was not made for a pod",
        ),
        (
            change(&|s| status(s, "user", json!({"username": "system:serviceaccount:ns:default"}))),
            "the token is not valid here: it was not made for a pod",
        ),
        (change(&|s| s.review = error(400, "BadRequest")), "the token is not valid here: no"),
        (change(&|s| s.review = error(403, "Forbidden")), "the token cannot be checked now: create TokenReview: no"),
        (
            change(&|s| s.review = error(500, "InternalError")),
            "the token cannot be checked now: create TokenReview: no",
        ),
        (change(&|s| s.pod = error(404, "NotFound")), no_pod),
        (change(&|s| s.pod.1["metadata"]["uid"] = json!("a namesake's")), no_pod),
        (change(&|s| s.pod = error(500, "InternalError")), "the token cannot be checked now: read Pod ns/p: no"),
        (
            change(&|s| s.pod.1["metadata"]["ownerReferences"] = json!(null)),
            "pod ns/p belongs to no trial: no Job controls it",
        ),
        (
            change(&|s| s.pod.1["metadata"]["ownerReferences"][0]["kind"] = json!("ReplicaSet")),
            "pod ns/p belongs to no trial: no Job controls it",
        ),
        (
            change(&|s| s.pod.1["metadata"]["ownerReferences"][0]["controller"] = json!(false)),
            "pod ns/p belongs to no trial: no Job controls it",
        ),
        (change(&|s| s.job = error(404, "NotFound")), no_job),
        (change(&|s| s.job.1["metadata"]["uid"] = json!("a namesake's")), no_job),
        (change(&|s| s.job = error(503, "ServiceUnavailable")), "the token cannot be checked now: read Job ns/j: no"),
        (
            change(&|s| s.job.1["metadata"]["ownerReferences"] = json!([])),
            "pod ns/p belongs to no trial: its Job is no trial's",
        ),
        (
            change(&|s| s.job.1["metadata"]["ownerReferences"][0]["apiVersion"] = json!("kubeflow.org/v1beta1")),
            "pod ns/p belongs to no trial: its Job is no trial's",
        ),
    ];
    for (server, expected) in table {
        let denied = server.tokens().check("token").await.unwrap_err();
        assert_eq!(denied.to_string(), expected);
    }
    for token in [String::new(), "x".repeat(MAX_TOKEN + 1)] {
        let server = Server::good();
        let denied = server.tokens().check(&token).await.unwrap_err();
        assert_eq!(denied.to_string(), "the token is not valid here: there is none, or it is too long");
        assert_eq!(server.reviews.load(Ordering::Relaxed), 0, "nobody is asked");
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_out_is_remembered_a_minute_for_friends_and_some_seconds_for_strangers() {
    let stranger = Server { review: (201, json!({"spec": {"token": ""}, "status": {}})), ..Server::good() };
    let failing = Server { pod: error(500, "InternalError"), ..Server::good() };
    for (server, remembered) in [(Server::good(), 60), (stranger, 5), (failing, 0)] {
        let tokens = server.tokens();
        let reviews = || server.reviews.load(Ordering::Relaxed);
        let _ = tokens.check("token").await;
        if remembered > 0 {
            tokio::time::advance(Duration::from_secs(remembered - 1)).await;
            let _ = tokens.check("token").await;
            assert_eq!(reviews(), 1, "{remembered}");
        }
        let _ = tokens.check("another").await;
        assert_eq!(reviews(), 2, "each token is looked into");
        tokio::time::advance(Duration::from_secs(1)).await;
        let _ = tokens.check("token").await;
        assert_eq!(reviews(), 3, "{remembered}");
    }
}

#[tokio::test(start_paused = true)]
async fn many_strangers_do_not_flood_the_api_server() {
    let server = Server { slow: Duration::from_secs(4), ..Server::good() };
    let tokens = Arc::new(server.tokens());
    let names: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    let checks = names.iter().map(|name| tokens.check(name));
    let all = futures::future::join_all(checks).await;
    let busy = all.iter().filter(|answer| matches!(answer, Err(Denied::Busy))).count();
    assert_eq!((server.reviews.load(Ordering::Relaxed), busy), (2 * CONCURRENCY, 20 - 2 * CONCURRENCY));
    // One token at many agents' hands at a time is looked into once.
    let same = futures::future::join_all((0..CONCURRENCY + 1).map(|_| tokens.check("same"))).await;
    assert!(same.iter().all(Result::is_ok));
}
