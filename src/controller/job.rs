//! Jobs, decoded no further than decisions need: a twelfth of the memory of a whole Job.

use super::index::Uid;
use crate::api::labels;
use crate::engine::{JobCondition, JobView};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};
use serde::Deserialize;

/// A Job without its spec.
#[derive(Resource, Clone, Debug, Deserialize)]
#[resource(inherit = "k8s_openapi::api::batch::v1::Job")]
pub struct SlimJob {
    /// Name, UID, labels, owner.
    #[serde(deserialize_with = "super::lean::metadata")]
    pub metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Spec {
    #[serde(default)]
    suspend: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    start_time: Option<Timestamp>,
    active: Option<i64>,
    ready: Option<i64>,
    failed: Option<i64>,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    r#type: String,
    status: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    last_transition_time: Option<Timestamp>,
}

/// A Job and where it belongs.
#[derive(Clone, Debug)]
pub struct SeenJob {
    /// Its namespace.
    pub namespace: String,
    /// UID of its Experiment.
    pub experiment: Uid,
    /// What the engine wants to know.
    pub view: JobView,
}

/// Labels by which the watch finds our Jobs.
pub fn selector() -> String {
    format!("{}={}", labels::MANAGED_BY, labels::MANAGER)
}

impl SlimJob {
    /// UID of the Experiment, by its label; `None` when the watch would not show this Job or cannot tell whose it is.
    pub fn experiment(&self) -> Option<Uid> {
        let label = |key: &str| self.metadata.labels.as_ref().and_then(|labels| labels.get(key));
        let watched = label(labels::MANAGED_BY).is_some_and(|by| by == labels::MANAGER);
        label(labels::EXPERIMENT_UID).filter(|_| watched).map(|uid| Uid::from(uid.as_str()))
    }

    /// The Job waits to be let in by a queue.
    pub fn is_suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    /// Pods of it have failed, those that were deleted before they ended included.
    pub fn has_failed_pods(&self) -> bool {
        self.status.failed.is_some_and(|failed| failed > 0)
    }

    /// What the engine wants to know.
    pub fn view(&self) -> JobView {
        let controller = self.owner_references().iter().find(|reference| reference.controller == Some(true));
        let conditions = self.status.conditions.iter().filter(|condition| condition.status == "True");
        JobView {
            name: self.name_any(),
            uid: self.uid().unwrap_or_default(),
            resource_version: self.resource_version().unwrap_or_default(),
            trial: self.labels().get(labels::TRIAL).cloned().unwrap_or_default(),
            owner_uid: controller.map(|reference| reference.uid.clone()).unwrap_or_default(),
            suspended: self.is_suspended(),
            deleting: self.metadata.deletion_timestamp.is_some(),
            start_time: self.status.start_time,
            active: self.status.active.unwrap_or(0),
            ready: self.status.ready.unwrap_or(0),
            ended: conditions
                .clone()
                .filter(|condition| matches!(condition.r#type.as_str(), "Complete" | "Failed"))
                .find_map(|condition| condition.last_transition_time),
            conditions: conditions
                .map(|condition| JobCondition {
                    r#type: condition.r#type.clone(),
                    reason: condition.reason.clone(),
                    message: condition.message.clone(),
                })
                .collect(),
            created: self.metadata.creation_timestamp.as_ref().map(|time| time.0),
        }
    }

    /// The Job and where it belongs, by its labels.
    pub fn seen(&self) -> Option<SeenJob> {
        let namespace = self.namespace().unwrap_or_default();
        Some(SeenJob { namespace, experiment: self.experiment()?, view: self.view() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keeps_what_the_engine_wants_to_know() {
        let job: SlimJob = serde_json::from_value(json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {
                "name": "a-00001-2", "namespace": "ns", "uid": "j", "resourceVersion": "7",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {
                    "app.kubernetes.io/managed-by": "automl-operator", "automl.dev/experiment-uid": "e",
                    "automl.dev/trial": "a-00001",
                },
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "X", "name": "x", "uid": "x"},
                    {"apiVersion": "automl.dev/v1alpha1", "kind": "Trial", "name": "a-00001", "uid": "t", "controller": true},
                ],
            },
            "spec": {"suspend": false, "template": {"spec": {"a field": "of the future"}}},
            "status": {
                "active": 1, "ready": 1, "startTime": "2026-01-01T00:00:01Z", "terminating": 0,
                "conditions": [
                    {"type": "Suspended", "status": "False"},
                    {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "m",
                     "lastTransitionTime": "2026-01-01T00:00:09Z"},
                ],
            },
        }))
        .unwrap();
        let seen = job.seen().unwrap();
        assert_eq!((seen.namespace.as_str(), &*seen.experiment), ("ns", "e"));
        let view = seen.view;
        assert_eq!((view.name.as_str(), view.trial.as_str(), view.owner_uid.as_str()), ("a-00001-2", "a-00001", "t"));
        assert_eq!((view.active, view.ready, view.deleting), (1, 1, false));
        assert_eq!(view.conditions.len(), 1, "only those that are True");
        assert_eq!(view.conditions[0].reason, "BackoffLimitExceeded");
        assert!(view.start_time > view.created && view.ended > view.start_time);
    }

    #[test]
    fn a_job_without_our_labels_is_nobodys() {
        for labels in [
            json!(null),
            json!({"automl.dev/experiment-uid": "e"}),
            json!({"app.kubernetes.io/managed-by": "automl-operator"}),
            json!({"app.kubernetes.io/managed-by": "helm", "automl.dev/experiment-uid": "e"}),
        ] {
            let job: SlimJob = serde_json::from_value(json!({"metadata": {"name": "a", "labels": labels}})).unwrap();
            assert!(job.seen().is_none(), "{labels}");
        }
    }
}
