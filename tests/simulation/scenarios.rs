//! Stories: an experiment, what its programs do, and what a person does meanwhile. Each comes to the same end whenever
//! the operator dies, which is why they leave nothing to the exact second.

use super::experiments::experiment;
use super::invariants::ended;
use super::script::{End, Play, Program, Script, improving, plain};
use super::world::World;
use automl_operator::api::conditions::types;
use automl_operator::api::{Trial, TrialSpec};
use automl_operator::space::Value;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// See the module.
pub struct Scenario {
    pub name: &'static str,
    pub play: Play,
    /// Returns when there is nothing more to wait for.
    pub story: Story,
}

type Story = Arc<dyn for<'a> Fn(&'a World) -> BoxFuture<'a, ()> + Send + Sync>;

pub fn scenario(
    name: &'static str,
    play: impl Fn(&Program) -> Script + Send + Sync + 'static,
    story: impl for<'a> Fn(&'a World) -> BoxFuture<'a, ()> + Send + Sync + 'static,
) -> Scenario {
    Scenario { name, play: Arc::new(play), story: Arc::new(story) }
}

/// One experiment, left alone until it has ended.
fn alone(name: &'static str, change: Json, play: impl Fn(&Program) -> Script + Send + Sync + 'static) -> Scenario {
    scenario(name, play, move |world| {
        let experiment = experiment("e", change.clone());
        async move {
            world.create(&experiment).await;
            world.until("ended", |world| world.ended("e")).await;
        }
        .boxed()
    })
}

fn standard(program: &Program) -> Script {
    plain()(program)
}

fn ending(program: &Program, end: End) -> Script {
    Script { end, ..standard(program) }
}

/// Taken away, long enough after its last line for that to be stored.
fn evicted(program: &Program) -> Script {
    let mut script = ending(program, End::Evicted);
    script.lines.push((Duration::from_secs(30), "unwanted".into(), 0.0));
    script
}

fn one_at_a_time(trials: u32) -> Json {
    json!({"limits": {"maxTrials": trials, "parallelTrials": 1}})
}

fn two_at_a_time(trials: u32) -> Json {
    json!({"limits": {"maxTrials": trials, "parallelTrials": 2}})
}

/// All of them.
pub fn all() -> Vec<Scenario> {
    let mut all = undisturbed_experiments();
    all.extend(failures());
    all.extend(endings());
    all.extend(people());
    all.extend(super::neighbours::scenarios());
    all
}

/// The scenario of this name.
pub fn named(name: &str) -> Scenario {
    all().into_iter().find(|scenario| scenario.name == name).unwrap_or_else(|| panic!("no scenario {name}"))
}

fn undisturbed_experiments() -> Vec<Scenario> {
    let algorithm = |name: &str, settings: Json| json!({"algorithm": {"name": name, "settings": settings}});
    let merged = |mut a: Json, b: Json| {
        json_patch::merge(&mut a, &b);
        a
    };
    vec![
        alone("random, two at a time", two_at_a_time(5), standard),
        alone("tpe, one at a time", merged(one_at_a_time(4), algorithm("TPE", json!({}))), standard),
        alone(
            "sobol, three at a time",
            merged(json!({"limits": {"maxTrials": 6, "parallelTrials": 3}}), algorithm("Sobol", json!({}))),
            standard,
        ),
        alone(
            "grid, to the end of the space",
            merged(
                json!({
                    "parameters": [
                        {"name": "x", "double": {"min": 0.0, "max": 1.0, "step": 0.5}},
                    ],
                    "limits": {"maxTrials": 50, "parallelTrials": 2},
                }),
                algorithm("Grid", json!({})),
            ),
            standard,
        ),
        alone(
            "given points first",
            merged(
                one_at_a_time(3),
                json!({"initialTrials": [{"assignments": {"x": 0.25}}, {"assignments": {"x": 0.75}}]}),
            ),
            standard,
        ),
        alone("every Job is kept", merged(two_at_a_time(3), json!({"trialTemplate": {"retain": "Always"}})), standard),
    ]
}

fn failures() -> Vec<Scenario> {
    let merged = |mut a: Json, b: Json| {
        json_patch::merge(&mut a, &b);
        a
    };
    vec![
        alone("some programs fail", two_at_a_time(5), |program| match program.index {
            Some(1 | 3) => ending(program, End::Exit(1)),
            _ => standard(program),
        }),
        alone("every program fails", one_at_a_time(9), |program| ending(program, End::Exit(2))),
        alone("evicted once", two_at_a_time(4), |program| match (program.index, program.attempt) {
            (Some(1), 0) => evicted(program),
            _ => standard(program),
        }),
        alone(
            "evicted again and again",
            merged(two_at_a_time(3), json!({"failurePolicy": {"retries": 1}})),
            |program| match program.index {
                Some(1) => evicted(program),
                _ => standard(program),
            },
        ),
        alone("the metric is never printed", two_at_a_time(3), |program| match program.index {
            Some(1) => Script { lines: Vec::new(), ..standard(program) },
            _ => standard(program),
        }),
        alone("the metric is not finite", two_at_a_time(3), |program| match program.index {
            Some(1) => improving("score", f64::NAN, 3),
            _ => standard(program),
        }),
    ]
}

fn endings() -> Vec<Scenario> {
    vec![
        alone(
            "the goal is reached",
            json!({"limits": {"maxTrials": 9, "parallelTrials": 2}, "objectives": [{"metric": "score", "direction": "Maximize", "goal": 5.0}]}),
            |program| match program.index {
                Some(0) => Script { end: End::Never, ..standard(program) },
                _ => improving("score", 7.0, 20),
            },
        ),
        alone(
            "a trial runs too long",
            json!({"limits": {"maxTrials": 3, "parallelTrials": 1, "maxTrialDuration": "60s"}}),
            |program| match program.index {
                Some(1) => ending(program, End::Never),
                _ => standard(program),
            },
        ),
        alone(
            "the experiment runs too long",
            json!({"limits": {"maxTrials": 9, "parallelTrials": 2, "maxDuration": "5m"}}),
            |program| ending(program, End::Never),
        ),
    ]
}

fn people() -> Vec<Scenario> {
    vec![
        scenario("suspended and resumed", standard, |world| {
            async move {
                world.create(&experiment("e", one_at_a_time(4))).await;
                world.until("one ended", |world| world.stored_trials().iter().any(ended)).await;
                world.edit("e", json!({"spec": {"suspend": true}})).await;
                sleep(Duration::from_secs(120)).await;
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
                world
                    .until("four ended", |world| world.stored_trials().iter().filter(|trial| ended(trial)).count() == 4)
                    .await;
                world.until("ended again", |world| world.ended("e")).await;
            }
            .boxed()
        }),
        scenario("fewer at a time, then more", standard, |world| {
            async move {
                world.create(&experiment("e", json!({"limits": {"maxTrials": 6, "parallelTrials": 3}}))).await;
                world.until("one ended", |world| world.stored_trials().iter().any(ended)).await;
                world.edit("e", json!({"spec": {"limits": {"parallelTrials": 1}}})).await;
                sleep(Duration::from_secs(20)).await;
                world.edit("e", json!({"spec": {"limits": {"parallelTrials": 2}}})).await;
                world.until("ended", |world| world.ended("e")).await;
            }
            .boxed()
        }),
        scenario(
            "deleted in the middle",
            |program| ending(program, End::Never),
            |world| {
                async move {
                    world.create(&experiment("e", two_at_a_time(6))).await;
                    world.until("two run", |world| world.running() == 2).await;
                    world.delete("e").await;
                    sleep(Duration::from_secs(60)).await;
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
        scenario("a Trial made by hand", standard, |world| {
            async move {
                world.create(&by_hand_only()).await;
                let spec = TrialSpec {
                    experiment: "e".into(),
                    index: None,
                    assignments: [("x".to_owned(), Value::Double(0.9))].into(),
                    manifest: None,
                };
                world.trials().create(&PostParams::default(), &Trial::new("mine", spec)).await.unwrap();
                world
                    .until("it ended", |world| world.stored_trials().iter().any(|t| t.name_any() == "mine" && ended(t)))
                    .await;
                world.until("ended", |world| world.ended("e")).await;
            }
            .boxed()
        }),
        scenario("a Trial made by hand comes first", standard, |world| {
            async move {
                let spec = TrialSpec {
                    experiment: "e".into(),
                    index: None,
                    assignments: [("x".to_owned(), Value::Double(0.9))].into(),
                    manifest: None,
                };
                world.trials().create(&PostParams::default(), &Trial::new("mine", spec)).await.unwrap();
                sleep(Duration::from_secs(20)).await;
                world.create(&by_hand_only()).await;
                world
                    .until("it ended", |world| world.stored_trials().iter().any(|t| t.name_any() == "mine" && ended(t)))
                    .await;
                world.until("ended", |world| world.ended("e")).await;
            }
            .boxed()
        }),
        scenario("a template that cannot be run, then one that can", standard, |world| {
            async move {
                let mut broken = experiment("e", two_at_a_time(2));
                broken["spec"]["trialTemplate"]["primaryContainer"] = json!("tarin");
                world.create(&broken).await;
                world.until("refused", |world| world.condition("e", types::ACCEPTED).0 == "False").await;
                assert!(world.stored_trials().is_empty());
                world.edit("e", json!({"spec": {"trialTemplate": {"primaryContainer": "train"}}})).await;
                world.until("ended", |world| world.ended("e")).await;
            }
            .boxed()
        }),
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
                    let jobs: Api<Job> = Api::namespaced(world.user.clone(), "default");
                    jobs.delete("e-00001", &DeleteParams::background()).await.unwrap();
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
        scenario("a stranger's Job is in the way", standard, |world| {
            async move {
                let jobs: Api<Job> = Api::namespaced(world.user.clone(), "default");
                let stranger = json!({
                    "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "e-00001"},
                    "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
                });
                jobs.create(&PostParams::default(), &serde_json::from_value(stranger).unwrap()).await.unwrap();
                world.create(&experiment("e", one_at_a_time(3))).await;
                world.until("told", |world| world.waits("e-00001", "NameTaken")).await;
                sleep(Duration::from_secs(60)).await;
                jobs.delete("e-00001", &DeleteParams::background()).await.unwrap();
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
                    world.delete("e").await;
                    sleep(Duration::from_secs(30)).await;
                }
                .boxed()
            },
        ),
        scenario("two experiments at a time", standard, |world| {
            async move {
                world.create(&experiment("e", two_at_a_time(3))).await;
                world
                    .create(&experiment(
                        "f",
                        json!({"limits": {"maxTrials": 2, "parallelTrials": 1}, "algorithm": {"name": "Sobol"}}),
                    ))
                    .await;
                world.until("both ended", |world| world.ended("e") && world.ended("f")).await;
            }
            .boxed()
        }),
    ]
}

fn by_hand_only() -> Json {
    experiment("e", two_at_a_time(2))
}
