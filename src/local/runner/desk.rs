//! The only place that talks to the API server: each call has a time limit, and its failure a name.

use super::NODE_NAME;
use super::admit::{Kind, NODE_LABELS, Reference};
use super::object::Meta;
use super::scheduler::Capacity;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

/// Longest time for one call.
const LIMIT: Duration = Duration::from_secs(10);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The object does not exist (any more).
    #[error("not found")]
    Gone,
    /// Somebody else wrote first, or the object has another UID.
    #[error("conflict: {0}")]
    Conflict(String),
    /// The API server does not want it.
    #[error("refused: {0}")]
    Refused(String),
    /// No answer, or none that says anything.
    #[error("no answer: {0}")]
    Unavailable(String),
}

/// Calls the API server.
#[derive(Clone)]
pub struct Desk {
    client: kube::Client,
}

/// Kinds that the runner reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// `batch/v1 Job`.
    Job,
    /// `v1 Pod`.
    Pod,
}

fn resource(group: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind))
}

impl Resource {
    fn api_resource(self) -> ApiResource {
        match self {
            Resource::Job => resource("batch", "Job"),
            Resource::Pod => resource("", "Pod"),
        }
    }
}

impl Desk {
    /// Over this client.
    pub fn new(client: kube::Client) -> Self {
        Self { client }
    }

    /// All objects of a kind in all namespaces, for a watch.
    pub fn all(&self, resource: Resource) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &resource.api_resource())
    }

    fn of(&self, resource: Resource, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource.api_resource())
    }

    /// GET.
    ///
    /// # Errors
    /// As [`Failure`] says.
    pub async fn get(&self, resource: Resource, namespace: &str, name: &str) -> Result<Value, Failure> {
        limited(self.of(resource, namespace).get(name)).await
    }

    /// POST.
    ///
    /// # Errors
    /// As [`Failure`] says.
    pub async fn create(&self, resource: Resource, namespace: &str, object: &Value) -> Result<Value, Failure> {
        let object: DynamicObject =
            serde_json::from_value(object.clone()).map_err(|error| Failure::Refused(error.to_string()))?;
        limited(self.of(resource, namespace).create(&PostParams::default(), &object)).await
    }

    /// Merge patch on the object, or on its status.
    ///
    /// # Errors
    /// As [`Failure`] says.
    pub async fn patch(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
        status: bool,
        patch: &Value,
    ) -> Result<Value, Failure> {
        let (api, parameters, patch) = (self.of(resource, namespace), PatchParams::default(), Patch::Merge(patch));
        if status {
            limited(api.patch_status(name, &parameters, &patch)).await
        } else {
            limited(api.patch(name, &parameters, &patch)).await
        }
    }

    /// DELETE, in the background, if the object still has this UID. That it is gone already is success. Returns what
    /// is left of it for now.
    ///
    /// # Errors
    /// As [`Failure`] says.
    pub async fn delete(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
        uid: &str,
        grace: Option<u32>,
    ) -> Result<Option<Value>, Failure> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let parameters = DeleteParams { grace_period_seconds: grace, ..DeleteParams::background() };
        let parameters = parameters.preconditions(preconditions);
        let api = self.of(resource, namespace);
        let call = async {
            let answer = api.delete(name, &parameters).await?;
            Ok(answer.left().map(|object| serde_json::to_value(object).unwrap_or_default()))
        };
        match timed(call).await {
            Err(Failure::Gone | Failure::Conflict(_)) => Ok(None),
            answer => answer,
        }
    }

    /// Content of a ConfigMap or a Secret; `None`: there is none.
    ///
    /// # Errors
    /// As [`Failure`] says.
    pub async fn data(
        &self,
        namespace: &str,
        reference: &Reference,
    ) -> Result<Option<BTreeMap<String, Vec<u8>>>, Failure> {
        let kind = match reference.kind {
            Kind::ConfigMap => resource("", "ConfigMap"),
            Kind::Secret => resource("", "Secret"),
        };
        if reference.name.is_empty() {
            return Ok(None);
        }
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &kind);
        match limited(api.get(&reference.name)).await {
            Ok(object) => Ok(Some(content(reference.kind, &object))),
            Err(Failure::Gone) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// POST of an Event on an object. Nothing depends on it: a failure is only logged.
    pub async fn event(&self, about: Resource, meta: &Meta, event: &super::job::Event, now: Timestamp) {
        let (kind, api_version, component) = match about {
            Resource::Job => ("Job", "batch/v1", "job-controller"),
            Resource::Pod => ("Pod", "v1", "kubelet"),
        };
        let at = super::object::seconds(now);
        let object = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {
                "name": format!("{}.{:x}", meta.name, now.as_nanosecond()), "namespace": meta.namespace,
            },
            "involvedObject": {
                "apiVersion": api_version, "kind": kind, "name": meta.name, "namespace": meta.namespace,
                "uid": meta.uid, "resourceVersion": meta.resource_version,
            },
            "type": if event.warning { "Warning" } else { "Normal" },
            "reason": event.reason, "message": event.message, "count": 1,
            "firstTimestamp": at, "lastTimestamp": at,
            "source": {"component": component, "host": NODE_NAME},
        });
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &meta.namespace, &resource("", "Event"));
        let Ok(object) = serde_json::from_value(object) else { return };
        if let Err(failure) = limited(api.create(&PostParams::default(), &object)).await {
            tracing::debug!(reason = event.reason, %failure, "event not stored");
        }
    }

    /// Makes the Node, or brings it up to date.
    ///
    /// # Errors
    /// As [`Failure`] says.
    pub async fn put_node(&self, capacity: &Capacity, now: Timestamp) -> Result<(), Failure> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource("", "Node"));
        let labels: BTreeMap<&str, &str> = NODE_LABELS.iter().copied().collect();
        let metadata = json!({"name": NODE_NAME, "labels": labels});
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}});
        let node: DynamicObject = serde_json::from_value(node).map_err(|error| Failure::Refused(error.to_string()))?;
        match limited(api.create(&PostParams::default(), &node)).await {
            Ok(_) | Err(Failure::Conflict(_)) => {}
            Err(failure) => return Err(failure),
        }
        let at = super::object::seconds(now);
        let status = json!({
            "capacity": capacity.to_json(),
            "allocatable": capacity.to_json(),
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "local processes can be started",
                "lastHeartbeatTime": at, "lastTransitionTime": at,
            }],
            "nodeInfo": {
                "operatingSystem": std::env::consts::OS, "architecture": std::env::consts::ARCH,
                "kubeletVersion": concat!("automl-", env!("CARGO_PKG_VERSION")), "containerRuntimeVersion": "process://1",
                "bootID": "", "kernelVersion": "", "kubeProxyVersion": "", "machineID": "", "osImage": "", "systemUUID": "",
            },
        });
        let patch = Patch::Merge(json!({"status": status}));
        limited(api.patch_status(NODE_NAME, &PatchParams::default(), &patch)).await.map(drop)
    }
}

fn content(kind: Kind, object: &Value) -> BTreeMap<String, Vec<u8>> {
    let map = |field: &str| object.get(field).and_then(Value::as_object).into_iter().flatten();
    let plain = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.as_bytes().to_vec()));
    let encoded = |(key, value): (&String, &Value)| {
        let bytes: ByteString = serde_json::from_value(value.clone()).ok()?;
        Some((key.clone(), bytes.0))
    };
    match kind {
        Kind::ConfigMap => map("data").filter_map(plain).chain(map("binaryData").filter_map(encoded)).collect(),
        Kind::Secret => map("data").filter_map(encoded).chain(map("stringData").filter_map(plain)).collect(),
    }
}

async fn limited(call: impl Future<Output = kube::Result<DynamicObject>>) -> Result<Value, Failure> {
    let object = timed(call).await?;
    serde_json::to_value(object).map_err(|error| Failure::Unavailable(error.to_string()))
}

async fn timed<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    let Ok(answer) = tokio::time::timeout(LIMIT, call).await else {
        return Err(Failure::Unavailable(format!("the API server did not answer within {LIMIT:?}")));
    };
    answer.map_err(|error| match error {
        kube::Error::Api(status) => match status.code {
            404 => Failure::Gone,
            409 => Failure::Conflict(status.message),
            429 | 500.. => Failure::Unavailable(status.message),
            _ => Failure::Refused(status.message),
        },
        other => Failure::Unavailable(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_decoded() {
        let object = json!({"data": {"a": "aGk="}, "binaryData": {"b": "AP8="}, "stringData": {"c": "plain"}});
        let keys = |kind| content(kind, &object).into_iter().collect::<Vec<_>>();
        assert_eq!(keys(Kind::ConfigMap), [("a".into(), b"aGk=".to_vec()), ("b".into(), vec![0, 255])]);
        assert_eq!(keys(Kind::Secret), [("a".into(), b"hi".to_vec()), ("c".into(), b"plain".to_vec())]);
    }
}
