//! Answers that are not objects: `metav1.Status` with the wording of kube-apiserver.

use std::fmt;

use serde_json::{Value, json};

/// One cause of a refusal: what is wrong with which field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Machine-readable kind, for instance `FieldValueInvalid`.
    pub reason: String,
    /// The sentence, without the field.
    pub message: String,
    /// Path of the field, for instance `spec.limits.maxTrials`.
    pub field: String,
}

/// A failed request, as Kubernetes words it.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// `reason` of the Status; empty where kube-apiserver gives none.
    pub reason: String,
    /// The sentence that a client prints.
    pub message: String,
    /// `details`: name, group and kind of the object, and the causes.
    details: Box<Details>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Details {
    name: String,
    group: String,
    kind: String,
    uid: String,
    causes: Vec<Cause>,
    retry_after_seconds: Option<u32>,
    continue_token: Option<String>,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

/// `experiments` of no group, `experiments.automl.dev` of one.
pub(super) fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

impl Status {
    /// A Status with nothing but code, reason and message.
    #[must_use]
    pub fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self { code, reason: reason.to_owned(), message: message.into(), details: Box::default() }
    }

    /// The causes, one a field; empty unless the object was invalid or an apply met a conflict.
    #[must_use]
    pub fn causes(&self) -> &[Cause] {
        &self.details.causes
    }

    /// Asks the client to come back after so many seconds (`Retry-After`).
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.details.retry_after_seconds = Some(seconds);
        self
    }

    /// Seconds after which the client should try again, if the answer says so.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        self.details.retry_after_seconds
    }

    /// Adds the token with which an expired list can go on.
    pub(super) fn with_continue(mut self, token: String) -> Self {
        self.details.continue_token = Some(token);
        self
    }

    fn about(mut self, kind: &str, group: &str, name: &str) -> Self {
        kind.clone_into(&mut self.details.kind);
        group.clone_into(&mut self.details.group);
        name.clone_into(&mut self.details.name);
        self
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(super) fn page_not_found() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    pub(super) fn not_found(plural: &str, group: &str, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} {name:?} not found", qualified(plural, group)))
            .about(plural, group, name)
    }

    pub(super) fn already_exists(plural: &str, group: &str, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} {name:?} already exists", qualified(plural, group)))
            .about(plural, group, name)
    }

    pub(super) fn conflict(plural: &str, group: &str, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", qualified(plural, group));
        Self::new(409, "Conflict", message).about(plural, group, name)
    }

    /// The conflict of a write that was computed from an older version.
    pub(super) fn modified(plural: &str, group: &str, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(plural, group, name, why)
    }

    pub(super) fn apply_conflict(message: String, causes: Vec<Cause>) -> Self {
        let mut status = Self::new(409, "Conflict", message);
        status.details.causes = causes;
        status
    }

    pub(super) fn forbidden(plural: &str, group: &str, name: &str, why: &str) -> Self {
        let message = format!("{} {name:?} is forbidden: {why}", qualified(plural, group));
        Self::new(403, "Forbidden", message).about(plural, group, name)
    }

    pub(super) fn unsupported_media_type(given: &str, allowed: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {allowed} (got {given:?})"
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    pub(super) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    pub(super) fn invalid(kind: &str, group: &str, name: &str, errors: &[FieldError]) -> Self {
        let mut sentences: Vec<String> = Vec::new();
        for error in errors {
            let sentence = error.to_string();
            if !sentences.contains(&sentence) {
                sentences.push(sentence);
            }
        }
        let joined = match sentences.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} {name:?} is invalid: {joined}", qualified(kind, group));
        let mut status = Self::new(422, "Invalid", message).about(kind, group, name);
        status.details.causes = errors.iter().map(FieldError::cause).collect();
        status
    }

    /// The `metav1.Status` object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut details = serde_json::Map::new();
        let texts = [
            ("name", &self.details.name),
            ("group", &self.details.group),
            ("kind", &self.details.kind),
            ("uid", &self.details.uid),
        ];
        for (key, text) in texts {
            if !text.is_empty() {
                details.insert(key.to_owned(), json!(text));
            }
        }
        if !self.details.causes.is_empty() {
            let causes = self.details.causes.iter().map(Cause::to_json).collect();
            details.insert("causes".to_owned(), Value::Array(causes));
        }
        if let Some(seconds) = self.details.retry_after_seconds {
            details.insert("retryAfterSeconds".to_owned(), json!(seconds));
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let Some(token) = &self.details.continue_token {
            status["metadata"] = json!({ "continue": token });
        }
        if !details.is_empty() {
            status["details"] = Value::Object(details);
        }
        status
    }

    /// The Status that answers a deletion that is complete.
    pub(super) fn deleted(plural: &str, group: &str, name: &str, uid: &str) -> Value {
        let mut details = json!({ "name": name, "kind": plural, "uid": uid });
        if !group.is_empty() {
            details["group"] = json!(group);
        }
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
    }
}

impl Cause {
    fn to_json(&self) -> Value {
        let mut cause = serde_json::Map::new();
        for (key, text) in [("reason", &self.reason), ("message", &self.message), ("field", &self.field)] {
            if !text.is_empty() {
                cause.insert(key.to_owned(), json!(text));
            }
        }
        Value::Object(cause)
    }
}

/// What is wrong with a field: `k8s.io/apimachinery/pkg/util/validation/field.Error`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FieldError {
    pub kind: FieldErrorKind,
    pub field: String,
    /// The value shown in the sentence; absent where Kubernetes shows none.
    pub value: Option<Value>,
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldErrorKind {
    Required,
    NotFound,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    TypeInvalid,
}

impl FieldErrorKind {
    const fn title(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::NotFound => "Not found",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::NotFound => "FieldValueNotFound",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }
}

impl FieldError {
    pub fn new(
        kind: FieldErrorKind,
        field: impl Into<String>,
        value: Option<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self { kind, field: field.into(), value, detail: detail.into() }
    }

    pub fn required(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Required, field, None, detail)
    }

    pub fn invalid(field: impl Into<String>, value: Value, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Invalid, field, Some(value), detail)
    }

    pub fn forbidden(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Forbidden, field, None, detail)
    }

    pub fn duplicate(field: impl Into<String>, value: Value) -> Self {
        Self::new(FieldErrorKind::Duplicate, field, Some(value), "")
    }

    pub fn not_supported(field: impl Into<String>, value: Value, supported: &[String]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|text| format!("{text:?}")).collect();
        let detail = format!("supported values: {}", quoted.join(", "));
        Self::new(FieldErrorKind::NotSupported, field, Some(value), detail)
    }

    fn body(&self) -> String {
        let mut body = self.kind.title().to_owned();
        if let Some(value) = &self.value {
            body.push_str(": ");
            body.push_str(&match value {
                Value::String(text) => format!("{text:?}"),
                other => other.to_string(),
            });
        }
        if !self.detail.is_empty() {
            body.push_str(": ");
            body.push_str(&self.detail);
        }
        body
    }

    fn cause(&self) -> Cause {
        Cause { reason: self.kind.reason().to_owned(), message: self.body(), field: self.field.clone() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}
