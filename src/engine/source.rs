//! Where a trial's metrics come from, as its agent is told.

use super::compile::Problem;
use super::template::{Names, misplaced, render};
use crate::api::MetricsSource;
use crate::api::conditions::reasons;
use crate::metrics::{self, Format};
use crate::report::Source;
use serde_json::Value;
use std::collections::BTreeSet;

/// What the spec says; placeholders are not filled in yet.
///
/// # Errors
/// What cannot be read as it says.
pub(super) fn source(
    chosen: &MetricsSource,
    metrics: &[String],
    parameters: &BTreeSet<&str>,
) -> Result<Source, Problem> {
    let (source, field, path) = match chosen {
        MetricsSource { file: Some(file), .. } => {
            let (path, format, filters) = (file.path.clone(), file.format, file.filters.clone());
            (Source::File { path, format, filters }, "file", Some(&file.path))
        }
        MetricsSource { tensorboard: Some(folder), .. } => {
            (Source::Tensorboard { path: folder.path.clone() }, "tensorboard", Some(&folder.path))
        }
        MetricsSource { prometheus: Some(endpoint), .. } => {
            let (port, path, interval_seconds) = (endpoint.port, endpoint.path.clone(), endpoint.interval_seconds);
            (Source::Prometheus { port, path, interval_seconds }, "prometheus", Some(&endpoint.path))
        }
        MetricsSource { stdout, .. } => {
            let filters = stdout.as_ref().map(|stdout| stdout.filters.clone()).unwrap_or_default();
            (Source::Stdout { filters }, "stdout", None)
        }
    };
    let invalid = |what: &str| Problem::new(reasons::INVALID_METRICS, format!("metrics.source.{field}{what}"));
    if let Some(problem) = path.and_then(|path| misplaced(&Value::from(path.as_str()), ".path", parameters).pop()) {
        return Err(invalid(&problem));
    }
    let (format, filters) = match &source {
        Source::Stdout { filters } => (Format::Text, filters.as_slice()),
        Source::File { format, filters, .. } => ((*format).into(), filters.as_slice()),
        Source::Tensorboard { .. } => (Format::TensorBoard, [].as_slice()),
        Source::Prometheus { .. } => (Format::Prometheus, [].as_slice()),
    };
    match metrics::Source::new(format, metrics, filters) {
        Ok(_) => Ok(source),
        Err(error) => Err(invalid(&format!(": {error}"))),
    }
}

/// The source of one trial.
pub(super) fn filled_in(source: &Source, names: &Names<'_>) -> Source {
    let mut source = source.clone();
    if let Source::File { path, .. } | Source::Tensorboard { path } | Source::Prometheus { path, .. } = &mut source {
        *path = match render(&Value::from(path.as_str()), names) {
            Value::String(path) => path,
            Value::Null => String::new(),
            other => other.to_string(),
        };
    }
    source
}
