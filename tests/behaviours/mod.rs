//! What the embedded API server claims to do like kube-apiserver.
//!
//! Each behaviour is a function of a [`kube::Client`] alone, in a namespace of its own, so that the same list runs
//! against the real server. Each names the page of the Kubernetes documentation that it comes from.

use futures::future::BoxFuture;
use kube::Client;
use serde_json::Value;

pub mod crud;

/// One claim.
pub struct Behaviour {
    /// What is claimed, in a sentence.
    pub claim: &'static str,
    /// The page that says so, below <https://kubernetes.io/docs/>.
    pub page: &'static str,
    /// Checks it in a namespace of its own; an assertion fails where it does not hold.
    pub check: fn(Client, String) -> BoxFuture<'static, ()>,
}

/// Shortens the tables of behaviours.
#[macro_export]
macro_rules! behaviour {
    ($claim:literal, $page:literal, $check:path) => {
        $crate::behaviours::Behaviour {
            claim: $claim,
            page: $page,
            check: |client, namespace| Box::pin($check(client, namespace)),
        }
    };
}

/// Every behaviour.
pub fn all() -> Vec<Behaviour> {
    let mut all = Vec::new();
    all.extend(crud::list());
    all
}

/// The kind that the behaviours use where a built-in one does not show what is meant.
pub fn definition() -> Value {
    serde_saphyr::from_str(include_str!("widget.yaml")).unwrap()
}
