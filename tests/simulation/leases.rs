//! Several operators: with a lease, one acts and another takes over; without one, they get in each other's way and
//! nothing is lost.

use super::chaos::Trouble;
use super::compare::{Like, compare};
use super::crashes::each;
use super::run::{Disturbance, Fleet, run};
use super::{scenarios, weather};
use automl_operator::local::apiserver::Fault;
use std::sync::Arc;
use std::time::Duration;

const LIVES: &[&str] = &[
    "random, two at a time",
    "sobol, three at a time",
    "some programs fail",
    "evicted once",
    "suspended and resumed",
    "a running Job is deleted by hand",
    "a Trial made by hand",
];

/// Two that elect a leader.
fn replicas() -> Disturbance {
    Disturbance { fleet: Fleet::Replicas, slack: Duration::from_secs(30), ..Disturbance::default() }
}

/// Requests of these operators fare so between these times.
fn cut_off(names: &'static [&'static str], from: u64, to: u64, only: &'static str, fault: Fault) -> Trouble {
    let (from, to) = (Duration::from_secs(from), Duration::from_secs(to));
    Arc::new(move |asked| {
        let hit = names.iter().any(|name| asked.info.user_agent.starts_with(name))
            && (from..to).contains(&asked.at)
            && (only.is_empty() || asked.info.resource == only);
        if hit { fault.clone() } else { Fault::None }
    })
}

fn check(table: Vec<(&str, Like, Disturbance)>) {
    let lives: Vec<_> = LIVES.iter().map(|name| scenarios::named(name)).collect();
    let wrong = each(&lives, |scenario| {
        let undisturbed = run(scenario, Disturbance::default());
        let disturbed = table.iter().flat_map(|(name, like, disturbance)| {
            let wrong = compare(&undisturbed, &run(scenario, disturbance.clone()), *like);
            wrong.into_iter().map(move |what| format!("{name}: {what}"))
        });
        disturbed.collect()
    });
    assert!(wrong.is_empty(), "{} differences, such as\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

#[test]
fn a_standby_takes_over_and_goes_on() {
    let leader = &["operator-a-1"];
    check(vec![
        ("nothing happens", Like::Same, replicas()),
        (
            "the leader dies",
            Like::Same,
            Disturbance { weather: Some(weather::killing(&[("operator-a", 4)])), ..replicas() },
        ),
        (
            "each leader dies after a while",
            Like::Same,
            Disturbance {
                weather: Some(weather::killing(&[("operator-a", 4), ("operator-b", 50), ("operator-a", 90)])),
                ..replicas()
            },
        ),
        (
            "the leader is cut off in the middle of a plan",
            Like::Same,
            Disturbance { trouble: Some(cut_off(leader, 4, 64, "", Fault::Hang)), ..replicas() },
        ),
        (
            "the leader's answers are lost",
            Like::Same,
            Disturbance { trouble: Some(cut_off(leader, 4, 64, "", Fault::HangAfter)), ..replicas() },
        ),
        (
            "the leader is slow",
            Like::Same,
            Disturbance {
                trouble: Some(cut_off(leader, 4, 64, "", Fault::Delay(Duration::from_secs(8)))),
                ..replicas()
            },
        ),
        (
            "the leader cannot renew, and could write all else",
            Like::Same,
            Disturbance { trouble: Some(cut_off(leader, 3, 63, "leases", Fault::Hang)), ..replicas() },
        ),
        (
            "the renewals of the leader arrive, and their answers do not",
            Like::Same,
            Disturbance { trouble: Some(cut_off(leader, 3, 33, "leases", Fault::DropAfter)), ..replicas() },
        ),
        ("clocks differ by two hours", Like::Same, Disturbance { clocks: [3600, -3600], ..replicas() }),
        (
            "clocks differ, and the leader dies",
            Like::Same,
            Disturbance { clocks: [-3600, 3600], weather: Some(weather::killing(&[("operator-a", 4)])), ..replicas() },
        ),
    ]);
}

#[test]
fn twins_get_in_each_others_way_and_nothing_is_lost() {
    let twins = || Disturbance { fleet: Fleet::Twins, slack: Duration::from_secs(30), ..Disturbance::default() };
    check(vec![
        ("side by side", Like::Same, twins()),
        (
            "one dies now and then",
            Like::Same,
            Disturbance {
                weather: Some(weather::killing(&[("operator-b", 3), ("operator-b", 6), ("operator-b", 9)])),
                ..twins()
            },
        ),
        (
            "one is slow",
            Like::End,
            Disturbance {
                trouble: Some(cut_off(&["operator-b"], 0, 60, "", Fault::Delay(Duration::from_secs(2)))),
                ..twins()
            },
        ),
        (
            "both see everything late",
            Like::Neither,
            Disturbance { weather: Some(weather::lagging(weather::KINDS, 2)), ..twins() },
        ),
    ]);
}
