//! The runner's part of the state folder: whose it is, and where things lie.
//!
//! ```text
//! runner.lock        held as long as a runner works here
//! runner.json        version and id of this folder
//! pods/UID/          a pod's own folder: its volumes, its last words, a record of its process
//! logs/NS/POD.log    what it printed, see `log`; stays when the pod is gone
//! ```

use crate::local::files::{private_file, private_folder, take_lock, write_whole};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Version of the layout above.
const VERSION: u32 = 1;

/// Why a state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Its path is not UTF-8, and paths go into the trials' environment.
    #[error("the path of the state folder {0:?} is not UTF-8 text; choose another one (--state-dir)")]
    NotText(PathBuf),
    /// The file system refuses.
    #[error("cannot use the state folder: {path}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// Another runner works here.
    #[error("another automl works in the state folder {0}; stop it, or choose another folder (--state-dir)")]
    Locked(String),
    /// A later release made the folder.
    #[error(
        "the state folder {path} was made by a newer automl (layout {found}, this one knows {VERSION}); update automl, or choose another folder (--state-dir)"
    )]
    Newer {
        /// The folder.
        path: String,
        /// Its version.
        found: u32,
    },
    /// The file that identifies the folder cannot be read.
    #[error("{path} is damaged ({source}); remove this file, after making sure that no trial of this folder runs")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct Identity {
    version: u32,
    id: String,
    /// Of the folder itself: a copy is another folder and must not claim the first one's processes.
    device: u64,
    inode: u64,
}

/// An open state folder. Nobody else can open it until this is dropped.
#[derive(Debug)]
pub struct StateFolder {
    root: String,
    id: String,
    _lock: File,
}

impl StateFolder {
    /// Opens a folder, and makes it where there is none.
    ///
    /// # Errors
    /// It cannot be made or written, another runner holds it, or a newer release made it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        private_folder(path).map_err(at(path))?;
        let absolute = path.canonicalize().map_err(at(path))?;
        let root = absolute.to_str().ok_or_else(|| StateError::NotText(absolute.clone()))?.to_owned();
        let lock_path = absolute.join("runner.lock");
        let lock = private_file(&lock_path, OpenOptions::new().create(true).truncate(false).write(true));
        let lock = lock.map_err(at(&lock_path))?;
        match take_lock(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::Locked(root)),
            Err(TryLockError::Error(error)) => return Err(at(&lock_path)(error)),
        }
        let id = identity(&absolute, &root)?;
        private_folder(&absolute.join("pods")).map_err(at(&absolute))?;
        Ok(Self { root, id, _lock: lock })
    }

    /// Identifies the folder among all; processes carry it in their environment.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A pod's own folder.
    pub fn pod_folder(&self, uid: &str) -> String {
        format!("{}/pods/{}", self.root, safe(uid))
    }

    /// UIDs of the pods that have a folder.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn pods(&self) -> Result<Vec<String>, StateError> {
        let folder = PathBuf::from(format!("{}/pods", self.root));
        let entries = fs::read_dir(&folder).map_err(at(&folder))?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
    }

    /// Where a pod's output goes.
    pub fn log(&self, namespace: &str, pod: &str) -> PathBuf {
        log_path(Path::new(&self.root), namespace, pod)
    }
}

/// Where the runner of this state folder puts a pod's output.
pub fn log_path(state_dir: &Path, namespace: &str, pod: &str) -> PathBuf {
    state_dir.join("logs").join(safe(namespace)).join(format!("{}.log", safe(pod)))
}

/// A name as one component of a path. Kubernetes' names are, so this changes nothing unless somebody plays tricks.
fn safe(name: &str) -> String {
    let name = name.replace(['/', '\0'], "_");
    if name.is_empty() || name.chars().all(|c| c == '.') { format!("_{name}") } else { name }
}

fn identity(folder: &Path, root: &str) -> Result<String, StateError> {
    let metadata = fs::metadata(folder).map_err(at(folder))?;
    let path = folder.join("runner.json");
    match fs::read(&path) {
        Ok(bytes) => {
            let damaged = |source| StateError::Damaged { path: path.display().to_string(), source };
            let version: Version = serde_json::from_slice(&bytes).map_err(damaged)?;
            if version.version > VERSION {
                return Err(StateError::Newer { path: root.to_owned(), found: version.version });
            }
            let known: Identity = serde_json::from_slice(&bytes).map_err(damaged)?;
            if (known.device, known.inode) == (metadata.dev(), metadata.ino()) {
                return Ok(known.id);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(at(&path)(error)),
    }
    let id = format!("{:032x}", rand::rng().random::<u128>());
    let identity = Identity { version: VERSION, id: id.clone(), device: metadata.dev(), inode: metadata.ino() };
    let bytes = serde_json::to_vec(&identity).unwrap_or_default();
    write_whole(&path, &bytes).map_err(at(&path))?;
    Ok(id)
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StateError + '_ {
    |source| StateError::Io { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_id_and_has_one_owner() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("state");
        let first = StateFolder::open(&path).unwrap();
        let locked = StateFolder::open(&path).unwrap_err();
        assert!(matches!(locked, StateError::Locked(_)), "{locked}");
        let id = first.id().to_owned();
        drop(first);
        let again = StateFolder::open(&path).unwrap();
        assert_eq!(again.id(), id);
        drop(again);
        let moved = parent.path().join("moved");
        fs::rename(&path, &moved).unwrap();
        assert_eq!(StateFolder::open(&moved).unwrap().id(), id, "moved, it is the same folder");
        let copy = parent.path().join("copy");
        fs::create_dir(&copy).unwrap();
        fs::copy(moved.join("runner.json"), copy.join("runner.json")).unwrap();
        assert_ne!(StateFolder::open(&copy).unwrap().id(), id, "a copy is another one");
    }

    #[test]
    fn says_why_a_folder_cannot_be_used() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(StateFolder::open(&file).unwrap_err(), StateError::Io { .. }));
        for (content, expected) in [
            (r#"{"version":99,"later":true}"#, "was made by a newer automl (layout 99, this one knows 1)"),
            ("not JSON", "is damaged"),
        ] {
            fs::write(parent.path().join("runner.json"), content).unwrap();
            let error = StateFolder::open(parent.path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn names_stay_inside_the_folder() {
        for (namespace, pod, expected) in
            [("ns", "p", "S/logs/ns/p.log"), ("..", "../../x", "S/logs/_../.._.._x.log"), ("", "", "S/logs/_/_.log")]
        {
            assert_eq!(log_path(Path::new("S"), namespace, pod), Path::new(expected));
        }
    }
}
