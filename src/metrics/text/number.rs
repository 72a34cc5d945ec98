//! Numbers as people print them: a tolerant grammar, and what must not be taken for a number.

use std::borrow::Cow;

/// Words that are values, in lower case; a longer one before what it begins with.
const WORDS: [(&str, f64); 3] = [("infinity", f64::INFINITY), ("inf", f64::INFINITY), ("nan", f64::NAN)];

/// The zeros of the scripts whose ten digits follow each other in Unicode.
const ZEROS: [char; 20] =
    ['٠', '۰', '߀', '०', '০', '੦', '૦', '୦', '௦', '౦', '೦', '൦', '๐', '໐', '༠', '၀', '០', '᠐', '０', '𝟎'];

/// What stands between thousands in the locales of Switzerland, France and others: an apostrophe, or a blank that does not end a
/// line.
const PARTS: [char; 5] = ['\'', '’', '\u{a0}', '\u{202f}', '\u{2009}'];

/// Most characters of a number of another script.
const MAX_LENGTH: usize = 128;

/// What a comma within a number means, as far as the lines so far have told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::metrics) enum Comma {
    /// Nobody knows: `1,234` may be either.
    #[default]
    Unknown,
    /// As in `0,93`.
    Decimal,
    /// As in `1,234,567` or `1,234.5`.
    Thousands,
}

/// A number at the start of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::metrics) struct Number {
    /// As printed: `91.2%` is 91.2.
    pub value: f64,
    /// Bytes of it, a percent sign included.
    pub length: usize,
    /// Has a fraction or an exponent, or is no finite number: hardly a count.
    pub real: bool,
}

/// The number at the start of a text, unless what follows makes it something else, such as a time, a date, a version, a
/// path, a size with its unit, or the percentage of a progress bar.
pub(in crate::metrics) fn number(text: &str, comma: &mut Comma) -> Option<Number> {
    let bytes = text.as_bytes();
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let found = match bytes.get(sign)? {
        b'0'..=b'9' | b'.' => decimal(text, sign, comma)?,
        byte if byte.is_ascii() => word(text, sign)?,
        _ => {
            let (ascii, lengths) = ascii(text)?;
            let found = number(&ascii, comma)?;
            Number { length: lengths.get(..found.length)?.iter().sum(), ..found }
        }
    };
    let rest = &text[found.length..];
    let Some(behind) = rest.strip_prefix('%') else { return whole(rest).then_some(found) };
    let bar = behind.trim_start().starts_with(|c: char| c == '|' || is_bar(c));
    (!bar && whole(behind)).then_some(Number { length: found.length + 1, ..found })
}

/// Characters that progress bars and boxes are drawn of.
pub(in crate::metrics) fn is_bar(c: char) -> bool {
    ('\u{2500}'..='\u{259f}').contains(&c)
}

/// What follows leaves the number one.
fn whole(rest: &str) -> bool {
    let mut next = rest.chars();
    match next.next() {
        None | Some(' ' | '\t') => true,
        // `1.#INF` is what Windows calls infinity.
        Some('.' | '-') => !next.next().is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '#')),
        Some('+') => next.next().is_none_or(|c| c.is_ascii_digit() || c == ' '),
        Some(':' | '/' | '=' | '_' | '\\' | '@') => false,
        Some(c) => !c.is_alphanumeric(),
    }
}

fn word(text: &str, sign: usize) -> Option<Number> {
    let rest = &text.as_bytes()[sign..];
    let (word, value) = WORDS
        .into_iter()
        .find(|(word, _)| rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes())))?;
    let value = if text.starts_with('-') { -value } else { value };
    Some(Number { value, length: sign + word.len(), real: true })
}

fn decimal(text: &str, sign: usize, comma: &mut Comma) -> Option<Number> {
    let bytes = text.as_bytes();
    let start = sign;
    let point = start + digits(&bytes[start..]);
    let (mut end, mut real, mut separated) = (point, false, None);
    match (bytes.get(point), bytes.get(point + 1)) {
        (Some(b'.'), next) => {
            let fraction = next.map_or(0, |_| digits(&bytes[point + 1..]));
            if point == start && fraction == 0 {
                return None;
            }
            if fraction > 0 {
                (end, real) = (point + 1 + fraction, true);
            }
            // `1.234,5` is a list or one number, and nobody knows which.
            let listed = bytes.get(end) == Some(&b',') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
            if listed && fraction == 3 && bytes[start] != b'0' {
                return None;
            }
        }
        (Some(b','), Some(b'0'..=b'9')) => {
            let (length, kind) = commas(&bytes[start..], point - start)?;
            let kind = match kind {
                Comma::Unknown => *comma,
                known => known,
            };
            *comma = kind;
            (end, real) = (start + length, kind == Comma::Decimal);
            separated = Some(match kind {
                Comma::Unknown => return None,
                Comma::Decimal => text[..end].replace(',', "."),
                Comma::Thousands => text[..end].replace(',', ""),
            });
        }
        (Some(b'_'), Some(b'0'..=b'9')) => {
            end = start + grouped(&bytes[start..], point - start, b'_')?;
            separated = Some(text[..end].replace('_', ""));
        }
        _ => {
            if let Some(length) = parted(&text[start..], point - start)? {
                end = start + length;
                separated = Some(text[..end].replace(PARTS, ""));
                let fraction = bytes.get(end + 1..).map_or(0, digits);
                if bytes.get(end) == Some(&b',') && fraction > 0 {
                    separated = separated.map(|whole| format!("{whole}.{}", &text[end + 1..end + 1 + fraction]));
                    (end, real) = (end + 1 + fraction, true);
                }
            }
        }
    }
    if separated.is_some() && bytes.get(end) == Some(&b'.') {
        let fraction = digits(bytes.get(end + 1..)?);
        if let Some(separated) = &mut separated
            && fraction > 0
        {
            separated.push_str(&text[end..end + 1 + fraction]);
            (end, real) = (end + 1 + fraction, true);
        }
    }
    let exponent = exponent(&bytes[end..]);
    let printed = match separated {
        Some(mut separated) => {
            separated.push_str(&text[end..end + exponent]);
            Cow::Owned(separated)
        }
        None => Cow::Borrowed(&text[..end + exponent]),
    };
    end += exponent;
    let value = printed.parse().ok()?;
    Some(Number { value, length: end, real: real || exponent > 0 })
}

/// The length of digits with commas, and what the commas are; `None` for a list.
fn commas(bytes: &[u8], first: usize) -> Option<(usize, Comma)> {
    let mut at = first;
    let (mut groups, mut threes) = (0, (1..=3).contains(&first) && bytes.first() != Some(&b'0'));
    while bytes.get(at) == Some(&b',') {
        let length = digits(&bytes[at + 1..]);
        if length == 0 {
            break;
        }
        threes &= length == 3;
        (groups, at) = (groups + 1, at + 1 + length);
    }
    let fraction = bytes.get(at) == Some(&b'.') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
    match (threes, groups, fraction) {
        (true, 1, false) => Some((at, Comma::Unknown)),
        (true, _, _) => Some((at, Comma::Thousands)),
        (false, 1, false) => Some((at, Comma::Decimal)),
        _ => None,
    }
}

/// The length of digits in groups of three with one of [`PARTS`] between them, as in `1'234'567`; `None` within where there is
/// none, and without where digits stand behind one in another way.
#[allow(clippy::option_option)]
fn parted(text: &str, first: usize) -> Option<Option<usize>> {
    let mut at = first;
    while let Some(behind) = text[at..].strip_prefix(PARTS) {
        let length = digits(behind.as_bytes());
        match length {
            0 => break,
            3 if (1..=3).contains(&first) && !text.starts_with('0') => at = text.len() - behind.len() + length,
            _ => return None,
        }
    }
    Some((at > first).then_some(at))
}

/// The length of digits in groups of three.
pub(super) fn grouped(bytes: &[u8], first: usize, separator: u8) -> Option<usize> {
    let mut at = first;
    while bytes.get(at) == Some(&separator) && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
        if digits(&bytes[at + 1..]) != 3 {
            return None;
        }
        at += 4;
    }
    Some(at)
}

fn exponent(bytes: &[u8]) -> usize {
    let Some(b'e' | b'E') = bytes.first() else { return 0 };
    let sign = usize::from(matches!(bytes.get(1), Some(b'+' | b'-')));
    match digits(bytes.get(1 + sign..).unwrap_or_default()) {
        0 => 0,
        length => 1 + sign + length,
    }
}

fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// A number of another script in ASCII, and how many bytes each of its characters was.
fn ascii(text: &str) -> Option<(String, Vec<usize>)> {
    let (mut ascii, mut lengths) = (String::new(), Vec::new());
    for c in text.chars().take(MAX_LENGTH) {
        let digit = ZEROS.iter().find_map(|zero| (c as u32).checked_sub(*zero as u32).filter(|digit| *digit < 10));
        let plain = match (c, digit) {
            (_, Some(digit)) => char::from_digit(digit, 10)?,
            ('−' | '﹣' | '－', _) => '-',
            ('٫' | '．', _) => '.',
            ('٬' | '，', _) => ',',
            ('٪' | '％', _) => '%',
            ('0'..='9' | '+' | '-' | '.' | ',' | '%' | ' ' | 'e' | 'E', _) => c,
            // Whatever ends a number keeps its nature, and is not looked at beyond.
            _ => {
                ascii.push(if c.is_alphanumeric() {
                    'x'
                } else if is_bar(c) {
                    '|'
                } else {
                    ' '
                });
                lengths.push(c.len_utf8());
                break;
            }
        };
        ascii.push(plain);
        lengths.push(c.len_utf8());
    }
    // Else this would be asked for ever.
    ascii.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')).then_some((ascii, lengths))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<(String, usize)> {
        number(text, &mut Comma::default()).map(|number| (number.value.to_string(), number.length))
    }

    #[test]
    fn what_is_a_number() {
        let table = [
            ("0.93", "0.93", 4),
            ("-2.5E+1,", "-25", 7),
            ("+1e-3 x", "0.001", 5),
            (".5", "0.5", 2),
            ("5.", "5", 1),
            ("0.5. Then", "0.5", 3),
            ("nan", "NaN", 3),
            ("-Infinity}", "-inf", 9),
            ("INF", "inf", 3),
            ("91.2%", "91.2", 5),
            ("0.99000+0.00200\t", "0.99", 7),
            ("0.5 + 0.01", "0.5", 3),
            ("1_000_000", "1000000", 9),
            ("1'234'567.5", "1234567.5", 11),
            ("1’234", "1234", 7),
            ("12\u{202f}345,25 x", "12345.25", 11),
            ("1\u{a0}234%", "1234", 7),
            ("0.5'", "0.5", 3),
            ("1'", "1", 1),
            ("1\u{a0}x", "1", 1),
            ("1,234,567", "1234567", 9),
            ("1,234.5", "1234.5", 7),
            ("0,93", "0.93", 4),
            ("12,5%", "12.5", 5),
            ("1,acc=2", "1", 1),
            ("0.5,0.6", "0.5", 3),
            ("٠٫٩٣", "0.93", 8),
            ("۱۲", "12", 4),
            ("०.५ ", "0.5", 7),
            ("−0.5", "-0.5", 6),
            ("0.5)", "0.5", 3),
            ("1e5", "100000", 3),
            ("1e999", "inf", 5),
        ];
        for (text, value, length) in table {
            assert_eq!(read(text), Some((value.to_owned(), length)), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        let table = [
            "",
            "-",
            ".",
            "x",
            "12:30",
            "2026-01-01",
            "2026/01/01",
            "1.2.3",
            "10.0.0.1",
            "0.21.ckpt",
            "0.21-v1.ckpt",
            "12s",
            "48.3ms",
            "2000M",
            "123456GF",
            "0x1f",
            "1x",
            "100%|███|",
            "50% ━━━",
            "3/10",
            "info",
            "nancy",
            "1e",
            "1e-",
            "1,2,3",
            "1,234",
            "1.234,5",
            "1'23",
            "1.#QNAN",
            "1'2345",
            "0'234",
            "1234'567",
            "1_0",
            "user@",
            "5=",
            "５メ",
        ];
        for text in table {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_comma_means_what_the_lines_before_have_told() {
        for (before, after) in [("0,5", "1.234"), ("7,654,321", "1234"), ("7", "none")] {
            let mut comma = Comma::default();
            number(before, &mut comma);
            let found = number("1,234", &mut comma).map_or("none".to_owned(), |number| number.value.to_string());
            assert_eq!(found, after, "{before}");
        }
    }

    proptest! {
        #[test]
        fn a_number_reads_back(value in prop::num::f64::ANY) {
            for printed in [format!("{value}"), format!("{value:?}"), format!("{value:e}")] {
                let (read, length) = read(&printed).unwrap();
                prop_assert_eq!((read, length), (value.to_string(), printed.len()));
            }
        }

        #[test]
        fn any_text_will_do(text in "\\PC{0,20}", digits in "[-+0-9.,_eE%٠٫०]{0,20}") {
            for text in [&text, &digits] {
                if let Some(number) = number(text, &mut Comma::default()) {
                    prop_assert!(text.is_char_boundary(number.length) && number.length > 0);
                }
            }
        }
    }
}
