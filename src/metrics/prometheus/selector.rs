//! Which series is meant: a name and label matchers as in PromQL, `loss{phase="val",rank!="1",host=~"a.*"}`.

use super::exposition::{Sample, is_name, quoted};
use regex::{Regex, RegexBuilder};

/// Most memory that a compiled expression takes, in bytes.
const MAX_COMPILED: usize = 1 << 20;

/// Why a selector cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{selector:?} selects no series: {why}; write a name, and labels where there are several, such as loss{{phase=\"val\"}}"
)]
pub struct SelectorError {
    selector: String,
    why: String,
}

/// A name and conditions on labels. A label that is missing is an empty one.
#[derive(Clone, Debug)]
pub(super) struct Selector {
    name: String,
    matchers: Vec<(String, Matcher)>,
}

#[derive(Clone, Debug)]
enum Matcher {
    Equal(String),
    NotEqual(String),
    Like(Regex),
    NotLike(Regex),
}

impl Selector {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// # Errors
    /// It has another form, or a regular expression in it is none.
    pub fn new(text: &str) -> Result<Self, SelectorError> {
        Self::read(text).map_err(|why| SelectorError { selector: text.to_owned(), why })
    }

    fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (name, inner) = text.split_once('{').map_or((text, None), |(name, inner)| (name.trim(), Some(inner)));
        if !is_name(name) {
            return Err("it does not begin with a metric's name".into());
        }
        let mut matchers = Vec::new();
        if let Some(mut rest) = inner {
            loop {
                rest = rest.trim_start_matches([' ', ',']);
                if rest == "}" {
                    break;
                }
                let operator = rest.find(['=', '!']).ok_or("a label has no condition, or the brace does not close")?;
                let (label, behind) = rest.split_at(operator);
                let kind = ["=~", "!~", "!=", "="].into_iter().find(|kind| behind.starts_with(kind));
                let kind = kind.ok_or("a condition is one of =, !=, =~ and !~")?;
                rest = behind[kind.len()..].trim_start();
                let value = quoted(&mut rest).ok_or("a label's value stands in double quotes")?;
                matchers.push((label.trim().to_owned(), Matcher::new(kind, value)?));
            }
        }
        Ok(Selector { name: name.to_owned(), matchers })
    }

    /// Whether a sample is of a series that is meant.
    pub fn matches(&self, sample: &Sample) -> bool {
        let value =
            |label: &str| sample.labels.iter().find(|(name, _)| name == label).map_or("", |(_, value)| value.as_str());
        self.name == sample.name && self.matchers.iter().all(|(label, matcher)| matcher.accepts(value(label)))
    }
}

impl Matcher {
    fn new(kind: &str, value: String) -> Result<Self, String> {
        // As in PromQL, an expression matches the whole value.
        let regex = || {
            let compiled = RegexBuilder::new(&format!("^(?:{value})$")).size_limit(MAX_COMPILED).build();
            compiled.map_err(|_| format!("{value:?} is no regular expression"))
        };
        Ok(match kind {
            "=~" => Matcher::Like(regex()?),
            "!~" => Matcher::NotLike(regex()?),
            "!=" => Matcher::NotEqual(value),
            _ => Matcher::Equal(value),
        })
    }

    fn accepts(&self, value: &str) -> bool {
        match self {
            Matcher::Equal(wanted) => value == wanted,
            Matcher::NotEqual(other) => value != other,
            Matcher::Like(regex) => regex.is_match(value),
            Matcher::NotLike(regex) => !regex.is_match(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::exposition::sample;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn which_series_are_meant() {
        let series = ["loss 1", "loss{phase=\"train\"} 1", "loss{phase=\"val\",rank=\"0\"} 1", "loss_sum 1"];
        let table: [(&str, &[usize]); 9] = [
            ("loss", &[0, 1, 2]),
            ("loss{}", &[0, 1, 2]),
            ("loss{phase=\"val\"}", &[2]),
            ("loss{ phase = \"val\" , rank != \"1\", }", &[2]),
            ("loss{phase!=\"val\"}", &[0, 1]),
            ("loss{phase=\"\"}", &[0]),
            ("loss{phase=~\"t.*|v\"}", &[1]),
            ("loss{phase!~\"t.*\"}", &[0, 2]),
            ("los", &[]),
        ];
        for (selector, expected) in table {
            let selector = Selector::new(selector).unwrap();
            let found: Vec<usize> =
                (0..series.len()).filter(|at| selector.matches(&sample(series[*at]).unwrap())).collect();
            assert_eq!(found, expected, "{selector:?}");
        }
    }

    #[test]
    fn selectors_that_cannot_be_used() {
        let table = [
            ("", "it does not begin with a metric's name"),
            ("{a=\"b\"}", "it does not begin with a metric's name"),
            ("val loss", "it does not begin with a metric's name"),
            ("a{b", "a label has no condition, or the brace does not close"),
            ("a{b=\"c\"", "a label has no condition, or the brace does not close"),
            ("a{b!\"c\"}", "a condition is one of =, !=, =~ and !~"),
            ("a{b=c}", "a label's value stands in double quotes"),
            ("a{b=~\"(\"}", "\"(\" is no regular expression"),
        ];
        for (selector, why) in table {
            assert_eq!(Selector::new(selector).unwrap_err().why, why, "{selector}");
        }
    }

    proptest! {
        #[test]
        fn any_text_will_do(text in "a?[{}=!~\", a(]{0,20}") {
            let _ = Selector::new(&text);
        }
    }
}
