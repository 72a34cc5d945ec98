//! What the agent itself says, on standard error, among the program's lines.

use std::fmt::Display;
use std::io::Write;

/// Says a sentence. Nobody may be there to read it, and the disk may be full: neither ends a trial.
pub(super) fn say(sentence: impl Display) {
    let _ = writeln!(std::io::stderr(), "automl-agent: {sentence}");
}
