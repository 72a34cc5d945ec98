//! A client whose calls are counted: every call of the operator, reads and watches too.

use super::telemetry::Telemetry;
use http::{Method, Request};
use kube::Client;
use kube::client::Body;

/// A client that counts what goes through it.
pub fn counted(client: Client, telemetry: Telemetry) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, telemetry) = (client.clone(), telemetry.clone());
        async move {
            let call = Call::of(request.method(), request.uri());
            let started = std::time::Instant::now();
            let answer = client.send(request).await;
            let code =
                answer.as_ref().map_or_else(|_| "none".to_owned(), |answer| answer.status().as_u16().to_string());
            telemetry.requests.with_label_values(&[call.verb, &call.resource, &code]).inc();
            let duration = telemetry.request_duration.with_label_values(&[call.verb, &call.resource]);
            duration.observe(started.elapsed().as_secs_f64());
            answer
        }
    });
    Client::new(service, namespace)
}

/// What is asked for, as Kubernetes' own metrics and audit logs name it.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    verb: &'static str,
    /// Such as `trials` or `trials/status`.
    resource: String,
}

impl Call {
    fn of(method: &Method, uri: &http::Uri) -> Self {
        let parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
        let rest = match parts.as_slice() {
            ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
            _ => &[],
        };
        let (resource, name, below) = match rest {
            ["namespaces", _, resource, rest @ ..] | [resource, rest @ ..] => {
                (*resource, !rest.is_empty(), rest.get(1).copied())
            }
            [] => ("other", false, None),
        };
        let query = uri.query().unwrap_or_default();
        let verb = match *method {
            Method::GET if query.split('&').any(|part| part == "watch=true") => "watch",
            Method::GET if name => "get",
            Method::GET => "list",
            Method::POST if query.split('&').any(|part| part == "dryRun=All") => "dry-run",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "other",
        };
        let resource = below.map_or_else(|| resource.to_owned(), |below| format!("{resource}/{below}"));
        Call { verb, resource }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::batch::v1::Job;
    use kube::api::{Api, ListParams, PostParams};
    use std::convert::Infallible;

    #[test]
    fn a_call_is_named_as_kubernetes_names_it() {
        let trials = "/apis/automl.dev/v1alpha1/namespaces/a/trials";
        let table = [
            (Method::GET, format!("{trials}?limit=500"), "list trials"),
            (Method::GET, format!("{trials}?watch=true&timeoutSeconds=290"), "watch trials"),
            (Method::GET, "/apis/automl.dev/v1alpha1/trials?watch=true".into(), "watch trials"),
            (Method::GET, format!("{trials}/e-00000"), "get trials"),
            (Method::POST, trials.into(), "create trials"),
            (Method::PATCH, format!("{trials}/e-00000/status?fieldManager=x"), "patch trials/status"),
            (Method::DELETE, "/apis/batch/v1/namespaces/a/jobs/j".into(), "delete jobs"),
            (Method::POST, "/apis/batch/v1/namespaces/a/jobs?dryRun=All&fieldValidation=Strict".into(), "dry-run jobs"),
            (Method::GET, "/api/v1/namespaces/a/pods/p".into(), "get pods"),
            (Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/a/leases/l".into(), "update leases"),
            (Method::POST, "/apis/authentication.k8s.io/v1/tokenreviews".into(), "create tokenreviews"),
            (Method::GET, "/api/v1/namespaces/a".into(), "get namespaces"),
            (Method::GET, "/version".into(), "list other"),
        ];
        for (method, uri, expected) in table {
            let call = Call::of(&method, &uri.parse().unwrap());
            assert_eq!(format!("{} {}", call.verb, call.resource), expected, "{method} {uri}");
        }
    }

    #[tokio::test]
    async fn each_call_is_counted_by_how_it_was_answered() {
        let telemetry = Telemetry::new().unwrap();
        let server = tower::service_fn(|request: Request<Body>| async move {
            let (code, body) = match *request.method() {
                Method::GET => (200, r#"{"metadata": {}, "items": []}"#),
                _ => (403, r#"{"kind": "Status", "code": 403, "message": "no", "reason": "Forbidden"}"#),
            };
            Ok::<_, Infallible>(
                http::Response::builder().status(code).body(Body::from(body.as_bytes().to_vec())).unwrap(),
            )
        });
        let api: Api<Job> = Api::namespaced(counted(Client::new(server, "a"), telemetry.clone()), "a");
        api.list(&ListParams::default()).await.unwrap();
        let refused = api.create(&PostParams::default(), &Job::default()).await.unwrap_err();
        assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused:?}");
        let cut = tower::service_fn(|_: Request<Body>| async {
            Err::<http::Response<Body>, _>(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
        });
        let api: Api<Job> = Api::namespaced(counted(Client::new(cut, "a"), telemetry.clone()), "a");
        let error = api.list(&ListParams::default()).await.unwrap_err();
        assert!(matches!(error, kube::Error::Service(_)), "{error:?}");
        let count = |verb: &str, code: &str| telemetry.requests.with_label_values(&[verb, "jobs", code]).get();
        assert_eq!((count("list", "200"), count("create", "403"), count("list", "none")), (1, 1, 1));
        let duration = telemetry.request_duration.with_label_values(&["list", "jobs"]);
        assert_eq!(duration.get_sample_count(), 2);
    }
}
