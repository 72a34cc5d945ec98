//! Sets of fields, as server-side apply keeps them in `managedFields` (`fieldsV1`).
//!
//! A set is a tree whose edges are path elements in their written form: `f:NAME` for a field, `k:{...}` for an item of
//! a map list, `v:...` for an item of a set.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A set of paths below one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSet {
    /// Whether the node itself is in the set.
    pub member: bool,
    pub children: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    /// The set that holds only the node itself.
    pub fn leaf() -> Self {
        Self { member: true, children: BTreeMap::new() }
    }

    pub fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }

    /// Reads `fieldsV1`. What is malformed is left out.
    pub fn parse(fields: &Value) -> Self {
        let Some(map) = fields.as_object() else { return Self::default() };
        let mut set = Self::default();
        for (element, below) in map {
            if element == "." {
                set.member = true;
            } else {
                let child = Self::parse(below);
                set.children.insert(element.clone(), if child.is_empty() { Self::leaf() } else { child });
            }
        }
        set
    }

    /// Writes `fieldsV1`.
    pub fn into_json(self) -> Value {
        let mut map = Map::new();
        if self.member && !self.children.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        map.extend(self.children.into_iter().map(|(element, below)| (element, below.into_json())));
        Value::Object(map)
    }

    /// Puts a child in, unless it is empty.
    pub fn insert(&mut self, element: String, child: Self) {
        if !child.is_empty() {
            self.children.insert(element, child);
        }
    }

    pub fn union(&mut self, other: &Self) {
        self.member |= other.member;
        for (element, below) in &other.children {
            self.children.entry(element.clone()).or_default().union(below);
        }
    }

    /// Takes the paths of `other` out.
    pub fn subtract(&mut self, other: &Self) {
        self.member &= !other.member;
        for (element, below) in &other.children {
            if let Some(child) = self.children.get_mut(element) {
                child.subtract(below);
                if child.is_empty() {
                    self.children.remove(element);
                }
            }
        }
    }

    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = Self { member: self.member && other.member, children: BTreeMap::new() };
        for (element, below) in &self.children {
            if let Some(other) = other.children.get(element) {
                both.insert(element.clone(), below.intersection(other));
            }
        }
        both
    }

    /// The paths as sentences name them: `.spec.parts[name="a"].count`.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect(String::new(), &mut paths);
        paths
    }

    fn collect(&self, path: String, paths: &mut Vec<String>) {
        if self.member {
            paths.push(path.clone());
        }
        for (element, below) in &self.children {
            below.collect(format!("{path}{}", words(element)), paths);
        }
    }
}

fn words(element: &str) -> String {
    match element.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("v", value)) => format!("[={value}]"),
        Some(("i", index)) => format!("[{index}]"),
        Some(("k", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let pairs: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("[{}]", pairs.join(","))
        }
        _ => element.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_and_writes() {
        let fields = json!({
            "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
            "f:spec": {"f:parts": {"k:{\"name\":\"x\"}": {".": {}, "f:count": {}}}, "f:tags": {"v:\"t\"": {}}},
        });
        let set = FieldSet::parse(&fields);
        assert_eq!(set.clone().into_json(), fields);
        assert_eq!(
            set.paths(),
            [
                ".metadata.labels",
                ".metadata.labels.a",
                ".spec.parts[name=\"x\"]",
                ".spec.parts[name=\"x\"].count",
                ".spec.tags[=\"t\"]",
            ]
        );
    }

    #[test]
    fn algebra() {
        let parse = |value: Value| FieldSet::parse(&value);
        let a = parse(json!({"f:x": {".": {}, "f:y": {}}, "f:z": {}}));
        let b = parse(json!({"f:x": {"f:y": {}, "f:w": {}}}));
        let mut union = a.clone();
        union.union(&b);
        assert_eq!(union.into_json(), json!({"f:x": {".": {}, "f:y": {}, "f:w": {}}, "f:z": {}}));
        let mut difference = a.clone();
        difference.subtract(&b);
        assert_eq!(difference.into_json(), json!({"f:x": {}, "f:z": {}}));
        assert_eq!(a.intersection(&b).into_json(), json!({"f:x": {"f:y": {}}}));
        let mut nothing = a.clone();
        nothing.subtract(&a);
        assert!(nothing.is_empty());
    }
}
