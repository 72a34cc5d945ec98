//! Passes a program's output on, untouched and at once, and reads a copy of it.

use super::tail::Tail;
use crate::metrics::{LineParser, Observation};
use jiff::Timestamp;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Longest part of a line that is looked at.
const MAX_LINE: usize = 64 << 10;

/// What was read of one program's two streams.
pub(super) struct Reader {
    parser: LineParser,
    tail: Tail,
}

impl Reader {
    pub fn new(metrics: Vec<String>) -> Self {
        Reader { parser: LineParser::new(metrics), tail: Tail::default() }
    }

    pub fn tail(&self) -> String {
        self.tail.text()
    }
}

/// Copies `from` to `to` until it ends. Each whole line (ended by a line feed or carriage return) is parsed; what comes out
/// is handed to `say`. When `to` takes no more (a full disk, a closed pipe), reading and measuring go on.
pub(super) fn pass_on(
    mut from: impl Read,
    mut to: impl Write,
    reader: &Arc<Mutex<Reader>>,
    say: impl Fn(Vec<Observation>, Option<Vec<String>>),
) {
    let mut buffer = vec![0; 64 << 10];
    let mut line = Vec::new();
    let mut open = true;
    loop {
        let bytes = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => &buffer[..count],
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if open && (to.write_all(bytes).is_err() || to.flush().is_err()) {
            open = false;
        }
        let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.tail.push(bytes);
        let mut observations = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (part, after) = rest.split_at(end);
            keep(&mut line, part);
            observations.extend(reader.parser.parse(&line, Timestamp::now()));
            line.clear();
            rest = &after[1..];
        }
        keep(&mut line, rest);
        let seen = reader.parser.take_seen();
        drop(reader);
        if !observations.is_empty() || seen.is_some() {
            say(observations, seen);
        }
    }
    let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
    let observations = reader.parser.parse(&line, Timestamp::now());
    let seen = reader.parser.take_seen();
    drop(reader);
    say(observations, seen);
}

fn keep(line: &mut Vec<u8>, part: &[u8]) {
    let room = MAX_LINE.saturating_sub(line.len());
    line.extend_from_slice(&part[..part.len().min(room)]);
}
