//! Other forms of the same objects: tables, metadata alone, discovery, OpenAPI.

use futures::TryStreamExt;
use kube::Client;
use kube::api::WatchEvent;
use serde_json::{Value, json};
use std::time::Duration;

use super::{Behaviour, made, request, widgets, widgets_path};
use crate::behaviours;

pub fn list() -> Vec<Behaviour> {
    behaviours! {
        "a table has the printer columns of the definition",
            "reference/using-api/api-concepts/#receiving-resources-as-tables", table;
        "a table can carry whole objects, or none",
            "reference/using-api/api-concepts/#receiving-resources-as-tables", include_object;
        "a Job's table has columns of its own",
            "reference/using-api/api-concepts/#receiving-resources-as-tables", job_table;
        "a watch can be of tables",
            "reference/using-api/api-concepts/#receiving-resources-as-tables", watched_table;
        "metadata alone can be asked for",
            "reference/using-api/api-concepts/#metadata-only-fetches", metadata_only;
        "discovery names groups, versions and resources",
            "concepts/overview/kubernetes-api/#unaggregated-discovery", discovery;
        "aggregated discovery says all at once",
            "concepts/overview/kubernetes-api/#aggregated-discovery", aggregated;
        "OpenAPI v3 describes the kind and its patch",
            "concepts/overview/kubernetes-api/#openapi-v3", openapi;
    }
}

const TABLE: (&str, &str) = ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json");

async fn table(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    made(&api, "a", json!({"size": 5, "color": "red"})).await;
    let status = kube::api::Patch::Merge(
        json!({"status": {"conditions": [{"type": "Other", "status": "x"}, {"type": "Ready", "status": "True"}]}}),
    );
    api.patch_status("a", &Default::default(), &status).await.unwrap();
    made(&api, "b", json!({})).await;
    let table: Value = request(&client, "GET", &widgets_path(&namespace), &[TABLE], None).await.unwrap();
    assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    let columns: Vec<(&str, &str, i64)> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| {
            (column["name"].as_str().unwrap(), column["type"].as_str().unwrap(), column["priority"].as_i64().unwrap())
        })
        .collect();
    assert_eq!(
        columns,
        [
            ("Name", "string", 0),
            ("Size", "integer", 0),
            ("Ready", "string", 0),
            ("Color", "string", 1),
            ("Age", "date", 0)
        ]
    );
    let rows = table["rows"].as_array().unwrap();
    let cells = |at: usize| rows[at]["cells"].as_array().unwrap()[..4].to_vec();
    assert_eq!(cells(0), [json!("a"), json!(5), json!("True"), json!("red")]);
    assert_eq!(cells(1), [json!("b"), json!(3), json!(null), json!(null)]);
    assert!(rows[0]["cells"][4].as_str().unwrap().ends_with('s'), "an age in seconds");
    assert_eq!(rows[0]["object"]["kind"], "PartialObjectMetadata");
}

async fn include_object(client: Client, namespace: String) {
    made(&widgets(&client, &namespace), "a", json!({"size": 5})).await;
    for (include, pointer, expected) in [
        ("Object", "/rows/0/object/spec/size", Some(json!(5))),
        ("Metadata", "/rows/0/object/metadata/name", Some(json!("a"))),
        ("Metadata", "/rows/0/object/spec", None),
        ("None", "/rows/0/object/metadata", None),
    ] {
        let path = format!("{}/a?includeObject={include}", widgets_path(&namespace));
        let table: Value = request(&client, "GET", &path, &[TABLE], None).await.unwrap();
        assert_eq!(table.pointer(pointer).cloned(), expected, "{include} {pointer}");
    }
}

async fn metadata_only(client: Client, namespace: String) {
    let created = made(&widgets(&client, &namespace), "a", json!({"size": 5})).await;
    let accept = ("accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
    let list: Value = request(&client, "GET", &widgets_path(&namespace), &[accept], None).await.unwrap();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["metadata"]["uid"], json!(created.metadata.uid));
    assert_eq!(list["items"][0].get("spec"), None);
    let accept = ("accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
    let path = format!("{}/a", widgets_path(&namespace));
    let one: Value = request(&client, "GET", &path, &[accept], None).await.unwrap();
    assert_eq!((&one["kind"], one.get("spec")), (&json!("PartialObjectMetadata"), None));
}

async fn discovery(client: Client, _: String) {
    let groups = client.list_api_groups().await.unwrap().groups;
    for name in ["batch", "coordination.k8s.io", "events.k8s.io", "behaviours.test", "apiextensions.k8s.io"] {
        assert!(groups.iter().any(|group| group.name == name), "{name}");
    }
    let resources = client.list_api_group_resources("behaviours.test/v1").await.unwrap().resources;
    let found = resources.iter().find(|resource| resource.name == "widgets").unwrap();
    assert_eq!((found.kind.as_str(), found.namespaced, found.singular_name.as_str()), ("Widget", true, "widget"));
    assert_eq!(found.short_names.clone().unwrap(), ["wd"]);
    assert_eq!(found.categories.clone().unwrap(), ["things"]);
    assert!(resources.iter().any(|resource| resource.name == "widgets/status"));
    let core = client.list_core_api_resources("v1").await.unwrap().resources;
    for name in
        ["pods", "nodes", "events", "configmaps", "secrets", "namespaces", "serviceaccounts", "persistentvolumeclaims"]
    {
        assert!(core.iter().any(|resource| resource.name == name), "{name}");
    }
    assert!(client.apiserver_version().await.unwrap().minor.starts_with('3'));
}

async fn aggregated(client: Client, _: String) {
    let accept = ("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    let list: Value = request(&client, "GET", "/apis", &[accept], None).await.unwrap();
    assert_eq!(list["kind"], "APIGroupDiscoveryList");
    let group =
        list["items"].as_array().unwrap().iter().find(|item| item["metadata"]["name"] == "behaviours.test").unwrap();
    let resource = &group["versions"][0]["resources"][0];
    assert_eq!((&resource["resource"], &resource["scope"]), (&json!("widgets"), &json!("Namespaced")));
    assert_eq!(resource["responseKind"]["kind"], "Widget");
    assert_eq!(resource["subresources"][0]["subresource"], "status");
}

async fn openapi(client: Client, _: String) {
    let document = openapi_document(&client).await;
    let patch = &document["paths"]["/apis/behaviours.test/v1/namespaces/{namespace}/widgets/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Widget");
    let parameters = patch["parameters"].as_array().unwrap();
    assert!(parameters.iter().any(|parameter| parameter["name"] == "fieldValidation" && parameter["in"] == "query"));
    let schema = &document["components"]["schemas"]["test.behaviours.v1.Widget"];
    assert_eq!(schema["properties"]["spec"]["properties"]["size"]["description"], "How large it is.");
    assert_eq!(schema["x-kubernetes-group-version-kind"][0]["kind"], "Widget");
}

/// The description of the group of the widgets. Its address holds a hash of what it says, and a server whose kinds have just
/// changed sends whoever has an older address away, without a body.
async fn openapi_document(client: &Client) -> Value {
    for _ in 0..20 {
        let index: Value = request(client, "GET", "/openapi/v3", &[], None).await.unwrap();
        if let Some(address) = index["paths"]["apis/behaviours.test/v1"]["serverRelativeURL"].as_str()
            && let Ok(document) = request(client, "GET", address, &[("accept", "application/json")], None).await
        {
            return document;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    panic!("no description of the group");
}

async fn job_table(client: Client, namespace: String) {
    let container = json!({"name": "c", "image": "i"});
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
        "spec": {"suspend": true, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    });
    let jobs = super::objects(&client, &namespace, "batch", "Job");
    let created = jobs.create(&Default::default(), &super::object(job)).await.unwrap();
    let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
    let table: Value = request(&client, "GET", &path, &[TABLE], None).await.unwrap();
    let names: Vec<&str> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    let expected = ["Name", "Status", "Completions", "Duration", "Age", "Containers", "Images", "Selector"];
    assert_eq!(names, expected);
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    let selector = format!("batch.kubernetes.io/controller-uid={}", created.metadata.uid.unwrap());
    assert_eq!((&cells[0], &cells[2], &cells[3]), (&json!("j"), &json!("0/1"), &json!("")));
    assert_eq!(cells[5..], [json!("c"), json!("i"), json!(selector)]);
}

async fn watched_table(client: Client, namespace: String) {
    made(&widgets(&client, &namespace), "a", json!({"size": 5})).await;
    let watch = http::Request::get(format!("{}?watch=1", widgets_path(&namespace))).header(TABLE.0, TABLE.1);
    let stream = client.request_events::<Value>(watch.body(Vec::new()).unwrap()).await.unwrap();
    let mut stream = std::pin::pin!(stream);
    match stream.try_next().await.unwrap() {
        Some(WatchEvent::Added(table)) => {
            assert_eq!(table["kind"], "Table");
            assert_eq!(table["columnDefinitions"][1]["name"], "Size");
            assert_eq!(table["rows"][0]["cells"][1], 5);
            assert_eq!(table["rows"][0]["object"]["metadata"]["name"], "a");
        }
        other => panic!("{other:?}"),
    }
}
