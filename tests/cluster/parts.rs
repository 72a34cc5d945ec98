//! Parts of the cluster fail: API server, etcd, the network, the node.

use super::bench::Bench;
use super::manifests::{busybox, epochs, experiment, of_pod, trials};
use super::release::Release;
use super::space::Space;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::json;
use std::time::Duration;

/// All trials of this Experiment have succeeded at once, with this many values each.
async fn nothing_is_missing(space: &Space, name: &'static str, count: u64) {
    let status = space.complete(name).await;
    assert_eq!((status.trials.failed, status.trials.early_stopped), (0, 0), "{:?}", status.trials);
    for (trial, status) in space.trials_of(name).await {
        let seen = (status.attempt, status.metrics[0].count, status.metrics[0].latest_step);
        assert_eq!(seen, (0, count, Some(count)), "{}: {:?}", trial.name_any(), status.conditions);
    }
}

#[tokio::test]
async fn an_api_server_that_restarts_and_an_etcd_that_hangs_lose_nothing() {
    let (Some(bench), Some(space)) = (Bench::find(), Space::new("plane").await) else { return };
    let limits = json!({"maxTrials": 8, "parallelTrials": 2, "maxFailedTrials": 0});
    // The agents wait for longer than all of it takes.
    let pod = json!({"containers": [busybox(&epochs(100, "$e", 0.08))], "terminationGracePeriodSeconds": 300});
    space.create(&of_pod("e", limits, pod)).await;
    space.until_running("e", 1).await;
    bench.part("kill", "kube-apiserver");
    tokio::time::sleep(Duration::from_secs(3)).await;
    bench.part("start", "kube-apiserver");
    space.until_answered().await;
    space.until_running("e", 3).await;
    bench.part("pause", "etcd");
    tokio::time::sleep(Duration::from_secs(20)).await;
    bench.part("resume", "etcd");
    space.until_answered().await;
    nothing_is_missing(&space, "e", 100).await;
    bench.assert_each_job_was_made_once(&space);
    space.end().await;
}

#[tokio::test]
async fn a_network_that_is_cut_for_a_minute_loses_nothing() {
    let (Some(bench), Some(space)) = (Bench::find(), Space::new("cut").await) else { return };
    let operator = Release::new(&space).running(&[]).await.0.status.unwrap().pod_ip.unwrap();
    // One ends while the network is cut, and its pod waits; another goes on all the time, and one is longer than either.
    let patient = json!({"terminationGracePeriodSeconds": 90});
    for (name, pause) in [("short", 0.02), ("long", 0.3)] {
        let mut pod = patient.clone();
        pod["containers"] = json!([busybox(&epochs(250, "$e", pause))]);
        space.create(&of_pod(name, trials(1), pod)).await;
    }
    space.until_running("short", 1).await;
    space.until_running("long", 1).await;
    let rule = ["FORWARD", "-d", &operator, "-p", "tcp", "-m", "tcp", "--dport", "8080", "-j", "DROP"];
    let cut = |action| bench.inside(&[&["iptables", action], rule.as_slice()].concat());
    cut("-I");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let short = space.trials_of("short").await.remove(0).1;
    cut("-D");
    assert!(short.completion_time.is_none() && short.exit.is_none(), "nothing came through: {short:?}");
    nothing_is_missing(&space, "short", 250).await;
    nothing_is_missing(&space, "long", 250).await;
    space.end().await;
}

#[tokio::test]
async fn a_node_that_restarts_costs_no_trial() {
    let (Some(bench), Some(space)) = (Bench::find(), Space::new("restart").await) else { return };
    let script = "echo epoch=1 accuracy=0.1; if [ $AUTOML_ATTEMPT = 0 ]; then sleep 600; fi; echo epoch=2 accuracy=0.9";
    let limits = json!({"maxTrials": 2, "parallelTrials": 2, "maxFailedTrials": 0});
    space.create(&experiment("e", limits, busybox(script))).await;
    space.until_running("e", 2).await;
    let killed = jiff::Timestamp::now();
    for part in ["kubelet", "containerd"] {
        bench.part("kill", part);
    }
    bench.end_all_containers();
    bench.part("start", "containerd");
    // Until containerd is ready the kubelet ends, and whoever starts such parts starts it again.
    let starts = |space: Space| {
        let bench = &bench;
        async move {
            bench.restart("kubelet");
            let leases: Api<Lease> = Api::namespaced(space.client, "kube-node-lease");
            let node = leases.list(&ListParams::default()).await.unwrap().items.remove(0);
            (node.spec?.renew_time?.0 > killed).then_some(())
        }
    };
    space.until("the kubelet is back", starts).await;
    let status = space.complete("e").await;
    assert_eq!((status.trials.succeeded, status.trials.failed), (2, 0));
    for (_, status) in space.trials_of("e").await {
        assert_eq!((status.attempt, status.objective), (1, Some(0.9)), "{:?}", status.conditions);
    }
    Release::new(&space).until_ready().await;
    space.end().await;
}
