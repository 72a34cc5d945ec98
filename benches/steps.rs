//! What one step of the operator costs, in time and allocations: `make bench`.

#[path = "support/experiments.rs"]
mod experiments;
mod support;
#[path = "support/trials.rs"]
mod trials;

use automl_operator::api::Experiment;
use automl_operator::engine::{Action, Compiled, Facts, JobView, Ledger, Problem, Settings, Snapshot, compile, plan};
use experiments::experiment;
use jiff::Timestamp;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::time::Instant;
use support::row;
use trials::trial;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    support::run(&[("steps", steps), ("memory", || kept(10_000))]);
}

fn steps() {
    for algorithm in ["Random", "TPE"] {
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
        let experiment = experiment(algorithm, 100_000_000.min(ended + 100_000), 1);
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

/// "A trial has ended" -> the next Trial -> its Job.
fn step(algorithm: &str, ended: u32) {
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
    let time = start.elapsed() / rounds;
    let allocations = region.change().allocations / rounds as usize;
    row(
        format!("trial ended -> next Job, {algorithm}, {ended} ended trials"),
        format!("{:.0} us, {allocations} allocs", time.as_secs_f64() * 1e6),
    );
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
