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
        MetricsSource { mlflow: Some(store), .. } => {
            let path = store.path.clone().unwrap_or_else(|| "mlruns".into());
            (
                Source::Mlflow { path, server: store.server.clone(), experiment: String::new() },
                "mlflow",
                store.path.as_ref(),
            )
        }
        MetricsSource { push: Some(_), .. } => (Source::Push {}, "push", None),
        MetricsSource { nni: Some(_), .. } => (nni(parameters), "nni", None),
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
        // Any name will do.
        Source::Mlflow { .. } | Source::Push {} | Source::Nni { .. } => return Ok(source),
    };
    match metrics::Source::new(format, metrics, filters) {
        Ok(_) => Ok(source),
        Err(error) => Err(invalid(&format!(": {error}"))),
    }
}

/// With the parameters that others are nested in: `layer` of `layer__size`.
fn nni(parameters: &BTreeSet<&str>) -> Source {
    let holds = |outer: &&&str| parameters.iter().any(|name| name.strip_prefix(**outer).is_some_and(is_inner));
    let nested = parameters.iter().filter(holds).map(|outer| (*outer).to_owned()).collect();
    Source::Nni { experiment: String::new(), index: 0, nested }
}

fn is_inner(rest: &str) -> bool {
    rest.strip_prefix("__").is_some_and(|inner| !inner.is_empty())
}

/// The source of one trial.
pub(super) fn filled_in(source: &Source, names: &Names<'_>) -> Source {
    let mut source = source.clone();
    match &mut source {
        Source::Nni { experiment, index, .. } => {
            names.experiment.clone_into(experiment);
            *index = names.index.unwrap_or(0);
        }
        Source::Mlflow { experiment, .. } => names.experiment.clone_into(experiment),
        _ => {}
    }
    if let Source::File { path, .. }
    | Source::Tensorboard { path }
    | Source::Prometheus { path, .. }
    | Source::Mlflow { path, .. } = &mut source
    {
        *path = match render(&Value::from(path.as_str()), names) {
            Value::String(path) => path,
            Value::Null => String::new(),
            other => other.to_string(),
        };
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_that_others_are_nested_in() {
        let table: [(&[&str], &[&str]); 4] = [
            (&["lr", "layer", "layer__size", "layers", "layer_2"], &["layer"]),
            (&["a", "a__x__b", "a__x__b__c"], &["a", "a__x__b"]),
            (&["a__", "a", "b__c"], &[]),
            (&[], &[]),
        ];
        for (parameters, expected) in table {
            let Source::Nni { nested, .. } = nni(&parameters.iter().copied().collect()) else { panic!() };
            assert_eq!(nested, expected, "{parameters:?}");
        }
    }
}
