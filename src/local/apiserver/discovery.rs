//! Which groups, versions and resources there are.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Outcome, openapi,
    render::text,
    request::{Accept, Request},
    resource::{Resource, View},
    status::Status,
    store::State,
};

/// The version of Kubernetes whose behaviour this server follows.
const MAJOR: &str = "1";
const MINOR: &str = "37";

/// Serves every path that names no resource.
pub(super) fn serve(state: &State, request: &Request) -> Result<Outcome, Status> {
    let path = request.path().trim_end_matches('/');
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        ["version"] => Ok(json_outcome(&version())),
        ["healthz" | "livez" | "readyz", ..] => Ok(Outcome::typed("text/plain; charset=utf-8", "ok".into())),
        ["api"] if request.accept == Accept::Discovery => Ok(aggregated(state, true)),
        ["apis"] if request.accept == Accept::Discovery => Ok(aggregated(state, false)),
        ["api"] => {
            Ok(json_outcome(&json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] })))
        }
        ["apis"] => {
            let groups: Vec<Value> = groups(state).iter().filter(|(name, _)| !name.is_empty()).map(group).collect();
            Ok(json_outcome(&json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })))
        }
        ["apis", name] => {
            let groups = groups(state);
            let found = groups.get_key_value(*name).ok_or_else(Status::page_not_found)?;
            let mut found = group(found);
            found["kind"] = json!("APIGroup");
            found["apiVersion"] = json!("v1");
            Ok(json_outcome(&found))
        }
        ["openapi", "v3"] => Ok(openapi::index(state)),
        ["openapi", "v3", "api", version] => openapi::document(state, "", version),
        ["openapi", "v3", "apis", group, version] => openapi::document(state, group, version),
        ["api", version] => resources(state, "", version),
        ["apis", group, version] => resources(state, group, version),
        _ => Err(Status::page_not_found()),
    }
}

fn json_outcome(value: &Value) -> Outcome {
    Outcome::json(200, text(value))
}

fn version() -> Value {
    json!({
        "major": MAJOR, "minor": MINOR, "gitVersion": format!("v{MAJOR}.{MINOR}.0+automl"),
        "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "",
        "compiler": "rustc", "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// Versions by group.
fn groups(state: &State) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for resource in state.registry.all() {
        let versions = groups.entry(resource.group.clone()).or_default();
        if !versions.contains(&resource.version) {
            versions.push(resource.version.clone());
        }
    }
    groups
}

fn group((name, versions): (&String, &Vec<String>)) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| json!({ "groupVersion": format!("{name}/{version}"), "version": version }))
        .collect();
    json!({ "name": name, "versions": versions, "preferredVersion": versions.first() })
}

fn verbs(resource: &Resource) -> Value {
    match resource.view {
        View::Review => json!(["create"]),
        _ => json!(["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]),
    }
}

fn resources(state: &State, group: &str, version: &str) -> Result<Outcome, Status> {
    let mut list = Vec::new();
    let served = |resource: &&std::sync::Arc<Resource>| resource.group == group && resource.version == version;
    for resource in state.registry.all().filter(served) {
        let mut entry = json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": verbs(resource),
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = json!(resource.short_names);
        }
        if !resource.categories.is_empty() {
            entry["categories"] = json!(resource.categories);
        }
        list.push(entry);
        if resource.status_subresource {
            list.push(json!({
                "name": format!("{}/status", resource.plural), "singularName": "", "namespaced": resource.namespaced,
                "kind": resource.kind, "verbs": ["get", "patch", "update"],
            }));
        }
    }
    if list.is_empty() {
        return Err(Status::page_not_found());
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Ok(json_outcome(&json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list,
    })))
}

/// Everything in one answer (`apidiscovery.k8s.io/v2`).
fn aggregated(state: &State, core: bool) -> Outcome {
    let mut items = Vec::new();
    for (name, versions) in groups(state).iter().filter(|(name, _)| name.is_empty() == core) {
        let versions: Vec<Value> = versions
            .iter()
            .map(|version| {
                let served =
                    |resource: &&std::sync::Arc<Resource>| resource.group == *name && resource.version == *version;
                let resources: Vec<Value> =
                    state.registry.all().filter(served).map(|resource| aggregated_resource(resource)).collect();
                json!({ "version": version, "freshness": "Current", "resources": resources })
            })
            .collect();
        let metadata = if name.is_empty() { json!({}) } else { json!({ "name": name }) };
        items.push(json!({ "metadata": metadata, "versions": versions }));
    }
    let list = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    });
    Outcome::typed("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", text(&list))
}

fn aggregated_resource(resource: &Resource) -> Value {
    let kind = json!({ "group": resource.group, "version": resource.version, "kind": resource.kind });
    let mut entry = json!({
        "resource": resource.plural, "responseKind": kind, "singularResource": resource.singular,
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" }, "verbs": verbs(resource),
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    if resource.status_subresource {
        entry["subresources"] =
            json!([{ "subresource": "status", "responseKind": kind, "verbs": ["get", "patch", "update"] }]);
    }
    entry
}
