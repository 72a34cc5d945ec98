//! JSON objects within lines, as programs print them: behind a prefix, and with the bare `NaN` of Python's `json.dumps`.

use crate::metrics::misses::says_none;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// The fields that say when an object was written.
pub(in crate::metrics) const TIMES: [&str; 3] = ["timestamp", "time", "ts"];
/// Numbers are looked for within so many objects.
const MAX_DEPTH: usize = 4;

/// What Python and JavaScript write for numbers that JSON does not have.
const WORDS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// The fields of an object.
pub(in crate::metrics) type Fields = Map<String, Value>;

/// The JSON object at the start of a text, and how long it was. The time taken is linear in that.
pub(in crate::metrics) fn first(text: &str) -> Option<(Fields, usize)> {
    let (object, length) = quoted(text)?;
    let Value::Object(fields) = serde_json::from_str(&object).ok()? else { return None };
    Some((fields, length))
}

/// The numbers of an object, nested ones by `outer.inner`; texts that are numbers count. `None` for what is neither a number nor
/// says that there is none.
pub(in crate::metrics) fn values(fields: Fields) -> Vec<(String, Option<f64>)> {
    let mut pairs = Vec::new();
    collect(fields, "", MAX_DEPTH, &mut pairs);
    pairs
}

/// Those of [`values`] that are numbers.
pub(in crate::metrics) fn numbers(fields: Fields) -> impl Iterator<Item = (String, f64)> {
    values(fields).into_iter().filter_map(|(name, value)| Some((name, value?)))
}

fn collect(fields: Fields, outer: &str, depth: usize, pairs: &mut Vec<(String, Option<f64>)>) {
    for (key, value) in fields {
        let name = if outer.is_empty() { key } else { format!("{outer}.{key}") };
        match value {
            Value::Object(inner) if depth > 0 => collect(inner, &name, depth - 1, pairs),
            Value::Null => {}
            Value::String(text) if says_none(&text) => {}
            value => pairs.push((name, number(&value))),
        }
    }
}

/// The time that an object says: a text as RFC 3339 has it, or seconds since 1970.
pub(in crate::metrics) fn time(fields: &Fields) -> Option<Timestamp> {
    let value = TIMES.iter().find_map(|name| fields.get(*name))?;
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(seconds) => seconds.as_f64().and_then(at).filter(is_recent),
        _ => None,
    }
}

/// So many seconds after 1970.
pub(in crate::metrics) fn at(seconds: f64) -> Option<Timestamp> {
    let nanoseconds = (seconds.fract() * 1e9) as i32;
    Timestamp::new(seconds.trunc() as i64, nanoseconds).ok().filter(|_| seconds.is_finite())
}

/// Whether it may be when a program wrote something: seconds since its start are not.
pub(in crate::metrics) fn is_recent(time: &Timestamp) -> bool {
    time.as_second() > 100_000_000
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A text from its opening brace to the closing one, with bare words for numbers put into quotes, and how long it was.
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
                let word = WORDS.into_iter().find(|word| rest.starts_with(word.as_bytes()));
                let Some(word) = word.or_else(|| huge(&text[at..])) else {
                    at += 1;
                    continue;
                };
                object.push_str(&text[copied..at]);
                object.extend(["\"", word, "\""]);
                at += word.len();
                copied = at;
            }
            b'0'..=b'9' => {
                let length = numeral(&text[at..]).len();
                if let Some(word) = huge(&text[at..]) {
                    object.push_str(&text[copied..at]);
                    object.extend(["\"", word, "\""]);
                    copied = at + length;
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    None
}

/// The number that begins here, as JSON writes it.
fn numeral(text: &str) -> &str {
    let length = text.bytes().take_while(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)).count();
    &text[..length]
}

/// The number that begins here, where it may be too large for JSON's reader: one with so long an exponent.
fn huge(text: &str) -> Option<&str> {
    let (numeral, exponent) = (numeral(text), |byte: char| byte == 'e' || byte == 'E');
    let digits = numeral.rsplit_once(exponent)?.1.trim_start_matches(['+', '-']).len();
    (digits >= 3).then_some(numeral)
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
