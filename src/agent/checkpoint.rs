//! The trial's directory for checkpoints: made out of its parent's, and others' deleted that are not needed any more.
//!
//! Beside the directory `NAME` there are, in the experiment's folder: `.NAME.ready`, whose content is the trial's UID, once
//! the directory is as its program is to find it; `.NAME.ended`, once its program has ended; `.NAME.partial`, while it is
//! copied. A machine may fail at any instruction: what is not ready is begun anew by the next attempt, what is ready is the
//! program's own and left as it is.

use super::say::say;
use crate::report::{Checkpoint, ParentCheckpoint};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long a parent is waited for that has been stopped and may still be saving.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

/// The directory of a trial.
#[derive(Debug)]
pub(super) struct Directory {
    /// The experiment's.
    folder: PathBuf,
    /// Of the trial.
    name: String,
}

impl Directory {
    /// Makes it ready for the program.
    ///
    /// # Errors
    /// A sentence: which file, and what is wrong.
    pub fn prepare(told: &Checkpoint, uid: &str) -> Result<Self, String> {
        let path = Path::new(&told.directory);
        let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(OsStr::to_str)) else {
            return Err(format!("{} has no folder above it", told.directory));
        };
        let directory = Directory { folder: folder.to_owned(), name: name.to_owned() };
        alive().and_then(|()| fs::create_dir_all(folder)).map_err(of(folder))?;
        let (ready, ended) = (directory.mark("ready"), directory.mark("ended"));
        delete(&ended)?;
        if fs::read(&ready).ok().as_deref() != Some(uid.as_bytes()) || !path.is_dir() {
            // Of another trial of this name, or not whole.
            delete(&ready)?;
            delete(path)?;
            delete(&directory.mark("partial"))?;
            directory.begin(told.parent.as_ref())?;
            write_whole(&ready, uid.as_bytes())?;
        }
        if let Some(keep) = &told.keep {
            directory.delete_unneeded(keep);
        }
        Ok(directory)
    }

    /// The program has ended: who goes on from it need not wait.
    pub fn leave(self) {
        if let Err(why) = write_whole(&self.mark("ended"), b"") {
            say(format_args!("trials that go on from this one will wait {} s first: {why}", PATIENCE.as_secs()));
        }
    }

    /// A copy of the parent's, or an empty one.
    fn begin(&self, parent: Option<&ParentCheckpoint>) -> Result<(), String> {
        let path = self.folder.join(&self.name);
        if let Some(parent) = parent {
            self.await_end(&parent.trial);
            let from = Path::new(&parent.directory);
            let is_there = match fs::read_dir(from) {
                Ok(mut entries) => entries.next().is_some(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) => return Err(of(from)(error)),
            };
            if is_there {
                let partial = self.mark("partial");
                copy_folder(from, &partial)?;
                alive().and_then(|()| fs::rename(&partial, &path)).map_err(of(&path))?;
                return Ok(());
            }
            say(format_args!("{} has left no checkpoint, so this trial starts anew", parent.trial));
        }
        alive().and_then(|()| fs::create_dir(&path)).map_err(of(&path))
    }

    /// A parent that was stopped may not have ended yet.
    fn await_end(&self, parent: &str) {
        let parent = Directory { folder: self.folder.clone(), name: parent.to_owned() };
        let since = Instant::now();
        while parent.mark("ready").exists() && !parent.mark("ended").exists() {
            if since.elapsed() > PATIENCE {
                say(format_args!("{} has not said that it has ended; its checkpoint is taken as it is", parent.name));
                return;
            }
            thread::sleep(LOOK);
        }
    }

    /// Deletes the directories of the operator's own trials before this one that are not kept.
    fn delete_unneeded(&self, keep: &BTreeSet<String>) {
        let Some((experiment, own)) = numbered(&self.name) else { return };
        let before = |name: &str| numbered(name).is_some_and(|(other, index)| other == experiment && index < own);
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            if keep.contains(&name) || !before(&name) {
                continue;
            }
            let other = Directory { folder: self.folder.clone(), name };
            // Last what says that it is there: whatever is left over is found again.
            let marks = [other.mark("ready"), other.mark("ended"), other.mark("partial"), entry.path()];
            if let Some(why) = marks.iter().find_map(|path| delete(path).err()) {
                say(format_args!("a checkpoint that is not needed any more stays: {why}"));
            }
        }
    }

    fn mark(&self, what: &str) -> PathBuf {
        self.folder.join(format!(".{}.{what}", self.name))
    }
}

/// The experiment and the index of a trial of the operator's own.
fn numbered(name: &str) -> Option<(&str, u32)> {
    let (experiment, index) = name.rsplit_once('-')?;
    (index.len() >= 5).then_some(())?;
    Some((experiment, index.parse().ok()?))
}

/// Between two changes of the file system a machine may fail; in tests it does.
#[cfg(not(test))]
fn alive() -> io::Result<()> {
    Ok(())
}
#[cfg(test)]
use tests::alive;

fn of(path: &Path) -> impl Fn(io::Error) -> String {
    move |error| format!("{}: {error}", path.display())
}

fn delete(path: &Path) -> Result<(), String> {
    let deleted = match alive().and_then(|()| fs::symlink_metadata(path)) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match deleted {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(of(path)(error)),
        _ => Ok(()),
    }
}

/// A file that is there whole, or not at all.
fn write_whole(path: &Path, content: &[u8]) -> Result<(), String> {
    let partial = path.with_extension("new");
    alive().and_then(|()| fs::write(&partial, content)).map_err(of(&partial))?;
    File::open(&partial).and_then(|file| file.sync_all()).map_err(of(&partial))?;
    alive().and_then(|()| fs::rename(&partial, path)).map_err(of(path))?;
    // The directory before it, too: it must not be found without.
    sync(path.parent().unwrap_or(path));
    Ok(())
}

/// Where the file system knows of it, blocks are shared and not copied.
fn copy_folder(from: &Path, to: &Path) -> Result<(), String> {
    alive().and_then(|()| fs::create_dir_all(to)).map_err(of(to))?;
    for entry in fs::read_dir(from).map_err(of(from))? {
        let entry = entry.map_err(of(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(of(&source))?;
        if kind.is_dir() {
            copy_folder(&source, &target)?;
        } else if kind.is_symlink() {
            let link = fs::read_link(&source).map_err(of(&source))?;
            alive().and_then(|()| std::os::unix::fs::symlink(link, &target)).map_err(of(&target))?;
        } else if kind.is_file() {
            alive().and_then(|()| fs::copy(&source, &target)).map_err(of(&target))?;
            alive().map_err(of(&target))?;
            File::open(&target).and_then(|file| file.sync_all()).map_err(of(&target))?;
        }
    }
    sync(to);
    Ok(())
}

/// Some file systems have no such thing for directories.
fn sync(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use tempfile::TempDir;

    thread_local! {
        /// So many changes are made before the machine fails.
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
    }

    pub(super) fn alive() -> io::Result<()> {
        match LEFT.get() {
            Some(0) => Err(io::Error::other("the machine has failed")),
            left => {
                LEFT.set(left.map(|left| left - 1));
                Ok(())
            }
        }
    }

    /// Prepares on a machine that fails after so many changes; whether it did not come to that.
    fn prepare_and_fail(told: &Checkpoint, uid: &str, changes: u32) -> bool {
        LEFT.set(Some(changes));
        let prepared = Directory::prepare(told, uid);
        LEFT.set(None);
        prepared.is_ok()
    }

    fn told(folder: &TempDir, name: &str, parent: Option<&str>, keep: Option<&[&str]>) -> Checkpoint {
        let path = |name: &str| folder.path().join("e").join(name).display().to_string();
        Checkpoint {
            directory: path(name),
            parent: parent.map(|parent| ParentCheckpoint { trial: parent.into(), directory: path(parent) }),
            keep: keep.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
        }
    }

    fn save(folder: &TempDir, name: &str, content: &str) {
        let layers = folder.path().join("e").join(name).join("layers");
        fs::create_dir_all(&layers).unwrap();
        fs::write(layers.join("1.bin"), content).unwrap();
    }

    fn saved(folder: &TempDir, name: &str) -> Option<String> {
        fs::read_to_string(folder.path().join("e").join(name).join("layers/1.bin")).ok()
    }

    fn entries(folder: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path().join("e")).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_trial_finds_what_it_saved_and_its_child_a_copy() {
        let folder = TempDir::new().unwrap();
        let first = told(&folder, "e-00001", None, None);
        Directory::prepare(&first, "u1").unwrap();
        save(&folder, "e-00001", "one");
        // Another attempt.
        Directory::prepare(&first, "u1").unwrap().leave();
        assert_eq!(saved(&folder, "e-00001").as_deref(), Some("one"));

        let child = told(&folder, "e-00002", Some("e-00001"), None);
        Directory::prepare(&child, "u2").unwrap();
        assert_eq!(saved(&folder, "e-00002").as_deref(), Some("one"));
        save(&folder, "e-00002", "two");
        assert_eq!(saved(&folder, "e-00001").as_deref(), Some("one"), "the parent's stays as it is");
        // Its own, not its parent's again.
        Directory::prepare(&child, "u2").unwrap();
        assert_eq!(saved(&folder, "e-00002").as_deref(), Some("two"));
        // Another trial of the same name.
        Directory::prepare(&told(&folder, "e-00002", None, None), "u3").unwrap();
        assert_eq!(saved(&folder, "e-00002"), None);
    }

    #[test]
    fn a_copy_that_was_cut_short_is_made_anew() {
        let folder = TempDir::new().unwrap();
        Directory::prepare(&told(&folder, "e-00001", None, None), "u1").unwrap().leave();
        save(&folder, "e-00001", "one");
        let child = told(&folder, "e-00002", Some("e-00001"), None);
        // Before the copy is whole, before it has its name's mark, and with the mark of nobody.
        for (left, mark) in [(".e-00002.partial", None), ("e-00002", None), ("e-00002", Some("other"))] {
            save(&folder, left, "half");
            if let Some(mark) = mark {
                fs::write(folder.path().join("e/.e-00002.ready"), mark).unwrap();
            }
            Directory::prepare(&child, "u2").unwrap().leave();
            assert_eq!(saved(&folder, "e-00002").as_deref(), Some("one"), "{left}");
            let all = [".e-00001.ended", ".e-00001.ready", ".e-00002.ended", ".e-00002.ready", "e-00001", "e-00002"];
            assert_eq!(entries(&folder), all, "{left}");
            delete(&folder.path().join("e/e-00002")).unwrap();
            delete(&folder.path().join("e/.e-00002.ready")).unwrap();
        }
    }

    /// All files below a directory, and what each holds, or leads to.
    fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name().into_string().unwrap())).unwrap();
            if path.is_symlink() {
                found.insert(name, fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes());
            } else if path.is_dir() {
                found.extend(files(&path).into_iter().map(|(below, content)| (format!("{name}/{below}"), content)));
            } else {
                found.insert(name, fs::read(&path).unwrap());
            }
        }
        found
    }

    #[test]
    fn a_machine_may_fail_between_any_two_changes() {
        let (mut first, mut failures) = (0, 0);
        loop {
            let mut second = 0;
            let is_over = loop {
                let folder = TempDir::new().unwrap();
                let path = |name: &str| folder.path().join("e").join(name);
                Directory::prepare(&told(&folder, "e-00001", None, None), "u1").unwrap().leave();
                save(&folder, "e-00001", "one");
                fs::write(path("e-00001/epoch"), "3").unwrap();
                std::os::unix::fs::symlink("layers/1.bin", path("e-00001/latest")).unwrap();
                // What another trial of this name has left, ready and half copied.
                Directory::prepare(&told(&folder, "e-00002", None, None), "other").unwrap().leave();
                save(&folder, "e-00002", "of another");
                save(&folder, ".e-00002.partial", "half of another");
                let (whole, child) = (files(&path("e-00001")), told(&folder, "e-00002", Some("e-00001"), None));
                assert_eq!(whole.len(), 3);
                let sound = |when: &str| {
                    let ready = fs::read(path(".e-00002.ready")).is_ok_and(|uid| uid == b"u2");
                    assert!(!ready || files(&path("e-00002")) == whole, "{when}: ready, and not whole");
                };
                let first_is_over = prepare_and_fail(&child, "u2", first);
                sound("once");
                let second_is_over = prepare_and_fail(&child, "u2", second);
                sound("twice");
                Directory::prepare(&child, "u2").unwrap().leave();
                assert_eq!(files(&path("e-00002")), whole, "after {first} and {second} changes");
                assert_eq!(files(&path("e-00001")), whole, "the parent's stays as it is");
                let all =
                    [".e-00001.ended", ".e-00001.ready", ".e-00002.ended", ".e-00002.ready", "e-00001", "e-00002"];
                assert_eq!(entries(&folder), all, "after {first} and {second} changes");
                failures += 1;
                if second_is_over {
                    break first_is_over;
                }
                second += 1;
            };
            if is_over {
                break;
            }
            first += 1;
        }
        assert!(first >= 12 && failures >= 150, "{failures} failures after up to {first} changes");
    }

    #[test]
    fn a_parent_that_left_nothing_is_none() {
        let folder = TempDir::new().unwrap();
        Directory::prepare(&told(&folder, "e-00002", Some("e-00001"), None), "u2").unwrap();
        assert_eq!(entries(&folder), [".e-00002.ready", "e-00002"]);
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let parent = ParentCheckpoint { trial: "e-00001".into(), directory: file.display().to_string() };
        let wrong = Checkpoint { parent: Some(parent), ..told(&folder, "e-00003", None, None) };
        let why = Directory::prepare(&wrong, "u3").unwrap_err();
        assert!(why.contains("file: Not a directory"), "{why}");
    }

    #[test]
    fn what_is_not_needed_any_more_is_deleted() {
        let folder = TempDir::new().unwrap();
        for name in ["e-00001", "e-00002", "e-00003", "e-00009", "mine", "f-00001", "e-known-0"] {
            Directory::prepare(&told(&folder, name, None, None), "u").unwrap();
            save(&folder, name, name);
        }
        Directory::prepare(&told(&folder, "e-00007", None, Some(&["e-00002"])), "u7").unwrap();
        let left: Vec<String> = entries(&folder).into_iter().filter(|name| !name.starts_with('.')).collect();
        // Those to come, others' and those that people have named are not ours to judge.
        assert_eq!(left, ["e-00002", "e-00007", "e-00009", "e-known-0", "f-00001", "mine"]);
        assert!(!entries(&folder).contains(&".e-00001.ready".to_owned()));
    }
}
