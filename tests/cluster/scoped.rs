//! An operator for one namespace.

use super::bench::{Bench, output};
use super::manifests::{busybox, experiment, trials};
use super::release::Release;
use super::space::{Space, kubeconfig};
use automl_operator::api::Trial;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::json;
use std::process::Command;

fn helm(arguments: &[&str]) -> String {
    output(Command::new("helm").arg("--kubeconfig").arg(kubeconfig().unwrap()).args(arguments))
}

#[tokio::test]
async fn an_operator_of_one_namespace_never_looks_outside() {
    let (Some(home), Some(inside)) = (Space::open("scoped-system").await, Space::new("scoped").await) else { return };
    let Some(outside) = Space::new("unscoped").await else { return };
    let release = Release::new(&home);
    let pod = release.deployment().await.spec.unwrap().template.spec.unwrap();
    let image = pod.containers[0].image.clone().unwrap();
    let (repository, tag) = image.rsplit_once(':').unwrap();
    let (repository, tag) = (format!("image.repository={repository}"), format!("image.tag={tag}"));
    let watched = format!("watchNamespace={}", inside.namespace);
    // The other one watches all namespaces, also this one.
    release
        .with_replicas(0, async {
            let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/automl-operator");
            let namespace = home.namespace.as_str();
            let install = ["upgrade", "--install", "scoped", chart, "--namespace", namespace, "--wait", "--timeout=2m"];
            let settings =
                ["--set", &repository, "--set-string", &tag, "--set", &watched, "--set", "crds.install=false"];
            helm(&[install.as_slice(), &settings].concat());
            for space in [&outside, &inside] {
                space.create(&experiment("e", trials(2), busybox("echo accuracy=1"))).await;
            }
            assert_eq!(inside.complete("e").await.trials.succeeded, 2);
            takes_each_right(&inside).await;
            assert_eq!(outside.status("e").await, Default::default(), "nobody has touched it");
            assert!(outside.trials().await.is_empty());
            may_only_check_tokens(&home).await;
            if let Some(bench) = Bench::on_bench() {
                asked_nothing_outside(&bench, &home, &inside);
                let log = bench.run.join("log/audit.log");
                let mut compared = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/rbac.py"));
                compared.arg(log).args([namespace, "scoped-automl-operator"]).env("KUBECONFIG", kubeconfig().unwrap());
                output(&mut compared);
            }
            helm(&["uninstall", "scoped", "--namespace", namespace, "--wait"]);
        })
        .await;
    assert_eq!(outside.complete("e").await.trials.succeeded, 2, "the one that watches all does it");
    for space in [home, inside, outside] {
        space.end().await;
    }
}

/// What else takes rights: another Experiment's results are read, a name is taken, a program fails, a Trial is made by hand, a
/// claim is made, a quota lets no pod be made.
async fn takes_each_right(space: &Space) {
    let namesake = |trial: &str, experiment: &str| {
        let spec = json!({"experiment": experiment, "assignments": {"x": 0.5}});
        json!({"apiVersion": "automl.dev/v1alpha1", "kind": "Trial", "metadata": {"name": trial}, "spec": spec})
    };
    space.create(&namesake("warm-00000", "none")).await;
    let mut warm = experiment("warm", trials(2), busybox("echo accuracy=1"));
    warm["spec"]["warmStartFrom"] = json!([{"experiment": "e"}]);
    space.create(&warm).await;
    space.says("warm", "a Trial of this name exists").await;
    space.api::<Trial>().delete("warm-00000", &DeleteParams::default()).await.unwrap();
    space.create(&namesake("by-hand", "warm")).await;
    space.complete("warm").await;
    space.create(&experiment("fails", trials(1), busybox("exit 3"))).await;
    space.failed("fails").await;
    // Nobody provides such a volume: it is about the claim.
    let mut claims = experiment("claims", trials(1), busybox("echo accuracy=1"));
    let claim = json!({
        "storageClassName": "none", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}},
    });
    claims["spec"]["checkpoint"] = json!({"volumeClaimTemplate": {"spec": claim}});
    space.create(&claims).await;
    space
        .until("its claim is made", |space| async move {
            let api = space.api::<PersistentVolumeClaim>();
            api.get_opt("claims-checkpoints").await.unwrap().map(drop)
        })
        .await;
    space.delete("claims", DeleteParams::default()).await;
    space
        .create(&json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}},
        }))
        .await;
    space.create(&experiment("waits", trials(1), busybox("echo accuracy=1"))).await;
    space.says("waits", "exceeded quota: none").await;
    space.delete("waits", DeleteParams::default()).await;
    output(space.kubectl().args(["delete", "resourcequota", "none"]));
}

/// All that its ServiceAccount may do in the whole cluster is what the chart's README tells.
async fn may_only_check_tokens(home: &Space) {
    let bindings = Api::<ClusterRoleBinding>::all(home.client.clone()).list(&ListParams::default()).await.unwrap();
    let whose = |binding: &ClusterRoleBinding| {
        let mut subjects = binding.subjects.iter().flatten();
        subjects.any(|subject| subject.namespace.as_deref() == Some(home.namespace.as_str()))
    };
    let own: Vec<_> = bindings.items.into_iter().filter(whose).collect();
    assert_eq!(own.len(), 1, "{own:?}");
    let role = Api::<ClusterRole>::all(home.client.clone()).get(&own[0].role_ref.name).await.unwrap();
    let rules = json!([{"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}]);
    assert_eq!(json!(role.rules), rules);
}

fn asked_nothing_outside(bench: &Bench, home: &Space, inside: &Space) {
    let account = format!("system:serviceaccount:{}:", home.namespace);
    let requests = bench.requests(home);
    let own = requests.iter().filter(|request| request["user"]["username"].as_str().unwrap().starts_with(&account));
    let mut count = 0;
    for request in own {
        count += 1;
        let object = &request["objectRef"];
        let place = object["namespace"].as_str();
        let allowed = place == Some(&inside.namespace)
            || place == Some(&home.namespace) && object["resource"] == "leases"
            || place.is_none() && object["resource"] == "tokenreviews";
        assert!(allowed, "{request}");
        assert_ne!(request["responseStatus"]["code"], 403, "{request}");
    }
    assert!(count > 10, "the audit log tells of it");
}
