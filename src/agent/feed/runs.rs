//! The file store of MLflow: a folder for each run, and in it a file for each metric. The program's runs are told from
//! others by a tag that its environment has them written with, since trials may well share a store.

use super::super::follow::{Follower, Piece};
use super::super::mlflow::{PARENT, TAG};
use crate::metrics::{MetricFile, Mlflow, Observation};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirEntry, File, read_dir};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where tags and metrics lie in a run's folder.
const TAGS: &str = "tags";
const METRICS: &str = "metrics";
/// Bounds of what is looked through: runs, metrics, folders in the name of one, and bytes of a tag.
const MAX_RUNS: usize = 20_000;
const MAX_METRICS: usize = 1024;
const MAX_DEPTH: usize = 4;
const MAX_TAG: u64 = 1024;

/// See the module.
pub(in super::super) struct Runs {
    root: PathBuf,
    /// What stands in the tag.
    mark: String,
    parser: Mlflow,
    own: BTreeSet<PathBuf>,
    /// Runs that are not to be looked at again.
    others: BTreeSet<PathBuf>,
    metrics: BTreeMap<PathBuf, (Follower, MetricFile, String)>,
    error: Option<String>,
}

impl Runs {
    /// Of a program that has not started yet.
    pub fn new(root: PathBuf, mark: String, metrics: &[String]) -> Self {
        let mut runs = Runs {
            root,
            mark,
            parser: Mlflow::new(metrics.iter().cloned()),
            own: BTreeSet::new(),
            others: BTreeSet::new(),
            metrics: BTreeMap::new(),
            error: None,
        };
        // What is there already is not the program's.
        runs.others = runs.all();
        runs
    }

    pub fn poll(&mut self, observations: &mut Vec<Observation>) -> bool {
        self.look_around();
        let (mut more, parser) = (false, &mut self.parser);
        for (path, (follower, file, name)) in &mut self.metrics {
            let read = follower.poll(|piece| match piece {
                Piece::Bytes(bytes) => observations.extend(file.feed(bytes)),
                Piece::Anew => *file = parser.file(name),
            });
            match read {
                Ok(unread) => more |= unread,
                Err(error) => self.error = Some(format!("{} cannot be read: {error}", path.display())),
            }
        }
        more
    }

    pub fn take_seen(&mut self) -> Option<Vec<String>> {
        self.parser.take_seen()
    }

    pub fn trouble(&self) -> Option<String> {
        if self.own.is_empty() {
            let root = self.root.display();
            return Some(format!(
                "{root} has no run of this program in the way of MLflow's file store; does the program log to another \
                 tracking URI?"
            ));
        }
        self.error.clone()
    }

    /// Finds runs and metrics that are new.
    fn look_around(&mut self) {
        let room = MAX_RUNS.saturating_sub(self.others.len());
        let new = self.all().into_iter().filter(|run| !self.others.contains(run) && !self.own.contains(run));
        for run in new.take(room).collect::<Vec<_>>() {
            // A run that begins has not all of its tags.
            match tag(&run, TAG) {
                Some(mark) if mark == self.mark => {
                    // Those that say whose part they are say it first, or with the others.
                    let part = tag(&run, PARENT).is_some();
                    if part { &mut self.others } else { &mut self.own }.insert(run);
                }
                Some(_) => {
                    self.others.insert(run);
                }
                None => {}
            }
        }
        for run in self.own.clone() {
            self.look(&run.join(METRICS), "", 0);
        }
    }

    /// The folders of all runs.
    fn all(&self) -> BTreeSet<PathBuf> {
        let runs = folders(&self.root).flat_map(|experiment| folders(&experiment));
        runs.filter(|run| run.join(TAGS).is_dir()).take(MAX_RUNS).collect()
    }

    /// A name with slashes is a file in folders.
    fn look(&mut self, folder: &Path, before: &str, depth: usize) {
        for entry in entries(folder) {
            let (path, name) = (entry.path(), format!("{before}{}", entry.file_name().to_string_lossy()));
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth < MAX_DEPTH => self.look(&path, &format!("{name}/"), depth + 1),
                Ok(kind) if kind.is_file() && self.metrics.len() < MAX_METRICS && !self.metrics.contains_key(&path) => {
                    let file = self.parser.file(&name);
                    self.metrics.insert(path.clone(), (Follower::from_its_beginning(path), file, name));
                }
                _ => {}
            }
        }
    }
}

/// What is not there may come.
fn entries(folder: &Path) -> impl Iterator<Item = DirEntry> + use<> {
    read_dir(folder).into_iter().flatten().flatten()
}

/// Links are not followed.
fn folders(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    entries(folder).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

/// What a tag says; `None` where there is none yet. MLflow makes the file and then writes it.
fn tag(run: &Path, name: &str) -> Option<String> {
    let mut text = String::new();
    File::open(run.join(TAGS).join(name)).ok()?.take(MAX_TAG).read_to_string(&mut text).ok()?;
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(root: &Path, name: &str, tags: &[(&str, &str)], metrics: &[(&str, &str)]) {
        let run = root.join("4377").join(name);
        for (folder, files) in [(TAGS, tags), (METRICS, metrics)] {
            for (name, text) in files {
                let file = run.join(folder).join(name);
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, text).unwrap();
            }
        }
    }

    #[test]
    fn runs_of_this_program_are_read_as_they_come_and_grow() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("mlruns");
        let own = [(TAG, "mine"), ("mlflow.runName", "t")];
        // An earlier attempt's.
        run(&root, "a", &own, &[("loss", "1 9 9\n")]);
        let mut runs = Runs::new(root.clone(), "mine".into(), &["loss".into(), "val/acc".into()]);
        let mut said = || {
            let mut found = Vec::new();
            while runs.poll(&mut found) {}
            let mut said: Vec<_> = found.into_iter().map(|one| (one.metric, one.step, one.value)).collect();
            said.sort_by(|one, other| one.0.cmp(&other.0));
            said
        };
        assert_eq!(said(), []);
        run(&root, "b", &[("mlflow.runName", "t")], &[("loss", "1 0.5 1\n")]);
        run(&root, "c", &[(TAG, "another's")], &[("loss", "1 8 8\n")]);
        run(&root, "d", &[(TAG, "mine"), (PARENT, "b")], &[("loss", "1 7 7\n")]);
        assert_eq!(said(), [], "nothing says yet that it is this program's");
        run(&root, "b", &own, &[("val/acc", "1 0.25 1\n"), ("other", "1 1 1\n")]);
        assert_eq!(said(), [("loss".into(), Some(1), 0.5), ("val/acc".into(), Some(1), 0.25)]);
        run(&root, "b", &own, &[("loss", "1 0.5 1\n2 0.4 2\n")]);
        assert_eq!(said(), [("loss".into(), Some(2), 0.4)]);
        assert_eq!((runs.take_seen(), runs.trouble()), (Some(vec!["other".to_owned()]), None));
        let nothing = Runs::new("no/such/folder".into(), "mine".into(), &[]);
        assert!(nothing.trouble().unwrap().starts_with("no/such/folder has no run of this program"));
    }
}
