//! JSON as CEL sees it: numbers and texts have the type that the schema gives them, fields the names that rules use.

use std::{collections::HashMap, sync::Arc};

use kube_cel::cel::{
    Context, Program, Value as Cel,
    objects::{Key, Map},
};
use serde_json::Value;

use super::cel_glance::Glance;
use super::schema::{Schema, Type};

thread_local! {
    static PLAIN: Context<'static> = Context::default();
    static TIMESTAMP: Option<Program> = Program::compile("timestamp(text)").ok();
    static DURATION: Option<Program> = Program::compile("duration(text)").ok();
}

/// A JSON value as CEL sees it under a schema, as far as it is looked at.
pub(super) fn converted(value: &Value, schema: Option<&Schema>, root: bool, glance: &Glance) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(value) => Cel::Bool(*value),
        Value::Number(number) => match (number.as_i64(), schema.and_then(|schema| schema.kind)) {
            (Some(whole), kind) if kind != Some(Type::Number) => Cel::Int(whole),
            (None, Some(Type::Integer)) => whole_float(number.as_f64().unwrap_or_default()),
            _ => Cel::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => converted_text(text, schema),
        Value::Array(items) => {
            let below = schema.and_then(|schema| schema.items.as_deref());
            Cel::List(Arc::new(items.iter().map(|item| converted(item, below, false, &Glance::whole())).collect()))
        }
        Value::Object(map) => {
            let mut converted_map = HashMap::new();
            for (key, value) in map {
                let property = schema.and_then(|schema| schema.properties.get(key));
                let additional = schema.and_then(|schema| schema.additional.as_deref());
                // Keys of maps are data; names of fields are escaped to be identifiers.
                let name = match (property, schema.is_some_and(|schema| schema.allows_additional)) {
                    (None, true) => key.clone(),
                    _ => escaped(key),
                };
                let Some(glance) = glance.at(&name) else { continue };
                let value = match key.as_str() {
                    "metadata" if root => root_metadata(value),
                    _ => converted(value, property.or(additional), false, glance),
                };
                converted_map.insert(Key::String(Arc::new(name)), value);
            }
            Cel::Map(Map { map: Arc::new(converted_map) })
        }
    }
}

/// Rules see only the name of an object.
fn root_metadata(metadata: &Value) -> Cel {
    let fields = ["name", "generateName"].into_iter().filter_map(|key| {
        let text = metadata.get(key)?.as_str()?;
        Some((Key::String(Arc::new(key.to_owned())), Cel::String(Arc::new(text.to_owned()))))
    });
    Cel::Map(Map { map: Arc::new(fields.collect()) })
}

fn whole_float(number: f64) -> Cel {
    Cel::Int(number as i64)
}

fn converted_text(text: &str, schema: Option<&Schema>) -> Cel {
    let plain = || Cel::String(Arc::new(text.to_owned()));
    let Some(schema) = schema.filter(|schema| !schema.int_or_string) else { return plain() };
    match schema.format.as_str() {
        "date-time" | "datetime" => called(&TIMESTAMP, text).unwrap_or_else(plain),
        "duration" => called(&DURATION, text).unwrap_or_else(plain),
        _ => plain(),
    }
}

fn called(program: &'static std::thread::LocalKey<Option<Program>>, text: &str) -> Option<Cel> {
    PLAIN.with(|functions| {
        let mut context = functions.new_inner_scope();
        context.add_variable_from_value("text", Cel::String(Arc::new(text.to_owned())));
        program.with(|program| program.as_ref()?.execute(&context).ok())
    })
}

/// Whether a text is a duration as Go writes it (`1h30m`).
pub(super) fn is_duration(text: &str) -> bool {
    called(&DURATION, text).is_some()
}

/// The name under which a rule finds a field.
fn escaped(name: &str) -> String {
    const RESERVED: &[&str] = &[
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ];
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return name.to_owned();
    }
    name.replace("__", "__underscores__").replace('.', "__dot__").replace('-', "__dash__").replace('/', "__slash__")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        for (name, expected) in [
            ("plain", "plain"),
            ("namespace", "__namespace__"),
            ("a-b.c", "a__dash__b__dot__c"),
            ("a__b", "a__underscores__b"),
        ] {
            assert_eq!(escaped(name), expected);
        }
    }
}
