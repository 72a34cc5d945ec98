//! Which of the names that were seen may be the one that was meant.

/// Names are compared up to so many characters.
const MAX_LENGTH: usize = 128;
/// A word that another begins with is likely short for it: `acc` for `accuracy`. One letter is not.
const SHORT_FOR: f64 = 0.9;

/// The seen names, those most like the wanted one first; of those that are equally alike, those of more of its letters, then
/// the first by the alphabet.
pub fn nearest<'s>(wanted: &str, seen: impl IntoIterator<Item = &'s str>) -> Vec<&'s str> {
    let rank = |name: &str| [likeness(wanted, name), letters(&lower(wanted), &lower(name))];
    let mut ranked: Vec<([f64; 2], &str)> = seen.into_iter().map(|name| (rank(name), name)).collect();
    ranked.sort_by(|(left, one), (right, other)| {
        right[0].total_cmp(&left[0]).then(right[1].total_cmp(&left[1])).then(one.cmp(other))
    });
    ranked.dedup_by_key(|(_, name)| *name);
    ranked.into_iter().map(|(_, name)| name).collect()
}

/// From 0, nothing in common, to 1, the same: the better of comparing letters and comparing words.
fn likeness(one: &str, other: &str) -> f64 {
    let (one, other) = (lower(one), lower(other));
    letters(&one, &other).max(words(&one, &other))
}

fn lower(name: &str) -> Vec<char> {
    name.chars().take(MAX_LENGTH).flat_map(char::to_lowercase).collect()
}

/// The share of letters that stay when one becomes the other by the fewest changes (Levenshtein, 1966).
fn letters(one: &[char], other: &[char]) -> f64 {
    let longest = one.len().max(other.len());
    if longest == 0 {
        return 1.0;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, c) in one.iter().enumerate() {
        let mut diagonal = at;
        let mut left = at + 1;
        for (above, d) in row.iter_mut().skip(1).zip(other) {
            let changed = diagonal + usize::from(c != d);
            diagonal = *above;
            left = changed.min(left + 1).min(*above + 1);
            *above = left;
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    1.0 - row.last().copied().unwrap_or(longest) as f64 / longest as f64
}

/// The mean likeness of the words of each to the most like word of the other.
fn words(one: &[char], other: &[char]) -> f64 {
    let split = |name: &[char]| -> Vec<Vec<char>> {
        let words = name.split(|c| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.map(<[char]>::to_vec).collect()
    };
    let (ones, others) = (split(one), split(other));
    let best = |word: &[char], among: &[Vec<char>]| among.iter().map(|known| alike(word, known)).fold(0.0, f64::max);
    let total: f64 =
        ones.iter().map(|word| best(word, &others)).chain(others.iter().map(|word| best(word, &ones))).sum();
    total / (ones.len() + others.len()).max(1) as f64
}

fn alike(one: &[char], other: &[char]) -> f64 {
    if one == other {
        return 1.0;
    }
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    let short_for = if short.len() > 1 && long.starts_with(short) { SHORT_FOR } else { 0.0 };
    letters(one, other).max(short_for)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_name_that_was_meant_comes_first() {
        let table: [(&str, &[&str], &str); 9] = [
            ("val_accuracy", &["accuracy", "loss", "val_acc", "val_loss"], "val_acc"),
            ("val_acc", &["acc", "train_accuracy", "val_accuracy", "val_loss"], "val_accuracy"),
            ("val_loss", &["eval_loss", "loss", "lr", "train_loss"], "eval_loss"),
            ("accuracy", &["Test accuracy", "loss", "speed"], "Test accuracy"),
            ("auc", &["training's binary_logloss", "valid_1's auc", "lr"], "valid_1's auc"),
            ("acuracy", &["accuracy", "acid", "loss"], "accuracy"),
            ("validation_loss", &["val_loss", "train_loss", "validation_time"], "val_loss"),
            ("loss", &["loss{phase=\"val\"}", "accuracy"], "loss{phase=\"val\"}"),
            ("mAP", &["mAP50", "mem", "P"], "mAP50"),
        ];
        for (wanted, seen, first) in table {
            assert_eq!(nearest(wanted, seen.iter().copied()).first(), Some(&first), "{wanted}");
        }
        assert_eq!(nearest("x", ["b", "a", "b"]), ["a", "b"]);
    }

    proptest! {
        #[test]
        fn a_name_is_most_like_itself(name in "\\PC{0,12}", others in prop::collection::vec("\\PC{0,12}", 0..6)) {
            let seen: Vec<&str> = others.iter().map(String::as_str).chain([name.as_str()]).collect();
            let found = nearest(&name, seen.iter().copied());
            prop_assert_eq!(lower(found[0]), lower(&name));
            for other in seen {
                let (there, back) = (likeness(&name, other), likeness(other, &name));
                prop_assert!((0.0..=1.0).contains(&there) && (there - back).abs() < 1e-12);
            }
        }
    }
}
