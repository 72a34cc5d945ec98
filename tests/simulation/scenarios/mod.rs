//! Stories: an experiment, what its programs do, and what a person does meanwhile. Each comes to the same end whenever
//! the operator dies, which is why they leave nothing to the exact second.

mod goals;
mod lives;
mod neighbours;
mod people;
pub mod races;
mod reports;
mod waiting;

use super::experiments::experiment;
use super::script::{End, Line, Play, Program, Script, plain};
use super::world::World;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;

/// See the module.
pub struct Scenario {
    pub name: &'static str,
    pub play: Play,
    /// Returns when there is nothing more to wait for.
    pub story: Story,
}

type Story = Arc<dyn for<'a> Fn(&'a World) -> BoxFuture<'a, ()> + Send + Sync>;

fn scenario(
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
    script.lines.push(Line { pause: Duration::from_secs(30), metric: "unwanted".into(), step: None, value: 0.0 });
    script
}

fn one_at_a_time(trials: u32) -> Json {
    json!({"limits": {"maxTrials": trials, "parallelTrials": 1}})
}

fn two_at_a_time(trials: u32) -> Json {
    json!({"limits": {"maxTrials": trials, "parallelTrials": 2}})
}

fn merged(mut a: Json, b: Json) -> Json {
    json_patch::merge(&mut a, &b);
    a
}

/// All of them.
pub fn all() -> Vec<Scenario> {
    [lives::all(), people::all(), waiting::all(), reports::all(), neighbours::all(), goals::all()]
        .into_iter()
        .flatten()
        .collect()
}

/// The scenario of this name.
pub fn named(name: &str) -> Scenario {
    all()
        .into_iter()
        .chain(races::all())
        .find(|scenario| scenario.name == name)
        .unwrap_or_else(|| panic!("no scenario {name}"))
}
