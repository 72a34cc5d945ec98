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
        "a watch from a version that is forgotten begins, and ends with the error that it has expired",
            "reference/using-api/api-concepts/#410-gone-responses", expired;
        "a bookmark carries the newest version before a quiet watch ends",
            "reference/using-api/api-concepts/#watch-bookmarks", bookmark;
        "no bookmark comes unless it is asked for",
            "reference/using-api/api-concepts/#watch-bookmarks", no_bookmark;
        "sendInitialEvents wants a match",
            "reference/using-api/api-concepts/#streaming-lists", initial_events_match;
        "a watch can be of metadata alone",
            "reference/using-api/api-concepts/#metadata-only-fetches", metadata_alone;
        "a watch of all namespaces sees them all",
            "reference/using-api/api-concepts/#resource-uris", all_namespaces;
    }
}

async fn version(api: &Api<DynamicObject>) -> String {
    api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap()
}

/// The next events: type, name, size.
async fn events(api: &Api<DynamicObject>, params: &WatchParams, from: &str, count: usize) -> Vec<String> {
    // A server may send a bookmark at any time; only the one that ends the first events has something to say.
    let passing = |event: &Result<WatchEvent<DynamicObject>, kube::Error>| matches!(event, Ok(WatchEvent::Bookmark(bookmark)) if bookmark.metadata.annotations.is_empty());
    let stream = api.watch(params, from).await.unwrap().filter(|event| std::future::ready(!passing(event))).take(count);
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

async fn expired(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    made(&api, "a", json!({})).await;
    // Older than the kind itself.
    assert_eq!(events(&api, &WatchParams::default(), "1", 1).await, ["ERROR 410 Expired"]);
    let mut stream = api.watch(&WatchParams::default(), "1").await.unwrap().boxed();
    match stream.try_next().await.unwrap() {
        Some(WatchEvent::Error(status)) => {
            assert!(status.message.starts_with("too old resource version: 1 ("), "{status:?}");
        }
        other => panic!("{other:?}"),
    }
    assert!(stream.next().await.is_none(), "it has ended");
}

async fn bookmark(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let from = version(&api).await;
    let stream = api.watch(&WatchParams::default().timeout(5), &from).await.unwrap();
    let elsewhere = widgets(&client, "default");
    let made = made(&elsewhere, &namespace, json!({})).await.metadata.resource_version.unwrap();
    elsewhere.delete(&namespace, &DeleteParams::default()).await.unwrap();
    let all = tokio::time::timeout(Duration::from_secs(20), stream.collect::<Vec<_>>()).await.expect("it ends");
    assert!(all.iter().all(|event| matches!(event, Ok(WatchEvent::Bookmark(_)))), "{all:?}");
    let Some(Ok(WatchEvent::Bookmark(bookmark))) = all.last() else { panic!("none came") };
    let number = |text: &str| text.parse::<u64>().unwrap();
    assert!(number(&bookmark.metadata.resource_version) >= number(&made), "{made}");
    assert_eq!(bookmark.types.kind, "Widget");
}

async fn no_bookmark(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let from = version(&api).await;
    let stream = api.watch(&WatchParams::default().timeout(4).disable_bookmarks(), &from).await.unwrap();
    let all = tokio::time::timeout(Duration::from_secs(20), stream.collect::<Vec<_>>()).await.expect("it ends");
    assert!(all.is_empty(), "{all:?}");
}

async fn initial_events_match(client: Client, namespace: String) {
    let path = format!("{}?watch=true&sendInitialEvents=true", super::widgets_path(&namespace));
    let result = super::request::<serde_json::Value>(&client, "GET", &path, &[], None).await;
    assert_eq!(
        super::sentence(result, 422, "Invalid"),
        "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting \
         resourceVersionMatch to NotOlderThan"
    );
}

async fn metadata_alone(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let from = version(&api).await;
    let created = made(&api, "a", json!({"size": 9})).await;
    let params = WatchParams::default().disable_bookmarks();
    let mut stream = api.watch_metadata(&params, &from).await.unwrap().boxed();
    match stream.try_next().await.unwrap() {
        Some(WatchEvent::Added(found)) => assert_eq!(found.metadata, created.metadata),
        other => panic!("{other:?}"),
    }
}

async fn all_namespaces(client: Client, namespace: String) {
    let all: Api<DynamicObject> = Api::all_with(client.clone(), &super::kind("behaviours.test", "v1", "Widget"));
    let from = version(&all).await;
    let elsewhere = widgets(&client, "default");
    made(&elsewhere, &namespace, json!({"size": 1})).await;
    made(&widgets(&client, &namespace), &namespace, json!({"size": 2})).await;
    elsewhere.delete(&namespace, &DeleteParams::default()).await.unwrap();
    let params = WatchParams::default().fields(&format!("metadata.name={namespace}"));
    let expected = ["ADDED", "ADDED", "DELETED"].into_iter().zip([1, 2, 1]);
    let expected: Vec<String> = expected.map(|(what, size)| format!("{what} {namespace} {size}")).collect();
    assert_eq!(events(&all, &params, &from, 3).await, expected);
}
