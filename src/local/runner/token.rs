//! Service account tokens of pods that run here.
//!
//! A token is 256 random bits, good for one audience while its pod runs. They are kept in memory only: when the runner
//! ends, so do the pods, and what it gave them is worth nothing.

use rand::RngExt;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The audience of a token that names none.
const DEFAULT_AUDIENCE: &str = "https://kubernetes.default.svc";

/// Whom a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// Namespace of the pod and its service account.
    pub namespace: String,
    /// Name of the service account.
    pub service_account: String,
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub pod_uid: String,
}

/// The tokens; clones share them.
#[derive(Clone, Default)]
pub struct Tokens {
    inner: Arc<Mutex<HashMap<String, (Bearer, String)>>>,
}

/// Who a token says its bearer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInfo {
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub username: String,
    /// The groups of every service account.
    pub groups: Vec<String>,
    /// Name and UID of the pod under Kubernetes' own keys.
    pub extra: BTreeMap<String, Vec<String>>,
    /// Those of the asked audiences that the token is for.
    pub audiences: Vec<String>,
}

impl Tokens {
    /// Makes a token for a bearer. `audience` may be empty: then it is the API server's own.
    pub fn issue(&self, bearer: Bearer, audience: &str) -> String {
        let random = rand::rng();
        let token = random.random_iter::<u64>().take(4).map(|word| format!("{word:016x}")).collect::<String>();
        let audience = if audience.is_empty() { DEFAULT_AUDIENCE } else { audience };
        self.lock().insert(token.clone(), (bearer, audience.to_owned()));
        token
    }

    /// Makes the tokens of a pod worthless.
    pub fn revoke(&self, pod_uid: &str) {
        self.lock().retain(|_, (bearer, _)| bearer.pod_uid != pod_uid);
    }

    /// Who bears this token, if it is good for one of these audiences (none named: the API server's own).
    pub fn token_review(&self, token: &str, audiences: &[String]) -> Option<UserInfo> {
        let (bearer, audience) = self.lock().get(token).cloned()?;
        let wanted = if audiences.is_empty() { audience == DEFAULT_AUDIENCE } else { audiences.contains(&audience) };
        let Bearer { namespace, service_account, pod, pod_uid } = bearer;
        wanted.then(|| UserInfo {
            username: format!("system:serviceaccount:{namespace}:{service_account}"),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".to_owned(),
            ],
            extra: BTreeMap::from([
                ("authentication.kubernetes.io/pod-name".to_owned(), vec![pod]),
                ("authentication.kubernetes.io/pod-uid".to_owned(), vec![pod_uid]),
            ]),
            audiences: vec![audience],
        })
    }

    /// Answers a TokenReview: from its `spec` to its `status`.
    pub fn answer(&self, spec: &Value) -> Value {
        let token = spec.get("token").and_then(Value::as_str).unwrap_or_default();
        let audiences = spec.get("audiences").and_then(Value::as_array).into_iter().flatten();
        let audiences: Vec<String> = audiences.filter_map(|it| it.as_str().map(str::to_owned)).collect();
        match self.token_review(token, &audiences) {
            Some(UserInfo { username, groups, extra, audiences }) => json!({
                "authenticated": true,
                "user": {"username": username, "groups": groups, "extra": extra},
                "audiences": audiences,
            }),
            None => json!({"authenticated": false, "error": "the token is unknown, or not for this audience"}),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Bearer, String)>> {
        // Every change is one step: there is nothing half done to fear.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({})", self.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_audience_while_its_pod_runs() {
        let bearer = |uid: &str| Bearer {
            namespace: "ns".into(),
            service_account: "sa".into(),
            pod: "p".into(),
            pod_uid: uid.into(),
        };
        let tokens = Tokens::default();
        let (mine, other) = (tokens.issue(bearer("u"), "automl"), tokens.issue(bearer("v"), ""));
        assert_eq!(mine.len(), 64);
        assert_ne!(mine, other);
        let review = |token: &str, audiences: Value| tokens.answer(&json!({"token": token, "audiences": audiences}));
        let good = review(&mine, json!(["x", "automl"]));
        assert_eq!(good["authenticated"], true);
        assert_eq!(good["audiences"], json!(["automl"]));
        assert_eq!(good["user"]["username"], "system:serviceaccount:ns:sa");
        assert_eq!(good["user"]["extra"]["authentication.kubernetes.io/pod-uid"], json!(["u"]));
        for (token, audiences, authenticated) in [
            (&mine, json!(["x"]), false),
            (&mine, json!([]), false),
            (&other, json!([]), true),
            (&other, json!(["automl"]), false),
            (&"".to_owned(), json!(["automl"]), false),
        ] {
            assert_eq!(review(token, audiences)["authenticated"], authenticated);
        }
        tokens.revoke("u");
        assert_eq!(review(&mine, json!(["automl"]))["authenticated"], false);
        assert!(tokens.token_review(&other, &[]).is_some());
    }
}
