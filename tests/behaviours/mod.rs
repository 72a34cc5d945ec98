//! What the embedded API server claims to do like kube-apiserver.
//!
//! Each behaviour is a function of a [`kube::Client`] alone, in a namespace of its own, so that the same list runs
//! against the real server. Each names the page of the Kubernetes documentation that it comes from.

use std::{future::Future, time::Duration};

use futures::future::BoxFuture;
use kube::{
    Api, Client,
    api::{DynamicObject, PostParams},
    core::{ApiResource, GroupVersionKind, Status},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

mod applying;
mod builtin;
mod crud;
mod deletion;
mod jobs;
pub mod kubelet;
mod lists;
mod patches;
mod schemas;
mod views;
mod watches;

/// One claim.
pub struct Behaviour {
    /// What is claimed, in a sentence.
    pub claim: &'static str,
    /// The page that says so, below <https://kubernetes.io/docs/>, or the address of the enhancement proposal.
    pub page: &'static str,
    /// Checks it in a namespace of its own; an assertion fails where it does not hold.
    pub check: fn(Client, String) -> BoxFuture<'static, ()>,
}

/// A table of behaviours: claim, page, function.
#[macro_export]
macro_rules! behaviours {
    ($($claim:literal, $page:literal, $check:path;)*) => {
        vec![$($crate::behaviours::Behaviour {
            claim: $claim,
            page: $page,
            check: |client, namespace| Box::pin($check(client, namespace)),
        }),*]
    };
}

impl Behaviour {
    /// The address of the page.
    pub fn address(&self) -> String {
        match self.page.starts_with("https://") {
            true => self.page.to_owned(),
            false => format!("https://kubernetes.io/docs/{}", self.page),
        }
    }
}

/// Those that need pods to run, by [`kubelet::play`] if by nobody else.
pub fn with_pods() -> Vec<Behaviour> {
    jobs::list()
}

/// Every behaviour of an API server and the garbage collector.
pub fn all() -> Vec<Behaviour> {
    [
        crud::list(),
        lists::list(),
        watches::list(),
        deletion::list(),
        patches::list(),
        applying::list(),
        schemas::list(),
        builtin::list(),
        views::list(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Checks behaviours one after the other, each in a namespace of this name and a number. Returns the claims that do not hold.
pub async fn run(client: &Client, name: &str, behaviours: Vec<Behaviour>) -> Vec<String> {
    install(client).await;
    let mut failed = Vec::new();
    for (at, behaviour) in behaviours.into_iter().enumerate() {
        let namespace = format!("{name}-{at}-{}", std::process::id());
        let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let spaces: Api<DynamicObject> = Api::all_with(client.clone(), &kind("", "v1", "Namespace"));
        spaces.create(&PostParams::default(), &object(space)).await.unwrap();
        let check = (behaviour.check)(client.clone(), namespace);
        if tokio::spawn(check).await.is_err() {
            failed.push(format!("{} ({})", behaviour.claim, behaviour.address()));
        }
    }
    failed
}

/// Makes sure that the kind of the behaviours is served.
async fn install(client: &Client) {
    let definition: Value = serde_saphyr::from_str(include_str!("widget.yaml")).unwrap();
    let definitions: Api<DynamicObject> =
        Api::all_with(client.clone(), &kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition"));
    match definitions.create(&PostParams::default(), &object(definition)).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => panic!("{error}"),
    }
    eventually("the kind is served", || async {
        let found = definitions.get("widgets.behaviours.test").await.unwrap();
        let conditions = found.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let established = |condition: &Value| condition["type"] == "Established" && condition["status"] == "True";
        conditions.iter().any(established) && widgets(client, "default").list(&Default::default()).await.is_ok()
    })
    .await;
}

/// Waits until a condition holds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    for _ in 0..300 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("waited in vain: {what}");
}

/// A kind by its names.
pub fn kind(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// Objects of a built-in kind in a namespace.
pub fn objects(client: &Client, namespace: &str, group: &str, name: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &kind(group, "v1", name))
}

/// The custom kind of `widget.yaml`.
pub fn widgets(client: &Client, namespace: &str) -> Api<DynamicObject> {
    objects(client, namespace, "behaviours.test", "Widget")
}

/// An object from its JSON.
pub fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).unwrap()
}

/// A widget as a person writes it.
pub fn widget(name: &str, spec: Value) -> DynamicObject {
    object(json!({"apiVersion": "behaviours.test/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec}))
}

/// Creates a widget.
pub async fn made(api: &Api<DynamicObject>, name: &str, spec: Value) -> DynamicObject {
    api.create(&PostParams::default(), &widget(name, spec)).await.unwrap()
}

/// The refusal that a request met.
pub fn refused<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> Status {
    match result {
        Err(kube::Error::Api(status)) => *status,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// The sentence of a refusal of this code and reason.
pub fn sentence<T: std::fmt::Debug>(result: Result<T, kube::Error>, code: u16, reason: &str) -> String {
    let status = refused(result);
    assert_eq!((status.code, status.reason.as_str()), (code, reason), "{status:?}");
    status.message
}

/// Sends a request of our own making.
pub async fn request<T: DeserializeOwned>(
    client: &Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Result<T, kube::Error> {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = body.map(|body| serde_json::to_vec(body).unwrap()).unwrap_or_default();
    client.request(request.body(body).unwrap()).await
}

/// Path of the widgets of a namespace.
pub fn widgets_path(namespace: &str) -> String {
    format!("/apis/behaviours.test/v1/namespaces/{namespace}/widgets")
}
