//! watch.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, WatchEvent, WatchParams},
};
use serde_json::json;

use super::{Behaviour, made, widgets};
use crate::behaviours;

pub fn list() -> Vec<Behaviour> {
    behaviours! {
        "a watch delivers what happens after its version, in order",
            "reference/using-api/api-concepts/#efficient-detection-of-changes", resumes;
        "a watch without a version begins with what is there",
            "reference/using-api/api-concepts/#semantics-for-watch", begins_with_what_is;
        "an object that enters or leaves the selector is added or deleted",
            "reference/using-api/api-concepts/#efficient-detection-of-changes", selector_transitions;
        "a watch on one name sees that object alone",
            "concepts/overview/working-with-objects/field-selectors/", one_name;
        "sendInitialEvents ends the initial events with a bookmark",
            "reference/using-api/api-concepts/#streaming-lists", streaming_list;
        "a deleted object is shown in its last state, under a new version",
            "reference/using-api/api-concepts/#efficient-detection-of-changes", deleted_state;
        "a watch ends after timeoutSeconds",
            "reference/using-api/api-concepts/", times_out;
        "changes of the status are seen, too",
            "reference/using-api/api-concepts/#efficient-detection-of-changes", status_changes;
    }
}

async fn version(api: &Api<DynamicObject>) -> String {
    api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap()
}

/// The next events: type, name, size.
async fn events(api: &Api<DynamicObject>, params: &WatchParams, from: &str, count: usize) -> Vec<String> {
    let stream = api.watch(params, from).await.unwrap().take(count);
    let events: Vec<WatchEvent<DynamicObject>> =
        tokio::time::timeout(Duration::from_secs(20), stream.try_collect()).await.expect("events in time").unwrap();
    events
        .into_iter()
        .map(|event| match event {
            WatchEvent::Added(object) => format!("ADDED {}", words(&object)),
            WatchEvent::Modified(object) => format!("MODIFIED {}", words(&object)),
            WatchEvent::Deleted(object) => format!("DELETED {}", words(&object)),
            WatchEvent::Bookmark(bookmark) => format!("BOOKMARK {:?}", bookmark.metadata.annotations),
            WatchEvent::Error(status) => format!("ERROR {} {}", status.code, status.reason),
        })
        .collect()
}

fn words(object: &DynamicObject) -> String {
    format!("{} {}", object.metadata.name.as_deref().unwrap_or_default(), object.data["spec"]["size"])
}

async fn resize(api: &Api<DynamicObject>, name: &str, size: u32) {
    let patch = Patch::Merge(json!({"spec": {"size": size}}));
    api.patch(name, &PatchParams::default(), &patch).await.unwrap();
}

async fn resumes(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    made(&api, "old", json!({"size": 1})).await;
    let from = version(&api).await;
    made(&api, "a", json!({"size": 1})).await;
    resize(&api, "a", 2).await;
    resize(&api, "old", 5).await;
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let found = events(&api, &WatchParams::default(), &from, 4).await;
    assert_eq!(found, ["ADDED a 1", "MODIFIED a 2", "MODIFIED old 5", "DELETED a 2"]);
}

async fn begins_with_what_is(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    made(&api, "a", json!({"size": 1})).await;
    made(&api, "b", json!({"size": 2})).await;
    for from in ["", "0"] {
        let mut found = events(&api, &WatchParams::default(), from, 2).await;
        found.sort();
        assert_eq!(found, ["ADDED a 1", "ADDED b 2"], "{from:?}");
    }
}

async fn selector_transitions(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    made(&api, "a", json!({"size": 1})).await;
    let from = version(&api).await;
    for labels in [json!({"x": "y"}), json!({"x": "y", "z": "1"}), json!({"x": null}), json!({"z": "2"})] {
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    }
    let found = events(&api, &WatchParams::default().labels("x=y"), &from, 3).await;
    assert_eq!(found, ["ADDED a 1", "MODIFIED a 1", "DELETED a 1"]);
}

async fn one_name(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let from = version(&api).await;
    for name in ["a", "b", "c"] {
        made(&api, name, json!({"size": 1})).await;
    }
    resize(&api, "b", 2).await;
    let found = events(&api, &WatchParams::default().fields("metadata.name=b"), &from, 2).await;
    assert_eq!(found, ["ADDED b 1", "MODIFIED b 2"]);
}

async fn streaming_list(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    made(&api, "a", json!({"size": 1})).await;
    let params = WatchParams::default().initial_events();
    let found = events(&api, &params, "", 2).await;
    assert_eq!(found[0], "ADDED a 1");
    assert_eq!(found[1], "BOOKMARK {\"k8s.io/initial-events-end\": \"true\"}");
}

async fn deleted_state(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let created = made(&api, "a", json!({"size": 7})).await;
    let from = version(&api).await;
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let mut stream = api.watch(&WatchParams::default(), &from).await.unwrap().boxed();
    match stream.try_next().await.unwrap() {
        Some(WatchEvent::Deleted(gone)) => {
            assert_eq!(gone.metadata.uid, created.metadata.uid);
            assert_eq!(gone.data["spec"], created.data["spec"]);
            let number =
                |object: &DynamicObject| object.metadata.resource_version.clone().unwrap().parse::<u64>().unwrap();
            assert!(number(&gone) > number(&created));
        }
        other => panic!("{other:?}"),
    }
}

async fn times_out(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let from = version(&api).await;
    let stream = api.watch(&WatchParams::default().timeout(1), &from).await.unwrap();
    let all = tokio::time::timeout(Duration::from_secs(20), stream.collect::<Vec<_>>()).await.expect("it ends");
    assert!(all.iter().all(|event| matches!(event, Ok(WatchEvent::Bookmark(_)))), "{all:?}");
}

async fn status_changes(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    made(&api, "a", json!({"size": 1})).await;
    let from = version(&api).await;
    let patch = Patch::Merge(json!({"status": {"phase": "x"}}));
    api.patch_status("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(events(&api, &WatchParams::default(), &from, 1).await, ["MODIFIED a 1"]);
}
