//! Placeholders of the trial template.
//!
//! `${params.NAME}`, `${trial.name}`, `${trial.index}`, `${trial.checkpointDir}` and `${experiment.name}` are filled in
//! anywhere in the manifest.
//! `${params.NAME:-VALUE}` gives a value for when the parameter is not active; without one, a list element or field
//! whose text names an inactive parameter is left out. `$${` stands for `${`. A scalar that is nothing but one
//! `${params.NAME}` takes the parameter's type, except where Kubernetes wants text: command, args, environment values,
//! labels and annotations. Keys are not filled in. Text that only looks like a placeholder is a problem; any other
//! `${...}` is left as it is, so that shell text passes.

use super::checkpoint::directory_of;
use super::pieces::{Flaw, Piece, pieces};
use crate::space::{Assignment, Domain, SearchSpace, Value as ParameterValue};
use serde_json::{Map, Number, Value};
use std::collections::BTreeSet;

/// What the placeholders stand for.
pub(super) struct Names<'a> {
    pub experiment: &'a str,
    pub trial: &'a str,
    pub index: Option<u32>,
    pub assignment: &'a Assignment,
    pub space: &'a SearchSpace,
}

/// Fills in the placeholders.
pub(super) fn render(manifest: &Value, names: &Names<'_>) -> Value {
    fill(manifest, names, false).unwrap_or(Value::Null)
}

/// A sentence for each placeholder that would not be filled in.
/// `at`: what its place is called.
pub(super) fn misplaced(manifest: &Value, at: &str, parameters: &BTreeSet<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    visit(manifest, at, &mut |path, text, is_key| {
        for piece in pieces(text) {
            let (scope, name) = match piece {
                Piece::Text(_) => continue,
                _ if is_key => {
                    problems.push(format!("{path}: the key {text:?} holds a placeholder; only values are filled in"));
                    return;
                }
                Piece::Flawed(text, flaw) => {
                    problems.push(format!("{path}: {}", flawed(text, flaw)));
                    continue;
                }
                Piece::Placeholder { scope, name, .. } => (scope, name),
            };
            match (scope, name) {
                ("params", name) if parameters.contains(name) => {}
                ("trial", "name" | "index" | "checkpointDir") | ("experiment", "name") => {}
                ("params", name) => problems.push(format!(
                    "{path}: ${{params.{name}}} names no parameter; there are {}",
                    parameters.iter().copied().collect::<Vec<_>>().join(", ")
                )),
                (scope, name) => problems.push(format!(
                    "{path}: ${{{scope}.{name}}} is not known; write ${{params.NAME}}, ${{trial.name}}, \
                     ${{trial.index}}, ${{trial.checkpointDir}} or ${{experiment.name}}, or $${{ for a literal ${{"
                )),
            }
        }
    });
    problems
}

/// Whether `${trial.checkpointDir}` stands in the manifest.
pub(super) fn uses_checkpoints(manifest: &Value) -> bool {
    let mut found = false;
    visit(manifest, "", &mut |_, text, is_key| {
        let named =
            |piece: &Piece<'_>| matches!(piece, Piece::Placeholder { scope: "trial", name: "checkpointDir", .. });
        found |= !is_key && pieces(text).iter().any(named);
    });
    found
}

pub(super) fn flawed(text: &str, flaw: Flaw) -> String {
    const SHOWN: usize = 60;
    let shown: String = text.chars().take(SHOWN).collect();
    match flaw {
        Flaw::Open => format!("{shown} has no closing brace; add it, or write $${{ for a literal ${{"),
        Flaw::Form => format!(
            "{shown} is no placeholder; write ${{params.NAME}} or ${{params.NAME:-VALUE}}, without blanks, or $${{ for a \
             literal ${{"
        ),
        Flaw::Katib => format!(
            "{shown} is Katib's; write ${{params.NAME}} with a name of spec.parameters, or ${{trial.name}}, or $${{ for \
             a literal ${{"
        ),
    }
}

/// Shows each text with its path, and whether it is a key.
fn visit(value: &Value, path: &str, see: &mut impl FnMut(&str, &str, bool)) {
    match value {
        Value::String(text) => see(path, text, false),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, &format!("{path}[{index}]"), see);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                see(path, key, true);
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
        let text_only = text_only || *scope != "params";
        return match (stands_for(scope, name, names), default) {
            (Known::Value(value), _) => Some(if text_only { Value::String(plain(&value)) } else { typed(&value) }),
            (Known::Inactive, Some(default)) => {
                Some(if text_only { (*default).into() } else { fallback(name, default, names) })
            }
            (Known::Inactive, None) => None,
            (Known::No, _) => Some(Value::String(text.to_owned())),
        };
    }
    let mut filled = String::with_capacity(text.len());
    for piece in pieces {
        match piece {
            Piece::Text(part) | Piece::Flawed(part, _) => filled.push_str(part),
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
        ("trial", "checkpointDir") => Known::Value(ParameterValue::Text(directory_of(names.trial))),
        ("experiment", "name") => Known::Value(ParameterValue::Text(names.experiment.to_owned())),
        _ => Known::No,
    }
}

fn typed(value: &ParameterValue) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// A default as its parameter's value would be: a number where the parameter is one.
fn fallback(name: &str, default: &str, names: &Names<'_>) -> Value {
    let number = match names.space.parameter(name).map(|parameter| &parameter.domain) {
        None | Some(Domain::Categorical { .. }) => None,
        Some(_) => default.trim().parse::<Number>().ok(),
    };
    number.map_or_else(|| default.into(), Value::Number)
}

/// A value as text: numbers as JSON writes them (shortest form that reads back to the same number).
pub(super) fn plain(value: &ParameterValue) -> String {
    match value {
        ParameterValue::Text(text) => text.clone(),
        number => typed(number).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn space() -> SearchSpace {
        let parameters: Vec<crate::api::Parameter> = serde_json::from_value(json!([
            {"name": "lr", "double": {"min": 0, "max": 1}},
            {"name": "layers", "int": {"min": 1, "max": 8}},
            {"name": "optimizer", "categorical": {"choices": ["sgd", "adam"]}},
            {"name": "momentum", "double": {"min": 0, "max": 1}, "when": [{"parameter": "optimizer", "in": ["adam"]}]},
            {"name": "kind", "categorical": {"choices": ["1", "2"]}, "when": [{"parameter": "optimizer", "in": ["adam"]}]},
        ]))
        .unwrap();
        SearchSpace::new(parameters.iter().map(|parameter| parameter.to_space().unwrap()).collect(), &[]).unwrap()
    }

    #[test]
    fn fills_in() {
        let assignment: Assignment = [
            ("lr".to_owned(), ParameterValue::Double(1e-7)),
            ("layers".to_owned(), ParameterValue::Int(3)),
            ("optimizer".to_owned(), ParameterValue::Text("sgd".into())),
        ]
        .into();
        let space = space();
        let names = Names {
            experiment: "digits",
            trial: "digits-00007",
            index: Some(7),
            assignment: &assignment,
            space: &space,
        };
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
            (json!("${params.momentum:-0.9}"), json!(0.9)),
            (json!("${params.momentum:-none}"), json!("none")),
            (json!("${params.kind:-2}"), json!("2")),
            (json!({"args": ["${params.momentum:-0.9}"]}), json!({"args": ["0.9"]})),
            (json!({"subPath": "${trial.index}"}), json!({"subPath": "7"})),
            (json!({"${params.lr}": 1}), json!({"${params.lr}": 1})),
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
            assert_eq!(render(&manifest, &names), expected, "{manifest}");
        }
    }

    #[test]
    fn says_which_placeholder_would_not_be_filled_in() {
        let known = BTreeSet::from(["lr", "layers"]);
        let table = [
            (json!({"a": ["${params.lr}"]}), None),
            (json!("${HOME} ${HOME:-/root} ${file%.*} ${params} $${trialParameters.lr} ${obj.lr}"), None),
            (
                json!("${params.l-r}"),
                Some(
                    "manifest: ${params.l-r} is no placeholder; write ${params.NAME} or ${params.NAME:-VALUE}, without blanks, or $${ for a literal ${",
                ),
            ),
            (
                json!("a ${ params.lr } b"),
                Some(
                    "manifest: ${ params.lr } is no placeholder; write ${params.NAME} or ${params.NAME:-VALUE}, without blanks, or $${ for a literal ${",
                ),
            ),
            (
                json!("${params.lr"),
                Some("manifest: ${params.lr has no closing brace; add it, or write $${ for a literal ${"),
            ),
            (
                json!({"args": ["--lr=${trialParameters.lr}"]}),
                Some(
                    "manifest.args[0]: ${trialParameters.lr} is Katib's; write ${params.NAME} with a name of spec.parameters, or ${trial.name}, or $${ for a literal ${",
                ),
            ),
            (
                json!({"labels": {"${params.lr}": "x"}}),
                Some("manifest.labels: the key \"${params.lr}\" holds a placeholder; only values are filled in"),
            ),
            (
                json!({"a": ["x", "${params.lR}"]}),
                Some("manifest.a[1]: ${params.lR} names no parameter; there are layers, lr"),
            ),
            (
                json!("${trial.uid}"),
                Some(
                    "manifest: ${trial.uid} is not known; write ${params.NAME}, ${trial.name}, ${trial.index}, ${trial.checkpointDir} or ${experiment.name}, or $${ for a literal ${",
                ),
            ),
        ];
        for (manifest, expected) in table {
            assert_eq!(misplaced(&manifest, "manifest", &known).first().map(String::as_str), expected, "{manifest}");
        }
    }
}
