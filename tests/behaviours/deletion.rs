//! delete: preconditions, finalizers, grace, and the garbage collector.

use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::json;

use super::{Behaviour, eventually, made, object, objects, refused, sentence, widget, widgets};
use crate::behaviours;

pub fn list() -> Vec<Behaviour> {
    behaviours! {
        "a deletion that is done answers with a Status",
            "reference/using-api/api-concepts/", done_at_once;
        "a finalizer keeps a deleted object until it is taken away",
            "concepts/overview/working-with-objects/finalizers/", finalizer;
        "no finalizer can be added to an object that is going",
            "concepts/overview/working-with-objects/finalizers/", late_finalizer;
        "a deletion for another uid is a conflict",
            "reference/kubernetes-api/common-definitions/delete-options/", uid_precondition;
        "a deletion for another version is a conflict",
            "reference/kubernetes-api/common-definitions/delete-options/", version_precondition;
        "a pod without a node goes at once",
            "concepts/workloads/pods/pod-lifecycle/#pod-termination", pod_without_node;
        "a pod on a node waits for its grace period, or for grace 0",
            "concepts/workloads/pods/pod-lifecycle/#pod-termination", pod_on_node;
        "a dry run deletes nothing",
            "reference/using-api/api-concepts/#dry-run", dry_run;
        "dependents follow their owner in the background",
            "concepts/architecture/garbage-collection/#background-deletion", background;
        "in the foreground the owner waits for those that block it",
            "concepts/architecture/garbage-collection/#foreground-deletion", foreground;
        "in the foreground an owner does not wait for those that do not block it",
            "concepts/architecture/garbage-collection/#foreground-deletion", foreground_unblocked;
        "a Job that is deleted without a word on its dependents leaves them",
            "tasks/administer-cluster/use-cascading-deletion/", job_orphans;
        "a policy that is none is refused",
            "reference/kubernetes-api/common-definitions/delete-options/", no_policy;
        "an object that is going can still be edited",
            "concepts/overview/working-with-objects/finalizers/", edited_while_going;
        "orphans stay and forget their owner",
            "concepts/architecture/garbage-collection/#orphaned-dependents", orphan;
        "an object whose owner never was is collected",
            "concepts/architecture/garbage-collection/#owners-dependents", absent_owner;
        "an object with another living owner stays and forgets the dead one",
            "concepts/architecture/garbage-collection/#owners-dependents", two_owners;
        "a namespace takes its content along",
            "concepts/overview/working-with-objects/namespaces/", namespace_goes;
    }
}

/// A dependent of the owners, blocking the deletion of each.
async fn dependent(api: &Api<DynamicObject>, name: &str, owners: &[&DynamicObject]) -> DynamicObject {
    let references: Vec<_> = owners.iter().map(|owner| reference(owner)).collect();
    let mut child = widget(name, json!({}));
    child.metadata.owner_references = serde_json::from_value(json!(references)).unwrap();
    api.create(&PostParams::default(), &child).await.unwrap()
}

fn reference(owner: &DynamicObject) -> serde_json::Value {
    json!({
        "apiVersion": "behaviours.test/v1", "kind": "Widget", "name": owner.metadata.name, "uid": owner.metadata.uid,
        "blockOwnerDeletion": true,
    })
}

async fn finalized(api: &Api<DynamicObject>, name: &str) -> DynamicObject {
    let mut widget = widget(name, json!({}));
    widget.metadata.finalizers = Some(vec!["behaviours.test/hold".to_owned()]);
    api.create(&PostParams::default(), &widget).await.unwrap()
}

async fn set_finalizers(
    api: &Api<DynamicObject>,
    name: &str,
    finalizers: serde_json::Value,
) -> kube::Result<DynamicObject> {
    let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    api.patch(name, &PatchParams::default(), &patch).await
}

async fn is_gone(api: &Api<DynamicObject>, name: &str) -> bool {
    api.get_opt(name).await.unwrap().is_none()
}

async fn done_at_once(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let created = made(&api, "a", json!({})).await;
    let status = api.delete("a", &DeleteParams::default()).await.unwrap().right().expect("a Status");
    let details = status.details.unwrap();
    assert_eq!((details.name.as_str(), details.group.as_str()), ("a", "behaviours.test"));
    assert_eq!((details.kind.as_str(), details.uid.as_str()), ("widgets", created.metadata.uid.unwrap().as_str()));
    let again = api.delete("a", &DeleteParams::default()).await;
    assert_eq!(sentence(again, 404, "NotFound"), "widgets.behaviours.test \"a\" not found");
}

async fn finalizer(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let created = finalized(&api, "a").await;
    let going = api.delete("a", &DeleteParams::default()).await.unwrap().left().expect("the object");
    assert!(going.metadata.deletion_timestamp.is_some());
    assert_eq!(going.metadata.deletion_grace_period_seconds, Some(0));
    assert_eq!(going.metadata.generation, Some(created.metadata.generation.unwrap() + 1));
    let again = api.delete("a", &DeleteParams::default()).await.unwrap().left().expect("the object");
    assert_eq!(again.metadata.resource_version, going.metadata.resource_version);
    let mut revived = again.clone();
    revived.metadata.deletion_timestamp = None;
    let kept = api.replace("a", &PostParams::default(), &revived).await.unwrap();
    assert_eq!(kept.metadata.deletion_timestamp, going.metadata.deletion_timestamp, "a deletion is not taken back");
    set_finalizers(&api, "a", json!(null)).await.unwrap();
    assert!(is_gone(&api, "a").await);
}

async fn late_finalizer(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    finalized(&api, "a").await;
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let result = set_finalizers(&api, "a", json!(["behaviours.test/hold", "behaviours.test/late"])).await;
    assert_eq!(
        sentence(result, 422, "Invalid"),
        "Widget.behaviours.test \"a\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the \
         object is being deleted, found new finalizers []string{\"behaviours.test/late\"}"
    );
    set_finalizers(&api, "a", json!(null)).await.unwrap();
}

fn precondition(uid: Option<&str>, resource_version: Option<&str>) -> DeleteParams {
    let preconditions =
        Preconditions { uid: uid.map(str::to_owned), resource_version: resource_version.map(str::to_owned) };
    DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }
}

async fn uid_precondition(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let uid = made(&api, "a", json!({})).await.metadata.uid.unwrap();
    let result = api.delete("a", &precondition(Some("other"), None)).await;
    let message = sentence(result, 409, "Conflict");
    assert!(message.starts_with("Operation cannot be fulfilled on Widget.behaviours.test \"a\": "), "{message}");
    assert!(
        message.contains(&format!("the UID in the precondition (other) does not match the UID in record ({uid})")),
        "{message}"
    );
    api.delete("a", &precondition(Some(&uid), None)).await.unwrap();
}

async fn version_precondition(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let version = made(&api, "a", json!({})).await.metadata.resource_version.unwrap();
    let message = sentence(api.delete("a", &precondition(None, Some("1"))).await, 409, "Conflict");
    let why =
        format!("the ResourceVersion in the precondition (1) does not match the ResourceVersion in record ({version})");
    assert!(message.contains(&why), "{message}");
    api.delete("a", &precondition(None, Some(&version))).await.unwrap();
}

async fn pod(api: &Api<DynamicObject>, node: Option<&str>) {
    let mut spec = json!({
        "containers": [{"name": "c", "image": "i"}], "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 17,
    });
    if let Some(node) = node {
        spec["nodeName"] = json!(node);
    }
    let pod = object(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}));
    api.create(&PostParams::default(), &pod).await.unwrap();
}

async fn pod_without_node(client: Client, namespace: String) {
    let api = objects(&client, &namespace, "", "Pod");
    pod(&api, None).await;
    api.delete("p", &DeleteParams::default()).await.unwrap();
    assert!(is_gone(&api, "p").await);
}

async fn pod_on_node(client: Client, namespace: String) {
    let api = objects(&client, &namespace, "", "Pod");
    pod(&api, Some("node")).await;
    let going = api.delete("p", &DeleteParams::default()).await.unwrap().left().expect("the pod");
    assert_eq!(going.metadata.deletion_grace_period_seconds, Some(17));
    assert!(going.metadata.deletion_timestamp.is_some());
    assert!(!is_gone(&api, "p").await);
    api.delete("p", &DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() }).await.unwrap();
    assert!(is_gone(&api, "p").await);
}

async fn dry_run(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let created = made(&api, "a", json!({})).await;
    api.delete("a", &DeleteParams { dry_run: true, ..DeleteParams::default() }).await.unwrap();
    assert_eq!(api.get("a").await.unwrap(), created);
}

async fn background(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let owner = made(&api, "owner", json!({})).await;
    let child = dependent(&api, "child", &[&owner]).await;
    dependent(&api, "grandchild", &[&child]).await;
    made(&api, "stranger", json!({})).await;
    api.delete("owner", &DeleteParams::background()).await.unwrap();
    assert!(is_gone(&api, "owner").await);
    eventually("dependents are gone", || async { is_gone(&api, "child").await && is_gone(&api, "grandchild").await })
        .await;
    assert!(!is_gone(&api, "stranger").await);
}

async fn foreground(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let owner = made(&api, "owner", json!({})).await;
    let mut child = widget("child", json!({}));
    child.metadata.finalizers = Some(vec!["behaviours.test/hold".to_owned()]);
    child.metadata.owner_references = serde_json::from_value(json!([reference(&owner)])).unwrap();
    api.create(&PostParams::default(), &child).await.unwrap();
    let going = api.delete("owner", &DeleteParams::foreground()).await.unwrap().left().expect("the owner");
    assert_eq!(going.metadata.finalizers, Some(vec!["foregroundDeletion".to_owned()]));
    eventually("the child is going", || async {
        api.get("child").await.unwrap().metadata.deletion_timestamp.is_some()
    })
    .await;
    assert!(!is_gone(&api, "owner").await);
    set_finalizers(&api, "child", json!(null)).await.unwrap();
    eventually("the owner is gone", || async { is_gone(&api, "owner").await }).await;
}

async fn orphan(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let owner = made(&api, "owner", json!({})).await;
    dependent(&api, "child", &[&owner]).await;
    api.delete("owner", &DeleteParams::orphan()).await.unwrap();
    eventually("the owner is gone", || async { is_gone(&api, "owner").await }).await;
    assert_eq!(api.get("child").await.unwrap().metadata.owner_references, None);
}

async fn absent_owner(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let mut ghost = made(&api, "ghost", json!({})).await;
    ghost.metadata.uid = Some("00000000-0000-4000-8000-000000000000".to_owned());
    dependent(&api, "child", &[&ghost]).await;
    eventually("the child is gone", || async { is_gone(&api, "child").await }).await;
}

async fn two_owners(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let (first, second) = (made(&api, "first", json!({})).await, made(&api, "second", json!({})).await);
    dependent(&api, "child", &[&first, &second]).await;
    api.delete("first", &DeleteParams::background()).await.unwrap();
    eventually("the reference is gone", || async {
        let owners = api.get("child").await.unwrap().metadata.owner_references.unwrap_or_default();
        owners.len() == 1 && Some(&owners[0].uid) == second.metadata.uid.as_ref()
    })
    .await;
}

async fn namespace_goes(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    finalized(&api, "a").await;
    let spaces: Api<DynamicObject> = Api::all_with(client.clone(), &super::kind("", "v1", "Namespace"));
    let going = spaces.delete(&namespace, &DeleteParams::default()).await.unwrap().left().expect("the namespace");
    assert_eq!(going.data["status"]["phase"], "Terminating");
    let late = refused(api.create(&PostParams::default(), &widget("late", json!({}))).await);
    assert_eq!((late.code, late.reason.as_str()), (403, "Forbidden"), "{late:?}");
    eventually("the content is going", || async { api.get("a").await.unwrap().metadata.deletion_timestamp.is_some() })
        .await;
    set_finalizers(&api, "a", json!(null)).await.unwrap();
    eventually("the namespace is gone", || async { spaces.get_opt(&namespace).await.unwrap().is_none() }).await;
}

async fn foreground_unblocked(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let owner = made(&api, "owner", json!({})).await;
    let mut child = widget("child", json!({}));
    let mut reference = reference(&owner);
    reference["blockOwnerDeletion"] = json!(false);
    child.metadata.finalizers = Some(vec!["behaviours.test/hold".to_owned()]);
    child.metadata.owner_references = serde_json::from_value(json!([reference])).unwrap();
    api.create(&PostParams::default(), &child).await.unwrap();
    api.delete("owner", &DeleteParams::foreground()).await.unwrap();
    eventually("the owner is gone", || async { is_gone(&api, "owner").await }).await;
    eventually("the child is going", || async {
        api.get("child").await.unwrap().metadata.deletion_timestamp.is_some()
    })
    .await;
    set_finalizers(&api, "child", json!(null)).await.unwrap();
    eventually("the child is gone", || async { is_gone(&api, "child").await }).await;
}

async fn job_orphans(client: Client, namespace: String) {
    let jobs = objects(&client, &namespace, "batch", "Job");
    let job = |name: &str, owners: serde_json::Value| {
        object(json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "ownerReferences": owners},
            "spec": {"suspend": true, "template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}],
            }}},
        }))
    };
    for (policy, stays) in [(DeleteParams::default(), true), (DeleteParams::background(), false)] {
        let owner = jobs.create(&PostParams::default(), &job("j", json!([]))).await.unwrap();
        // Of the same kind, so that the garbage collector has heard of it when it hears of the owner's deletion.
        let owners = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": owner.metadata.uid}]);
        jobs.create(&PostParams::default(), &job("of-j", owners)).await.unwrap();
        let _ = jobs.delete("j", &policy).await.unwrap();
        eventually("the Job is gone", || async { is_gone(&jobs, "j").await }).await;
        if stays {
            assert_eq!(jobs.get("of-j").await.unwrap().metadata.owner_references, None);
            let _ = jobs.delete("of-j", &DeleteParams::background()).await.unwrap();
        }
        eventually("its dependent is gone", || async { is_gone(&jobs, "of-j").await }).await;
    }
}

async fn no_policy(client: Client, namespace: String) {
    made(&widgets(&client, &namespace), "a", json!({})).await;
    let path = format!("{}/a", super::widgets_path(&namespace));
    let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Sideways"});
    let result = super::request::<serde_json::Value>(&client, "DELETE", &path, &[], Some(&body)).await;
    let message = sentence(result, 422, "Invalid");
    let start = "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Sideways\": \
                 supported values: ";
    assert!(message.starts_with(start), "{message}");
}

async fn edited_while_going(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    finalized(&api, "a").await;
    let _ = api.delete("a", &DeleteParams::default()).await.unwrap();
    let patch = Patch::Merge(json!({"spec": {"size": 8}}));
    let edited = api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(edited.data["spec"]["size"], 8);
    let status = Patch::Merge(json!({"status": {"phase": "last words"}}));
    let edited = api.patch_status("a", &PatchParams::default(), &status).await.unwrap();
    assert_eq!(edited.data["status"]["phase"], "last words");
    set_finalizers(&api, "a", json!(null)).await.unwrap();
}
