//! Rows under a header, separated by commas, semicolons or tabs (RFC 4180), as Lightning's `metrics.csv` and ultralytics'
//! `results.csv` are. Bytes come in as they are written.

use super::misses::says_none;
use super::text::number::{Comma, number};
use super::text::object;
use super::wanted::Wanted;
use super::{Found, Misses, record};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use jiff::Timestamp;

/// Longest row, in bytes, and most columns.
const MAX_ROW: usize = 1 << 20;
const MAX_COLUMNS: usize = 4096;
/// What may separate columns; the first of those that are equally frequent in the header.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// Finds the wanted metrics in the rows of a file.
pub struct Csv {
    wanted: Wanted,
    comma: Comma,
    columns: Vec<String>,
    /// Bytes of the header, until its line is whole and shows what separates its columns.
    head: Vec<u8>,
    reader: Option<Reader>,
    /// The row that is being read, and where its fields end.
    row: Vec<u8>,
    ends: Vec<usize>,
    filled: usize,
    fields: usize,
    overlong: bool,
    /// Line feeds so far, and whether the last byte was one.
    feeds: u64,
    fed: bool,
}

impl Csv {
    /// A parser for these columns.
    pub fn new(wanted: impl IntoIterator<Item = String>) -> Self {
        Self::of(Wanted::new(wanted))
    }

    /// A parser for all columns.
    pub fn all() -> Self {
        Self::of(Wanted::all())
    }

    fn of(wanted: Wanted) -> Self {
        Csv {
            wanted,
            comma: Comma::default(),
            columns: Vec::new(),
            head: Vec::new(),
            reader: None,
            row: vec![0; 1024],
            ends: vec![0; 64],
            filled: 0,
            fields: 0,
            overlong: false,
            feeds: 0,
            fed: false,
        }
    }

    /// The observations of the rows that these bytes complete. A column named `timestamp`, `time` or `ts` that holds a
    /// time (RFC 3339, or seconds since 1970) is when a row was written; else that is the given time.
    pub fn feed(&mut self, bytes: &[u8], time: Timestamp) -> Vec<Found> {
        let mut found = Vec::new();
        if self.reader.is_some() {
            self.read(bytes, time, &mut found);
            return found;
        }
        self.head.extend_from_slice(bytes);
        let Some(end) = self.head.iter().position(|byte| *byte == b'\n').or((self.head.len() > MAX_ROW).then_some(0))
        else {
            return found;
        };
        self.begin(end);
        let head = std::mem::take(&mut self.head);
        self.read(head.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&head), time, &mut found);
        found
    }

    /// The observations of a last row that no line feed ends. Where it has fewer columns than the header, it broke off, and its
    /// last number may not be whole: that one is left out.
    pub fn finish(&mut self, time: Timestamp) -> Vec<Found> {
        let mut found = Vec::new();
        if self.reader.is_none() {
            return found;
        }
        self.read(&[], time, &mut found);
        found
    }

    /// Rows that have fewer or more columns than the header, or no number in a wanted one, since the last call.
    pub fn take_misses(&mut self) -> Misses {
        self.wanted.take_misses()
    }

    /// Names of columns that nobody asked for; `None` when there are no new ones since the last call.
    pub fn take_seen(&mut self) -> Option<Vec<String>> {
        self.wanted.take_seen()
    }

    fn begin(&mut self, end: usize) {
        let header = &self.head[..end];
        let count = |delimiter: u8| header.iter().filter(|byte| **byte == delimiter).count();
        let most = DELIMITERS.into_iter().rev().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b',');
        self.reader = Some(ReaderBuilder::new().delimiter(most).build());
    }

    fn read(&mut self, mut bytes: &[u8], time: Timestamp, found: &mut Vec<Found>) {
        // To csv-core an empty input is the end.
        let last = bytes.is_empty();
        while last || !bytes.is_empty() {
            let Some(reader) = &mut self.reader else { return };
            let (result, read, wrote, ended) =
                reader.read_record(bytes, &mut self.row[self.filled..], &mut self.ends[self.fields..]);
            let taken = &bytes[..read];
            self.feeds += taken.iter().filter(|byte| **byte == b'\n').count() as u64;
            self.fed = taken.last().map_or(self.fed, |byte| *byte == b'\n');
            bytes = &bytes[read..];
            self.filled += wrote;
            self.fields += ended;
            match result {
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return,
                ReadRecordResult::OutputFull if self.row.len() < MAX_ROW => self.row.resize(self.row.len() * 4, 0),
                ReadRecordResult::OutputEndsFull if self.ends.len() < MAX_COLUMNS => {
                    self.ends.resize(self.ends.len() * 4, 0);
                }
                // Too long to be a row of numbers: it is read to its end, and forgotten.
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    (self.filled, self.fields, self.overlong) = (0, 0, true);
                }
                ReadRecordResult::Record => {
                    let line = self.feeds + u64::from(!self.fed);
                    let broke_off = last && self.fields < self.columns.len();
                    self.fields -= usize::from(broke_off);
                    self.record(line, time, found);
                    (self.filled, self.fields, self.overlong) = (0, 0, false);
                }
            }
        }
    }

    fn record(&mut self, line: u64, time: Timestamp, found: &mut Vec<Found>) {
        if self.overlong {
            self.wanted.miss();
            return self.wanted.end_of(|| format!("row {line}, which is too long"));
        }
        let mut start = 0;
        let fields: Vec<String> = self.ends[..self.fields]
            .iter()
            .map(|end| {
                let field = String::from_utf8_lossy(self.row.get(start..*end).unwrap_or_default()).trim().to_owned();
                start = *end;
                field
            })
            .collect();
        // A run that was appended to an earlier one writes its header again.
        let again = self.columns.first().is_some_and(|first| fields.first() == Some(first));
        if self.columns.is_empty() || again {
            self.columns = fields;
            return;
        }
        // Some end each row with a separator.
        let more = fields.iter().skip(self.columns.len()).any(|field| !field.is_empty());
        if more || fields.len() < self.columns.len() {
            self.wanted.miss();
        }
        let mut own = None;
        let mut numbers = Vec::new();
        for (name, field) in self.columns.iter().zip(&fields) {
            let value = number(field, &mut self.comma).filter(|value| value.length == field.len());
            if object::TIMES.contains(&name.as_str())
                && let Some(at) = field.parse().ok().or_else(|| object::at(value?.value).filter(object::is_recent))
            {
                own = Some(at);
            } else if let Some(value) = value {
                numbers.push((name.clone(), value.value));
            } else if !says_none(field) {
                self.wanted.no_number(name);
            }
        }
        self.wanted.end_of(|| fields.join(","));
        let observations = record::observe(&mut self.wanted, numbers, own.unwrap_or(time));
        found.extend(observations.into_iter().map(|observation| Found { line, observation }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(names: &[&str], text: &str, piece: usize) -> String {
        let mut parser = match names {
            [] => Csv::all(),
            names => Csv::new(names.iter().map(|name| (*name).to_owned())),
        };
        let mut found = Vec::new();
        for piece in text.as_bytes().chunks(piece) {
            found.extend(parser.feed(piece, Timestamp::UNIX_EPOCH));
        }
        found.extend(parser.finish(Timestamp::UNIX_EPOCH));
        let shown = found.into_iter().map(|Found { line, observation }| {
            let step = observation.step.map_or(String::new(), |step| format!("@{step}"));
            let time = observation.time.as_second();
            let time = if time == 0 { String::new() } else { format!(" at {time}") };
            format!("{line}: {}{step}={}{time}", observation.metric, observation.value)
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn files_and_what_they_say() {
        let table: [(&[&str], &str, &str); 12] = [
            // A row that broke off.
            (&[], "epoch,loss,acc\n1,0.5,0.9\n2,0.", "2: loss@1=0.5, 2: acc@1=0.9"),
            (&[], "epoch,loss,acc\n1,0.5,0.9\n2,0.4,", "2: loss@1=0.5, 2: acc@1=0.9, 3: loss@2=0.4"),
            // Lightning: blanks where a row has no value.
            (
                &["train_loss", "val_acc"],
                "epoch,step,train_loss,val_acc\r\n0,49,0.5,\r\n0,63,,0.91\r\n",
                "2: train_loss@0=0.5, 3: val_acc@0=0.91",
            ),
            // ultralytics: padded names.
            (
                &["metrics/mAP50(B)"],
                "                  epoch,       metrics/mAP50(B)\n                      1,                0.70123\n",
                "2: metrics/mAP50(B)@1=0.70123",
            ),
            (&["loss"], "epoch;loss\n1;0,5\n2;0,25\n", "2: loss@1=0.5, 3: loss@2=0.25"),
            (&["loss"], "loss\tnote\n0.5\ta,b,c\n", "2: loss=0.5"),
            (&["loss"], "\u{feff}\"loss\",\"a \"\"b\"\"\"\n\"0.5\",\"x\ny\"\n0.25,z\n", "3: loss=0.5, 4: loss=0.25"),
            (
                &["loss"],
                "timestamp,loss\n2026-01-01T10:00:00Z,1\n1767261601.5,2\n",
                "2: loss=1 at 1767261600, 3: loss=2 at 1767261601",
            ),
            (&[], "time,loss\n12.5,nan\n", "2: time=12.5, 2: loss=NaN"),
            (&["loss"], "epoch,loss\n1,0.5\nepoch,acc,loss\n2,0.9,0.4\n", "2: loss@1=0.5, 4: loss@2=0.4"),
            (&["loss"], "loss\n1\n2", "2: loss=1, 3: loss=2"),
            (&[], "", ""),
        ];
        for (names, text, found) in table {
            for piece in [1, 3, 1 << 20] {
                assert_eq!(read(names, text, piece), found, "{text:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn rows_that_cannot_be_read() {
        let table = [
            ("epoch,loss\n1,0.5\n2,0.4\n", 0, None),
            ("epoch,loss\n1,0.5,\n2,,\n3,None\n\n", 0, None),
            ("epoch,loss\n1\n2,0.4,0.9\n3,high\n", 3, Some("1")),
            ("epoch,loss\nx,0.5\n2,1x", 1, Some("2,1x")),
            ("epoch,loss,acc\n1,0.5,0.9\n2,0.", 1, Some("2")),
        ];
        for (text, rows, first) in table {
            for piece in [1, 1 << 20] {
                let mut parser = Csv::new(["loss".to_owned()]);
                text.as_bytes().chunks(piece).for_each(|piece| drop(parser.feed(piece, Timestamp::UNIX_EPOCH)));
                parser.finish(Timestamp::UNIX_EPOCH);
                let misses = parser.take_misses();
                assert_eq!((misses.lines, misses.first.as_deref()), (rows, first), "{text:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_row_that_is_too_long_is_left_out() {
        let long = "x".repeat(5 << 20);
        let many = "1,".repeat(1 << 16);
        assert_eq!(
            read(&["loss"], &format!("loss,a\n1,b\n{long},{long}\n{many}\n2,b\n"), 1 << 16),
            "2: loss=1, 5: loss=2"
        );
        assert_eq!(read(&["loss"], &format!("{long}\nloss,a\n1,b\n"), 1 << 16), "3: loss=1");
    }

    proptest! {
        #[test]
        fn any_bytes_will_do(text in "[ab,;\"\n\r01.]{0,60}", piece in 1_usize..20) {
            prop_assert_eq!(read(&[], &text, piece), read(&[], &text, 1 << 20));
        }
    }
}
