//! Several objectives, and results that must satisfy a constraint.

use super::super::experiments::experiment;
use super::super::invariants::{result, satisfies};
use super::super::script::{Line, Program, Script};
use super::super::world::World;
use super::{Scenario, merged, one_at_a_time, scenario, standard, two_at_a_time};
use futures::FutureExt;
use kube::ResourceExt;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::time::Duration;

pub fn all() -> Vec<Scenario> {
    vec![scenario("several objectives under a constraint, after another experiment", dear, |world| {
        async move {
            world.create(&experiment("e", merged(two_at_a_time(5), goals()))).await;
            world.until("ended", |world| world.ended("e")).await;
            let after = json!({"warmStartFrom": [{"experiment": "e", "maxTrials": 4}]});
            world.create(&experiment("f", merged(merged(one_at_a_time(4), goals()), after))).await;
            world.until("ended", |world| world.ended("f")).await;
            for name in ["e", "f"] {
                the_front_is_what_nothing_beats(world, name);
            }
            let of_f = world.experiment("f").unwrap().status.unwrap().trials;
            assert_eq!((of_f.known, of_f.succeeded), (4, 4));
        }
        .boxed()
    })]
}

fn goals() -> Json {
    json!({
        "objectives": [{"metric": "score", "direction": "Maximize"}, {"metric": "cost", "direction": "Minimize"}],
        "additionalMetrics": ["heat"],
        "constraints": [{"metric": "heat", "max": 0.7}],
    })
}

/// What scores more costs more, and gets hotter; some cost too much.
fn dear(program: &Program) -> Script {
    let (x, wasted) = (program.number("x"), f64::from(program.index.unwrap_or(0) % 2));
    let mut script = standard(program);
    for (metric, value) in [("cost", x * x + wasted), ("heat", 0.9 * x)] {
        script.lines.push(Line { pause: Duration::from_secs(1), metric: metric.into(), step: None, value });
    }
    script
}

/// Of the trials whose results satisfy the constraint those that none of them beats; the best is one of these.
fn the_front_is_what_nothing_beats(world: &World, name: &str) {
    let experiment = world.experiment(name).unwrap();
    let trials = world.stored_trials().into_iter().filter(|trial| trial.spec.experiment == name);
    let all: Vec<(String, f64, f64)> = trials
        .filter(|trial| satisfies(&experiment, trial))
        .filter_map(|trial| {
            let value = |metric| result(&experiment, &trial, metric);
            Some((trial.name_any(), value("score")?, value("cost")?))
        })
        .collect();
    let beaten = |(_, score, cost): &(String, f64, f64)| {
        all.iter().any(|(_, other, price)| other >= score && price <= cost && (other > score || price < cost))
    };
    let expected: BTreeSet<&str> = all.iter().filter(|one| !beaten(one)).map(|(name, ..)| name.as_str()).collect();
    let status = experiment.status.clone().unwrap_or_default();
    let told: BTreeSet<&str> = status.pareto_front.iter().map(|one| one.trial.as_str()).collect();
    assert_eq!(told, expected, "{name}: {all:?}");
    assert!(told.contains(status.best.unwrap().trial.as_str()), "{name}");
}
