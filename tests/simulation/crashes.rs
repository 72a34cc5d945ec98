//! The operator is killed before and after each of its writes.

use super::chaos::Crash;
use super::run::{Disturbance, compare, run};
use super::scenarios;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn each_scenario_comes_to_its_end_and_to_rest() {
    let mut wrong = Vec::new();
    for scenario in scenarios::all() {
        let outcome = run(&scenario, Disturbance::default());
        wrong.extend(outcome.violations.iter().map(|violation| format!("{}: {violation}", scenario.name)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_crash_before_or_after_any_write_changes_nothing() {
    let scenarios = scenarios::all();
    assert!(scenarios.len() >= 20);
    let next = AtomicUsize::new(0);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let worker = || {
            let mut wrong = Vec::new();
            while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                let undisturbed = run(scenario, Disturbance::default());
                for crash in (1..=undisturbed.writes).flat_map(|n| [Crash::Before(n), Crash::After(n)]) {
                    let disturbed = run(scenario, Disturbance { crashes: vec![crash], ..Disturbance::default() });
                    let differences = compare(&undisturbed, &disturbed);
                    wrong.extend(differences.iter().map(|what| format!("{}, {crash:?}: {what}", scenario.name)));
                }
            }
            wrong
        };
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} differences, such as\n{}", wrong.len(), wrong[..wrong.len().min(10)].join("\n"));
}
