//! Passes a program's output on, untouched and at once, and reads a copy of it.

use super::tail::Tail;
use crate::metrics::{LineParser, Misses, Nni, Observation};
use crate::report::Source;
use jiff::Timestamp;
use std::io::{ErrorKind, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longest part of a line that is looked at.
const MAX_LINE: usize = 64 << 10;
/// Between two tries to write to a stream that takes nothing just now.
const PAUSE: Duration = Duration::from_millis(5);

/// What was read of one program's two streams.
pub(super) struct Reader {
    lines: Lines,
    tail: Tail,
}

/// What is read of a line.
enum Lines {
    /// Metrics come from elsewhere.
    Unread,
    Text(Box<LineParser>),
    /// It is also read elsewhere.
    Nni(Arc<Mutex<Nni>>),
}

impl Reader {
    pub fn new(source: &Source, metrics: &[String]) -> Self {
        let lines = match source {
            Source::Stdout { filters } => {
                let parser = LineParser::new(metrics.iter().cloned());
                // The operator has compiled them before.
                let filtered = if filters.is_empty() { Ok(parser) } else { parser.with_filters(filters) };
                filtered.map_or(Lines::Unread, |parser| Lines::Text(Box::new(parser)))
            }
            Source::Nni { .. } => Lines::Nni(Arc::new(Mutex::new(Nni::new(metrics)))),
            _ => Lines::Unread,
        };
        Reader { lines, tail: Tail::default() }
    }

    /// What reads reports of NNI, where they are read.
    pub fn nni(&self) -> Option<Arc<Mutex<Nni>>> {
        match &self.lines {
            Lines::Nni(nni) => Some(Arc::clone(nni)),
            Lines::Unread | Lines::Text(_) => None,
        }
    }

    fn parse(&mut self, line: &[u8], now: Timestamp) -> Vec<Observation> {
        match &mut self.lines {
            Lines::Unread => Vec::new(),
            Lines::Text(parser) => parser.parse(line, now),
            Lines::Nni(nni) => nni.lock().unwrap_or_else(PoisonError::into_inner).line(line, now),
        }
    }

    fn take_seen(&mut self) -> Option<Vec<String>> {
        match &mut self.lines {
            Lines::Unread => None,
            Lines::Text(parser) => parser.take_seen(),
            Lines::Nni(nni) => nni.lock().unwrap_or_else(PoisonError::into_inner).take_seen(),
        }
    }

    /// Lines that look like wanted metrics and say no number.
    pub fn take_misses(&mut self) -> Misses {
        match &mut self.lines {
            Lines::Text(parser) => parser.take_misses(),
            Lines::Unread | Lines::Nni(_) => Misses::default(),
        }
    }

    pub fn tail(&self) -> String {
        self.tail.text()
    }
}

/// Output that was not passed on, and why: the last reason.
pub(super) struct Lost {
    pub bytes: u64,
    pub why: std::io::Error,
}

/// Copies `from` to `to` until it ends. Each whole line (ended by a line feed or carriage return) is parsed; what comes out
/// is handed to `say`. When `to` takes no more (a full disk, a closed pipe), reading and measuring go on, and each part is
/// tried anew: there may be room again.
pub(super) fn pass_on(
    mut from: impl Read,
    mut to: impl Write,
    reader: &Arc<Mutex<Reader>>,
    say: impl Fn(Vec<Observation>, Option<Vec<String>>),
) -> Option<Lost> {
    let mut buffer = vec![0; 64 << 10];
    let mut line = Vec::new();
    let mut lost: Option<Lost> = None;
    loop {
        let bytes = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => &buffer[..count],
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if let Err((left, why)) = write(&mut to, bytes) {
            lost = Some(Lost { bytes: lost.map_or(0, |lost| lost.bytes) + left as u64, why });
        }
        // One time for all that came at once: asking for each line costs more than reading it.
        let now = Timestamp::now();
        let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.tail.push(bytes);
        let mut observations = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (part, after) = rest.split_at(end);
            if line.is_empty() {
                observations.extend(reader.parse(&part[..part.len().min(MAX_LINE)], now));
            } else {
                keep(&mut line, part);
                observations.extend(reader.parse(&line, now));
                line.clear();
            }
            rest = &after[1..];
        }
        keep(&mut line, rest);
        let seen = reader.take_seen();
        drop(reader);
        if !observations.is_empty() || seen.is_some() {
            say(observations, seen);
        }
    }
    let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
    let observations = reader.parse(&line, Timestamp::now());
    let seen = reader.take_seen();
    drop(reader);
    say(observations, seen);
    lost
}

/// Writes all, or says how many bytes were not written. A stream that somebody has made non-blocking is waited for like
/// any other.
fn write(to: &mut impl Write, mut bytes: &[u8]) -> Result<(), (usize, std::io::Error)> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err((bytes.len(), ErrorKind::WriteZero.into())),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
            Err(error) => return Err((bytes.len(), error)),
        }
    }
    Ok(())
}

fn keep(line: &mut Vec<u8>, part: &[u8]) {
    let room = MAX_LINE.saturating_sub(line.len());
    line.extend_from_slice(&part[..part.len().min(room)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// Takes a few bytes at a time; at these writes it fails instead.
    struct Disk {
        written: Vec<u8>,
        writes: usize,
        failures: Vec<(usize, ErrorKind)>,
    }

    impl Write for &mut Disk {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.writes += 1;
            if let Some((_, kind)) = self.failures.iter().find(|(at, _)| *at == self.writes) {
                return Err((*kind).into());
            }
            let count = bytes.len().min(5);
            self.written.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Gives one of these at a time.
    struct Parts<'a>(std::slice::Iter<'a, &'a str>);

    impl Read for Parts<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let Some(part) = self.0.next() else { return Ok(0) };
            buffer[..part.len()].copy_from_slice(part.as_bytes());
            Ok(part.len())
        }
    }

    fn passed(parts: &[&str], failures: &[(usize, ErrorKind)]) -> (String, Option<(u64, ErrorKind)>, Vec<f64>) {
        let reader = Arc::new(Mutex::new(Reader::new(&Source::default(), &["m".into()])));
        let mut disk = Disk { written: Vec::new(), writes: 0, failures: failures.to_vec() };
        let values = RefCell::new(Vec::new());
        let lost = pass_on(Parts(parts.iter()), &mut disk, &reader, |observations, _| {
            values.borrow_mut().extend(observations.into_iter().map(|observation| observation.value));
        });
        let lost = lost.map(|lost| (lost.bytes, lost.why.kind()));
        (String::from_utf8(disk.written).unwrap(), lost, values.into_inner())
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_the_rest_goes_on() {
        let parts = ["m=1\nm", "=2\r", "m=3\nm=4"];
        let whole = "m=1\nm=2\rm=3\nm=4".to_owned();
        let table = [
            (vec![], (whole.clone(), None)),
            (vec![(1, ErrorKind::WouldBlock), (2, ErrorKind::Interrupted), (4, ErrorKind::WouldBlock)], (whole, None)),
            (vec![(1, ErrorKind::StorageFull)], ("=2\rm=3\nm=4".into(), Some((5, ErrorKind::StorageFull)))),
            (
                vec![(2, ErrorKind::StorageFull), (4, ErrorKind::QuotaExceeded)],
                ("m=1\nmm=3\nm".into(), Some((5, ErrorKind::QuotaExceeded))),
            ),
        ];
        for (failures, (written, lost)) in table {
            assert_eq!(passed(&parts, &failures), (written, lost, vec![1.0, 2.0, 3.0, 4.0]), "{failures:?}");
        }
    }
}
