//! The election: who leads, what happens between two leaders, and how one hands over.

use super::experiments::experiment;
use super::script::plain;
use super::world::{Life, Start, World};
use automl_operator::controller::{Ended, LeaseName, Timing};
use automl_operator::local::apiserver::{Fault, RequestInfo, Verb};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

fn start(world: &World, name: &str) -> Life {
    let lease = LeaseName {
        namespace: "default".into(),
        name: "automl-operator".into(),
        own_url: None,
        timing: Timing::default(),
    };
    world.start_with(name, Start { lease: Some(lease), ..Start::default() })
}

fn holder(world: &World) -> String {
    let lease = world.server.peek("leases", "default", "automl-operator");
    lease.and_then(|lease| Some(lease["spec"]["holderIdentity"].as_str()?.to_owned())).unwrap_or_default()
}

async fn until_leading(life: &Life) -> Duration {
    let start = Instant::now();
    while !life.operator.is_leading() {
        assert!(start.elapsed() < Duration::from_secs(60), "nobody leads after a minute");
        sleep(Duration::from_millis(100)).await;
    }
    start.elapsed()
}

/// What happens to the n-th write of this operator's lease, from 1.
fn on_lease_write(world: &World, agent: &'static str, fault: impl Fn(usize) -> Fault + Send + Sync + 'static) {
    let writes = AtomicUsize::new(0);
    world.server.set_faults(Some(Arc::new(move |request: &RequestInfo| {
        match request.resource == "leases" && request.is_write() && request.user_agent == agent {
            true => fault(writes.fetch_add(1, Ordering::Relaxed) + 1),
            false => Fault::None,
        }
    })));
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_the_other_takes_over_when_it_dies() {
    let world = World::new(plain());
    let first = start(&world, "operator-a");
    until_leading(&first).await;
    let second = start(&world, "operator-b");
    for _ in 0..60 {
        sleep(Duration::from_secs(1)).await;
        assert!(first.operator.is_leading() && !second.operator.is_leading());
    }
    assert!(second.operator.is_ready(), "the other one's caches are filled");
    drop(first);
    // L3: the duration of the lease, and a look.
    let waited = until_leading(&second).await;
    assert!((Duration::from_secs(10)..=Duration::from_secs(18)).contains(&waited), "{waited:?}");
    assert_eq!(holder(&world), "operator-b");
    world.create(&experiment("e", json!({"limits": {"maxTrials": 2}}))).await;
    world.until("ended", |world| world.ended("e")).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_before_another_may_start_and_says_so() {
    let world = World::new(plain());
    let mut first = start(&world, "operator-a");
    until_leading(&first).await;
    let second = start(&world, "operator-b");
    on_lease_write(&world, "operator-a", |_| Fault::Hang);
    let mut nobody = 0;
    while !second.operator.is_leading() {
        nobody += u32::from(!first.operator.is_leading());
        sleep(Duration::from_millis(100)).await;
        assert!(!(first.operator.is_leading() && second.operator.is_leading()), "two lead");
        assert!(nobody < 100, "nobody leads for ten seconds");
    }
    assert!(nobody > 30, "the first stops some seconds before: {nobody}");
    let lost = timeout(Duration::from_secs(10), first.operator.lost()).await;
    assert_eq!(lost, Ok(Ended::Lease));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_taken_away_is_given_up_at_once() {
    let world = World::new(plain());
    let mut first = start(&world, "operator-a");
    until_leading(&first).await;
    let leases: kube::Api<k8s_openapi::api::coordination::v1::Lease> =
        kube::Api::namespaced(world.user.clone(), "default");
    let patch = kube::api::Patch::Merge(json!({"spec": {"holderIdentity": "somebody"}}));
    leases.patch("automl-operator", &kube::api::PatchParams::default(), &patch).await.unwrap();
    let lost = timeout(Duration::from_secs(6), first.operator.lost()).await;
    assert_eq!(lost, Ok(Ended::Lease), "at the next renewal");
    assert!(!first.operator.is_leading());
}

#[tokio::test(start_paused = true)]
async fn what_happens_in_a_gap_of_the_lease_is_made_up_for() {
    let world = World::new(plain());
    let life = start(&world, "operator-a");
    until_leading(&life).await;
    // The next renewal is answered after the gate has shut, yet before the lease is another's.
    on_lease_write(&world, "operator-a", |write| match write {
        1 => Fault::Delay(Duration::from_secs(7)),
        _ => Fault::None,
    });
    while life.operator.is_leading() {
        sleep(Duration::from_millis(50)).await;
    }
    world.create(&experiment("e", json!({"limits": {"maxTrials": 2}}))).await;
    let gap = until_leading(&life).await;
    assert!(gap > Duration::from_secs(1), "the experiment came in the gap: {gap:?}");
    let start = Instant::now();
    world.until("ended", |world| world.ended("e")).await;
    assert!(start.elapsed() < Duration::from_secs(120), "without waiting for the safety resync");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_finishes_what_runs_and_hands_over_last() {
    let world = World::new(plain());
    let life = start(&world, "operator-a");
    until_leading(&life).await;
    // A pass is in the middle of its plan when the signal comes.
    let slow = Arc::new(AtomicUsize::new(0));
    let count = slow.clone();
    world.server.set_faults(Some(Arc::new(move |request: &RequestInfo| {
        match request.resource == "trials" && request.verb == Verb::Create && request.user_agent == "operator-a" {
            true if count.fetch_add(1, Ordering::Relaxed) == 0 => Fault::Delay(Duration::from_secs(3)),
            _ => Fault::None,
        }
    })));
    world.create(&experiment("e", json!({"limits": {"maxTrials": 1, "parallelTrials": 1}}))).await;
    while slow.load(Ordering::Relaxed) == 0 {
        sleep(Duration::from_millis(50)).await;
    }
    life.stop().await;
    let writes: Vec<String> =
        world.writes_of("operator-a").iter().map(|w| format!("{} {}", w.verb, w.resource)).collect();
    assert_eq!(holder(&world), "", "{writes:?}");
    let of = |what: &str| writes.iter().rposition(|write| write == what);
    assert!(of("create jobs").is_some() && of("update experiments").is_some(), "the pass came to its end: {writes:?}");
    assert_eq!(of("update leases"), Some(writes.len() - 1), "{writes:?}");
    // Another one need not wait.
    let second = start(&world, "operator-b");
    assert!(until_leading(&second).await < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_was_broken_off_does_not_keep_the_lease() {
    let world = World::new(plain());
    let life = start(&world, "operator-a");
    until_leading(&life).await;
    on_lease_write(&world, "operator-a", |write| match write {
        1 => Fault::HangAfter,
        _ => Fault::None,
    });
    sleep(Duration::from_secs(6)).await;
    life.stop().await;
    assert_eq!(holder(&world), "");
}
