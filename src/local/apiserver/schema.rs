//! Structural schemas: an `openAPIV3Schema`, taken apart once so that checking an object is cheap.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use super::cel::Rule;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Type {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// How server-side apply and the uniqueness checks see a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum ListType {
    #[default]
    Atomic,
    Set,
    /// Objects with these keys.
    Map(Vec<String>),
}

/// A bound of a number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub value: f64,
    pub exclusive: bool,
}

/// One node of a schema.
#[derive(Debug, Default)]
pub(super) struct Schema {
    pub kind: Option<Type>,
    pub nullable: bool,
    pub int_or_string: bool,
    pub preserve_unknown: bool,
    pub embedded_resource: bool,
    pub properties: BTreeMap<String, Schema>,
    /// Whether keys beyond `properties` are allowed (`additionalProperties`), and the schema of their values.
    pub allows_additional: bool,
    pub additional: Option<Box<Schema>>,
    pub items: Option<Box<Schema>>,
    pub required: Vec<String>,
    pub default: Option<Value>,
    pub format: String,
    pub one_of_values: Vec<Value>,
    pub minimum: Option<Bound>,
    pub maximum: Option<Bound>,
    pub multiple_of: Option<f64>,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub pattern: Option<Pattern>,
    pub min_items: Option<u64>,
    pub max_items: Option<u64>,
    pub unique_items: bool,
    pub min_properties: Option<u64>,
    pub max_properties: Option<u64>,
    pub list_type: ListType,
    /// Whether server-side apply sees the object as one value (`x-kubernetes-map-type: atomic`).
    pub atomic_map: bool,
    pub rules: Vec<Rule>,
    /// Whether this node or one below it has rules.
    pub has_rules: bool,
    /// Whether this node or one below it has rules that compare with the old value.
    pub has_transition_rules: bool,
    /// Whether this node or one below it is a list whose items have names.
    pub has_named_items: bool,
    /// Whether this node or one below it is an object with kind and metadata of its own.
    pub has_embedded: bool,
    pub all_of: Vec<Schema>,
    pub any_of: Vec<Schema>,
    pub one_of: Vec<Schema>,
    pub not: Option<Box<Schema>>,
}

/// A regular expression, kept with its source for the sentence.
#[derive(Debug)]
pub(super) struct Pattern {
    pub source: String,
    /// `None` if the expression is none; such a pattern matches nothing.
    pub regex: Option<Regex>,
}

impl Schema {
    /// Takes an `openAPIV3Schema` apart.
    pub fn compile(schema: &Value) -> Self {
        let text = |key: &str| schema.get(key).and_then(Value::as_str).unwrap_or_default();
        let flag = |key: &str| schema.get(key).and_then(Value::as_bool).unwrap_or(false);
        let number = |key: &str| schema.get(key).and_then(Value::as_f64);
        let count = |key: &str| schema.get(key).and_then(Value::as_u64);
        let list = |key: &str| schema.get(key).and_then(Value::as_array).into_iter().flatten();
        let below =
            |key: &str| schema.get(key).filter(|value| value.is_object()).map(|value| Box::new(Self::compile(value)));
        let bound = |key: &str, exclusive: &str| number(key).map(|value| Bound { value, exclusive: flag(exclusive) });
        let texts = |key: &str| list(key).filter_map(|item| item.as_str().map(str::to_owned)).collect::<Vec<_>>();
        let mut compiled = Self {
            kind: match text("type") {
                "object" => Some(Type::Object),
                "array" => Some(Type::Array),
                "string" => Some(Type::String),
                "integer" => Some(Type::Integer),
                "number" => Some(Type::Number),
                "boolean" => Some(Type::Boolean),
                _ => None,
            },
            nullable: flag("nullable"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded_resource: flag("x-kubernetes-embedded-resource"),
            properties: schema
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .map(|(name, property)| (name.clone(), Self::compile(property)))
                .collect(),
            allows_additional: schema.get("additionalProperties").is_some_and(|value| *value != Value::Bool(false)),
            additional: below("additionalProperties"),
            items: below("items"),
            required: texts("required"),
            default: schema.get("default").filter(|value| !value.is_null()).cloned(),
            format: text("format").to_owned(),
            one_of_values: list("enum").cloned().collect(),
            minimum: bound("minimum", "exclusiveMinimum"),
            maximum: bound("maximum", "exclusiveMaximum"),
            multiple_of: number("multipleOf"),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            pattern: schema
                .get("pattern")
                .and_then(Value::as_str)
                .map(|source| Pattern { source: source.to_owned(), regex: Regex::new(source).ok() }),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            unique_items: flag("uniqueItems"),
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
            list_type: match text("x-kubernetes-list-type") {
                "map" => ListType::Map(texts("x-kubernetes-list-map-keys")),
                "set" => ListType::Set,
                _ => ListType::Atomic,
            },
            atomic_map: text("x-kubernetes-map-type") == "atomic",
            rules: list("x-kubernetes-validations").map(Rule::compile).collect(),
            has_rules: false,
            has_transition_rules: false,
            has_named_items: false,
            has_embedded: false,
            all_of: list("allOf").map(Self::compile).collect(),
            any_of: list("anyOf").map(Self::compile).collect(),
            one_of: list("oneOf").map(Self::compile).collect(),
            not: below("not"),
        };
        compiled.has_rules = !compiled.rules.is_empty() || compiled.children().any(|child| child.has_rules);
        compiled.has_transition_rules =
            compiled.rules.iter().any(Rule::compares) || compiled.children().any(|child| child.has_transition_rules);
        compiled.has_named_items =
            compiled.list_type != ListType::Atomic || compiled.children().any(|child| child.has_named_items);
        compiled.has_embedded = compiled.embedded_resource || compiled.children().any(|child| child.has_embedded);
        compiled
    }

    fn children(&self) -> impl Iterator<Item = &Self> {
        self.properties.values().chain(self.additional.as_deref()).chain(self.items.as_deref()).chain(&self.all_of)
    }

    /// The schema of the value under `key`, if it has one.
    pub fn field(&self, key: &str) -> Option<&Self> {
        self.properties.get(key).or(self.additional.as_deref())
    }

    /// Every rule that cannot be compiled, with the reason.
    pub fn broken_rules(&self) -> Vec<String> {
        let mut broken: Vec<String> = self.rules.iter().filter_map(Rule::defect).collect();
        for child in self.children() {
            broken.extend(child.broken_rules());
        }
        broken
    }
}

/// The old item that an item of a list is compared with: the one of the same keys in a map list, none elsewhere.
pub(super) fn counterpart<'a>(list_type: &ListType, item: &Value, old: Option<&'a Value>) -> Option<&'a Value> {
    let ListType::Map(keys) = list_type else { return None };
    let same = |other: &&Value| keys.iter().all(|key| item.get(key) == other.get(key));
    old?.as_array()?.iter().find(same)
}
