//! Queries that people write, and what Prometheus answers: no panic, and no selection without its matcher.
#![no_main]

#[allow(dead_code, unused_imports)]
#[path = "../../src/metrics/mod.rs"]
mod metrics;

use libfuzzer_sys::fuzz_target;
use metrics::{PromQl, answer};

fuzz_target!(|data: &[u8]| {
    let _ = answer(data);
    let Ok(query) = std::str::from_utf8(data) else { return };
    let Ok(parsed) = PromQl::new(query) else { return };
    let within = Some(("namespace", "team-\"a"));
    let Ok(Some(asked)) = parsed.filled(|text, _| Some(text.to_owned()), within) else { return };
    // What was asked is a query whose selections are as many, and each holds what confines it.
    let again = PromQl::new(&asked).expect("what is asked can be read");
    let confined = again.texts().filter(|text| *text == "team-\"a").count();
    let selections = parsed.selections();
    assert!(again.selections() == selections && confined >= selections, "{asked}");
});
