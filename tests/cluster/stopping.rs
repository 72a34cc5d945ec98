//! A rule stops a program that runs in a pod.

use super::manifests::{busybox, experiment, trials};
use super::space::Space;
use serde_json::json;
use std::process::Stdio;

/// Falls below the bound in its fourth epoch and goes on; says when that was, and when it is told to stop, by the node's
/// clock. It then takes a second to save what it has.
const PROGRAM: &str = r#"
at() { cut -d' ' -f1 /proc/uptime; }
trap 'echo told $(at); sleep 1; echo saved; exit 0' TERM
for e in 1 2 3; do echo epoch=$e accuracy=0.9; sleep 1; done
echo epoch=4 accuracy=0.1; echo said $(at)
while true; do sleep 0.1; done
"#;

/// Seconds from the line that shows it until the program is told to stop, at most.
const AT_MOST: f64 = 3.0;

#[tokio::test]
async fn a_stop_reaches_the_program_at_once_and_leaves_it_time_to_save() {
    let Some(space) = Space::new("stopping").await else { return };
    let mut took = Vec::new();
    // A machine may be busy with something else just then, but not each time.
    for name in ["falling", "falling-again", "falling-once-more"] {
        took.push(stop(&space, name).await);
        if took.last().is_some_and(|took| *took < AT_MOST) {
            println!("told to stop {took:.1?} s after the line that shows it");
            space.end().await;
            return;
        }
    }
    panic!("told to stop {took:.1?} s after the line that shows it, not within {AT_MOST} s");
}

/// How long it takes.
async fn stop(space: &Space, name: &'static str) -> f64 {
    // Kubernetes makes $ of $$.
    let mut falling = experiment(name, trials(1), busybox(&PROGRAM.replace('$', "$$")));
    falling["spec"]["earlyStopping"] = json!([{"name": "Threshold", "settings": {"bound": 0.5}}]);
    space.create(&falling).await;
    space.until_running(name, 1).await;
    // What a pod printed is gone with it, so it is followed.
    let pod = space.pod_of(&format!("{name}-00000")).await.metadata.name.unwrap();
    let logs = space.kubectl().args(["logs", "--follow", "--container=train", &pod]).stdout(Stdio::piped()).spawn();
    let printed = tokio::task::spawn_blocking(move || logs.unwrap().wait_with_output().unwrap()).await.unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    let at = |word: &str| -> f64 {
        let line = printed.lines().find_map(|line| line.strip_prefix(word));
        line.unwrap_or_else(|| panic!("no {word:?} in {printed:?}")).trim().parse().unwrap()
    };
    assert!(printed.contains("saved"), "it had its time: {printed}");
    let status = space.complete(name).await;
    assert_eq!((status.trials.early_stopped, status.trials.failed), (1, 0));
    let (_, status) = space.trials_of(name).await.remove(0);
    let said = json!(status.conditions).to_string();
    assert!(said.contains("stopped: Threshold: step 4: 0.1 is below the bound 0.5"), "{said}");
    assert_eq!(status.objective, Some(0.9), "its best value");
    // Counted from when it was seen to run: a Job's status tells of that a second or two late.
    assert!(status.usage.seconds >= 1, "{:?}", status.usage);
    at("told") - at("said")
}
