//! OpenAPI v3, as far as kubectl asks for it: `explain`, and whether the server validates fields.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value, json};

use super::{
    Outcome,
    object::{as_map, child_mut},
    render::text,
    resource::{Resource, View},
    status::Status,
    store::State,
};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The list of documents: one for each group and version.
pub(super) fn index(state: &State) -> Outcome {
    let mut paths = Map::new();
    for resource in state.registry.all() {
        let place = place(&resource.group, &resource.version);
        if !paths.contains_key(&place) {
            // kubectl keeps a document for ever under its address, so the address changes with the content.
            let mut hasher = DefaultHasher::new();
            document_of(state, &resource.group, &resource.version).to_string().hash(&mut hasher);
            let url = format!("/openapi/v3/{place}?hash={:016X}", hasher.finish());
            paths.insert(place, json!({ "serverRelativeURL": url }));
        }
    }
    Outcome::json(200, text(&json!({ "paths": paths })))
}

/// The document of a group and version.
pub(super) fn document(state: &State, group: &str, version: &str) -> Result<Outcome, Status> {
    if !state.registry.all().any(|resource| resource.group == group && resource.version == version) {
        return Err(Status::page_not_found());
    }
    Ok(Outcome::json(200, text(&document_of(state, group, version))))
}

fn place(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

fn document_of(state: &State, group: &str, version: &str) -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    schemas.insert(OBJECT_META.to_owned(), object_meta());
    for resource in state.registry.all().filter(|resource| resource.group == group && resource.version == version) {
        let base = place(group, version);
        let scope = if resource.namespaced { "namespaces/{namespace}/" } else { "" };
        let collection = format!("/{base}/{scope}{}", resource.plural);
        let schema = schema_name(resource);
        if resource.view != View::Review {
            paths.insert(format!("{collection}/{{name}}"), item_operations(resource, &schema));
        }
        paths.insert(collection, collection_operations(resource, &schema));
        schemas.insert(schema, schema_of(resource));
    }
    json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": "v1.37.0" },
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

/// `dev.automl.v1alpha1.Experiment`
fn schema_name(resource: &Resource) -> String {
    let group = if resource.group.is_empty() { "core" } else { &resource.group };
    let reversed: Vec<&str> = group.split('.').rev().collect();
    format!("{}.{}.{}", reversed.join("."), resource.version, resource.kind)
}

fn kind_of(resource: &Resource) -> Value {
    json!({ "group": resource.group, "version": resource.version, "kind": resource.kind })
}

fn operation(resource: &Resource, action: &str, schema: &str, parameters: &[&str]) -> Value {
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|name| json!({ "name": name, "in": "query", "schema": { "type": "string", "uniqueItems": true } }))
        .collect();
    let content = json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } } });
    json!({
        "operationId": format!("{action}{}{}", resource.version, resource.kind),
        "parameters": parameters,
        "responses": { "200": { "description": "OK", "content": content } },
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": kind_of(resource),
    })
}

const WRITE: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "pretty"];
const PATCH: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force", "pretty"];

fn item_operations(resource: &Resource, schema: &str) -> Value {
    json!({
        "get": operation(resource, "get", schema, &["pretty"]),
        "put": operation(resource, "put", schema, WRITE),
        "patch": operation(resource, "patch", schema, PATCH),
        "delete": operation(resource, "delete", schema, &["dryRun", "propagationPolicy", "gracePeriodSeconds"]),
    })
}

fn collection_operations(resource: &Resource, schema: &str) -> Value {
    let mut operations = json!({ "post": operation(resource, "post", schema, WRITE) });
    if resource.view != View::Review {
        operations["get"] =
            operation(resource, "list", schema, &["labelSelector", "fieldSelector", "limit", "continue", "watch"]);
    }
    operations
}

/// The schema of a kind; of a built-in kind no more than that its content is free.
fn schema_of(resource: &Resource) -> Value {
    let mut schema = match &resource.custom {
        Some(custom) => custom.document.clone(),
        None => json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }),
    };
    let map = as_map(&mut schema);
    map.insert("x-kubernetes-group-version-kind".to_owned(), json!([kind_of(resource)]));
    let properties = child_mut(map, "properties");
    let api_version = "APIVersion defines the versioned schema of this representation of an object.";
    let kind = "Kind is a string value representing the REST resource this object represents.";
    let metadata = "Standard object's metadata.";
    properties.insert("apiVersion".to_owned(), json!({ "type": "string", "description": api_version }));
    properties.insert("kind".to_owned(), json!({ "type": "string", "description": kind }));
    let reference = json!({ "$ref": format!("#/components/schemas/{OBJECT_META}") });
    properties.insert("metadata".to_owned(), json!({ "description": metadata, "default": {}, "allOf": [reference] }));
    schema
}

fn object_meta() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let map = |description: &str| json!({ "type": "object", "description": description, "additionalProperties": { "type": "string", "default": "" } });
    let list = |description: &str, items: Value| json!({ "type": "array", "description": description, "items": items });
    json!({
        "type": "object",
        "description": "ObjectMeta is metadata that all persisted resources must have.",
        "properties": {
            "name": text("The name, unique within the namespace."),
            "generateName": text("A prefix from which the server makes a name."),
            "namespace": text("The space in which names are unique."),
            "uid": text("Unique in time and space; set by the server."),
            "resourceVersion": text("The version of the object; set by the server."),
            "generation": { "type": "integer", "format": "int64", "description": "Counts changes of the desired state." },
            "creationTimestamp": text("When the object was made."),
            "deletionTimestamp": text("When the object is to go."),
            "deletionGracePeriodSeconds": { "type": "integer", "format": "int64", "description": "Seconds that it has left." },
            "labels": map("Names and values to select by."),
            "annotations": map("Names and values for tools and people."),
            "finalizers": list("Those who must act before the object goes.", json!({ "type": "string", "default": "" })),
            "ownerReferences": list("The objects that this one depends on.", json!({ "type": "object" })),
            "managedFields": list("Who set which field.", json!({ "type": "object" })),
        },
    })
}
