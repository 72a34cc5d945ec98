//! `as=Table`: what `kubectl get` prints.

use jiff::Timestamp;
use jsonpath_rust::parser::{model::JpQuery, parse_json_path};
use jsonpath_rust::query::js_path_process;
use serde_json::{Value, json};

use super::{age, columns, object, resource::Resource};

/// A printer column of a custom kind.
#[derive(Clone, Debug)]
pub(super) struct Column {
    name: String,
    kind: String,
    format: String,
    description: String,
    priority: i64,
    /// `None` if the path is none; such a column stays empty.
    path: Option<JpQuery>,
}

impl Column {
    /// The `additionalPrinterColumns` of a version of a CustomResourceDefinition.
    pub fn from_definition(version: &Value) -> Vec<Self> {
        let list = version.get("additionalPrinterColumns").and_then(Value::as_array);
        let Some(list) = list.filter(|list| !list.is_empty()) else {
            let age = json!({
                "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp",
                "description": "CreationTimestamp is a timestamp representing the server time when this object was created.",
            });
            return vec![Self::compile(&age)];
        };
        list.iter().map(Self::compile).collect()
    }

    fn compile(column: &Value) -> Self {
        let text = |key: &str| column.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            name: text("name"),
            kind: text("type"),
            format: text("format"),
            description: text("description"),
            priority: column.get("priority").and_then(Value::as_i64).unwrap_or_default(),
            path: parse_json_path(&standard_path(&text("jsonPath"))).ok(),
        }
    }

    fn definition(&self) -> Value {
        definition(&self.name, &self.kind, &self.format, &self.description, self.priority)
    }

    fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let found = self.path.as_ref().and_then(|path| js_path_process(path, object).ok());
        let Some(value) = found.and_then(|found| found.into_iter().next()).map(|found| found.val().clone()) else {
            return Value::Null;
        };
        match (self.kind.as_str(), &value) {
            (_, Value::Null) => Value::Null,
            ("string", Value::String(_)) => value,
            ("string", other) => json!(other.to_string()),
            ("integer", Value::Number(number)) => {
                number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)).map_or(Value::Null, Value::from)
            }
            ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value,
            ("date", Value::String(text)) => match text.parse::<Timestamp>() {
                Ok(at) => json!(age::since(at, now)),
                Err(_) => json!("<invalid>"),
            },
            _ => Value::Null,
        }
    }
}

/// Kubernetes' JSONPath as RFC 9535 writes it: from the root, and with `\.` in a name as a quoted name.
fn standard_path(path: &str) -> String {
    let path = path.trim().trim_start_matches('{').trim_end_matches('}').trim_start_matches('$');
    let mut standard = String::from("$");
    let mut segments = Vec::new();
    let (mut depth, mut current, mut quoted) = (0_u32, String::new(), false);
    let mut characters = path.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.peek() == Some(&'.') => {
                characters.next();
                current.push('.');
                quoted = true;
            }
            '[' if depth == 0 => {
                segments.push((std::mem::take(&mut current), std::mem::take(&mut quoted)));
                depth = 1;
                current.push('[');
            }
            '[' => {
                depth += 1;
                current.push('[');
            }
            ']' => {
                depth = depth.saturating_sub(1);
                current.push(']');
                if depth == 0 {
                    segments.push((std::mem::take(&mut current), false));
                }
            }
            '.' if depth == 0 => segments.push((std::mem::take(&mut current), std::mem::take(&mut quoted))),
            other => current.push(other),
        }
    }
    segments.push((current, quoted));
    for (segment, quoted) in segments.into_iter().filter(|(segment, _)| !segment.is_empty()) {
        if segment.starts_with('[') || (!quoted && segment == "*") {
            if !segment.starts_with('[') {
                standard.push('.');
            }
            standard.push_str(&segment);
        } else {
            standard.push_str(&format!("[{segment:?}]"));
        }
    }
    standard
}

/// A column definition of a Table.
pub(super) fn definition(name: &str, kind: &str, format: &str, description: &str, priority: i64) -> Value {
    json!({ "name": name, "type": kind, "format": format, "description": description, "priority": priority })
}

/// How much of each object a row carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IncludeObject {
    None,
    Metadata,
    Object,
}

/// A Table of these objects.
pub(super) fn table(
    resource: &Resource,
    objects: &[&Value],
    include: IncludeObject,
    metadata: Value,
    now: Timestamp,
) -> Value {
    let rows: Vec<Value> = objects.iter().map(|object| row(resource, object, include, now)).collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": definitions(resource), "rows": rows,
    })
}

fn definitions(resource: &Resource) -> Vec<Value> {
    let name = "Name must be unique within a namespace.";
    let mut definitions = vec![definition("Name", "string", "name", name, 0)];
    match &resource.custom {
        Some(custom) => definitions.extend(custom.columns.iter().map(Column::definition)),
        None => definitions.extend(columns::definitions(&resource.kind)),
    }
    definitions
}

fn row(resource: &Resource, object: &Value, include: IncludeObject, now: Timestamp) -> Value {
    let mut cells = vec![json!(object::name(object))];
    match &resource.custom {
        Some(custom) => cells.extend(custom.columns.iter().map(|column| column.cell(object, now))),
        None => cells.extend(columns::cells(&resource.kind, object, now)),
    }
    let mut row = json!({ "cells": cells });
    match include {
        IncludeObject::None => {}
        IncludeObject::Metadata => row["object"] = super::render::partial(object),
        IncludeObject::Object => row["object"] = object.clone(),
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(kind: &str, path: &str, object: &Value) -> Value {
        Column::compile(&json!({"name": "X", "type": kind, "jsonPath": path}))
            .cell(object, "2026-01-01T00:05:00Z".parse().unwrap())
    }

    #[test]
    fn cells_by_path_and_type() {
        let object = json!({
            "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z", "annotations": {"a.b/c": "dotted"}},
            "spec": {"size": 3, "ratio": 1.5, "flag": true, "text": "t", "list": [1, 2], "map": {"k": "v"}},
            "status": {"conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "False"}]},
        });
        for (kind, path, expected) in [
            ("integer", ".spec.size", json!(3)),
            ("integer", ".spec.ratio", json!(1)),
            ("integer", ".spec.text", json!(null)),
            ("number", ".spec.ratio", json!(1.5)),
            ("boolean", ".spec.flag", json!(true)),
            ("string", ".spec.text", json!("t")),
            ("string", ".spec.size", json!("3")),
            ("string", ".spec.map", json!("{\"k\":\"v\"}")),
            ("string", ".spec.list[0]", json!("1")),
            ("string", ".spec.missing.deep", json!(null)),
            ("string", ".status.conditions[?(@.type==\"B\")].status", json!("False")),
            ("string", ".status.conditions[?(@.type=='A')].status", json!("True")),
            ("string", ".status.conditions[?(@.type==\"C\")].status", json!(null)),
            ("string", ".metadata.annotations.a\\.b/c", json!("dotted")),
            ("string", ".metadata.annotations['a.b/c']", json!("dotted")),
            ("date", ".metadata.creationTimestamp", json!("5m")),
            ("date", ".spec.text", json!("<invalid>")),
        ] {
            assert_eq!(cell(kind, path, &object), expected, "{kind} {path}");
        }
    }
}
