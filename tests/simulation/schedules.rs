//! Random schedules: an experiment, programs, faults, crashes and people, all drawn from one seed. No invariant is
//! violated, and once all is calm the experiment ends.
//!
//! The same seeds in each run; `AUTOML_SIMULATION_FRESH=100` adds as many new ones, and `AUTOML_SIMULATION_SEED=7`
//! plays that one alone.

use super::chaos::Trouble;
use super::experiments::experiment;
use super::run::{Disturbance, Fleet, Outcome, Weather, run};
use super::scenarios::Scenario;
use super::script::{End, Line, Program, Script, printing};
use super::weather::KINDS;
use super::world::World;
use automl_operator::local::apiserver::Fault;
use futures::FutureExt;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

/// Seeds of each run.
const FIXED: u64 = 60;
/// How long faults, crashes and people go on.
const STORM: u64 = 120;

#[test]
fn random_schedules_violate_no_invariant() {
    let variable = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds: Vec<u64> = match variable("AUTOML_SIMULATION_SEED") {
        Some(seed) => vec![seed],
        None => {
            let mut fresh = rand::rng();
            let fresh = (0..variable("AUTOML_SIMULATION_FRESH").unwrap_or(0)).map(|_| u64::from(fresh.next_u32()));
            (0..FIXED).chain(fresh.collect::<Vec<_>>()).collect()
        }
    };
    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = Vec::new();
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let violations = play(*seed).violations;
            if !violations.is_empty() {
                let again =
                    format!("AUTOML_SIMULATION_SEED={seed} cargo test --locked --test simulation -- random_schedules");
                wrong.push(format!("seed {seed} (once more: {again}):\n{}", violations.join("\n")));
            }
        }
        wrong
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let shown = wrong[..wrong.len().min(5)].join("\n");
    assert!(wrong.is_empty(), "{} of {} schedules, such as\n{shown}", wrong.len(), seeds.len());
}

#[test]
fn a_seed_replays_its_schedule_exactly() {
    for seed in [3, 11, 29] {
        let (once, again) = (play(seed), play(seed));
        assert!(once.journal.len() > 10, "seed {seed} does something");
        let differs = once.journal.iter().zip(&again.journal).find(|(a, b)| a != b);
        assert!(once == again, "seed {seed}: {differs:?}");
    }
}

fn play(seed: u64) -> Outcome {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let disturbance = disturbance(&mut dice);
    let scenario = scenario(seed, &mut dice);
    run(&scenario, disturbance)
}

/// One of these.
fn pick<T: Clone>(dice: &mut impl Rng, choices: &[T]) -> T {
    choices[dice.random_range(0..choices.len())].clone()
}

fn disturbance(dice: &mut ChaCha8Rng) -> Disturbance {
    let fleet = pick(dice, &[Fleet::One, Fleet::One, Fleet::One, Fleet::Twins, Fleet::Replicas]);
    let trouble = dice.random_bool(0.6).then(|| trouble(dice.clone(), fleet));
    let weather = weather(dice.random());
    // Two that know nothing of each other and disagree about the time would correct each other for ever.
    let ahead: &[i64] = if fleet == Fleet::Twins { &[0] } else { &[0, 0, 3600, -3600] };
    let clocks = [pick(dice, ahead), pick(dice, ahead)];
    Disturbance {
        trouble,
        weather: Some(weather),
        fleet,
        clocks,
        slack: Duration::from_secs(STORM),
        all_may_die: true,
        ..Disturbance::default()
    }
}

/// A share of all requests goes wrong.
fn trouble(mut dice: ChaCha8Rng, fleet: Fleet) -> Trouble {
    let share = pick(&mut dice, &[0.02, 0.1, 0.3]);
    let dice = Mutex::new(dice);
    Arc::new(move |asked| {
        let mut dice = dice.lock().unwrap();
        let lease = fleet == Fleet::Replicas && asked.info.resource == "leases";
        if asked.at > Duration::from_secs(STORM) || lease || !dice.random_bool(share) {
            return Fault::None;
        }
        let answer = |code, reason: &str| Fault::Answer { code, reason: reason.into(), retry_after: None };
        let faults = [
            answer(429, "TooManyRequests"),
            answer(500, "InternalError"),
            answer(503, "ServiceUnavailable"),
            answer(504, "Timeout"),
            answer(403, "Forbidden"),
            Fault::AnswerAfter { code: 504, reason: "Timeout".into() },
            Fault::DropBefore,
            Fault::DropAfter,
            Fault::Hang,
            Fault::HangAfter,
            Fault::Delay(Duration::from_millis(700)),
            Fault::Garbage("{".into()),
        ];
        pick(&mut *dice, &faults)
    })
}

/// Operators die, watches break and lag.
fn weather(seed: u64) -> Weather {
    Arc::new(move |world| {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        async move {
            let mut past = 0;
            while past < STORM {
                let pause = dice.random_range(1..12);
                past += pause;
                sleep(Duration::from_secs(pause)).await;
                let kind = pick(&mut dice, KINDS);
                match dice.random_range(0..7) {
                    0 => world.chaos.kill("operator-a"),
                    1 => world.chaos.kill("operator-b"),
                    2 => world.server.cut_watches(kind),
                    3 => world.server.compact(),
                    4 => world.server.set_expired_as_http(dice.random_bool(0.5)),
                    _ => {
                        // Less than the life of a program.
                        world.server.hold(kind, "operator", false);
                        sleep(Duration::from_millis(dice.random_range(100..2000))).await;
                        world.server.release(kind);
                    }
                }
            }
        }
        .boxed()
    })
}

fn scenario(seed: u64, dice: &mut ChaCha8Rng) -> Scenario {
    let algorithm = pick(dice, &["Random", "Sobol", "TPE"]);
    let trials: u32 = dice.random_range(3..9);
    let change = json!({
        "algorithm": {"name": algorithm, "seed": seed % 1000},
        "limits": {"maxTrials": trials, "parallelTrials": dice.random_range(1..4)},
        "failurePolicy": {"retries": dice.random_range(0..3)},
    });
    let people: u64 = dice.random();
    Scenario {
        name: "a random schedule",
        play: Arc::new(move |program| script(seed, program)),
        story: Arc::new(move |world| {
            let experiment = experiment("e", change.clone());
            async move {
                world.create(&experiment).await;
                meddle(world, people).await;
                let back = json!({"spec": {"suspend": false, "limits": {"maxTrials": 12}}});
                world.edit("e", back).await;
                world.until("ended", |world| world.ended("e")).await;
            }
            .boxed()
        }),
    }
}

/// What the program of this seed, trial and attempt does.
fn script(seed: u64, program: &Program) -> Script {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let name = program.trial.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    dice.set_stream(name.wrapping_mul(16).wrapping_add(program.attempt.into()));
    let value = |dice: &mut ChaCha8Rng| pick(dice, &[0.0, 1.5, -3.0, f64::NAN, f64::INFINITY, 1e300]);
    let lines = dice.random_range(0..30);
    let values: Vec<f64> = (0..lines).map(|_| value(&mut dice)).collect();
    let mut script = printing("score", Duration::from_millis(dice.random_range(300..3000)), values);
    if dice.random_bool(0.2) {
        script.lines.iter_mut().for_each(|line: &mut Line| line.step = Some(dice.random_range(0..20)));
    }
    script.pending = Duration::from_millis(dice.random_range(2500..6000));
    script.restart_after = (lines > 4 && dice.random_bool(0.2)).then_some(3);
    script.clock_ahead = pick(&mut dice, &[0, 0, 3600, -3600]);
    script.end = pick(&mut dice, &[End::Exit(0), End::Exit(0), End::Exit(0), End::Exit(1), End::Evicted]);
    script
}

/// Edits, deletions, and changes of mind.
async fn meddle(world: &World, seed: u64) {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..dice.random_range(0..6) {
        sleep(Duration::from_secs(dice.random_range(1..30))).await;
        match dice.random_range(0..7) {
            0 => world.edit("e", json!({"spec": {"suspend": dice.random_bool(0.5)}})).await,
            1 => world.edit("e", json!({"spec": {"limits": {"parallelTrials": dice.random_range(1..5)}}})).await,
            2 => world.edit("e", json!({"spec": {"limits": {"maxTrials": dice.random_range(2..12)}}})).await,
            3 => {
                let jobs = world.server.dump("jobs");
                if let Some(job) = jobs.first() {
                    let name = job["metadata"]["name"].as_str().unwrap_or_default();
                    let _ = world.jobs().delete(name, &DeleteParams::background()).await;
                }
            }
            4 => {
                let jobs = world.server.dump("jobs");
                if let Some(job) = jobs.last() {
                    let name = job["metadata"]["name"].as_str().unwrap_or_default();
                    let labels = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}});
                    let _ = world.jobs().patch(name, &PatchParams::default(), &Patch::Merge(&labels)).await;
                }
            }
            5 => {
                // Until the count is stored, a Trial that is deleted was never suggested.
                let counted = world.counted("e");
                let known =
                    |trial: &&automl_operator::api::Trial| trial.spec.index.is_some_and(|index| index < counted);
                if let Some(trial) = world.stored_trials().iter().find(known) {
                    let _ = world.trials().delete(&trial.name_any(), &DeleteParams::default()).await;
                }
            }
            _ => {
                world.delete("e").await;
                world.create(&experiment("e", json!({"limits": {"maxTrials": 5, "parallelTrials": 2}}))).await;
            }
        }
    }
}
