//! Whose a number is: the name that stands before it.

use super::step;
use crate::metrics::wanted::{Wanted, begins_name, is_name, is_phase};

/// Words of a name at most, and bytes of each.
const MAX_WORDS: usize = 4;
const MAX_WORD: usize = 128;
/// Words before a name that belong to the log, not to it.
const LEVELS: [&str; 9] = ["trace", "debug", "info", "notice", "warn", "warning", "error", "critical", "fatal"];
/// Whose the number is.
pub(super) enum Owner<'t> {
    /// A metric that is asked for.
    Wanted(String),
    /// A name that nobody asked for.
    Other(&'t str),
    /// A step's, and how telling its word is.
    Step(u8),
}

/// Whose a number is by the text before it, which ends here.
pub(super) fn owner<'t>(wanted: &mut Wanted, text: &'t str, end: usize, colon: bool) -> Option<Owner<'t>> {
    let before = &text[..end];
    if let Some(quote @ (b'"' | b'\'')) = before.bytes().last() {
        let from = floor(text, end.saturating_sub(MAX_WORD));
        let inner = text[from..end - 1].rsplit_once(char::from(quote)).map(|(_, inner)| inner.trim())?;
        return quoted(wanted, inner);
    }
    let start = word(text, end);
    let token = &text[start..end];
    if !token.starts_with(begins_name) {
        return wanted.special(before).map(|name| Owner::Wanted(name.to_owned()));
    }
    let mut starts = [start; MAX_WORDS];
    let count = phrase(text, &mut starts);
    let phase = (count > 1).then(|| text[starts[1]..start].trim_end()).filter(|word| is_phase(word));
    for (at, from) in starts[..count].iter().enumerate().rev() {
        let Some(name) = wanted.exact(&text[*from..end]) else { continue };
        match phase {
            Some(phase) if at == 0 => {
                if wanted.stands_for(&name, phase) {
                    return Some(Owner::Wanted(name));
                }
            }
            _ => {
                if at == 0 {
                    wanted.stands_alone(&name);
                }
                return Some(Owner::Wanted(name));
            }
        }
    }
    if let Some(name) = wanted.special(before) {
        return Some(Owner::Wanted(name.to_owned()));
    }
    if let Some(rank) = step::rank(token) {
        return Some(Owner::Step(rank));
    }
    // A clause of a few words before a colon is a name; one of many is a sentence.
    let words = match (colon && count < MAX_WORDS, phase.is_some()) {
        (true, _) => count - 1,
        (false, true) => 1,
        (false, false) => 0,
    };
    Some(Owner::Other(&text[starts[words]..end]))
}

/// Whose a number is by the name in quotes before it.
fn quoted<'t>(wanted: &Wanted, name: &'t str) -> Option<Owner<'t>> {
    if let Some(name) = wanted.exact(name) {
        return Some(Owner::Wanted(name));
    }
    if let Some(rank) = step::rank(name) {
        return Some(Owner::Step(rank));
    }
    Some(Owner::Other(name)).filter(|_| name.starts_with(begins_name))
}

/// Whether the name of a metric that is asked for stands before this, whose value is none.
pub(super) fn is_asked(wanted: &Wanted, text: &str, end: usize) -> bool {
    let before = &text[..end];
    let Some(last) = before.bytes().last().filter(|last| wanted.may_end(*last) || matches!(last, b'"' | b'\'')) else {
        return false;
    };
    if matches!(last, b'"' | b'\'') {
        let from = floor(text, end.saturating_sub(MAX_WORD));
        return text[from..end - 1].rsplit_once(char::from(last)).is_some_and(|(_, inner)| wanted.asks(inner.trim()));
    }
    let start = word(text, end);
    let token = &text[start..end];
    // `ERROR: no such file`
    if !token.starts_with(begins_name) || LEVELS.iter().any(|level| level.eq_ignore_ascii_case(token)) {
        return wanted.special(before).is_some();
    }
    let mut starts = [start; MAX_WORDS];
    let count = phrase(text, &mut starts);
    starts[..count].iter().any(|from| wanted.asks(&text[*from..end])) || wanted.special(before).is_some()
}

/// Where the words before the last one begin, which stand one blank apart; gives how many there are.
fn phrase(text: &str, starts: &mut [usize; MAX_WORDS]) -> usize {
    let mut count = 1;
    while count < MAX_WORDS {
        let Some(end) = starts[count - 1].checked_sub(1).filter(|end| text.as_bytes()[*end] == b' ') else { break };
        let start = word(text, end);
        let word = &text[start..end];
        if !word.starts_with(begins_name) || LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word)) {
            break;
        }
        starts[count] = start;
        count += 1;
    }
    count
}

/// Where the word begins that ends here.
fn word(text: &str, end: usize) -> usize {
    let bytes = text.as_bytes();
    let mut at = end;
    while at > 0 && end - at < MAX_WORD {
        let last = bytes[at - 1];
        if last.is_ascii() {
            if !is_word(last) && last != b'\'' {
                break;
            }
            at -= 1;
        } else {
            match text[..at].chars().next_back().filter(|c| is_name(*c)) {
                Some(c) => at -= c.len_utf8(),
                None => break,
            }
        }
    }
    // The quote of a whole pair is no part of the name.
    at + usize::from(at < end && bytes[at] == b'\'')
}

/// Bytes of ASCII characters of a name, and those of other scripts.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'@') || !byte.is_ascii()
}

/// The next boundary of a character from here on.
fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}
