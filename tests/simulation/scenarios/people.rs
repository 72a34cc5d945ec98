//! What people do meanwhile.

use super::super::experiments::experiment;
use super::super::invariants::has_ended;
use super::super::script::{End, Script, printing};
use super::super::world::World;
use super::{Scenario, ending, one_at_a_time, scenario, standard, two_at_a_time};
use automl_operator::api::conditions::types;
use automl_operator::api::{Trial, TrialSpec};
use automl_operator::space::Value;
use futures::FutureExt;
use kube::ResourceExt;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

pub fn all() -> Vec<Scenario> {
    [limits(), deletions(), by_hand()].into_iter().flatten().collect()
}

/// A Trial as a person would write it.
fn mine(name: &str, x: f64) -> Trial {
    let assignments = [("x".to_owned(), Value::Double(x))].into();
    Trial::new(name, TrialSpec { experiment: "e".into(), assignments, ..TrialSpec::default() })
}

fn count_ended(world: &World) -> usize {
    world.stored_trials().iter().filter(|trial| has_ended(trial)).count()
}

fn trial_ended(world: &World, name: &str) -> bool {
    world.stored_trials().iter().any(|trial| trial.name_any() == name && has_ended(trial))
}

fn limits() -> Vec<Scenario> {
    vec![
        scenario("suspended and resumed", standard, |world| {
            async move {
                world.create(&experiment("e", one_at_a_time(3))).await;
                world.until("one ended", |world| count_ended(world) > 0).await;
                world.edit("e", json!({"spec": {"suspend": true}})).await;
                world.rests("while suspended").await;
                assert!(!world.ended("e"));
                world.edit("e", json!({"spec": {"suspend": false}})).await;
                world.until("ended", |world| world.ended("e")).await;
            }
            .boxed()
        }),
        scenario("more trials are asked for at the end", standard, |world| {
            async move {
                world.create(&experiment("e", two_at_a_time(2))).await;
                world.until("ended", |world| world.ended("e")).await;
                world.edit("e", json!({"spec": {"limits": {"maxTrials": 4}}})).await;
                world.until("four ended", |world| count_ended(world) == 4).await;
                world.until("ended again", |world| world.ended("e")).await;
            }
            .boxed()
        }),
        scenario(
            "more failures are allowed at the end",
            |program| match program.index {
                Some(0) => ending(program, End::Exit(1)),
                _ => standard(program),
            },
            |world| {
                async move {
                    let limits = json!({"limits": {"maxTrials": 3, "parallelTrials": 1, "maxFailedTrials": 0}});
                    world.create(&experiment("e", limits)).await;
                    world.until("failed", |world| world.condition("e", types::FAILED).0 == "True").await;
                    world.edit("e", json!({"spec": {"limits": {"maxFailedTrials": 1}}})).await;
                    world.until("complete", |world| world.condition("e", types::COMPLETE).0 == "True").await;
                    assert_eq!(world.condition("e", types::FAILED).1, "NotFailed");
                }
                .boxed()
            },
        ),
        scenario("fewer trials are asked for in the middle", standard, |world| {
            async move {
                world.create(&experiment("e", one_at_a_time(6))).await;
                world.until("two ended", |world| count_ended(world) == 2).await;
                world.edit("e", json!({"spec": {"limits": {"maxTrials": 3}}})).await;
                world.until("ended", |world| world.ended("e")).await;
            }
            .boxed()
        }),
        scenario("fewer at a time, then more", standard, |world| {
            async move {
                world.create(&experiment("e", json!({"limits": {"maxTrials": 5, "parallelTrials": 3}}))).await;
                world.until("one ended", |world| count_ended(world) > 0).await;
                world.edit("e", json!({"spec": {"limits": {"parallelTrials": 1}}})).await;
                sleep(Duration::from_secs(20)).await;
                world.edit("e", json!({"spec": {"limits": {"parallelTrials": 2}}})).await;
                world.until("ended", |world| world.ended("e")).await;
            }
            .boxed()
        }),
        scenario(
            "a rule is added when some have ended",
            |program| match program.index {
                // It goes on for ever after what it is to be stopped for.
                Some(3) => Script { end: End::Never, ..printing("score", Duration::from_secs(1), [0.0]) },
                _ => printing("score", Duration::from_secs(1), [1.0]),
            },
            |world| {
                async move {
                    world.create(&experiment("e", one_at_a_time(4))).await;
                    world.until("three ended", |world| count_ended(world) == 3).await;
                    world
                        .edit(
                            "e",
                            json!({"spec": {"earlyStopping": [{"name": "Median", "settings": {"minTrials": 3}}]}}),
                        )
                        .await;
                    world.until("ended", |world| world.ended("e")).await;
                    let last = world.stored_trials().into_iter().find(|trial| trial.name_any() == "e-00003").unwrap();
                    let said = json!(last.status).to_string();
                    assert!(said.contains("stopped: Median: step 1: 0 is below the median 1 of 3 trials"), "{said}");
                }
                .boxed()
            },
        ),
        scenario("a template that cannot be run, then one that can", standard, |world| {
            async move {
                let mut broken = experiment("e", two_at_a_time(2));
                broken["spec"]["trialTemplate"]["primaryContainer"] = json!("tarin");
                world.create(&broken).await;
                world.until("refused", |world| world.condition("e", types::ACCEPTED).0 == "False").await;
                world.rests("while the template is wrong").await;
                assert!(world.stored_trials().is_empty());
                world.edit("e", json!({"spec": {"trialTemplate": {"primaryContainer": "train"}}})).await;
                world.until("ended", |world| world.ended("e")).await;
            }
            .boxed()
        }),
        scenario("two experiments at a time", standard, |world| {
            async move {
                world.create(&experiment("e", two_at_a_time(3))).await;
                let change = json!({
                    "limits": {"maxTrials": 2, "parallelTrials": 1}, "algorithm": {"name": "Sobol"},
                    "objectives": [{"metric": "score", "direction": "Minimize"}],
                });
                world.create(&experiment("f", change)).await;
                world.until("both ended", |world| world.ended("e") && world.ended("f")).await;
            }
            .boxed()
        }),
        scenario("one name in two namespaces", standard, |world| {
            async move {
                world.create(&experiment("e", two_at_a_time(2))).await;
                let mut other = experiment("e", one_at_a_time(2));
                other["metadata"]["namespace"] = json!("team-b");
                world.create(&other).await;
                world.until("both ended", |world| world.ended("e") && world.ended_in("team-b", "e")).await;
            }
            .boxed()
        }),
    ]
}

fn deletions() -> Vec<Scenario> {
    vec![
        scenario(
            "deleted in the middle",
            |program| ending(program, End::Never),
            |world| {
                async move {
                    world.create(&experiment("e", two_at_a_time(6))).await;
                    world.until("two run", |world| world.running() == 2).await;
                    world.delete("e").await;
                    world.rests("after the deletion").await;
                }
                .boxed()
            },
        ),
        scenario(
            "deleted in the foreground",
            |program| ending(program, End::Never),
            |world| {
                async move {
                    world.create(&experiment("e", two_at_a_time(6))).await;
                    world.until("two run", |world| world.running() == 2).await;
                    world.delete_in_the_foreground("e").await;
                    world.until("gone", |world| world.experiment("e").is_none()).await;
                    world.rests("after the deletion").await;
                }
                .boxed()
            },
        ),
        scenario(
            "deleted and made anew under its name",
            |program| match program.number("x") {
                x if x < 1.0 => ending(program, End::Never),
                _ => standard(program),
            },
            |world| {
                async move {
                    world.create(&experiment("e", two_at_a_time(4))).await;
                    world.until("two run", |world| world.running() == 2).await;
                    world.delete("e").await;
                    let other = json!({
                        "parameters": [{"name": "x", "double": {"min": 2.0, "max": 3.0}}],
                        "limits": {"maxTrials": 2, "parallelTrials": 1},
                    });
                    world.create(&experiment("e", other)).await;
                    world.until("ended", |world| world.ended("e")).await;
                }
                .boxed()
            },
        ),
        scenario(
            "a running Job is deleted by hand",
            |program| match (program.index, program.attempt) {
                (Some(1), 0) => ending(program, End::Never),
                _ => standard(program),
            },
            |world| {
                async move {
                    world.create(&experiment("e", one_at_a_time(3))).await;
                    world.until("it runs", |world| world.runs("e-00001")).await;
                    world.jobs().delete("e-00001", &DeleteParams::background()).await.unwrap();
                    world.until("ended", |world| world.ended("e")).await;
                }
                .boxed()
            },
        ),
        scenario(
            "a running Trial is deleted by hand",
            |program| match program.index {
                Some(1) => ending(program, End::Never),
                _ => standard(program),
            },
            |world| {
                async move {
                    world.create(&experiment("e", one_at_a_time(3))).await;
                    world.until("it runs", |world| world.runs("e-00001")).await;
                    // Until the count is stored, a Trial that is deleted was never suggested.
                    world.until("it is counted", |world| world.counted("e") == 2).await;
                    world.trials().delete("e-00001", &DeleteParams::default()).await.unwrap();
                    world.until("ended", |world| world.ended("e")).await;
                }
                .boxed()
            },
        ),
        scenario("a Trial that has ended is deleted by hand", standard, |world| {
            async move {
                world.create(&experiment("e", one_at_a_time(3))).await;
                world.until("one ended", |world| trial_ended(world, "e-00000")).await;
                world.until("two are counted", |world| world.counted("e") == 2).await;
                world.trials().delete("e-00000", &DeleteParams::default()).await.unwrap();
                world.until("ended", |world| world.ended("e")).await;
            }
            .boxed()
        }),
    ]
}

fn by_hand() -> Vec<Scenario> {
    vec![
        scenario("a Trial made by hand", standard, |world| {
            async move {
                world.create(&experiment("e", two_at_a_time(2))).await;
                world.trials().create(&PostParams::default(), &mine("mine", 0.9)).await.unwrap();
                world.until("it ended", |world| trial_ended(world, "mine")).await;
                world.until("ended", |world| world.ended("e")).await;
            }
            .boxed()
        }),
        scenario("a Trial made by hand comes first", standard, |world| {
            async move {
                world.trials().create(&PostParams::default(), &mine("mine", 0.9)).await.unwrap();
                world.rests("while there is no Experiment").await;
                world.create(&experiment("e", two_at_a_time(2))).await;
                world.until("it ended", |world| trial_ended(world, "mine")).await;
                world.until("ended", |world| world.ended("e")).await;
            }
            .boxed()
        }),
        scenario("a Trial made by hand comes after the end", standard, |world| {
            async move {
                world.create(&experiment("e", two_at_a_time(2))).await;
                world.until("ended", |world| world.ended("e")).await;
                world.trials().create(&PostParams::default(), &mine("mine", 0.9)).await.unwrap();
                world.until("told", |world| world.waits("mine", "ExperimentEnded")).await;
                world.rests("while the experiment has ended").await;
                world.edit("e", json!({"spec": {"limits": {"maxTrials": 3}}})).await;
                world.until("it ended", |world| trial_ended(world, "mine")).await;
                world.until("three ended", |world| trial_ended(world, "e-00002")).await;
                world.until("ended again", |world| world.ended("e")).await;
            }
            .boxed()
        }),
        scenario(
            "a Trial made by hand is deleted and made anew",
            |program| match program.number("x") {
                x if x > 0.85 && program.index.is_none() => ending(program, End::Never),
                _ => Script { pending: Duration::from_secs(2), ..standard(program) },
            },
            |world| {
                async move {
                    world.create(&experiment("e", two_at_a_time(4))).await;
                    world.trials().create(&PostParams::default(), &mine("mine", 0.9)).await.unwrap();
                    world.until("it runs", |world| world.runs("mine")).await;
                    world.trials().delete("mine", &DeleteParams::default()).await.unwrap();
                    world.trials().create(&PostParams::default(), &mine("mine", 0.8)).await.unwrap();
                    world.until("it ended", |world| trial_ended(world, "mine")).await;
                    world.until("ended", |world| world.ended("e")).await;
                }
                .boxed()
            },
        ),
    ]
}
