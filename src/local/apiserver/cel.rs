//! `x-kubernetes-validations`: rules of a schema in CEL, evaluated by kube-cel's library of functions.
//!
//! The walk is our own: rules are compiled once with the schema, values are converted only where a rule looks, and items
//! of map lists meet their old counterpart by key.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use kube_cel::{
    KubeCelExt,
    cel::{Context, ExecutionError, FunctionContext, Program, Value as Cel, extractors::This, objects::OptionalValue},
};
use regex::Regex;
use serde_json::Value;

use super::{
    cel_glance::Glance,
    cel_value::converted,
    path::Path,
    schema::{Schema, Type, counterpart},
    status::{FieldError, FieldErrorKind},
};

/// A compiled rule.
#[derive(Debug)]
pub(super) struct Rule {
    source: String,
    message: Option<String>,
    reason: Option<String>,
    /// Path below the node, normalised to begin with a dot or a bracket; empty for the node itself.
    field_path: String,
    optional_old_self: bool,
    program: Result<Program, String>,
    message_program: Option<Program>,
    uses_old_self: bool,
    glance: Glance,
}

impl Rule {
    pub fn compile(rule: &Value) -> Self {
        let text = |key: &str| rule.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let source = text("rule").unwrap_or_default();
        let program = Program::compile(&source).map_err(|error| error.to_string());
        let uses_old_self = program.as_ref().is_ok_and(|program| program.references().has_variable("oldSelf"));
        let mut glance = Glance::of(&source);
        glance.merge(&Glance::of(&text("messageExpression").unwrap_or_default()));
        let field_path = text("fieldPath").map(|path| path.replace("['", "[").replace("']", "]")).unwrap_or_default();
        Self {
            message: text("message").map(|message| message.trim().to_owned()),
            reason: text("reason"),
            field_path,
            optional_old_self: rule.get("optionalOldSelf").and_then(Value::as_bool).unwrap_or(false),
            message_program: text("messageExpression").and_then(|source| Program::compile(&source).ok()),
            program,
            uses_old_self,
            glance,
            source,
        }
    }

    /// Whether the rule compares with the old value.
    pub fn compares(&self) -> bool {
        self.uses_old_self
    }

    /// Why the rule cannot be used, if it cannot.
    pub fn defect(&self) -> Option<String> {
        self.program.as_ref().err().map(|why| format!("rule {:?} does not compile: {why}", self.source))
    }

    fn words(&self) -> &str {
        self.message.as_deref().unwrap_or_else(|| self.source.trim())
    }
}

thread_local! {
    static FUNCTIONS: Context<'static> = {
        let mut functions = Context::default().with_all();
        functions.add_function("matches", matches);
        functions
    };
    static EXPRESSIONS: RefCell<HashMap<String, Regex>> = RefCell::default();
}

/// Most regular expressions that are kept.
const MAX_EXPRESSIONS: usize = 256;

/// The library's own compiles its expression anew at each call.
fn matches(
    context: &FunctionContext<'_, '_>,
    This(text): This<Arc<String>>,
    source: Arc<String>,
) -> Result<bool, ExecutionError> {
    EXPRESSIONS.with_borrow_mut(|known| {
        if let Some(expression) = known.get(source.as_str()) {
            return Ok(expression.is_match(&text));
        }
        let expression =
            Regex::new(&source).map_err(|why| context.error(format!("'{source}' not a valid regex:\n{why}")))?;
        let found = expression.is_match(&text);
        if known.len() < MAX_EXPRESSIONS {
            known.insert(source.to_string(), expression);
        }
        Ok(found)
    })
}

/// Every rule that does not hold.
pub(super) fn errors(schema: &Schema, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    FUNCTIONS.with(|functions| {
        let mut walk = Walk { functions, errors: Vec::new() };
        walk.node(schema, object, old, false, Path::Root, true);
        walk.errors
    })
}

struct Walk<'a> {
    functions: &'a Context<'static>,
    errors: Vec<FieldError>,
}

impl Walk<'_> {
    /// Checks a node and what is below it. `kept`: an ancestor equals its old value, so only transition rules count.
    fn node(&mut self, schema: &Schema, value: &Value, old: Option<&Value>, kept: bool, path: Path<'_>, root: bool) {
        if !schema.has_rules || value.is_null() {
            return;
        }
        let kept = kept || old == Some(value);
        if kept && !schema.has_transition_rules {
            return;
        }
        self.rules(schema, value, old, kept, path, root);
        for below in &schema.all_of {
            self.node(below, value, old, kept, path, false);
        }
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let old = old.and_then(|old| old.get(key));
                    if let Some(below) = schema.properties.get(key) {
                        self.node(below, value, old, kept, Path::Field(&path, key), false);
                    } else if let Some(below) = schema.additional.as_deref() {
                        self.node(below, value, old, kept, Path::Key(&path, key), false);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(below) = schema.items.as_deref() {
                    for (at, item) in items.iter().enumerate() {
                        let old = counterpart(&schema.list_type, item, old);
                        self.node(below, item, old, kept, Path::Item(&path, at), false);
                    }
                }
            }
            _ => {}
        }
    }

    fn rules(&mut self, schema: &Schema, value: &Value, old: Option<&Value>, kept: bool, path: Path<'_>, root: bool) {
        let old = old.filter(|old| !old.is_null());
        let due = |rule: &&Rule| {
            let skipped = if rule.uses_old_self {
                (old.is_none() && !rule.optional_old_self)
                    // Any value equals itself, so this common rule needs no conversion of large values.
                    || (old == Some(value) && rule.source.trim() == "self == oldSelf")
            } else {
                kept
            };
            !skipped
        };
        if !schema.rules.iter().any(|rule| due(&rule)) {
            return;
        }
        let (mut glance, mut compares) = (Glance::default(), false);
        for rule in schema.rules.iter().filter(due) {
            glance.merge(&rule.glance);
            compares |= rule.uses_old_self;
        }
        let mut context = self.functions.new_inner_scope();
        context.add_variable_from_value("self", converted(value, Some(schema), root, &glance));
        let old = old.filter(|_| compares).map(|old| converted(old, Some(schema), root, &glance));
        for rule in schema.rules.iter().filter(due) {
            let mut scope = context.new_inner_scope();
            let old_self = if rule.optional_old_self {
                let optional = old.clone().map_or_else(OptionalValue::none, OptionalValue::of);
                Some(Cel::Opaque(Arc::new(optional)))
            } else {
                old.clone()
            };
            if let Some(old_self) = old_self.filter(|_| rule.uses_old_self) {
                scope.add_variable_from_value("oldSelf", old_self);
            }
            if let Some(error) = judge(rule, &scope, schema, value, path) {
                self.errors.push(error);
            }
        }
    }
}

fn judge(rule: &Rule, scope: &Context<'_>, schema: &Schema, value: &Value, path: Path<'_>) -> Option<FieldError> {
    let type_name = Value::from(schema.kind.map(Type::name).unwrap_or_default());
    let node = || if path.is_root() { "<nil>".to_owned() } else { path.to_string() };
    let broken = |why: String| Some(FieldError::invalid(node(), type_name.clone(), why));
    let program = match &rule.program {
        Ok(program) => program,
        Err(why) => return broken(format!("rule compile error: {why}")),
    };
    match program.execute(scope) {
        Ok(Cel::Bool(true)) => None,
        Ok(Cel::Bool(false)) => {
            let field = match (path.is_root(), rule.field_path.strip_prefix('.')) {
                _ if rule.field_path.is_empty() => node(),
                (true, Some(below)) => below.to_owned(),
                _ => format!("{path}{}", rule.field_path),
            };
            let shown = match value {
                Value::Object(_) | Value::Array(_) => None,
                plain => Some(plain.clone()),
            };
            let sentence = message(rule, scope);
            Some(match rule.reason.as_deref() {
                Some("FieldValueForbidden") => FieldError::forbidden(field, sentence),
                Some("FieldValueRequired") => FieldError::required(field, sentence),
                Some("FieldValueDuplicate") => FieldError::new(FieldErrorKind::Duplicate, field, shown, ""),
                _ => FieldError::new(FieldErrorKind::Invalid, field, shown, sentence),
            })
        }
        Ok(_) => broken(format!("the rule is not a condition: {}", rule.words())),
        Err(error) => broken(format!("{} evaluating rule: {}", error_words(&error), rule.words())),
    }
}

/// Kubernetes' words for an evaluation that failed, where they are known.
fn error_words(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".to_owned(),
        ExecutionError::IndexOutOfBounds(Cel::Int(at)) => format!("index out of bounds: {at}"),
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        ExecutionError::NoSuchOverload => "no such overload".to_owned(),
        other => other.to_string(),
    }
}

fn message(rule: &Rule, scope: &Context<'_>) -> String {
    if let Some(Ok(Cel::String(text))) = rule.message_program.as_ref().map(|program| program.execute(scope)) {
        let text = text.trim();
        if !text.is_empty() && !text.contains('\n') && text.len() <= 5 * 1024 {
            return text.to_owned();
        }
    }
    rule.message.clone().unwrap_or_else(|| format!("failed rule: {}", rule.words()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(schema: Value, object: Value, old: Option<Value>) -> Vec<String> {
        let schema = Schema::compile(&schema);
        assert_eq!(schema.broken_rules(), Vec::<String>::new());
        errors(&schema, &object, old.as_ref()).iter().map(ToString::to_string).collect()
    }

    fn with(rule: Value, property: Value) -> Value {
        json!({"type": "object", "properties": {"a": property}, "x-kubernetes-validations": [rule]})
    }

    #[test]
    fn rules_and_their_sentences() {
        let integer = json!({"type": "integer"});
        let number = json!({"type": "number"});
        let table: Vec<(&str, Value, Value, Option<Value>, &[&str])> = vec![
            ("holds", with(json!({"rule": "self.a > 0"}), integer.clone()), json!({"a": 1}), None, &[]),
            (
                "the rule itself is the sentence",
                with(json!({"rule": "self.a > 0"}), integer.clone()),
                json!({"a": 0}),
                None,
                &["<nil>: Invalid value: failed rule: self.a > 0"],
            ),
            (
                "fieldPath and reason",
                with(
                    json!({"rule": "self.a > 0", "fieldPath": ".a", "reason": "FieldValueForbidden", "message": "no"}),
                    integer.clone(),
                ),
                json!({"a": 0}),
                None,
                &["a: Forbidden: no"],
            ),
            (
                "messageExpression",
                with(
                    json!({"rule": "self.a > 0", "message": "no", "messageExpression": "'a is ' + string(self.a)"}),
                    integer.clone(),
                ),
                json!({"a": -3}),
                None,
                &["<nil>: Invalid value: a is -3"],
            ),
            (
                "a whole number in a field of type number is a double",
                with(json!({"rule": "self.a / 2.0 < 1.0"}), number),
                json!({"a": 1}),
                None,
                &[],
            ),
            (
                "the value of a scalar is shown",
                json!({"type": "object", "properties": {"a": {"type": "string", "x-kubernetes-validations": [{"rule": "self == 'x'", "message": "must be x"}]}}}),
                json!({"a": "y"}),
                None,
                &["a: Invalid value: \"y\": must be x"],
            ),
            (
                "a transition rule waits for an old value",
                with(json!({"rule": "self.a == oldSelf.a", "message": "fixed"}), integer.clone()),
                json!({"a": 1}),
                None,
                &[],
            ),
            (
                "and compares then",
                with(json!({"rule": "self.a == oldSelf.a", "message": "fixed"}), integer.clone()),
                json!({"a": 1}),
                Some(json!({"a": 2})),
                &["<nil>: Invalid value: fixed"],
            ),
            (
                "optionalOldSelf",
                with(
                    json!({"rule": "oldSelf.hasValue() || self.a == 1", "optionalOldSelf": true, "message": "starts at 1"}),
                    integer.clone(),
                ),
                json!({"a": 2}),
                None,
                &["<nil>: Invalid value: starts at 1"],
            ),
            (
                "what did not change is not judged again",
                with(json!({"rule": "self.a > 0"}), integer.clone()),
                json!({"a": 0}),
                Some(json!({"a": 0})),
                &[],
            ),
            (
                "a missing key",
                with(json!({"rule": "self.b == 1", "message": "b"}), integer),
                json!({"a": 0}),
                None,
                &["<nil>: Invalid value: \"object\": no such key: b evaluating rule: b"],
            ),
        ];
        for (name, schema, object, old, expected) in table {
            assert_eq!(found(schema, object, old), expected, "{name}");
        }
    }

    #[test]
    fn items_of_map_lists_meet_by_key() {
        let schema = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {
            "type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v", "message": "v only grows"}],
        }});
        let old = json!([{"k": "a", "v": 1}, {"k": "b", "v": 5}]);
        assert_eq!(
            found(schema.clone(), json!([{"k": "b", "v": 5}, {"k": "c", "v": 0}]), Some(old.clone())),
            Vec::<String>::new()
        );
        assert_eq!(found(schema, json!([{"k": "b", "v": 4}]), Some(old)), ["[0]: Invalid value: v only grows"]);
    }
}
