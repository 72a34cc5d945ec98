//! The tests tested: with a deliberate fault in the operator, the invariant that stands against it says so.

use super::chaos::{Asked, Trouble};
use super::run::{Disturbance, Fleet, run};
use super::scenarios::{self, Scenario, races};
use super::weather;
use automl_operator::controller::Mutation;
use automl_operator::local::apiserver::{Fault, Verb};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[test]
fn each_deliberate_fault_is_caught_by_the_invariant_that_stands_against_it() {
    let calm = Disturbance::default;
    let named = scenarios::named;
    let plain = || named("random, two at a time");
    let table: Vec<(Mutation, &str, Scenario, Disturbance)> = vec![
        (Mutation::DropUidPrecondition, "S6", races::a_job_is_replaced_before_it_is_deleted(), slow_deletes()),
        (Mutation::DropResourceVersion, "S4", races::the_goal_is_reached_while_others_talk(), slow_statuses()),
        (Mutation::SkipOwnerCheck, "S6", races::a_strangers_job_has_ended(), calm()),
        (Mutation::ForgetConfirm, "S1", named("a running Job loses its labels"), calm()),
        (Mutation::DeleteFirst, "S7", plain(), calm()),
        (Mutation::StatusFirst, "S9", plain(), calm()),
        (Mutation::NeverDelete, "L2", named("the goal is reached while a Job waits"), calm()),
        (Mutation::PlanUnsynced, "S9", plain(), late_lists()),
        (
            Mutation::ForgetAnswers,
            "S10",
            plain(),
            Disturbance { weather: Some(weather::lagging(&["trials"], 5)), ..calm() },
        ),
        (Mutation::ForgetDeletions, "S8", named("a Trial that has ended is deleted by hand"), calm()),
        (Mutation::AcknowledgeEarly, "S4", plain(), calm()),
        (
            Mutation::IgnoreGaps,
            "S4",
            named("an hour of reports"),
            Disturbance { weather: Some(weather::killing(&[("operator", 100)])), ..calm() },
        ),
        (Mutation::StoreBlindly, "S4", named("an hour of reports"), lost_answers()),
        (Mutation::IgnoreGate, "L3", plain(), Disturbance { fleet: Fleet::Replicas, ..calm() }),
        (Mutation::WriteAlways, "S10", plain(), calm()),
    ];
    let mut wrong = Vec::new();
    for (mutation, invariant, scenario, disturbance) in table {
        let healthy = run(&scenario, disturbance.clone()).violations;
        if !healthy.is_empty() {
            wrong.push(format!("without {mutation:?} in {}: {healthy:?}", scenario.name));
        }
        let caught = run(&scenario, Disturbance { mutation, until: Some(invariant), ..disturbance }).violations;
        if !caught.iter().any(|what| what.starts_with(&format!("{invariant}:"))) {
            wrong.push(format!("{mutation:?} in {}: {invariant} does not say so, but {caught:?}", scenario.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Deletions take a while to arrive.
fn slow_deletes() -> Disturbance {
    slow(|asked| asked.info.verb == Verb::Delete && asked.info.resource == "jobs", 3)
}

/// Statuses of Trials take a while to arrive, and pass each other.
fn slow_statuses() -> Disturbance {
    slow(|asked| asked.info.verb == Verb::Patch && asked.info.resource == "trials", 8)
}

fn slow(which: fn(&Asked<'_>) -> bool, seconds: u64) -> Disturbance {
    let trouble: Trouble = Arc::new(move |asked| match which(asked) {
        true => Fault::Delay(Duration::from_secs(seconds)),
        false => Fault::None,
    });
    Disturbance { trouble: Some(trouble), slack: Duration::from_secs(60), ..Disturbance::default() }
}

/// Every other status of a Trial is written, and the answer is lost.
fn lost_answers() -> Disturbance {
    let count = AtomicU32::new(0);
    let trouble: Trouble = Arc::new(move |asked| {
        let hit = asked.info.verb == Verb::Patch && asked.info.resource == "trials";
        if hit && count.fetch_add(1, Ordering::Relaxed) % 2 == 1 { Fault::DropAfter } else { Fault::None }
    });
    Disturbance { trouble: Some(trouble), slack: Duration::from_secs(60), ..Disturbance::default() }
}

/// The operator is killed, and its next life waits for the list of Trials.
fn late_lists() -> Disturbance {
    let trouble: Trouble = Arc::new(|asked| {
        let late = asked.info.verb == Verb::List && asked.info.resource == "trials";
        if late { Fault::Delay(Duration::from_secs(3)) } else { Fault::None }
    });
    let weather = Some(weather::killing(&[("operator", 6)]));
    Disturbance { trouble: Some(trouble), weather, slack: Duration::from_millis(1), ..Disturbance::default() }
}
