//! Strategic merge patch for the built-in kinds: lists of objects merge by a key, directives delete and replace.

use serde_json::{Map, Value};

use super::status::Status;

/// Key by which a list of objects merges, by the name of the list's field. Other lists are replaced.
const MERGE_KEYS: &[(&str, &str)] = &[
    ("conditions", "type"),
    ("containers", "name"),
    ("initContainers", "name"),
    ("ephemeralContainers", "name"),
    ("env", "name"),
    ("volumes", "name"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
    ("ports", "containerPort"),
    ("ownerReferences", "uid"),
    ("imagePullSecrets", "name"),
    ("secrets", "name"),
    ("hostAliases", "ip"),
    ("taints", "key"),
    ("addresses", "type"),
    ("topologySpreadConstraints", "topologyKey"),
    ("resourceClaims", "name"),
];

/// Lists of plain values that merge as sets.
const SETS: &[&str] = &["finalizers"];

/// Merges `patch` into `object`.
///
/// # Errors
/// A list of objects in the patch lacks its merge key, or a directive is unknown.
pub(super) fn merge(object: &mut Value, patch: &Value) -> Result<(), Status> {
    let Some(patch) = patch.as_object() else {
        *object = patch.clone();
        return Ok(());
    };
    match patch.get("$patch").and_then(Value::as_str) {
        None | Some("merge") => {}
        Some("replace") => {
            *object = without_directives(patch);
            return Ok(());
        }
        Some("delete") => {
            *object = Value::Null;
            return Ok(());
        }
        Some(other) => return Err(Status::bad_request(format!("Unknown patch type found: {other}"))),
    }
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Some(map) = object.as_object_mut() else { return Ok(()) };
    if let Some(kept) = patch.get("$retainKeys").and_then(Value::as_array) {
        map.retain(|key, _| kept.iter().any(|name| name == key.as_str()));
    }
    for (key, change) in patch {
        if let Some(field) = key.strip_prefix("$deleteFromPrimitiveList/") {
            if let Some(Value::Array(list)) = map.get_mut(field) {
                let gone = change.as_array().map(Vec::as_slice).unwrap_or_default();
                list.retain(|item| !gone.contains(item));
            }
        } else if key.starts_with('$') {
            // `$setElementOrder` only says how to sort; the order of the live list stays.
        } else {
            merge_field(map, key, change)?;
        }
    }
    Ok(())
}

fn merge_field(map: &mut Map<String, Value>, field: &str, change: &Value) -> Result<(), Status> {
    match change {
        Value::Null => {
            map.remove(field);
        }
        Value::Object(_) => {
            let slot = map.entry(field).or_insert(Value::Null);
            merge(slot, change)?;
            if slot.is_null() {
                map.remove(field);
            }
        }
        Value::Array(items) => {
            let slot = map.entry(field).or_insert_with(|| Value::Array(Vec::new()));
            merge_list(slot, field, items)?;
        }
        other => {
            map.insert(field.to_owned(), other.clone());
        }
    }
    Ok(())
}

fn merge_list(slot: &mut Value, field: &str, items: &[Value]) -> Result<(), Status> {
    if !slot.is_array() {
        *slot = Value::Array(Vec::new());
    }
    let Some(list) = slot.as_array_mut() else { return Ok(()) };
    if SETS.contains(&field) {
        for item in items {
            if !list.contains(item) {
                list.push(item.clone());
            }
        }
        return Ok(());
    }
    let merge_key = MERGE_KEYS.iter().find(|(name, _)| *name == field).map(|(_, key)| *key);
    let (Some(merge_key), true) = (merge_key, items.iter().all(Value::is_object)) else {
        *list = items.to_vec();
        return Ok(());
    };
    if items.iter().any(|item| item.get("$patch").is_some_and(|patch| patch == "replace")) {
        let plain = items.iter().filter(|item| item.get("$patch").is_none());
        *list = plain.cloned().collect();
        return Ok(());
    }
    for item in items {
        let Some(id) = item.get(merge_key) else {
            return Err(Status::bad_request(format!("map: {item} does not contain declared merge key: {merge_key}")));
        };
        let at = list.iter().position(|live| live.get(merge_key) == Some(id));
        if item.get("$patch").is_some_and(|patch| patch == "delete") {
            list.retain(|live| live.get(merge_key) != Some(id));
        } else if let Some(live) = at.and_then(|at| list.get_mut(at)) {
            merge(live, item)?;
        } else {
            let mut added = Value::Object(Map::new());
            merge(&mut added, item)?;
            list.push(added);
        }
    }
    Ok(())
}

fn without_directives(patch: &Map<String, Value>) -> Value {
    let plain = patch.iter().filter(|(key, _)| !key.starts_with('$'));
    Value::Object(plain.map(|(key, value)| (key.clone(), value.clone())).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merges_by_kind_of_field() {
        let table = [
            ("a map", json!({"a": {"b": 1}}), json!({"a": {"c": 2}}), json!({"a": {"b": 1, "c": 2}})),
            ("null removes", json!({"a": 1, "b": 2}), json!({"a": null}), json!({"b": 2})),
            ("a plain list is replaced", json!({"args": [1, 2]}), json!({"args": [3]}), json!({"args": [3]})),
            (
                "a keyed list merges",
                json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}),
                json!({"env": [{"name": "B", "value": "3"}, {"name": "C"}], "$setElementOrder/env": [{"name": "B"}]}),
                json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C"}]}),
            ),
            (
                "$patch: delete takes an item away",
                json!({"conditions": [{"type": "A"}, {"type": "B"}]}),
                json!({"conditions": [{"type": "A", "$patch": "delete"}]}),
                json!({"conditions": [{"type": "B"}]}),
            ),
            (
                "$patch: replace replaces",
                json!({"a": {"b": 1}, "env": [{"name": "A"}]}),
                json!({"a": {"$patch": "replace", "c": 2}, "env": [{"name": "B"}, {"$patch": "replace"}]}),
                json!({"a": {"c": 2}, "env": [{"name": "B"}]}),
            ),
            (
                "finalizers are a set",
                json!({"finalizers": ["a"]}),
                json!({"finalizers": ["b", "a"]}),
                json!({"finalizers": ["a", "b"]}),
            ),
            (
                "$deleteFromPrimitiveList",
                json!({"finalizers": ["a", "b"]}),
                json!({"$deleteFromPrimitiveList/finalizers": ["a"]}),
                json!({"finalizers": ["b"]}),
            ),
        ];
        for (name, mut object, patch, expected) in table {
            merge(&mut object, &patch).unwrap();
            assert_eq!(object, expected, "{name}");
        }
        assert!(merge(&mut json!({}), &json!({"env": [{"value": "1"}]})).is_err());
        assert!(merge(&mut json!({}), &json!({"$patch": "other"})).is_err());
    }
}
