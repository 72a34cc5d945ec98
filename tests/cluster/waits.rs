//! What keeps a trial from running is said.

use super::bench::output;
use super::manifests::{busybox, experiment, of_pod, trials};
use super::space::Space;
use kube::api::DeleteParams;
use serde_json::{Value, json};

#[tokio::test]
async fn what_a_pod_waits_for_is_named() {
    let Some(space) = Space::new("waits").await else { return };
    let with = |field: &str, value: Value| {
        let mut container = busybox("true");
        container[field] = value;
        json!({"containers": [container]})
    };
    let key = json!([{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "nothing", "key": "key"}}}]);
    let selector = json!({"containers": [busybox("true")], "nodeSelector": {"automl.dev/nowhere": "here"}});
    let mut mounts = busybox("true");
    mounts["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    let volumes = json!([{"name": "data", "secret": {"secretName": "none-such"}}]);
    let volumes = json!({"containers": [mounts], "volumes": volumes});
    let mut absent = with("image", json!("localhost/automl-test/none:1"));
    absent["containers"][0]["imagePullPolicy"] = json!("Never");
    let table = [
        ("image", absent, "\"localhost/automl-test/none:1\" is not present"),
        ("secret", with("env", key), "secret \"nothing\" not found"),
        ("config", with("envFrom", json!([{"configMapRef": {"name": "none"}}])), "configmap \"none\" not found"),
        ("cpu", with("resources", json!({"limits": {"cpu": "1000"}})), "Insufficient cpu"),
        ("selector", selector, "didn't match Pod's node affinity/selector"),
        ("volume", volumes, "kubectl describe pod"),
    ];
    for (name, pod, _) in &table {
        space.create(&of_pod(name, trials(1), pod.clone())).await;
    }
    for (name, _, words) in table {
        let said = space.says(name, words).await;
        let trial = &space.trials_of(name).await[0].1;
        assert_eq!(said, format!("trial {name}-00000: {}", trial.conditions[0].message));
        assert_eq!(
            space.status(name).await.conditions.iter().find(|c| c.r#type == "Complete").unwrap().reason,
            "Pending"
        );
    }
    space.end().await;
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_named_and_the_trial_runs_once_it_is_raised() {
    let Some(space) = Space::new("quota").await else { return };
    // Of Jobs, which the API server refuses to us; and of pods, which it refuses to the Job controller.
    for (name, what, said) in
        [("jobs", "count/jobs.batch", "exceeded quota: jobs"), ("pods", "pods", "exceeded quota: pods")]
    {
        let quota = |most: &str| {
            json!({
                "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": {what: most}},
            })
        };
        space.create(&quota("0")).await;
        space.create(&of_pod(name, trials(1), json!({"containers": [busybox("echo accuracy=1")]}))).await;
        space.says(name, said).await;
        space.apply(&quota("4").to_string());
        assert_eq!(space.complete(name).await.trials.succeeded, 1);
    }
    space.end().await;
}

#[tokio::test]
async fn a_limit_range_that_wants_a_larger_agent_is_looked_for() {
    let Some(space) = Space::new("least").await else { return };
    let least = json!([{"type": "Container", "min": {"memory": "64Mi"}}]);
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "least"}, "spec": {"limits": least},
    });
    space.create(&range).await;
    space.create(&experiment("e", trials(1), busybox("echo accuracy=1"))).await;
    let said = space.says("e", "minimum memory usage per Container is 64Mi, but request is 32Mi").await;
    assert!(said.contains("agentResources"), "{said}");
    output(space.kubectl().args(["delete", "limitrange", "least"]));
    assert_eq!(space.complete("e").await.trials.succeeded, 1);
    space.end().await;
}

#[tokio::test]
async fn a_limit_range_may_refuse_a_pod_or_change_it() {
    let Some(space) = Space::new("ranges").await else { return };
    let range = |limits: Value| {
        let mut limits = limits;
        limits["type"] = json!("Container");
        json!({
            "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "range"}, "spec": {"limits": [limits]},
        })
    };
    space.create(&range(json!({"max": {"memory": "48Mi"}, "default": {"memory": "48Mi"}}))).await;
    let mut much = busybox("echo accuracy=1");
    much["resources"] = json!({"limits": {"memory": "64Mi"}});
    space.create(&of_pod("much", trials(1), json!({"containers": [much]}))).await;
    // As the container sees it: in version 1 and 2 of control groups.
    let script =
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null | sed s/^/accuracy=/";
    space.create(&of_pod("little", trials(1), json!({"containers": [busybox(script)]}))).await;
    space.says("much", "maximum memory usage per Container is 48Mi").await;
    assert_eq!(space.complete("little").await.best.unwrap().value, f64::from(48 << 20));
    space.delete("much", DeleteParams::foreground()).await;
    space.end().await;
}
