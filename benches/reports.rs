//! What reports cost: how many observations a second are stored, and how long one waits until it is in its Trial's status.
//! Part of `make bench`; nothing here is asserted.

#[path = "support/embedded.rs"]
mod embedded;
#[path = "support/experiments.rs"]
mod experiments;
mod support;

use automl_operator::cli::Allocator;
use automl_operator::controller::Operator;
use automl_operator::metrics::Observation;
use automl_operator::report::{Batch, Body, Record};
use automl_operator::server::{Intake, Pace};
use embedded::{config, server};
use experiments::experiment;
use futures::StreamExt;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use serde_json::json;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use support::row;
use tokio::time::Instant;

/// That of the program `automl`.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// How long trials report.
const LONG: Duration = Duration::from_secs(20);
/// From one batch to the next, as an agent that has something to say.
const BATCH: Duration = Duration::from_secs(1);
/// What an agent sends at most, see `report::Outbox`.
const KEPT: usize = 512;

fn main() {
    support::run(&[("reports", || {
        reporting(200, 50);
        reporting(20, 5);
    })]);
}

/// What was printed and not yet acknowledged, and how long the others waited.
#[derive(Default)]
struct Told {
    stored: usize,
    waited: Vec<Duration>,
}

/// So many trials at a time print so many values a second each, and are judged by a rule.
fn reporting(trials: u32, values: u64) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let server = server();
        let operator = Operator::start(server.client_as("default", "automl-operator"), config()).expect("starts");
        let intake = Intake::new(operator.reports(), Pace::CLUSTER);
        let storing = tokio::spawn(Arc::clone(&intake).run());
        let told = Arc::new(Mutex::new(Told::default()));
        let client = server.client_as("default", "kubelet");
        let kubelet = tokio::spawn(kubelet(client, Arc::clone(&intake), values, Arc::clone(&told)));
        let mut experiment = experiment("Random", trials, trials);
        experiment.metadata = kube::core::ObjectMeta { name: Some("bench".into()), ..Default::default() };
        experiment.status = None;
        experiment.spec.early_stopping =
            serde_json::from_value(json!([{"name": "Patience", "settings": {"steps": 1_000_000}}])).expect("rules");
        Api::namespaced(server.client("default"), "default")
            .create(&PostParams::default(), &experiment)
            .await
            .expect("created");
        // Until all of them run.
        tokio::time::sleep(LONG).await;
        let before = std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
        drop(before);
        tokio::time::sleep(LONG).await;
        let told = std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
        let mut waited = told.waited;
        waited.sort();
        let share = |share: usize| waited.get(waited.len() * share / 100).map_or(0.0, Duration::as_secs_f64);
        let what = format!("{trials} trials that print {values} values a second each");
        row(format!("stored a second, {what}"), format!("{:.0}", told.stored as f64 / LONG.as_secs_f64()));
        row(
            "  a value's time until it is in the Trial's status, p50, p99",
            format!("{:.2} s, {:.2} s", share(50), share(99)),
        );
        kubelet.abort();
        storing.abort();
        operator.shutdown().await;
        server.stop();
    });
}

/// Has each Job run, and its trial report.
async fn kubelet(client: kube::Client, intake: Arc<Intake>, values: u64, told: Arc<Mutex<Told>>) {
    let jobs: Api<k8s_openapi::api::batch::v1::Job> = Api::all(client.clone());
    let mut events = Box::pin(watcher(jobs, watcher::Config::default()).applied_objects());
    let mut seen = HashSet::new();
    while let Some(event) = events.next().await {
        let Ok(job) = event else { continue };
        if seen.insert(job.uid()) {
            let jobs: Api<k8s_openapi::api::batch::v1::Job> = Api::namespaced(client.clone(), "default");
            let running = json!({"status": {"active": 1, "ready": 1, "startTime": Timestamp::now().to_string()}});
            let _ = jobs.patch_status(&job.name_any(), &PatchParams::default(), &Patch::Merge(running)).await;
            tokio::spawn(report(job, Arc::clone(&intake), values, Arc::clone(&told)));
        }
    }
}

/// As an agent: what is neither held nor acknowledged is said again.
async fn report(job: k8s_openapi::api::batch::v1::Job, intake: Arc<Intake>, values: u64, told: Arc<Mutex<Told>>) {
    let owner = job.owner_references().first().cloned().unwrap_or_default();
    let (mut kept, mut sequence, mut held): (Vec<(Instant, Record)>, u64, u64) = (Vec::new(), 0, 0);
    let mut clock = tokio::time::interval(BATCH);
    loop {
        clock.tick().await;
        for _ in 0..values {
            if kept.len() < KEPT {
                sequence += 1;
                let value = (sequence as f64).sin();
                let (metric, step, time) = ("accuracy".into(), Some(sequence), Timestamp::now());
                let body = Body::Observation(Observation { metric, step, value, time });
                kept.push((Instant::now(), Record { sequence, body }));
            }
        }
        let batch = Batch {
            namespace: "default".into(),
            trial: owner.name.clone(),
            trial_uid: owner.uid.clone(),
            attempt: 0,
            session: "1".into(),
            after: Some(held),
            records: kept.iter().map(|(_, record)| record.clone()).filter(|record| record.sequence > held).collect(),
            end: false,
        };
        let Ok(answer) = intake.receive(&batch).await else { continue };
        held = answer.taken.unwrap_or(0);
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(since, record)| {
            let stored = record.sequence <= answer.stored;
            if stored {
                told.stored += 1;
                told.waited.push(since.elapsed());
            }
            !stored
        });
    }
}
