//! The words of PromQL.

/// One word.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// A name: of a metric, a function, a label, an operator.
    Word(&'a str),
    /// A number, or a length of time.
    Number(&'a str),
    /// A text in quotes, its escapes resolved.
    Quoted(String),
    /// One of [`SIGNS`].
    Sign(&'static str),
}

/// Longer ones first.
const SIGNS: [&str; 24] = [
    "==", "!=", "=~", "!~", ">=", "<=", "{", "}", "(", ")", "[", "]", ",", "+", "-", "*", "/", "%", "^", ">", "<", "=",
    "@", ":",
];

/// Splits a query.
///
/// # Errors
/// A sentence about what is no word.
pub(super) fn tokens(query: &str) -> Result<Vec<Token<'_>>, String> {
    let (mut tokens, mut rest) = (Vec::new(), query);
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        let Some(first) = rest.chars().next() else { return Ok(tokens) };
        if first == '#' {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
            continue;
        }
        let (token, length) = match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                let length = length_while(rest, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'));
                (Token::Word(&rest[..length]), length)
            }
            '0'..='9' | '.' => {
                let length = number(rest);
                (Token::Number(&rest[..length]), length)
            }
            '"' | '\'' | '`' => {
                let (text, length) = quoted(rest, first)?;
                (Token::Quoted(text), length)
            }
            _ => {
                let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
                let sign = sign.ok_or_else(|| format!("{first:?} is nothing that a query has outside of quotes"))?;
                (Token::Sign(sign), sign.len())
            }
        };
        tokens.push(token);
        rest = &rest[length..];
    }
}

fn length_while(text: &str, belongs: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| belongs(*byte)).count()
}

/// Length of a number such as `1.5e-3`, `0x1F` or `1h30m`.
fn number(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut length = 0;
    while let Some(byte) = bytes.get(length) {
        let exponent = matches!(byte, b'+' | b'-')
            && length > 0
            && matches!(bytes[length - 1], b'e' | b'E')
            && !text.starts_with("0x")
            && bytes.get(length + 1).is_some_and(u8::is_ascii_digit);
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || exponent) {
            break;
        }
        length += 1;
    }
    length
}

/// A text in quotes and its length with them. Backquotes take everything as it is.
fn quoted(text: &str, quote: char) -> Result<(String, usize), String> {
    let (mut value, mut characters) = (String::new(), text.char_indices().skip(1));
    while let Some((at, c)) = characters.next() {
        match c {
            c if c == quote => return Ok((value, at + 1)),
            '\\' if quote != '`' => match characters.next() {
                Some((_, c @ ('\\' | '"' | '\''))) => value.push(c),
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, c)) => {
                    return Err(format!("\\{c} in quotes is not understood; for a backslash write \\\\"));
                }
                None => break,
            },
            c => value.push(c),
        }
    }
    Err(format!("a {quote} has no second one that closes it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_queries() {
        let table = [
            ("up", "w:up"),
            ("a:b_1{c!=\"d\"}", "w:a:b_1 s:{ w:c s:!= q:d s:}"),
            ("rate(x[5m:30s]) >= 1.5e-3 # why\n", "w:rate s:( w:x s:[ n:5m s:: n:30s s:] s:) s:>= n:1.5e-3"),
            ("0x1F-1e3+.5", "n:0x1F s:- n:1e3 s:+ n:.5"),
            (r#"'a\'b"c' `a\"b`  "a\\d\n""#, "q:a'b\"c q:a\\\"b q:a\\d\n"),
            ("{x=~\"é\"}", "s:{ w:x s:=~ q:é s:}"),
        ];
        for (query, expected) in table {
            let shown = tokens(query).unwrap().into_iter().map(|token| match token {
                Token::Word(word) => format!("w:{word}"),
                Token::Number(number) => format!("n:{number}"),
                Token::Quoted(text) => format!("q:{text}"),
                Token::Sign(sign) => format!("s:{sign}"),
            });
            assert_eq!(shown.collect::<Vec<_>>().join(" "), expected, "{query}");
        }
        for query in ["\"a", "'a\\'", "\"\\x41\"", "a; b", "é", "a & b", "$x", "\"a\\"] {
            assert!(tokens(query).is_err(), "{query}");
        }
    }
}
