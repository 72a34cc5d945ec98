//! PATCH in its plain forms.

use kube::{
    Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{Behaviour, made, object, objects, refused, request, sentence, widgets, widgets_path};
use crate::behaviours;

pub fn list() -> Vec<Behaviour> {
    behaviours! {
        "a JSON patch edits by path",
            "reference/using-api/api-concepts/#patch-and-apply", json_patch;
        "a JSON patch whose test fails is refused as a whole",
            "reference/using-api/api-concepts/#patch-and-apply", failed_test;
        "a merge patch merges maps, replaces lists, and null removes",
            "reference/using-api/api-concepts/#patch-and-apply", merge_patch;
        "a strategic merge patch merges containers by name",
            "tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/", strategic;
        "custom objects take no strategic merge patch",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/", strategic_custom;
        "a patch that names an older version is a conflict",
            "reference/using-api/api-concepts/#patch-and-apply", stale_patch;
        "a patch cannot rename",
            "reference/using-api/api-concepts/#patch-and-apply", no_rename;
        "a patch of a missing object is not found",
            "reference/using-api/api-concepts/#patch-and-apply", missing;
    }
}

async fn json_patch(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    made(&api, "a", json!({"size": 1, "color": "red", "tags": ["x"]})).await;
    let patch = serde_json::from_value(json!([
        {"op": "test", "path": "/spec/size", "value": 1},
        {"op": "replace", "path": "/spec/size", "value": 2},
        {"op": "remove", "path": "/spec/color"},
        {"op": "add", "path": "/spec/tags/-", "value": "y"},
    ]))
    .unwrap();
    let patched = api.patch("a", &PatchParams::default(), &Patch::Json::<()>(patch)).await.unwrap();
    assert_eq!(patched.data["spec"], json!({"size": 2, "tags": ["x", "y"]}));
}

async fn failed_test(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let created = made(&api, "a", json!({"size": 1})).await;
    let patch = serde_json::from_value(json!([
        {"op": "replace", "path": "/spec/size", "value": 2},
        {"op": "test", "path": "/metadata/uid", "value": "other"},
    ]))
    .unwrap();
    let result = api.patch("a", &PatchParams::default(), &Patch::Json::<()>(patch)).await;
    let message = sentence(result, 422, "Invalid");
    assert_eq!(message, "the server rejected our request due to an error in our request");
    assert_eq!(api.get("a").await.unwrap(), created);
}

async fn merge_patch(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    made(&api, "a", json!({"size": 1, "color": "red", "tags": ["x"], "notes": {"k": "v"}})).await;
    let patch = json!({"spec": {"color": null, "tags": ["y"], "notes": {"l": "w"}}});
    let patched = api.patch("a", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    assert_eq!(patched.data["spec"], json!({"size": 1, "tags": ["y"], "notes": {"k": "v", "l": "w"}}));
}

async fn strategic(client: Client, namespace: String) {
    let api = objects(&client, &namespace, "", "Pod");
    let pod = object(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [{"name": "a", "image": "one"}, {"name": "b", "image": "two"}],
        },
    }));
    api.create(&PostParams::default(), &pod).await.unwrap();
    let patch = json!({"spec": {"containers": [{"name": "b", "image": "three"}]}});
    let patched = api.patch("p", &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
    let images: Vec<&Value> =
        patched.data["spec"]["containers"].as_array().unwrap().iter().map(|container| &container["image"]).collect();
    assert_eq!(images, ["one", "three"]);
}

async fn strategic_custom(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    made(&api, "a", json!({})).await;
    let path = format!("{}/a", widgets_path(&namespace));
    let media = [("content-type", "application/strategic-merge-patch+json")];
    let result = request::<Value>(&client, "PATCH", &path, &media, Some(&json!({"spec": {}}))).await;
    let message = sentence(result, 415, "UnsupportedMediaType");
    assert!(
        message.starts_with("the body of the request was in an unknown format - accepted media types include: "),
        "{message}"
    );
}

async fn stale_patch(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let version = made(&api, "a", json!({"size": 1})).await.metadata.resource_version.unwrap();
    let patch = |size: u32| Patch::Merge(json!({"metadata": {"resourceVersion": version}, "spec": {"size": size}}));
    api.patch("a", &PatchParams::default(), &patch(2)).await.unwrap();
    let message = sentence(api.patch("a", &PatchParams::default(), &patch(3)).await, 409, "Conflict");
    assert!(message.ends_with("please apply your changes to the latest version and try again"), "{message}");
}

async fn no_rename(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    made(&api, "a", json!({})).await;
    let patch = Patch::Merge(json!({"metadata": {"name": "b"}}));
    let status = refused(api.patch("a", &PatchParams::default(), &patch).await);
    assert_eq!((status.code, status.reason.as_str()), (400, "BadRequest"), "{status:?}");
}

async fn missing(client: Client, namespace: String) {
    let patch = Patch::Merge(json!({"spec": {"size": 2}}));
    let result = widgets(&client, &namespace).patch("a", &PatchParams::default(), &patch).await;
    assert_eq!(sentence(result, 404, "NotFound"), "widgets.behaviours.test \"a\" not found");
}
