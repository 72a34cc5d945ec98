//! What of a value a rule looks at, so that no more is converted: a status is written often, and is large.

use std::collections::BTreeMap;

/// Fields that a rule names.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Glance {
    /// All that is here is looked at.
    whole: bool,
    below: BTreeMap<String, Glance>,
}

impl Glance {
    /// All of a value.
    pub fn whole() -> Self {
        Glance { whole: true, below: BTreeMap::new() }
    }

    /// What a rule can look at by way of `self` and `oldSelf`. More than it does where its text is not plain.
    pub fn of(source: &str) -> Self {
        let mut glance = Glance::default();
        let mut before = ' ';
        let mut at = 0;
        while let Some(here) = source.get(at..) {
            let Some(next) = here.chars().next() else { break };
            let word = word(here);
            if matches!(word, "self" | "oldSelf") && !part_of_a_word(before) && before != '.' {
                glance.add(here.get(word.len()..).unwrap_or_default());
            }
            let step = word.len().max(next.len_utf8());
            before = here.get(..step).and_then(|passed| passed.chars().last()).unwrap_or(next);
            at += step;
        }
        glance
    }

    /// Also what another rule looks at.
    pub fn merge(&mut self, other: &Glance) {
        self.whole |= other.whole;
        for (name, below) in &other.below {
            self.below.entry(name.clone()).or_default().merge(below);
        }
    }

    /// What is looked at of a field; `None`: nothing.
    pub fn at(&self, name: &str) -> Option<&Glance> {
        if self.whole { Some(self) } else { self.below.get(name) }
    }

    /// Follows `.a.b` behind `self`, as far as it names fields: `.a.size()` looks at all of `a`.
    fn add(&mut self, mut rest: &str) {
        let mut glance = self;
        while let Some(after) = rest.trim_start().strip_prefix('.') {
            let name = word(after.trim_start());
            let behind = after.trim_start().get(name.len()..).unwrap_or_default();
            if name.is_empty() || behind.trim_start().starts_with('(') {
                break;
            }
            glance = glance.below.entry(name.to_owned()).or_default();
            rest = behind;
        }
        glance.whole = true;
    }
}

fn part_of_a_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// The word that a text begins with.
fn word(text: &str) -> &str {
    let end = text.find(|character| !part_of_a_word(character)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_at_least_what_a_rule_does() {
        let table: &[(&str, &[&str])] = &[
            ("self == oldSelf", &["*"]),
            ("has(self.index) == has(self.manifest)", &["index.*", "manifest.*"]),
            ("self.metadata.name.size() <= 52", &["metadata.name.*"]),
            ("!has(self.a.b) || self . a . c[0].d == 1", &["a.b.*", "a.c.*"]),
            ("self.items.all(x, x.self != 'self')", &["*", "items.*"]),
            ("self.?a.orValue(1) > 0", &["*"]),
            ("self['a'] == oldSelf.b", &["*", "b.*"]),
            ("myself.a == selfish.b && 'ü' != self.c", &["c.*"]),
            ("true", &[]),
        ];
        for (source, expected) in table {
            let mut paths = Vec::new();
            list(&Glance::of(source), "", &mut paths);
            assert_eq!(paths, *expected, "{source}");
        }
    }

    fn list(glance: &Glance, path: &str, paths: &mut Vec<String>) {
        if glance.whole {
            paths.push(format!("{path}*"));
        }
        for (name, below) in &glance.below {
            list(below, &format!("{path}{name}."), paths);
        }
    }
}
