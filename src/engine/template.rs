//! Placeholders of the trial template.
//!
//! `${params.NAME}`, `${trial.name}`, `${trial.index}` and `${experiment.name}` are filled in anywhere in the manifest.
//! `${params.NAME:-VALUE}` gives a value for when the parameter is not active; without one, a list element or field
//! whose text names an inactive parameter is left out. `$${` stands for `${`. Any other `${...}` is left as it is, so
//! that shell text passes. A scalar that is nothing but one placeholder takes the parameter's type, except where
//! Kubernetes wants text: command, args, environment values, labels and annotations.

use crate::space::{Assignment, Value as ParameterValue};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What the placeholders stand for.
pub(super) struct Names<'a> {
    pub experiment: &'a str,
    pub trial: &'a str,
    pub index: Option<u32>,
    pub assignment: &'a Assignment,
}

/// One piece of a text.
#[derive(Debug, PartialEq)]
enum Piece<'a> {
    Text(&'a str),
    Placeholder { scope: &'a str, name: &'a str, default: Option<&'a str> },
}

/// Fills in the placeholders.
pub(super) fn render(manifest: &Value, names: &Names<'_>) -> Value {
    fill(manifest, names, false).unwrap_or(Value::Null)
}

/// A sentence for each placeholder that stands for nothing.
pub(super) fn unknown_placeholders(manifest: &Value, parameters: &BTreeSet<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    visit(manifest, "manifest", &mut |path, text| {
        for piece in pieces(text) {
            let Piece::Placeholder { scope, name, .. } = piece else { continue };
            match (scope, name) {
                ("params", name) if parameters.contains(name) => {}
                ("trial", "name" | "index") | ("experiment", "name") => {}
                ("params", name) => problems.push(format!(
                    "{path}: ${{params.{name}}} names no parameter; there are {}",
                    parameters.iter().copied().collect::<Vec<_>>().join(", ")
                )),
                (scope, name) => problems.push(format!(
                    "{path}: ${{{scope}.{name}}} is not known; write ${{params.NAME}}, ${{trial.name}}, \
                     ${{trial.index}} or ${{experiment.name}}, or $${{ for a literal ${{"
                )),
            }
        }
    });
    problems
}

fn visit(value: &Value, path: &str, see: &mut impl FnMut(&str, &str)) {
    match value {
        Value::String(text) => see(path, text),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, &format!("{path}[{index}]"), see);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                visit(field, &format!("{path}.{key}"), see);
            }
        }
        _ => {}
    }
}

/// `None`: the text names an inactive parameter and is to be left out.
fn fill(value: &Value, names: &Names<'_>, text_only: bool) -> Option<Value> {
    Some(match value {
        Value::String(text) => return fill_text(text, names, text_only),
        Value::Array(items) => Value::Array(items.iter().filter_map(|item| fill(item, names, text_only)).collect()),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .filter_map(|(key, field)| {
                    let text_only = text_only || wants_text(key, fields);
                    fill(field, names, text_only).map(|field| (key.clone(), field))
                })
                .collect::<Map<_, _>>(),
        ),
        other => other.clone(),
    })
}

/// Where Kubernetes takes nothing but text.
fn wants_text(key: &str, siblings: &Map<String, Value>) -> bool {
    matches!(key, "command" | "args" | "labels" | "annotations" | "matchLabels" | "nodeSelector")
        || (key == "value" && siblings.contains_key("name"))
}

fn fill_text(text: &str, names: &Names<'_>, text_only: bool) -> Option<Value> {
    let pieces = pieces(text);
    if let [Piece::Placeholder { scope, name, default }] = pieces.as_slice() {
        return match (stands_for(scope, name, names), default) {
            (Known::Value(value), _) => Some(if text_only { Value::String(plain(&value)) } else { typed(&value) }),
            (Known::Inactive, Some(default)) => Some(Value::String((*default).to_owned())),
            (Known::Inactive, None) => None,
            (Known::No, _) => Some(Value::String(text.to_owned())),
        };
    }
    let mut filled = String::with_capacity(text.len());
    for piece in pieces {
        match piece {
            Piece::Text(part) => filled.push_str(part),
            Piece::Placeholder { scope, name, default } => match (stands_for(scope, name, names), default) {
                (Known::Value(value), _) => filled.push_str(&plain(&value)),
                (Known::Inactive, Some(default)) => filled.push_str(default),
                (Known::Inactive, None) => return None,
                (Known::No, _) => {}
            },
        }
    }
    Some(Value::String(filled))
}

enum Known {
    Value(ParameterValue),
    Inactive,
    No,
}

fn stands_for(scope: &str, name: &str, names: &Names<'_>) -> Known {
    match (scope, name) {
        ("params", name) => names.assignment.get(name).map_or(Known::Inactive, |value| Known::Value(value.clone())),
        ("trial", "name") => Known::Value(ParameterValue::Text(names.trial.to_owned())),
        ("trial", "index") => {
            names.index.map_or(Known::Inactive, |index| Known::Value(ParameterValue::Int(i64::from(index))))
        }
        ("experiment", "name") => Known::Value(ParameterValue::Text(names.experiment.to_owned())),
        _ => Known::No,
    }
}

fn typed(value: &ParameterValue) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// A value as text: numbers as JSON writes them (shortest form that reads back to the same number).
pub(super) fn plain(value: &ParameterValue) -> String {
    match value {
        ParameterValue::Text(text) => text.clone(),
        number => typed(number).to_string(),
    }
}

/// Splits a text at its placeholders.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut from = 0;
    while let Some(found) = rest[from..].find("${").map(|at| at + from) {
        if found > 0 && rest.as_bytes()[found - 1] == b'$' {
            // `$${`: one dollar is dropped, the rest is text.
            pieces.push(Piece::Text(&rest[..found]));
            rest = &rest[found + 1..];
            from = 0;
            continue;
        }
        match placeholder(&rest[found + 2..]) {
            Some((piece, length)) => {
                if found > 0 {
                    pieces.push(Piece::Text(&rest[..found]));
                }
                pieces.push(piece);
                rest = &rest[found + 2 + length..];
                from = 0;
            }
            None => from = found + 2,
        }
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// The placeholder whose inside starts here, and its length with the closing brace; `None` when it is none of ours.
fn placeholder(text: &str) -> Option<(Piece<'_>, usize)> {
    let end = text.find('}')?;
    let inside = &text[..end];
    let (reference, default) = match inside.split_once(":-") {
        Some((reference, default)) => (reference, Some(default)),
        None => (inside, None),
    };
    let (scope, name) = reference.split_once('.')?;
    let ours = matches!(scope, "params" | "trial" | "experiment")
        && !name.is_empty()
        && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    ours.then_some((Piece::Placeholder { scope, name, default }, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(assignment: &Assignment) -> Names<'_> {
        Names { experiment: "digits", trial: "digits-00007", index: Some(7), assignment }
    }

    #[test]
    fn fills_in() {
        let assignment: Assignment = [
            ("lr".to_owned(), ParameterValue::Double(1e-7)),
            ("layers".to_owned(), ParameterValue::Int(3)),
            ("optimizer".to_owned(), ParameterValue::Text("sgd".into())),
        ]
        .into();
        let table = [
            (json!("${params.layers}"), json!(3)),
            (json!("${params.lr}"), json!(1e-7)),
            (json!("x=${params.lr} ${params.layers}"), json!("x=1e-7 3")),
            (json!({"args": ["${params.layers}", "--o=${params.optimizer}"]}), json!({"args": ["3", "--o=sgd"]})),
            (
                json!({"env": [{"name": "L", "value": "${params.layers}"}]}),
                json!({"env": [{"name": "L", "value": "3"}]}),
            ),
            (json!(["a", "--m=${params.momentum}", "b"]), json!(["a", "b"])),
            (json!({"a": "${params.momentum}", "b": 1}), json!({"b": 1})),
            (json!("${params.momentum:-0.9}"), json!("0.9")),
            (json!("m=${params.momentum:-}"), json!("m=")),
            (json!("${trial.name}/${trial.index}/${experiment.name}"), json!("digits-00007/7/digits")),
            (json!("$${params.lr}"), json!("${params.lr}")),
            (json!("${HOME} $(LR) $LR ${params.lr"), json!("${HOME} $(LR) $LR ${params.lr")),
            (json!("é${params.layers}é"), json!("é3é")),
            (json!(""), json!("")),
            (json!(5), json!(5)),
            (json!(null), json!(null)),
        ];
        for (manifest, expected) in table {
            assert_eq!(render(&manifest, &names(&assignment)), expected, "{manifest}");
        }
    }

    #[test]
    fn says_which_placeholder_is_unknown() {
        let known = BTreeSet::from(["lr", "layers"]);
        let table = [
            (json!({"a": ["${params.lr}"]}), None),
            (json!("${HOME}"), None),
            (
                json!({"a": ["x", "${params.lR}"]}),
                Some("manifest.a[1]: ${params.lR} names no parameter; there are layers, lr"),
            ),
            (
                json!("${trial.uid}"),
                Some(
                    "manifest: ${trial.uid} is not known; write ${params.NAME}, ${trial.name}, ${trial.index} or ${experiment.name}, or $${ for a literal ${",
                ),
            ),
        ];
        for (manifest, expected) in table {
            assert_eq!(unknown_placeholders(&manifest, &known).first().map(String::as_str), expected, "{manifest}");
        }
    }
}
