//! Names with their numbers, and the step, wherever they stand in a text: `name=value`, `name: value`, `'name': value`,
//! `name value`, JSON objects, `Epoch 3/10`, `[37]`.

use super::number::{Comma, Number, grouped, is_bar, number};
use super::object;
use super::owner::{Owner, is_asked, is_word, owner};
use super::step::{self, Step};
use crate::metrics::misses::says_none;
use crate::metrics::wanted::{Wanted, is_metric, is_name, is_time, tells};
use jiff::Timestamp;

/// Characters of a word that are looked at to tell whether it says that there is no value.
const MAX_TOLD: usize = 16;
/// Characters of the name of a field at most, where an object does not end.
const MAX_FIELD: usize = 128;
/// Blanks between a name, its sign and its value at most.
const MAX_BLANKS: usize = 128;

/// Texts within a JSON object that are lines by themselves: Docker's, and those of structured logs.
const MESSAGES: [&str; 4] = ["log", "message", "msg", "event"];
/// The name under which Katib's examples print a metric's name, its value following under any other.
const NAMED: &str = "metricName";

/// What was found in one line.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Wanted metrics and their values.
    pub pairs: Vec<(String, f64)>,
    /// The step.
    pub step: Step,
    /// How far a progress bar has come, and how far it goes.
    pub bar: Option<(u64, u64)>,
    /// The time that the line says itself.
    pub time: Option<Timestamp>,
    /// It begins an object that does not end.
    pub broke_off: bool,
}

/// One pass over a text.
pub(super) struct Scan<'a> {
    pub wanted: &'a mut Wanted,
    pub comma: &'a mut Comma,
    pub found: &'a mut Found,
    /// A name that the text gave as a value, for the next number.
    named: Option<String>,
    layout: Layout,
}

/// What is looked for once in a text, since looking again at each number would take too long.
#[derive(Clone, Copy, Default)]
struct Layout {
    /// It has tabs, so it is laid out in columns.
    columns: bool,
    /// Length of the blanks that it begins with.
    margin: usize,
    /// Where the last `]{` begins.
    behind_bar: Option<usize>,
}

impl<'a> Scan<'a> {
    pub fn new(wanted: &'a mut Wanted, comma: &'a mut Comma, found: &'a mut Found) -> Self {
        Scan { wanted, comma, found, named: None, layout: Layout::default() }
    }

    /// Finds all there is in a text. The time taken is linear in its length.
    pub fn text(&mut self, text: &str) {
        self.within(text, false);
    }

    fn within(&mut self, text: &str, nested: bool) {
        let bytes = text.as_bytes();
        let margin = text.len() - text.trim_start().len();
        let layout = Layout { columns: bytes.contains(&b'\t'), margin, behind_bar: text.rfind("]{") };
        let outer = std::mem::replace(&mut self.layout, layout);
        let (mut at, mut objects) = (0, true);
        while let Some(byte) = bytes.get(at) {
            at = match byte {
                b'=' | b':' => self.sign(text, at).unwrap_or(at + 1),
                b'0'..=b'9' => match at.checked_sub(1).and_then(|before| bytes.get(before)) {
                    Some(before) if is_word(*before) && !is_negative(bytes, at) => run(bytes, at),
                    _ => self.digits(text, at).unwrap_or_else(|| clock(bytes, run(bytes, at))),
                },
                b'{' if objects && opens_object(&bytes[at + 1..]) => match object::first(&text[at..]) {
                    Some((fields, length)) => {
                        self.object(fields, nested);
                        at + length
                    }
                    // One that does not end is looked for once.
                    None => {
                        objects = false;
                        self.found.broke_off = names_a_field(&text[at..]);
                        at + 1
                    }
                },
                _ => at + 1,
            };
        }
        self.layout = outer;
    }

    /// A number under a name that stands by itself, as in JSON or a table.
    pub fn pair(&mut self, name: &str, value: f64) {
        let rank = step::rank(name);
        if let Some(rank) = rank {
            self.found.step.see(rank, value);
        }
        match self.wanted.exact(name) {
            Some(wanted) => self.found.pairs.push((wanted, value)),
            None if rank.is_none() => self.other(name, value),
            None => {}
        }
    }

    fn other(&mut self, name: &str, value: f64) {
        if is_time(name, value) {
            return;
        }
        if self.wanted.is_all() && tells(name) {
            self.found.pairs.push((name.to_owned(), value));
        }
        self.wanted.remember(name);
    }

    fn object(&mut self, fields: object::Fields, nested: bool) {
        if !nested {
            MESSAGES.iter().filter_map(|key| fields.get(*key)?.as_str()).for_each(|text| self.within(text, true));
        }
        self.found.time = self.found.time.or_else(|| object::time(&fields));
        let mut named = fields.get(NAMED).and_then(|name| name.as_str()).map(str::to_owned);
        for (name, value) in object::values(fields) {
            let Some(value) = value else {
                self.wanted.no_number(&name);
                continue;
            };
            if step::rank(&name).is_none()
                && name != "timestamp"
                && let Some(named) = named.take()
            {
                self.pair(&named, value);
            } else {
                self.pair(&name, value);
            }
        }
    }

    /// What stands around a `=` or `:`, and where it ends.
    fn sign(&mut self, text: &str, at: usize) -> Option<usize> {
        let bytes = text.as_bytes();
        if matches!(bytes.get(at + 1), Some(b'=' | b':' | b'/' | b'\\' | b'>')) {
            return Some(at + 2);
        }
        let start = at + 1 + blanks(bytes[at + 1..].iter());
        let end = at - blanks(bytes[..at].iter().rev());
        let Some((value, length)) = self.value(&text[start..]) else {
            let name = text[..end].trim_end_matches(['"', '\'']);
            if name.ends_with(NAMED) {
                let value = text[start..].trim_start_matches(['"', '\'']);
                let length = value.find(|c| !is_name(c)).unwrap_or(value.len());
                self.named = Some(value[..length].to_owned()).filter(|name| !name.is_empty());
            } else if is_asked(self.wanted, text, end) && is_no_number(&text[start..]) {
                self.wanted.miss();
            }
            return None;
        };
        let next = start + length;
        // What a URL asks with: `/metrics?loss=9&step=3`.
        let name = text[..end].rfind(|c| !is_name(c)).map_or(0, |before| before + 1);
        if bytes.get(at) == Some(&b'=') && matches!(bytes.get(name.wrapping_sub(1)), Some(b'?' | b'&')) {
            return Some(next);
        }
        let owner = owner(self.wanted, text, end, bytes.get(at) == Some(&b':'))?;
        // `host:8080`, `train.py:42`, `cuda:0`: a count right behind a colon is hardly a metric, unless in a column.
        let percent = text.as_bytes().get(next - 1) == Some(&b'%');
        let count = !value.real && !percent && start == at + 1 && bytes.get(at) == Some(&b':');
        if count && matches!(owner, Owner::Other(_)) && !self.layout.columns {
            return Some(next);
        }
        self.give(owner, value);
        Some(next)
    }

    fn give(&mut self, owner: Owner, value: Number) {
        match owner {
            Owner::Step(rank) => self.found.step.see(rank, value.value),
            _ if self.named.is_some() => {
                if let Some(name) = self.named.take() {
                    self.pair(&name, value.value);
                }
            }
            Owner::Wanted(name) => {
                if let Some(rank) = step::rank(&name) {
                    self.found.step.see(rank, value.value);
                }
                self.found.pairs.push((name, value.value));
            }
            Owner::Other(name) => self.other(name, value.value),
        }
    }

    /// The number at the start of a text, bare, in quotes, or as Python shows that of a library: `np.float64(0.5)`.
    fn value(&mut self, text: &str) -> Option<(Number, usize)> {
        match text.bytes().next()? {
            quote @ (b'"' | b'\'') => {
                let value = number(text.get(1..)?, self.comma)?;
                let end = 1 + value.length;
                (text.as_bytes().get(end) == Some(&quote)).then_some((value, end + 1))
            }
            b't' | b'a' | b'n' if !text[1..].starts_with(['a', 'A']) => {
                let open = text.bytes().take(20).position(|byte| byte == b'(')?;
                let library = ["tensor", "array"].contains(&&text[..open])
                    || ["np.", "numpy."].iter().any(|start| text.starts_with(start));
                let value = number(&text[open + 1..], self.comma).filter(|_| library)?;
                Some((value, open + 1 + value.length))
            }
            _ => number(text, self.comma).map(|value| (value, value.length)),
        }
    }

    /// What digits without a sign before them tell: a step, a bar's count, or a value right behind a name.
    fn digits(&mut self, text: &str, at: usize) -> Option<usize> {
        let bytes = text.as_bytes();
        let mut end = at + count(&bytes[at..]);
        let before = &text[..at];
        // A step is whole, so a comma with three digits behind it can but be that of thousands.
        if bytes.get(end) == Some(&b',') && step::rank_before(before).is_some() {
            end = grouped(&bytes[at..], end - at, b',').map_or(end, |length| at + length);
        }
        let whole = || text[at..end].replace(',', "").parse::<f64>().ok().filter(|_| end - at < 16);
        let of = total(text, end);
        let opens = at.checked_sub(1).and_then(|before| bytes.get(before));
        if matches!(opens, Some(b' ' | b'\t' | b'[' | b'(' | b'#' | b':' | b'='))
            && let Some(rank) = step::rank_before(before)
        {
            let fraction = bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
            let next = bytes.get(end).copied().unwrap_or(b' ');
            if fraction {
                self.found.step.see(rank, f64::NAN);
            } else if of.is_some()
                || matches!(next, b' ' | b'\t' | b',' | b':' | b';' | b']' | b')' | b'|' | b'.' | b'-')
            {
                self.found.step.see(rank, whole()?);
            } else {
                return None;
            }
            return Some(of.map_or_else(|| run(bytes, at), |(_, end)| end));
        }
        if let Some((of, behind)) = of {
            if is_progress(before, &text[behind..]) {
                let done = whole()?;
                // What stands behind a bar is no part of it, and the bar tells its step: Hugging Face's dictionaries.
                if self.layout.behind_bar.is_some_and(|last| last >= behind) {
                    self.found.step.see(step::FIRST, done);
                } else {
                    self.found.bar = Some((done as u64, of));
                    self.found.step.see(step::BAR, done);
                }
            }
            return Some(behind);
        }
        match (opens, bytes.get(end), bytes.get(end + 1)) {
            (Some(b'['), Some(b']'), next) => {
                let start = before.get(self.layout.margin..at - 1).unwrap_or_default();
                let column = next == Some(&b'\t') && (start.is_empty() || start.ends_with([' ', '\t']));
                if column || (start.is_empty() && matches!(next, None | Some(b' '))) {
                    self.found.step.see(step::BRACKETS, whole()?);
                }
                Some(end + 1)
            }
            (_, Some(b':'), Some(b'\t')) if self.layout.margin >= at => {
                self.found.step.see(step::BRACKETS, whole()?);
                Some(end + 2)
            }
            (Some(b' ' | b'\t' | b'-'), ..) => self.bare(text, at),
            _ => None,
        }
    }

    /// `val loss 2.40`, `Acc@1  76.13`: a number right behind a name that is one for sure.
    fn bare(&mut self, text: &str, at: usize) -> Option<usize> {
        let bytes = text.as_bytes();
        let start = if is_negative(bytes, at) { at - 1 } else { at };
        let end = start - blanks(bytes[..start].iter().rev().take(16));
        if end == start || !bytes[..end].last().is_some_and(|last| is_word(*last)) {
            return None;
        }
        let value = number(&text[start..], self.comma)?;
        let next = start + value.length;
        let closed = matches!(bytes.get(next), None | Some(b',' | b';' | b'|' | b')'));
        if !value.real && !closed {
            return None;
        }
        match owner(self.wanted, text, end, false)? {
            Owner::Step(_) => return None,
            Owner::Other(name) if !is_metric(name) => return None,
            owner => self.give(owner, value),
        }
        Some(next)
    }
}

/// Whether the first field of an object follows, as it does not where a brace is by chance.
fn names_a_field(object: &str) -> bool {
    let Some(rest) = object.strip_prefix('{').and_then(|rest| rest.trim_start().strip_prefix('"')) else {
        return false;
    };
    let name: String = rest.chars().take(MAX_FIELD).take_while(|c| *c != '"').collect();
    let plain = !name.is_empty() && !name.contains(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER);
    plain && rest[name.len()..].strip_prefix('"').is_some_and(|rest| rest.trim_start().starts_with(':'))
}

/// Whether what stands where a number is to stand says something else, and not that there is none. What a brace opens is
/// looked at by itself.
fn is_no_number(text: &str) -> bool {
    let ends = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '|' | '}' | ')');
    // Long enough to tell `None` from others; the whole word may be the line.
    let word: String = text.chars().take(MAX_TOLD).take_while(|c| !ends(*c)).collect();
    let word = word.trim_matches(['"', '\'']);
    !says_none(word) && !word.starts_with('{')
}

/// How far the bar has come, and how far it goes, that a text has behind something else.
pub(super) fn bar(text: &str) -> Option<(u64, u64)> {
    let (mut wanted, mut comma, mut found) = (Wanted::default(), Comma::default(), Found::default());
    Scan::new(&mut wanted, &mut comma, &mut found).text(text);
    found.bar
}

/// Whether `n/m` between these is how far a bar has come: that of tqdm, Lightning, Keras or ultralytics.
fn is_progress(before: &str, after: &str) -> bool {
    let (before, after) = (before.trim_end_matches(' '), after.trim_start_matches(' '));
    let drawn = after.strip_prefix('[').is_some_and(|bar| bar.starts_with(['=', '>', '.']));
    drawn || (before.ends_with('|') && after.starts_with('[')) || after.starts_with(is_bar) || before.ends_with(is_bar)
}

/// The number behind the slash of `3/10` or ` 10/   500`, or behind the `of` of `3 of 10`, and where it ends.
fn total(text: &str, at: usize) -> Option<(u64, usize)> {
    let bytes = text.as_bytes();
    let slash = match bytes.get(at)? {
        b'/' => at + 1,
        b' ' if bytes.get(at + 1) == Some(&b'/') => at + 2,
        b' ' if bytes[at..].starts_with(b" of ") => at + 4,
        _ => return None,
    };
    let start = slash + blanks(bytes[slash..].iter().take(16));
    let end = start + count(&bytes[start..]);
    let total = text[start..end].parse().ok()?;
    // A third part makes it a date.
    (!bytes.get(end).is_some_and(|next| *next == b'/' || is_word(*next))).then_some((total, end))
}

/// Whether the digits that begin here have a minus before them, and a blank before that.
fn is_negative(bytes: &[u8], at: usize) -> bool {
    at > 1 && bytes[at - 1] == b'-' && matches!(bytes[at - 2], b' ' | b'\t')
}

/// Where the word ends that begins here.
fn run(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().take_while(|byte| is_word(**byte)).count().max(1)
}

/// Where the time of a day ends, whose first part ends here.
fn clock(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at) == Some(&b':') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
        at = run(bytes, at + 1);
    }
    at
}

fn opens_object(bytes: &[u8]) -> bool {
    matches!(bytes.iter().take(MAX_BLANKS).find(|byte| !byte.is_ascii_whitespace()), Some(b'"' | b'}'))
}

fn count(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn blanks<'b>(bytes: impl Iterator<Item = &'b u8>) -> usize {
    bytes.take(MAX_BLANKS).take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}
