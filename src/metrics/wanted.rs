//! Which names are asked for, how a printed one matches, and what was seen besides.

use super::misses::Misses;
use std::collections::{BTreeMap, BTreeSet};

/// How many names that nobody asked for are remembered, and how long each may be, in bytes.
pub(super) const MAX_SEEN: usize = 128;
const MAX_SEEN_LENGTH: usize = 64;

/// Numbers of such names tell of the program and the machine, not of how well it does.
const NO_METRICS: [&str; 23] = [
    "code",
    "exit_code",
    "exitcode",
    "gid",
    "id",
    "line",
    "lineno",
    "local_rank",
    "node_rank",
    "pid",
    "port",
    "ppid",
    "rank",
    "seed",
    "status",
    "timestamp",
    "ts",
    "uid",
    "v",
    "ver",
    "version",
    "world_size",
    "year",
];

/// Names that are metrics for sure, when they end a word in lower case.
const METRICS: [&str; 19] = [
    "loss",
    "acc",
    "accuracy",
    "auc",
    "error",
    "err",
    "f1",
    "mae",
    "mse",
    "rmse",
    "map",
    "iou",
    "dice",
    "precision",
    "recall",
    "score",
    "perplexity",
    "ppl",
    "reward",
];

/// Words of names of points in time.
const TIMES: [&str; 9] = ["created", "date", "datetime", "now", "time", "timestamp", "ts", "unixtime", "walltime"];

/// Words before a name that say of which part of the data a value is.
const PHASES: [&str; 10] =
    ["train", "training", "val", "valid", "validation", "test", "testing", "eval", "evaluation", "dev"];

/// The wanted names.
#[derive(Default)]
pub(super) struct Wanted {
    /// Each name is wanted.
    all: bool,
    names: BTreeSet<String>,
    /// By [`alike`], where that tells them apart.
    alike: BTreeMap<String, Option<String>>,
    /// Those with characters at which a name is taken to end elsewhere.
    special: Vec<String>,
    /// The phase that a name without one stands for, the first that was met; empty: none.
    phases: BTreeMap<String, String>,
    seen: BTreeSet<String>,
    seen_changed: bool,
    /// The ASCII characters that a wanted name may end with, a bit for each; all where a name ends with another.
    ends: u128,
    /// In what is being read, something that looks like a wanted metric is no number.
    missed: bool,
    misses: Misses,
}

impl Wanted {
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let names: BTreeSet<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
        let mut by_likeness: BTreeMap<String, Option<String>> = BTreeMap::new();
        for name in &names {
            by_likeness.entry(alike(name)).and_modify(|known| *known = None).or_insert_with(|| Some(name.clone()));
        }
        let special = |name: &&String| !name.chars().all(is_name) || !name.starts_with(begins_name);
        let mut special: Vec<String> = names.iter().filter(special).cloned().collect();
        special.sort_by_key(|name| std::cmp::Reverse(name.len()));
        let ends = names.iter().fold(0, |ends, name| ends | ends_of(name));
        Wanted { names, alike: by_likeness, special, ends, ..Wanted::default() }
    }

    /// Every name is wanted.
    pub fn all() -> Self {
        Wanted { all: true, ends: METRICS.iter().fold(0, |ends, name| ends | ends_of(name)), ..Wanted::default() }
    }

    pub fn is_all(&self) -> bool {
        self.all
    }

    /// The wanted name that this printed one is: the same, or one that differs in case or separators only.
    pub fn exact(&self, printed: &str) -> Option<String> {
        if let Some(name) = self.names.get(printed) {
            return Some(name.clone());
        }
        // Most numbers are of names nobody asked for.
        let length = printed.len();
        if self.all || !self.alike.keys().any(|key| key.len().abs_diff(length) <= 2) {
            return None;
        }
        self.alike.get(&alike(printed))?.clone()
    }

    /// The longest wanted name with unusual characters that a text ends with.
    pub fn special(&self, text: &str) -> Option<&str> {
        self.special.iter().map(String::as_str).find(|wanted| {
            let before = text.strip_suffix(wanted);
            before.is_some_and(|before| !wanted.starts_with(is_name) || !before.ends_with(is_name))
        })
    }

    /// Whether a name stands for this phase of it: not for training, and of others for the first that was met, so that
    /// values of several are never mixed. A value under the name alone comes before all.
    pub fn stands_for(&mut self, name: &str, phase: &str) -> bool {
        let training = phase.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("train"));
        if training {
            return false;
        }
        match self.phases.get(name) {
            Some(known) => known == phase,
            None => {
                self.phases.insert(name.to_owned(), phase.to_owned());
                true
            }
        }
    }

    /// The value came under the name alone.
    pub fn stands_alone(&mut self, name: &str) {
        if self.phases.get(name).is_none_or(|phase| !phase.is_empty()) {
            self.phases.insert(name.to_owned(), String::new());
        }
    }

    /// Whether a wanted name may end with this byte: for most others that is all there is to ask.
    pub fn may_end(&self, byte: u8) -> bool {
        self.ends >> (byte & 0x7f) & 1 == 1 || self.ends == u128::MAX
    }

    /// Whether a metric of this name is wanted: where all are, whether it is surely one.
    pub fn asks(&self, name: &str) -> bool {
        if self.all { is_metric(name) } else { self.exact(name).is_some() }
    }

    /// What is being read says something that looks like a wanted metric, and is no number.
    pub fn miss(&mut self) {
        self.missed = true;
    }

    /// What stands under this name is no number: something is missed where it is wanted.
    pub fn no_number(&mut self, name: &str) {
        if self.asks(name) {
            self.miss();
        }
    }

    /// The line, the row or whatever it is has been read, of which something may have been missed.
    pub fn end_of(&mut self, line: impl FnOnce() -> String) {
        if std::mem::take(&mut self.missed) {
            self.misses.add(line);
        }
    }

    /// What was missed since the last call.
    pub fn take_misses(&mut self) -> Misses {
        std::mem::take(&mut self.misses)
    }

    /// Remembers a name that nobody asked for.
    pub fn remember(&mut self, name: &str) {
        if self.seen.len() < MAX_SEEN && name.len() <= MAX_SEEN_LENGTH && !self.seen.contains(name) && tells(name) {
            self.seen.insert(name.to_owned());
            self.seen_changed = true;
        }
    }

    /// What was remembered, if there is more than at the last call.
    pub fn take_seen(&mut self) -> Option<Vec<String>> {
        std::mem::take(&mut self.seen_changed).then(|| self.seen.iter().cloned().collect())
    }
}

/// The last character of a name in either case, as [`Wanted::ends`] has it.
fn ends_of(name: &str) -> u128 {
    match name.bytes().last() {
        Some(last) if last.is_ascii_alphanumeric() => 1 << last.to_ascii_lowercase() | 1 << last.to_ascii_uppercase(),
        _ => u128::MAX,
    }
}

/// Whether a name ends in a word that is a metric's, such as `Acc@1` and `val_loss`.
pub(super) fn is_metric(name: &str) -> bool {
    let last = name.rsplit([' ', '_', '-', '/']).next().unwrap_or(name);
    let word = last.trim_end_matches(|c: char| c == '@' || c.is_ascii_digit());
    METRICS.iter().any(|metric| metric.eq_ignore_ascii_case(word) || metric.eq_ignore_ascii_case(last))
}

/// Whether numbers of this name may be metrics: `torch_version`, `created_at` and `end_timestamp` are of none.
pub(super) fn tells(name: &str) -> bool {
    let ends = |end: &str| {
        let at = name.len().checked_sub(end.len());
        at.and_then(|at| name.get(at..)).is_some_and(|last| last.eq_ignore_ascii_case(end))
    };
    !NO_METRICS.iter().any(|other| other.eq_ignore_ascii_case(name))
        && !["_version", "_timestamp", "ed_at"].into_iter().any(ends)
}

/// Whether a number of this name is a point in time, as `time=1700000000` and `process_start_time_seconds 1.7e9` are: seconds
/// since 1970 (from 2001 to 2096), or thousandths, millionths or billionths of one.
pub(super) fn is_time(name: &str, value: f64) -> bool {
    let since_1970 = |unit: f64| (1e9..4e9).contains(&(value / unit));
    let of_time = |word: &str| TIMES.iter().any(|other| other.eq_ignore_ascii_case(word));
    value >= 1e9
        && [1.0, 1e3, 1e6, 1e9].into_iter().any(since_1970)
        && name.split(|c: char| !c.is_alphanumeric()).any(of_time)
}

/// Whether a word before a name says of which part of the data the value is; LightGBM prints `valid_1's auc`.
pub(super) fn is_phase(word: &str) -> bool {
    word.ends_with("'s") || PHASES.iter().any(|phase| phase.eq_ignore_ascii_case(word))
}

/// Characters of a name.
pub(super) fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@')
}

/// Characters that a name may begin with.
pub(super) fn begins_name(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

/// The name in lower case, with one kind of separator.
fn alike(name: &str) -> String {
    let plain = |c: char| if matches!(c, ' ' | '-' | '/' | '.') { '_' } else { c };
    name.chars().map(plain).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_printed_name_matches() {
        let wanted = Wanted::new(["val_loss", "mAP50-95", "Loss", "loss", "train acc"].map(String::from));
        let table = [
            ("val_loss", Some("val_loss")),
            ("val/loss", Some("val_loss")),
            ("Val Loss", Some("val_loss")),
            ("map50_95", Some("mAP50-95")),
            ("loss", Some("loss")),
            ("Loss", Some("Loss")),
            ("LOSS", None),
            ("train_acc", Some("train acc")),
            ("valloss", None),
        ];
        for (printed, name) in table {
            assert_eq!(wanted.exact(printed).as_deref(), name, "{printed}");
        }
    }

    #[test]
    fn a_name_stands_for_one_phase() {
        let mut wanted = Wanted::new(["auc".to_owned()]);
        assert!(!wanted.stands_for("auc", "training's"));
        assert!(wanted.stands_for("auc", "valid_1's") && wanted.stands_for("auc", "valid_1's"));
        assert!(!wanted.stands_for("auc", "test"));
        wanted.stands_alone("auc");
        assert!(!wanted.stands_for("auc", "valid_1's"));
    }

    #[test]
    fn numbers_that_are_no_metrics() {
        for name in ["version", "Torch_Version", "created_at", "started_at", "end_timestamp", "PID", "seed"] {
            assert!(!tells(name), "{name}");
        }
        for name in ["recall_at", "precision_at_5", "conversion", "versions", "loss", "é", "_at", "train_time"] {
            assert!(tells(name), "{name}");
        }
    }

    #[test]
    fn points_in_time_are_no_metrics() {
        let table = [
            ("time", 1_700_000_000.0, true),
            ("wall_time", 1_700_000_000.123, true),
            ("UnixTime", 1_700_000_000_123.0, true),
            ("event/ts", 1_700_000_000_123_456.0, true),
            ("process_start_time_seconds", 1.7e9, true),
            ("train_time", 12.5, false),
            ("total_time", 999_999_999.0, false),
            ("time", f64::NAN, false),
            ("time", f64::INFINITY, false),
            ("flops", 1.7e9, false),
            ("runtime_ns", 1.7e9, false),
        ];
        for (name, value, expected) in table {
            assert_eq!(is_time(name, value), expected, "{name}={value}");
        }
    }

    #[test]
    fn remembers_not_too_many() {
        let mut wanted = Wanted::new([]);
        wanted.remember("version");
        wanted.remember(&"x".repeat(MAX_SEEN_LENGTH + 1));
        assert_eq!(wanted.take_seen(), None);
        for index in 0..1000 {
            wanted.remember(&format!("m{index}"));
        }
        assert_eq!(wanted.take_seen().map(|seen| seen.len()), Some(MAX_SEEN));
        assert_eq!(wanted.take_seen(), None);
    }
}
