//! A person edits what the controllers own: they put it right, or say what is wrong.

use super::experiments::experiment;
use super::script::{End, Play, Program, Script, plain};
use super::world::World;
use automl_operator::api::conditions::types;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

fn one_at_a_time(trials: u32) -> Json {
    experiment("e", json!({"limits": {"maxTrials": trials, "parallelTrials": 1}}))
}

/// The second program takes its time.
fn slow_second() -> Play {
    Arc::new(|program: &Program| {
        let mut script = plain()(program);
        if program.index == Some(1) {
            script.lines.iter_mut().for_each(|line| line.pause = Duration::from_secs(20));
        }
        script
    })
}

async fn patch_trial(world: &World, name: &str, patch: Json) {
    world.trials().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

async fn patch_trial_status(world: &World, name: &str, status: Json) {
    let patch = Patch::Merge(json!({"status": status}));
    world.trials().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
}

async fn patch_status(world: &World, status: Json) {
    let patch = Patch::Merge(json!({"status": status}));
    world.experiments("default").patch_status("e", &PatchParams::default(), &patch).await.unwrap();
}

/// Reason of the Trial's condition Complete.
fn reason(world: &World, name: &str) -> String {
    let trial = world.stored_trials().into_iter().find(|trial| trial.name_any() == name);
    let conditions = trial.map(|trial| trial.conditions().to_vec()).unwrap_or_default();
    conditions.iter().find(|c| c.r#type == types::COMPLETE).map(|c| c.reason.clone()).unwrap_or_default()
}

/// How often a Job of this name was made.
fn jobs_made(world: &World, name: &str) -> usize {
    let journal = world.journal();
    journal.iter().filter(|entry| entry.resource == "jobs" && entry.verb == "create" && entry.name == name).count()
}

/// All trials have their own value, and the Experiment tells them right.
fn all_is_right(world: &World, trials: u32) {
    let stored = world.stored_trials();
    let values: Vec<f64> = stored.iter().filter_map(|trial| trial.status.as_ref()?.objective).collect();
    assert_eq!((stored.len(), values.len()), (trials as usize, trials as usize), "{}", world.report());
    let status = world.experiment("e").unwrap().status.unwrap();
    assert_eq!((status.trials.created, status.trials.succeeded), (trials, trials), "{}", world.report());
    assert_eq!((status.trials.running, status.trials.pending, status.trials.failed), (0, 0, 0), "{}", world.report());
    assert_eq!(status.best.unwrap().value, values.iter().copied().fold(f64::MIN, f64::max));
    let (status, reason, message) = world.condition("e", types::COMPLETE);
    assert_eq!((status.as_str(), reason.as_str()), ("True", "MaxTrialsReached"), "{message}");
}

/// A running Trial's status is wiped, or says what is not so.
#[tokio::test(start_paused = true)]
async fn the_status_of_a_running_trial_is_put_right() {
    let nonsense = json!({
        "startTime": null,
        "conditions": [{
            "type": "Complete", "status": "False", "reason": "Retrying", "message": "no",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }],
    });
    for status in [json!(null), nonsense] {
        let world = World::new(slow_second());
        let _life = world.start("operator");
        world.create(&one_at_a_time(3)).await;
        world.until("it runs", |world| world.runs("e-00001")).await;
        sleep(Duration::from_secs(25)).await;
        patch_trial_status(&world, "e-00001", status).await;
        world.until("it is put right", |world| reason(world, "e-00001") == "Running" && world.runs("e-00001")).await;
        world.until("ended", |world| world.ended("e")).await;
        all_is_right(&world, 3);
        assert_eq!(jobs_made(&world, "e-00001"), 1, "its program was left alone");
    }
}

/// A Trial is its own record: one whose record is wiped has not run, and runs again.
#[tokio::test(start_paused = true)]
async fn a_trial_whose_result_is_wiped_runs_again() {
    let world = World::new(slow_second());
    let _life = world.start("operator");
    world.create(&one_at_a_time(3)).await;
    world.until("one ended", |world| reason(world, "e-00000") == "Succeeded").await;
    world.until("the next one runs", |world| world.runs("e-00001")).await;
    patch_trial_status(&world, "e-00000", json!(null)).await;
    world.until("it has ended again", |world| reason(world, "e-00000") == "Succeeded").await;
    world.until("ended", |world| world.ended("e")).await;
    all_is_right(&world, 3);
    assert_eq!(jobs_made(&world, "e-00000"), 2);
}

/// The status of the Experiment is wiped, or forged, while it is at work.
#[tokio::test(start_paused = true)]
async fn the_status_of_a_running_experiment_is_put_right() {
    let at = "2026-01-01T00:00:00Z";
    let condition = |r#type: &str, status: &str, reason: &str| {
        json!({
            "type": r#type, "status": status, "reason": reason, "message": "forged", "lastTransitionTime": at,
        })
    };
    let forged = [
        ("wiped", json!(null)),
        ("no counts", json!({"trials": null, "best": null})),
        ("the end", json!({"conditions": [condition("Complete", "True", "MaxTrialsReached")], "completionTime": at})),
        ("another end", json!({"conditions": [condition("Complete", "True", "SearchSpaceExhausted")]})),
        (
            "a failure",
            json!({"conditions": [
                condition("Complete", "False", "MaxFailedTrialsExceeded"), condition("Failed", "True", "MaxFailedTrialsExceeded"),
            ]}),
        ),
        ("not accepted", json!({"conditions": [condition("Accepted", "False", "InvalidTemplate")]})),
    ];
    for (what, status) in forged {
        let world = World::new(slow_second());
        let _life = world.start("operator");
        world.create(&one_at_a_time(3)).await;
        world.until("it runs", |world| world.runs("e-00001")).await;
        sleep(Duration::from_secs(5)).await;
        patch_status(&world, status).await;
        let right = |world: &World| {
            let status = world.experiment("e").and_then(|e| e.status).unwrap_or_default();
            let complete = world.condition("e", types::COMPLETE);
            (complete.0 == "False" && complete.1 == "Running")
                && world.condition("e", types::ACCEPTED).0 == "True"
                && world.condition("e", types::FAILED).0 != "True"
                && (status.trials.created, status.trials.succeeded) == (2, 1)
                && status.best.is_some()
        };
        world.until(&format!("{what}: it is put right"), right).await;
        world.until("ended", |world| world.ended("e")).await;
        all_is_right(&world, 3);
        for trial in ["e-00000", "e-00001", "e-00002"] {
            assert_eq!(jobs_made(&world, trial), 1, "{what}: {trial}");
        }
    }
}

/// An experiment that has ended says so again, and nothing is run for it.
#[tokio::test(start_paused = true)]
async fn the_status_of_an_experiment_that_has_ended_is_put_right() {
    let world = World::new(plain());
    let _life = world.start("operator");
    world.create(&one_at_a_time(3)).await;
    world.until("ended", |world| world.ended("e")).await;
    sleep(Duration::from_secs(60)).await;
    for status in [json!(null), json!({"best": null, "trials": null}), json!({"conditions": []})] {
        patch_status(&world, status).await;
        world
            .until("it is said again", |world| {
                let status = world.experiment("e").and_then(|e| e.status).unwrap_or_default();
                world.ended("e") && status.best.is_some() && status.trials.succeeded == 3
            })
            .await;
        sleep(Duration::from_secs(60)).await;
        all_is_right(&world, 3);
    }
    assert_eq!((0..3).map(|index| jobs_made(&world, &format!("e-0000{index}"))).sum::<usize>(), 3);
}

/// A Trial that loses its owner is said to be nobody's; once it has it again, all goes on.
#[tokio::test(start_paused = true)]
async fn a_trial_that_loses_its_owner_says_so() {
    let world = World::new(slow_second());
    let _life = world.start("operator");
    world.create(&one_at_a_time(3)).await;
    world.until("it runs", |world| world.runs("e-00001")).await;
    let owners = world.server.peek("trials", "default", "e-00001").unwrap()["metadata"]["ownerReferences"].clone();
    patch_trial(&world, "e-00001", json!({"metadata": {"ownerReferences": null, "labels": null}})).await;
    world.until("it says so", |world| reason(world, "e-00001") == "NotAdopted").await;
    patch_trial(&world, "e-00001", json!({"metadata": {"ownerReferences": owners}})).await;
    world.until("ended", |world| world.ended("e")).await;
    all_is_right(&world, 3);
    assert_eq!(jobs_made(&world, "e-00001"), 1);
}

/// Somebody's finalizer holds a Job that is to go: the results are in, and the Job goes once it is let go.
#[tokio::test(start_paused = true)]
async fn a_job_that_is_held_back_holds_up_nothing() {
    let world = World::new(slow_second());
    let _life = world.start("operator");
    world.create(&one_at_a_time(2)).await;
    world.until("it runs", |world| world.runs("e-00001")).await;
    let hold = |finalizers: Json| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    let params = PatchParams::default();
    world.jobs().patch("e-00001", &params, &hold(json!(["example.com/hold"]))).await.unwrap();
    world.until("ended", |world| world.ended("e")).await;
    all_is_right(&world, 2);
    sleep(Duration::from_secs(600)).await;
    let job = world.server.peek("jobs", "default", "e-00001").expect("it is held");
    assert!(job["metadata"]["deletionTimestamp"].is_string());
    world.jobs().patch("e-00001", &params, &hold(json!(null))).await.unwrap();
    world.until("it is gone", |world| world.server.peek("jobs", "default", "e-00001").is_none()).await;
}

/// A Job that is deleted while somebody's finalizer holds it is waited for, and the trial says so.
#[tokio::test(start_paused = true)]
async fn a_running_job_that_is_deleted_and_held_is_waited_for() {
    let play: Play = Arc::new(|program: &Program| match (program.index, program.attempt) {
        (Some(1), 0) => Script { end: End::Never, ..plain()(program) },
        _ => plain()(program),
    });
    let world = World::new(play);
    let _life = world.start("operator");
    world.create(&one_at_a_time(3)).await;
    world.until("it runs", |world| world.runs("e-00001")).await;
    let hold = |finalizers: Json| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    let params = PatchParams::default();
    world.jobs().patch("e-00001", &params, &hold(json!(["example.com/hold"]))).await.unwrap();
    world.jobs().delete("e-00001", &DeleteParams::background()).await.unwrap();
    world
        .until("it says so", |world| {
            let trial = world.stored_trials().into_iter().find(|trial| trial.name_any() == "e-00001").unwrap();
            trial.conditions().iter().any(|c| c.message == "Job e-00001 is being deleted")
        })
        .await;
    world.jobs().patch("e-00001", &params, &hold(json!(null))).await.unwrap();
    world.until("ended", |world| world.ended("e")).await;
    all_is_right(&world, 3);
    assert_eq!(world.stored_trials()[1].status.as_ref().unwrap().attempt, 1);
}
