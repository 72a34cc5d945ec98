//! What programs post and report, and the files of MLflow: no panic.
#![no_main]

#[allow(dead_code, unused_imports)]
#[path = "../../src/metrics/mod.rs"]
mod metrics;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use metrics::{Mlflow, Nni, Push};

fuzz_target!(|data: &[u8]| {
    let names = ["loss".to_owned(), "val_acc".to_owned()];
    let _ = Push::new(names.clone()).parse(data, Timestamp::UNIX_EPOCH);
    let mut nni = Nni::new(&names);
    nni.record(data, Timestamp::UNIX_EPOCH);
    for line in data.split(|byte| *byte == b'\n') {
        nni.line(line, Timestamp::UNIX_EPOCH);
    }
    Mlflow::new(names).file("loss").feed(data);
});
