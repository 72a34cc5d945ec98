//! How server-side apply sees a value: which maps and lists have parts of their own, and by what the parts are named.

use serde_json::{Map, Value, json};

use super::schema::{ListType, Schema};

/// The view of one node.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape<'a> {
    /// Below a schema of a custom kind.
    Schema(&'a Schema),
    /// The root of an object; its schema, if it is of a custom kind.
    Root(Option<&'a Schema>),
    /// The `metadata` of an object.
    Metadata,
    /// A field of a built-in kind, by its name.
    BuiltIn(&'a str),
    /// Anything: maps have parts, lists are whole.
    Untyped,
}

/// Lists of built-in kinds that merge by keys, with the default of the second key where there is one.
const MAP_LISTS: &[(&str, &[&str])] = &[
    ("conditions", &["type"]),
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("ephemeralContainers", &["name"]),
    ("env", &["name"]),
    ("volumes", &["name"]),
    ("volumeMounts", &["mountPath"]),
    ("volumeDevices", &["devicePath"]),
    ("ports", &["containerPort", "protocol"]),
    ("ownerReferences", &["uid"]),
    ("imagePullSecrets", &["name"]),
    ("secrets", &["name"]),
    ("hostAliases", &["ip"]),
    ("addresses", &["type"]),
    ("resourceClaims", &["name"]),
];

/// Maps of built-in kinds that are one value.
const ATOMIC_MAPS: &[&str] = &[
    "selector",
    "nodeSelector",
    "fieldRef",
    "resourceFieldRef",
    "secretKeyRef",
    "configMapKeyRef",
    "labelSelector",
    "involvedObject",
    "configMapRef",
    "secretRef",
];

impl<'a> Shape<'a> {
    /// The view of the value under `key`, and whether the key is a declared field (and no data of the user's).
    pub fn field(self, key: &'a str) -> (Shape<'a>, bool) {
        match self {
            Self::Root(_) if key == "metadata" => (Self::Metadata, true),
            Self::Root(Some(schema)) | Self::Schema(schema) => {
                if let Some(property) = schema.properties.get(key) {
                    (Self::Schema(property), true)
                } else if let Some(additional) = schema.additional.as_deref() {
                    (Self::Schema(additional), false)
                } else {
                    (Self::Untyped, false)
                }
            }
            Self::Root(None) | Self::BuiltIn(_) | Self::Metadata => (Self::BuiltIn(key), true),
            Self::Untyped => (Self::Untyped, false),
        }
    }

    pub fn items(self) -> Shape<'a> {
        match self {
            Self::Schema(schema) => schema.items.as_deref().map_or(Self::Untyped, Self::Schema),
            Self::BuiltIn(_) => Self::BuiltIn(""),
            _ => Self::Untyped,
        }
    }

    pub fn is_atomic_map(self) -> bool {
        match self {
            Self::Schema(schema) => schema.atomic_map,
            Self::BuiltIn(name) => ATOMIC_MAPS.contains(&name),
            _ => false,
        }
    }

    pub fn list_type(self) -> ListType {
        match self {
            Self::Schema(schema) => schema.list_type.clone(),
            Self::BuiltIn("finalizers") => ListType::Set,
            Self::BuiltIn(name) => MAP_LISTS
                .iter()
                .find(|(list, _)| *list == name)
                .map_or(ListType::Atomic, |(_, keys)| ListType::Map(keys.iter().map(|&key| key.to_owned()).collect())),
            _ => ListType::Atomic,
        }
    }

    /// The path element of an item; `None` if the list is atomic.
    pub fn element(self, item: &Value) -> Option<String> {
        match self.list_type() {
            ListType::Atomic => None,
            ListType::Set => Some(format!("v:{item}")),
            ListType::Map(keys) => {
                let item_shape = self.items();
                let keys: Map<String, Value> = keys
                    .into_iter()
                    .map(|key| {
                        let value = item.get(&key).cloned().unwrap_or_else(|| item_shape.default_of(&key));
                        (key, value)
                    })
                    .collect();
                Some(format!("k:{}", Value::Object(keys)))
            }
        }
    }

    fn default_of(self, key: &str) -> Value {
        match self {
            Self::Schema(schema) => {
                schema.properties.get(key).and_then(|property| property.default.clone()).unwrap_or(Value::Null)
            }
            _ if key == "protocol" => json!("TCP"),
            _ => Value::Null,
        }
    }
}
