//! create, get, update, and the two halves of an object: spec and status.

use kube::{
    Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::{Behaviour, made, object, objects, refused, request, sentence, widget, widgets, widgets_path};
use crate::behaviours;

pub fn list() -> Vec<Behaviour> {
    behaviours! {
        "create stamps uid, resourceVersion, generation 1 and creationTimestamp",
            "reference/using-api/api-concepts/", create_stamps;
        "create of a name that is taken is a conflict",
            "reference/using-api/api-concepts/", name_taken;
        "generateName makes a name",
            "reference/using-api/api-concepts/#generated-values", generated_name;
        "names are DNS subdomains",
            "concepts/overview/working-with-objects/names/", bad_name;
        "an object needs a name",
            "concepts/overview/working-with-objects/names/", no_name;
        "labels have a syntax",
            "concepts/overview/working-with-objects/labels/#syntax-and-character-set", bad_label;
        "an object of another namespace does not fit the path",
            "concepts/overview/working-with-objects/namespaces/", other_namespace;
        "a resourceVersion on create is refused",
            "reference/using-api/api-concepts/#resource-versions", version_on_create;
        "an object that is not there is not found",
            "reference/using-api/api-concepts/", not_found;
        "an update from an older version is a conflict",
            "reference/using-api/api-concepts/#resource-versions", stale_update;
        "an update of a custom object names its version",
            "reference/using-api/api-concepts/#resource-versions", update_without_version;
        "an update of a ConfigMap may leave the version out",
            "reference/using-api/api-concepts/#resource-versions", unconditional_update;
        "an update with another uid is a conflict",
            "concepts/overview/working-with-objects/names/#uids", other_uid;
        "an update keeps what the server stamped",
            "concepts/overview/working-with-objects/", stamps_stay;
        "an update that changes nothing makes no new version",
            "reference/using-api/api-concepts/#resource-versions", no_change;
        "the name in the path and in the object agree",
            "concepts/overview/working-with-objects/names/", name_in_path;
        "generation counts changes of the spec alone",
            "concepts/overview/working-with-objects/#object-spec-and-status", generation;
        "a dry run answers and stores nothing",
            "reference/using-api/api-concepts/#dry-run", dry_run;
        "create and update leave the status alone",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#status-subresource", status_apart;
        "the status endpoint changes nothing but the status",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#status-subresource", status_only;
        "the status of a missing object is not found",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#status-subresource", status_missing;
        "a kind that does not fit the path is refused",
            "reference/using-api/api-concepts/", wrong_kind;
        "a ConfigMap holds no more than a mebibyte",
            "concepts/configuration/configmap/", large_config_map;
        "what cannot be done to a resource is not allowed",
            "reference/using-api/api-concepts/#api-verbs", wrong_method;
        "a body that is no JSON is refused",
            "reference/using-api/api-concepts/#alternate-representations-of-resources", no_json;
        "the whole object changes hands through its version: of two who write at once, one is told",
            "reference/using-api/api-concepts/#resource-versions", one_of_two;
    }
}

async fn create_stamps(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let created = made(&api, "a", json!({"size": 1})).await;
    assert!(created.metadata.uid.is_some());
    assert!(created.metadata.resource_version.is_some());
    assert!(created.metadata.creation_timestamp.is_some());
    assert_eq!(created.metadata.generation, Some(1));
    assert_eq!(created.metadata.namespace.as_deref(), Some(namespace.as_str()));
    assert_eq!(created, api.get("a").await.unwrap());
}

async fn name_taken(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    made(&api, "a", json!({})).await;
    let again = api.create(&PostParams::default(), &widget("a", json!({}))).await;
    assert_eq!(sentence(again, 409, "AlreadyExists"), "widgets.behaviours.test \"a\" already exists");
}

async fn generated_name(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let mut nameless = widget("", json!({}));
    nameless.metadata.name = None;
    nameless.metadata.generate_name = Some("part-".to_owned());
    let name = api.create(&PostParams::default(), &nameless).await.unwrap().metadata.name.unwrap();
    assert!(name.starts_with("part-") && name.len() == "part-".len() + 5, "{name}");
}

async fn bad_name(client: Client, namespace: String) {
    let result = widgets(&client, &namespace).create(&PostParams::default(), &widget("A_b", json!({}))).await;
    assert_eq!(
        sentence(result, 422, "Invalid"),
        "Widget.behaviours.test \"A_b\" is invalid: metadata.name: Invalid value: \"A_b\": a lowercase RFC 1123 \
         subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an \
         alphanumeric character (e.g. 'example.com', regex used for validation is \
         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    );
}

async fn no_name(client: Client, namespace: String) {
    let mut nameless = widget("", json!({}));
    nameless.metadata.name = None;
    let result = widgets(&client, &namespace).create(&PostParams::default(), &nameless).await;
    let message = sentence(result, 422, "Invalid");
    let start =
        "Widget.behaviours.test \"\" is invalid: [metadata.name: Required value: name or generateName is required, ";
    assert!(message.starts_with(start), "{message}");
}

async fn bad_label(client: Client, namespace: String) {
    let mut labelled = widget("a", json!({}));
    labelled.metadata.labels = Some([("app".to_owned(), "a b".to_owned())].into());
    let result = widgets(&client, &namespace).create(&PostParams::default(), &labelled).await;
    let message = sentence(result, 422, "Invalid");
    assert!(
        message.contains("metadata.labels: Invalid value: \"a b\": a valid label must be an empty string or"),
        "{message}"
    );
}

async fn other_namespace(client: Client, namespace: String) {
    let mut elsewhere = widget("a", json!({}));
    elsewhere.metadata.namespace = Some("default".to_owned());
    let result = widgets(&client, &namespace).create(&PostParams::default(), &elsewhere).await;
    let message = sentence(result, 400, "BadRequest");
    assert_eq!(message, "the namespace of the provided object does not match the namespace sent on the request");
}

async fn version_on_create(client: Client, namespace: String) {
    let mut versioned = widget("a", json!({}));
    versioned.metadata.resource_version = Some("1".to_owned());
    let result = widgets(&client, &namespace).create(&PostParams::default(), &versioned).await;
    assert_eq!(refused(result).message, "resourceVersion should not be set on objects to be created");
}

async fn not_found(client: Client, namespace: String) {
    let result = widgets(&client, &namespace).get("a").await;
    assert_eq!(sentence(result, 404, "NotFound"), "widgets.behaviours.test \"a\" not found");
    let result = objects(&client, &namespace, "", "Pod").get("a").await;
    assert_eq!(sentence(result, 404, "NotFound"), "pods \"a\" not found");
}

async fn stale_update(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let mut first = made(&api, "a", json!({"size": 1})).await;
    let stale = first.clone();
    first.data["spec"]["size"] = json!(2);
    api.replace("a", &PostParams::default(), &first).await.unwrap();
    assert_eq!(
        sentence(api.replace("a", &PostParams::default(), &stale).await, 409, "Conflict"),
        "Operation cannot be fulfilled on widgets.behaviours.test \"a\": the object has been modified; please apply \
         your changes to the latest version and try again"
    );
}

async fn update_without_version(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    made(&api, "a", json!({"size": 1})).await;
    let result = api.replace("a", &PostParams::default(), &widget("a", json!({"size": 2}))).await;
    assert_eq!(
        sentence(result, 422, "Invalid"),
        "widgets.behaviours.test \"a\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for \
         an update"
    );
}

async fn unconditional_update(client: Client, namespace: String) {
    let api = objects(&client, &namespace, "", "ConfigMap");
    let map = |text: &str| {
        object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"key": text}}))
    };
    api.create(&PostParams::default(), &map("one")).await.unwrap();
    let updated = api.replace("a", &PostParams::default(), &map("two")).await.unwrap();
    assert_eq!(updated.data["data"]["key"], "two");
}

async fn other_uid(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let mut created = made(&api, "a", json!({"size": 1})).await;
    let uid = created.metadata.uid.replace("00000000-0000-4000-8000-000000000000".to_owned()).unwrap();
    let message = sentence(api.replace("a", &PostParams::default(), &created).await, 409, "Conflict");
    let why = format!("UID in precondition: 00000000-0000-4000-8000-000000000000, UID in object meta: {uid}");
    assert!(message.starts_with("Operation cannot be fulfilled on widgets.behaviours.test \"a\": "), "{message}");
    assert!(message.ends_with(&format!("Precondition failed: {why}")), "{message}");
}

async fn stamps_stay(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let created = made(&api, "a", json!({"size": 1})).await;
    let mut changed = created.clone();
    changed.metadata.creation_timestamp = None;
    changed.metadata.generation = Some(99);
    changed.metadata.uid = None;
    changed.data["spec"]["size"] = json!(2);
    let updated = api.replace("a", &PostParams::default(), &changed).await.unwrap();
    assert_eq!(updated.metadata.creation_timestamp, created.metadata.creation_timestamp);
    assert_eq!(updated.metadata.uid, created.metadata.uid);
    assert_eq!(updated.metadata.generation, Some(2));
    assert_ne!(updated.metadata.resource_version, created.metadata.resource_version);
}

async fn no_change(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let created = made(&api, "a", json!({"size": 1})).await;
    let updated = api.replace("a", &PostParams::default(), &created).await.unwrap();
    assert_eq!(updated.metadata.resource_version, created.metadata.resource_version);
    let patch = Patch::Merge(json!({"spec": {"size": 1}}));
    let patched = api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.metadata.resource_version, created.metadata.resource_version);
}

async fn name_in_path(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let created = made(&api, "a", json!({})).await;
    let path = format!("{}/b", widgets_path(&namespace));
    let body = serde_json::to_value(&created).unwrap();
    let result = request::<serde_json::Value>(&client, "PUT", &path, &[], Some(&body)).await;
    assert_eq!(
        sentence(result, 400, "BadRequest"),
        "the name of the object (a) does not match the name on the URL (b)"
    );
}

async fn generation(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    made(&api, "a", json!({"size": 1})).await;
    let mut found = Vec::new();
    for patch in [
        json!({"metadata": {"labels": {"x": "y"}}}),
        json!({"spec": {"size": 2}}),
        json!({"status": {"phase": "ignored"}}),
        json!({"spec": {"size": 2}}),
        json!({"spec": {"size": 3}}),
    ] {
        let patched = api.patch("a", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        found.push(patched.metadata.generation.unwrap());
    }
    let status = Patch::Merge(json!({"status": {"phase": "kept"}}));
    found.push(api.patch_status("a", &PatchParams::default(), &status).await.unwrap().metadata.generation.unwrap());
    assert_eq!(found, [1, 2, 2, 2, 3, 3]);
}

async fn dry_run(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let answer = api.create(&dry, &widget("a", json!({}))).await.unwrap();
    assert!(answer.metadata.uid.is_some());
    assert_eq!(answer.data["spec"]["size"], 3, "the answer has its defaults");
    assert_eq!(refused(api.get("a").await).code, 404);
    let created = made(&api, "a", json!({})).await;
    let patch = Patch::Merge(json!({"spec": {"size": 9}}));
    let answer = api.patch("a", &PatchParams { dry_run: true, ..PatchParams::default() }, &patch).await.unwrap();
    assert_eq!(answer.data["spec"]["size"], 9);
    assert_eq!(api.get("a").await.unwrap(), created);
}

async fn status_apart(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let mut born = widget("a", json!({}));
    born.data["status"] = json!({"phase": "early"});
    let mut created = api.create(&PostParams::default(), &born).await.unwrap();
    assert_eq!(created.data.get("status"), None);
    let status = Patch::Merge(json!({"status": {"phase": "true"}}));
    created.metadata.resource_version =
        api.patch_status("a", &PatchParams::default(), &status).await.unwrap().metadata.resource_version;
    created.data["status"] = json!({"phase": "forged"});
    created.data["spec"]["size"] = json!(8);
    let updated = api.replace("a", &PostParams::default(), &created).await.unwrap();
    assert_eq!((&updated.data["spec"]["size"], &updated.data["status"]["phase"]), (&json!(8), &json!("true")));
}

async fn status_only(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let mut created = made(&api, "a", json!({"size": 1})).await;
    created.data["spec"]["size"] = json!(8);
    created.data["status"] = json!({"phase": "new"});
    created.metadata.labels = Some([("x".to_owned(), "y".to_owned())].into());
    let updated = api.replace_status("a", &PostParams::default(), &created).await.unwrap();
    assert_eq!((&updated.data["spec"]["size"], &updated.data["status"]["phase"]), (&json!(1), &json!("new")));
    assert_eq!(updated.metadata.labels, None);
    assert_eq!(updated.metadata.generation, Some(1));
}

async fn status_missing(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let status = Patch::Merge(json!({"status": {"phase": "x"}}));
    let result = api.patch_status("a", &PatchParams::default(), &status).await;
    assert_eq!(sentence(result, 404, "NotFound"), "widgets.behaviours.test \"a\" not found");
    let body = json!({"apiVersion": "behaviours.test/v1", "kind": "Widget", "metadata": {"name": "a"}, "status": {"phase": "x"}});
    let result = api.patch_status("a", &PatchParams::apply("me"), &Patch::Apply(body)).await;
    assert_eq!(sentence(result, 404, "NotFound"), "widgets.behaviours.test \"a\" not found");
}

async fn wrong_kind(client: Client, namespace: String) {
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let result = request::<serde_json::Value>(&client, "POST", &widgets_path(&namespace), &[], Some(&body)).await;
    let message = sentence(result, 400, "BadRequest");
    assert!(message.contains("does not match the expected API version (behaviours.test/v1)"), "{message}");
}

async fn large_config_map(client: Client, namespace: String) {
    let api = objects(&client, &namespace, "", "ConfigMap");
    let map = |size: usize| {
        let data = json!({"text": "x".repeat(size - 4)});
        object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}))
    };
    let result = api.create(&PostParams::default(), &map(1024 * 1024 + 5)).await;
    assert_eq!(
        sentence(result, 422, "Invalid"),
        "ConfigMap \"a\" is invalid: []: Too long: may not be more than 1048576 bytes"
    );
    api.create(&PostParams::default(), &map(1024 * 1024)).await.unwrap();
}

async fn wrong_method(client: Client, namespace: String) {
    let maps = format!("/api/v1/namespaces/{namespace}/configmaps");
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    for (method, path) in [("POST", format!("{maps}/a")), ("PUT", maps)] {
        let result = request::<serde_json::Value>(&client, method, &path, &[], Some(&body)).await;
        assert_eq!(
            sentence(result, 405, "MethodNotAllowed"),
            "the server does not allow this method on the requested resource",
            "{method} {path}"
        );
    }
}

async fn no_json(client: Client, namespace: String) {
    let create = http::Request::post(widgets_path(&namespace)).header("content-type", "application/json");
    let result = client.request::<serde_json::Value>(create.body(b"{\"kind\": ".to_vec()).unwrap()).await;
    let status = refused(result);
    assert_eq!((status.code, status.reason.as_str()), (400, "BadRequest"), "{status:?}");
}

async fn one_of_two(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let mut found = made(&api, "a", json!({"size": 0})).await;
    for round in 1..=10 {
        let edited = |size: i32| {
            let mut edited = found.clone();
            edited.data["spec"]["size"] = json!(size);
            edited
        };
        let (one, other) = (edited(round), edited(50 + round));
        let params = PostParams::default();
        let (one, other) = futures::join!(api.replace("a", &params, &one), api.replace("a", &params, &other));
        let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
        found = won.unwrap();
        sentence(lost, 409, "Conflict");
        assert_eq!(api.get("a").await.unwrap(), found);
    }
}
