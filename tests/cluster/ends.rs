//! How a program ends is said.

use super::manifests::{busybox, experiment, trials};
use super::space::Space;
use serde_json::json;

#[tokio::test]
async fn how_a_program_ends_is_said() {
    let Some(space) = Space::new("ends").await else { return };
    // With control groups of version 2 the agent around it is killed as well, and has said by then what it has read.
    let mut memory = busybox("echo accuracy=0.5; sleep 1; tail /dev/zero");
    memory["resources"] = json!({"limits": {"memory": "32Mi"}});
    let mut program = busybox("");
    program["command"] = json!(["/no/such/program"]);
    let table = [
        ("fails", busybox("echo no data >&2; exit 3"), "exit code 3; its last line: no data", None),
        ("memory", memory, "used more memory than its limit allows", Some(0.5)),
        ("program", program, "command not found", None),
        // Kubernetes makes $ of $$.
        ("signal", busybox("echo accuracy=0.5; kill -SEGV $$$$"), "ended by signal 11", Some(0.5)),
        ("silent", busybox("echo acc=1"), "never printed accuracy; it printed acc", None),
    ];
    for (name, container, ..) in &table {
        space.create(&experiment(name, trials(1), container.clone())).await;
    }
    for (name, _, expected, objective) in table {
        space.failed(name).await;
        let (_, status) = space.trials_of(name).await.remove(0);
        let said = json!(status.conditions).to_string();
        assert!(said.contains(expected), "{name}: {said}");
        assert_eq!(status.objective, objective, "{name}");
    }
    space.end().await;
}
