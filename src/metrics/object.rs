//! JSON objects within lines, as programs print them: behind a prefix, and with the bare `NaN` of Python's `json.dumps`.

use serde_json::{Map, Value};

/// What Python and JavaScript write for numbers that JSON does not have.
const WORDS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// The text before its first JSON object, that object, and the text behind it; `None` when there is none at the first
/// `{`. The time taken is linear in the length of the first two.
pub(super) fn split(text: &str) -> Option<(&str, Map<String, Value>, &str)> {
    let (before, from) = text.split_at(text.find('{')?);
    let (object, length) = quoted(from)?;
    let Value::Object(fields) = serde_json::from_str(&object).ok()? else { return None };
    Some((before, fields, &from[length..]))
}

/// The numbers of an object, nested ones by `outer.inner`; texts that are numbers count.
pub(super) fn numbers(fields: Map<String, Value>) -> Vec<(String, f64)> {
    let mut pairs = Vec::new();
    for (name, value) in fields {
        match value {
            Value::Object(inner) => pairs
                .extend(inner.into_iter().filter_map(|(key, value)| Some((format!("{name}.{key}"), number(&value)?)))),
            value => pairs.extend(number(&value).map(|value| (name, value))),
        }
    }
    pairs
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The text from its opening brace to the closing one, with bare words for numbers put into quotes, and how long it was.
fn quoted(text: &str) -> Option<(String, usize)> {
    let bytes = text.as_bytes();
    let mut object = String::new();
    let (mut depth, mut copied, mut at) = (0_usize, 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at += string(&bytes[at..])?,
            b'{' | b'[' => (depth, at) = (depth + 1, at + 1),
            b'}' | b']' => {
                (depth, at) = (depth.checked_sub(1)?, at + 1);
                if depth == 0 {
                    object.push_str(&text[copied..at]);
                    return Some((object, at));
                }
            }
            b'N' | b'I' | b'-' => {
                let rest = &bytes[at..];
                let Some(word) = WORDS.into_iter().find(|word| rest.starts_with(word.as_bytes())) else {
                    at += 1;
                    continue;
                };
                object.push_str(&text[copied..at]);
                object.extend(["\"", word, "\""]);
                at += word.len();
                copied = at;
            }
            _ => at += 1,
        }
    }
    None
}

/// How long the JSON string is that begins here.
fn string(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}
