//! Lines that look as if they said a metric, and say no number.

/// Longest part of a line that is shown, in characters.
const MAX_SHOWN: usize = 120;

/// How many there were, and the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misses {
    /// How many lines, rows of a table, posts and the like.
    pub lines: u64,
    /// The beginning of the first.
    pub first: Option<String>,
}

impl Misses {
    /// One more. What it says is asked for where it is shown.
    pub(super) fn add(&mut self, line: impl FnOnce() -> String) {
        self.lines += 1;
        self.first.get_or_insert_with(|| shown(&line()));
    }

    /// Those of another source, or later ones.
    pub fn join(&mut self, other: Misses) {
        self.lines += other.lines;
        self.first = self.first.take().or(other.first);
    }
}

/// In a sentence: `3 lines look like metrics and could not be read, the first: accuracy=abc`.
impl std::fmt::Display for Misses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.lines {
            1 => f.write_str("1 line looks like a metric and could not be read")?,
            lines => write!(f, "{lines} lines look like metrics and could not be read")?,
        }
        let Some(first) = &self.first else { return Ok(()) };
        f.write_str(if self.lines == 1 { ": " } else { ", the first: " })?;
        f.write_str(first)
    }
}

/// On one line, and not too long.
fn shown(line: &str) -> String {
    let line = line.trim();
    let mut shown: String = line.chars().take(MAX_SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// Whether a text says that there is no value: that is no miss.
pub(super) fn says_none(text: &str) -> bool {
    ["", "none", "null"].iter().any(|word| word.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_sentence() {
        let mut misses = Misses::default();
        misses.add(|| format!("  loss: \t--{}\n", "é".repeat(200)));
        let first = format!("loss:  --{}…", "é".repeat(MAX_SHOWN - 9));
        assert_eq!(misses.to_string(), format!("1 line looks like a metric and could not be read: {first}"));
        misses.join(Misses { lines: 2, first: Some("other".into()) });
        assert_eq!(misses.to_string(), format!("3 lines look like metrics and could not be read, the first: {first}"));
    }
}
