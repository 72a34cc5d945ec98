//! A whole cluster with pods, the chart installed: what only a kubelet can show. `make test-cluster` starts one, or takes
//! that of KUBECONFIG; without AUTOML_TEST_CLUSTER these tests are skipped. They use the operator together, one at a time.

mod space;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, EvictParams, ListParams, Patch, PatchParams};
use serde_json::json;
use space::{OPERATOR, Space, busybox, experiment};
use std::time::Duration;

#[tokio::test]
async fn from_apply_to_the_best_parameters_under_pod_security_restricted() {
    let Some(space) = Space::new("whole").await else { return };
    let script = "for e in 1 2 3; do echo epoch=$e accuracy=${params.x}; done";
    space.create(&experiment("e", json!({"maxTrials": 6, "parallelTrials": 3}), busybox(script))).await;
    let ended = space.until("complete", |space| space.condition("Complete", "True")).await;
    assert_eq!(ended["reason"], "MaxTrialsReached");
    let status = space.experiment().await.status.unwrap();
    assert_eq!((status.trials.succeeded, status.trials.failed), (6, 0));
    let trials = space.trials().await;
    let best = status.best.unwrap();
    for trial in &trials {
        let status = trial.status.as_ref().unwrap();
        assert_eq!((status.metrics[0].count, status.exit.as_ref().unwrap().code), (3, Some(0)));
        assert!(status.objective.unwrap() <= best.value);
        assert_eq!(json!(trial.spec.assignments["x"]), json!(status.objective), "to the last digit");
    }
    space.until("the Jobs are gone", |space| async move { space.jobs().await.is_empty().then_some(()) }).await;
    space.end().await;
}

#[tokio::test]
async fn never_more_trials_run_than_there_are_gpus() {
    let Some(space) = Space::new("gpus").await else { return };
    let mut container = busybox("sleep 3; echo accuracy=1");
    container["resources"] = json!({"limits": {"nvidia.com/gpu": "1"}});
    space.create(&experiment("e", json!({"maxTrials": 6, "parallelTrials": 4}), container)).await;
    let said = space.until("a trial waits", |space| space.waits("Insufficient nvidia.com/gpu")).await;
    assert!(said.contains("is not scheduled (Unschedulable)"), "{said}");
    let mut most = 0;
    let pods: Api<Pod> = space.api();
    while space.clone().condition("Complete", "True").await.is_none() {
        let all = pods.list(&ListParams::default()).await.unwrap();
        let phase = |pod: &&Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
        most = most.max(all.items.iter().filter(phase).count());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(most, 2, "as many as the node has");
    assert_eq!(space.experiment().await.status.unwrap().trials.succeeded, 6);
    space.end().await;
}

#[tokio::test]
async fn what_stands_in_the_way_is_named() {
    let Some(space) = Space::new("waits").await else { return };
    let one = json!({"maxTrials": 1, "parallelTrials": 1});
    let mut missing = busybox("true");
    missing["image"] = json!("localhost/automl-test/none:1");
    space.create(&experiment("image", one.clone(), missing)).await;
    let said = space.until("image", |space| space.waits("localhost/automl-test/none:1")).await;
    assert!(said.contains("container train"), "{said}");
    space.delete("image").await;
    let mut secret = busybox("true");
    secret["env"] = json!([{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "nothing", "key": "key"}}}]);
    space.create(&experiment("secret", one.clone(), secret)).await;
    space.until("secret", |space| space.waits("secret \"nothing\" not found")).await;
    space.delete("secret").await;
    let mut much = busybox("true");
    much["resources"] = json!({"limits": {"cpu": "1000"}});
    space.create(&experiment("cpu", one.clone(), much)).await;
    space.until("cpu", |space| space.waits("Insufficient cpu")).await;
    space.delete("cpu").await;
    space
        .until("nothing is left", |space| async move {
            let pods: Api<Pod> = space.api();
            let left = pods.list(&ListParams::default()).await.unwrap().items.len();
            (left == 0 && space.jobs().await.is_empty() && space.trials().await.is_empty()).then_some(())
        })
        .await;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"count/jobs.batch": "0"}}});
    space.create(&quota).await;
    space.create(&experiment("quota", one, busybox("true"))).await;
    let said = space.until("quota", |space| space.condition_of("quota", "Complete", "exceeded quota: none")).await;
    assert_eq!(said["reason"], "ApiRefused");
    space.end().await;
}

#[tokio::test]
async fn how_a_program_ends_is_said() {
    let Some(space) = Space::new("ends").await else { return };
    let limits = json!({"maxTrials": 1, "parallelTrials": 1, "maxFailedTrials": 0});
    let mut memory = busybox("echo accuracy=0.5; tail /dev/zero");
    memory["resources"] = json!({"limits": {"memory": "32Mi"}});
    let mut program = busybox("");
    program["command"] = json!(["/no/such/program"]);
    let table = [
        ("fails", busybox("echo no data >&2; exit 3"), "exit code 3; its last line: no data"),
        ("memory", memory, "used more memory than its limit allows"),
        ("program", program, "command not found"),
    ];
    for (name, container, expected) in table {
        space.create(&experiment(name, limits.clone(), container)).await;
        space.until(name, |space| space.condition_of(name, "Failed", "")).await;
        let trials = space.trials().await;
        let trial = trials.iter().find(|trial| trial.spec.experiment == name).unwrap();
        let said = json!(trial.status.as_ref().unwrap().conditions).to_string();
        assert!(said.contains(expected), "{name}: {said}");
    }
    space.end().await;
}

#[tokio::test]
async fn a_pod_that_is_deleted_or_evicted_is_tried_again() {
    let Some(space) = Space::new("taken").await else { return };
    let script = "if [ $AUTOML_ATTEMPT = 0 ]; then echo accuracy=0.1; sleep 600; fi; echo accuracy=0.9";
    let limits = json!({"maxTrials": 2, "parallelTrials": 2, "maxFailedTrials": 0});
    let mut object = experiment("e", limits, busybox(script));
    object["spec"]["trialTemplate"]["manifest"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(4);
    space.create(&object).await;
    let running = |space: Space| async move {
        let all = space.trials().await;
        let started = |trial: &&automl_operator::api::Trial| {
            trial.status.as_ref().is_some_and(|status| status.start_time.is_some() && status.attempt == 0)
        };
        (all.iter().filter(started).count() == 2).then_some(())
    };
    space.until("both run", running).await;
    let pods: Api<Pod> = space.api();
    let name = |trial: &str| {
        let (pods, label) = (pods.clone(), format!("automl.dev/trial={trial}"));
        async move {
            let found = pods.list(&ListParams::default().labels(&label)).await.unwrap();
            found.items[0].metadata.name.clone().unwrap()
        }
    };
    pods.delete(&name("e-00000").await, &DeleteParams::default()).await.unwrap();
    pods.evict(&name("e-00001").await, &EvictParams::default()).await.unwrap();
    space.until("complete", |space| space.condition("Complete", "True")).await;
    for trial in space.trials().await {
        let status = trial.status.unwrap();
        assert_eq!((status.attempt, status.objective), (1, Some(0.9)), "{:?}", status.conditions);
    }
    assert_eq!(space.experiment().await.status.unwrap().trials.failed, 0);
    space.end().await;
}

#[tokio::test]
async fn an_operator_that_is_away_for_the_whole_trial_loses_nothing() {
    let Some(space) = Space::new("away").await else { return };
    // The sidecar waits for as long as the pod's grace period lets it, then leaves its last words.
    let script = "e=0; while [ $e -lt 300 ]; do e=$((e+1)); echo epoch=$e accuracy=$e; done; sleep 3";
    let mut object = experiment("e", json!({"maxTrials": 1, "parallelTrials": 1}), busybox(script));
    object["spec"]["trialTemplate"]["manifest"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(4);
    space.create(&object).await;
    space.until("the Job is there", |space| async move { (!space.jobs().await.is_empty()).then_some(()) }).await;
    let deployments: Api<Deployment> = Api::namespaced(space.client.clone(), OPERATOR);
    let name = deployments.list(&ListParams::default()).await.unwrap().items[0].metadata.name.clone().unwrap();
    let scale = |replicas: u32| {
        let (deployments, name) = (deployments.clone(), name.clone());
        async move {
            let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
            deployments.patch(&name, &PatchParams::default(), &patch).await.unwrap();
        }
    };
    scale(0).await;
    let succeeded = |pod: &Pod| pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Succeeded"));
    let look = |space: Space| async move {
        let pods: Api<Pod> = space.api();
        pods.list(&ListParams::default()).await.unwrap().items.into_iter().find(succeeded)
    };
    let pod = space.until("the pod has ended", look).await;
    scale(1).await;
    space.until("complete", |space| space.condition("Complete", "True")).await;
    let trial = &space.trials().await[0];
    let status = trial.status.as_ref().unwrap();
    assert_eq!(status.objective, Some(300.0), "{:?}\n{:?}", status.conditions, pod.status);
    assert_eq!(status.exit.as_ref().unwrap().code, Some(0));
    space.end().await;
}
