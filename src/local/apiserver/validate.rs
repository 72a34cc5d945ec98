//! Checking an object against its schema, in the words of kube-apiserver.
//!
//! An update may keep what was there before, even if it would be refused today: a value that equals its old
//! counterpart is not checked again (validation ratcheting).

use serde_json::{Map, Value, json};
use std::collections::HashSet;

use super::{
    cel, cel_value, gofmt,
    path::Path,
    schema::{ListType, Schema, Type, counterpart},
    status::{FieldError, FieldErrorKind},
};

/// Everything that is wrong with an object, after the `errors` that are already known. `old` is the object that it
/// replaces.
pub(super) fn errors(schema: &Schema, object: &Value, old: Option<&Value>, errors: Vec<FieldError>) -> Vec<FieldError> {
    let mut checker = Checker { errors };
    checker.check(schema, object, old, Path::Root);
    embedded(schema, object, Path::Root, &mut checker.errors);
    let mut repeated = Vec::new();
    unique(schema, object, Path::Root, &mut repeated);
    let old_was_fine = repeated.is_empty()
        || old.is_none_or(|old| {
            let mut found = Vec::new();
            unique(schema, old, Path::Root, &mut found);
            found.is_empty()
        });
    if old_was_fine {
        checker.errors.extend(repeated);
    }
    let mut errors = checker.errors;
    let blocking = |error: &FieldError| {
        use FieldErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
        matches!(error.kind, NotSupported | Required | TooLong | TooMany | TypeInvalid)
    };
    if schema.has_rules && errors.iter().any(blocking) {
        let why = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
        errors.push(FieldError::invalid("<nil>", Value::Null, why));
    } else if schema.has_rules {
        errors.extend(cel::errors(schema, object, old));
    }
    errors
}

struct Checker {
    errors: Vec<FieldError>,
}

impl Checker {
    fn invalid(&mut self, path: Path<'_>, value: Value, sentence: impl std::fmt::Display) {
        self.errors.push(FieldError::invalid(path, value, format!("{path} in body {sentence}")));
    }

    fn check(&mut self, schema: &Schema, value: &Value, old: Option<&Value>, path: Path<'_>) {
        if old == Some(value) {
            return;
        }
        self.check_type(schema, value, path);
        if value.is_null() {
            self.check_enum(schema, value, path);
            return;
        }
        self.check_junctors(schema, value, path);
        match value {
            Value::String(text) => self.check_string(schema, text, path),
            Value::Number(_) => self.check_number(schema, value, path),
            Value::Array(items) => self.check_array(schema, items, old, path),
            _ => {}
        }
        self.check_enum(schema, value, path);
        if let Value::Object(map) = value {
            self.check_object(schema, map, old, path);
        }
    }

    fn check_type(&mut self, schema: &Schema, value: &Value, path: Path<'_>) {
        let (fits, wanted) = match schema.kind {
            _ if schema.int_or_string => {
                let fits =
                    value.is_i64() || value.is_u64() || value.is_string() || (value.is_null() && schema.nullable);
                (fits, "integer,string")
            }
            None => return,
            Some(kind) => (has_type(value, kind) || (value.is_null() && schema.nullable), kind.name()),
        };
        if !fits {
            self.refuse_type(schema, wanted, value, path);
        }
    }

    fn refuse_type(&mut self, schema: &Schema, wanted: &str, value: &Value, path: Path<'_>) {
        let fraction = schema.kind == Some(Type::Integer) && value.is_number();
        // kube-apiserver speaks of a fraction in Go's words where the field has a format.
        let (wanted, found) = match (fraction, schema.format.as_str()) {
            (true, "") => ("integer", "number"),
            (true, format) => (format, "float64"),
            (false, _) => (wanted, type_name(value)),
        };
        let detail = format!("{path} in body must be of type {wanted}: {found:?}");
        self.errors.push(FieldError::new(FieldErrorKind::TypeInvalid, path, Some(json!(found)), detail));
    }

    fn check_enum(&mut self, schema: &Schema, value: &Value, path: Path<'_>) {
        let allowed = &schema.one_of_values;
        if allowed.is_empty() || allowed.iter().any(|choice| same(choice, value)) {
            return;
        }
        let allowed: Vec<String> =
            allowed.iter().map(|choice| choice.as_str().map_or_else(|| choice.to_string(), str::to_owned)).collect();
        self.errors.push(FieldError::not_supported(path, value.clone(), &allowed));
    }

    fn check_string(&mut self, schema: &Schema, text: &str, path: Path<'_>) {
        let length = text.chars().count() as u64;
        if let Some(most) = schema.max_length.filter(|&most| length > most) {
            let unit = if most == 1 { "byte" } else { "bytes" };
            let detail = format!("may not be more than {most} {unit}");
            self.errors.push(FieldError::new(FieldErrorKind::TooLong, path, None, detail));
        } else if let Some(least) = schema.min_length.filter(|&least| length < least) {
            self.invalid(path, json!(text), format_args!("should be at least {least} chars long"));
        } else if let Some(pattern) = &schema.pattern
            && !pattern.regex.as_ref().is_some_and(|regex| regex.is_match(text))
        {
            self.invalid(path, json!(text), format_args!("should match '{}'", pattern.source));
        }
        if !format_holds(&schema.format, text) {
            let detail = format!("{path} in body must be of type {}: {text:?}", schema.format);
            self.errors.push(FieldError::new(FieldErrorKind::TypeInvalid, path, Some(json!(text)), detail));
        }
    }

    fn check_number(&mut self, schema: &Schema, value: &Value, path: Path<'_>) {
        let number = value.as_f64().unwrap_or_default();
        if schema.kind == Some(Type::Integer) && !fits_integer(number, &schema.format) {
            let format = match schema.format.as_str() {
                known @ ("int32" | "int64") => format!("with format {known}"),
                _ => "(default format)".to_owned(),
            };
            let detail = format!("Checked value must be of type integer {format} in {path}");
            self.errors.push(FieldError::invalid("<nil>", json!(""), detail));
        }
        if let Some(factor) = schema.multiple_of
            && (number / factor).fract() != 0.0
        {
            self.invalid(path, value.clone(), format_args!("should be a multiple of {}", bound(value, factor).1));
        }
        if let Some(least) = schema.minimum {
            let (limit, shown) = bound(value, least.value);
            let (bad, words) = if least.exclusive {
                (number <= limit, "should be greater than")
            } else {
                (number < limit, "should be greater than or equal to")
            };
            if bad {
                self.invalid(path, value.clone(), format_args!("{words} {shown}"));
            }
        }
        if let Some(most) = schema.maximum {
            let (limit, shown) = bound(value, most.value);
            let (bad, words) = if most.exclusive {
                (number >= limit, "should be less than")
            } else {
                (number > limit, "should be less than or equal to")
            };
            if bad {
                self.invalid(path, value.clone(), format_args!("{words} {shown}"));
            }
        }
    }

    fn check_array(&mut self, schema: &Schema, items: &[Value], old: Option<&Value>, path: Path<'_>) {
        if let Some(below) = schema.items.as_deref() {
            for (at, item) in items.iter().enumerate() {
                self.check(below, item, counterpart(&schema.list_type, item, old), Path::Item(&path, at));
            }
        }
        let length = items.len() as u64;
        if let Some(least) = schema.min_items.filter(|&least| length < least) {
            self.invalid(path, json!(length), format_args!("should have at least {least} items"));
        }
        if let Some(most) = schema.max_items.filter(|&most| length > most) {
            self.too_many(path, length, most);
        }
        let mut seen = HashSet::new();
        if schema.unique_items && !items.iter().all(|item| seen.insert(item)) {
            self.invalid(path, json!(""), "shouldn't contain duplicates");
        }
    }

    fn too_many(&mut self, path: Path<'_>, actual: u64, most: u64) {
        let unit = if most == 1 { "item" } else { "items" };
        let detail = format!("must have at most {most} {unit}");
        self.errors.push(FieldError::new(FieldErrorKind::TooMany, path, Some(json!(actual)), detail));
    }

    fn check_object(&mut self, schema: &Schema, map: &Map<String, Value>, old: Option<&Value>, path: Path<'_>) {
        let count = map.len() as u64;
        if let Some(least) = schema.min_properties.filter(|&least| count < least) {
            self.invalid(path, json!(count), format_args!("should have at least {least} properties"));
        }
        if let Some(most) = schema.max_properties.filter(|&most| count > most) {
            self.too_many(path, count, most);
        }
        for (key, value) in map {
            if let Some(below) = schema.field(key) {
                let old = old.and_then(|old| old.get(key));
                self.check(below, value, old, Path::Field(&path, key));
            }
        }
        for key in schema.required.iter().filter(|key| !map.contains_key(*key)) {
            self.errors.push(FieldError::required(Path::Field(&path, key).to_string(), ""));
        }
    }

    /// `allOf`, `anyOf`, `oneOf`, `not`: value checks only, as structural schemas allow.
    fn check_junctors(&mut self, schema: &Schema, value: &Value, path: Path<'_>) {
        let tried = |schema: &Schema| {
            let mut checker = Self { errors: Vec::new() };
            checker.check(schema, value, None, path);
            checker.errors
        };
        if !schema.any_of.is_empty() {
            let failures: Vec<_> = schema.any_of.iter().map(tried).collect();
            if failures.iter().all(|errors| !errors.is_empty()) {
                let detail = format!("{path:?} must validate at least one schema (anyOf)");
                self.errors.push(FieldError::invalid(path, json!(""), detail));
                self.errors.extend(failures.into_iter().min_by_key(Vec::len).unwrap_or_default());
            }
        }
        if !schema.one_of.is_empty() {
            let failures: Vec<_> = schema.one_of.iter().map(tried).collect();
            let valid = failures.iter().filter(|errors| errors.is_empty()).count();
            if valid != 1 {
                let found = if valid == 0 {
                    "Found none valid".to_owned()
                } else {
                    format!("Found {valid} valid alternatives")
                };
                let detail = format!("{path:?} must validate one and only one schema (oneOf). {found}");
                self.errors.push(FieldError::invalid(path, json!(""), detail));
                if valid == 0 {
                    self.errors.extend(failures.into_iter().min_by_key(Vec::len).unwrap_or_default());
                }
            }
        }
        let failures: Vec<_> = schema.all_of.iter().map(tried).filter(|errors| !errors.is_empty()).collect();
        if !failures.is_empty() {
            let none = if failures.len() == schema.all_of.len() { ". None validated" } else { "" };
            self.errors.extend(failures.into_iter().flatten());
            let detail = format!("{path:?} must validate all the schemas (allOf){none}");
            self.errors.push(FieldError::invalid(path, json!(""), detail));
        }
        if let Some(not) = &schema.not
            && tried(not).is_empty()
        {
            let detail = format!("{path:?} must not validate the schema (not)");
            self.errors.push(FieldError::invalid(path, json!(""), detail));
        }
    }
}

/// A bound as kube-apiserver compares and prints it: as a whole number beside a number written without a fraction.
fn bound(value: &Value, bound: f64) -> (f64, String) {
    if value.is_f64() { (bound, gofmt::float(bound)) } else { (bound.trunc(), format!("{}", bound.trunc())) }
}

fn has_type(value: &Value, kind: Type) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) => kind == Type::Boolean,
        Value::String(_) => kind == Type::String,
        Value::Array(_) => kind == Type::Array,
        Value::Object(_) => kind == Type::Object,
        Value::Number(number) => {
            let whole = number.as_f64().is_some_and(|number| number.fract() == 0.0);
            kind == Type::Number || (kind == Type::Integer && whole)
        }
    }
}

fn fits_integer(number: f64, format: &str) -> bool {
    let (least, most) = match format {
        "int32" => (f64::from(i32::MIN), f64::from(i32::MAX)),
        _ => (i64::MIN as f64, i64::MAX as f64),
    };
    number.fract() == 0.0 && (least..=most).contains(&number)
}

/// The name that kube-apiserver has for the type of a value.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
    }
}

/// Equality in which 1 and 1.0 are the same.
fn same(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && b.is_number() && a.as_f64() == b.as_f64())
}

/// Whether a text is of one of the formats that the schemas here use; formats not listed are not checked.
fn format_holds(format: &str, text: &str) -> bool {
    match format {
        "date-time" | "datetime" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "uuid" => uuid::Uuid::try_parse(text).is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "duration" => cel_value::is_duration(text),
        _ => true,
    }
}

/// Lists that are sets or maps hold nothing twice.
fn unique(schema: &Schema, value: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    if !schema.has_named_items {
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if let Some(below) = schema.properties.get(key) {
                    unique(below, value, Path::Field(&path, key), errors);
                } else if let Some(below) = schema.additional.as_deref() {
                    unique(below, value, Path::Key(&path, key), errors);
                }
            }
        }
        Value::Array(items) => {
            let identity = |item: &Value| -> Option<Value> {
                match &schema.list_type {
                    ListType::Atomic => None,
                    ListType::Set => Some(item.clone()),
                    ListType::Map(keys) => Some(Value::Object(
                        keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone()))).collect(),
                    )),
                }
            };
            let mut seen = HashSet::new();
            for (at, item) in items.iter().enumerate() {
                let Some(identity) = identity(item) else { break };
                if seen.contains(&identity) {
                    errors.push(FieldError::duplicate(format!("{path}[{at}]"), identity));
                } else {
                    seen.insert(identity);
                }
            }
            if let Some(below) = schema.items.as_deref() {
                for (at, item) in items.iter().enumerate() {
                    unique(below, item, Path::Item(&path, at), errors);
                }
            }
        }
        _ => {}
    }
}

/// Embedded objects say what they are.
fn embedded(schema: &Schema, value: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    if !schema.has_embedded {
        return;
    }
    match value {
        Value::Object(map) => {
            if schema.embedded_resource {
                for key in ["apiVersion", "kind"] {
                    let field = Path::Field(&path, key).to_string();
                    match map.get(key) {
                        None => errors.push(FieldError::required(field, "")),
                        Some(Value::String(text)) if text.is_empty() => {
                            errors.push(FieldError::invalid(field, json!(""), "must not be empty"));
                        }
                        Some(Value::String(_)) => {}
                        Some(other) => errors.push(FieldError::invalid(field, other.clone(), "must be a string")),
                    }
                }
            }
            for (key, value) in map {
                if let Some(below) = schema.properties.get(key) {
                    embedded(below, value, Path::Field(&path, key), errors);
                } else if let Some(below) = schema.additional.as_deref() {
                    embedded(below, value, Path::Key(&path, key), errors);
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = schema.items.as_deref() {
                for (at, item) in items.iter().enumerate() {
                    embedded(below, item, Path::Item(&path, at), errors);
                }
            }
        }
        _ => {}
    }
}
