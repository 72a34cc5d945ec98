//! Regular expressions that say where name and value stand, with the meaning that Katib's `filter` has.

use crate::metrics::wanted::Wanted;
use regex::{Captures, Regex, RegexBuilder};

/// Most memory that a compiled expression takes, in bytes.
const MAX_COMPILED: usize = 1 << 20;

/// Why a filter cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It is no regular expression.
    #[error("the filter {filter:?} is no regular expression: {why}")]
    Invalid {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        why: String,
    },
    /// It does not say where name and value stand.
    #[error(
        "the filter {filter:?} has {groups} groups; write two, the first around the metric's name, the second around its \
         value, such as ([\\w|-]+)\\s*=\\s*([+-]?\\d*(\\.\\d+)?([Ee][+-]?\\d+)?)"
    )]
    Groups {
        /// The filter.
        filter: String,
        /// How many groups it has.
        groups: usize,
    },
}

/// What a filter finds: a name, its value, and the step where the filter has a group of that name.
pub(super) struct Match<'t> {
    pub name: &'t str,
    /// `None`: what stands there is no number.
    pub value: Option<f64>,
    pub step: Option<f64>,
}

/// Compiled filters.
pub(super) struct Filters(Vec<Regex>);

impl Filters {
    /// # Errors
    /// One of them is no regular expression, or has fewer than two groups.
    pub fn new(filters: &[String]) -> Result<Self, FilterError> {
        let compile = |filter: &String| {
            let build = |filter: &str| RegexBuilder::new(filter).size_limit(MAX_COMPILED).build();
            // Go, and with it Katib, takes a brace that begins no repetition for itself.
            let regex = build(filter).or_else(|error| build(&with_plain_braces(filter)).map_err(|_| error));
            let regex = regex.map_err(|error| FilterError::Invalid {
                filter: filter.clone(),
                // The last line says it in a sentence, those before draw it.
                why: error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
            })?;
            match regex.captures_len() - 1 {
                groups @ 0..=1 => Err(FilterError::Groups { filter: filter.clone(), groups }),
                _ => Ok(regex),
            }
        };
        filters.iter().map(compile).collect::<Result<_, _>>().map(Filters)
    }

    /// All matches of all filters in a line.
    pub fn matches<'t>(&self, line: &'t str) -> impl Iterator<Item = Match<'t>> {
        self.0.iter().flat_map(|regex| regex.captures_iter(line)).filter_map(|captures| {
            let name = group(&captures, "name", 1)?.trim();
            let value = group(&captures, "value", 2)?.trim().parse().ok();
            let step = captures.name("step").and_then(|step| step.as_str().trim().parse().ok());
            Some(Match { name, value, step })
        })
    }
}

/// The expression with a backslash before each brace that begins neither a repetition nor the name of a class.
fn with_plain_braces(filter: &str) -> String {
    let mut plain = String::new();
    let (mut escaped, mut named) = (false, false);
    for (at, character) in filter.char_indices() {
        if character == '{' && !escaped && !named && !is_repetition(&filter[at + 1..]) {
            plain.push('\\');
        }
        plain.push(character);
        named = escaped && matches!(character, 'p' | 'P' | 'x' | 'u' | 'U');
        escaped = character == '\\' && !escaped;
    }
    plain
}

/// Whether `3}`, `3,}` or `3,5}` stands at the start.
fn is_repetition(behind: &str) -> bool {
    let Some((counts, _)) = behind.split_once('}') else { return false };
    let (least, most) = counts.split_once(',').unwrap_or((counts, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
}

fn group<'t>(captures: &Captures<'t>, name: &str, index: usize) -> Option<&'t str> {
    captures.name(name).or_else(|| captures.get(index)).map(|group| group.as_str())
}

impl Wanted {
    /// A value that a filter found, if its name is wanted. One that is no number is none: Katib would store an empty value.
    pub(super) fn filtered(&mut self, found: &Match) -> Option<(String, f64)> {
        let name = if self.is_all() { Some(found.name.to_owned()) } else { self.exact(found.name) };
        let Some(value) = found.value else {
            if name.is_some() {
                self.miss();
            }
            return None;
        };
        if name.is_none() {
            self.remember(found.name);
        }
        Some((name?, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one that Katib has where none is given.
    const KATIB: &str = r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)";

    fn read(filters: &[&str], line: &str) -> String {
        let filters = Filters::new(&filters.iter().map(|filter| (*filter).to_owned()).collect::<Vec<_>>()).unwrap();
        let shown = filters.matches(line).map(|found| {
            let step = found.step.map_or(String::new(), |step| format!("@{step}"));
            format!("{}{step}={}", found.name, found.value.map_or("?".to_owned(), |value| value.to_string()))
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_filters_find() {
        let table: [(&[&str], &str, &str); 8] = [
            (&[KATIB], "2026-01-01T10:00:00Z accuracy=0.9 loss = 1e-3", "accuracy=0.9 loss=0.001"),
            (&[KATIB], "loss=nan", "loss=?"),
            (
                &[r"\{metricName: ([\w|-]+), metricValue: ((-?\d+)(\.\d+)?)\}"],
                "{metricName: accuracy, metricValue: 0.75};{metricName: loss, metricValue: -2}",
                "accuracy=0.75 loss=-2",
            ),
            // As Katib's examples have it: braces that begin no repetition.
            (
                &[r"{metricName: ([\w|-]+), metricValue: ((-?\d+)(\.\d+)?)}"],
                "{metricName: accuracy, metricValue: 0.75};{metricName: loss, metricValue: -2}",
                "accuracy=0.75 loss=-2",
            ),
            (&[r"{(\p{L}{3}): (\d{1,})}"], "{abc: 12} {abcd: 3}", "abc=12"),
            (&[r"(\w+)->(\S+)", r"<(\w+) (\S+)>"], "a->1 <b 2> c->x", "a=1 c=? b=2"),
            (&[r"#(?<step>\d+) (?<value>\S+) is (?<name>\w+)"], "#3 0.5 is loss", "loss@3=0.5"),
            (&[], "a=1", ""),
        ];
        for (filters, line, found) in table {
            assert_eq!(read(filters, line), found, "{filters:?} {line}");
        }
    }

    #[test]
    fn filters_that_cannot_be_used() {
        let table = [
            (r"(\w+", "the filter \"(\\\\w+\" is no regular expression: unclosed group"),
            (r"\w{99999}{99999}(a)(b)", "the filter \"\\\\w{99999}{99999}(a)(b)\" is no regular expression: "),
            (r"loss=(\d+)", "the filter \"loss=(\\\\d+)\" has 1 groups; write two, "),
        ];
        for (filter, message) in table {
            let error = Filters::new(&[filter.to_owned()]).err().unwrap().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
