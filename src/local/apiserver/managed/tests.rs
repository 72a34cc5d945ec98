//! What a comparison finds, and that a write does to `managedFields` what the plain way would.

use std::collections::BTreeMap;

use proptest::prelude::*;

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
    let found = field_set(&object, Shape::Root(Some(&schema))).into_json();
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
        (found.changed.into_json(), found.removed.into_json())
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

/// What [`update`] comes to, with all managers taken apart.
fn plainly(list: &[Value], mut writer: Manager, comparison: &Comparison) -> Value {
    let mut managers: Vec<Manager> = list.iter().filter_map(Manager::parse).collect();
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
    to_json(capped(managers))
}

fn fields() -> impl Strategy<Value = FieldSet> {
    let node = any::<bool>().prop_map(|member| FieldSet { member, children: BTreeMap::new() });
    let node = node.prop_recursive(3, 12, 3, |below| {
        let children = prop::collection::vec(("f:[a-c]", below), 0..3);
        (any::<bool>(), children).prop_map(|(member, children)| {
            let mut set = FieldSet { member, children: BTreeMap::new() };
            children.into_iter().for_each(|(element, child)| set.insert(element, child));
            set
        })
    });
    node.prop_map(|mut set| {
        set.member = false;
        set
    })
}

fn manager() -> impl Strategy<Value = Manager> {
    let operation = prop_oneof![Just("Apply"), Just("Update")];
    let subresource = prop_oneof![Just(""), Just("status")];
    ("[a-d]", operation, subresource, "[1-3]", fields()).prop_map(|(name, operation, subresource, time, fields)| {
        Manager { name, operation, api_version: "g/v1".into(), subresource: subresource.into(), time, fields }
    })
}

proptest! {
    #[test]
    fn an_update_changes_what_it_must_and_no_more(
        managers in prop::collection::vec(manager(), 0..14), writer in manager(), changed in fields(), removed in fields(),
    ) {
        let mut seen = std::collections::HashSet::new();
        let apart = |manager: &Manager| (manager.name.clone(), manager.operation, manager.subresource.clone());
        let managers = managers.into_iter().filter(|manager| seen.insert(apart(manager))).collect();
        let Value::Array(mut list) = to_json(managers) else { unreachable!("a list") };
        let comparison = Comparison { changed, removed };
        let expected = plainly(&list, writer.clone(), &comparison);
        update(&mut list, writer, comparison);
        prop_assert_eq!(Value::Array(list), expected);
    }
}
