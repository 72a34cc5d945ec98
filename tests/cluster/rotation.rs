//! The token of a trial's pod changes while the trial runs, as the kubelet changes it each hour.

use super::bench::Bench;
use super::manifests::{busybox, epochs, experiment, trials};
use super::release::Release;
use super::space::Space;
use kube::ResourceExt;
use serde_json::json;

#[tokio::test]
async fn a_token_that_changes_is_read_anew() {
    let (Some(bench), Some(space)) = (Bench::find(), Space::new("rotation").await) else { return };
    let release = Release::new(&space);
    space.create(&experiment("e", trials(1), busybox(&(epochs(20, "$e", 0.5) + "; sleep 15")))).await;
    space.until_running("e", 1).await;
    let pod = space.pod_of("e-00000").await;
    // As the kubelet sees it: the volume is mounted in its own namespace.
    let kubelet = bench.part("pid", "kubelet");
    let folder = format!("{}/kubelet/pods/{}", bench.run.display(), pod.uid().unwrap());
    let file = format!("/proc/{}/root{folder}/volumes/kubernetes.io~projected/automl-report/token", kubelet.trim());
    // Links in it are absolute nowhere, so it can be followed.
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let refused = || async {
        let text = release.metrics().await;
        let line = text.lines().find(|line| line.starts_with("automl_report_batches_total{answer=\"refused\"}"));
        line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
    };
    let before = refused().await;
    let fresh = space.token(automl_operator::report::AUDIENCE, Some(&pod)).await;
    std::fs::write(&file, "one that has expired").unwrap();
    let look = |_| async { (refused().await > before).then_some(()) };
    space.until("the agent shows the new one", look).await;
    std::fs::write(&file, fresh).unwrap();
    space.complete("e").await;
    let (_, status) = space.trials_of("e").await.remove(0);
    assert_eq!((status.metrics[0].count, status.attempt), (20, 0), "{:?}", json!(status.metrics));
    space.end().await;
}
