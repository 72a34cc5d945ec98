//! What a pod's agent could not tell the operator, from its container's termination message.

use super::job::SlimJob;
use crate::api::labels;
use crate::engine::SIDECAR;
use crate::report::{Batch, Session};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use kube::ResourceExt;

/// The last words of the pods of this Job, in the order of their sessions. Anything that is no word of an agent of this
/// very attempt is left out.
pub fn of(pods: &[Pod], namespace: &str, job: &SlimJob) -> Vec<Batch> {
    let owner = job.owner_references().iter().find(|owner| owner.controller == Some(true) && owner.kind == "Trial");
    let attempt = job.labels().get(labels::ATTEMPT).and_then(|attempt| attempt.parse::<u32>().ok());
    let (Some(owner), Some(attempt)) = (owner, attempt) else { return Vec::new() };
    let whose = |batch: &Batch| {
        (batch.namespace.as_str(), batch.trial.as_str(), batch.trial_uid.as_str(), batch.attempt)
            == (namespace, owner.name.as_str(), owner.uid.as_str(), attempt)
            && batch.session.parse::<Session>().is_ok()
    };
    let mut words: Vec<Batch> = pods
        .iter()
        .filter_map(|pod| pod.status.as_ref()?.init_container_statuses.as_ref())
        .flatten()
        .filter(|container| container.name == SIDECAR)
        .filter_map(terminated)
        .filter_map(|terminated| serde_json::from_str(terminated.message.as_deref()?).ok())
        .filter(whose)
        .collect();
    words.sort_by(|a, b| a.session.cmp(&b.session));
    words
}

fn terminated(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    [&container.state, &container.last_state].into_iter().flatten().find_map(|state| state.terminated.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn only_the_words_of_this_attempts_agent_count() {
        let job: SlimJob = serde_json::from_value(json!({"metadata": {
            "name": "t-1", "labels": {"automl.dev/attempt": "1"},
            "ownerReferences": [{"apiVersion": "automl.dev/v1alpha1", "kind": "Trial", "name": "t", "uid": "u", "controller": true}],
        }}))
        .unwrap();
        let session = |number: u64| Session::new(1, number, 1).to_string();
        let said = |change: Value| {
            let mut batch = json!({
                "namespace": "n", "trial": "t", "trialUid": "u", "attempt": 1, "session": session(5), "records": [],
                "end": true,
            });
            json_patch::merge(&mut batch, &change);
            batch.to_string()
        };
        let pod = |container: &str, message: &str| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": "p"}, "status": {"initContainerStatuses": [{
                "name": container, "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 0, "message": message}},
            }]}}))
            .unwrap()
        };
        let table = [
            (said(json!({})), 1),
            (said(json!({"trial": "other"})), 0),
            (said(json!({"trialUid": "other"})), 0),
            (said(json!({"namespace": "other"})), 0),
            (said(json!({"attempt": 0})), 0),
            (said(json!({"session": "x".repeat(500)})), 0),
            ("{".into(), 0),
            (String::new(), 0),
        ];
        for (message, count) in &table {
            assert_eq!(of(&[pod(SIDECAR, message)], "n", &job).len(), *count, "{message}");
        }
        assert_eq!(of(&[pod("train", &table[0].0)], "n", &job).len(), 0, "the program's own container");
        let earlier = said(json!({"session": session(4)}));
        let both = of(&[pod(SIDECAR, &table[0].0), pod(SIDECAR, &earlier)], "n", &job);
        assert_eq!(both.iter().map(|batch| batch.session.clone()).collect::<Vec<_>>(), [session(4), session(5)]);
        let nobodys: SlimJob = serde_json::from_value(json!({"metadata": {"name": "t-1"}})).unwrap();
        assert!(of(&[pod(SIDECAR, &table[0].0)], "n", &nobodys).is_empty());
    }
}
