//! What only a Prometheus knows of a trial's pod: Debian's Prometheus finds the pods of the node and scrapes them, and the
//! operator, in its own pod, asks it.

use super::bench::Bench;
use super::manifests::{busybox, of_pod, trials};
use super::space::Space;
use serde_json::json;
use std::process::{Child, Command, Stdio};

/// Where `scripts/test-cluster.sh` has the operator ask, on the node.
const LISTEN: &str = "0.0.0.0:9099";

/// A Prometheus on the node that scrapes pods with the label `scrape`; it ends with the test.
struct Prometheus(Child);

impl Prometheus {
    fn start(bench: &Bench) -> Self {
        let folder = bench.run.join("prometheus");
        std::fs::create_dir_all(&folder).unwrap();
        let label = |from: &str, to: &str| json!({"source_labels": [from], "target_label": to});
        let config = json!({"scrape_configs": [{
            "job_name": "pods",
            "scrape_interval": "1s",
            "kubernetes_sd_configs": [{"role": "pod", "kubeconfig_file": bench.run.join("kubeconfig")}],
            "relabel_configs": [
                {"source_labels": ["__meta_kubernetes_pod_label_scrape"], "regex": "yes", "action": "keep"},
                {"source_labels": ["__meta_kubernetes_pod_ip"], "target_label": "__address__", "replacement": "$1:8000"},
                label("__meta_kubernetes_namespace", "namespace"),
                label("__meta_kubernetes_pod_name", "pod"),
            ],
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
        Prometheus(server)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn what_a_prometheus_knows_of_a_pod_is_asked_for() {
    let (Some(bench), Some(space), Some(other)) =
        (Bench::find(), Space::new("queries").await, Space::new("queries-other").await)
    else {
        return;
    };
    let _prometheus = Prometheus::start(&bench);
    // A pod of another namespace says much more, and is not to be seen.
    let pod = |busy: u32, then: &str| {
        busybox(&format!(
            "mkdir /tmp/www; cd /tmp/www; echo busy {busy} > metrics; httpd -p 8000 -h /tmp/www; echo accuracy=0.5; {then}"
        ))
    };
    let of = |name: &str, container, query: &str| {
        let mut of = of_pod(name, trials(1), json!({"containers": [container]}));
        of["spec"]["trialTemplate"]["manifest"]["spec"]["template"]["metadata"] = json!({"labels": {"scrape": "yes"}});
        of["spec"]["additionalMetrics"] = json!(["busy"]);
        let queries = json!([{"metric": "busy", "query": query}]);
        of["spec"]["metrics"] = json!({"source": {"prometheusQuery": {"intervalSeconds": 5, "queries": queries}}});
        of
    };
    other.create(&of("other", pod(90, "sleep 60"), "max(busy)")).await;
    space.create(&of("all", pod(40, "sleep 12"), "max(max_over_time(busy[1m]))")).await;
    space.create(&of("own", pod(20, "sleep 12"), r#"max_over_time(busy{pod="${trial.pod}"}[1m])"#)).await;
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
