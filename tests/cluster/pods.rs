//! Pods of all kinds: what is in them beside the program, and what they lack.

use super::bench::{Bench, output};
use super::manifests::{busybox, epochs, experiment, image, of_pod, trials};
use super::space::Space;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

fn named(name: &str, script: &str) -> Value {
    let mut container = busybox(script);
    container["name"] = json!(name);
    container
}

#[tokio::test]
async fn an_image_needs_nothing_but_the_program() {
    let (Some(bench), Some(space)) = (Bench::find(), Space::new("bare").await) else { return };
    // Of the name by which it is called busybox knows what it is: here one program that prints its arguments, and no shell.
    let image = "localhost/automl-test/bare:1";
    let busybox_path = ["/usr/bin/busybox", "/bin/busybox"].into_iter().find(|path| std::fs::exists(path).unwrap());
    bench.image(image, &["--layer", &format!("/echo={}", busybox_path.unwrap())]);
    let mut container = busybox("");
    (container["image"], container["command"]) = (json!(image), json!(["/echo", "epoch=1", "accuracy=${params.x}"]));
    space.create(&experiment("e", trials(2), container.clone())).await;
    container["command"] = json!(["sh", "-c", "echo accuracy=1"]);
    space.create(&experiment("shell", trials(1), container)).await;
    let best = space.complete("e").await.best.unwrap();
    assert_eq!(json!(best.value), json!(best.assignments["x"]));
    space.failed("shell").await;
    let said = json!(space.trials_of("shell").await[0].1.conditions).to_string();
    assert!(said.contains("command not found"), "{said}");
    space.end().await;
}

#[tokio::test]
async fn a_command_that_is_left_out_is_asked_for() {
    let Some(space) = Space::new("command").await else { return };
    let mut container = busybox("");
    container.as_object_mut().unwrap().remove("command");
    space.create(&experiment("e", trials(1), container)).await;
    let said = space.says("e", "command").await;
    assert!(said.contains("write it out, for example command: [python3, train.py]"), "{said}");
    assert!(space.trials().await.is_empty());
    space.end().await;
}

#[tokio::test]
async fn what_runs_beside_the_program_changes_nothing() {
    let Some(space) = Space::new("beside").await else { return };
    let train = busybox(&epochs(5, "${params.x}", 0.1));
    let ends = named("other", "echo accuracy=999");
    let mut proxy = named("proxy", "trap 'exit 0' TERM; echo accuracy=999; sleep 600 & wait $!");
    proxy["restartPolicy"] = json!("Always");
    let init = named("data", "echo accuracy=999 > /dev/null");
    let table = [
        ("several", json!({"containers": [ends, train]})),
        ("native", json!({"initContainers": [proxy, init], "containers": [train]})),
        ("shared", json!({"shareProcessNamespace": true, "containers": [train]})),
        ("hasty", json!({"terminationGracePeriodSeconds": 0, "containers": [train]})),
    ];
    for (name, pod) in &table {
        space.create(&of_pod(name, trials(1), pod.clone())).await;
    }
    for (name, _) in table {
        space.complete(name).await;
        let (trial, status) = space.trials_of(name).await.remove(0);
        let seen = (json!(status.objective), status.metrics[0].count, status.exit.unwrap().code);
        assert_eq!(seen, (json!(trial.spec.assignments["x"]), 5, Some(0)), "{name}");
    }
    space.until("their pods are gone", |space| async move { space.pods().await.is_empty().then_some(()) }).await;
    space.end().await;
}

#[tokio::test]
async fn a_container_that_the_template_names_is_waited_for_and_named() {
    let Some(space) = Space::new("helper").await else { return };
    let train = busybox(&epochs(5, "${params.x}", 0.1));
    // It ends when the test says so.
    let helper = named("helper", "trap 'exit 0' TERM; sleep 600 & wait $!");
    space.create(&of_pod("e", trials(1), json!({"containers": [train, helper]}))).await;
    space.says("e", "the program has ended; its Job ends when helper also ends").await;
    let pod = space.pod_of("e-00000").await;
    let end = ["exec", pod.metadata.name.as_ref().unwrap(), "-c", "helper", "--", "kill", "-TERM", "1"];
    output(space.kubectl().args(end));
    space.complete("e").await;
    let (trial, status) = space.trials_of("e").await.remove(0);
    assert_eq!((json!(status.objective), status.metrics[0].count), (json!(trial.spec.assignments["x"]), 5));
    space.end().await;
}

#[tokio::test]
async fn a_container_that_somebody_has_put_beside_the_program_does_not_hold_the_trial() {
    let Some(space) = Space::open("mesh").await else { return };
    space.apply(&include_str!("mesh.yaml").replace("localhost/automl-test/busybox:1", &image()));
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "asked"}, "spec": {"containers": [{"name": "a", "image": "a"}]},
    }))
    .unwrap();
    let asked = |space: Space| {
        let pod = pod.clone();
        async move {
            let dry = PostParams { dry_run: true, ..PostParams::default() };
            let made = space.api::<Pod>().create(&dry, &pod).await.ok()?;
            (made.spec?.containers.len() == 2).then_some(())
        }
    };
    space.until("the policy holds", asked).await;
    space.create(&experiment("well", trials(2), busybox(&epochs(5, "${params.x}", 0.1)))).await;
    // To one stream: which of two is read first nobody knows.
    let fails = busybox("echo accuracy=0.5 >&2; echo no data >&2; exit 3");
    space.create(&experiment("badly", trials(1), fails.clone())).await;
    let mut again = experiment("again", trials(1), fails);
    again["spec"]["trialTemplate"]["manifest"]["spec"]["backoffLimit"] = json!(2);
    space.create(&again).await;
    let both = json!({"containers": [named("helper", "exit 5"), busybox("echo accuracy=1")]});
    space.create(&of_pod("helped", trials(1), both)).await;
    assert_eq!(space.complete("well").await.trials.succeeded, 2);
    for (trial, status) in space.trials_of("well").await {
        assert_eq!((json!(status.objective), status.metrics[0].count), (json!(trial.spec.assignments["x"]), 5));
    }
    for (name, expected) in [
        ("badly", "exit code 3; its last line: no data\""),
        (
            "again",
            "exit code 3; its last line: no data; its Job's backoffLimit allows another pod, but proxy keeps this",
        ),
        ("helped", "the program ended well, but its Job did not: container helper has failed (exit code 5)"),
    ] {
        space.failed(name).await;
        let said = json!(space.trials_of(name).await[0].1.conditions).to_string();
        assert!(said.contains(expected), "{name}: {said}");
    }
    let ended = |space: Space| async move {
        let running = |pod: &Pod| pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Running"));
        (!space.pods().await.iter().any(running)).then_some(())
    };
    space.until("nothing runs on", ended).await;
    output(space.kubectl().args(["delete", "--filename", "tests/cluster/mesh.yaml"]));
    space.end().await;
}

#[tokio::test]
async fn a_program_that_fails_and_is_started_again_counts_with_its_last_run() {
    let Some(space) = Space::new("again").await else { return };
    // The first run fails; what it finds is another thing before the next one starts: in a new pod what the test has
    // changed, in the same pod what it has left itself.
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "weather"}, "data": {"CODE": "1"}});
    space.create(&map).await;
    let fails = "then echo epoch=1 accuracy=0.1; echo epoch=2 accuracy=0.95; exit 1; fi; ";
    let succeeds = epochs(3, "0.5", 0.0);
    let with = |name: &str, policy: &str, limit: u32, script: &str| {
        let mut container = busybox(script);
        container["envFrom"] = json!([{"configMapRef": {"name": "weather"}}]);
        container["volumeMounts"] = json!([{"name": "left", "mountPath": "/left"}]);
        let volumes = json!([{"name": "left", "emptyDir": {}}]);
        let pod = json!({"containers": [container], "volumes": volumes, "restartPolicy": policy});
        let mut object = of_pod(name, trials(1), pod);
        object["spec"]["trialTemplate"]["manifest"]["spec"]["backoffLimit"] = json!(limit);
        object
    };
    let same_pod = format!("if mkdir /left/seen 2>/dev/null; {fails}{succeeds}");
    space.create(&with("same-pod", "OnFailure", 3, &same_pod)).await;
    space.create(&with("new-pod", "Never", 2, &format!("if [ $CODE = 1 ]; {fails}{succeeds}"))).await;
    for (name, policy) in [("never", "Never"), ("restarted", "OnFailure")] {
        space.create(&with(name, policy, 1, "echo accuracy=0.5; exit 7")).await;
    }
    let failed = |space: Space| async move {
        let jobs = space.jobs().await;
        let job = jobs.iter().find(|job| job.metadata.name.as_deref() == Some("new-pod-00000"))?;
        (job.status.as_ref()?.failed? == 1).then_some(())
    };
    space.until("the first pod has failed", failed).await;
    let run = Patch::Merge(json!({"data": {"CODE": "0"}}));
    space.api::<ConfigMap>().patch("weather", &PatchParams::default(), &run).await.unwrap();
    for name in ["same-pod", "new-pod"] {
        space.complete(name).await;
        let (_, status) = space.trials_of(name).await.remove(0);
        assert_eq!((status.attempt, status.exit.unwrap().code), (0, Some(0)), "{name}");
        let metric = &status.metrics[0];
        assert_eq!((metric.count, metric.latest_step, metric.max), (3, Some(3), Some(0.5)), "{name}: {metric:?}");
    }
    for name in ["never", "restarted"] {
        space.failed(name).await;
        let (_, status) = space.trials_of(name).await.remove(0);
        let said = json!(status.conditions).to_string();
        assert!(said.contains("exit code 7") && status.attempt == 0, "{name}: {said}");
    }
    space.end().await;
}
