//! list: selectors, pages, versions.

use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, VersionMatch},
};
use serde_json::json;

use super::{Behaviour, made, object, objects, refused, sentence, widget, widgets};
use crate::behaviours;

pub fn list() -> Vec<Behaviour> {
    behaviours! {
        "label selectors choose by equality and by set",
            "concepts/overview/working-with-objects/labels/#label-selectors", labels;
        "a field selector chooses by name",
            "concepts/overview/working-with-objects/field-selectors/", by_name;
        "a field that a kind does not offer is refused",
            "concepts/overview/working-with-objects/field-selectors/#supported-fields", unknown_field;
        "pods are chosen by node and phase",
            "concepts/overview/working-with-objects/field-selectors/", pods_by_field;
        "pages show one moment, whatever changes meanwhile",
            "reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks", pages;
        "a list carries the version that a watch goes on from",
            "reference/using-api/api-concepts/#efficient-detection-of-changes", list_version;
        "any version will do with resourceVersion 0",
            "reference/using-api/api-concepts/#resource-versions", any_version;
        "a version of the future is waited for in vain",
            "reference/using-api/api-concepts/#unavailable-resource-versions", future_version;
        "deletecollection deletes what the selector chooses",
            "reference/using-api/api-concepts/", delete_collection;
        "a list of all namespaces goes by namespace, a slash, and name",
            "concepts/overview/working-with-objects/namespaces/", all_namespaces;
        "an exact version shows the past",
            "reference/using-api/api-concepts/#semantics-for-get-and-list", exact_version;
        "a version that is forgotten has expired, and so has a continue token",
            "reference/using-api/api-concepts/#410-gone-responses", expired;
        "a match without a version is refused",
            "reference/using-api/api-concepts/#semantics-for-get-and-list", match_alone;
        "a version that is none is refused",
            "reference/using-api/api-concepts/#resource-versions", no_version;
        "a selector that is none is refused",
            "concepts/overview/working-with-objects/labels/#label-selectors", no_selector;
    }
}

async fn names(api: &Api<DynamicObject>, params: &ListParams) -> Vec<String> {
    api.list(params).await.unwrap().items.into_iter().map(|item| item.metadata.name.unwrap()).collect()
}

async fn labelled(api: &Api<DynamicObject>, name: &str, labels: &[(&str, &str)]) {
    let mut widget = widget(name, json!({}));
    widget.metadata.labels = Some(labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect());
    api.create(&PostParams::default(), &widget).await.unwrap();
}

async fn labels(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    labelled(&api, "a", &[("tier", "web"), ("env", "prod")]).await;
    labelled(&api, "b", &[("tier", "db")]).await;
    labelled(&api, "c", &[]).await;
    let table: &[(&str, &[&str])] = &[
        ("tier=web", &["a"]),
        ("tier!=web", &["b", "c"]),
        ("tier", &["a", "b"]),
        ("!tier", &["c"]),
        ("tier in (web, db)", &["a", "b"]),
        ("tier notin (web)", &["b", "c"]),
        ("tier=web,env=prod", &["a"]),
        ("tier=web,env=test", &[]),
    ];
    for (selector, expected) in table {
        assert_eq!(names(&api, &ListParams::default().labels(selector)).await, *expected, "{selector}");
    }
}

async fn by_name(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    for name in ["a", "b"] {
        made(&api, name, json!({})).await;
    }
    assert_eq!(names(&api, &ListParams::default().fields("metadata.name=b")).await, ["b"]);
    assert_eq!(names(&api, &ListParams::default().fields("metadata.name!=b")).await, ["a"]);
}

async fn unknown_field(client: Client, namespace: String) {
    let result = widgets(&client, &namespace).list(&ListParams::default().fields("spec.size=1")).await;
    assert_eq!(sentence(result, 400, "BadRequest"), "field label not supported: spec.size");
}

async fn pods_by_field(client: Client, namespace: String) {
    let api = objects(&client, &namespace, "", "Pod");
    for (name, node) in [("a", Some("n1")), ("b", None)] {
        let mut spec = json!({"containers": [{"name": "c", "image": "i"}], "automountServiceAccountToken": false});
        if let Some(node) = node {
            spec["nodeName"] = json!(node);
        }
        let pod = object(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}));
        api.create(&PostParams::default(), &pod).await.unwrap();
    }
    assert_eq!(names(&api, &ListParams::default().fields("spec.nodeName=n1")).await, ["a"]);
    assert_eq!(names(&api, &ListParams::default().fields("spec.nodeName=,status.phase=Pending")).await, ["b"]);
}

async fn pages(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    for name in ["a", "b", "c", "d", "e"] {
        made(&api, name, json!({})).await;
    }
    let first = api.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(3));
    let token = first.metadata.continue_.clone().unwrap();
    api.delete("c", &DeleteParams::default()).await.unwrap();
    made(&api, "bb", json!({})).await;
    let second = api.list(&ListParams::default().limit(2).continue_token(&token)).await.unwrap();
    let third = api
        .list(&ListParams::default().limit(2).continue_token(second.metadata.continue_.as_deref().unwrap()))
        .await
        .unwrap();
    let all: Vec<_> = [&first, &second, &third]
        .iter()
        .flat_map(|page| &page.items)
        .map(|item| item.metadata.name.clone().unwrap())
        .collect();
    assert_eq!(all, ["a", "b", "c", "d", "e"]);
    assert_eq!(third.metadata.continue_.as_deref().unwrap_or_default(), "");
    assert_eq!(third.metadata.resource_version, first.metadata.resource_version);
    assert_eq!(names(&api, &ListParams::default()).await, ["a", "b", "bb", "d", "e"]);
}

async fn list_version(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let number = |text: Option<String>| text.unwrap().parse::<u64>().unwrap();
    let before = number(api.list(&ListParams::default()).await.unwrap().metadata.resource_version);
    let created = number(made(&api, "a", json!({})).await.metadata.resource_version);
    let after = number(api.list(&ListParams::default()).await.unwrap().metadata.resource_version);
    assert!(before < created && created <= after, "{before} {created} {after}");
}

async fn any_version(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    made(&api, "a", json!({})).await;
    super::eventually("the cache has it", || async { names(&api, &ListParams::default().at("0")).await == ["a"] })
        .await;
}

async fn future_version(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let result = api.list(&ListParams::default().at("999999999999")).await;
    let message = sentence(result, 504, "Timeout");
    assert!(message.contains("Too large resource version: 999999999999, current: "), "{message}");
}

async fn delete_collection(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    labelled(&api, "a", &[("x", "1")]).await;
    labelled(&api, "b", &[("x", "2")]).await;
    let chosen = ListParams::default().labels("x=1");
    let gone = api.delete_collection(&DeleteParams::default(), &chosen).await.unwrap();
    let gone = gone.left().expect("the deleted objects");
    assert_eq!(gone.items.len(), 1);
    assert_eq!(names(&api, &ListParams::default()).await, ["b"]);
}

async fn all_namespaces(client: Client, namespace: String) {
    let other = format!("{namespace}-b");
    let spaces: Api<DynamicObject> = Api::all_with(client.clone(), &super::kind("", "v1", "Namespace"));
    let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}});
    spaces.create(&PostParams::default(), &object(space)).await.unwrap();
    for (space, name) in [(&other, "a"), (&namespace, "b"), (&namespace, "a")] {
        labelled(&widgets(&client, space), name, &[("of", &namespace)]).await;
    }
    let all: Api<DynamicObject> = Api::all_with(client, &super::kind("behaviours.test", "v1", "Widget"));
    let found = all.list(&ListParams::default().labels(&format!("of={namespace}"))).await.unwrap();
    let places: Vec<_> = found.items.into_iter().map(|item| (item.metadata.namespace, item.metadata.name)).collect();
    let place = |space: &String, name: &str| (Some(space.clone()), Some(name.to_owned()));
    assert_eq!(places, [place(&other, "a"), place(&namespace, "a"), place(&namespace, "b")]);
}

async fn exact_version(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    made(&api, "a", json!({"size": 1})).await;
    let then = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    api.patch("a", &PatchParams::default(), &Patch::Merge(json!({"spec": {"size": 2}}))).await.unwrap();
    made(&api, "b", json!({})).await;
    let past = api.list(&ListParams::default().at(&then).matching(VersionMatch::Exact)).await.unwrap();
    assert_eq!(past.metadata.resource_version.as_ref(), Some(&then));
    assert_eq!(past.items.len(), 1);
    assert_eq!(past.items[0].data["spec"]["size"], 1);
    let newer = api.list(&ListParams::default().at(&then).matching(VersionMatch::NotOlderThan)).await.unwrap();
    assert!(newer.metadata.resource_version >= Some(then));
}

async fn expired(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    for name in ["a", "b", "c"] {
        made(&api, name, json!({})).await;
    }
    let page = ListParams::default().limit(1);
    let first = api.list(&page).await.unwrap().metadata;
    let rest = page.clone().continue_token(&first.continue_.unwrap());
    let then = ListParams::default().at(&first.resource_version.unwrap()).matching(VersionMatch::Exact);
    // Servers forget as time passes, or as changes come.
    made(&api, "busy", json!({})).await;
    let mut size = 0;
    super::eventually("it has expired", || {
        size += 40;
        let (api, rest, then) = (&api, &rest, &then);
        async move {
            for size in size..size + 40 {
                let patch = Patch::Merge(json!({"spec": {"size": size % 100}}));
                api.patch("busy", &PatchParams::default(), &patch).await.unwrap();
            }
            api.list(rest).await.is_err() && api.list(then).await.is_err()
        }
    })
    .await;
    let status = refused(api.list(&rest).await);
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    assert!(
        status.message.starts_with("The provided continue parameter is too old to display a consistent list result.")
    );
    assert_eq!(refused(api.list(&then).await).reason, "Expired");
    // The refusal carries a token for the rest as it is now.
    api.delete("b", &DeleteParams::default()).await.unwrap();
    let token = status.metadata.unwrap().continue_.unwrap();
    let left = api.list(&ListParams::default().continue_token(&token)).await.unwrap();
    let left: Vec<_> = left.items.into_iter().filter_map(|item| item.metadata.name).collect();
    assert_eq!(left, ["busy", "c"]);
}

async fn match_alone(client: Client, namespace: String) {
    let path = format!("{}?resourceVersionMatch=Exact", super::widgets_path(&namespace));
    let result = super::request::<serde_json::Value>(&client, "GET", &path, &[], None).await;
    assert_eq!(
        sentence(result, 422, "Invalid"),
        "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden \
         unless resourceVersion is provided"
    );
}

async fn no_version(client: Client, namespace: String) {
    let result = widgets(&client, &namespace).list(&ListParams::default().at("new")).await;
    assert_eq!(refused(result).code, 400);
}

async fn no_selector(client: Client, namespace: String) {
    let result = widgets(&client, &namespace).list(&ListParams::default().labels("a in")).await;
    let message = sentence(result, 400, "BadRequest");
    assert!(message.starts_with("unable to parse requirement: "), "{message}");
}
