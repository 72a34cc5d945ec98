//! What a trial costs the API server.

use super::experiments::experiment;
use super::script::{End, Script, plain, printing};
use super::world::World;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// A value each `pause`, `count` times.
fn steady(pause: Duration, count: u32) -> Script {
    printing("score", pause, (0..count).map(f64::from))
}

#[tokio::test(start_paused = true)]
async fn the_number_of_stores_grows_with_the_logarithm_of_a_trials_life() {
    // How often it prints, how often, and how many updates of its Trial that takes: running, the stores while it runs,
    // the last one, the result.
    let table = [
        (Duration::from_secs(1), 3, 3),
        (Duration::from_secs(1), 30, 5),
        (Duration::from_secs(10), 360, 3 + 9),
        (Duration::from_secs(60), 24 * 60, 3 + 12),
        // One more for every 384 values or so that are too many to wait.
        (Duration::from_secs(1), 3600, 3 + 6 + 8),
    ];
    for (pause, count, expected) in table {
        let world = World::new(Arc::new(move |_: &_| steady(pause, count)));
        let _life = world.start("operator");
        world.create(&experiment("e", json!({"limits": {"maxTrials": 1, "parallelTrials": 1}}))).await;
        sleep(pause * count + Duration::from_secs(60)).await;
        assert!(world.ended("e"), "{}", world.report());
        let trial = world.stored_trials().remove(0).status.unwrap();
        assert_eq!(trial.metrics[0].count, u64::from(count), "nothing is lost");
        let writes = world.writes_of("operator").into_iter().filter(|write| write.resource == "trials");
        let updates = writes.filter(|write| write.verb == "update").count();
        assert_eq!(updates, expected, "{count} values, one in {pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reason_to_wait_that_changes_all_the_time_is_not_written_all_the_time() {
    let world = World::new(Arc::new(|program: &_| Script { end: End::Unschedulable, ..plain()(program) }));
    let _life = world.start("operator");
    world.create(&experiment("e", json!({"limits": {"maxTrials": 1, "parallelTrials": 1}}))).await;
    let pods: Api<Pod> = Api::namespaced(world.user.clone(), "default");
    sleep(Duration::from_secs(1)).await;
    for nodes in 0..720 {
        let condition = json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": format!("0/{nodes} nodes are available: {nodes} Insufficient nvidia.com/gpu."),
        });
        let patch = Patch::Merge(json!({"status": {"conditions": [condition]}}));
        pods.patch_status("e-00000-pod", &PatchParams::default(), &patch).await.unwrap();
        sleep(Duration::from_secs(5)).await;
    }
    let writes = world.writes_of("operator").into_iter().filter(|write| write.resource == "trials");
    let updates = writes.filter(|write| write.verb == "update").count();
    assert!((5..=12).contains(&updates), "{updates} in an hour");
}
