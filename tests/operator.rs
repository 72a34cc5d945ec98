//! `automl operator` as a process: the built program against an API server over HTTP, trials as real processes, killed
//! and doubled.

#[path = "operator_support/flood.rs"]
mod flood;

use automl_operator::api::{Experiment, Trial, crds};
use automl_operator::local::apiserver::{ApiServer, kubeconfig};
use automl_operator::local::runner::{Gpus, Runner, Settings};
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpListener;

const AUTOML: &str = env!("CARGO_BIN_EXE_automl");
const AGENT: &str = env!("CARGO_BIN_EXE_automl-agent");

/// A cluster without an operator: an API server on loopback, and this machine's processes as its pods.
struct Cluster {
    folder: TempDir,
    server: ApiServer,
    runner: Runner,
    /// Where the operator takes reports, whichever of its lives it is in.
    reports: SocketAddr,
}

impl Cluster {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("work")).unwrap();
        let builder =
            crds().unwrap().into_iter().fold(ApiServer::builder(), |b, crd| b.custom_resource_definition(crd));
        let server = builder.audit_log().build().unwrap();
        let mut settings = Settings::new(path("state"), path("work"));
        settings.gpus = Gpus::Count(0);
        settings.agent_command = vec![OsString::from(AGENT)];
        let tokens = settings.tokens.clone();
        server.set_token_reviewer(Arc::new(move |spec| tokens.answer(spec)));
        let runner = Runner::start(server.client_as("default", "runner"), settings).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::fs::write(path("kubeconfig"), kubeconfig(&url, "token")).unwrap();
        let serving = server.clone();
        tokio::spawn(async move { serving.serve(listener, "token").await });
        // A free port; each life of the operator listens on it again.
        let reports = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        Cluster { folder, server, runner, reports }
    }

    fn operator(&self, listen: SocketAddr, more: &[&str]) -> Operator {
        let log = std::fs::File::create(self.folder.path().join(format!("operator-{}.log", listen.port()))).unwrap();
        let child = Command::new(AUTOML)
            .args(["operator", "--listen", &listen.to_string(), "--report-url", &format!("http://{}", self.reports)])
            .args(more)
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Operator(child)
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    async fn create(&self, trials: u32, parallel: u32, script: &str) {
        let container = json!({"name": "main", "image": "none", "command": ["sh", "-c", script]});
        let experiment: Experiment = serde_json::from_value(json!({
            "apiVersion": "automl.dev/v1alpha1", "kind": "Experiment", "metadata": {"name": "e"},
            "spec": {
                "objectives": [{"metric": "score", "direction": "Maximize"}],
                "parameters": [{"name": "x", "double": {"min": 0, "max": 1}}],
                "algorithm": {"name": "TPE", "seed": 3},
                "limits": {"maxTrials": trials, "parallelTrials": parallel},
                "trialTemplate": {"primaryContainer": "main", "manifest": {
                    "apiVersion": "batch/v1", "kind": "Job",
                    "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
                }},
            },
        }))
        .unwrap();
        let api: Api<Experiment> = Api::namespaced(self.server.client("default"), "default");
        api.create(&PostParams::default(), &experiment).await.unwrap();
    }

    fn complete(&self) -> bool {
        let Some(experiment) = self.server.peek("experiments", "default", "e") else { return false };
        let conditions = experiment["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|condition| condition["type"] == "Complete" && condition["status"] == "True")
    }

    fn trials(&self) -> Vec<Trial> {
        self.server.dump("trials").iter().map(|trial| serde_json::from_value((**trial).clone()).unwrap()).collect()
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(90);
        while !holds() {
            let state = || [self.server.dump("experiments"), self.server.dump("trials")].concat();
            assert!(Instant::now() < deadline, "waited in vain for {what}: {:#?}", state());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Every trial has run once, in one attempt, and all that it printed was stored once.
    fn nothing_was_lost_or_doubled(&self, trials: usize, epochs: u64) {
        let mut starts: BTreeMap<String, usize> = BTreeMap::new();
        for line in std::fs::read_to_string(self.work().join("started")).unwrap().lines() {
            *starts.entry(line.to_owned()).or_default() += 1;
        }
        assert_eq!(starts.len(), trials, "{starts:?}");
        assert!(starts.values().all(|count| *count == 1), "{starts:?}");
        let all = self.trials();
        assert_eq!(all.len(), trials);
        for trial in all {
            let status = trial.status.clone().unwrap();
            let x = json!(trial.spec.assignments["x"]).as_f64();
            assert_eq!((status.attempt, status.objective), (0, x), "{}", trial.name_any());
            assert_eq!(status.metrics[0].count, epochs, "{}", trial.name_any());
        }
    }
}

/// Ended, by force, with the test.
struct Operator(Child);

impl Operator {
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([format!("-{name}"), self.0.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const SCRIPT: &str = "echo $AUTOML_TRIAL >> started; for e in 1 2 3 4 5; do echo epoch=$e score=$X; sleep 0.1; done";

/// The trials run on while the operator is away, and what they say meanwhile is told to its next life.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_ten_times_in_one_experiment() {
    let cluster = Cluster::start().await;
    cluster.create(12, 3, SCRIPT).await;
    for kill in 0..10_u64 {
        let operator = cluster.operator(cluster.reports, &[]);
        tokio::time::sleep(Duration::from_millis(100 + kill * 89 % 500)).await;
        operator.kill();
    }
    let mut operator = cluster.operator(cluster.reports, &[]);
    cluster.until("the end", || cluster.complete()).await;
    cluster.nothing_was_lost_or_doubled(12, 5);
    cluster.until("it listens", || std::net::TcpStream::connect(cluster.reports).is_ok()).await;
    operator.signal("TERM");
    assert_eq!(operator.0.wait().unwrap().code(), Some(0), "SIGTERM ends it in order");
    cluster.runner.stop(Duration::from_secs(5)).await.unwrap();
}

/// The leader is frozen past its lease, the other takes over; thawed, the first one ends by itself and doubles nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_and_a_frozen_leader() {
    let cluster = Cluster::start().await;
    let lease = ["--lease-namespace", "default"];
    let mut first = cluster.operator(cluster.reports, &lease);
    let holder = || {
        let lease = cluster.server.peek("leases", "default", "automl-operator")?;
        lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
    };
    cluster.until("a leader", || holder().is_some()).await;
    let leader = holder();
    cluster.create(6, 2, SCRIPT).await;
    let ended = || {
        cluster
            .trials()
            .iter()
            .filter(|trial| trial.status.as_ref().is_some_and(|s| s.completion_time.is_some()))
            .count()
    };
    cluster.until("some trials", || ended() >= 2).await;
    first.signal("STOP");
    // The port that trials report to is the first one's: its rival gets another, which they cannot know. What they say
    // is therefore taken only once the first one is gone.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let second = cluster.operator(free, &lease);
    cluster.until("another leader", || holder().is_some_and(|now| Some(now) != leader)).await;
    first.signal("CONT");
    assert_eq!(first.0.wait().unwrap().code(), Some(1), "whoever has lost the lease ends, to start afresh");
    drop(second);
    let _third = cluster.operator(cluster.reports, &lease);
    cluster.until("the end", || cluster.complete()).await;
    cluster.nothing_was_lost_or_doubled(6, 5);
    cluster.runner.stop(Duration::from_secs(5)).await.unwrap();
}

/// A trial's life costs six writes of the operator, over HTTP as in the simulation; at rest there are none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_writes_a_trial_and_none_at_rest() {
    let cluster = Cluster::start().await;
    let _operator = cluster.operator(cluster.reports, &[]);
    cluster.create(4, 2, SCRIPT).await;
    cluster.until("the end", || cluster.complete() && cluster.server.dump("jobs").is_empty()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let ours = || -> Vec<Value> {
        let log = cluster.server.audit_log();
        let writes = log.into_iter().filter(|line| {
            line.request.verb.is_write()
                && line.request.user_agent.starts_with("automl-operator/")
                && !matches!(line.request.resource.as_str(), "experiments" | "events" | "tokenreviews")
        });
        writes.map(|line| json!(line.request.path)).collect()
    };
    let writes = ours();
    assert!(writes.len() <= 4 * 6 + 1, "six a trial, and one dry run: {writes:#?}");
    assert!(writes.len() >= 4 * 5, "the operator's writes were counted: {writes:#?}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(ours(), writes, "none at rest");
    cluster.runner.stop(Duration::from_secs(5)).await.unwrap();
}
