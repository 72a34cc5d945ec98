//! `metadata.managedFields`: who set which field.
//!
//! The rules are those of structured-merge-diff: an update takes the fields that it changes, an apply owns what it
//! names, removed fields belong to nobody.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::{fieldset::FieldSet, object, shape::Shape};

/// An entry of `managedFields`.
#[derive(Clone, Debug)]
pub(super) struct Manager {
    pub name: String,
    /// `Apply` or `Update`.
    pub operation: &'static str,
    pub api_version: String,
    pub subresource: String,
    pub time: String,
    pub fields: FieldSet,
}

impl Manager {
    /// Whether both stand for the same writer.
    pub fn is_same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.operation == other.operation
            && self.api_version == other.api_version
            && self.subresource == other.subresource
    }

    /// As a conflict names it.
    pub fn words(&self) -> String {
        let mut words = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            words.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == "Update" {
            words.push_str(&format!(" using {}", self.api_version));
            if !self.time.is_empty() {
                words.push_str(&format!(" at {}", self.time));
            }
        }
        words
    }

    fn parse(entry: &Value) -> Option<Self> {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let operation = match text("operation").as_str() {
            "Apply" => "Apply",
            "Update" => "Update",
            _ => return None,
        };
        Some(Self {
            name: text("manager"),
            operation,
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: text("time"),
            fields: FieldSet::parse(entry.get("fieldsV1")?),
        })
    }

    fn to_json(&self) -> Value {
        let mut entry = json!({
            "manager": self.name, "operation": self.operation, "apiVersion": self.api_version, "time": self.time,
            "fieldsType": "FieldsV1", "fieldsV1": self.fields.to_json(),
        });
        if !self.subresource.is_empty() {
            object::as_map(&mut entry).insert("subresource".to_owned(), json!(self.subresource));
        }
        entry
    }
}

/// The managers of an object.
pub(super) fn parse(object: &Value) -> Vec<Manager> {
    let list = object::metadata(object).and_then(|meta| meta.get("managedFields")).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Manager::parse).collect()
}

/// Whether a request asks to forget all managers: `managedFields: [{}]`.
pub(super) fn is_reset(object: &Value) -> bool {
    let list = object::metadata(object).and_then(|meta| meta.get("managedFields")).and_then(Value::as_array);
    list.is_some_and(|list| matches!(list.as_slice(), [Value::Object(entry)] if entry.is_empty()))
}

/// Writes `managedFields`, in the order that Kubernetes keeps.
pub(super) fn to_json(mut managers: Vec<Manager>) -> Value {
    managers.retain(|manager| !manager.fields.is_empty());
    managers.sort_by(|a, b| {
        let order = a.operation.cmp(b.operation).then_with(|| a.time.cmp(&b.time)).then_with(|| a.name.cmp(&b.name));
        order.then_with(|| a.api_version.cmp(&b.api_version)).then_with(|| a.subresource.cmp(&b.subresource))
    });
    Value::Array(managers.iter().map(Manager::to_json).collect())
}

/// What differs between two objects.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// Added and modified.
    pub changed: FieldSet,
    pub removed: FieldSet,
}

impl Comparison {
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }

    /// Leaves only the fields that an endpoint may own: the status on `/status`, everything else on the object.
    pub fn restrict(mut self, subresource: &str, has_status: bool) -> Self {
        self.changed = restricted(self.changed, subresource, has_status);
        self.removed = restricted(self.removed, subresource, has_status);
        self
    }
}

pub(super) fn restricted(mut fields: FieldSet, subresource: &str, has_status: bool) -> FieldSet {
    if subresource == "status" {
        fields.children.retain(|element, _| element == "f:status");
    } else if has_status {
        fields.children.remove("f:status");
    }
    fields
}

/// Compares two objects; `metadata` without the server's own fields.
pub(super) fn compare(old: &Value, new: &Value, shape: Shape<'_>) -> Comparison {
    let mut comparison = Comparison::default();
    let (changed, removed) = compare_maps(old.as_object(), new.as_object(), shape, true);
    comparison.changed = changed;
    comparison.removed = removed;
    comparison
}

/// The fields of `metadata` that belong to the server, and those that only name the object.
const UNMANAGED: &[&str] = &[
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "generation",
    "managedFields",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

fn is_unmanaged(shape: Shape<'_>, key: &str) -> bool {
    match shape {
        Shape::Root(_) => matches!(key, "apiVersion" | "kind"),
        Shape::Metadata => UNMANAGED.contains(&key),
        _ => false,
    }
}

fn compare_maps(
    old: Option<&Map<String, Value>>,
    new: Option<&Map<String, Value>>,
    shape: Shape<'_>,
    both: bool,
) -> (FieldSet, FieldSet) {
    let (mut changed, mut removed) = (FieldSet::default(), FieldSet::default());
    let empty = Map::new();
    let (old_map, new_map) = (old.unwrap_or(&empty), new.unwrap_or(&empty));
    let keys = new_map.keys().chain(old_map.keys().filter(|key| !new_map.contains_key(*key)));
    for key in keys.filter(|key| !is_unmanaged(shape, key)) {
        let (added, gone) = compare_values(old_map.get(key), new_map.get(key), shape.field(key).0);
        changed.insert(format!("f:{key}"), added);
        removed.insert(format!("f:{key}"), gone);
    }
    if !both && !matches!(shape, Shape::Metadata | Shape::Root(_)) {
        changed.member = old.is_none();
        removed.member = new.is_none();
    }
    (changed, removed)
}

/// What is (added or modified, removed) at and below a node. At least one side is there.
fn compare_values(old: Option<&Value>, new: Option<&Value>, shape: Shape<'_>) -> (FieldSet, FieldSet) {
    if old == new {
        return Default::default();
    }
    let leaf = || match (old, new) {
        (Some(_), None) => (FieldSet::default(), FieldSet::leaf()),
        _ => (FieldSet::leaf(), FieldSet::default()),
    };
    let map = |value: Option<&'_ Value>| value.is_none_or(|value| value.is_object());
    let list = |value: Option<&'_ Value>| value.is_none_or(|value| value.is_array());
    if map(old) && map(new) && !shape.is_atomic_map() {
        let (old, new) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
        if old.is_none_or(Map::is_empty) && new.is_none_or(Map::is_empty) {
            return leaf();
        }
        return compare_maps(old, new, shape, old.is_some() && new.is_some());
    }
    if list(old) && list(new) {
        let (old_items, new_items) = (old.and_then(Value::as_array), new.and_then(Value::as_array));
        let nothing = old_items.is_none_or(Vec::is_empty) && new_items.is_none_or(Vec::is_empty);
        if shape.list_type() == super::schema::ListType::Atomic || nothing {
            return leaf();
        }
        return compare_lists(
            old_items.map_or(&[], Vec::as_slice),
            new_items.map_or(&[], Vec::as_slice),
            shape,
            old.is_none(),
            new.is_none(),
        );
    }
    // A different type: the old goes with all below it, the new comes.
    let (mut changed, mut removed) = leaf();
    if let (Some(old), Some(new)) = (old, new)
        && [old, new].iter().any(|value| value.is_object() || value.is_array())
    {
        removed.union(&compare_values(Some(old), None, shape).1);
        changed.union(&compare_values(None, Some(new), shape).0);
    }
    (changed, removed)
}

fn compare_lists(old: &[Value], new: &[Value], shape: Shape<'_>, added: bool, gone: bool) -> (FieldSet, FieldSet) {
    let mut changed = FieldSet { member: added, ..FieldSet::default() };
    let mut removed = FieldSet { member: gone, ..FieldSet::default() };
    let named = |items: &'_ [Value]| -> Vec<(String, Value)> {
        items.iter().filter_map(|item| Some((shape.element(item)?, item.clone()))).collect()
    };
    let (old, new) = (named(old), named(new));
    let find = |items: &[(String, Value)], element: &str| items.iter().position(|(name, _)| name == element);
    for (element, item) in &new {
        let before = find(&old, element).and_then(|at| old.get(at)).map(|(_, item)| item);
        let (added, gone) = compare_values(before, Some(item), shape.items());
        changed.insert(element.clone(), added);
        removed.insert(element.clone(), gone);
    }
    for (element, item) in old.iter().filter(|(element, _)| find(&new, element).is_none()) {
        removed.insert(element.clone(), compare_values(Some(item), None, shape.items()).1);
    }
    (changed, removed)
}

/// The set of fields that a configuration names.
pub(super) fn field_set(value: &Value, shape: Shape<'_>) -> FieldSet {
    let mut set = FieldSet::default();
    match value {
        Value::Object(map) if !shape.is_atomic_map() => {
            for (key, below) in map.iter().filter(|(key, _)| !is_unmanaged(shape, key)) {
                let (below_shape, declared) = shape.field(key);
                let mut child = field_set(below, below_shape);
                let empty = below.is_null() || below.as_object().is_some_and(Map::is_empty);
                child.member |= empty || !declared;
                set.insert(format!("f:{key}"), child);
            }
        }
        Value::Array(items) if shape.list_type() != super::schema::ListType::Atomic => {
            for item in items {
                let mut child = field_set(item, shape.items());
                child.member = true;
                if let Some(element) = shape.element(item) {
                    set.insert(element, child);
                }
            }
        }
        _ => set.member = true,
    }
    set
}

/// Gives the changed fields of an update to `writer`. Returns the managers afterwards.
pub(super) fn updated(mut managers: Vec<Manager>, mut writer: Manager, comparison: &Comparison) -> Vec<Manager> {
    for manager in &mut managers {
        if !manager.is_same(&writer) {
            manager.fields.subtract(&comparison.changed);
        }
        manager.fields.subtract(&comparison.removed);
    }
    if !comparison.changed.is_empty() {
        writer.fields = comparison.changed.clone();
        match managers.iter_mut().find(|manager| manager.is_same(&writer)) {
            Some(own) => {
                own.fields.union(&writer.fields);
                own.time = writer.time;
            }
            None => managers.push(writer),
        }
    }
    managers.retain(|manager| !manager.fields.is_empty());
    capped(managers)
}

/// Updaters kept apart at most; the oldest beyond it are folded into one.
const UPDATERS: usize = 10;

fn capped(mut managers: Vec<Manager>) -> Vec<Manager> {
    let updaters = managers.iter().filter(|manager| manager.operation == "Update").count();
    if updaters <= UPDATERS {
        return managers;
    }
    managers.sort_by(|a, b| match (a.operation, b.operation) {
        ("Update", "Update") => a.time.cmp(&b.time),
        _ => Ordering::Equal,
    });
    let mut folded: Option<Manager> = None;
    let mut surplus = updaters - UPDATERS + 1;
    let mut kept = Vec::new();
    for manager in managers {
        if manager.operation == "Update" && surplus > 0 {
            surplus -= 1;
            match &mut folded {
                Some(folded) => folded.fields.union(&manager.fields),
                None => folded = Some(Manager { name: "ancient-changes".to_owned(), ..manager }),
            }
        } else {
            kept.push(manager);
        }
    }
    kept.extend(folded);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::apiserver::schema::Schema;

    fn schema() -> Schema {
        Schema::compile(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "n": {"type": "integer"}, "list": {"type": "array", "items": {"type": "integer"}},
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
            "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                      "items": {"type": "object", "properties": {"name": {"type": "string"}, "c": {"type": "integer"}}}},
        }}}}))
    }

    #[test]
    fn a_configuration_names_fields() {
        let schema = schema();
        let object = json!({
            "apiVersion": "g/v1", "kind": "K", "metadata": {"name": "x", "labels": {"a": "b"}},
            "spec": {"n": 1, "list": [1], "map": {"k": "v"}, "parts": [{"name": "p", "c": 1}]},
        });
        let found = field_set(&object, Shape::Root(Some(&schema))).to_json();
        let expected = json!({
            "f:metadata": {"f:labels": {"f:a": {}}},
            "f:spec": {"f:n": {}, "f:list": {}, "f:map": {"f:k": {}}, "f:parts": {"k:{\"name\":\"p\"}": {".": {}, "f:c": {}, "f:name": {}}}},
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn a_comparison_finds_what_changed_and_what_went() {
        let schema = schema();
        let compare = |old: Value, new: Value| {
            let found = compare(&json!({"spec": old}), &json!({"spec": new}), Shape::Root(Some(&schema)));
            (found.changed.to_json(), found.removed.to_json())
        };
        let table = [
            (json!({"n": 1}), json!({"n": 2}), json!({"f:spec": {"f:n": {}}}), json!({})),
            (json!({"n": 1}), json!({"list": [1]}), json!({"f:spec": {"f:list": {}}}), json!({"f:spec": {"f:n": {}}})),
            (
                json!({"parts": [{"name": "a", "c": 1}]}),
                json!({"parts": [{"name": "a", "c": 2}, {"name": "b"}]}),
                json!({"f:spec": {"f:parts": {"k:{\"name\":\"a\"}": {"f:c": {}}, "k:{\"name\":\"b\"}": {".": {}, "f:name": {}}}}}),
                json!({}),
            ),
            (
                json!({"parts": [{"name": "a"}]}),
                json!({}),
                json!({}),
                json!({"f:spec": {"f:parts": {".": {}, "k:{\"name\":\"a\"}": {".": {}, "f:name": {}}}}}),
            ),
        ];
        for (old, new, changed, removed) in table {
            assert_eq!(compare(old, new), (changed, removed));
        }
    }
}
