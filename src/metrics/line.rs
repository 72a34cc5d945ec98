//! Observations from the lines that a program prints: `name=value` pairs and JSON objects.

use super::{Observation, object};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// Longer lines are not looked at beyond this, in bytes.
const MAX_LINE: usize = 64 << 10;
/// How many names that nobody asked for are remembered, and how long each may be.
const MAX_SEEN: usize = 32;
const MAX_SEEN_LENGTH: usize = 64;
/// Names that give the step, most telling first.
const STEPS: [&str; 2] = ["epoch", "step"];

/// Finds the wanted metrics in lines, and remembers the names of others.
pub struct LineParser {
    wanted: BTreeSet<String>,
    seen: BTreeSet<String>,
    seen_changed: bool,
}

impl LineParser {
    /// A parser for these metrics.
    pub fn new(wanted: impl IntoIterator<Item = String>) -> Self {
        LineParser { wanted: wanted.into_iter().collect(), seen: BTreeSet::new(), seen_changed: false }
    }

    /// The observations of one line, without its line feed. Any bytes will do; the time taken is linear in their number.
    pub fn parse(&mut self, line: &[u8], time: Timestamp) -> Vec<Observation> {
        let line = &line[..line.len().min(MAX_LINE)];
        // Most lines of most programs hold neither.
        if !line.iter().any(|byte| matches!(byte, b'=' | b'{')) {
            return Vec::new();
        }
        let text = String::from_utf8_lossy(line);
        let pairs = self.pairs(&text);
        let step = STEPS.iter().find_map(|step| {
            let (_, value) = pairs.iter().find(|(name, _)| name == step)?;
            (*value >= 0.0 && value.fract() == 0.0 && *value < 2f64.powi(53)).then_some(*value as u64)
        });
        let mut observations = Vec::new();
        for (metric, value) in pairs {
            if self.wanted.contains(&metric) {
                observations.push(Observation { metric, step, value, time });
            } else if !STEPS.contains(&metric.as_str()) {
                self.remember(&metric);
            }
        }
        observations
    }

    /// Names of numbers that nobody asked for; `None` when there are no new ones since the last call.
    pub fn take_seen(&mut self) -> Option<Vec<String>> {
        std::mem::take(&mut self.seen_changed).then(|| self.seen.iter().cloned().collect())
    }

    /// The numbers of JSON objects, and of what stands around them.
    fn pairs(&self, text: &str) -> Vec<(String, f64)> {
        let (mut pairs, mut rest) = (Vec::new(), text);
        while let Some((before, fields, after)) = object::split(rest) {
            self.text_pairs(before, &mut pairs);
            pairs.extend(object::numbers(fields));
            rest = after;
        }
        self.text_pairs(rest, &mut pairs);
        pairs
    }

    /// `name=value` wherever it stands, blanks around `=` allowed.
    fn text_pairs(&self, text: &str, pairs: &mut Vec<(String, f64)>) {
        let mut from = 0;
        while let Some(at) = text[from..].find('=').map(|at| at + from) {
            let name = self.name(text[from..at].trim_end_matches([' ', '\t']));
            let after = text[at + 1..].trim_start_matches([' ', '\t']);
            let value_at = text.len() - after.len();
            let length = after.find(|c: char| !is_number(c)).unwrap_or(after.len());
            // What follows the number must not make it a word, as in `v=1x` or `time=12:30`.
            let whole =
                !after[length..].starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '/' | '='));
            let value = after[..length].trim_end_matches('.');
            if let Some(name) = name.filter(|_| whole)
                && let Ok(value) = value.parse()
            {
                pairs.push((name.to_owned(), value));
                from = value_at + length;
            } else {
                from = at + 1;
            }
        }
    }

    /// The name at the end of a text. A wanted one may hold any characters: no list of letters fits all scripts.
    fn name<'a>(&self, text: &'a str) -> Option<&'a str> {
        let start = text
            .rfind(|c: char| !is_name(c))
            .map_or(0, |end| end + text[end..].chars().next().map_or(1, char::len_utf8));
        let name = &text[start..];
        if name.starts_with(|c: char| c.is_alphabetic() || c == '_') && self.wanted.contains(name) {
            return Some(name);
        }
        let wanted = self.wanted.iter().filter(|wanted| {
            let before = text.strip_suffix(wanted.as_str());
            before.is_some_and(|before| !wanted.starts_with(is_name) || !before.ends_with(is_name))
        });
        match wanted.max_by_key(|wanted| wanted.len()) {
            Some(wanted) => Some(&text[text.len() - wanted.len()..]),
            None => Some(name).filter(|name| name.starts_with(|c: char| c.is_alphabetic() || c == '_')),
        }
    }

    fn remember(&mut self, name: &str) {
        if self.seen.len() < MAX_SEEN && name.len() <= MAX_SEEN_LENGTH && !self.seen.contains(name) {
            self.seen.insert(name.to_owned());
            self.seen_changed = true;
        }
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@')
}

/// Characters of a number, `nan`, `inf` and `infinity` included.
fn is_number(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E') || "nainfityNAINFITY".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> Vec<(String, Option<u64>, String)> {
        let mut parser = LineParser::new(["accuracy", "loss", "val/acc", "शुद्धता", "🎯", "точность"].map(String::from));
        let found = parser.parse(line.as_bytes(), Timestamp::UNIX_EPOCH);
        found.into_iter().map(|o| (o.metric, o.step, o.value.to_string())).collect()
    }

    #[test]
    fn lines_and_what_they_say() {
        let table: [(&str, &[(&str, Option<u64>, &str)]); 37] = [
            ("epoch=3 accuracy=0.93 loss=0.21", &[("accuracy", Some(3), "0.93"), ("loss", Some(3), "0.21")]),
            ("accuracy = 0.5", &[("accuracy", None, "0.5")]),
            ("step=10, loss=1e-3, accuracy=-2.5E+1", &[("loss", Some(10), "0.001"), ("accuracy", Some(10), "-25")]),
            ("loss=nan", &[("loss", None, "NaN")]),
            ("loss=inf accuracy=-inf", &[("loss", None, "inf"), ("accuracy", None, "-inf")]),
            ("[12:30:01] INFO loss=0.5.", &[("loss", None, "0.5")]),
            ("(loss=0.5)", &[("loss", None, "0.5")]),
            ("val/acc=1", &[("val/acc", None, "1")]),
            ("loss=12:30", &[]),
            ("loss=1x", &[]),
            ("loss=", &[]),
            ("loss==5", &[]),
            ("loss", &[]),
            ("", &[]),
            ("=5", &[]),
            ("xloss=5", &[]),
            ("epoch=1.5 loss=2", &[("loss", None, "2")]),
            ("epoch=-1 loss=2", &[("loss", None, "2")]),
            ("é loss=2 é=5", &[("loss", None, "2")]),
            (r#"{"epoch": 2, "accuracy": 0.5, "note": "x"}"#, &[("accuracy", Some(2), "0.5")]),
            (r#"{"step": 7, "loss": "0.25"}"#, &[("loss", Some(7), "0.25")]),
            (r#"{"loss": NaN}"#, &[("loss", None, "NaN")]),
            (
                r#"{"epoch": 3, "loss": NaN, "x": [NaN, "}"], "accuracy": 0.9}"#,
                &[("accuracy", Some(3), "0.9"), ("loss", Some(3), "NaN")],
            ),
            (r#"{"loss":-Infinity,"accuracy":Infinity}"#, &[("accuracy", None, "inf"), ("loss", None, "-inf")]),
            (r#"{"note": "NaN, \"-Infinity\" {", "loss": -0.5}"#, &[("loss", None, "-0.5")]),
            (r#"INFO {"step": 4, "loss": 1}"#, &[("loss", Some(4), "1")]),
            (
                r#"epoch=2 {"loss": 1} then {"accuracy": 0.5}, val/acc=3"#,
                &[("loss", Some(2), "1"), ("accuracy", Some(2), "0.5"), ("val/acc", Some(2), "3")],
            ),
            ("cfg={lr: 0.1} loss=2", &[("loss", None, "2")]),
            ("}{ loss=2", &[("loss", None, "2")]),
            (r#"{"loss": Nan, "accuracy": 1}"#, &[]),
            (r#"{"a": {"loss": 1}} {}"#, &[]),
            ("शुद्धता=0.5", &[("शुद्धता", None, "0.5")]),
            ("epoch=1 🎯 = 0.25", &[("🎯", Some(1), "0.25")]),
            ("хточность=1 (точность=0.75)", &[("точность", None, "0.75")]),
            (r#"{"точность": 0.5}"#, &[("точность", None, "0.5")]),
            (r#"{"loss": "nan"}"#, &[("loss", None, "NaN")]),
            (r#"{"loss": 0.5"#, &[]),
        ];
        for (line, expected) in table {
            let expected: Vec<_> = expected.iter().map(|(m, s, v)| ((*m).to_owned(), *s, (*v).to_owned())).collect();
            assert_eq!(parse(line), expected, "{line}");
        }
    }

    #[test]
    fn remembers_other_names_and_not_too_many() {
        let mut parser = LineParser::new(["val_accuracy".to_owned()]);
        parser.parse(b"epoch=1 val_acc=0.5 loss=1", Timestamp::UNIX_EPOCH);
        assert_eq!(parser.take_seen(), Some(vec!["loss".to_owned(), "val_acc".to_owned()]));
        assert_eq!(parser.take_seen(), None);
        for index in 0..1000 {
            parser.parse(format!("m{index}=1").as_bytes(), Timestamp::UNIX_EPOCH);
        }
        assert_eq!(parser.take_seen().unwrap().len(), MAX_SEEN);
    }

    proptest! {
        #[test]
        fn any_bytes_will_do(line in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut parser = LineParser::new(["a".to_owned()]);
            parser.parse(&line, Timestamp::UNIX_EPOCH);
        }

        #[test]
        fn a_number_reads_back(value in prop::num::f64::ANY, step in 0_u64..1_000_000) {
            let found = parse(&format!("epoch={step} loss={value}"));
            prop_assert_eq!(found, vec![("loss".to_owned(), Some(step), value.to_string())]);
        }
    }

    #[test]
    fn a_line_of_a_hundred_megabytes_takes_no_time() {
        let mut parser = LineParser::new(["a".to_owned()]);
        for byte in b"={}[\"N" {
            parser.parse(&vec![*byte; 100 << 20], Timestamp::UNIX_EPOCH);
        }
        parser.parse(&b"={".repeat(1 << 20), Timestamp::UNIX_EPOCH);
        parser.parse(&b"{}".repeat(1 << 20), Timestamp::UNIX_EPOCH);
    }
}
