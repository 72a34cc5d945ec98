//! Pods that are taken away: the trial is tried again, and has not failed.

use super::manifests::{busybox, experiment, of_pod};
use super::space::Space;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, EvictParams};
use serde_json::{Value, json};

/// Sleeps in its first attempt, and ends well in the next one.
const SCRIPT: &str = "if [ $AUTOML_ATTEMPT = 0 ]; then echo accuracy=0.1; sleep 600; fi; echo accuracy=0.9";

fn two_trials(name: &str) -> Value {
    let limits = json!({"maxTrials": 2, "parallelTrials": 2, "maxFailedTrials": 0});
    of_pod(name, limits, json!({"containers": [busybox(SCRIPT)], "terminationGracePeriodSeconds": 4}))
}

async fn were_tried_again(space: &Space, name: &'static str) {
    let status = space.complete(name).await;
    assert_eq!((status.trials.succeeded, status.trials.failed), (2, 0));
    for (_, status) in space.trials_of(name).await {
        assert_eq!((status.attempt, status.objective), (1, Some(0.9)), "{:?}", status.conditions);
    }
}

#[tokio::test]
async fn a_pod_that_is_deleted_or_evicted_is_tried_again() {
    let Some(space) = Space::new("taken").await else { return };
    space.create(&two_trials("e")).await;
    space.until_running("e", 2).await;
    let pods: Api<Pod> = space.api();
    pods.delete(&space.pod_of("e-00000").await.name_any(), &DeleteParams::default()).await.unwrap();
    pods.evict(&space.pod_of("e-00001").await.name_any(), &EvictParams::default()).await.unwrap();
    were_tried_again(&space, "e").await;
    space.end().await;
}

#[tokio::test]
async fn a_node_that_is_drained_costs_no_trial() {
    let Some(space) = Space::new("drain").await else { return };
    space.create(&two_trials("drained")).await;
    space.until_running("drained", 2).await;
    let node = space.pod_of("drained-00000").await.spec.unwrap().node_name.unwrap();
    let own = "--pod-selector=automl.dev/experiment=drained";
    let mut drain = space.kubectl();
    drain.args(["drain", &node, own, "--delete-emptydir-data", "--ignore-daemonsets", "--timeout=60s"]);
    let drained = drain.output();
    // Whatever came of it: the other tests need the node.
    let cordoned = space.node_is_cordoned(&node).await;
    super::bench::output(space.kubectl().args(["uncordon", &node]));
    let drained = drained.unwrap();
    assert!(drained.status.success() && cordoned, "{}", String::from_utf8_lossy(&drained.stderr));
    were_tried_again(&space, "drained").await;
    space.end().await;
}

#[tokio::test]
async fn a_program_that_ends_well_when_it_is_told_to_has_ended_well() {
    let Some(space) = Space::new("asked").await else { return };
    let script = "trap 'echo epoch=2 accuracy=0.7; exit 0' TERM; echo epoch=1 accuracy=0.1; sleep 600 & wait $!";
    let limits = json!({"maxTrials": 1, "parallelTrials": 1, "maxFailedTrials": 0});
    space.create(&experiment("e", limits, busybox(script))).await;
    let printed = |space: Space| async move { (!space.trials_of("e").await[0].1.metrics.is_empty()).then_some(()) };
    space.until_running("e", 1).await;
    space.until("it has printed a value", printed).await;
    let pods: Api<Pod> = space.api();
    pods.delete(&space.pod_of("e-00000").await.name_any(), &DeleteParams::default()).await.unwrap();
    space.complete("e").await;
    let (_, status) = space.trials_of("e").await.remove(0);
    assert_eq!((status.attempt, status.objective, status.metrics[0].count), (0, Some(0.7), 2), "{status:?}");
    space.end().await;
}
