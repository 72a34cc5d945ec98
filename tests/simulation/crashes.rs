//! The operator is killed before and after each of its writes, and at some of its other requests.

use super::chaos::Crash;
use super::compare::{Like, compare};
use super::run::{Disturbance, Outcome, run};
use super::scenarios::{self, Scenario};
use automl_operator::api::conditions::reasons;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn each_scenario_comes_to_its_end_and_to_rest() {
    let all: Vec<Scenario> = scenarios::all().into_iter().chain(scenarios::races::all()).collect();
    let given = Mutex::new(BTreeSet::new());
    let wrong = each(&all, |scenario| {
        let outcome = run(scenario, Disturbance::default());
        given.lock().unwrap().extend(outcome.reasons);
        outcome.violations
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    each_reason_is_given_somewhere(&given.into_inner().unwrap());
}

/// Reasons that no scenario comes to, and the file with the test that does.
const ELSEWHERE: &[(&str, &str)] = &[
    ("InvalidSearchSpace", "tests/bad_conditions/when-unknown-parameter.txt"),
    ("InvalidAlgorithm", "tests/bad_conditions/algorithm-setting-text.txt"),
    ("InvalidEarlyStopping", "tests/bad_conditions/stopping-bound-missing.txt"),
    ("InvalidMetrics", "tests/bad_conditions/metrics-selector.txt"),
    ("InvalidInitialTrial", "tests/bad_conditions/initial-trial-text.txt"),
    ("InvalidLimits", "tests/unreadable.rs"),
    ("InvalidObject", "tests/unreadable.rs"),
    ("TunerFailed", "src/engine/tests/panics.rs"),
    ("NoSuccessfulTrial", "src/engine/tests/mod.rs"),
    ("ConstraintsUnsatisfiable", "src/engine/tests/mod.rs"),
    ("JobDeadlineExceeded", "src/engine/result.rs"),
    ("InvalidAssignment", "src/engine/tests/mod.rs"),
    ("ExperimentNotAccepted", "src/engine/tests/limits.rs"),
    ("ApiRefused", "tests/simulation/scenarios/neighbours.rs"),
];

fn each_reason_is_given_somewhere(given: &BTreeSet<String>) {
    let elsewhere: BTreeSet<&str> = ELSEWHERE.iter().map(|(reason, _)| *reason).collect();
    let all = reasons::ALL.iter().map(|(reason, _)| *reason);
    let missing: Vec<&str> = all.filter(|reason| !given.contains(*reason) && !elsewhere.contains(reason)).collect();
    assert!(missing.is_empty(), "no test gives {missing:?}");
    let twice: Vec<&&str> = elsewhere.iter().filter(|reason| given.contains(**reason)).collect();
    assert!(twice.is_empty(), "scenarios give {twice:?}: nothing else need be named");
    for (reason, file) in ELSEWHERE {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        assert!(std::fs::read_to_string(&path).is_ok_and(|text| text.contains(reason)), "{reason} is not in {file}");
    }
}

#[test]
fn a_crash_before_or_after_any_write_changes_nothing() {
    let scenarios = scenarios::all();
    assert!(scenarios.len() >= 20);
    let wrong = each(&scenarios, |scenario| {
        let undisturbed = run(scenario, Disturbance::default());
        let crashes = (1..=undisturbed.writes).flat_map(|n| [Crash::Before(n), Crash::After(n)]);
        crashes.flat_map(|crash| after_crashes(scenario, &undisturbed, vec![crash])).collect()
    });
    assert!(wrong.is_empty(), "{} differences, such as\n{}", wrong.len(), wrong[..wrong.len().min(10)].join("\n"));
}

#[test]
fn a_crash_while_reading_or_soon_after_another_changes_nothing() {
    let scenarios = scenarios::all();
    let wrong = each(&scenarios, |scenario| {
        let undisturbed = run(scenario, Disturbance::default());
        // Two crashes: the second hits the first writes of the recovery.
        let twice = (1..undisturbed.writes).step_by(5).map(|n| vec![Crash::After(n), Crash::Before(n + 1 + n % 3)]);
        let reading = (1..=undisturbed.requests).step_by(11).map(|n| vec![Crash::Asking(n)]);
        twice.chain(reading).flat_map(|crashes| after_crashes(scenario, &undisturbed, crashes)).collect()
    });
    assert!(wrong.is_empty(), "{} differences, such as\n{}", wrong.len(), wrong[..wrong.len().min(10)].join("\n"));
}

fn after_crashes(scenario: &Scenario, undisturbed: &Outcome, crashes: Vec<Crash>) -> Vec<String> {
    let disturbed = run(scenario, Disturbance { crashes: crashes.clone(), ..Disturbance::default() });
    let mut wrong = compare(undisturbed, &disturbed, Like::Same);
    // The second of two may come too late.
    if disturbed.fired == 0 {
        wrong.push("nobody died".into());
    }
    wrong.iter().map(|what| format!("{crashes:?}: {what}")).collect()
}

/// Works through all of them on all cores. Each message gets the scenario's name in front.
pub fn each(scenarios: &[Scenario], check: impl Fn(&Scenario) -> Vec<String> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = Vec::new();
        while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
            wrong.extend(check(scenario).iter().map(|what| format!("{}: {what}", scenario.name)));
        }
        wrong
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}
