//! States in which nothing moves until somebody does something.

use super::super::experiments::experiment;
use super::super::script::{End, improving};
use super::super::world::World;
use super::{Scenario, alone, ending, one_at_a_time, scenario, standard, two_at_a_time};
use automl_operator::api::conditions::types;
use automl_operator::local::apiserver::{Fault, Verb};
use futures::FutureExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("a stranger's Job is in the way", standard, |world| {
            async move {
                stranger(world, "e-00001").await;
                sleep(Duration::from_secs(10)).await;
                world.create(&experiment("e", one_at_a_time(3))).await;
                world.until("told", |world| world.waits("e-00001", "NameTaken")).await;
                world.rests("while the name is taken").await;
                world.jobs().delete("e-00001", &DeleteParams::background()).await.unwrap();
                world.until("ended", |world| world.ended("e")).await;
            }
            .boxed()
        }),
        scenario(
            "no node fits",
            |program| ending(program, End::Unschedulable),
            |world| {
                async move {
                    world.create(&experiment("e", one_at_a_time(3))).await;
                    world
                        .until("told", |world| world.condition("e", types::COMPLETE).2.contains("nvidia.com/gpu"))
                        .await;
                    world.rests("while no node fits").await;
                    world.delete("e").await;
                    sleep(Duration::from_secs(30)).await;
                }
                .boxed()
            },
        ),
        scenario("the results of another experiment are waited for", standard, |world| {
            async move {
                let given = json!([{"assignments": {"x": 0.25}, "result": {"score": 0.5}}]);
                let mut change = one_at_a_time(2);
                json_patch::merge(
                    &mut change,
                    &json!({"warmStartFrom": [{"experiment": "e"}], "initialTrials": given}),
                );
                world.create(&experiment("f", change)).await;
                world.until("told", |world| world.condition("f", types::COMPLETE).1 == "WarmStartWaits").await;
                sleep(Duration::from_secs(5)).await;
                // Of one trial there is a result, or none.
                world.create(&experiment("e", one_at_a_time(1))).await;
                world.until("ended", |world| world.ended("f") && world.ended("e")).await;
            }
            .boxed()
        }),
        scenario("a Job waits for a queue", standard, |world| {
            async move {
                let manifest = json!({"trialTemplate": {"manifest": {"spec": {"suspend": true}}}});
                let mut queued = experiment("e", two_at_a_time(2));
                json_patch::merge(&mut queued["spec"], &manifest);
                world.create(&queued).await;
                for job in ["e-00000", "e-00001"] {
                    world.until("told", |world| world.waits(job, "Pending")).await;
                }
                world.rests("while the Jobs are suspended").await;
                for job in ["e-00000", "e-00001"] {
                    let run = json!({"spec": {"suspend": false}});
                    world.jobs().patch(job, &PatchParams::default(), &Patch::Merge(&run)).await.unwrap();
                }
                world.until("ended", |world| world.ended("e")).await;
            }
            .boxed()
        }),
        alone(
            "the goal is reached while a Job waits",
            json!({"limits": {"maxTrials": 9, "parallelTrials": 2}, "objectives": [{"metric": "score", "direction": "Maximize", "goal": 5.0}]}),
            |program| match program.index {
                Some(0) => improving("score", 7.0, 20),
                _ => ending(program, End::Unschedulable),
            },
        ),
        scenario("a quota refuses Jobs for a while", standard, |world| {
            async move {
                world.chaos.set_policy(Some(Arc::new(|asked| {
                    let job = asked.info.resource == "jobs" && asked.info.verb == Verb::Create && !asked.info.dry_run;
                    if job && asked.info.name == "e-00001" { refused(403, "Forbidden") } else { Fault::None }
                })));
                world.create(&experiment("e", one_at_a_time(3))).await;
                world.until("told", |world| world.waits("e-00001", "JobRefused")).await;
                sleep(Duration::from_secs(120)).await;
                world.chaos.set_policy(None);
                world.until("ended", |world| world.ended("e")).await;
            }
            .boxed()
        }),
        scenario("a policy refuses one Job for good", standard, |world| {
            async move {
                world.chaos.set_policy(Some(Arc::new(|asked| {
                    let job = asked.info.resource == "jobs" && asked.info.verb == Verb::Create && !asked.info.dry_run;
                    if job && asked.info.name == "e-00001" { refused(422, "Invalid") } else { Fault::None }
                })));
                world.create(&experiment("e", one_at_a_time(3))).await;
                world.until("ended", |world| world.ended("e")).await;
            }
            .boxed()
        }),
    ]
}

fn refused(code: u16, reason: &str) -> Fault {
    Fault::Answer { code, reason: reason.into(), retry_after: None }
}

/// A Job of this name that is nobody's of ours.
pub async fn stranger(world: &World, name: &str) {
    let stranger = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
    });
    world.jobs().create(&PostParams::default(), &serde_json::from_value(stranger).unwrap()).await.unwrap();
}
