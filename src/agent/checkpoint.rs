//! The trial's directory for checkpoints: made out of its parent's, and others' deleted that are not needed any more.
//!
//! Beside the directory `NAME` there are, in the experiment's folder: `.NAME.ready`, whose content is the trial's UID, once
//! the directory is as its program is to find it; `.NAME.ended`, once its program has ended; `.NAME.partial`, while it is
//! copied. A machine may fail at any instruction: what is not ready is begun anew by the next attempt, what is ready is the
//! program's own and left as it is. Who deletes takes `.NAME.ready` away first: a copy that was made while it was there is
//! whole. Whatever is left of a trial says whose it is, so the next agent that deletes finds it.

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
            if is_there && self.copy(parent, from)? {
                return Ok(());
            }
            say(format_args!("{} has left no checkpoint, so this trial starts anew", parent.trial));
        }
        alive().and_then(|()| fs::create_dir(&path)).map_err(of(&path))
    }

    /// Copies the parent's; false where another agent has begun to delete that, as it may where so many are needed that not
    /// all are kept.
    fn copy(&self, parent: &ParentCheckpoint, from: &Path) -> Result<bool, String> {
        let (partial, path) = (self.mark("partial"), self.folder.join(&self.name));
        let ready = Directory { folder: self.folder.clone(), name: parent.trial.clone() }.mark("ready");
        // Opened, not looked for: a network's file system may answer the other by what it remembers.
        let is_whole = || numbered(&parent.trial).is_none() || File::open(&ready).is_ok();
        if !is_whole() {
            return Ok(false);
        }
        let copied = copy_folder(from, &partial);
        if !is_whole() {
            delete(&partial)?;
            return Ok(false);
        }
        copied?;
        alive().and_then(|()| fs::rename(&partial, &path)).map_err(of(&path))?;
        Ok(true)
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

    /// Deletes what the operator's own trials before this one have here that are not kept.
    fn delete_unneeded(&self, keep: &BTreeSet<u32>) {
        let Some((experiment, own)) = numbered(&self.name) else { return };
        let names = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names: BTreeSet<String> =
            names.filter_map(|entry| owner(entry.file_name().to_str()?).map(str::to_owned)).collect();
        for name in names {
            match numbered(&name) {
                Some((other, index)) if other == experiment && index < own && !keep.contains(&index) => {}
                _ => continue,
            }
            if let Err(why) = (Directory { folder: self.folder.clone(), name }).delete() {
                say(format_args!("a checkpoint that is not needed any more stays: {why}"));
            }
        }
    }

    /// Deletes it and all that is beside it.
    fn delete(&self) -> Result<(), String> {
        delete(&self.mark("ready"))?;
        delete(&self.folder.join(&self.name))?;
        MARKS.iter().try_for_each(|what| delete(&self.mark(what)))
    }

    fn mark(&self, what: &str) -> PathBuf {
        self.folder.join(format!(".{}.{what}", self.name))
    }
}

/// What there may be beside a directory; the last while another is written.
const MARKS: [&str; 4] = ["ready", "partial", "ended", "new"];

/// Whose directory this is, or what is beside it.
fn owner(file: &str) -> Option<&str> {
    match file.strip_prefix('.') {
        None => Some(file),
        Some(beside) => beside.rsplit_once('.').filter(|(_, what)| MARKS.contains(what)).map(|(name, _)| name),
    }
}

/// The experiment and the index of a trial of the operator's own.
fn numbered(name: &str) -> Option<(&str, u32)> {
    let (experiment, digits) = name.rsplit_once('-')?;
    let index: u32 = digits.parse().ok()?;
    (digits == format!("{index:05}")).then_some((experiment, index))
}

/// Between two changes of the file system a machine may fail; in tests it does.
#[cfg(not(test))]
fn alive() -> io::Result<()> {
    Ok(())
}
#[cfg(test)]
use tests::{alive, remove_dir_all};

#[cfg(not(test))]
use fs::remove_dir_all;

fn of(path: &Path) -> impl Fn(io::Error) -> String {
    move |error| format!("{}: {error}", path.display())
}

fn delete(path: &Path) -> Result<(), String> {
    let deleted = match alive().and_then(|()| fs::symlink_metadata(path)) {
        Ok(found) if found.is_dir() => remove_dir_all(path),
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
        /// Files are deleted from the last to the first.
        static BACKWARDS: Cell<bool> = const { Cell::new(false) };
        /// Before one more change than so many another agent deletes these.
        static MEANWHILE: Cell<Option<(u32, Vec<PathBuf>)>> = const { Cell::new(None) };
    }

    pub(super) fn alive() -> io::Result<()> {
        match MEANWHILE.take() {
            Some((0, paths)) => {
                for path in paths {
                    if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
                }
            }
            Some((left, paths)) => MEANWHILE.set(Some((left - 1, paths))),
            None => {}
        }
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

    /// As [`fs::remove_dir_all`], one file after the other, in this order or the other.
    pub(super) fn remove_dir_all(folder: &Path) -> io::Result<()> {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
        entries.sort();
        if BACKWARDS.get() {
            entries.reverse();
        }
        for path in entries {
            if fs::symlink_metadata(&path)?.is_dir() {
                remove_dir_all(&path)?;
            } else {
                alive()?;
                fs::remove_file(&path)?;
            }
        }
        alive()?;
        fs::remove_dir(folder)
    }

    fn told(folder: &TempDir, name: &str, parent: Option<&str>, keep: Option<&[u32]>) -> Checkpoint {
        let path = |name: &str| folder.path().join("e").join(name).display().to_string();
        Checkpoint {
            directory: path(name),
            parent: parent.map(|parent| ParentCheckpoint { trial: parent.into(), directory: path(parent) }),
            keep: keep.map(|indices| indices.iter().copied().collect()),
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
        for name in ["e-00001", "e-00002", "e-00003", "e-00009", "mine", "f-00001", "e-known-00000", "e-4", "e-000005"]
        {
            Directory::prepare(&told(&folder, name, None, None), "u").unwrap();
            save(&folder, name, name);
        }
        // Of a trial that never came to have a directory.
        save(&folder, ".e-00004.partial", "half");
        fs::write(folder.path().join("e/.e-00005.new"), "u").unwrap();
        Directory::prepare(&told(&folder, "e-00007", None, Some(&[2])), "u7").unwrap();
        let (marks, left): (Vec<_>, Vec<_>) = entries(&folder).into_iter().partition(|name| name.starts_with('.'));
        // Those to come, others' and those that people have named are not ours to judge.
        let kept = ["e-000005", "e-00002", "e-00007", "e-00009", "e-4", "e-known-00000", "f-00001", "mine"];
        assert_eq!(left, kept);
        assert_eq!(marks, kept.map(|name| format!(".{name}.ready")));
    }

    /// Two trials that are not needed, one of which was never whole; one that is; and a copy of that, to be made.
    fn crowded() -> TempDir {
        let folder = TempDir::new().unwrap();
        for name in ["e-00001", "e-00002", "e-00003"] {
            Directory::prepare(&told(&folder, name, None, None), "u").unwrap().leave();
            save(&folder, name, name);
            fs::write(folder.path().join("e").join(name).join("epoch"), "3").unwrap();
            std::os::unix::fs::symlink("layers/1.bin", folder.path().join("e").join(name).join("latest")).unwrap();
        }
        save(&folder, ".e-00003.partial", "half");
        folder
    }

    #[test]
    fn a_machine_may_fail_between_any_two_deletions() {
        let all = [".e-00002.ended", ".e-00002.ready", ".e-00007.ready", "e-00002", "e-00007"];
        for backwards in [false, true] {
            BACKWARDS.set(backwards);
            // By a later attempt of the same trial, or by another trial.
            for (next, uid) in [("e-00007", "u7"), ("e-00008", "u8")] {
                for changes in 0.. {
                    let folder = crowded();
                    let path = |name: &str| folder.path().join("e").join(name);
                    let whole = files(&path("e-00002"));
                    let seven = told(&folder, "e-00007", Some("e-00002"), Some(&[2]));
                    LEFT.set(Some(changes));
                    let prepared = Directory::prepare(&seven, "u7");
                    let is_over = LEFT.replace(None) != Some(0);
                    // What is not deleted does not hold up the trial.
                    assert!(prepared.is_ok() || !path(".e-00007.ready").exists(), "after {changes} changes");
                    for name in ["e-00001", "e-00003"] {
                        let is_ready = path(&format!(".{name}.ready")).exists();
                        assert!(
                            !is_ready || files(&path(name)).len() == 3,
                            "{name} is half there after {changes} changes"
                        );
                    }
                    Directory::prepare(&told(&folder, next, Some("e-00002"), Some(&[2, 7])), uid).unwrap();
                    Directory::prepare(&seven, "u7").unwrap();
                    let mut left = entries(&folder);
                    left.retain(|name| !name.contains("e-00008"));
                    assert_eq!(left, all, "after {changes} changes");
                    assert_eq!((files(&path("e-00002")), files(&path("e-00007"))), (whole.clone(), whole));
                    if is_over {
                        assert!(changes >= 20, "{changes}");
                        break;
                    }
                }
            }
        }
    }

    #[test]
    fn a_copy_of_what_is_being_deleted_is_whole_or_none() {
        for changes in 0..12 {
            let folder = crowded();
            let path = |name: &str| folder.path().join("e").join(name);
            let whole = files(&path("e-00001"));
            // An agent that was told when the first was not among those kept, and that is in the middle of deleting it.
            LEFT.set(Some(changes));
            let _ = Directory { folder: path(""), name: "e-00001".into() }.delete();
            LEFT.set(None);
            Directory::prepare(&told(&folder, "e-00009", Some("e-00001"), None), "u9").unwrap();
            let copy = files(&path("e-00009"));
            assert_eq!(copy, if changes == 0 { whole } else { BTreeMap::new() }, "after {changes} changes");
        }
        // One that deletes, all or as yet a part, while the copy is made.
        let child = |folder: &TempDir| told(folder, "e-00009", Some("e-00001"), None);
        for part in ["e-00001", "e-00001/epoch", "e-00001/layers"] {
            let mut copies = Vec::new();
            for changes in 0.. {
                let folder = crowded();
                let path = |name: &str| folder.path().join("e").join(name);
                let whole = files(&path("e-00001"));
                MEANWHILE.set(Some((changes, vec![path(".e-00001.ready"), path(part)])));
                Directory::prepare(&child(&folder), "u9").unwrap();
                let copy = files(&path("e-00009"));
                assert!(copy.is_empty() || copy == whole, "{part} after {changes} changes: {copy:?}");
                assert!(!path(".e-00009.partial").exists());
                copies.push(copy.len());
                if MEANWHILE.take().is_some() {
                    break;
                }
            }
            assert!(copies.contains(&0) && copies.len() >= 12, "{part}: {copies:?}");
        }
        let folder = crowded();
        // What a person has put there has no mark, and is nobody's to delete.
        save(&folder, "mine", "mine");
        Directory::prepare(&told(&folder, "e-00010", Some("mine"), None), "u10").unwrap();
        assert_eq!(saved(&folder, "e-00010").as_deref(), Some("mine"));
    }
}
