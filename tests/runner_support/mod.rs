//! A machine to test on: an API server, folders, and a runner that can be stopped and started.

pub mod crash;

use automl_operator::local::apiserver::ApiServer;
use automl_operator::local::runner::job::Backoff;
use automl_operator::local::runner::{Runner, RunnerError, Settings, log_path};
use jiff::SignedDuration;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest wait for anything; only a broken runner ever waits so long.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct Bench {
    folder: tempfile::TempDir,
    pub server: ApiServer,
    settings: Settings,
    runner: Option<Runner>,
}

/// Short pauses, where Kubernetes has long ones.
pub fn settings(folder: &Path) -> Settings {
    let pause = |millis| SignedDuration::from_millis(millis);
    Settings {
        job_backoff: Backoff { base: pause(10), limit: pause(50) },
        restart_backoff: Backoff { base: pause(10), limit: pause(50) },
        leftover_grace: Duration::from_millis(300),
        cpus: Some(4),
        ..Settings::new(folder.join("state"), folder.join("work"))
    }
}

impl Bench {
    pub async fn without_runner() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        let settings = settings(folder.path());
        let server = ApiServer::builder().build().unwrap();
        let tokens = settings.tokens.clone();
        server.set_token_reviewer(Arc::new(move |spec| tokens.answer(spec)));
        Self { folder, server, settings, runner: None }
    }

    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut bench = Self::without_runner().await;
        change(&mut bench.settings);
        bench.start_runner().await;
        bench
    }

    pub async fn start_runner(&mut self) {
        self.runner = Some(self.second_runner().await.unwrap());
    }

    pub async fn second_runner(&self) -> Result<Runner, RunnerError> {
        Runner::start(self.server.client("default"), self.settings.clone()).await
    }

    pub async fn stop_runner(&mut self) {
        if let Some(runner) = self.runner.take() {
            runner.stop(Duration::from_secs(5)).await.unwrap();
        }
    }

    pub async fn stop(mut self) {
        self.stop_runner().await;
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where processes run.
    pub fn base(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn api(&self, plural: &str) -> Api<DynamicObject> {
        let (group, kind) = match plural {
            "jobs" => ("batch", "Job"),
            "pods" => ("", "Pod"),
            "configmaps" => ("", "ConfigMap"),
            _ => panic!("{plural}"),
        };
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural);
        Api::namespaced_with(self.server.client("default"), "default", &resource)
    }

    pub async fn create(&self, plural: &str, mut object: Value) {
        let resource = match plural {
            "jobs" => ("batch/v1", "Job"),
            "pods" => ("v1", "Pod"),
            _ => ("v1", "ConfigMap"),
        };
        (object["apiVersion"], object["kind"]) = (resource.0.into(), resource.1.into());
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        self.api(plural).create(&PostParams::default(), &object).await.unwrap();
    }

    pub async fn patch(&self, plural: &str, name: &str, patch: Value) {
        self.api(plural).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    pub async fn delete(&self, plural: &str, name: &str, grace: Option<u32>) {
        let parameters = DeleteParams { grace_period_seconds: grace, ..DeleteParams::background() };
        self.api(plural).delete(name, &parameters).await.unwrap();
    }

    pub async fn get(&self, plural: &str, name: &str) -> Option<Value> {
        self.api(plural).get_opt(name).await.unwrap().map(|object| serde_json::to_value(object).unwrap())
    }

    pub async fn list(&self, plural: &str) -> Vec<Value> {
        let list = self.api(plural).list(&ListParams::default()).await.unwrap();
        list.items.into_iter().map(|object| serde_json::to_value(object).unwrap()).collect()
    }

    pub async fn until(&self, plural: &str, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let object = self.get(plural, name).await.unwrap_or_default();
            if holds(&object) {
                return object;
            }
            assert!(start.elapsed() < PATIENCE, "{plural}/{name} does not come there: {object:#}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn job_until(&self, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.until("jobs", name, holds).await
    }

    /// The newest pod of a Job.
    pub async fn pod_of(&self, job: &str) -> Value {
        self.newest_pod(job).await.unwrap_or_else(|| panic!("{job} has no pod"))
    }

    async fn newest_pod(&self, job: &str) -> Option<Value> {
        let version = |pod: &Value| -> u64 { pod["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap() };
        let pods = self.list("pods").await.into_iter();
        pods.filter(|pod| pod["metadata"]["labels"]["job-name"] == job).max_by_key(version)
    }

    pub async fn pod_until(&self, job: &str, holds: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("a pod of {job} comes there"), || async { self.newest_pod(job).await.filter(&holds) }).await
    }

    pub async fn no_pods(&self) {
        eventually("no pod is left", || async { self.list("pods").await.is_empty().then_some(()) }).await;
    }

    pub fn log(&self, pod: &str) -> String {
        std::fs::read_to_string(log_path(&self.folder.path().join("state"), "default", pod)).unwrap()
    }

    pub fn pod_folders(&self) -> Vec<PathBuf> {
        let folders = std::fs::read_dir(self.folder.path().join("state/pods")).unwrap();
        folders.map(|folder| folder.unwrap().path()).collect()
    }

    /// Waits for one file and reads a PID from another, both in the folder where processes run.
    pub async fn pid_of(&self, sign: &str, file: &str) -> i32 {
        eventually(sign, || async { self.base().join(sign).exists().then_some(()) }).await;
        std::fs::read_to_string(self.base().join(file)).unwrap().trim().parse().unwrap()
    }

    pub fn lines(&self, file: &str) -> usize {
        std::fs::read_to_string(self.base().join(file)).map_or(0, |text| text.lines().count())
    }

    pub async fn token_review(&self, token: &str) -> Value {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {},
            "spec": {"token": token, "audiences": ["automl"]},
        });
        let request = http::Request::post("/apis/authentication.k8s.io/v1/tokenreviews")
            .header("content-type", "application/json")
            .body(serde_json::to_vec(&review).unwrap())
            .unwrap();
        let answer: Value = self.server.client("default").request(request).await.unwrap();
        answer["status"].clone()
    }
}

/// Waits until there is something.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "it does not come true: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn shell_job(name: &str, script: &str) -> Value {
    let container = json!({"name": "main", "image": "any", "command": ["sh", "-c", script]});
    let pod = json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "containers": [container]});
    json!({"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": {"spec": pod}}})
}

pub fn shell_pod(name: &str, script: &str) -> Value {
    let container = json!({"name": "main", "image": "any", "command": ["sh", "-c", script]});
    json!({"metadata": {"name": name}, "spec": {"restartPolicy": "Never", "containers": [container]}})
}

pub fn condition<'a>(object: &'a Value, r#type: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == r#type)
}

pub fn finished(job: &Value) -> Option<&str> {
    ["Complete", "Failed"].into_iter().find(|r#type| condition(job, r#type).is_some())
}
