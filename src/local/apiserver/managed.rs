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

    /// Whether this entry of `managedFields` stands for the same writer.
    fn is_entry(&self, entry: &Value) -> bool {
        text(entry, "manager") == self.name
            && text(entry, "operation") == self.operation
            && text(entry, "apiVersion") == self.api_version
            && text(entry, "subresource") == self.subresource
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

    fn into_json(self) -> Value {
        let mut entry = Map::from_iter([
            ("manager".to_owned(), Value::String(self.name)),
            ("operation".to_owned(), json!(self.operation)),
            ("apiVersion".to_owned(), Value::String(self.api_version)),
            ("time".to_owned(), Value::String(self.time)),
            ("fieldsType".to_owned(), json!("FieldsV1")),
            ("fieldsV1".to_owned(), self.fields.into_json()),
        ]);
        if !self.subresource.is_empty() {
            entry.insert("subresource".to_owned(), Value::String(self.subresource));
        }
        Value::Object(entry)
    }
}

/// The managers in `managedFields`.
pub(super) fn parse(managed: &Value) -> Vec<Manager> {
    managed.as_array().into_iter().flatten().filter_map(Manager::parse).collect()
}

/// The managers of an object.
pub(super) fn of(object: &Value) -> Vec<Manager> {
    object::metadata(object).and_then(|meta| meta.get("managedFields")).map(parse).unwrap_or_default()
}

/// Whether a request asks to forget all managers: `managedFields: [{}]`.
pub(super) fn is_reset(object: &Value) -> bool {
    let list = object::metadata(object).and_then(|meta| meta.get("managedFields")).and_then(Value::as_array);
    list.is_some_and(|list| matches!(list.as_slice(), [Value::Object(entry)] if entry.is_empty()))
}

/// Writes `managedFields`, in the order that Kubernetes keeps.
pub(super) fn to_json(managers: Vec<Manager>) -> Value {
    let mut list = entries(managers);
    list.sort_by(in_order);
    Value::Array(list)
}

fn entries(managers: Vec<Manager>) -> Vec<Value> {
    managers.into_iter().filter(|manager| !manager.fields.is_empty()).map(Manager::into_json).collect()
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
        let (old, new) = (old_map.get(key), new_map.get(key));
        if old != new {
            let (added, gone) = compare_values(old, new, shape.field(key).0);
            changed.insert(format!("f:{key}"), added);
            removed.insert(format!("f:{key}"), gone);
        }
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
    fn named<'a>(items: &'a [Value], shape: Shape<'_>) -> Vec<(String, &'a Value)> {
        items.iter().filter_map(|item| Some((shape.element(item)?, item))).collect()
    }
    let (old, new) = (named(old, shape), named(new, shape));
    let find = |items: &[(String, &Value)], element: &str| items.iter().position(|(name, _)| name == element);
    for (element, item) in &new {
        let before = find(&old, element).and_then(|at| old.get(at)).map(|(_, item)| *item);
        let (added, gone) = compare_values(before, Some(*item), shape.items());
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

/// Gives the changed fields of an update to `writer`, in `managedFields` as it is stored. What others own is only taken
/// apart where the update concerns it.
pub(super) fn update(list: &mut Vec<Value>, mut writer: Manager, comparison: Comparison) {
    let mut own = false;
    list.retain_mut(|entry| {
        let ours = writer.is_entry(entry);
        own |= ours;
        let taken = !ours && owns_any(entry.get("fieldsV1"), &comparison.changed);
        let given = ours && !owns_all(entry.get("fieldsV1"), &comparison.changed);
        if taken || given || owns_any(entry.get("fieldsV1"), &comparison.removed) {
            let Some(mut manager) = Manager::parse(entry) else { return false };
            if !ours {
                manager.fields.subtract(&comparison.changed);
            }
            manager.fields.subtract(&comparison.removed);
            if ours {
                manager.fields.union(&comparison.changed);
            }
            if manager.fields.is_empty() {
                return false;
            }
            object::as_map(entry).insert("fieldsV1".to_owned(), manager.fields.into_json());
        }
        if ours && !comparison.changed.is_empty() {
            object::as_map(entry).insert("time".to_owned(), json!(writer.time));
        }
        true
    });
    if !own && !comparison.changed.is_empty() {
        writer.fields = comparison.changed;
        list.push(writer.into_json());
    }
    if list.iter().filter(|entry| text(entry, "operation") == "Update").count() > UPDATERS {
        *list = entries(capped(list.iter().filter_map(Manager::parse).collect()));
    }
    list.sort_by(in_order);
}

fn text<'a>(entry: &'a Value, key: &str) -> &'a str {
    entry.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The order of `managedFields` that Kubernetes keeps.
fn in_order(a: &Value, b: &Value) -> Ordering {
    let by = |key: &str| text(a, key).cmp(text(b, key));
    ["operation", "time", "manager", "apiVersion", "subresource"]
        .iter()
        .fold(Ordering::Equal, |order, key| order.then_with(|| by(key)))
}

/// Whether a node of `fieldsV1` is itself in the set.
fn is_member(node: &Map<String, Value>) -> bool {
    node.is_empty() || node.contains_key(".")
}

/// Whether a field of `set` is in `fieldsV1`.
fn owns_any(fields: Option<&Value>, set: &FieldSet) -> bool {
    let Some(fields) = fields.and_then(Value::as_object) else { return false };
    set.children.iter().any(|(element, below)| {
        let node = fields.get(element);
        node.and_then(Value::as_object).is_some_and(|node| below.member && is_member(node)) || owns_any(node, below)
    })
}

/// Whether every field of `set` is in `fieldsV1`.
fn owns_all(fields: Option<&Value>, set: &FieldSet) -> bool {
    let Some(fields) = fields.and_then(Value::as_object) else { return set.children.is_empty() };
    set.children.iter().all(|(element, below)| {
        let node = fields.get(element);
        node.and_then(Value::as_object).is_some_and(|node| !below.member || is_member(node)) && owns_all(node, below)
    })
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
mod tests;
