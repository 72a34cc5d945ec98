//! `automl metrics parse`: what the agent would read in a log, before a hundred trials print one like it.

use super::exit::{ExitCode, Failure, Outcome};
use super::{MetricsParseArguments, MetricsSource, print};
use crate::agent::event_files;
use crate::metrics::{EventFile, Format, Found, Misses, Source, SourceError, TensorBoard, nearest};
use jiff::Timestamp;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::ErrorKind;
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
    let Read { names, seen, misses, problems } = match (source, file.is_dir()) {
        (MetricsSource::Tensorboard, true) if !filters.is_empty() => {
            return Err(Failure::usage(SourceError::FilterWithoutText));
        }
        (MetricsSource::Tensorboard, true) => read_folder(metrics, file)?,
        (_, true) => {
            let message = format!("{} is a folder; only --source tensorboard reads one", file.display());
            return Err(Failure::usage(message));
        }
        (source, false) => read_file(Source::new((*source).into(), metrics, filters).map_err(Failure::usage)?, file)?,
    };
    problems.iter().for_each(|problem| print::note(problem));
    if misses.lines > 0 {
        print::note(&misses.to_string());
    }
    remarks(metrics, &names, &seen).iter().for_each(|remark| print::note(remark));
    let missing = if metrics.is_empty() { names.is_empty() } else { metrics.iter().any(|name| !names.contains(name)) };
    Ok(if missing { ExitCode::Failed } else { ExitCode::Done })
}

/// What was read, besides the observations.
#[derive(Default)]
struct Read {
    names: BTreeSet<String>,
    /// Names that nobody asked for.
    seen: Vec<String>,
    /// What looks like a metric that was asked for and is no number.
    misses: Misses,
    problems: Vec<String>,
}

fn read_file(mut source: Source, file: &Path) -> Result<Read, Failure> {
    let (mut input, shown) = open(file)?;
    let mut read = Read::default();
    pieces(&mut *input, &shown, |bytes, time| {
        let found = if bytes.is_empty() { source.finish(time) } else { source.feed(bytes, time) };
        read.names.extend(found.iter().map(|one| one.observation.metric.clone()));
        read.seen = source.take_seen().unwrap_or(std::mem::take(&mut read.seen));
        print::text(&found.iter().map(|found| line(found, None)).collect::<String>())
    })?;
    read.misses = source.take_misses();
    read.problems.extend(source.problem().map(|problem| format!("{shown}: {problem}")));
    Ok(read)
}

/// Reads the event files of a folder one after the other, by their names, as the agent reads them while they grow.
fn read_folder(metrics: &[String], root: &Path) -> Result<Read, Failure> {
    let mut parser = if metrics.is_empty() { TensorBoard::all() } else { TensorBoard::new(metrics.iter().cloned()) };
    let mut read = Read::default();
    let files = event_files(root);
    if files.is_empty() {
        read.problems.push(format!("{} has no event files of TensorBoard", root.display()));
    }
    for (folder, path) in files {
        let (mut input, shown) = open(&path)?;
        let mut events = EventFile::new(folder);
        pieces(&mut *input, &shown, |bytes, time| {
            let found = parser.feed(&mut events, bytes, time);
            read.names.extend(found.iter().map(|one| one.observation.metric.clone()));
            read.seen = parser.take_seen().unwrap_or(std::mem::take(&mut read.seen));
            print::text(&found.iter().map(|found| line(found, Some(&shown))).collect::<String>())
        })?;
        read.problems.extend(events.problem().map(|problem| format!("{shown}: {problem}")));
    }
    Ok(read)
}

/// Gives an input piece by piece, and at its end an empty one.
fn pieces(
    input: &mut dyn std::io::Read,
    shown: &str,
    mut take: impl FnMut(&[u8], Timestamp) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = match input.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result.map_err(|error| Failure::usage(format!("{shown} cannot be read: {error}")))?,
        };
        take(&buffer[..count], Timestamp::now())?;
        if count == 0 {
            return Ok(());
        }
    }
}

fn open(file: &Path) -> Result<(Box<dyn std::io::Read>, String), Failure> {
    if file == Path::new("-") {
        return Ok((Box::new(std::io::stdin()), "standard input".to_owned()));
    }
    let shown = file.display().to_string();
    match std::fs::File::open(file) {
        Ok(opened) => Ok((Box::new(opened), shown)),
        Err(error) => Err(Failure::usage(format!("{shown} cannot be read: {error}"))),
    }
}

/// `file`: where it was read, when that is one of several.
fn line(Found { line, observation }: &Found, file: Option<&str>) -> String {
    let mut shown = json!(observation);
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("line".into(), (*line).into());
        fields.extend(file.map(|file| ("file".to_owned(), file.into())));
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
    fn a_folder_of_event_files_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let events = include_bytes!("../../tests/data/metrics/torch.tfevents");
        for run in ["train", "validation"] {
            std::fs::create_dir(folder.path().join(run)).unwrap();
            std::fs::write(folder.path().join(run).join("events.out.tfevents.1.host"), events).unwrap();
        }
        let all = read_folder(&[], folder.path()).unwrap();
        let names: Vec<&str> = all.names.iter().map(String::as_str).collect();
        assert!(names.contains(&"train/Loss/train") && names.contains(&"validation/Loss/train"), "{names:?}");
        assert!(all.problems.is_empty(), "{:?}", all.problems);
        let one = read_folder(&["validation/Loss/train".into()], folder.path()).unwrap();
        assert_eq!(one.names.iter().collect::<Vec<_>>(), ["validation/Loss/train"]);
        assert!(one.seen.contains(&"train/Loss/train".to_owned()), "{:?}", one.seen);
        let nothing = read_folder(&[], &folder.path().join("nothing")).unwrap();
        assert!(nothing.problems[0].ends_with("nothing has no event files of TensorBoard"), "{:?}", nothing.problems);
    }

    #[test]
    fn an_observation_is_one_line() {
        let observation = crate::metrics::Observation {
            metric: "loss".into(),
            step: Some(3),
            value: f64::NAN,
            time: Timestamp::UNIX_EPOCH,
        };
        let shown = line(&Found { line: 7, observation }, None);
        let fields: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(
            fields,
            json!({"metric": "loss", "step": 3, "value": "NaN", "time": "1970-01-01T00:00:00Z", "line": 7}),
        );
        assert!(shown.ends_with("}\n"));
    }
}
