//! Reading and writing the fields of `metadata` on raw objects.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::{Map, Value};

/// A stored version of an object. Never changed once stored, so its JSON text is made at most once.
#[derive(Debug)]
pub(super) struct Object {
    pub value: Arc<Value>,
    pub resource_version: u64,
    json: OnceLock<Bytes>,
}

impl Object {
    pub fn new(value: Value, resource_version: u64) -> Arc<Self> {
        Arc::new(Self { value: Arc::new(value), resource_version, json: OnceLock::new() })
    }

    /// The object's JSON text.
    pub fn json(&self) -> Bytes {
        self.json.get_or_init(|| Bytes::from(serde_json::to_vec(&*self.value).unwrap_or_default())).clone()
    }

    /// The length of that text, if it has been made.
    pub fn known_length(&self) -> Option<usize> {
        self.json.get().map(Bytes::len)
    }

    pub fn uid(&self) -> &str {
        uid(&self.value)
    }
}

pub(super) fn metadata(object: &Value) -> Option<&Map<String, Value>> {
    object.get("metadata").and_then(Value::as_object)
}

/// `metadata` as a mutable map; made if it is missing or no object.
pub(super) fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    child_mut(as_map(object), "metadata")
}

/// The value as a map; anything else is replaced by an empty one.
pub(super) fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("replaced by a map above"),
    }
}

/// The map under `key`; made if it is missing or no object.
pub(super) fn child_mut<'a>(map: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    as_map(map.entry(key).or_insert_with(|| Value::Object(Map::new())))
}

pub(super) fn meta_text<'a>(object: &'a Value, key: &str) -> &'a str {
    metadata(object).and_then(|meta| meta.get(key)).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn uid(object: &Value) -> &str {
    meta_text(object, "uid")
}

pub(super) fn name(object: &Value) -> &str {
    meta_text(object, "name")
}

pub(super) fn namespace(object: &Value) -> &str {
    meta_text(object, "namespace")
}

pub(super) fn generation(object: &Value) -> i64 {
    metadata(object).and_then(|meta| meta.get("generation")).and_then(Value::as_i64).unwrap_or_default()
}

pub(super) fn is_terminating(object: &Value) -> bool {
    !meta_text(object, "deletionTimestamp").is_empty()
}

pub(super) fn finalizers(object: &Value) -> Vec<&str> {
    let list = metadata(object).and_then(|meta| meta.get("finalizers")).and_then(Value::as_array);
    list.map(|items| items.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

pub(super) fn set_finalizers(object: &mut Value, finalizers: Vec<String>) {
    let meta = metadata_mut(object);
    if finalizers.is_empty() {
        meta.remove("finalizers");
    } else {
        meta.insert("finalizers".to_owned(), Value::from(finalizers));
    }
}

/// An entry of `ownerReferences`, as far as the collector needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner<'a> {
    pub uid: &'a str,
    pub block_owner_deletion: bool,
}

pub(super) fn owners(object: &Value) -> Vec<Owner<'_>> {
    let list = metadata(object).and_then(|meta| meta.get("ownerReferences")).and_then(Value::as_array);
    list.map(|items| {
        items
            .iter()
            .filter_map(|entry| {
                Some(Owner {
                    uid: entry.get("uid")?.as_str()?,
                    block_owner_deletion: entry.get("blockOwnerDeletion").and_then(Value::as_bool).unwrap_or(false),
                })
            })
            .collect()
    })
    .unwrap_or_default()
}

/// The value at a dotted path of plain field names, for instance `status.phase`.
pub(super) fn lookup<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(object, |value, key| value.get(key))
}
