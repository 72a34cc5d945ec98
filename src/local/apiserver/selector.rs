//! Label and field selectors.

use serde_json::Value;

use super::{object, status::Status};

/// A conjunction of requirements on labels (`a=b,c!=d,e in (f,g),h,!i`).
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct LabelSelector(Vec<LabelRequirement>);

#[derive(Clone, Debug, PartialEq)]
enum LabelRequirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

impl LabelSelector {
    pub fn parse(text: &str) -> Result<Self, Status> {
        let mut requirements = Vec::new();
        for part in split_outside_parentheses(text) {
            let part = part.trim();
            if !part.is_empty() {
                requirements.push(requirement(part).ok_or_else(|| {
                    Status::bad_request(format!(
                        "unable to parse requirement: found {part:?} in the label selector {text:?}"
                    ))
                })?);
            }
        }
        Ok(Self(requirements))
    }

    pub fn matches(&self, object: &Value) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let labels = object::metadata(object).and_then(|meta| meta.get("labels")).and_then(Value::as_object);
        let label = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        self.0.iter().all(|requirement| match requirement {
            LabelRequirement::In(key, values) => label(key).is_some_and(|value| values.iter().any(|v| v == value)),
            LabelRequirement::NotIn(key, values) => label(key).is_none_or(|value| values.iter().all(|v| v != value)),
            LabelRequirement::Exists(key) => label(key).is_some(),
            LabelRequirement::Missing(key) => label(key).is_none(),
        })
    }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_u32, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

fn requirement(part: &str) -> Option<LabelRequirement> {
    let valid = |key: &str| !key.is_empty() && !key.contains(|c: char| c.is_whitespace() || "()=!,".contains(c));
    let pair = |key: &str, value: &str| {
        let key = key.trim().to_owned();
        valid(&key).then(|| (key, vec![value.trim().to_owned()]))
    };
    if let Some(key) = part.strip_prefix('!') {
        let key = key.trim();
        return valid(key).then(|| LabelRequirement::Missing(key.to_owned()));
    }
    if let Some((key, value)) = part.split_once("!=") {
        return pair(key, value).map(|(key, values)| LabelRequirement::NotIn(key, values));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return pair(key, value).map(|(key, values)| LabelRequirement::In(key, values));
    }
    if let Some(rest) = part.strip_suffix(')') {
        let (head, list) = rest.split_once('(')?;
        let values = list.split(',').map(|value| value.trim().to_owned()).collect();
        let mut words = head.split_whitespace();
        let (key, operator) = (words.next()?.to_owned(), words.next()?);
        return match (operator, words.next()) {
            ("in", None) => Some(LabelRequirement::In(key, values)),
            ("notin", None) => Some(LabelRequirement::NotIn(key, values)),
            _ => None,
        };
    }
    valid(part).then(|| LabelRequirement::Exists(part.to_owned()))
}

/// A conjunction of `path=value` and `path!=value` on the fields that a kind allows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FieldSelector(Vec<(String, bool, String)>);

impl FieldSelector {
    /// `allowed` tells which paths the kind can select by.
    pub fn parse(text: &str, allowed: impl Fn(&str) -> bool) -> Result<Self, Status> {
        let mut requirements = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (path, equal, value) = if let Some((path, value)) = part.split_once("!=") {
                (path, false, value)
            } else if let Some((path, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (path, true, value)
            } else {
                return Err(Status::bad_request(format!(
                    "invalid field selector: '{text}'; can't understand '{part}'"
                )));
            };
            if !allowed(path) {
                return Err(Status::bad_request(format!("field label not supported: {path}")));
            }
            requirements.push((path.to_owned(), equal, value.to_owned()));
        }
        Ok(Self(requirements))
    }

    /// Exchanges the paths for those of the stored form.
    pub fn rename(&mut self, rename: impl Fn(&str) -> String) {
        for (path, _, _) in &mut self.0 {
            *path = rename(path);
        }
    }

    /// Adds the requirement that `path` has this value.
    pub fn push(&mut self, path: &str, value: &str) {
        self.0.push((path.to_owned(), true, value.to_owned()));
    }

    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(path, equal, wanted)| {
            let found = match object::lookup(object, path) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) | None => String::new(),
                Some(other) => other.to_string(),
            };
            (found == *wanted) == *equal
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn label_selectors() {
        let object = json!({"metadata": {"labels": {"app": "a", "tier": "web"}}});
        for (selector, expected) in [
            ("", true),
            ("app=a", true),
            ("app==a,tier=web", true),
            ("app=b", false),
            ("app!=b", true),
            ("missing!=b", true),
            ("app", true),
            ("!app", false),
            ("!missing", true),
            ("app in (a, b)", true),
            ("app in (b,c),tier", false),
            ("app notin (b,c)", true),
            ("missing notin (b)", true),
        ] {
            assert_eq!(LabelSelector::parse(selector).unwrap().matches(&object), expected, "{selector}");
        }
        for bad in ["=a", "app of (a)", "a b", "!"] {
            assert!(LabelSelector::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn field_selectors() {
        let object = json!({"metadata": {"name": "x"}, "status": {"phase": "Running"}});
        let allowed = |path: &str| path != "spec.secret";
        for (selector, expected) in [
            ("", true),
            ("metadata.name=x", true),
            ("metadata.name!=x", false),
            ("status.phase=Running,metadata.name=x", true),
            ("spec.nodeName=", true),
        ] {
            assert_eq!(FieldSelector::parse(selector, allowed).unwrap().matches(&object), expected, "{selector}");
        }
        let message = FieldSelector::parse("spec.secret=1", allowed).unwrap_err().message;
        assert_eq!(message, "field label not supported: spec.secret");
    }
}
