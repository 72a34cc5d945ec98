//! One parser over all formats: bytes in, as they come, observations out.

use super::{
    Csv, EventFile, FilterError, Found, JsonLines, LineParser, Misses, Observation, Prometheus, SelectorError,
    TensorBoard,
};
use jiff::Timestamp;

/// Longest line of text and of JSON that is looked at, in bytes, and largest scrape.
const MAX_LINE: usize = 64 << 10;
const MAX_OBJECT: usize = 1 << 20;
const MAX_SCRAPE: usize = 16 << 20;
/// What ends a scrape in OpenMetrics.
const END_OF_SCRAPE: &[u8] = b"# EOF";

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// What programs print, see [`LineParser`].
    Text,
    /// One JSON object a line, see [`JsonLines`].
    JsonLines,
    /// Rows under a header, see [`Csv`].
    Csv,
    /// An event file, see [`TensorBoard`].
    TensorBoard,
    /// Scrapes, see [`Prometheus`].
    Prometheus,
}

/// Why a source cannot be read as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// A filter is wrong.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The name of a metric selects no series.
    #[error(transparent)]
    Selector(#[from] SelectorError),
    /// Filters are for text.
    #[error("a filter is a regular expression over lines of text; leave it out for other formats")]
    FilterWithoutText,
}

/// One stream or file, read as it grows.
pub struct Source {
    parser: Parser,
    /// The line that is not yet whole; of a scrape, all of it.
    kept: Vec<u8>,
    /// The line, counted from 1, that the next byte belongs to, and the one that a scrape began with.
    line: u64,
    began: u64,
}

enum Parser {
    Text(LineParser),
    JsonLines(JsonLines),
    Csv(Box<Csv>),
    TensorBoard(TensorBoard, EventFile),
    Prometheus(Prometheus),
}

impl Source {
    /// A source of this format, for these metrics; for every one there is where none is named. `filters` are for text, see
    /// [`LineParser::with_filters`].
    ///
    /// # Errors
    /// A filter or a metric's name cannot be used with this format.
    pub fn new(format: Format, metrics: &[String], filters: &[String]) -> Result<Self, SourceError> {
        if !filters.is_empty() && format != Format::Text {
            return Err(SourceError::FilterWithoutText);
        }
        let (all, names) = (metrics.is_empty(), metrics.iter().cloned());
        let parser = match format {
            Format::Text => {
                let parser = if all { LineParser::all() } else { LineParser::new(names) };
                Parser::Text(if filters.is_empty() { parser } else { parser.with_filters(filters)? })
            }
            Format::JsonLines => Parser::JsonLines(if all { JsonLines::all() } else { JsonLines::new(names) }),
            Format::Csv => Parser::Csv(Box::new(if all { Csv::all() } else { Csv::new(names) })),
            Format::TensorBoard => {
                let parser = if all { TensorBoard::all() } else { TensorBoard::new(names) };
                Parser::TensorBoard(parser, EventFile::new(""))
            }
            Format::Prometheus => Parser::Prometheus(if all { Prometheus::all() } else { Prometheus::new(names)? }),
        };
        Ok(Source { parser, kept: Vec::new(), line: 1, began: 1 })
    }

    /// The observations that these bytes complete, at the time that the source itself says, else at the given one.
    pub fn feed(&mut self, bytes: &[u8], time: Timestamp) -> Vec<Found> {
        let mut found = Vec::new();
        match &mut self.parser {
            Parser::Csv(parser) => return parser.feed(bytes, time),
            Parser::TensorBoard(parser, file) => return parser.feed(file, bytes, time),
            Parser::Text(_) | Parser::JsonLines(_) | Parser::Prometheus(_) => {}
        }
        let redraws = matches!(self.parser, Parser::Text(_));
        let ends = |byte: &u8| *byte == b'\n' || (redraws && *byte == b'\r');
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(ends) {
            let (part, after) = rest.split_at(end);
            self.line(part, time, &mut found);
            self.line += u64::from(after.first() == Some(&b'\n'));
            rest = &after[1..];
        }
        self.keep(rest);
        found
    }

    /// The observations of what no line feed ends.
    pub fn finish(&mut self, time: Timestamp) -> Vec<Found> {
        let mut found = Vec::new();
        match &mut self.parser {
            Parser::Csv(parser) => return parser.finish(time),
            Parser::TensorBoard(..) => {}
            Parser::Text(_) | Parser::JsonLines(_) => self.line(&[], time, &mut found),
            Parser::Prometheus(_) => self.scrape(time, &mut found),
        }
        found
    }

    /// Names that nobody asked for; `None` when there are no new ones since the last call.
    pub fn take_seen(&mut self) -> Option<Vec<String>> {
        match &mut self.parser {
            Parser::Text(parser) => parser.take_seen(),
            Parser::JsonLines(parser) => parser.take_seen(),
            Parser::Csv(parser) => parser.take_seen(),
            Parser::TensorBoard(parser, _) => parser.take_seen(),
            Parser::Prometheus(parser) => parser.take_seen(),
        }
    }

    /// Lines that look like wanted metrics and say no number, since the last call.
    pub fn take_misses(&mut self) -> Misses {
        match &mut self.parser {
            Parser::Text(parser) => parser.take_misses(),
            Parser::JsonLines(parser) => parser.take_misses(),
            Parser::Csv(parser) => parser.take_misses(),
            Parser::TensorBoard(..) => Misses::default(),
            Parser::Prometheus(parser) => parser.take_misses(),
        }
    }

    /// What is wrong with what was read, if anything is: a sentence.
    pub fn problem(&self) -> Option<String> {
        match &self.parser {
            Parser::TensorBoard(_, file) => file.problem(),
            _ => None,
        }
    }

    /// A line has ended, and this is what was not yet kept of it.
    fn line(&mut self, part: &[u8], time: Timestamp, found: &mut Vec<Found>) {
        if let Parser::Prometheus(_) = self.parser {
            self.keep(part);
            self.keep(b"\n");
            if self.ends_scrape() {
                self.scrape(time, found);
                self.began = self.line + 1;
            }
            return;
        }
        let observations = if self.kept.is_empty() {
            self.parse(part, time)
        } else {
            self.keep(part);
            let line = std::mem::take(&mut self.kept);
            let observations = self.parse(&line, time);
            self.kept = line;
            self.kept.clear();
            observations
        };
        let line = self.line;
        found.extend(observations.into_iter().map(|observation| Found { line, observation }));
    }

    /// Whether the last line is the one that ends a scrape.
    fn ends_scrape(&self) -> bool {
        let text = self.kept.strip_suffix(b"\n").unwrap_or(&self.kept);
        let before = text.strip_suffix(b"\r").unwrap_or(text).strip_suffix(END_OF_SCRAPE);
        before.is_some_and(|before| before.is_empty() || before.ends_with(b"\n"))
    }

    fn parse(&mut self, line: &[u8], time: Timestamp) -> Vec<Observation> {
        match &mut self.parser {
            Parser::Text(parser) => parser.parse(line, time),
            Parser::JsonLines(parser) => parser.parse(line, time),
            Parser::Csv(_) | Parser::TensorBoard(..) | Parser::Prometheus(_) => Vec::new(),
        }
    }

    fn scrape(&mut self, time: Timestamp, found: &mut Vec<Found>) {
        let text = std::mem::take(&mut self.kept);
        if let Parser::Prometheus(parser) = &mut self.parser {
            let before = self.began - 1;
            let observed = parser.parse(&String::from_utf8_lossy(&text), time);
            found.extend(observed.into_iter().map(|one| Found { line: one.line + before, ..one }));
        }
    }

    fn keep(&mut self, part: &[u8]) {
        let most = match self.parser {
            Parser::Text(_) => MAX_LINE,
            Parser::JsonLines(_) => MAX_OBJECT,
            _ => MAX_SCRAPE,
        };
        let room = most.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&part[..part.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(format: Format, names: &[&str], bytes: &[u8], piece: usize) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut source = Source::new(format, &names, &[]).unwrap();
        let mut found = Vec::new();
        for piece in bytes.chunks(piece) {
            found.extend(source.feed(piece, Timestamp::UNIX_EPOCH));
        }
        found.extend(source.finish(Timestamp::UNIX_EPOCH));
        let shown = found.into_iter().map(|Found { line, observation }| {
            let step = observation.step.map_or(String::new(), |step| format!("@{step}"));
            format!("{line}: {}{step}={}", observation.metric, observation.value)
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn every_format_reads_in_pieces_of_any_size() {
        let events = include_bytes!("../../tests/data/metrics/torch.tfevents");
        let table: [(Format, &[&str], &[u8], &str); 8] = [
            (
                Format::Text,
                &["loss"],
                b"epoch=1 loss=1\nnothing\nloss=2\r\nloss=3\rloss=4",
                "1: loss@1=1, 3: loss@1=2, 4: loss@1=3, 4: loss@1=4",
            ),
            (Format::Text, &[], b"a=1 b=2\n", "1: a=1, 1: b=2"),
            (Format::JsonLines, &["loss"], b"{\"loss\": 1}\r\n\nno\n{\"loss\": 2}", "1: loss=1, 4: loss=2"),
            (Format::Csv, &["loss"], b"epoch,loss\r\n1,0.5\r\n2,0.25", "2: loss@1=0.5, 3: loss@2=0.25"),
            (
                Format::TensorBoard,
                &["Loss/train"],
                events,
                "2: Loss/train@0=0.9, 3: Loss/train@100=0.8, 4: Loss/train@200=0.7",
            ),
            (Format::Prometheus, &["loss"], b"# TYPE loss gauge\nloss 1\n", "2: loss=1"),
            (Format::Prometheus, &["loss"], b"loss 1\n# EOF\n\nloss 2\n# EOF\n", "1: loss=1, 4: loss=2"),
            (Format::Prometheus, &[], b"epoch 3\nloss{a=\"b\"} 1", "2: loss{a=\"b\"}@3=1"),
        ];
        for (format, names, bytes, expected) in table {
            for piece in [1, 5, 1 << 16] {
                assert_eq!(read(format, names, bytes, piece), expected, "{format:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let name = |name: &str| vec![name.to_owned()];
        let table = [
            (Format::Csv, vec![], name("(a)(b)"), "a filter is a regular expression over lines of text"),
            (Format::Text, vec![], name("(a)"), "the filter \"(a)\" has 1 groups"),
            (Format::Prometheus, name("val loss"), vec![], "\"val loss\" selects no series"),
        ];
        for (format, names, filters, message) in table {
            let error = Source::new(format, &names, &filters).err().unwrap().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn long_lines_are_cut_and_kept_small() {
        for format in [Format::Text, Format::JsonLines, Format::Prometheus] {
            let mut source = Source::new(format, &[], &[]).unwrap();
            let part = [b'x'; 1 << 16];
            for _ in 0..512 {
                source.feed(&part, Timestamp::UNIX_EPOCH);
            }
            assert!(source.kept.len() <= MAX_SCRAPE, "{format:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_will_do(bytes in prop::collection::vec(any::<u8>(), 0..200), piece in 1_usize..50) {
            for format in [Format::Text, Format::JsonLines, Format::Csv, Format::TensorBoard, Format::Prometheus] {
                read(format, &[], &bytes, piece);
            }
        }
    }
}
