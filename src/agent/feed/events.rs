//! A folder tree with event files of TensorBoard, whose writers come and go.

use super::super::follow::{Follower, Piece};
use crate::metrics::{EventFile, Observation, TensorBoard};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Event files have this in their names.
const MARK: &str = "tfevents";
/// Bounds of the tree that is looked through: files that are read, folders one in the other, and entries of all folders.
const MAX_FILES: usize = 256;
const MAX_DEPTH: usize = 8;
const MAX_ENTRIES: usize = 20_000;
/// Looking takes at most one part in so many of the time.
const SHARE: u32 = 20;

/// See the module.
pub(in super::super) struct Folder {
    root: PathBuf,
    parser: TensorBoard,
    files: BTreeMap<PathBuf, (Follower, EventFile)>,
    trouble: BTreeMap<PathBuf, String>,
    /// How long the last look through the tree took.
    look: Duration,
}

impl Folder {
    pub fn new(path: &str, metrics: &[String]) -> Self {
        let mut folder = Folder {
            root: PathBuf::from(path),
            parser: TensorBoard::new(metrics.iter().cloned()),
            files: BTreeMap::new(),
            trouble: BTreeMap::new(),
            look: Duration::ZERO,
        };
        // What is there already is not the program's.
        folder.look_around(Follower::new);
        folder
    }

    pub fn interval(&self) -> Duration {
        self.look * SHARE
    }

    pub fn poll(&mut self, observations: &mut Vec<Observation>) -> bool {
        self.look_around(Follower::from_its_beginning);
        let mut more = false;
        let (parser, now) = (&mut self.parser, Timestamp::now());
        let mut found = Vec::new();
        for (path, (follower, events)) in &mut self.files {
            let folder = folder_of(&self.root, path);
            let read = follower.poll(|piece| match piece {
                Piece::Bytes(bytes) => found.extend(parser.feed(events, bytes, now)),
                Piece::Anew => *events = EventFile::new(folder.clone()),
            });
            let (unread, error) = read.map_or_else(|error| (false, Some(error)), |unread| (unread, None));
            more |= unread;
            let problem = error.map(|error| format!("it cannot be read: {error}")).or_else(|| events.problem());
            match problem {
                Some(problem) => self.trouble.insert(path.clone(), problem),
                None => self.trouble.remove(path),
            };
        }
        observations.extend(found.into_iter().map(|found| found.observation));
        more
    }

    /// Finds files that are new.
    fn look_around(&mut self, follow: fn(PathBuf) -> Follower) {
        let start = Instant::now();
        let mut left = MAX_ENTRIES;
        self.look(&self.root.clone(), 0, &mut left, follow);
        self.look = start.elapsed();
    }

    fn look(&mut self, folder: &Path, depth: usize, left: &mut usize, follow: fn(PathBuf) -> Follower) {
        // A folder that is not there may come.
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return;
            }
            let (path, kind) = (entry.path(), entry.file_type());
            if self.files.len() >= MAX_FILES || self.files.contains_key(&path) {
                continue;
            }
            // Links are not followed: they may lead in circles.
            match kind {
                Ok(kind) if kind.is_dir() && depth < MAX_DEPTH => self.look(&path, depth + 1, left, follow),
                Ok(kind) if kind.is_file() && entry.file_name().to_string_lossy().contains(MARK) => {
                    let events = EventFile::new(folder_of(&self.root, &path));
                    self.files.insert(path.clone(), (follow(path), events));
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

/// The event files in a folder and below, each with the folders between, in the order of their names.
pub fn event_files(root: &Path) -> Vec<(String, PathBuf)> {
    let found = Folder::new(&root.to_string_lossy(), &[]);
    found.files.into_keys().map(|path| (folder_of(root, &path), path)).collect()
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
        let poll = |events: &mut Folder| {
            let mut found = Vec::new();
            while events.poll(&mut found) {}
            found
        };
        assert_eq!(poll(&mut events), []);
        assert!(events.trouble().unwrap().contains("has no event files"));
        let file = root.join("a/b/events.out.tfevents.1.host");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(root.join("a/notes.txt"), "not for us").unwrap();
        let mut found = Vec::new();
        for end in [EVENTS.len() / 3, EVENTS.len() / 2, EVENTS.len()] {
            std::fs::write(&file, &EVENTS[..end]).unwrap();
            found.extend(poll(&mut events));
        }
        let values = |all: &[Observation]| all.iter().map(|one| (one.step, one.value)).collect::<Vec<_>>();
        assert_eq!(values(&found), values(&expected));
        assert_eq!(events.trouble(), None);
        std::fs::write(root.join("events.out.tfevents.2.host"), "no such thing, but long enough to tell").unwrap();
        poll(&mut events);
        assert!(events.trouble().is_some());
        let mut later = Folder::new(root.to_str().unwrap(), &["loss".into()]);
        assert_eq!(poll(&mut later), [], "what was there before it is another program's");
    }
}
