//! A folder tree with event files of TensorBoard, whose writers come and go.

use super::super::follow::{Follower, Piece};
use crate::metrics::{EventFile, Observation, TensorBoard};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Event files have this in their names.
const MARK: &str = "tfevents";
/// Bounds of the tree that is looked through.
const MAX_FILES: usize = 1000;
const MAX_DEPTH: usize = 8;

/// See the module.
pub(in super::super) struct Folder {
    root: PathBuf,
    parser: TensorBoard,
    files: BTreeMap<PathBuf, (Follower, EventFile)>,
    trouble: BTreeMap<PathBuf, String>,
}

impl Folder {
    pub fn new(path: &str, metrics: &[String]) -> Self {
        Folder {
            root: PathBuf::from(path),
            parser: TensorBoard::new(metrics.iter().cloned()),
            files: BTreeMap::new(),
            trouble: BTreeMap::new(),
        }
    }

    pub fn poll(&mut self) -> Vec<Observation> {
        self.look(&self.root.clone(), 0);
        let (parser, now) = (&mut self.parser, Timestamp::now());
        let mut found = Vec::new();
        for (path, (follower, events)) in &mut self.files {
            let folder = folder_of(&self.root, path);
            let read = follower.poll(|piece| match piece {
                Piece::Bytes(bytes) => found.extend(parser.feed(events, bytes, now)),
                Piece::Anew => *events = EventFile::new(folder.clone()),
            });
            let problem = read.err().map(|error| format!("it cannot be read: {error}")).or_else(|| events.problem());
            match problem {
                Some(problem) => self.trouble.insert(path.clone(), problem),
                None => self.trouble.remove(path),
            };
        }
        found.into_iter().map(|found| found.observation).collect()
    }

    /// Finds files that are new.
    fn look(&mut self, folder: &Path, depth: usize) {
        // A folder that is not there may come.
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let (path, kind) = (entry.path(), entry.file_type());
            if self.files.len() >= MAX_FILES || self.files.contains_key(&path) {
                continue;
            }
            // Links are not followed: they may lead in circles.
            match kind {
                Ok(kind) if kind.is_dir() && depth < MAX_DEPTH => self.look(&path, depth + 1),
                Ok(kind) if kind.is_file() && entry.file_name().to_string_lossy().contains(MARK) => {
                    let events = EventFile::new(folder_of(&self.root, &path));
                    self.files.insert(path.clone(), (Follower::new(path), events));
                }
                _ => {}
            }
        }
    }

    pub fn take_seen(&mut self) -> Option<Vec<String>> {
        self.parser.take_seen()
    }

    pub fn trouble(&self) -> Option<String> {
        if self.files.is_empty() {
            let root = self.root.display();
            return Some(format!("{root} has no event files of TensorBoard (files with {MARK} in their names)"));
        }
        self.trouble.iter().next().map(|(path, problem)| format!("{}: {problem}", path.display()))
    }
}

/// The folders between root and file, as tags are told apart by them.
fn folder_of(root: &Path, file: &Path) -> String {
    let within = file.parent().and_then(|parent| parent.strip_prefix(root).ok());
    within.map(|within| within.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: &[u8] = include_bytes!("../../../tests/data/metrics/torch.tfevents");

    #[test]
    fn files_of_a_tree_are_read_as_they_come_and_grow() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("runs");
        let mut all = TensorBoard::all();
        let whole = all.feed(&mut EventFile::new(""), EVENTS, Timestamp::now());
        let metric = whole[0].observation.metric.clone();
        let expected: Vec<_> =
            whole.into_iter().map(|found| found.observation).filter(|one| one.metric == metric).collect();
        let mut events = Folder::new(root.to_str().unwrap(), &[metric]);
        assert_eq!(events.poll(), []);
        assert!(events.trouble().unwrap().contains("has no event files"));
        let file = root.join("a/b/events.out.tfevents.1.host");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(root.join("a/notes.txt"), "not for us").unwrap();
        let mut found = Vec::new();
        for end in [EVENTS.len() / 3, EVENTS.len() / 2, EVENTS.len()] {
            std::fs::write(&file, &EVENTS[..end]).unwrap();
            found.extend(events.poll());
        }
        let values = |all: &[Observation]| all.iter().map(|one| (one.step, one.value)).collect::<Vec<_>>();
        assert_eq!(values(&found), values(&expected));
        assert_eq!(events.trouble(), None);
        std::fs::write(root.join("events.out.tfevents.2.host"), "no such thing, but long enough to tell").unwrap();
        events.poll();
        assert!(events.trouble().is_some());
    }
}
