//! What programs print and write, in any pieces: no panic, and the same whatever the pieces are.
#![no_main]

#[allow(dead_code, unused_imports)]
#[path = "../../src/metrics/mod.rs"]
mod metrics;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use metrics::{Format, Source};

const FORMATS: [Format; 5] = [Format::Text, Format::JsonLines, Format::Csv, Format::TensorBoard, Format::Prometheus];

fn read(format: Format, names: &[String], bytes: &[u8], piece: usize) -> String {
    let Ok(mut source) = Source::new(format, names, &[]) else { return String::new() };
    let mut found = Vec::new();
    for piece in bytes.chunks(piece) {
        found.extend(source.feed(piece, Timestamp::UNIX_EPOCH));
    }
    found.extend(source.finish(Timestamp::UNIX_EPOCH));
    format!("{found:?} {:?} {:?}", source.take_seen(), source.take_misses())
}

fuzz_target!(|data: &[u8]| {
    let [format, piece, bytes @ ..] = data else { return };
    let format = FORMATS[usize::from(*format) % FORMATS.len()];
    for names in [vec![], vec!["loss".to_owned(), "val_acc".to_owned()]] {
        let whole = read(format, &names, bytes, usize::MAX);
        assert_eq!(read(format, &names, bytes, usize::from(*piece).max(1)), whole);
    }
});
