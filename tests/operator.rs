//! `automl operator` as a process: the built program against an API server over HTTP, trials as real processes, killed
//! and doubled.

#[path = "operator_support/flood.rs"]
mod flood;
mod otlp_support;

use automl_operator::api::{Experiment, Trial, crds};
use automl_operator::local::apiserver::{ApiServer, kubeconfig};
use automl_operator::local::runner::{Gpus, Runner, Settings};
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use otlp_support::Receiver;
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

/// A program that posts by itself with its agent's token, as often as it can, is told to wait. So is its agent, which loses
/// nothing by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_that_is_beside_itself_loses_nothing() {
    let cluster = Cluster::start().await;
    let _operator = cluster.operator(cluster.reports, &[]);
    let program = r#"
import http.client, os, urllib.parse
url, told = urllib.parse.urlsplit(os.environ["AUTOML_REPORT_URL"]), 0
with open(os.environ["AUTOML_TOKEN_FILE"]) as file:
    headers = {"Authorization": "Bearer " + file.read().strip()}
connection = http.client.HTTPConnection(url.netloc)
while told < 500:
    connection.request("POST", "/v1/report", b"{", headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status == 429:
        assert int(answer.getheader("Retry-After")) >= 1
        told += 1
        print(f"epoch={told} score={os.environ['X']}", flush=True)
    else:
        assert answer.status == 400, answer.status
"#;
    std::fs::write(cluster.work().join("flood.py"), program).unwrap();
    cluster.create(2, 1, "echo $AUTOML_TRIAL >> started; exec python3 flood.py").await;
    cluster.until("the end", || cluster.complete()).await;
    cluster.nothing_was_lost_or_doubled(2, 500);
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

/// With a port of their own metrics are there alone, and what is logged is changed there while the operator works: a line a
/// decision, then none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_and_the_log_level_have_a_port_of_their_own() {
    let cluster = Cluster::start().await;
    let metrics = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let operator = cluster.operator(cluster.reports, &["--metrics-address", &metrics.to_string(), "--log-json"]);
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let agent = ureq::Agent::new_with_config(config);
    let get = |address: SocketAddr| match agent.get(format!("http://{address}/metrics")).call() {
        Ok(mut answer) => (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap()),
        Err(_) => (0, String::new()),
    };
    cluster.until("metrics", || get(metrics).0 == 200).await;
    assert_eq!(get(cluster.reports).0, 404, "not where trials report");
    cluster.create(2, 1, "echo epoch=1 score=$X; while [ ! -e go ]; do sleep 0.1; done").await;
    // Known before it is stored, and gone with its trial.
    let heard =
        "automl_trial_last_observation_timestamp_seconds{experiment=\"e\",namespace=\"default\",trial=\"e-00000\"} ";
    cluster.until("a value is heard", || get(metrics).1.contains(heard)).await;
    std::fs::write(cluster.work().join("go"), "").unwrap();
    cluster.until("the end", || cluster.complete()).await;
    assert!(!get(metrics).1.contains(heard));
    let log = || {
        std::fs::read_to_string(cluster.folder.path().join(format!("operator-{}.log", cluster.reports.port()))).unwrap()
    };
    let decisions = |message: &str| {
        let lines = log();
        // The last one may be half written.
        let all = lines.lines().filter_map(|line| Some(serde_json::from_str::<Value>(line).ok()?["fields"].clone()));
        all.filter(|fields| fields["message"] == message).collect::<Vec<_>>()
    };
    cluster.until("the last line", || decisions("experiment ended").len() == 1).await;
    for message in ["trial created", "Job created", "trial ended"] {
        let told = decisions(message);
        assert_eq!(told.len(), 2, "{message}: {told:?}");
        assert!(told.iter().all(|fields| fields["experiment"] == "e" && fields["uid"].is_string()), "{told:?}");
    }
    assert_eq!(decisions("trial ended")[0]["reason"], "Succeeded");
    let (_, page) = get(metrics);
    assert!(page.contains("automl_stop_decisions_total{rule=\"Median\"} 0\n"), "{page}");
    assert!(
        page.contains("automl_report_lost_total 0\n") && page.contains("automl_report_refused_total 0\n"),
        "{page}"
    );
    let value = |name: &str| -> f64 {
        let line =
            page.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_else(|| panic!("{name}: {page}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("automl_largest_object_bytes{kind=\"Trial\"}") > 500.0, "{page}");
    let now = jiff::Timestamp::now().as_second() as f64;
    for kind in ["Experiment", "Trial", "Job"] {
        let age = now - value(&format!("automl_watch_last_event_timestamp_seconds{{kind=\"{kind}\"}}"));
        assert!((-5.0..120.0).contains(&age), "{kind}: {age}");
    }
    let put = |body: &str| agent.put(format!("http://{metrics}/log-level")).send(body).unwrap().status().as_u16();
    assert_eq!((put("louder"), put("error")), (400, 200));
    let before = log().lines().count();
    let patch = json!({"spec": {"limits": {"maxTrials": 3}}});
    let api: Api<Experiment> = Api::namespaced(cluster.server.client("default"), "default");
    api.patch("e", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(&patch)).await.unwrap();
    cluster.until("a third trial", || cluster.trials().len() == 3 && cluster.complete()).await;
    assert_eq!(log().lines().count(), before, "{}", log());
    drop(operator);
    cluster.runner.stop(Duration::from_secs(5)).await.unwrap();
}

/// A trial's spans are told when it has ended, and an operator that begins anew goes on with the same trace; programs know their
/// place in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_experiment_is_one_trace_whoever_tells_of_it() {
    let cluster = Cluster::start().await;
    let receiver = Receiver::start().await;
    let named = |name: &str| receiver.named(name);
    let more = ["--otlp-endpoint", receiver.endpoint.as_str()];
    let first = cluster.operator(cluster.reports, &more);
    cluster.create(3, 1, "echo $TRACEPARENT >> parents; echo epoch=1 score=$X; sleep 0.3").await;
    cluster.until("spans of a trial", || !named("running").is_empty()).await;
    first.kill();
    let second = cluster.operator(cluster.reports, &more);
    cluster.until("the root", || !named("experiment").is_empty()).await;
    let root = named("experiment").remove(0);
    let uid =
        cluster.server.peek("experiments", "default", "e").unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    let trace = uid.replace('-', "").to_lowercase();
    assert!(receiver.all().iter().all(|span| span["traceId"] == trace), "{trace}: {:#?}", receiver.all());
    let parents = std::fs::read_to_string(cluster.work().join("parents")).unwrap();
    let trials = named("trial");
    assert_eq!(parents.lines().count(), 3, "{parents}");
    for line in parents.lines() {
        let [_, told, span, _] = line.split('-').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert_eq!(told, trace);
        // One that ended as the first operator was killed may be told by neither, or by both.
        for trial in trials.iter().filter(|trial| trial["spanId"] == span) {
            assert_eq!(trial["parentSpanId"], root["spanId"]);
        }
    }
    assert!(trials.len() >= 2, "{trials:#?}");
    let waiting = named("waiting");
    assert!(waiting.iter().all(|span| span["events"][0]["name"] == "Job created"), "{waiting:#?}");
    let running = named("running");
    assert!(running.iter().any(|span| span["events"][0]["name"] == "first metric"), "{running:#?}");
    drop(second);
    cluster.runner.stop(Duration::from_secs(5)).await.unwrap();
}

/// What is missing is said alone, in a sentence a line, and the exit code says whether anything is.
#[test]
fn a_check_says_what_is_missing_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    std::fs::write(&file, kubeconfig(&format!("http://{nobody}"), "token")).unwrap();
    let check = |file: &std::path::Path, more: &[&str]| {
        let mut command = Command::new(AUTOML);
        command
            .args(["operator", "--check"])
            .args(more)
            .env("KUBECONFIG", file)
            .env_remove("RUST_LOG")
            .output()
            .unwrap()
    };
    let output = check(&file, &[]);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    assert!(out.starts_with("FAIL the API server cannot be reached: ") && out.lines().count() == 1, "{out}");
    assert!(out.contains("look at KUBECONFIG") && err.is_empty(), "{out}{err}");
    // Likewise of Prometheus: one that is not there, what is none, and one.
    let answering = |status: &'static str, body: &'static str| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            use std::io::{Read, Write};
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let length = body.len();
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
        });
        address
    };
    let good = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}"#;
    for (address, said) in [
        (nobody, "FAIL Prometheus: "),
        (answering("404 Not Found", r#"{"error":"nothing here"}"#), "FAIL Prometheus: "),
        (answering("200 OK", "{}"), "FAIL Prometheus: "),
        (answering("200 OK", good), "ok   Prometheus answers queries"),
    ] {
        let output = check(&file, &["--prometheus-url", &format!("http://{address}")]);
        let out = String::from_utf8_lossy(&output.stdout);
        let line = out.lines().find(|line| line.contains("Prometheus")).unwrap_or_default();
        assert!(line.starts_with(said), "{out}");
        assert!(!line.contains(": ;"), "it says why: {out}");
        assert_eq!(line.contains("; look at --prometheus-url"), said.starts_with("FAIL"), "{out}");
    }
    let output = check(&folder.path().join("nothing"), &[]);
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.starts_with("automl: there is no cluster to work with: ") && err.contains("set KUBECONFIG"), "{err}");
}
