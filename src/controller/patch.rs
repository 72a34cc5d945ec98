//! Merge patches (RFC 7396).

use serde_json::{Map, Value, json};

/// The merge patch that makes `to` of `from`. What is in `from` and not in `to` is removed: a patch that is nothing but
/// the new object would leave it there.
pub fn diff(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return to.clone() };
    let mut patch = Map::new();
    for (key, new) in to {
        match from.get(key) {
            Some(old) if old == new => {}
            Some(old) => drop(patch.insert(key.clone(), diff(old, new))),
            // Within a new object there is nothing to remove.
            None => drop(patch.insert(key.clone(), new.clone())),
        }
    }
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Value::Object(patch)
}

/// A patch of the status that fails unless the object is still at this resourceVersion.
pub fn status(resource_version: &str, status: Value) -> Value {
    json!({"metadata": {"resourceVersion": resource_version}, "status": status})
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn removes_what_is_left_out_at_any_depth() {
        let table = [
            (json!({"a": 1}), json!({"a": 1}), json!({})),
            (json!({"a": 1, "b": 2}), json!({"a": 3}), json!({"a": 3, "b": null})),
            (
                json!({"best": {"trial": "x-1", "assignments": {"opt": "sgd", "momentum": 0.9}}}),
                json!({"best": {"trial": "x-2", "assignments": {"opt": "adam"}}}),
                json!({"best": {"trial": "x-2", "assignments": {"opt": "adam", "momentum": null}}}),
            ),
            (json!({"list": [{"a": 1}]}), json!({"list": [{"b": 1}]}), json!({"list": [{"b": 1}]})),
            (json!(null), json!({"a": {"b": 1}}), json!({"a": {"b": 1}})),
        ];
        for (from, to, patch) in table {
            assert_eq!(diff(&from, &to), patch, "{from} -> {to}");
        }
    }

    fn object() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), any::<i8>().prop_map(Value::from)];
        let value = leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[a-c]", value, 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn applied_to_the_old_gives_the_new(from in object(), to in object()) {
            let mut patched = from.clone();
            json_patch::merge(&mut patched, &diff(&from, &to));
            prop_assert_eq!(patched, to);
        }
    }
}
