//! The text format of Prometheus 0.0.4 and OpenMetrics 1.0: `name{label="value"} number timestamp`.

use jiff::Timestamp;

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub name: String,
    /// In the order of the text.
    pub labels: Vec<(String, String)>,
    pub value: f64,
    pub time: Option<Timestamp>,
}

/// Reads a line; `None` for a comment, and for what is no sample.
pub(super) fn sample(line: &str) -> Option<Sample> {
    let line = line.trim();
    let end = line.find(|c: char| c == '{' || c.is_ascii_whitespace())?;
    let (name, rest) = line.split_at(end);
    if !is_name(name) {
        return None;
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inner) => {
            let mut text = inner;
            let labels = labels(&mut text)?;
            (labels, text)
        }
        None => (Vec::new(), rest),
    };
    // An exemplar stands behind a hash.
    let mut words = rest.split('#').next()?.split_ascii_whitespace();
    let value = value(words.next()?)?;
    let time = words.next().map(time);
    if words.next().is_some() || time == Some(None) {
        return None;
    }
    Some(Sample { name: name.to_owned(), labels, value, time: time.flatten() })
}

/// The name that a line begins with; empty where it is a comment.
pub(super) fn name(line: &str) -> &str {
    let line = line.trim_start();
    &line[..line.find(|c: char| c == '{' || c == '#' || c.is_ascii_whitespace()).unwrap_or(line.len())]
}

/// Whether it may be a metric's name.
pub(super) fn is_name(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | ':');
    name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit())
}

/// Takes labels up to the closing brace off the front.
fn labels(text: &mut &str) -> Option<Vec<(String, String)>> {
    let mut labels = Vec::new();
    loop {
        *text = text.trim_start_matches([' ', '\t', ',']);
        if let Some(rest) = text.strip_prefix('}') {
            *text = rest;
            return Some(labels);
        }
        let (name, rest) = text.split_once('=')?;
        *text = rest.trim_start();
        labels.push((name.trim().to_owned(), quoted(text)?));
    }
}

/// Takes a text in double quotes off the front, its escapes resolved.
pub(super) fn quoted(text: &mut &str) -> Option<String> {
    let inner = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut characters = inner.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => {
                *text = &inner[at + 1..];
                return Some(value);
            }
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other @ ('"' | '\\') => value.push(other),
                other => value.extend(['\\', other]),
            },
            c => value.push(c),
        }
    }
    None
}

fn value(word: &str) -> Option<f64> {
    // Rust reads NaN, Inf and +Inf alike, in any case.
    word.parse().ok()
}

/// Prometheus has whole milliseconds, OpenMetrics seconds.
fn time(word: &str) -> Option<Timestamp> {
    let number: f64 = word.parse().ok()?;
    let seconds = if !word.contains(['.', 'e']) && number.abs() > 1e11 { number / 1e3 } else { number };
    crate::metrics::text::object::at(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_and_what_they_say() {
        let table = [
            ("loss 0.5", "loss  0.5 -"),
            ("loss{} NaN", "loss  NaN -"),
            ("a:b_1{phase=\"train\",rank=\"0\",} +Inf", "a:b_1 phase=train rank=0 inf -"),
            ("loss { phase = \"a b\" } -Inf", ""),
            ("loss{ phase = \"a b\" , x=\"\"} 1e-3 1767261600000", "loss phase=a b x= 0.001 2026-01-01T10:00:00Z"),
            ("loss 1 1767261600.5", "loss  1 2026-01-01T10:00:00.5Z"),
            (r#"m{l="a\"b\\c\nd\x"} 1"#, "m l=a\"b\\c\nd\\x 1 -"),
            ("h_bucket{le=\"0.1\"} 8 # {trace_id=\"a\"} 0.05", "h_bucket le=0.1 8 -"),
            ("# HELP loss The loss", ""),
            ("# TYPE loss gauge", ""),
            ("# EOF", ""),
            ("", ""),
            ("loss", ""),
            ("loss x", ""),
            ("loss 1 2 3", ""),
            ("loss 1 soon", ""),
            ("1loss 1", ""),
            ("loss{a=\"b} 1", ""),
            ("loss{a=b} 1", ""),
        ];
        for (line, expected) in table {
            let shown = sample(line).map_or(String::new(), |sample| {
                let labels: Vec<String> = sample.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                let time = sample.time.map_or("-".to_owned(), |time| time.to_string());
                format!("{} {} {} {time}", sample.name, labels.join(" "), sample.value)
            });
            assert_eq!(shown, expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_text_will_do(line in "[a-c{}=\",\\\\ #0-9]{0,40}") {
            sample(&line);
        }

        #[test]
        fn labels_read_back(value in "\\PC{0,20}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            let sample = sample(&format!("m{{l=\"{escaped}\"}} 1")).unwrap();
            prop_assert_eq!(&sample.labels[0].1, &value);
        }
    }
}
