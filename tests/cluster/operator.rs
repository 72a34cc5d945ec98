//! The operator ends, however it may, in the middle of the work.

use super::bench::Bench;
use super::manifests::{busybox, epochs, of_pod, trials};
use super::release::Release;
use super::space::Space;
use automl_operator::api::{Trial, TrialStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn an_operator_that_is_away_for_the_whole_trial_loses_nothing() {
    let Some(space) = Space::new("away").await else { return };
    // The sidecar waits for as long as the pod's grace period lets it, then leaves its last words.
    let script = epochs(300, "$e", 0.0) + "; sleep 3";
    let pod = json!({"containers": [busybox(&script)], "terminationGracePeriodSeconds": 4});
    space.create(&of_pod("e", trials(1), pod)).await;
    space.until("the Job is there", |space| async move { (!space.jobs().await.is_empty()).then_some(()) }).await;
    let succeeded = |pod: &Pod| pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Succeeded"));
    let look = |space: Space| async move { space.pods().await.into_iter().find(succeeded) };
    let pod = Release::new(&space).with_replicas(0, space.until("the pod has ended", look)).await;
    space.complete("e").await;
    let (_, status) = space.trials_of("e").await.remove(0);
    assert_eq!(status.objective, Some(300.0), "{:?}\n{:?}", status.conditions, pod.status);
    assert_eq!(status.exit.unwrap().code, Some(0));
    space.end().await;
}

const KILLS: u64 = 20;

/// Two experiments, whose points do not depend on chance: one trial after the other, and several at a time.
fn pair(many: u32) -> [Value; 2] {
    // An agent waits until the operator is back, for longer than it is away in all.
    let pod = |script: &str| json!({"containers": [busybox(script)], "terminationGracePeriodSeconds": 300});
    let mut one = of_pod("one", trials(many), pod(&epochs(40, "${params.x}", 0.05)));
    one["spec"]["algorithm"] = json!({"name": "TPE", "seed": 3, "settings": {"startupTrials": 2}});
    // Faster than they can be stored one by one: each kill meets some that are received and not stored.
    let limits = json!({"maxTrials": many, "parallelTrials": 2, "maxFailedTrials": 0});
    [one, of_pod("several", limits, pod(&epochs(300, "$e", 0.01)))]
}

fn points(trials: &[(Trial, TrialStatus)]) -> Vec<(String, Value)> {
    trials.iter().map(|(trial, _)| (trial.name_any(), json!(trial.spec.assignments))).collect()
}

#[tokio::test]
async fn an_operator_that_is_killed_again_and_again_ends_as_if_nothing_had_happened() {
    let Some(space) = Space::new("killed").await else { return };
    let (release, bench) = (Release::new(&space), Bench::on_bench());
    for object in pair(1000) {
        space.create(&object).await;
    }
    let seed = 7_u64;
    let mut known = Vec::new();
    for kill in 0..KILLS {
        let (pod, container) = release.running(&known).await;
        // Every other one as soon as it begins, the rest at work.
        if kill % 2 == 1 {
            release.until_ready().await;
        }
        let wait = (seed + kill).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        tokio::time::sleep(Duration::from_millis(wait % 3000)).await;
        if let Some(bench) = &bench {
            bench.signal(&container, "KILL");
            // The kubelet would wait ever longer before it starts the same pod's container again.
            release.delete_at_once(&pod).await;
            release.forget_leader().await;
        } else {
            release.delete_at_once(&pod).await;
        }
        known.push(container);
    }
    release.until_ready().await;
    let mut made = Vec::new();
    for name in ["one", "several"] {
        let created = u32::try_from(space.trials_of(name).await.len()).unwrap();
        assert!(created > 1, "there was something to disturb");
        space.edit(name, json!({"limits": {"maxTrials": created}})).await;
        let status = space.complete(name).await;
        assert_eq!((status.trials.failed, status.trials.early_stopped), (0, 0), "{:?}", status.trials);
        let trials = space.trials_of(name).await;
        for (trial, status) in &trials {
            let steps = if name == "one" { 40 } else { 300 };
            let seen = (status.attempt, status.interruptions, status.metrics[0].count, status.metrics[0].latest_step);
            assert_eq!(seen, (0, 0, steps, Some(steps)), "{}: {:?}", trial.name_any(), status.conditions);
        }
        made.push(points(&trials));
    }
    if let Some(bench) = &bench {
        bench.assert_each_job_was_made_once(&space);
    }
    // The same again in peace.
    let Some(peace) = Space::new("peace").await else { return };
    let [one, several] = pair(1);
    for (mut object, points) in [one, several].into_iter().zip(&made) {
        object["spec"]["limits"]["maxTrials"] = json!(points.len());
        peace.create(&object).await;
    }
    for (name, disturbed) in ["one", "several"].into_iter().zip(made) {
        peace.complete(name).await;
        assert_eq!(points(&peace.trials_of(name).await), disturbed);
    }
    peace.end().await;
    space.end().await;
}

#[tokio::test]
async fn a_leader_that_is_frozen_past_its_lease_does_no_harm_when_it_thaws() {
    let (Some(bench), Some(space)) = (Bench::find(), Space::new("frozen").await) else { return };
    let release = Release::new(&space);
    release.with_replicas(2, freeze_and_thaw(&bench, &space, &release)).await;
    space.end().await;
}

async fn freeze_and_thaw(bench: &Bench, space: &Space, release: &Release) {
    let leader = release.leader().await.unwrap();
    let (pod, _) = leader.split_once('_').unwrap();
    let frozen = release.pods().await.into_iter().find(|found| found.name_any() == pod).unwrap();
    let container = frozen.status.unwrap().container_statuses.unwrap().remove(0).container_id.unwrap();
    let (_, container) = container.split_once("://").unwrap();
    let limits = json!({"maxTrials": 1000, "parallelTrials": 3, "maxFailedTrials": 0});
    // An agent waits as long as the frozen one lets it wait for an answer.
    let pod = json!({"containers": [busybox(&epochs(50, "$e", 0.04))], "terminationGracePeriodSeconds": 120});
    space.create(&of_pod("e", limits, pod)).await;
    let some_have_ended = |space: Space, count: u32| async move {
        let trials = space.status("e").await.trials;
        (trials.succeeded >= count).then_some(trials.succeeded)
    };
    let before = space.until("two have ended", |space| some_have_ended(space, 2)).await;
    bench.signal(container, "STOP");
    let other = |space: Space| {
        let leader = leader.clone();
        async move { Release::new(&space).leader().await.filter(|now| *now != leader) }
    };
    let taken_over = space.until("the other takes over", other).await;
    // Before the kubelet ends it, for it does not say that it lives.
    let after = space.until("and goes on", |space| some_have_ended(space, before + 1)).await;
    bench.signal(container, "CONT");
    space.until("so it does when the first is back", |space| some_have_ended(space, after + 3)).await;
    let created = space.trials_of("e").await.len();
    space.edit("e", json!({"limits": {"maxTrials": created}})).await;
    let status = space.complete("e").await;
    assert_eq!((status.trials.failed, status.trials.early_stopped), (0, 0), "{:?}", status.trials);
    for (trial, status) in space.trials_of("e").await {
        let seen = (status.attempt, status.interruptions, status.metrics[0].count);
        assert_eq!(seen, (0, 0, 50), "{}: {:?}", trial.name_any(), status.conditions);
    }
    bench.assert_each_job_was_made_once(space);
    assert_eq!(release.leader().await, Some(taken_over), "the thawed one leaves it alone");
}
