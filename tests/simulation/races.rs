//! Things that happen while a request is under way, or just before one fails.

use super::experiments::experiment;
use super::invariants::has_ended as ended;
use super::script::{End, Program, Script, improving, plain};
use super::world::World;
use automl_operator::api::{Trial, TrialSpec};
use automl_operator::controller::Standing;
use automl_operator::local::apiserver::{Fault, RequestInfo, Verb};
use automl_operator::space::Value;
use kube::ResourceExt;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

fn by_operator(request: &RequestInfo) -> bool {
    request.user_agent.starts_with("operator")
}

fn is_ended(object: &Json) -> bool {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|c| c["status"] == "True" && (c["type"] == "Complete" || c["type"] == "Failed"))
}

#[tokio::test(start_paused = true)]
async fn what_a_trial_has_reported_is_stored_before_it_is_ended_even_if_that_fails_at_first() {
    let play = Arc::new(|program: &Program| match program.index {
        Some(0) => Script { end: End::Never, ..improving("score", 1.0, 25) },
        _ => improving("score", 7.0, 24),
    });
    let world = World::new(play);
    // Once the goal is reached, the first write into the other trial fails.
    let (server, failed) = (world.server.clone(), Arc::new(AtomicUsize::new(0)));
    let count = failed.clone();
    world.server.set_faults(Some(Arc::new(move |request: &RequestInfo| {
        let store = by_operator(request) && request.verb == Verb::Patch && request.name == "e-00000";
        let reached = store && server.peek("trials", "default", "e-00001").is_some_and(|trial| is_ended(&trial));
        if reached && count.fetch_add(1, Ordering::Relaxed) == 0 {
            return Fault::Answer { code: 500, reason: "InternalError".into(), retry_after: None };
        }
        Fault::None
    })));
    let _life = world.start("operator");
    let goal = json!({
        "limits": {"maxTrials": 2, "parallelTrials": 2},
        "objectives": [{"metric": "score", "direction": "Maximize", "goal": 5.0}],
    });
    world.create(&experiment("e", goal)).await;
    world.until("ended", |world| world.ended("e")).await;
    assert!(failed.load(Ordering::Relaxed) > 1, "the write was tried again");
    let trials = world.stored_trials();
    let stopped = trials.iter().find(|trial| trial.name_any() == "e-00000").unwrap().status.clone().unwrap();
    assert!(stopped.metrics[0].count >= 23, "{} of 24 values are stored", stopped.metrics[0].count);
    assert_eq!(stopped.objective, stopped.metrics[0].max);
}

#[tokio::test(start_paused = true)]
async fn an_experiment_made_anew_while_a_write_to_the_old_one_is_under_way_lives() {
    let world = World::new(plain());
    let slow = Arc::new(AtomicUsize::new(0));
    let count = slow.clone();
    world.server.set_faults(Some(Arc::new(move |request: &RequestInfo| {
        let status = by_operator(request) && request.resource == "experiments" && request.verb == Verb::Patch;
        match status && count.fetch_add(1, Ordering::Relaxed) == 0 {
            true => Fault::Delay(Duration::from_secs(2)),
            false => Fault::None,
        }
    })));
    let _life = world.start("operator");
    let two = json!({"limits": {"maxTrials": 2, "parallelTrials": 1}});
    world.create(&experiment("e", two.clone())).await;
    while slow.load(Ordering::Relaxed) == 0 {
        sleep(Duration::from_millis(100)).await;
    }
    world.delete("e").await;
    world.create(&experiment("e", two)).await;
    world.until("the second one ended", |world| world.ended("e")).await;
}

#[tokio::test(start_paused = true)]
async fn a_trial_made_anew_is_not_taken_for_the_one_that_ended() {
    let world = World::new(plain());
    let life = world.start("operator");
    world.create(&experiment("e", json!({"limits": {"maxTrials": 2, "parallelTrials": 2}}))).await;
    world.until("ended", |world| world.ended("e")).await;
    let old = world.stored_trials().into_iter().find(ended).unwrap();
    let name = ("default".to_owned(), old.name_any());
    // The watch is behind when a person deletes the Trial and makes another of its name.
    world.server.hold("trials", "operator", false);
    world.trials().delete(&name.1, &DeleteParams::default()).await.unwrap();
    let spec = TrialSpec {
        experiment: "e".into(),
        assignments: [("x".to_owned(), Value::Double(0.5))].into(),
        ..TrialSpec::default()
    };
    let new = world.trials().create(&PostParams::default(), &Trial::new(&name.1, spec)).await.unwrap();
    let reports = life.operator.reports();
    let standing = reports.standing(&name, &new.uid().unwrap()).await.unwrap();
    assert!(matches!(&standing, Standing::Open(trial) if trial.uid() == new.uid()), "{standing:?}");
    let standing = reports.standing(&name, &old.uid().unwrap()).await.unwrap();
    assert!(matches!(standing, Standing::Closed), "{standing:?}");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_asks_to_be_left_alone_is_left_alone_whatever_happens() {
    let world = World::new(plain());
    let tried = Arc::new(AtomicUsize::new(0));
    let count = tried.clone();
    world.server.set_faults(Some(Arc::new(move |request: &RequestInfo| {
        if by_operator(request) && request.resource == "trials" && request.verb == Verb::Create {
            count.fetch_add(1, Ordering::Relaxed);
            return Fault::Answer { code: 429, reason: "TooManyRequests".into(), retry_after: Some(30) };
        }
        Fault::None
    })));
    let _life = world.start("operator");
    world.create(&experiment("e", json!({"limits": {"maxTrials": 1, "parallelTrials": 1}}))).await;
    let start = Instant::now();
    for edit in 0.. {
        if start.elapsed() > Duration::from_secs(119) {
            break;
        }
        world.edit("e", json!({"metadata": {"labels": {"edit": edit.to_string()}}})).await;
        sleep(Duration::from_millis(200)).await;
    }
    let tried = tried.load(Ordering::Relaxed);
    assert!((3..=4).contains(&tried), "{tried} requests in two minutes");
    world.server.set_faults(None);
    world.until("ended", |world| world.ended("e")).await;
}

#[tokio::test(start_paused = true)]
async fn so_many_experiments_are_worked_on_at_a_time_and_no_more() {
    let world = World::new(plain());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    world.server.set_faults(Some(Arc::new(move |request: &RequestInfo| {
        match by_operator(request) && request.dry_run {
            true => {
                count.fetch_add(1, Ordering::Relaxed);
                Fault::Delay(Duration::from_secs(5))
            }
            false => Fault::None,
        }
    })));
    for number in 0..40 {
        world
            .create(&experiment(&format!("e{number}"), json!({"limits": {"maxTrials": 1, "parallelTrials": 1}})))
            .await;
    }
    let _life = world.start("operator");
    for (seconds, expected) in [(4, 16), (5, 32), (5, 40)] {
        sleep(Duration::from_secs(seconds)).await;
        assert_eq!(asked.load(Ordering::Relaxed), expected, "the operator was started with a concurrency of 16");
    }
    world.until("all ended", |world| (0..40).all(|number| world.ended(&format!("e{number}")))).await;
}
