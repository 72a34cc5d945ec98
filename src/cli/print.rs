//! Printing: nobody who stops reading, as `| head` does, ends a run.

use super::OutputFormat;
use super::exit::Failure;
use serde_json::{Value, json};
use std::io::Write;

/// Prints on standard output.
///
/// # Errors
/// It cannot be written, such as to a full disk.
pub fn text(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| Failure::other(format!("standard output cannot be written: {error}"))),
    }
}

/// A line on standard error.
pub fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// `-o json` and `-o yaml`: a List of the Experiment and its Trials as kubectl would print it, alone on standard output.
///
/// # Errors
/// As [`text`].
pub fn list(items: Vec<Value>, format: OutputFormat) -> Result<(), Failure> {
    let items: Vec<Value> = items.into_iter().map(without_managed_fields).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items});
    text(&match format {
        OutputFormat::Json => serde_json::to_string_pretty(&list).map_err(Failure::other)? + "\n",
        OutputFormat::Yaml => serde_saphyr::to_string(&list).map_err(Failure::other)?,
    })
}

fn without_managed_fields(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}
