//! The operator that is tested, as the chart has installed it.

use super::space::Space;
use futures::FutureExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;
use std::panic::AssertUnwindSafe;

/// Where the chart is installed.
const NAMESPACE: &str = "automl-system";
const SELECTOR: &str = "app.kubernetes.io/name=automl-operator";

pub struct Release {
    space: Space,
}

impl Release {
    pub fn new(space: &Space) -> Self {
        Release { space: Space { namespace: NAMESPACE.into(), ..space.clone() } }
    }

    pub async fn deployment(&self) -> Deployment {
        let all = self.space.api::<Deployment>().list(&ListParams::default().labels(SELECTOR)).await.unwrap();
        all.items.into_iter().next().expect("the chart is installed in automl-system")
    }

    async fn all_pods(&self) -> Vec<Pod> {
        self.space.api::<Pod>().list(&ListParams::default().labels(SELECTOR)).await.unwrap().items
    }

    /// Pods that are not about to end.
    pub async fn pods(&self) -> Vec<Pod> {
        let all = self.all_pods().await;
        all.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect()
    }

    /// Waits until as many pods are ready as there should be, and no others are left.
    pub async fn until_ready(&self) {
        let look = |space: Space| async move {
            let release = Release { space };
            let (deployment, pods) = (release.deployment().await, release.all_pods().await);
            let wanted = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
            let ready = deployment.status.and_then(|status| status.ready_replicas).unwrap_or(0);
            (ready == wanted && pods.len() == usize::try_from(wanted).unwrap()).then_some(())
        };
        self.space.until("the operator is ready", look).await;
    }

    async fn scale(&self, replicas: u32) {
        let name = self.deployment().await.name_any();
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.space.api::<Deployment>().patch(&name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Does this while there are so many replicas.
    pub async fn with_replicas<T>(&self, replicas: u32, body: impl Future<Output = T>) -> T {
        self.scale(replicas).await;
        self.until_ready().await;
        let done = AssertUnwindSafe(body).catch_unwind().await;
        // A test that fails must not take it away from the others.
        self.scale(1).await;
        self.until_ready().await;
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Who leads, as the Lease says, which is named as the Deployment is.
    pub async fn leader(&self) -> Option<String> {
        let name = self.deployment().await.name_any();
        let lease = self.space.api::<Lease>().get_opt(&name).await.unwrap()?;
        lease.spec?.holder_identity.filter(|holder| !holder.is_empty())
    }

    /// Forgets who leads. Only for one that cannot write any more: another need not wait then until the Lease has expired.
    pub async fn forget_leader(&self) {
        let name = self.deployment().await.name_any();
        self.space.api::<Lease>().delete(&name, &DeleteParams::default()).await.unwrap();
    }

    pub async fn delete_at_once(&self, pod: &Pod) {
        let _ = self.space.api::<Pod>().delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await;
    }

    /// The first of its pods that is seen with a running container that is none of these; its name and the container's id.
    pub async fn running(&self, known: &[String]) -> (Pod, String) {
        let look = |space: Space| async move {
            Release { space }.pods().await.into_iter().find_map(|pod| {
                let status = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
                status.state.as_ref()?.running.as_ref()?;
                let id = status.container_id.as_ref()?.split_once("://")?.1.to_owned();
                (!known.contains(&id)).then_some((pod, id))
            })
        };
        self.space.until("a pod of the operator runs", look).await
    }

    /// Its metrics, read through the API server.
    pub async fn metrics(&self) -> String {
        let service = self.deployment().await.name_any();
        let url = format!("/api/v1/namespaces/{NAMESPACE}/services/{service}:metrics/proxy/metrics");
        let request = http::Request::get(url).body(Vec::new()).unwrap();
        self.space.client.request_text(request).await.unwrap()
    }
}
