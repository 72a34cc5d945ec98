//! What a terminal or a log collector has put into and before a line.

use jiff::Timestamp;
use std::borrow::Cow;

const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;

/// The line without the sequences that colour a terminal's text or move its cursor (ECMA-48).
pub(super) fn plain(line: &[u8]) -> Cow<'_, [u8]> {
    if !line.contains(&ESCAPE) {
        return Cow::Borrowed(line);
    }
    let mut plain = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.iter().position(|byte| *byte == ESCAPE) {
        plain.extend_from_slice(&rest[..at]);
        rest = &rest[at + sequence(&rest[at..])..];
    }
    plain.extend_from_slice(rest);
    Cow::Owned(plain)
}

/// The length of the control sequence that begins here.
fn sequence(bytes: &[u8]) -> usize {
    let behind = bytes.get(2..).unwrap_or_default();
    let length = match bytes.get(1) {
        Some(b'[') => 3 + behind.iter().take_while(|byte| (0x20..=0x3f).contains(*byte)).count(),
        // A title or a link: up to a bell or an escape.
        Some(b']') => 3 + behind.iter().take_while(|byte| !matches!(**byte, BELL | ESCAPE)).count(),
        Some(b'(' | b')' | b'#') => 3,
        _ => 2,
    };
    length.min(bytes.len())
}

/// What a log collector has put before a line.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Prefix {
    /// Its length in bytes.
    pub length: usize,
    /// The time that stands at the line's start.
    pub time: Option<Timestamp>,
    /// The line is of another process of a distributed training than the first, which speaks for all.
    pub of_another_rank: bool,
}

/// The prefix of a line: that of the kubelet (`2026-01-01T10:00:00.1Z stdout F `), and that of torchrun (`[default0]: `,
/// `[rank0]: `).
pub(super) fn prefix(line: &str) -> Prefix {
    let mut prefix = Prefix::default();
    if let Some((time, behind)) = first_word(line) {
        prefix.time = Some(time);
        let stream = behind.strip_prefix("stdout ").or_else(|| behind.strip_prefix("stderr "));
        let whole = stream.and_then(|rest| rest.strip_prefix("F ").or_else(|| rest.strip_prefix("P ")));
        prefix.length = whole.map_or(0, |rest| line.len() - rest.len());
    }
    let rest = &line[prefix.length..];
    let process = rest.strip_prefix("[default").or_else(|| rest.strip_prefix("[rank"));
    if let Some((rank, behind)) = process.and_then(|process| process.split_once("]:"))
        && let Ok(rank) = rank.trim_start_matches([':', ' ']).parse::<u32>()
    {
        prefix.of_another_rank = rank != 0;
        prefix.length = line.len() - behind.len();
    }
    prefix
}

/// The first word of a line, if it is a time as RFC 3339 has it, and what follows.
fn first_word(line: &str) -> Option<(Timestamp, &str)> {
    // A year, and the hyphen behind it.
    if line.as_bytes().get(4) != Some(&b'-') || !line.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (word, behind) = line.split_once(' ')?;
    Some((word.parse().ok()?, behind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_shows() {
        let table: [(&str, &str); 7] = [
            ("loss=1", "loss=1"),
            ("\u{1b}[1m10/10\u{1b}[0m \u{1b}[32m━━\u{1b}[0m loss: 1", "10/10 ━━ loss: 1"),
            ("\u{1b}[2K\u{1b}[38;5;196mloss\u{1b}[m=1", "loss=1"),
            ("\u{1b}]0;title\u{7}loss=1", "loss=1"),
            ("a\u{1b}(Bb", "ab"),
            ("a\u{1b}", "a"),
            ("a\u{1b}[3", "a"),
        ];
        for (line, shown) in table {
            assert_eq!(plain(line.as_bytes()), shown.as_bytes(), "{line:?}");
        }
    }

    #[test]
    fn what_stands_before_a_line() {
        let time = Some("2026-01-01T10:00:00.5Z".parse().unwrap());
        let table = [
            ("loss=1", (0, None, false)),
            ("2026-01-01T10:00:00.5Z stdout F loss=1", (32, time, false)),
            ("2026-01-01T10:00:00.5Z loss=1", (0, time, false)),
            ("2026-01-01 10:00:00 loss=1", (0, None, false)),
            ("[default0]: loss=1", (11, None, false)),
            ("[rank3]:loss=1", (8, None, true)),
            ("[rank: 1]: loss=1", (10, None, true)),
            ("2026-01-01T10:00:00.5Z stderr F [default1]:x", (43, time, true)),
            ("[rank]: x", (0, None, false)),
        ];
        for (line, (length, time, of_another_rank)) in table {
            assert_eq!(prefix(line), Prefix { length, time, of_another_rank }, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_will_do(line in prop::collection::vec(any::<u8>(), 0..60), escapes in "[\u{1b}\\[\\]0-9;m(]{0,20}") {
            plain(&line);
            plain(escapes.as_bytes());
            prefix(&String::from_utf8_lossy(&line));
        }
    }
}
