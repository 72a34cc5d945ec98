//! A length of time as people write it in YAML.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Hours, minutes and seconds in this order, each at most once: `2h`, `90m`, `1h30m`, `45s`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Duration(pub String);

impl Duration {
    /// Whole seconds; `None` when the text is not of the form that the schema asks for. Zero is of that
    /// form, although the schema refuses it.
    pub fn seconds(&self) -> Option<i64> {
        let mut rest = self.0.as_str();
        let mut total: i64 = 0;
        let mut any = false;
        for (unit, factor) in [('h', 3600), ('m', 60), ('s', 1)] {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            if digits > 0 && rest[digits..].starts_with(unit) {
                let number: i64 = rest[..digits].parse().ok()?;
                total = total.checked_add(number.checked_mul(factor)?)?;
                rest = &rest[digits + 1..];
                any = true;
            }
        }
        (any && rest.is_empty()).then_some(total)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 21,
            "x-kubernetes-validations": [{
                "rule": "self.matches('^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$') && self.matches('[1-9]')",
                "message": "write a time greater than 0 in hours, minutes and seconds, for example 90s, 20m or 2h30m",
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Duration;

    #[test]
    fn reads_what_the_schema_allows_and_nothing_else() {
        let table = [
            ("2h", Some(7200)),
            ("90m", Some(5400)),
            ("1h30m", Some(5400)),
            ("1h0m5s", Some(3605)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("5m1h", None),
            ("1.5h", None),
            ("-1h", None),
            ("99999999999999999999h", None),
        ];
        for (text, seconds) in table {
            assert_eq!(Duration(text.into()).seconds(), seconds, "{text}");
        }
    }
}
