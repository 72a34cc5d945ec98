//! Server-side apply.

use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{Behaviour, made, object, objects, refused, sentence, widgets};
use crate::behaviours;

pub fn list() -> Vec<Behaviour> {
    behaviours! {
        "apply creates, and records who owns what",
            "reference/using-api/server-side-apply/#field-management", creates;
        "a field that another applied differently is a conflict",
            "reference/using-api/server-side-apply/#conflicts", conflict;
        "every conflict is named",
            "reference/using-api/server-side-apply/#conflicts", conflicts;
        "force takes the field over",
            "reference/using-api/server-side-apply/#conflicts", force;
        "the same value is owned together",
            "reference/using-api/server-side-apply/#conflicts", shared;
        "what is no longer applied goes",
            "reference/using-api/server-side-apply/#clearing-managedfields", removed;
        "what others own stays when one lets go",
            "reference/using-api/server-side-apply/#transferring-ownership", let_go;
        "items of a map list belong to those who apply them",
            "reference/using-api/server-side-apply/#merge-strategy", map_list;
        "an atomic value is owned whole",
            "reference/using-api/server-side-apply/#merge-strategy", atomic;
        "an update takes the fields it changes",
            "reference/using-api/server-side-apply/#using-server-side-apply-in-a-controller", update_takes;
        "applying the same again makes no new version",
            "reference/using-api/server-side-apply/", same_again;
        "the status endpoint is a manager of its own",
            "reference/using-api/server-side-apply/#field-management", status;
        "an apply that names an older version is a conflict",
            "reference/using-api/server-side-apply/", stale;
        "apply names its manager",
            "reference/using-api/server-side-apply/#manager", manager;
        "apply knows its schema",
            "reference/using-api/server-side-apply/", undeclared;
        "managedFields are cleared by an empty entry",
            "reference/using-api/server-side-apply/#clearing-managedfields", cleared;
        "a field with a default that is no longer applied has its default again",
            "reference/using-api/server-side-apply/#defaulting-in-crds", default_again;
        "what an edit changed is owned by its manager, by an update",
            "reference/using-api/server-side-apply/#managers", edited;
        "apply does not take managedFields",
            "reference/using-api/server-side-apply/#field-management", no_managed_fields;
        "apply names the kind and the object",
            "reference/using-api/server-side-apply/#apply-and-update", names_kind;
        "ConfigMaps are applied, too",
            "reference/using-api/server-side-apply/", config_map;
    }
}

fn applied(spec: Value) -> Value {
    json!({"apiVersion": "behaviours.test/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": spec})
}

async fn apply(api: &Api<DynamicObject>, manager: &str, spec: Value) -> kube::Result<DynamicObject> {
    api.patch("a", &PatchParams::apply(manager), &Patch::Apply(applied(spec))).await
}

async fn force_apply(api: &Api<DynamicObject>, manager: &str, spec: Value) -> DynamicObject {
    api.patch("a", &PatchParams::apply(manager).force(), &Patch::Apply(applied(spec))).await.unwrap()
}

/// What a manager owns.
fn owned(object: &DynamicObject, manager: &str) -> Value {
    let entries = object.metadata.managed_fields.clone().unwrap_or_default();
    let entry = entries.into_iter().find(|entry| entry.manager.as_deref() == Some(manager));
    entry.and_then(|entry| entry.fields_v1).map(|fields| fields.0).unwrap_or(Value::Null)
}

async fn creates(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let created = apply(&api, "me", json!({"color": "red", "parts": [{"name": "p"}]})).await.unwrap();
    assert_eq!(created.data["spec"], json!({"color": "red", "size": 3, "parts": [{"name": "p", "count": 1}]}));
    let entries = created.metadata.managed_fields.clone().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].operation.as_deref(), Some("Apply"));
    assert_eq!(entries[0].api_version.as_deref(), Some("behaviours.test/v1"));
    assert!(entries[0].time.is_some());
    assert_eq!(
        owned(&created, "me"),
        json!({"f:spec": {"f:color": {}, "f:parts": {"k:{\"name\":\"p\"}": {".": {}, "f:name": {}}}}})
    );
}

async fn conflict(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    apply(&api, "me", json!({"size": 1})).await.unwrap();
    let status = refused(apply(&api, "you", json!({"size": 2})).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert_eq!(status.message, "Apply failed with 1 conflict: conflict with \"me\": .spec.size");
    let causes = status.details.unwrap().causes;
    assert_eq!(causes.len(), 1);
    assert_eq!((causes[0].reason.as_str(), causes[0].field.as_str()), ("FieldManagerConflict", ".spec.size"));
    assert_eq!(causes[0].message, "conflict with \"me\"");
}

async fn conflicts(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    apply(&api, "me", json!({"size": 1, "color": "red"})).await.unwrap();
    apply(&api, "she", json!({"title": "a"})).await.unwrap();
    let result = apply(&api, "you", json!({"size": 2, "color": "green", "title": "b"})).await;
    assert_eq!(
        sentence(result, 409, "Conflict"),
        "Apply failed with 3 conflicts: conflicts with \"me\":\n- .spec.color\n- .spec.size\nconflicts with \"she\":\n- .spec.title"
    );
}

async fn force(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    apply(&api, "me", json!({"size": 1, "color": "red"})).await.unwrap();
    let taken = force_apply(&api, "you", json!({"size": 2})).await;
    assert_eq!(taken.data["spec"], json!({"size": 2, "color": "red"}));
    assert_eq!(owned(&taken, "me"), json!({"f:spec": {"f:color": {}}}));
    assert_eq!(owned(&taken, "you"), json!({"f:spec": {"f:size": {}}}));
}

async fn shared(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    apply(&api, "me", json!({"size": 1})).await.unwrap();
    let both = apply(&api, "you", json!({"size": 1})).await.unwrap();
    assert_eq!(owned(&both, "me"), owned(&both, "you"));
    assert_eq!(owned(&both, "me"), json!({"f:spec": {"f:size": {}}}));
}

async fn removed(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    apply(&api, "me", json!({"size": 1, "color": "red", "notes": {"k": "v", "l": "w"}, "raw": {"x": 1}}))
        .await
        .unwrap();
    let less = apply(&api, "me", json!({"size": 1, "notes": {"l": "w"}})).await.unwrap();
    assert_eq!(less.data["spec"], json!({"size": 1, "notes": {"l": "w"}}));
}

async fn let_go(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    apply(&api, "me", json!({"size": 1, "color": "red"})).await.unwrap();
    apply(&api, "you", json!({"color": "red"})).await.unwrap();
    let less = apply(&api, "me", json!({"size": 1})).await.unwrap();
    assert_eq!(less.data["spec"], json!({"size": 1, "color": "red"}));
    assert_eq!(owned(&less, "me"), json!({"f:spec": {"f:size": {}}}));
}

async fn map_list(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    apply(&api, "me", json!({"parts": [{"name": "a", "count": 1}]})).await.unwrap();
    let both = apply(&api, "you", json!({"parts": [{"name": "b", "count": 2}]})).await.unwrap();
    let names = |object: &DynamicObject| -> Vec<String> {
        let parts = object.data["spec"]["parts"].as_array().cloned().unwrap_or_default();
        let mut names: Vec<String> = parts.iter().map(|part| part["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&both), ["a", "b"]);
    let message = sentence(apply(&api, "you", json!({"parts": [{"name": "a", "count": 9}]})).await, 409, "Conflict");
    assert_eq!(message, "Apply failed with 1 conflict: conflict with \"me\": .spec.parts[name=\"a\"].count");
    let without = apply(&api, "me", json!({"parts": []})).await.unwrap();
    assert_eq!(names(&without), ["b"]);
}

async fn atomic(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    apply(&api, "me", json!({"raw": {"list": [1, 2]}})).await.unwrap();
    let message = sentence(apply(&api, "you", json!({"raw": {"list": [2]}})).await, 409, "Conflict");
    assert_eq!(message, "Apply failed with 1 conflict: conflict with \"me\": .spec.raw.list");
    let taken = force_apply(&api, "you", json!({"raw": {"list": [2]}})).await;
    assert_eq!(taken.data["spec"]["raw"], json!({"list": [2]}));
}

async fn update_takes(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    apply(&api, "me", json!({"size": 1, "color": "red"})).await.unwrap();
    let params = PatchParams { field_manager: Some("editor".to_owned()), ..PatchParams::default() };
    let edited = api.patch("a", &params, &Patch::Merge(json!({"spec": {"size": 2}}))).await.unwrap();
    assert_eq!(owned(&edited, "me"), json!({"f:spec": {"f:color": {}}}));
    assert_eq!(owned(&edited, "editor"), json!({"f:spec": {"f:size": {}}}));
    let message = sentence(apply(&api, "me", json!({"size": 1, "color": "red"})).await, 409, "Conflict");
    let start = "Apply failed with 1 conflict: conflict with \"editor\" using behaviours.test/v1";
    assert!(message.starts_with(start) && message.ends_with(": .spec.size"), "{message}");
}

async fn same_again(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let first = apply(&api, "me", json!({"size": 1, "parts": [{"name": "a"}]})).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let second = apply(&api, "me", json!({"size": 1, "parts": [{"name": "a"}]})).await.unwrap();
    assert_eq!(second, first);
}

async fn status(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    made(&api, "a", json!({"size": 1})).await;
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status});
    let body = |conditions: Value| {
        json!({
            "apiVersion": "behaviours.test/v1", "kind": "Widget", "metadata": {"name": "a"},
            "spec": {"size": 50}, "status": {"conditions": conditions},
        })
    };
    let put = |manager: &'static str, conditions: Value| {
        let (api, body) = (api.clone(), body(conditions));
        async move { api.patch_status("a", &PatchParams::apply(manager).force(), &Patch::Apply(body)).await.unwrap() }
    };
    put("one", json!([condition("A", "True")])).await;
    let both = put("two", json!([condition("B", "False")])).await;
    assert_eq!(both.data["status"]["conditions"], json!([condition("A", "True"), condition("B", "False")]));
    assert_eq!(both.data["spec"]["size"], 1, "the status endpoint leaves the spec alone");
    let entries = both.metadata.managed_fields.clone().unwrap();
    let one = entries.iter().find(|entry| entry.manager.as_deref() == Some("one")).unwrap();
    assert_eq!(one.subresource.as_deref(), Some("status"));
    let fields = json!({"f:status": {"f:conditions": {"k:{\"type\":\"A\"}": {".": {}, "f:status": {}, "f:type": {}}}}});
    assert_eq!(one.fields_v1.clone().unwrap().0, fields);
}

async fn stale(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let version = apply(&api, "me", json!({"size": 1})).await.unwrap().metadata.resource_version.unwrap();
    apply(&api, "me", json!({"size": 2})).await.unwrap();
    let mut body = applied(json!({"size": 3}));
    body["metadata"]["resourceVersion"] = json!(version);
    let result = api.patch("a", &PatchParams::apply("me"), &Patch::Apply(body)).await;
    let message = sentence(result, 409, "Conflict");
    assert!(message.ends_with("please apply your changes to the latest version and try again"), "{message}");
}

async fn manager(client: Client, namespace: String) {
    let path = format!("{}/a", super::widgets_path(&namespace));
    let media = [("content-type", "application/apply-patch+yaml")];
    let result = super::request::<Value>(&client, "PATCH", &path, &media, Some(&applied(json!({})))).await;
    assert_eq!(
        sentence(result, 422, "Invalid"),
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
    );
}

async fn undeclared(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let status = refused(apply(&api, "me", json!({"wheels": 4})).await);
    let message = "failed to create typed patch object (/a; behaviours.test/v1, Kind=Widget): .spec.wheels: field not \
                   declared in schema";
    assert_eq!((status.code, status.message.as_str()), (500, message));
}

async fn cleared(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    apply(&api, "me", json!({"size": 1})).await.unwrap();
    let patch = Patch::Merge(json!({"metadata": {"managedFields": [{}]}}));
    let patched = api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.metadata.managed_fields, None);
}

async fn config_map(client: Client, namespace: String) {
    let api = objects(&client, &namespace, "", "ConfigMap");
    let map =
        |data: Value| object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}));
    let put = |manager: &'static str, data: Value| {
        let (api, map) = (api.clone(), map(data));
        async move { api.patch("a", &PatchParams::apply(manager), &Patch::Apply(map)).await }
    };
    put("one", json!({"a": "1"})).await.unwrap();
    let both = put("two", json!({"b": "2"})).await.unwrap();
    assert_eq!(both.data["data"], json!({"a": "1", "b": "2"}));
    let message = sentence(put("two", json!({"a": "2"})).await, 409, "Conflict");
    assert_eq!(message, "Apply failed with 1 conflict: conflict with \"one\": .data.a");
}

async fn default_again(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    apply(&api, "me", json!({"size": 9, "color": "red"})).await.unwrap();
    let less = apply(&api, "me", json!({"color": "red"})).await.unwrap();
    assert_eq!(less.data["spec"], json!({"size": 3, "color": "red"}));
}

async fn edited(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let params = PostParams { field_manager: Some("maker".to_owned()), ..PostParams::default() };
    let mut created = api.create(&params, &super::widget("a", json!({"size": 1, "color": "red"}))).await.unwrap();
    assert_eq!(owned(&created, "maker"), json!({"f:spec": {".": {}, "f:color": {}, "f:size": {}}}));
    created.data["spec"]["color"] = json!("green");
    let params = PostParams { field_manager: Some("editor".to_owned()), ..PostParams::default() };
    let replaced = api.replace("a", &params, &created).await.unwrap();
    assert_eq!(owned(&replaced, "maker"), json!({"f:spec": {".": {}, "f:size": {}}}));
    assert_eq!(owned(&replaced, "editor"), json!({"f:spec": {"f:color": {}}}));
    let entries = replaced.metadata.managed_fields.unwrap();
    assert!(entries.iter().all(|entry| entry.operation.as_deref() == Some("Update")), "{entries:?}");
}

async fn no_managed_fields(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let created = apply(&api, "me", json!({"size": 1})).await.unwrap();
    let mut body = applied(json!({"size": 2}));
    body["metadata"]["managedFields"] = json!(created.metadata.managed_fields);
    let result = api.patch("a", &PatchParams::apply("me"), &Patch::Apply(body)).await;
    assert_eq!(sentence(result, 400, "BadRequest"), "metadata.managedFields must be nil");
}

async fn names_kind(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let mut body = applied(json!({"size": 2}));
    body["kind"] = json!("Gadget");
    assert_eq!(refused(api.patch("a", &PatchParams::apply("me"), &Patch::Apply(body)).await).code, 400);
    let mut body = applied(json!({"size": 2}));
    body["metadata"]["name"] = json!("b");
    let result = api.patch("a", &PatchParams::apply("me"), &Patch::Apply(body)).await;
    assert_eq!(
        sentence(result, 400, "BadRequest"),
        "the name of the object (b) does not match the name on the URL (a)"
    );
}
