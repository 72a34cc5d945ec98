//! The project's figures, as a table: `make bench`. Nothing here is asserted; speed belongs into a table, not into a test.

#[path = "support/embedded.rs"]
mod embedded;
#[path = "support/experiments.rs"]
mod experiments;
mod support;
#[path = "support/trials.rs"]
mod trials;

use automl_operator::api::{Experiment, Trial};
use automl_operator::cli::Allocator;
use automl_operator::controller::{Operator, Received, Telemetry};
use automl_operator::local::apiserver::{ApiServer, kubeconfig};
use automl_operator::metrics::{Format, LineParser, Observation, Push, Source};
use automl_operator::report::{Batch, Body, Record};
use automl_operator::server::{Intake, Pace};
use embedded::{config, server};
use experiments::experiment;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::row;
use trials::trial;

/// That of the program `automl`.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() {
    support::run(&[
        ("memory", || memory_and_restart(10_000)),
        ("trials", || whole_trials(2_000)),
        ("page", page),
        ("lines", lines),
        ("agent", agent),
    ]);
}

/// Of the greatest length.
fn curve() -> Value {
    let points: Vec<Value> = (0..256).map(|step| json!({"step": step, "value": f64::from(step) / 7.0})).collect();
    let curve = json!({"arrived": 256, "stride": 1, "points": points});
    json!([{"name": "accuracy", "count": 256, "nonFinite": 0, "latest": 0.5, "curve": curve}])
}

fn resident_mb(process: &str) -> f64 {
    status_mb(process, "VmRSS:")
}

/// A line of a process's status that is in kB.
fn status_mb(process: &str, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}

/// How soon the operator plans after a start, and what it holds then.
fn memory_and_restart(ended: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let server = server();
        let client = server.client("default");
        let created = create(&client, &experiment("Random", ended + 10, 1)).await;
        let trials: Api<Trial> = Api::namespaced(client.clone(), "default");
        for index in 0..ended {
            let mut trial = (*trial(index, 1, true)).clone();
            let mut status = json!(trial.status.take());
            status["metrics"] = curve();
            trial.metadata.resource_version = None;
            if let Some(references) = &mut trial.metadata.owner_references {
                references.iter_mut().for_each(|reference| reference.uid = created.uid().unwrap_or_default());
            }
            trials.create(&PostParams::default(), &trial).await.expect("created");
            trials
                .patch_status(&trial.name_any(), &PatchParams::default(), &Patch::Merge(json!({"status": status})))
                .await
                .expect("patched");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig(&url, "token")).expect("written");
        let serving = server.clone();
        tokio::spawn(async move { serving.serve(listener, "token").await });
        let start = Instant::now();
        let mut operator = Command::new(env!("CARGO_BIN_EXE_automl"))
            .args(["operator", "--listen", "127.0.0.1:0"])
            .env("KUBECONFIG", folder.path().join("kubeconfig"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        while server.peek("trials", "default", &format!("bench-{ended:05}")).is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        row(
            format!("start -> first new Trial, {ended} ended trials"),
            format!("{:.2} s", start.elapsed().as_secs_f64()),
        );
        tokio::time::sleep(Duration::from_secs(2)).await;
        let resident = resident_mb(&operator.id().to_string());
        row("resident memory of `automl operator` with them", format!("{resident:.1} MB"));
        let _ = operator.kill();
        let _ = operator.wait();
        server.stop();
    });
}

async fn create(client: &kube::Client, experiment: &Experiment) -> Experiment {
    let mut experiment = experiment.clone();
    (experiment.metadata.uid, experiment.metadata.resource_version, experiment.metadata.generation) =
        (None, None, None);
    experiment.status = None;
    Api::namespaced(client.clone(), "default").create(&PostParams::default(), &experiment).await.expect("created")
}

/// Whole trials through the real controllers and the embedded API server in memory; Jobs end at once.
fn whole_trials(count: u32) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let server = server();
        let operator = Operator::start(server.client_as("default", "automl-operator"), config()).expect("starts");
        let intake = Intake::new(operator.reports(), Pace::CLUSTER);
        let storing = tokio::spawn(Arc::clone(&intake).run());
        let kubelet = tokio::spawn(kubelet(server.clone(), Arc::clone(&intake)));
        let start = Instant::now();
        create(&server.client("default"), &experiment("Random", count, 32)).await;
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let done = server.peek("experiments", "default", "bench").is_some_and(|experiment| {
                let conditions = experiment["status"]["conditions"].as_array().cloned().unwrap_or_default();
                conditions.iter().any(|condition| condition["type"] == "Complete" && condition["status"] == "True")
            });
            if done {
                break;
            }
        }
        let elapsed = start.elapsed();
        row(
            format!("whole no-op trials a second ({count} trials, 32 at a time)"),
            format!("{:.0}", f64::from(count) / elapsed.as_secs_f64()),
        );
        let ours = server.audit_log().into_iter().filter(|record| {
            record.request.user_agent == "automl-operator"
                && record.request.verb.is_write()
                && !record.request.resource.starts_with("experiments")
                && record.request.resource != "tokenreviews"
        });
        let writes: Vec<_> = ours.collect();
        row(
            "API writes of ours a trial, without the experiment's status",
            format!("{:.2}", writes.len() as f64 / f64::from(count)),
        );
        kubelet.abort();
        storing.abort();
        operator.shutdown().await;
        server.stop();
    });
}

/// Ends each Job as soon as it is there, with a report. It is told of Jobs by the server itself and reads no answer, so
/// that little of the time is its own.
async fn kubelet(server: ApiServer, intake: Arc<Intake>) {
    let (seen, mut jobs) = tokio::sync::mpsc::unbounded_channel();
    server.add_observer(Arc::new(move |write| {
        if let (true, None, Some(job)) = (write.resource == "jobs", &write.before, &write.after) {
            let _ = seen.send(job.clone());
        }
    }));
    let client = server.client_as("default", "kubelet");
    while let Some(job) = jobs.recv().await {
        let (client, intake) = (client.clone(), Arc::clone(&intake));
        tokio::spawn(async move {
            let text = |pointer: &str| job.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let observation =
                Observation { metric: "accuracy".into(), step: Some(1), value: 0.5, time: Timestamp::now() };
            let batch = Batch {
                namespace: "default".into(),
                trial: text("/metadata/ownerReferences/0/name"),
                trial_uid: text("/metadata/ownerReferences/0/uid"),
                attempt: 0,
                session: "1".into(),
                after: None,
                records: vec![
                    Record { sequence: 1, body: Body::Observation(observation) },
                    Record {
                        sequence: 2,
                        body: Body::Ended {
                            exit_code: Some(0),
                            signal: None,
                            tail: String::new(),
                            left_out: 0,
                            parse_misses: 0,
                        },
                    },
                ],
                end: true,
            };
            let now = Timestamp::now().to_string();
            let url = format!("/apis/batch/v1/namespaces/default/jobs/{}/status", text("/metadata/name"));
            let patch = async |status: Value| {
                let body = kube::client::Body::from(json!({"status": status}).to_string().into_bytes());
                let request = http::Request::patch(&url).header("content-type", "application/merge-patch+json");
                let _ = client.send(request.body(body).expect("a request")).await;
            };
            patch(json!({"active": 1, "ready": 1, "startTime": now})).await;
            let _ = intake.receive(&batch).await;
            patch(json!({"active": 0, "ready": 0, "succeeded": 1, "completionTime": now, "conditions": [
                {"type": "SuccessCriteriaMet", "status": "True", "reason": "CompletionsReached", "lastTransitionTime": now},
                {"type": "Complete", "status": "True", "reason": "CompletionsReached", "lastTransitionTime": now},
            ]}))
            .await;
        });
    }
}

/// The page of metrics of an operator with many objects.
fn page() {
    let telemetry = Telemetry::new().expect("metrics");
    let experiments: Vec<Arc<Experiment>> = (0..10_000)
        .map(|at| {
            let mut one = experiment("TPE", 100, 4);
            one.metadata.name = Some(format!("an-experiment-with-a-name-{at}"));
            one.metadata.namespace = Some(format!("team-{}", at % 20));
            one.metadata.uid = Some(format!("u{at}"));
            Arc::new(one)
        })
        .collect();
    let trials: Vec<Arc<Trial>> = (0..3_000)
        .map(|index| {
            let mut one = trial(index, 1, false);
            let running = json!({"startTime": "2026-01-01T00:00:00Z", "metrics": curve()});
            Arc::make_mut(&mut one).status = serde_json::from_value(running).ok();
            one
        })
        .collect();
    let mut bytes = 0;
    let times = (0..10).map(|_| {
        let (experiments, trials) = (experiments.clone(), trials.clone());
        let start = Instant::now();
        let page =
            telemetry.render(experiments, trials, &|_, _| Received { at: Some(Timestamp::UNIX_EPOCH), latest: None });
        bytes = page.map_or(0, |(text, _)| text.len());
        start.elapsed()
    });
    let fastest = times.min().unwrap_or_default();
    row(
        "page of metrics, 10,000 Experiments and 3,000 running trials",
        format!("{:.0} ms, {:.1} MB", fastest.as_secs_f64() * 1e3, bytes as f64 / 1e6),
    );
}

/// The line parser by itself.
/// As PyTorch writes it.
const EVENT_FILE: &str = "tests/data/metrics/torch.tfevents";

fn lines() {
    let plain = b"INFO 2026-01-01 12:00:00 loading shard 17 of 100 from the data folder, this takes a while\n";
    let metric = b"epoch=3 accuracy=0.9312 loss=0.2145\n";
    for (what, line) in [("plain lines", plain.as_slice()), ("lines that all carry metrics", metric.as_slice())] {
        let mut parser = LineParser::new(["accuracy".to_owned(), "loss".to_owned()]);
        let text = line.repeat((64 << 20) / line.len());
        let start = Instant::now();
        for line in text.split(|byte| *byte == b'\n') {
            std::hint::black_box(parser.parse(line, Timestamp::UNIX_EPOCH));
        }
        row(format!("parser: {what}"), format!("{:.0} MB/s", text.len() as f64 / 1e6 / start.elapsed().as_secs_f64()));
    }
    let many = |head: &str, line: &str| (head.to_owned() + &line.repeat((32 << 20) / line.len())).into_bytes();
    let events = Path::new(env!("CARGO_MANIFEST_DIR")).join(EVENT_FILE);
    let events = std::fs::read(events).map(|file| file.repeat((16 << 20) / file.len().max(1))).unwrap_or_default();
    let sources = [
        ("JSON lines", Format::JsonLines, many("", "{\"epoch\": 3, \"accuracy\": 0.9312, \"loss\": 0.2145}\n")),
        ("CSV", Format::Csv, many("epoch,accuracy,loss\n", "3,0.9312,0.2145\n")),
        ("event files of TensorBoard", Format::TensorBoard, events),
        ("Prometheus' text, pages of 40 series", Format::Prometheus, many("", &page_of_a_program())),
    ];
    for (what, format, bytes) in sources {
        let metrics = ["accuracy".to_owned(), "loss".to_owned()];
        let Ok(mut source) = Source::new(format, &metrics, &[]) else { continue };
        let start = Instant::now();
        for part in bytes.chunks(64 << 10) {
            std::hint::black_box(source.feed(part, Timestamp::UNIX_EPOCH));
        }
        row(format!("parser: {what}"), format!("{:.0} MB/s", bytes.len() as f64 / 1e6 / start.elapsed().as_secs_f64()));
    }
    let mut push = Push::new(["accuracy".to_owned(), "loss".to_owned()]);
    let posted = b"{\"epoch\": 3, \"accuracy\": 0.9312, \"loss\": 0.2145}";
    let (start, count) = (Instant::now(), 200_000);
    for _ in 0..count {
        std::hint::black_box(push.parse(posted, Timestamp::UNIX_EPOCH).is_ok());
    }
    row(
        "parser: what programs post, an object each",
        format!("{:.0} /s", f64::from(count) / start.elapsed().as_secs_f64()),
    );
}

/// As a program's client library writes it: what it measures, and what such libraries tell of themselves.
fn page_of_a_program() -> String {
    let own =
        (0..36).map(|at| format!("http_requests_total{{method=\"get\",code=\"{at}\",handler=\"/train\"}} {at}.0\n"));
    let head = "# HELP accuracy On the validation set.\n# TYPE accuracy gauge\n";
    let tail = "process_start_time_seconds 1.7e9\nepoch 3.0\n# EOF\n";
    format!("{head}accuracy{{phase=\"val\"}} 0.9312\n# TYPE loss gauge\nloss 0.2145\n{}{tail}", own.collect::<String>())
}

/// The whole agent around `cat`, and its resident memory when idle.
fn agent() {
    let program = env!("CARGO_BIN_EXE_automl-agent");
    let file = std::env::temp_dir().join(format!("automl-bench-{}", std::process::id()));
    let line = b"INFO 2026-01-01 12:00:00 loading shard 17 of 100 from the data folder, this takes a while\n";
    let bytes = line.repeat((512 << 20) / line.len());
    if std::fs::write(&file, &bytes).is_ok() {
        let start = Instant::now();
        let status = Command::new(program).args(["exec", "--", "cat"]).arg(&file).stdout(Stdio::null()).status();
        assert!(status.is_ok_and(|status| status.success()));
        row(
            "agent: plain lines, from `cat` to /dev/null",
            format!("{:.0} MB/s", bytes.len() as f64 / 1e6 / start.elapsed().as_secs_f64()),
        );
        let _ = std::fs::remove_file(&file);
    }
    let push = r#"{"push": {}}"#;
    let talk = "i=0; while [ $i -lt 200000 ]; do echo epoch=$i accuracy=0.5 loss=0.25; i=$((i+1)); done; sleep 30";
    for (what, script, source) in [
        ("idle trial", "sleep 30", ""),
        ("idle trial that may push", "sleep 30", push),
        ("after 200,000 lines with metrics", talk, ""),
    ] {
        let mut command = Command::new(program);
        command.args(["exec", "--", "sh", "-c", script]).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("AUTOML_REPORT_URL", "http://127.0.0.1:1").env("AUTOML_METRICS", r#"["accuracy", "loss"]"#);
        // Any file will do as that of the token: nothing is posted.
        command.env("AUTOML_SOURCE", source).env("AUTOML_TOKEN_FILE", program);
        let Ok(mut child) = command.spawn() else { continue };
        std::thread::sleep(Duration::from_secs(4));
        let process = child.id().to_string();
        let (all, own) = (resident_mb(&process), status_mb(&process, "RssAnon:"));
        row(format!("agent: resident memory, {what}, and of that its own"), format!("{all:.1} MB, {own:.1} MB"));
        let _ = child.kill();
        let _ = child.wait();
    }
}
