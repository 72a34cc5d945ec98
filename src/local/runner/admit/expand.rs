//! `$(NAME)` in values, commands and arguments, as Kubernetes expands it.

/// Replaces each `$(NAME)` whose name is known. `$$` stands for `$`, so `$$(NAME)` stays a literal `$(NAME)`. What is
/// not known, or is no reference at all, stays as it is.
pub fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let after = from.strip_prefix('$').unwrap_or(from);
        rest = if let Some(next) = after.strip_prefix('$') {
            out.push('$');
            next
        } else if let Some((name, next)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match lookup(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&format!("$({name})")),
            }
            next
        } else {
            out.push('$');
            after
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_as_kubernetes_does() {
        let lookup = |name: &str| match name {
            "A" => Some("one"),
            "EMPTY" => Some(""),
            "REFERENCE" => Some("$(A)"),
            _ => None,
        };
        for (text, expected) in [
            ("--lr=$(A)", "--lr=one"),
            ("$(A)$(A)", "oneone"),
            ("[$(EMPTY)]", "[]"),
            ("$(REFERENCE)", "$(A)"),
            ("$(MISSING)", "$(MISSING)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$one"),
            ("$$$$(A)", "$$(A)"),
            ("$A", "$A"),
            ("${A}", "${A}"),
            ("cost: 5$", "cost: 5$"),
            ("$(A", "$(A"),
            ("$($(A))", "$($(A))"),
            ("$()", "$()"),
            ("größe=$(A)ß", "größe=oneß"),
            ("", ""),
        ] {
            assert_eq!(expand(text, lookup), expected, "{text}");
        }
    }
}
