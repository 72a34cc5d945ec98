//! What a program offers to Prometheus, scrape by scrape.

mod exposition;
mod selector;

pub use selector::SelectorError;

use super::text::step::{self, Step};
use super::wanted::{Wanted, is_time, tells};
use super::{Found, Misses, Observation};
use exposition::Sample;
use jiff::Timestamp;
use selector::Selector;
use std::collections::BTreeMap;

/// So many series are kept in mind where all are wanted.
const MAX_SERIES: usize = 1024;

/// Finds the wanted metrics in scrapes. A value that is the same as at the last scrape, of the same step, is no news.
pub struct Prometheus {
    selectors: Vec<(String, Selector)>,
    seen: Wanted,
    last: BTreeMap<String, (Option<u64>, u64)>,
}

impl Prometheus {
    /// A parser for these series: names, with matchers of labels where a name has several.
    ///
    /// # Errors
    /// One of them selects nothing.
    pub fn new(wanted: impl IntoIterator<Item = String>) -> Result<Self, SelectorError> {
        let compile = |text: String| Selector::new(&text).map(|selector| (text, selector));
        let selectors = wanted.into_iter().map(compile).collect::<Result<_, _>>()?;
        Ok(Prometheus { selectors, seen: Wanted::default(), last: BTreeMap::new() })
    }

    /// A parser for every series there is.
    pub fn all() -> Self {
        Prometheus { selectors: Vec::new(), seen: Wanted::all(), last: BTreeMap::new() }
    }

    /// The observations of one scrape, at the time that a sample has, else at the given one. Of a selector that several
    /// series match there is none: which is meant, nobody knows. A series without labels whose name is epoch, step or the
    /// like is the step of the others.
    pub fn parse(&mut self, text: &str, time: Timestamp) -> Vec<Found> {
        let lines = text.lines().zip(1..);
        let mut samples: Vec<(u64, Sample)> = Vec::new();
        for (line, number) in lines {
            match exposition::sample(line) {
                Some(sample) => samples.push((number, sample)),
                None if self.is_asked(exposition::name(line)) => {
                    self.seen.miss();
                    self.seen.end_of(|| line.to_owned());
                }
                None => {}
            }
        }
        let mut said = Step::default();
        for (_, sample) in samples.iter().filter(|(_, sample)| sample.labels.is_empty()) {
            if let Some(rank) = step::rank(&sample.name) {
                said.see(rank, sample.value);
            }
        }
        let step = said.or(None);
        let mut found = Vec::new();
        for (metric, line, sample) in self.select(&samples) {
            let now = (step, sample.value.to_bits());
            let known = self.last.contains_key(&metric) || self.last.len() < MAX_SERIES;
            if known && self.last.insert(metric.clone(), now) == Some(now) {
                continue;
            }
            let time = sample.time.unwrap_or(time);
            found.push(Found { line, observation: Observation { metric, step, value: sample.value, time } });
        }
        found
    }

    /// Series that nobody asked for, or of which several match; `None` when there are no new ones since the last call.
    pub fn take_seen(&mut self) -> Option<Vec<String>> {
        self.seen.take_seen()
    }

    /// Lines of wanted metrics that are no samples, since the last call.
    pub fn take_misses(&mut self) -> Misses {
        self.seen.take_misses()
    }

    fn is_asked(&self, name: &str) -> bool {
        self.selectors.iter().any(|(_, selector)| selector.name() == name) || self.seen.is_all() && self.seen.asks(name)
    }

    fn select<'s>(&mut self, samples: &'s [(u64, Sample)]) -> Vec<(String, u64, &'s Sample)> {
        let mut chosen = vec![false; samples.len()];
        let mut selected = Vec::new();
        for (metric, selector) in &self.selectors {
            let mut matching = samples.iter().zip(&mut chosen).filter(|((_, sample), _)| selector.matches(sample));
            if let (Some(((line, sample), chosen)), None) = (matching.next(), matching.next()) {
                *chosen = true;
                selected.push((metric.clone(), *line, sample));
            }
        }
        for ((line, sample), _) in samples.iter().zip(chosen).filter(|(_, chosen)| !chosen) {
            let is_step = sample.labels.is_empty() && step::rank(&sample.name).is_some();
            if is_step || !tells(&sample.name) || is_time(&sample.name, sample.value) {
                continue;
            }
            let shown = shown(sample);
            self.seen.remember(&shown);
            if self.seen.is_all() {
                selected.push((shown, *line, sample));
            }
        }
        selected
    }
}

/// A series as its selector is written.
fn shown(sample: &Sample) -> String {
    let labels: Vec<String> = sample.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    if labels.is_empty() { sample.name.clone() } else { format!("{}{{{}}}", sample.name, labels.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `prometheus_client` of Python writes it, OpenMetrics at the end.
    const SCRAPE: &str = "\
# HELP val_loss Loss on held-out data
# TYPE val_loss gauge
val_loss 0.25
# TYPE loss gauge
loss{phase=\"train\"} 0.5
loss{phase=\"val\"} 0.75
# TYPE epoch gauge
epoch 3.0
accuracy 0.9 1767261600000
# EOF
";

    fn read(parser: &mut Prometheus, text: &str) -> String {
        let shown = parser.parse(text, Timestamp::UNIX_EPOCH).into_iter().map(|Found { line, observation }| {
            let step = observation.step.map_or(String::new(), |step| format!("@{step}"));
            format!("{line}: {}{step}={}", observation.metric, observation.value)
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn scrapes_and_what_they_say() {
        let table: [(&[&str], &str, &[&str]); 5] = [
            (
                &["val_loss", "accuracy"],
                "3: val_loss@3=0.25, 9: accuracy@3=0.9",
                &["loss{phase=\"train\"}", "loss{phase=\"val\"}"],
            ),
            (&["loss"], "", &["accuracy", "loss{phase=\"train\"}", "loss{phase=\"val\"}", "val_loss"]),
            (
                &["loss{phase!=\"train\"}"],
                "6: loss{phase!=\"train\"}@3=0.75",
                &["accuracy", "loss{phase=\"train\"}", "val_loss"],
            ),
            (&["epoch"], "8: epoch@3=3", &["accuracy", "loss{phase=\"train\"}", "loss{phase=\"val\"}", "val_loss"]),
            (
                &[],
                "3: val_loss@3=0.25, 5: loss{phase=\"train\"}@3=0.5, 6: loss{phase=\"val\"}@3=0.75, 9: accuracy@3=0.9",
                &["accuracy", "loss{phase=\"train\"}", "loss{phase=\"val\"}", "val_loss"],
            ),
        ];
        for (names, found, seen) in table {
            let mut parser = match names {
                [] => Prometheus::all(),
                names => Prometheus::new(names.iter().map(|name| (*name).to_owned())).unwrap(),
            };
            assert_eq!(read(&mut parser, SCRAPE), found, "{names:?}");
            assert_eq!(parser.take_seen().unwrap_or_default(), seen, "{names:?}");
        }
    }

    #[test]
    fn lines_that_are_no_samples() {
        let scrape = "# HELP loss of what?\nloss abc\nloss{a=\"b\" 1\nother abc\nloss\n\nloss 1\n";
        let mut some = Prometheus::new(["loss{a=\"b\"}".to_owned()]).unwrap();
        for parser in [&mut some, &mut Prometheus::all()] {
            read(parser, scrape);
            assert_eq!(parser.take_misses(), Misses { lines: 3, first: Some("loss abc".into()) });
        }
    }

    #[test]
    fn what_has_not_changed_is_no_news() {
        let mut parser = Prometheus::new(["loss".to_owned()]).unwrap();
        let table = [
            ("loss 1", "1: loss=1"),
            ("loss 1", ""),
            ("epoch 1\nloss 1", "2: loss@1=1"),
            ("epoch 2\nloss 1", "2: loss@2=1"),
            ("epoch 2\nloss NaN", "2: loss@2=NaN"),
            ("epoch 2\nloss NaN", ""),
            ("", ""),
        ];
        for (scrape, found) in table {
            assert_eq!(read(&mut parser, scrape), found, "{scrape}");
        }
    }
}
