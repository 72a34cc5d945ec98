//! What only a Prometheus knows of a trial's pod: Debian's Prometheus scrapes the pods (it is built without the discovery of
//! pods, so it is told where they are), and the operator, in its own pod, asks it.

use super::bench::Bench;
use super::manifests::{busybox, experiment, trials};
use super::space::Space;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Where `scripts/test-cluster.sh` has the operator ask, on the node.
const LISTEN: &str = "0.0.0.0:9099";

/// A Prometheus on the node; it ends with the test.
struct Prometheus {
    server: Child,
    /// The file with what it scrapes.
    targets: PathBuf,
}

impl Prometheus {
    fn start(bench: &Bench) -> Self {
        let folder = bench.run.join("prometheus");
        std::fs::create_dir_all(&folder).unwrap();
        let targets = folder.join("targets.json");
        let config = json!({"scrape_configs": [{
            "job_name": "pods", "scrape_interval": "1s", "file_sd_configs": [{"files": [targets], "refresh_interval": "1s"}],
        }]});
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config.to_string()).unwrap();
        let log = std::fs::File::create(bench.run.join("log/prometheus.log")).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/in.sh");
        let server = Command::new(script)
            .arg(&bench.run)
            .args(["prometheus", "--web.listen-address", LISTEN, "--config.file"])
            .arg(file)
            .arg("--storage.tsdb.path")
            .arg(folder.join("data"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Prometheus { server, targets }
    }

    /// Has it scrape the pods of these namespaces, labelled with their names.
    async fn scrape(&self, spaces: &[&Space]) {
        let mut targets = Vec::new();
        for space in spaces {
            for pod in space.pods().await {
                let address = pod.status.and_then(|status| status.pod_ip).unwrap();
                let labels = json!({"namespace": space.namespace, "pod": pod.metadata.name});
                targets.push(json!({"targets": [format!("{address}:8000")], "labels": labels}));
            }
        }
        let new = self.targets.with_extension("new");
        std::fs::write(&new, json!(targets).to_string()).unwrap();
        std::fs::rename(new, &self.targets).unwrap();
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[tokio::test]
async fn what_a_prometheus_knows_of_a_pod_is_asked_for() {
    let (Some(bench), Some(space), Some(other)) =
        (Bench::find(), Space::new("queries").await, Space::new("queries-other").await)
    else {
        return;
    };
    let prometheus = Prometheus::start(&bench);
    // A pod of another namespace says much more, and is not to be seen.
    let pod = |busy: u32, then: &str| {
        busybox(&format!(
            "mkdir /tmp/www; cd /tmp/www; echo busy {busy} > metrics; httpd -p 8000 -h /tmp/www; echo accuracy=0.5; {then}"
        ))
    };
    let of = |name: &str, container, query: &str| {
        let mut of = experiment(name, trials(1), container);
        of["spec"]["additionalMetrics"] = json!(["busy"]);
        let queries = json!([{"metric": "busy", "query": query}]);
        of["spec"]["metrics"] = json!({"source": {"prometheusQuery": {"intervalSeconds": 5, "queries": queries}}});
        of
    };
    other.create(&of("other", pod(90, "sleep 60"), "max(busy)")).await;
    space.create(&of("all", pod(40, "sleep 20"), "max(max_over_time(busy[1m]))")).await;
    space.create(&of("own", pod(20, "sleep 20"), r#"max_over_time(busy{pod="${trial.pod}"}[1m])"#)).await;
    let running = async |space: &Space, count: usize| {
        space
            .until("its pods run", |space| async move {
                let addressed = |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.pod_ip.is_some());
                (space.pods().await.iter().filter(|pod| addressed(pod)).count() == count).then_some(())
            })
            .await;
    };
    running(&space, 2).await;
    running(&other, 1).await;
    prometheus.scrape(&[&space, &other]).await;
    for (name, busy) in [("all", 40.0), ("own", 20.0)] {
        let status = space.complete(name).await;
        assert_eq!(status.trials.succeeded, 1, "{name}: {:?}", status.conditions);
        let (_, trial) = space.trials_of(name).await.remove(0);
        let summary = trial.metrics.iter().find(|summary| summary.name == "busy");
        assert_eq!(summary.and_then(|summary| summary.latest), Some(busy), "{name}: {:?}", trial.trouble);
        assert_eq!(trial.objective, Some(0.5), "{name}");
    }
    space.end().await;
    other.end().await;
}
