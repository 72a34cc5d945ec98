//! Stories that need a fault to be of interest, or leave things to the second.

use super::super::experiments::experiment;
use super::super::script::{End, Script, printing};
use super::waiting::stranger;
use super::{Scenario, alone, evicted, one_at_a_time, scenario, standard};
use futures::FutureExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

/// While the operator's request to delete a Job is under way, a person deletes it and makes another of its name.
pub fn a_job_is_replaced_before_it_is_deleted() -> Scenario {
    scenario("a Job is replaced before it is deleted", standard, |world| {
        async move {
            world.create(&experiment("e", one_at_a_time(2))).await;
            while !world.chaos.asked_to_delete("e-00000") {
                sleep(Duration::from_millis(100)).await;
            }
            let _ = world.jobs().delete("e-00000", &DeleteParams::background()).await;
            stranger(world, "e-00000").await;
            world.until("ended", |world| world.ended("e")).await;
        }
        .boxed()
    })
}

/// A stranger's Job has the name of a trial's, and has ended.
pub fn a_strangers_job_has_ended() -> Scenario {
    scenario("a stranger's Job has ended", standard, |world| {
        async move {
            stranger(world, "e-00001").await;
            sleep(Duration::from_secs(120)).await;
            world.create(&experiment("e", one_at_a_time(3))).await;
            sleep(Duration::from_secs(60)).await;
            world.jobs().delete("e-00001", &DeleteParams::background()).await.unwrap();
            world.until("ended", |world| world.ended("e")).await;
        }
        .boxed()
    })
}

/// What the others have said by the end depends on the second.
pub fn the_goal_is_reached_while_others_talk() -> Scenario {
    let seconds = Duration::from_secs;
    let goal = json!([{"metric": "score", "direction": "Maximize", "goal": 5.0}]);
    alone(
        "the goal is reached while others talk",
        json!({"limits": {"maxTrials": 9, "parallelTrials": 3}, "objectives": goal}),
        move |program| match program.index {
            Some(0) => Script { pending: seconds(3), ..printing("score", seconds(3), [7.0]) },
            _ => {
                Script { end: End::Never, ..printing("score", seconds(1), (0..600).map(|step| f64::from(step) / 1e3)) }
            }
        },
    )
}

/// An operator that is killed after it has stored the result does not find the Job again.
pub fn a_running_job_loses_its_labels() -> Scenario {
    scenario(
        "a running Job loses its labels",
        |program| match program.index {
            Some(1) => Script { end: End::Exit(0), ..evicted(program) },
            _ => standard(program),
        },
        |world| {
            async move {
                world.create(&experiment("e", one_at_a_time(3))).await;
                world.until("it runs", |world| world.runs("e-00001")).await;
                let labels = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}});
                world.jobs().patch("e-00001", &PatchParams::default(), &Patch::Merge(&labels)).await.unwrap();
                world.until("ended", |world| world.ended("e")).await;
            }
            .boxed()
        },
    )
}

pub fn all() -> Vec<Scenario> {
    vec![
        a_job_is_replaced_before_it_is_deleted(),
        a_strangers_job_has_ended(),
        the_goal_is_reached_while_others_talk(),
        a_running_job_loses_its_labels(),
    ]
}
