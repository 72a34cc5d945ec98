//! Observations from the lines that a program prints, whatever their shape: what frameworks print, and what people do.

mod clean;
mod filter;
#[cfg(test)]
mod lines;
pub(super) mod number;
pub(super) mod object;
mod owner;
mod scan;
pub(super) mod step;
mod table;

pub use filter::FilterError;

use super::wanted::{self, Wanted};
use super::{Misses, Observation};
use filter::Filters;
use jiff::Timestamp;
use number::Comma;
use scan::{Found, Scan};
use std::borrow::Cow;
use std::collections::BTreeMap;
use step::Step;
use table::{Row, Table};

/// Longer lines are not looked at beyond this, in bytes.
const MAX_LINE: usize = 64 << 10;
/// What ends a word, so that a line may be cut behind it.
const ENDS: [u8; 6] = *b" \t\r,;|";
/// Characters that redraw a line: what stands before one is a line of its own.
const REDRAWS: [u8; 2] = [b'\r', 0x08];

/// What is looked at of a line: of one that is cut, perhaps within a number, no more than its whole words.
fn whole_words(line: &[u8]) -> &[u8] {
    if line.len() < MAX_LINE {
        return line;
    }
    let end = line[..MAX_LINE].iter().rposition(|byte| ENDS.contains(byte)).unwrap_or(0);
    &line[..end]
}

/// Finds the wanted metrics in lines, and remembers the names of others. Of earlier lines it keeps what later ones build
/// on, bounded: the step that was said last, the header of a table, what a bar said last.
pub struct LineParser {
    wanted: Wanted,
    filters: Option<Filters>,
    comma: Comma,
    table: Table,
    step: Option<u64>,
    /// What the last drawing of a progress bar said, by metric.
    drawn: BTreeMap<String, (Option<u64>, u64)>,
}

impl LineParser {
    /// A parser for these metrics.
    pub fn new(wanted: impl IntoIterator<Item = String>) -> Self {
        Self::of(Wanted::new(wanted))
    }

    /// A parser for every metric there is.
    pub fn all() -> Self {
        Self::of(Wanted::all())
    }

    /// Finds names and values with these regular expressions alone: the first group is the name, the second the value, or
    /// those called `name` and `value`; one called `step` is the step, else that is found as before.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub fn with_filters(mut self, filters: &[String]) -> Result<Self, FilterError> {
        self.filters = Some(Filters::new(filters)?);
        Ok(self)
    }

    fn of(wanted: Wanted) -> Self {
        LineParser {
            wanted,
            filters: None,
            comma: Comma::default(),
            table: Table::default(),
            step: None,
            drawn: BTreeMap::new(),
        }
    }

    /// The observations of one line, without its line feed. Any bytes will do; the time taken is linear in their number.
    /// Their time is the one given, unless the line itself says one (RFC 3339).
    pub fn parse(&mut self, line: &[u8], time: Timestamp) -> Vec<Observation> {
        let line = whole_words(line);
        let mut observations = Vec::new();
        let plain = clean::plain(line);
        if !REDRAWS.iter().any(|redraw| plain.contains(redraw)) {
            self.segment(&plain, time, &mut observations);
            return observations;
        }
        for segment in plain.split(|byte| REDRAWS.contains(byte)).filter(|segment| !segment.is_empty()) {
            self.segment(segment, time, &mut observations);
        }
        observations
    }

    /// Names of numbers that nobody asked for; `None` when there are no new ones since the last call.
    pub fn take_seen(&mut self) -> Option<Vec<String>> {
        self.wanted.take_seen()
    }

    /// Lines that look like metrics and say no number, since the last call.
    pub fn take_misses(&mut self) -> Misses {
        self.wanted.take_misses()
    }

    fn segment(&mut self, line: &[u8], time: Timestamp, observations: &mut Vec<Observation>) {
        let text = std::str::from_utf8(line).map_or_else(|_| String::from_utf8_lossy(line), Cow::Borrowed);
        let prefix = clean::prefix(&text);
        if prefix.of_another_rank {
            return;
        }
        let text = &text[prefix.length..];
        if self.filters.is_some() {
            self.filtered(text, prefix.time.unwrap_or(time), observations);
            return self.wanted.end_of(|| text.to_owned());
        }
        let row = self.table.row(text, &mut self.comma);
        let mut found = Found { time: prefix.time, ..Found::default() };
        let mut scan = Scan::new(&mut self.wanted, &mut self.comma, &mut found);
        match row {
            Some(Row::Header) => return,
            Some(Row::Pairs(pairs)) => {
                pairs.iter().for_each(|(name, value)| scan.pair(name, *value));
                // A bar may stand behind a row.
                if text.contains('%') {
                    let bar = scan::bar(text);
                    scan.found.bar = bar;
                }
            }
            None => scan.text(text),
        }
        if found.broke_off && found.pairs.is_empty() {
            self.wanted.miss();
        }
        self.wanted.end_of(|| text.to_owned());
        let step = found.step.or(self.step);
        // The count of a bar is a step only where nothing else is.
        let within = found.bar.filter(|_| found.step.is_said() || self.step.is_some());
        self.step = found.step.carried(self.step);
        // Half-way through an epoch, a bar shows what is not yet the epoch's value.
        if within.is_some_and(|(done, of)| done < of) {
            return;
        }
        let time = found.time.unwrap_or(time);
        for (metric, value) in found.pairs {
            if found.bar.is_some() && !self.is_news(&metric, step, value) {
                continue;
            }
            observations.push(Observation { metric, step, value, time });
        }
    }

    fn filtered(&mut self, text: &str, time: Timestamp, observations: &mut Vec<Observation>) {
        let mut words = Found::default();
        Scan::new(&mut Wanted::default(), &mut self.comma, &mut words).text(text);
        self.step = words.step.carried(self.step);
        for found in self.filters.iter().flat_map(|filters| filters.matches(text)) {
            let step = found.step.map(Step::of).unwrap_or(words.step).or(self.step);
            let Some((metric, value)) = self.wanted.filtered(&found) else { continue };
            observations.push(Observation { metric, step, value, time });
        }
    }

    /// Whether a bar says something else than when it was drawn last.
    fn is_news(&mut self, metric: &str, step: Option<u64>, value: f64) -> bool {
        let drawn = (step, value.to_bits());
        match self.drawn.get_mut(metric) {
            Some(known) => std::mem::replace(known, drawn) != drawn,
            None => {
                // Bounded where every metric is wanted.
                if self.drawn.len() < wanted::MAX_SEEN * 2 {
                    self.drawn.insert(metric.to_owned(), drawn);
                }
                true
            }
        }
    }
}
