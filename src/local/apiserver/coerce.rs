//! Bringing an object into the shape of its schema: unknown fields go, defaults come in.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::schema::Schema;

/// The fields of `ObjectMeta`.
const OBJECT_META: &[&str] = &[
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

/// The fields that every object has, whatever its schema says.
const TYPE_META: &[&str] = &["apiVersion", "kind", "metadata"];

/// Takes away the fields that the schema does not know, and nulls where none may be. Returns the paths of the unknown
/// fields, sorted.
pub(super) fn prune(object: &mut Value, schema: &Schema) -> Vec<String> {
    let mut unknown = Vec::new();
    if let Some(map) = object.as_object_mut() {
        let mut path = String::new();
        if let Some(metadata) = map.get_mut("metadata") {
            prune_metadata(metadata, "metadata", &mut unknown);
        }
        prune_map(map, schema, true, &mut path, &mut unknown);
        for (key, value) in map.iter_mut().filter(|(key, _)| !TYPE_META.contains(&key.as_str())) {
            if let Some(below) = schema.field(key) {
                drop_nulls(value, below);
            }
        }
    }
    unknown.sort();
    unknown
}

fn prune_metadata(metadata: &mut Value, path: &str, unknown: &mut Vec<String>) {
    if let Some(map) = metadata.as_object_mut() {
        map.retain(|key, value| {
            let known = OBJECT_META.contains(&key.as_str());
            if !known {
                unknown.push(format!("{path}.{key}"));
            }
            known && !value.is_null()
        });
    }
}

fn prune_value(value: &mut Value, schema: Option<&Schema>, path: &mut String, unknown: &mut Vec<String>) {
    let schema = match schema {
        // No schema for this place: nothing of it is known.
        None => {
            if let Some(map) = value.as_object_mut() {
                unknown.extend(map.keys().map(|key| joined(path, key)));
                map.clear();
            }
            if let Some(items) = value.as_array_mut() {
                each(items, path, |item, path| prune_value(item, None, path, unknown));
            }
            return;
        }
        Some(schema) => schema,
    };
    match value {
        Value::Object(map) => prune_map(map, schema, false, path, unknown),
        Value::Array(items) => {
            let below = schema.items.as_deref();
            if schema.preserve_unknown && below.is_none() {
                return;
            }
            each(items, path, |item, path| prune_value(item, below, path, unknown));
        }
        _ => {}
    }
}

fn prune_map(map: &mut Map<String, Value>, schema: &Schema, root: bool, path: &mut String, unknown: &mut Vec<String>) {
    let embedded = root || schema.embedded_resource;
    if embedded
        && !root
        && let Some(metadata) = map.get_mut("metadata")
    {
        prune_metadata(metadata, &joined(path, "metadata"), unknown);
    }
    map.retain(|key, value| {
        if embedded && TYPE_META.contains(&key.as_str()) {
            return true;
        }
        let below = schema.field(key);
        if below.is_none() && !schema.allows_additional {
            if !schema.preserve_unknown {
                unknown.push(joined(path, key));
            }
            return schema.preserve_unknown;
        }
        if below.is_some() {
            let length = path.len();
            push_key(path, key);
            prune_value(value, below, path, unknown);
            path.truncate(length);
        }
        true
    });
}

fn each(items: &mut [Value], path: &mut String, mut visit: impl FnMut(&mut Value, &mut String)) {
    for (at, item) in items.iter_mut().enumerate() {
        let length = path.len();
        // Writing to a String does not fail.
        let _ = write!(path, "[{at}]");
        visit(item, path);
        path.truncate(length);
    }
}

fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

fn joined(path: &str, key: &str) -> String {
    let mut joined = path.to_owned();
    push_key(&mut joined, key);
    joined
}

/// Takes away nulls that the schema neither allows nor replaces by a default.
fn drop_nulls(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(map) => map.retain(|key, value| {
            let Some(below) = schema.field(key) else { return true };
            if value.is_null() {
                return below.nullable || below.default.is_some();
            }
            drop_nulls(value, below);
            true
        }),
        Value::Array(items) => {
            if let Some(below) = schema.items.as_deref() {
                items.iter_mut().for_each(|item| drop_nulls(item, below));
            }
        }
        _ => {}
    }
}

/// Fills in the defaults of the schema.
pub(super) fn set_defaults(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(map) => {
            for (key, below) in &schema.properties {
                let Some(default) = &below.default else { continue };
                let missing = map.get(key).is_none_or(|value| value.is_null() && !below.nullable);
                if missing {
                    map.insert(key.clone(), default.clone());
                }
            }
            for (key, value) in map.iter_mut() {
                if let Some(below) = schema.field(key) {
                    replace_null(value, below);
                    set_defaults(value, below);
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = schema.items.as_deref() {
                for item in items {
                    replace_null(item, below);
                    set_defaults(item, below);
                }
            }
        }
        _ => {}
    }
}

fn replace_null(value: &mut Value, schema: &Schema) {
    if value.is_null()
        && !schema.nullable
        && let Some(default) = &schema.default
    {
        *value = default.clone();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Schema {
        Schema::compile(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "a": {"type": "integer", "default": 1},
            "list": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "string"}, "d": {"type": "integer", "default": 2}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"x": {"type": "string"}}}},
            "raw": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    "properties": {"known": {"type": "object", "properties": {"y": {"type": "string"}}}}},
            "null": {"type": "string", "nullable": true},
            "plain": {"type": "string"},
            "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
        }}}}))
    }

    #[test]
    fn unknown_fields_go_and_are_named() {
        let mut object = json!({
            "apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n", "colour": "red"},
            "extra": 1,
            "spec": {
                "b": 1, "list": [{"n": "x", "z": 1}], "map": {"k": {"x": "1", "w": 2}},
                "raw": {"free": {"deep": 1}, "known": {"y": "1", "v": 2}},
                "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "t", "bad": 1}, "spec": {"any": 1}},
            },
        });
        let unknown = prune(&mut object, &schema());
        assert_eq!(
            unknown,
            [
                "extra",
                "metadata.colour",
                "spec.b",
                "spec.list[0].z",
                "spec.map.k.w",
                "spec.raw.known.v",
                "spec.template.metadata.bad",
            ]
        );
        assert_eq!(
            object,
            json!({
                "apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n"},
                "spec": {
                    "list": [{"n": "x"}], "map": {"k": {"x": "1"}},
                    "raw": {"free": {"deep": 1}, "known": {"y": "1"}},
                    "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "t"}, "spec": {"any": 1}},
                },
            })
        );
    }

    #[test]
    fn defaults_fill_what_is_missing_or_null() {
        let table = [
            (json!({"spec": {}}), json!({"spec": {"a": 1}})),
            (json!({"spec": {"a": 5}}), json!({"spec": {"a": 5}})),
            (json!({"spec": {"a": null}}), json!({"spec": {"a": 1}})),
            (json!({"spec": {"plain": null, "null": null}}), json!({"spec": {"a": 1, "null": null}})),
            (json!({"spec": {"list": [{"n": "x"}]}}), json!({"spec": {"a": 1, "list": [{"n": "x", "d": 2}]}})),
            (json!({}), json!({})),
        ];
        for (mut object, expected) in table {
            prune(&mut object, &schema());
            set_defaults(&mut object, &schema());
            assert_eq!(object, expected);
        }
    }
}
