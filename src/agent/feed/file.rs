//! A file that grows.

use super::super::follow::{Follower, Piece};
use crate::metrics::{Format, Misses, Observation, Source};
use crate::report::FileFormat;
use jiff::Timestamp;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

/// Longest header of a CSV file, in bytes.
const MAX_HEADER: u64 = 64 << 10;

/// See the module.
pub(in super::super) struct Growing {
    follower: Follower,
    /// Makes a parser for a file that begins.
    anew: Box<dyn Fn() -> Option<Source> + Send>,
    parser: Source,
    begun: bool,
    /// Of files before this one.
    missed: Misses,
    error: Option<std::io::Error>,
}

impl Growing {
    pub fn new(path: &str, format: FileFormat, metrics: &[String], filters: &[String]) -> Result<Self, String> {
        let format = Format::from(format);
        let mut parser = Source::new(format, metrics, filters).map_err(|error| error.to_string())?;
        if format == Format::Csv {
            // The program may go on under a header that is there.
            parser.feed(&header(path), Timestamp::now());
        }
        let (metrics, filters) = (metrics.to_vec(), filters.to_vec());
        let anew = Box::new(move || Source::new(format, &metrics, &filters).ok());
        Ok(Growing {
            follower: Follower::new(PathBuf::from(path)),
            anew,
            parser,
            begun: false,
            missed: Misses::default(),
            error: None,
        })
    }

    pub fn poll(&mut self, observations: &mut Vec<Observation>) -> bool {
        let (parser, anew, begun, now) = (&mut self.parser, &self.anew, &mut self.begun, Timestamp::now());
        let missed = &mut self.missed;
        let mut found = Vec::new();
        let read = self.follower.poll(|piece| {
            *begun = true;
            match piece {
                Piece::Bytes(bytes) => found.extend(parser.feed(bytes, now)),
                // What had no end by then was not finished.
                Piece::Anew => {
                    if let Some(new) = anew() {
                        missed.join(parser.take_misses());
                        *parser = new;
                    }
                }
            }
        });
        observations.extend(found.into_iter().map(|found| found.observation));
        let (more, error) = read.map_or_else(|error| (false, Some(error)), |more| (more, None));
        self.error = error;
        more
    }

    pub fn finish(&mut self) -> Vec<Observation> {
        self.parser.finish(Timestamp::now()).into_iter().map(|found| found.observation).collect()
    }

    pub fn take_misses(&mut self) -> Misses {
        let mut misses = std::mem::take(&mut self.missed);
        misses.join(self.parser.take_misses());
        misses
    }

    pub fn take_seen(&mut self) -> Option<Vec<String>> {
        self.parser.take_seen()
    }

    pub fn trouble(&self) -> Option<String> {
        let path = self.follower.path().display();
        match &self.error {
            Some(error) => Some(format!("{path} cannot be read: {error}")),
            None if !self.begun => {
                Some(format!("{path}, where metrics were to be read, was never there or stayed empty"))
            }
            None => None,
        }
    }
}

/// The first line of a file; nothing where there is none.
fn header(path: &str) -> Vec<u8> {
    let mut line = Vec::new();
    let read = File::open(path).and_then(|file| BufReader::new(file.take(MAX_HEADER)).read_until(b'\n', &mut line));
    if read.is_err() || !line.ends_with(b"\n") {
        line.clear();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(growing: &mut Growing) -> Vec<(Option<u64>, f64)> {
        let mut found = Vec::new();
        while growing.poll(&mut found) {}
        found.into_iter().map(|observation| (observation.step, observation.value)).collect()
    }

    #[test]
    fn reads_on_where_the_program_writes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let name = path.to_str().unwrap();
        let mut growing = Growing::new(name, FileFormat::Csv, &["loss".into()], &[]).unwrap();
        assert_eq!(said(&mut growing), []);
        assert!(growing.trouble().unwrap().ends_with("was never there or stayed empty"));
        std::fs::write(&path, "epoch,loss,lr\n1,0.5,0.1\n2,0.4").unwrap();
        assert_eq!(said(&mut growing), [(Some(1), 0.5)]);
        std::fs::write(&path, "epoch,loss\n9,0.1\n").unwrap();
        assert!(said(&mut growing).contains(&(Some(9), 0.1)), "it was written anew, under another header");
        assert_eq!(growing.trouble(), None);
    }

    #[test]
    fn an_earlier_attempts_rows_are_not_read_but_their_header_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        std::fs::write(&path, "epoch,loss\n1,0.5\n2,0.4\n").unwrap();
        let mut growing = Growing::new(path.to_str().unwrap(), FileFormat::Csv, &["loss".into()], &[]).unwrap();
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, b"3,0.3\n").unwrap();
        assert_eq!(said(&mut growing), [(Some(3), 0.3)]);
    }

    #[test]
    fn the_last_line_needs_no_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let mut growing = Growing::new(path.to_str().unwrap(), FileFormat::JsonLines, &["loss".into()], &[]).unwrap();
        std::fs::write(&path, "{\"step\": 1, \"loss\": 2}\n{\"step\": 2, \"loss\": 1}").unwrap();
        assert_eq!(said(&mut growing), [(Some(1), 2.0)]);
        let last: Vec<_> =
            growing.finish().into_iter().map(|observation| (observation.step, observation.value)).collect();
        assert_eq!(last, [(Some(2), 1.0)]);
    }
}
