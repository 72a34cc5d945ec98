//! A text split at its placeholders.

/// One piece of a text.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    Placeholder {
        scope: &'a str,
        name: &'a str,
        default: Option<&'a str>,
    },
    /// Meant as a placeholder, and none. The whole text of it.
    Flawed(&'a str, Flaw),
}

/// What is wrong with text that looks like a placeholder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Flaw {
    /// No brace closes it.
    Open,
    /// What stands between the braces cannot be read.
    Form,
    /// The form that Katib's templates have.
    Katib,
}

/// Splits a text. One that is empty is one empty piece.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut from = 0;
    while let Some(found) = rest[from..].find("${").map(|at| at + from) {
        if found > 0 && rest.as_bytes()[found - 1] == b'$' {
            // `$${`: one dollar is dropped, the rest is text.
            pieces.push(Piece::Text(&rest[..found]));
            rest = &rest[found + 1..];
            from = 0;
            continue;
        }
        match placeholder(&rest[found..]) {
            Some((piece, length)) => {
                if found > 0 {
                    pieces.push(Piece::Text(&rest[..found]));
                }
                pieces.push(piece);
                rest = &rest[found + length..];
                from = 0;
            }
            None => from = found + 2,
        }
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// The placeholder that begins here with `${`, and its length; `None` when it is none of ours.
fn placeholder(text: &str) -> Option<(Piece<'_>, usize)> {
    let end = text.find('}');
    let inside = &text[2..end.unwrap_or(text.len())];
    let (reference, default) = match inside.split_once(":-") {
        Some((reference, default)) => (reference, Some(default)),
        None => (inside, None),
    };
    let (scope, name) = reference.split_once('.')?;
    let katib = match scope.trim() {
        "params" | "trial" | "experiment" => false,
        "trialParameters" | "trialSpec" => true,
        _ => return None,
    };
    let Some(end) = end else { return Some((Piece::Flawed(text, Flaw::Open), text.len())) };
    let well_formed =
        scope == scope.trim() && !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let piece = match (katib, well_formed) {
        (true, _) => Piece::Flawed(&text[..=end], Flaw::Katib),
        (false, true) => Piece::Placeholder { scope, name, default },
        (false, false) => Piece::Flawed(&text[..=end], Flaw::Form),
    };
    Some((piece, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits() {
        use Piece::{Flawed, Placeholder, Text};
        let lr = || Placeholder { scope: "params", name: "lr", default: None };
        let table = [
            ("", vec![Text("")]),
            ("a", vec![Text("a")]),
            ("${params.lr}", vec![lr()]),
            ("a${params.lr}${params.lr}é", vec![Text("a"), lr(), lr(), Text("é")]),
            ("${params.lr:-a:-b}", vec![Placeholder { scope: "params", name: "lr", default: Some("a:-b") }]),
            ("a$${params.lr}", vec![Text("a$"), Text("{params.lr}")]),
            ("${HOME}${params.lr}", vec![Text("${HOME}"), lr()]),
            ("${${params.lr}}", vec![Text("${"), lr(), Text("}")]),
            ("${params.}", vec![Flawed("${params.}", Flaw::Form)]),
            ("${params.lr ", vec![Flawed("${params.lr ", Flaw::Open)]),
            ("${trialSpec.Name}", vec![Flawed("${trialSpec.Name}", Flaw::Katib)]),
        ];
        for (text, expected) in table {
            assert_eq!(pieces(text), expected, "{text}");
        }
    }
}
