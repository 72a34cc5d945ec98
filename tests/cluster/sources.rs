//! Metrics that a program in a pod does not print: each source by the agent in the program's own container.

use super::manifests::{busybox, experiment, trials};
use super::space::Space;
use futures::future::join_all;
use serde_json::{Value, json};

/// Says something with the trial's token, which is read-only, and is not heard with another's.
const PUSHES: &str = r#"
    say() { wget -q -O- --header "Authorization: Bearer $2" --post-data "$1" "$AUTOML_PUSH_URL"; }
    own() { cat "$AUTOML_TOKEN_FILE"; }
    say '{"epoch": 1, "accuracy": 0.25}' "$(own)"; sleep 2
    if say '{"epoch": 2, "accuracy": 0.5}' "$(own)x"; then exit 3; fi
    if (echo x >"$AUTOML_TOKEN_FILE") 2>/dev/null; then exit 4; fi
    test "$KUBEFLOW_TRAINER_SERVER_TOKEN" = "$AUTOML_TOKEN_FILE"
    say '[{"epoch": 2, "accuracy": 0.75}]' "$(own)" | grep '"taken":1'
"#;

/// Name, source, and a program that says 0.25 and 0.75 in epochs 1 and 2. `$$` is Kubernetes' `$`.
fn sources() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        (
            "csv",
            json!({"file": {"path": "/tmp/${trial.name}/log.csv", "format": "Csv"}}),
            "mkdir /tmp/${trial.name}; cd /tmp/${trial.name}; echo epoch,accuracy > log.csv; echo 1,0.25 >> log.csv; \
             sleep 2; echo 2,0.75 >> log.csv",
        ),
        (
            "jsonl",
            json!({"file": {"path": "/tmp/log.jsonl", "format": "JsonLines"}}),
            r#"echo '{"epoch": 1, "accuracy": 0.25}' > /tmp/log.jsonl; sleep 2; echo '{"epoch": 2, "accuracy": 0.75}' >> /tmp/log.jsonl"#,
        ),
        (
            "tensorboard",
            json!({"tensorboard": {"path": "/tmp/runs"}}),
            // As tensorboardX writes it.
            "mkdir -p /tmp/runs/a; echo GAAAAAAAAACjf0siCUG8ZwyQwtpBGg1icmFpbi5FdmVudDoy7mxSoh4AAAAAAAAA2dwSMgk512cMkMLaQRABKhEKDwoIYWNj\
             dXJhY3kVAACAPuWCX1AeAAAAAAAAANncEjIJG9tnDJDC2kEQAioRCg8KCGFjY3VyYWN5FQAAQD+yKC0A | base64 -d > /tmp/runs/a/events.out.tfevents.1.pod",
        ),
        (
            "mlflow",
            json!({"mlflow": {"path": "/tmp/mlruns"}}),
            // As MLflow's file store does, in the experiment that is there by now.
            r#"mark=$(printf %s "$MLFLOW_RUN_CONTEXT" | sed 's/.*"automl.trial":"\([^"]*\)".*/\1/'); cd "$MLFLOW_TRACKING_URI";
               cd $(grep -l 'name: "mlflow"' */meta.yaml | cut -d/ -f1); mkdir -p run/tags run/metrics; printf %s "$mark" > run/tags/automl.trial;
               echo "$(date +%s)000 0.25 1" > run/metrics/accuracy; sleep 2; echo "$(date +%s)000 0.75 2" >> run/metrics/accuracy"#,
        ),
        (
            "scrape",
            json!({"prometheus": {"port": 8000, "intervalSeconds": 1}}),
            "mkdir /tmp/www; cd /tmp/www; printf 'epoch 1\\naccuracy 0.25\\n' > metrics; httpd -p 127.0.0.1:8000 -h /tmp/www; \
             sleep 3; printf 'epoch 2\\naccuracy 0.75\\n' > new; mv new metrics; sleep 4",
        ),
        ("push", json!({"push": {}}), PUSHES),
        ("push-group", json!({"push": {}}), PUSHES),
        ("push-user", json!({"push": {}}), PUSHES),
        (
            "nni",
            json!({"nni": {}}),
            r#"say() { wget -q -O- --post-data "{\"type\": \"metric\", \"metric\": \"{\\\"parameter_id\\\": 0, \\\"type\\\": \\\"$1\\\", \\\"sequence\\\": $2, \\\"value\\\": \\\"$3\\\"}\"}" "$NNI_TRIAL_COMMAND_CHANNEL"; }
               test -f $NNI_SYS_DIR/parameter.cfg; say PERIODICAL 0 0.25; say FINAL 0 0.75"#,
        ),
    ]
}

#[tokio::test]
async fn each_source_is_read_in_a_pod() {
    let Some(space) = Space::new("sources").await else { return };
    for (name, source, program) in sources() {
        let program = if program.contains("${trial.name}") { program.to_owned() } else { program.replace('$', "$$") };
        let mut of = experiment(name, trials(1), busybox(&format!("set -e; {program}")));
        of["spec"]["metrics"] = json!({"source": source});
        // The kubelet lets fewer read the token then.
        let security = &mut of["spec"]["trialTemplate"]["manifest"]["spec"]["template"]["spec"]["securityContext"];
        match name {
            "push-group" => security["fsGroup"] = 2000.into(),
            "push-user" => security["runAsUser"] = 65532.into(),
            _ => {}
        }
        space.create(&of).await;
    }
    let all = sources();
    let ended = join_all(all.iter().map(|(name, ..)| space.complete(name))).await;
    for ((name, ..), status) in all.iter().zip(ended) {
        assert_eq!(status.trials.succeeded, 1, "{name}: {:?}", status.conditions);
        let (_, trial) = space.trials_of(name).await.remove(0);
        let summary = trial.metrics.iter().find(|summary| summary.name == "accuracy").unwrap();
        assert_eq!((trial.objective, summary.min, summary.latest), (Some(0.75), Some(0.25), Some(0.75)), "{name}");
        // An endpoint says again and again what it says.
        let mut steps: Vec<u64> = summary.curve.points.iter().map(|point| point.step).collect();
        steps.dedup();
        assert_eq!(steps, [1, 2], "{name}");
    }
    space.end().await;
}
