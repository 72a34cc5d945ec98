//! `automl metrics parse`: what the agent would read in a log, before a hundred trials print one like it.

use super::exit::{ExitCode, Failure, Outcome};
use super::{MetricsParseArguments, MetricsSource, print};
use crate::metrics::{Format, Found, Source, nearest};
use jiff::Timestamp;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// So many names are suggested for one that was not found.
const MAX_NAMES: usize = 8;

impl From<MetricsSource> for Format {
    fn from(source: MetricsSource) -> Self {
        match source {
            MetricsSource::Stdout | MetricsSource::File => Format::Text,
            MetricsSource::Jsonl => Format::JsonLines,
            MetricsSource::Csv => Format::Csv,
            MetricsSource::Tensorboard => Format::TensorBoard,
            MetricsSource::Prometheus => Format::Prometheus,
        }
    }
}

/// Prints one JSON object an observation on standard output; on standard error what was seen besides, and for each metric
/// that was not seen, what it may be called.
pub fn parse(arguments: &MetricsParseArguments) -> Outcome {
    let MetricsParseArguments { source, metrics, filters, file } = arguments;
    let mut source = Source::new((*source).into(), metrics, filters).map_err(Failure::usage)?;
    let (mut input, shown) = open(file)?;
    let (mut found_names, mut seen) = (BTreeSet::new(), Vec::new());
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = match input.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result.map_err(|error| Failure::usage(format!("{shown} cannot be read: {error}")))?,
        };
        let time = Timestamp::now();
        let found = if count == 0 { source.finish(time) } else { source.feed(&buffer[..count], time) };
        found_names.extend(found.iter().map(|one| one.observation.metric.clone()));
        print::text(&found.iter().map(line).collect::<String>())?;
        seen = source.take_seen().unwrap_or(seen);
        if count == 0 {
            break;
        }
    }
    if let Some(problem) = source.problem() {
        print::note(&format!("{shown}: {problem}"));
    }
    remarks(metrics, &found_names, &seen).iter().for_each(|remark| print::note(remark));
    let missing = if metrics.is_empty() {
        found_names.is_empty()
    } else {
        metrics.iter().any(|name| !found_names.contains(name))
    };
    Ok(if missing { ExitCode::Failed } else { ExitCode::Done })
}

fn open(file: &Path) -> Result<(Box<dyn Read>, String), Failure> {
    if file == Path::new("-") {
        return Ok((Box::new(std::io::stdin()), "standard input".to_owned()));
    }
    let shown = file.display().to_string();
    match std::fs::File::open(file) {
        Ok(opened) => Ok((Box::new(opened), shown)),
        Err(error) => Err(Failure::usage(format!("{shown} cannot be read: {error}"))),
    }
}

fn line(Found { line, observation }: &Found) -> String {
    let mut shown = json!(observation);
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("line".into(), (*line).into());
    }
    format!("{shown}\n")
}

/// What a person may want to know beside the observations.
fn remarks(metrics: &[String], found: &BTreeSet<String>, seen: &[String]) -> Vec<String> {
    if metrics.is_empty() {
        return match found.is_empty() {
            true => vec!["no metric was found; a line such as `epoch=1 accuracy=0.5` is one".to_owned()],
            false => {
                vec![format!("found: {}; name those that count with --metric", list(found.iter().map(String::as_str)))]
            }
        };
    }
    let missing = metrics.iter().filter(|name| !found.contains(*name)).map(|name| {
        let names: Vec<&str> = nearest(name, seen.iter().map(String::as_str)).into_iter().take(MAX_NAMES).collect();
        match names.as_slice() {
            [] => format!("{name} was not found, and no other metric was; without --metric all are shown"),
            [first, ..] => {
                format!("{name} was not found; seen were {}; was it `--metric {first:?}`?", list(names.iter().copied()))
            }
        }
    });
    let mut remarks: Vec<String> = missing.collect();
    if remarks.is_empty() && !seen.is_empty() {
        remarks.push(format!("seen and not asked for: {}", list(seen.iter().map(String::as_str))));
    }
    remarks
}

fn list<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_beside_the_observations() {
        let table: [(&[&str], &[&str], &[&str], &[&str]); 6] = [
            (&[], &[], &[], &["no metric was found; a line such as `epoch=1 accuracy=0.5` is one"]),
            (&[], &["loss", "acc"], &["acc", "loss"], &["found: acc, loss; name those that count with --metric"]),
            (&["loss"], &["loss"], &[], &[]),
            (&["loss"], &["loss"], &["acc", "lr"], &["seen and not asked for: acc, lr"]),
            (&["loss"], &[], &[], &["loss was not found, and no other metric was; without --metric all are shown"]),
            (
                &["val_accuracy", "loss"],
                &["loss"],
                &["lr", "val_acc"],
                &["val_accuracy was not found; seen were val_acc, lr; was it `--metric \"val_acc\"`?"],
            ),
        ];
        for (metrics, found, seen, expected) in table {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            let found = owned(found).into_iter().collect();
            assert_eq!(remarks(&owned(metrics), &found, &owned(seen)), expected, "{metrics:?}");
        }
    }

    #[test]
    fn an_observation_is_one_line() {
        let observation = crate::metrics::Observation {
            metric: "loss".into(),
            step: Some(3),
            value: f64::NAN,
            time: Timestamp::UNIX_EPOCH,
        };
        let shown = line(&Found { line: 7, observation });
        let fields: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(
            fields,
            json!({"metric": "loss", "step": 3, "value": "NaN", "time": "1970-01-01T00:00:00Z", "line": 7}),
        );
        assert!(shown.ends_with("}\n"));
    }
}
