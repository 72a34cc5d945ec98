//! Who may look at metrics: whoever the API server knows by a token and allows it, as with Kubernetes' own components.

use super::remembered::Remembered;
use super::tokens::{Denied, review};
use super::wire::timed;
use k8s_openapi::api::authentication::v1::UserInfo;
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};

/// Checks those who come with a token to look, or to change what is logged.
pub struct Visitors {
    client: Client,
    known: Remembered<()>,
}

impl Visitors {
    /// Nothing is remembered yet.
    pub fn new(client: Client) -> Self {
        Visitors { client, known: Remembered::default() }
    }

    /// Whether the token's user may do `verb` with `path`, by a TokenReview and a SubjectAccessReview; remembered for a
    /// minute.
    ///
    /// # Errors
    /// The token is nobody's, its user may not, or the API server cannot be asked.
    pub async fn check(&self, token: &str, verb: &'static str, path: &'static str) -> Result<(), Denied> {
        self.known.answer(token, &format!("{verb} {path}"), self.ask(token, verb, path)).await
    }

    async fn ask(&self, token: &str, verb: &'static str, path: &'static str) -> Result<(), Denied> {
        let user = review(&self.client, token, None).await?.user.unwrap_or_default();
        let name = user.username.clone().unwrap_or_default();
        let review = SubjectAccessReview { spec: spec(user, verb, path), ..SubjectAccessReview::default() };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = timed("create SubjectAccessReview", api.create(&PostParams::default(), &review)).await?;
        match answer.status {
            Some(status) if status.allowed && status.denied != Some(true) => Ok(()),
            _ => Err(Denied::Forbidden { user: name, verb, path }),
        }
    }
}

fn spec(user: UserInfo, verb: &str, path: &str) -> SubjectAccessReviewSpec {
    SubjectAccessReviewSpec {
        user: user.username,
        uid: user.uid,
        groups: user.groups,
        extra: user.extra,
        non_resource_attributes: Some(NonResourceAttributes { path: Some(path.into()), verb: Some(verb.into()) }),
        resource_attributes: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request, Response};
    use http_body_util::BodyExt;
    use kube::client::Body;
    use serde_json::{Value, json};
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    /// An API server that knows `good` as alice, who may do what `allows` says, and keeps what it was asked.
    fn visitors(allows: fn(&Value) -> bool) -> (Visitors, Arc<Mutex<Vec<Value>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let log = log.clone();
            async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let mut object: Value = serde_json::from_slice(&body).unwrap();
                log.lock().unwrap().push(object["spec"].clone());
                object["status"] = if path.ends_with("/tokenreviews") {
                    let known = object["spec"]["token"] == "good";
                    json!({"authenticated": known, "user": {"username": "alice", "uid": "7", "groups": ["staff"]}})
                } else {
                    assert!(path.ends_with("/subjectaccessreviews"), "{path}");
                    json!({"allowed": allows(&object["spec"]["nonResourceAttributes"])})
                };
                let answer = Response::builder().status(201).body(Body::from(object.to_string().into_bytes()));
                Ok::<_, Infallible>(answer.unwrap())
            }
        });
        (Visitors::new(Client::new(service, "ns")), asked)
    }

    #[tokio::test]
    async fn whoever_may_is_let_in_and_asked_about_once_for_each_thing() {
        let (visitors, asked) = visitors(|what| *what == json!({"path": "/metrics", "verb": "get"}));
        for _ in 0..3 {
            visitors.check("good", "get", "/metrics").await.unwrap();
            let denied = visitors.check("good", "put", "/log-level").await.unwrap_err();
            assert_eq!(
                denied.to_string(),
                "user alice may not put /log-level: it needs a ClusterRole with nonResourceURLs [\"/log-level\"] and \
                 verbs [\"put\"]"
            );
        }
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 4, "one of each kind for each thing: {asked:?}");
        assert_eq!(asked[0], json!({"token": "good"}), "a token for the API server itself: no audience is asked for");
        assert_eq!(
            asked[1],
            json!({"user": "alice", "uid": "7", "groups": ["staff"], "nonResourceAttributes": {"path": "/metrics", "verb": "get"}})
        );
    }

    #[tokio::test]
    async fn whoever_is_nobody_is_not_let_in() {
        let (visitors, asked) = visitors(|_| true);
        for (token, calls) in [("", 0), ("bad", 1)] {
            let denied = visitors.check(token, "get", "/metrics").await.unwrap_err();
            assert!(matches!(denied, Denied::Token(_)), "{denied:?}");
            assert_eq!(asked.lock().unwrap().len(), calls);
        }
    }
}
