//! A namespace of one test, and what there is in it.

use automl_operator::api::{Experiment, Trial};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::discovery::ApiResource;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::future::Future;
use std::time::{Duration, Instant};

/// Where the chart is installed.
pub const OPERATOR: &str = "automl-system";
/// A pod takes seconds, a busy machine some more.
const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Clone)]
pub struct Space {
    pub client: Client,
    namespace: String,
}

impl Space {
    /// An empty namespace under Pod Security "restricted". `None`: there is no cluster.
    pub async fn new(name: &str) -> Option<Self> {
        let Some(path) = std::env::var_os("AUTOML_TEST_CLUSTER") else {
            eprintln!("skipped: there is no cluster with pods; make test-cluster starts one");
            return None;
        };
        let kubeconfig = Kubeconfig::read_from(path).unwrap();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let client = Client::try_from(config).unwrap();
        let namespace = format!("automl-test-{name}");
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        }});
        namespaces.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        Some(Space { client, namespace })
    }

    pub async fn end(self) {
        let namespaces: Api<Namespace> = Api::all(self.client);
        namespaces.delete(&self.namespace, &DeleteParams::default()).await.unwrap();
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

    pub async fn delete(&self, experiment: &str) {
        self.api::<Experiment>().delete(experiment, &DeleteParams::foreground()).await.unwrap();
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

    async fn list<K>(&self) -> Vec<K>
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

    /// The condition of this Experiment, where its message contains these words and it says something.
    pub async fn condition_of(self, name: &'static str, r#type: &'static str, words: &'static str) -> Option<Value> {
        let conditions = self.api::<Experiment>().get(name).await.unwrap().status?.conditions;
        let found = conditions.into_iter().find(|c| c.r#type == r#type && c.message.contains(words))?;
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
    async fn report(&self) -> String {
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

/// A container that runs a script, as Pod Security "restricted" wants it.
pub fn busybox(script: &str) -> Value {
    json!({
        "name": "train", "image": "localhost/automl-test/busybox:1", "imagePullPolicy": "Never",
        "command": ["sh", "-c", script],
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    })
}

pub fn experiment(name: &str, limits: Value, container: Value) -> Value {
    json!({
        "apiVersion": "automl.dev/v1alpha1", "kind": "Experiment", "metadata": {"name": name},
        "spec": {
            "objectives": [{"metric": "accuracy", "direction": "Maximize"}],
            "parameters": [{"name": "x", "double": {"min": 0.0, "max": 1.0}}],
            "algorithm": {"name": "Random", "seed": 1},
            "limits": limits,
            "trialTemplate": {"primaryContainer": "train", "manifest": {
                "apiVersion": "batch/v1", "kind": "Job",
                "spec": {"template": {"spec": {
                    "restartPolicy": "Never",
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [container],
                }}},
            }},
        },
    })
}
