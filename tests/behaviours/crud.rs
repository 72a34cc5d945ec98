//! create, get, list, update, delete.

use futures::{StreamExt, TryStreamExt};
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::json;

use super::Behaviour;
use crate::behaviour;

/// The custom kind of [`super::definition`].
pub fn widgets(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("behaviours.test", "v1", "Widget");
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk(&kind))
}

/// A widget as a person writes it.
pub fn widget(name: &str, spec: serde_json::Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "behaviours.test/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec,
    }))
    .unwrap()
}

pub fn list() -> Vec<Behaviour> {
    vec![
        behaviour!(
            "create stamps uid, resourceVersion, generation 1 and creationTimestamp",
            "reference/using-api/api-concepts/",
            create_stamps
        ),
        behaviour!(
            "a watch delivers what happens after its resourceVersion",
            "reference/using-api/api-concepts/#efficient-detection-of-changes",
            watch_resumes
        ),
    ]
}

async fn create_stamps(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let made = api.create(&PostParams::default(), &widget("a", json!({"size": 1}))).await.unwrap();
    assert!(made.metadata.uid.is_some());
    assert!(made.metadata.resource_version.is_some());
    assert!(made.metadata.creation_timestamp.is_some());
    assert_eq!(made.metadata.generation, Some(1));
    assert_eq!(made, api.get("a").await.unwrap());
}

async fn watch_resumes(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let made = api.create(&PostParams::default(), &widget("a", json!({"size": 1}))).await.unwrap();
    let from = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    api.patch("a", &PatchParams::default(), &Patch::Merge(json!({"spec": {"size": 2}}))).await.unwrap();
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let events: Vec<_> = api.watch(&WatchParams::default(), &from).await.unwrap().take(2).try_collect().await.unwrap();
    match events.as_slice() {
        [WatchEvent::Modified(changed), WatchEvent::Deleted(gone)] => {
            assert_eq!(changed.metadata.generation, Some(2));
            assert_eq!(gone.metadata.uid, made.metadata.uid);
        }
        other => panic!("{other:?}"),
    }
}
