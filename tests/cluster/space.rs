//! A namespace of one test, and what there is in it.

use super::bench::output;
use automl_operator::api::conditions::{find, is_true, types};
use automl_operator::api::{Experiment, ExperimentStatus, Trial, TrialStatus};
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::discovery::ApiResource;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::future::Future;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// A pod takes seconds, a busy machine some more.
const PATIENCE: Duration = Duration::from_secs(240);

#[derive(Clone)]
pub struct Space {
    pub client: Client,
    pub namespace: String,
    /// When it was made.
    pub since: Timestamp,
}

/// Path of the kubeconfig of a cluster that is the tests' own. `None`: there is none, and a line says so.
pub fn kubeconfig() -> Option<PathBuf> {
    let path = std::env::var_os("AUTOML_TEST_CLUSTER").map(PathBuf::from);
    if path.is_none() {
        eprintln!("skipped: there is no cluster with pods; make test-cluster starts one");
    }
    path
}

impl Space {
    /// An empty namespace under Pod Security "restricted". `None`: there is no cluster.
    pub async fn new(name: &str) -> Option<Self> {
        Self::with_labels(name, json!({"pod-security.kubernetes.io/enforce": "restricted"})).await
    }

    /// An empty namespace for any pod.
    pub async fn open(name: &str) -> Option<Self> {
        Self::with_labels(name, json!({})).await
    }

    async fn with_labels(name: &str, labels: Value) -> Option<Self> {
        let kubeconfig = Kubeconfig::read_from(kubeconfig()?).unwrap();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let client = Client::try_from(config).unwrap();
        let space = Space { client, namespace: format!("automl-test-{name}"), since: Timestamp::now() };
        // One may be there that a failed test has left.
        space.clone().end().await;
        space.until("an earlier namespace is gone", |space| async move { space.is_gone().await.then_some(()) }).await;
        let object = json!({"metadata": {"name": space.namespace, "labels": labels}});
        let namespaces: Api<Namespace> = Api::all(space.client.clone());
        namespaces.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        Some(space)
    }

    /// Deletes the namespace, and does not wait for that.
    pub async fn end(self) {
        let namespaces: Api<Namespace> = Api::all(self.client);
        match namespaces.delete(&self.namespace, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn is_gone(&self) -> bool {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.get_opt(&self.namespace).await.unwrap().is_none()
    }

    pub fn api<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub async fn create(&self, object: &Value) {
        let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        let types = object.types.clone().unwrap();
        let (group, version) = types.api_version.split_once('/').unwrap_or(("", &types.api_version));
        let resource = ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(group, version, &types.kind));
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    /// Waits until the API server answers and can read and write, after it did not.
    pub async fn until_answered(&self) {
        let start = Instant::now();
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let label = Patch::Merge(
            json!({"metadata": {"labels": {"automl-test/answered": format!("{}", start.elapsed().as_nanos())}}}),
        );
        while namespaces.patch(&self.namespace, &PatchParams::default(), &label).await.is_err() {
            assert!(start.elapsed() < PATIENCE, "the API server does not answer");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub async fn delete(&self, experiment: &str, how: DeleteParams) {
        self.api::<Experiment>().delete(experiment, &how).await.unwrap();
    }

    /// Changes the spec of this Experiment.
    pub async fn edit(&self, experiment: &str, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.api::<Experiment>().patch(experiment, &PatchParams::default(), &patch).await.unwrap();
    }

    /// The status of this Experiment; empty while there is none.
    pub async fn status(&self, experiment: &str) -> ExperimentStatus {
        self.api::<Experiment>().get(experiment).await.unwrap().status.unwrap_or_default()
    }

    /// The only Experiment.
    pub async fn experiment(&self) -> Experiment {
        self.list().await.into_iter().next().unwrap()
    }

    pub async fn trials(&self) -> Vec<Trial> {
        self.list().await
    }

    pub async fn jobs(&self) -> Vec<Job> {
        self.list().await
    }

    pub async fn pods(&self) -> Vec<Pod> {
        self.list().await
    }

    /// The pod of this Trial.
    pub async fn pod_of(&self, trial: &str) -> Pod {
        let labels = ListParams::default().labels(&format!("automl.dev/trial={trial}"));
        self.api::<Pod>().list(&labels).await.unwrap().items.remove(0)
    }

    pub async fn node_is_cordoned(&self, node: &str) -> bool {
        let node = Api::<Node>::all(self.client.clone()).get(node).await.unwrap();
        node.spec.and_then(|spec| spec.unschedulable) == Some(true)
    }

    /// Calls `kubectl` with this cluster and namespace.
    pub fn kubectl(&self) -> Command {
        let mut kubectl = Command::new("kubectl");
        kubectl.arg("--kubeconfig").arg(kubeconfig().unwrap()).args(["--namespace", &self.namespace]);
        kubectl
    }

    /// As a person does it: `kubectl apply -f` this text.
    pub fn apply(&self, text: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        output(self.kubectl().arg("apply").arg("-f").arg(file.path()));
    }

    /// The trials of this Experiment in the order of their names, each with its status.
    pub async fn trials_of(&self, experiment: &str) -> Vec<(Trial, TrialStatus)> {
        let all = self.trials().await.into_iter().filter(|trial| trial.spec.experiment == experiment);
        all.map(|trial| (trial.clone(), trial.status.unwrap_or_default())).collect()
    }

    /// A token of the namespace's ServiceAccount, for this audience, bound to this pod.
    pub async fn token(&self, audience: &str, pod: Option<&Pod>) -> String {
        let mut request = json!({"spec": {"audiences": [audience], "expirationSeconds": 600}});
        if let Some(Pod { metadata, .. }) = pod {
            request["spec"]["boundObjectRef"] =
                json!({"apiVersion": "v1", "kind": "Pod", "name": metadata.name, "uid": metadata.uid});
        }
        let (accounts, request) = (self.api::<ServiceAccount>(), serde_json::from_value(request).unwrap());
        let answer = accounts.create_token_request("default", &PostParams::default(), &request).await.unwrap();
        answer.status.unwrap().token
    }

    /// Waits until this many trials of an Experiment run.
    pub async fn until_running(&self, experiment: &'static str, count: usize) {
        let look = |space: Space| async move {
            let all = space.trials_of(experiment).await;
            (all.iter().filter(|(_, status)| status.start_time.is_some()).count() >= count).then_some(())
        };
        self.until(&format!("{count} trials of {experiment} run"), look).await;
    }

    /// Waits until this Experiment has ended, which must be well.
    pub async fn complete(&self, experiment: &'static str) -> ExperimentStatus {
        let look = |space: Space| async move {
            let status = space.status(experiment).await;
            assert!(!is_true(&status.conditions, types::FAILED), "{experiment}: {}", space.report().await);
            is_true(&status.conditions, types::COMPLETE).then_some(status)
        };
        self.until(&format!("{experiment} is complete"), look).await
    }

    /// Waits until this Experiment has failed.
    pub async fn failed(&self, experiment: &'static str) {
        let look = |space: Space| async move {
            is_true(&space.status(experiment).await.conditions, types::FAILED).then_some(())
        };
        self.until(&format!("{experiment} has failed"), look).await;
    }

    /// Waits until the message of this Experiment's condition `Complete` has these words; gives all of it.
    pub async fn says(&self, experiment: &'static str, words: &'static str) -> String {
        let look = |space: Space| async move {
            let conditions = space.status(experiment).await.conditions;
            find(&conditions, types::COMPLETE).map(|said| said.message.clone()).filter(|said| said.contains(words))
        };
        self.until(&format!("{experiment} says {words:?}"), look).await
    }

    pub async fn list<K>(&self) -> Vec<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + DeserializeOwned + Clone + std::fmt::Debug,
    {
        self.api::<K>().list(&ListParams::default()).await.unwrap().items
    }

    /// The condition of the only Experiment, where it has this status.
    pub async fn condition(self, r#type: &'static str, status: &'static str) -> Option<Value> {
        let conditions = self.experiment().await.status?.conditions;
        let found = conditions.into_iter().find(|c| c.r#type == r#type && c.status == status)?;
        Some(json!(found))
    }

    /// The message of a Trial that waits, where it contains these words.
    pub async fn waits(self, words: &'static str) -> Option<String> {
        let trials = self.trials().await;
        let conditions = trials.into_iter().filter_map(|trial| trial.status).flat_map(|status| status.conditions);
        conditions.map(|condition| condition.message).find(|message| message.contains(words))
    }

    pub async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, look: impl Fn(Space) -> F) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = look(self.clone()).await {
                return found;
            }
            assert!(start.elapsed() < PATIENCE, "it does not come true: {what}\n{}", self.report().await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What there is, for the message of a failed test.
    pub async fn report(&self) -> String {
        let mut text = String::new();
        for experiment in self.list::<Experiment>().await {
            text += &format!("{:?} {}\n", experiment.metadata.name, json!(experiment.status));
        }
        for trial in self.trials().await {
            text += &format!("{:?} {}\n", trial.metadata.name, json!(trial.status));
        }
        for job in self.jobs().await {
            text += &format!("{:?} {}\n", job.metadata.name, json!(job.status));
        }
        text
    }
}
