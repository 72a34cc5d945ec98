//! Plays a node for a control plane that has none: pods run, and end as their annotation says.

use std::time::Duration;

use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

/// Label of the pods that are played.
pub const PLAYED: &str = "behaviours.test/played";
/// Annotation with the exit code of the program, or `never`.
pub const END: &str = "behaviours.test/end";

/// Exit code of a program; `None`: it does not end.
pub type End = Option<u8>;

/// Plays for as long as it is polled.
pub async fn play(client: Client) {
    let pods: Api<DynamicObject> = Api::all_with(client.clone(), &super::kind("", "v1", "Pod"));
    loop {
        for pod in pods.list(&ListParams::default().labels(&format!("{PLAYED}=yes"))).await.unwrap() {
            if let Some(status) = next(&pod) {
                let of = super::objects(&client, &pod.namespace().unwrap(), "", "Pod");
                // It may be gone by now.
                let _ = of.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What the pod's status comes to next.
fn next(pod: &DynamicObject) -> Option<Value> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let now = jiff::Timestamp::now().to_string();
    let container = |state: Value, ready: bool| {
        json!([{
            "name": "main", "image": "any", "imageID": "any", "restartCount": 0, "ready": ready, "started": ready,
            "state": state,
        }])
    };
    match pod.data["status"]["phase"].as_str()? {
        "Pending" => {
            let containers = container(json!({"running": {"startedAt": now}}), true);
            let ready = json!([{"type": "Ready", "status": "True", "lastTransitionTime": now}]);
            Some(json!({"status": {"phase": "Running", "conditions": ready, "containerStatuses": containers}}))
        }
        "Running" => {
            let code: u8 = pod.annotations().get(END)?.parse().ok()?;
            let (phase, reason) = if code == 0 { ("Succeeded", "Completed") } else { ("Failed", "Error") };
            let ended =
                json!({"terminated": {"exitCode": code, "reason": reason, "startedAt": now, "finishedAt": now}});
            let ready = json!([{"type": "Ready", "status": "False", "lastTransitionTime": now}]);
            let containers = container(ended, false);
            Some(json!({"status": {"phase": phase, "conditions": ready, "containerStatuses": containers}}))
        }
        _ => None,
    }
}
