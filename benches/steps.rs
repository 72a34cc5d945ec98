//! What one step of the operator costs, in time and allocations: `make bench`.

#[path = "support/experiments.rs"]
mod experiments;
mod support;
#[path = "support/trials.rs"]
mod trials;

use automl_operator::api::Experiment;
use automl_operator::engine::{Action, Compiled, Facts, JobView, Ledger, Problem, Settings, Snapshot, compile, plan};
use automl_operator::tuner;
use experiments::experiment;
use jiff::Timestamp;
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::row;
use trials::trial;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    support::run(&[("steps", steps), ("memory", || kept(10_000))]);
}

fn steps() {
    for algorithm in ["Random", "TPE", "ASHA", "Hyperband", "PBT"] {
        for ended in [100, 1_000, 10_000, 100_000] {
            step(algorithm, ended);
        }
    }
}

struct Bench {
    experiment: Experiment,
    compiled: Result<Compiled, Problem>,
    ledger: Ledger,
    facts: Facts,
    settings: Settings,
}

impl Bench {
    fn new(algorithm: &str, ended: u32) -> Self {
        let mut experiment = experiment(algorithm, 100_000_000.min(ended + 100_000), 1);
        if is_staged(algorithm) {
            let fidelity = json!({"parameter": "epochs", "min": 1, "max": 27, "eta": 3});
            experiment.spec.fidelity = serde_json::from_value(fidelity).ok();
            let volume = json!({"volume": {"persistentVolumeClaim": {"claimName": "c"}}});
            experiment.spec.checkpoint = serde_json::from_value(volume).ok();
        }
        let compiled = compile(&experiment);
        let mut ledger = Ledger::default();
        if let Ok(compiled) = &compiled {
            ledger.prepare(&experiment.spec, Some(compiled));
        }
        for index in 0..ended {
            ledger.upsert_trial(trial(index, 1, true));
        }
        // The status is written rarely; it is not part of the step.
        let facts = Facts { status_written: Some(Timestamp::now()), ..Facts::default() };
        Bench { experiment, compiled, ledger, facts, settings: Settings::default() }
    }

    fn plan(&self) -> Vec<Action> {
        let snapshot = Snapshot {
            experiment: &self.experiment,
            compiled: &self.compiled,
            ledger: &self.ledger,
            facts: &self.facts,
            settings: &self.settings,
        };
        plan(&snapshot, Timestamp::now()).actions
    }
}

/// The tuner hands out how much a trial spends.
fn is_staged(algorithm: &str) -> bool {
    tuner::ALGORITHMS.iter().any(|one| one.name == algorithm && one.hands_out_fidelity)
}

/// "A trial has ended" -> the next Trial -> its Job, where trials go on from others: the history is what the tuner made it.
fn staged_step(algorithm: &str, ended: u32) {
    let mut bench = Bench::new(algorithm, 0);
    let rounds = 500_u32;
    let (mut start, mut region) = (Instant::now(), Region::new(ALLOCATOR));
    for round in 0..ended + rounds {
        if round == ended {
            (start, region) = (Instant::now(), Region::new(ALLOCATOR));
        }
        let actions = bench.plan();
        let made = actions.into_iter().find_map(|action| match action {
            Action::CreateTrial { trial } => Some(*trial),
            _ => None,
        });
        let mut trial = made.expect("a trial");
        let name = trial.metadata.name.clone().unwrap_or_default();
        trial.metadata.uid = Some(format!("t{round}"));
        trial.metadata.resource_version = Some("1".into());
        bench.ledger.upsert_trial(Arc::new(trial.clone()));
        assert!(bench.plan().iter().any(|action| matches!(action, Action::CreateJob { .. })));
        trial.metadata.resource_version = Some("2".into());
        trial.status = serde_json::from_value(json!({"objective": (f64::from(round) * 0.618).fract(), "conditions": [
            {"type": "Complete", "status": "True", "reason": "Succeeded", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
        ]}))
        .ok();
        bench.ledger.upsert_trial(Arc::new(trial));
        bench.ledger.upsert_job(JobView { name, ..JobView::default() });
    }
    tell(algorithm, ended, start.elapsed() / rounds, region.change().allocations / rounds as usize);
}

fn tell(algorithm: &str, ended: u32, time: Duration, allocations: usize) {
    row(
        format!("trial ended -> next Job, {algorithm}, {ended} ended trials"),
        format!("{:.0} us, {allocations} allocs", time.as_secs_f64() * 1e6),
    );
}

/// "A trial has ended" -> the next Trial -> its Job.
fn step(algorithm: &str, ended: u32) {
    if is_staged(algorithm) {
        return staged_step(algorithm, ended);
    }
    let mut bench = Bench::new(algorithm, ended);
    bench.ledger.upsert_trial(trial(ended, 1, false));
    let rounds = 500_u32;
    let region = Region::new(ALLOCATOR);
    let start = Instant::now();
    for round in 0..rounds {
        let index = ended + round;
        bench.ledger.upsert_trial(trial(index, 2, true));
        assert!(bench.plan().iter().any(|action| matches!(action, Action::CreateTrial { .. })));
        bench.ledger.upsert_trial(trial(index + 1, 1, false));
        assert!(bench.plan().iter().any(|action| matches!(action, Action::CreateJob { .. })));
        bench.ledger.upsert_job(JobView { name: format!("bench-{:05}", index + 1), ..JobView::default() });
    }
    tell(algorithm, ended, start.elapsed() / rounds, region.change().allocations / rounds as usize);
}

/// What the operator keeps of ended trials.
fn kept(ended: u32) {
    let region = Region::new(ALLOCATOR);
    let bench = Bench::new("Random", ended);
    let change = region.change();
    let kept = change.bytes_allocated.saturating_sub(change.bytes_deallocated) as f64 / 1e6;
    row(format!("operator's memory of {ended} ended trials"), format!("{kept:.1} MB"));
    drop(bench);
}
