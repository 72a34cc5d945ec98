//! Experiments from their beginning to the best parameters.

use super::manifests::{busybox, epochs, experiment};
use super::space::Space;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn from_apply_to_the_best_parameters_under_pod_security_restricted() {
    let Some(space) = Space::new("whole").await else { return };
    let script = epochs(3, "${params.x}", 0.1);
    space.create(&experiment("e", json!({"maxTrials": 6, "parallelTrials": 3}), busybox(&script))).await;
    let ended = space.until("complete", |space| space.condition("Complete", "True")).await;
    assert_eq!(ended["reason"], "MaxTrialsReached");
    let status = space.status("e").await;
    assert_eq!((status.trials.succeeded, status.trials.failed), (6, 0));
    let best = status.best.unwrap();
    for (trial, status) in space.trials_of("e").await {
        assert_eq!((status.metrics[0].count, status.exit.unwrap().code), (3, Some(0)));
        assert!(status.objective.unwrap() <= best.value);
        assert_eq!(json!(trial.spec.assignments["x"]), json!(status.objective), "to the last digit");
    }
    space.until("the Jobs are gone", |space| async move { space.jobs().await.is_empty().then_some(()) }).await;
    space.end().await;
}

#[tokio::test]
async fn the_digits_example_from_kubectl_apply_to_the_best_parameters() {
    let Some(space) = Space::open("digits").await else { return };
    let mut file = std::fs::read_to_string("examples/digits/experiment.yaml").unwrap();
    // Python, scikit-learn and train.py, as the image of the example's own Dockerfile.
    let image = std::env::var("AUTOML_TEST_DIGITS").unwrap_or_else(|_| "localhost/automl-test/python:1".into());
    let image = format!("image: {image}");
    for (old, new) in [("image: automl-digits:1", image.as_str()), ("maxTrials: 30", "maxTrials: 3")] {
        assert_eq!(file.matches(old).count(), 1, "{old}");
        file = file.replace(old, new);
    }
    space.apply(&file);
    let status = space.complete("digits").await;
    assert_eq!((status.trials.succeeded, status.trials.failed), (3, 0));
    let best = status.best.unwrap();
    assert!((0.05..=1.0).contains(&best.value), "{best:?}");
    for (trial, status) in space.trials_of("digits").await {
        let seen: Vec<_> = status.metrics.iter().map(|metric| (metric.name.as_str(), metric.count)).collect();
        assert_eq!(seen, [("accuracy", 40), ("loss", 40)], "{:?}", trial.spec.assignments);
        assert_eq!(trial.spec.assignments == best.assignments, status.objective == Some(best.value));
    }
    space.end().await;
}

#[tokio::test]
async fn never_more_trials_run_than_there_are_gpus() {
    let Some(space) = Space::new("gpus").await else { return };
    let mut container = busybox("sleep 12; echo accuracy=1");
    container["resources"] = json!({"limits": {"nvidia.com/gpu": "1"}});
    space.create(&experiment("e", json!({"maxTrials": 6, "parallelTrials": 4}), container)).await;
    let said = space.until("a trial waits", |space| space.waits("Insufficient nvidia.com/gpu")).await;
    assert!(said.contains("is not scheduled (Unschedulable)"), "{said}");
    let mut most = 0;
    while space.clone().condition("Complete", "True").await.is_none() {
        let pods = space.pods().await;
        let running = |pod: &&Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
        most = most.max(pods.iter().filter(running).count());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(most, 2, "as many as the node has");
    assert_eq!(space.status("e").await.trials.succeeded, 6);
    space.end().await;
}
