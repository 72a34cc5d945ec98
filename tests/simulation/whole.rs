//! Whole lives without disturbance.

use super::experiments::experiment;
use super::script::plain;
use super::world::World;
use automl_operator::api::conditions::types;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn from_the_first_trial_to_the_best_parameters() {
    let world = World::new(plain());
    let life = world.start("operator");
    world.create(&experiment("e", json!({}))).await;
    world.until("ended", |world| world.ended("e")).await;
    let (status, reason, _) = world.condition("e", types::COMPLETE);
    assert_eq!((status.as_str(), reason.as_str()), ("True", "MaxTrialsReached"), "{}", world.report());
    let status = world.experiment("e").unwrap().status.unwrap();
    assert_eq!((status.trials.created, status.trials.succeeded, status.trials.running), (10, 10, 0));
    let trials = world.stored_trials();
    assert_eq!(trials.len(), 10);
    let best = trials.iter().filter_map(|trial| trial.status.as_ref()?.objective).fold(f64::MIN, f64::max);
    assert_eq!(status.best.unwrap().value, best);
    for trial in &trials {
        let status = trial.status.as_ref().unwrap();
        assert_eq!(status.metrics[0].count, 3, "each epoch is stored once");
        assert_eq!(status.exit.as_ref().unwrap().code, Some(0));
    }
    sleep(Duration::from_secs(60)).await;
    assert!(world.server.dump("jobs").is_empty(), "Jobs are deleted once the results are stored");

    // The budget of writes: six for each trial.
    let mut by_trial: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for write in world.writes_of("operator").into_iter().filter(|write| write.resource != "experiments") {
        by_trial.entry(write.name).or_default().push(format!("{} {}", write.verb, write.resource));
    }
    by_trial.retain(|name, _| name.starts_with("e-"));
    assert_eq!(by_trial.len(), 10);
    for (trial, writes) in by_trial {
        let expected =
            ["create trials", "create jobs", "update trials", "update trials", "update trials", "delete jobs"];
        assert_eq!(writes, expected, "{trial}");
    }

    // None at rest.
    let before = world.server.writes();
    sleep(Duration::from_secs(6 * 3600)).await;
    assert_eq!(world.server.writes(), before);
    drop(life);
}
