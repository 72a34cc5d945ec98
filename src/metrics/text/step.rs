//! The step that a line is about, in the words people use.

/// Steps from here on are no longer exact in JSON.
const MOST: f64 = 9_007_199_254_740_992.0;

/// The words, most telling first, each with how telling it is.
const WORDS: [(&str, u8); 12] = [
    ("epoch", 0),
    ("ep", 0),
    ("round", 1),
    ("boosting_round", 1),
    ("iteration", 2),
    ("iter", 2),
    ("it", 2),
    ("num_iteration", 2),
    ("step", 3),
    ("global_step", 3),
    ("num_updates", 3),
    ("train_num_updates", 3),
];
/// More telling than any word.
pub(in crate::metrics) const FIRST: u8 = 0;
/// How telling the number is that XGBoost and LightGBM (`[37]`) and CatBoost (`37:`) begin a line with.
pub(super) const BRACKETS: u8 = 4;
/// How telling the count of a progress bar is.
pub(super) const BAR: u8 = 5;

/// How telling a word is as a step's name, lower is more; `None`: not one.
pub(in crate::metrics) fn rank(name: &str) -> Option<u8> {
    let word = name.rsplit_once('/').map_or(name, |(_, last)| last);
    if word.len() > 17 {
        return None;
    }
    WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, rank)| *rank)
}

/// How telling the word is that stands before a number, as in `Epoch 3`, `epoch [3/10]`, `Epoch: [0]`, `Epoch #3`,
/// `Epoch(val) [2]`.
pub(super) fn rank_before(before: &str) -> Option<u8> {
    let before = trimmed(before);
    let before = trimmed(before.strip_suffix(['[', '(', '#']).unwrap_or(before));
    let opening = before.bytes().rev().take(14).position(|byte| byte == b'(').filter(|_| before.ends_with(')'));
    let before = opening.map_or(before, |length| &before[..before.len() - length - 1]);
    let before = trimmed(before.strip_suffix([':', '=']).unwrap_or(before));
    if !before
        .as_bytes()
        .last()
        .is_some_and(|last| matches!(last | 0x20, b'h' | b'p' | b'd' | b'n' | b'r' | b't' | b's'))
    {
        return None;
    }
    let start = before.bytes().rev().take(18).take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    rank(before.get(before.len() - start..)?)
}

/// Without the blanks at the end, as far as a line is laid out by people.
fn trimmed(text: &str) -> &str {
    let blanks = text.bytes().rev().take(16).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &text[..text.len() - blanks]
}

/// What is known of a line's step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::metrics) struct Step {
    best: Option<(u8, u64)>,
    /// The line says a step that is no whole number.
    broken: bool,
}

impl Step {
    /// A step that was said alone.
    pub fn of(value: f64) -> Self {
        let mut step = Step::default();
        step.see(FIRST, value);
        step
    }

    /// A number under a word that is this telling.
    pub fn see(&mut self, rank: u8, value: f64) {
        if value >= 0.0 && value.fract() == 0.0 && value < MOST {
            if self.best.is_none_or(|(best, _)| rank < best) {
                self.best = Some((rank, value as u64));
            }
        } else {
            self.broken = true;
        }
    }

    /// The line has said it in words or brackets.
    pub fn is_said(&self) -> bool {
        self.broken || self.best.is_some_and(|(rank, _)| rank < BAR)
    }

    /// The step; where the line does not say it, the one that was said before, then a bar's count.
    pub fn or(&self, carried: Option<u64>) -> Option<u64> {
        match self.best {
            Some((BAR, count)) if !self.broken => carried.or(Some(count)),
            Some((BAR, _)) => None,
            Some((_, step)) => Some(step),
            None if self.broken => None,
            None => carried,
        }
    }

    /// What later lines without a step take over.
    pub fn carried(&self, before: Option<u64>) -> Option<u64> {
        match self.best {
            Some((rank, step)) if rank < BAR => Some(step),
            _ if self.broken => None,
            _ => before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_before_a_number() {
        let table = [
            ("Epoch ", Some(0)),
            ("  EPOCH  ", Some(0)),
            ("epoch [", Some(0)),
            ("Epoch: [", Some(0)),
            ("Epoch(val) [", Some(0)),
            ("Epoch #", Some(0)),
            ("Round: ", Some(1)),
            ("iteration      ", Some(2)),
            ("Epoch 3, global step ", Some(3)),
            ("global_step=", Some(3)),
            ("footstep ", None),
            ("steps ", None),
            ("elapsed time per iteration (ms): ", None),
            ("", None),
            ("é ", None),
        ];
        for (before, expected) in table {
            assert_eq!(rank_before(before), expected, "{before}");
        }
    }

    #[test]
    fn what_a_line_says_comes_before_what_was_said_and_that_before_a_bar() {
        let table: [(&[(u8, f64)], Option<u64>, Option<u64>, Option<u64>); 8] = [
            (&[], None, None, None),
            (&[], Some(7), Some(7), Some(7)),
            (&[(3, 400.0), (0, 3.0)], Some(7), Some(3), Some(3)),
            (&[(0, 1.5), (3, 400.0)], Some(7), Some(400), Some(400)),
            (&[(0, 1.5)], Some(7), None, None),
            (&[(3, -1.0)], None, None, None),
            (&[(BAR, 5.0)], None, Some(5), None),
            (&[(BAR, 5.0)], Some(7), Some(7), Some(7)),
        ];
        for (said, before, step, carried) in table {
            let mut seen = Step::default();
            said.iter().for_each(|(rank, value)| seen.see(*rank, *value));
            assert_eq!((seen.or(before), seen.carried(before)), (step, carried), "{said:?} {before:?}");
        }
    }
}
