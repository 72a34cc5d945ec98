//! Queries in PromQL, taken apart as far as it needs to be known where they select series and where they hold texts: so
//! that each selection is kept within one namespace, and what is filled into a text stays one.

mod answer;
mod lex;
mod parse;

pub use answer::{Answered, answer};

/// Most bytes of a query, filled in.
const MAX_BYTES: usize = 16 << 10;

/// Why a query is not asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PromQlError(String);

/// A query.
#[derive(Clone, Debug, PartialEq)]
pub struct PromQl {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    /// A text in quotes. `pattern`: it is a regular expression.
    Quoted {
        text: String,
        pattern: bool,
    },
    /// One more matcher goes here.
    Room(Room),
}

/// What is there of matchers already.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Room {
    /// Not even braces.
    Bare,
    Empty,
    More,
}

impl PromQl {
    /// Reads a query.
    ///
    /// # Errors
    /// It is none, or has something in it of which it is not known what it selects.
    pub fn new(query: &str) -> Result<Self, PromQlError> {
        Ok(PromQl { parts: parse::parse(query).map_err(PromQlError)? })
    }

    /// All texts in quotes, resolved.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Quoted { text, .. } => Some(text.as_str()),
            _ => None,
        })
    }

    /// How often it selects series.
    pub fn selections(&self) -> usize {
        self.parts.iter().filter(|part| matches!(part, Part::Room(_))).count()
    }

    /// As it is asked. `fill` gives each text in quotes as it is to be, and is told whether it is a regular expression;
    /// `None`: the query is not asked. `within`: a label and its value, to which all that is selected is confined.
    ///
    /// # Errors
    /// It has become too long.
    pub fn filled(
        &self,
        fill: impl Fn(&str, bool) -> Option<String>,
        within: Option<(&str, &str)>,
    ) -> Result<Option<String>, PromQlError> {
        let matcher = within.map(|(label, value)| format!("{label}={}", quote(value)));
        let mut query = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => query.push_str(text),
                Part::Quoted { text, pattern } => match fill(text, *pattern) {
                    Some(text) => query.push_str(&quote(&text)),
                    None => return Ok(None),
                },
                Part::Room(room) => match (&matcher, room) {
                    (None, _) => {}
                    (Some(matcher), Room::Bare) => query.push_str(&format!("{{{matcher}}}")),
                    (Some(matcher), Room::Empty) => query.push_str(matcher),
                    (Some(matcher), Room::More) => query.push_str(&format!(",{matcher}")),
                },
            }
        }
        if query.len() > MAX_BYTES {
            let sentence = format!("with its placeholders filled in it has {} bytes, {MAX_BYTES} at most", query.len());
            return Err(PromQlError(sentence));
        }
        Ok(Some(query))
    }
}

/// A text as PromQL writes it.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn confined(query: &str) -> Result<String, String> {
        let parsed = PromQl::new(query).map_err(|error| error.to_string())?;
        let filled = parsed.filled(|text, _| Some(text.to_owned()), Some(("namespace", "team-a")));
        filled.map(Option::unwrap_or_default).map_err(|error| error.to_string())
    }

    #[test]
    fn every_selection_is_kept_within_the_namespace() {
        let table = [
            ("up", "up{namespace=\"team-a\"}"),
            ("up{}", "up{namespace=\"team-a\"}"),
            ("up{a='b',}", "up{a=\"b\",namespace=\"team-a\"}"),
            ("{__name__=~\".+\"}", "{__name__=~\".+\",namespace=\"team-a\"}"),
            ("{\"my.metric\", \"l.x\"!=`a\\d`}", "{\"my.metric\",\"l.x\"!=\"a\\\\d\",namespace=\"team-a\"}"),
            ("up{namespace=\"other\"}", "up{namespace=\"other\",namespace=\"team-a\"}"),
            ("up or up", "up{namespace=\"team-a\"} or up{namespace=\"team-a\"}"),
            ("sum by (pod) (rate(x[5m]))", "sum by (pod)(rate(x{namespace=\"team-a\"}[5m]))"),
            ("sum(x) without (a, b)", "sum(x{namespace=\"team-a\"}) without (a,b)"),
            ("topk(1, x) by (a)", "topk(1,x{namespace=\"team-a\"}) by (a)"),
            // Words that mean something elsewhere are metrics where operands stand.
            ("sum + by", "sum{namespace=\"team-a\"} + by{namespace=\"team-a\"}"),
            ("and and and", "and{namespace=\"team-a\"} and and{namespace=\"team-a\"}"),
            ("offset offset 5m", "offset{namespace=\"team-a\"} offset 5m"),
            ("-x ^ 2 > bool 1", "-x{namespace=\"team-a\"} ^ 2 >  bool 1"),
            ("a / on(b) group_left c", "a{namespace=\"team-a\"} /  on (b) group_left c{namespace=\"team-a\"}"),
            (
                "a * ignoring(b) group_right(d) c",
                "a{namespace=\"team-a\"} *  ignoring (b) group_right (d)c{namespace=\"team-a\"}",
            ),
            (
                "max_over_time(x[1h:1m] @ end() offset -5m)",
                "max_over_time(x{namespace=\"team-a\"}[1h:1m]@end() offset -5m)",
            ),
            ("inf - NaN + time()", "inf - NaN + time()"),
            (
                "label_replace(x, \"a\", \"$1\", \"b\", \"(.*)\")",
                "label_replace(x{namespace=\"team-a\"},\"a\",\"$1\",\"b\",\"(.*)\")",
            ),
            ("(a) # , b\n", "(a{namespace=\"team-a\"})"),
        ];
        for (query, expected) in table {
            assert_eq!(confined(query).as_deref(), Ok(expected), "{query}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let table = [
            ("", "it is empty"),
            ("a b", "b is not expected there"),
            ("a{b=\"c\" or d=\"e\"}", ", is expected where or stands"),
            ("a{b}", "one of =, !=, =~ and !~ is expected where } stands"),
            ("a{b=c}", "a text in quotes is expected where c stands"),
            ("a{\"b\"", "one of =, !=, =~ and !~ is expected at its end"),
            ("a}", "} is not expected there"),
            ("a + on b", "( is expected where b stands"),
            ("info(up)", "the function info reads"),
            ("INFO(up)", "the function info reads"),
            ("WITH (x = up) x", ") is expected where = stands"),
            ("a[b]", "] is expected where b stands"),
            ("a; b", "';' is nothing that a query has"),
            ("sum by pod (a)", "( is expected where pod stands"),
            ("inf{a=\"b\"}{c=\"d\"}", "{ is not expected there"),
            ("a offset b", "a time is expected where b stands"),
        ];
        for (query, expected) in table {
            let said = confined(query).unwrap_err();
            assert!(said.starts_with(expected), "{query}: {said}");
        }
        assert!(confined(&("(".repeat(10_000) + "a")).unwrap_err().contains("nested too deep"));
    }

    #[test]
    fn what_is_filled_in_stays_a_text() {
        let query = PromQl::new("a{b=\"X\",c=~\"X-.*\"}").unwrap();
        assert_eq!(query.texts().collect::<Vec<_>>(), ["X", "X-.*"]);
        let evil = "\"} or secret{x=\"\\\n";
        let fill = |text: &str, pattern: bool| {
            let value = if pattern { regex::escape(evil) } else { evil.to_owned() };
            Some(text.replace('X', &value))
        };
        let asked = query.filled(fill, Some(("namespace", "n\"s"))).unwrap().unwrap();
        let again = PromQl::new(&asked).unwrap();
        let texts: Vec<&str> = again.texts().collect();
        assert_eq!((texts[0], texts[2]), (evil, "n\"s"), "{asked}");
        assert!(regex::Regex::new(&format!("^(?:{})$", texts[1])).unwrap().is_match(&format!("{evil}-a")));
        assert_eq!(query.filled(|_, _| None, None), Ok(None));
        let long = query.filled(|_, _| Some("x".repeat(MAX_BYTES)), None).unwrap_err().to_string();
        assert!(long.contains("bytes, 16384 at most"), "{long}");
    }

    proptest! {
        /// Whatever is written: it is refused, or comes out so that it reads the same again, each selection with the
        /// matcher as its last.
        #[test]
        fn any_query_will_do(words in prop::collection::vec(
            prop::sample::select(vec![
                "a", "sum", "by", "on", "or", "(", ")", "{", "}", "[5m]", ",", "b=\"c\"", "\"d\"", "=~", "1", "-", "offset 5m",
                "@ 3", "bool", "group_left", "#\n", "inf", "==",
            ]), 0..14)) {
            let text = words.join(" ");
            if let Ok(asked) = confined(&text) {
                let again = PromQl::new(&asked).unwrap();
                let bare = again.parts.iter().any(|part| matches!(part, Part::Room(Room::Bare | Room::Empty)));
                prop_assert!(!bare, "{}", asked);
                prop_assert_eq!(asked.matches("namespace=\"team-a\"").count(), again.selections());
            }
        }

        #[test]
        fn no_text_breaks_out(value in "\\PC{0,30}") {
            let asked = format!("a{{b={}}}", quote(&value));
            let parsed = PromQl::new(&asked).unwrap();
            prop_assert_eq!(parsed.texts().collect::<Vec<_>>(), vec![value.as_str()]);
        }
    }
}
