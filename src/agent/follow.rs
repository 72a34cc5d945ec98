//! Reads what is appended to a file: also when it appears late, is moved away for another, or is cut. What was there before
//! is not the program's.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// So much is read at a time, in bytes: what comes of it is small, and is told before more is read.
const AT_A_TIME: usize = 1 << 20;

/// See the module.
pub(super) struct Follower {
    path: PathBuf,
    /// The file that was there at the beginning, and its length then.
    old: Option<((u64, u64), u64)>,
    open: Option<Open>,
    /// A file was read before.
    begun: bool,
}

struct Open {
    file: File,
    identity: (u64, u64),
    read: u64,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// The next bytes.
    Bytes(&'a [u8]),
    /// What comes now is another file's, or the same one's from its beginning.
    Anew,
}

impl Follower {
    /// Of a program that has not started yet.
    pub fn new(path: PathBuf) -> Self {
        let old = std::fs::metadata(&path).ok().map(|there| (identity(&there), there.len()));
        Follower { path, old, open: None, begun: false }
    }

    /// Of a file that the program has made.
    pub fn from_its_beginning(path: PathBuf) -> Self {
        Follower { path, old: None, open: None, begun: false }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives what has come since the last time, up to a bound: true when there is more. No file is no error: it may come.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub fn poll(&mut self, mut take: impl FnMut(Piece<'_>)) -> std::io::Result<bool> {
        let there = self.there()?;
        if let Some(open) = &mut self.open {
            // Whatever it is called by now.
            if open.read_on(&mut take)? {
                return Ok(true);
            }
            let moved = there.as_ref().is_some_and(|there| identity(there) != open.identity);
            if moved {
                self.open = None;
            } else if open.file.metadata()?.len() < open.read {
                open.file.seek(SeekFrom::Start(0))?;
                open.read = 0;
                take(Piece::Anew);
                return open.read_on(&mut take);
            }
        }
        if self.open.is_some() || there.is_none() {
            return Ok(false);
        }
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        let identity = identity(&metadata);
        // Shorter than it was: the program has begun it anew.
        let old = self.old.take().filter(|(old, length)| *old == identity && *length <= metadata.len());
        let read = old.map_or(0, |(_, length)| length);
        file.seek(SeekFrom::Start(read))?;
        if std::mem::replace(&mut self.begun, true) {
            take(Piece::Anew);
        }
        self.open.insert(Open { file, identity, read }).read_on(&mut take)
    }

    fn there(&self) -> std::io::Result<Option<Metadata>> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata)),
            Ok(_) => Err(std::io::Error::other("it is no file")),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Open {
    /// True when there is more.
    fn read_on(&mut self, take: &mut impl FnMut(Piece<'_>)) -> std::io::Result<bool> {
        let mut buffer = [0; 16 << 10];
        let mut left = AT_A_TIME;
        while left > 0 {
            match self.file.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    self.read += count as u64;
                    left = left.saturating_sub(count);
                    take(Piece::Bytes(&buffer[..count]));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{OpenOptions, create_dir, remove_file, rename, write};
    use std::io::Write;

    fn polled(follower: &mut Follower) -> String {
        let mut text = String::new();
        follower
            .poll(|piece| match piece {
                Piece::Bytes(bytes) => text.push_str(std::str::from_utf8(bytes).unwrap()),
                Piece::Anew => text.push('|'),
            })
            .unwrap();
        text
    }

    fn append(path: &Path, text: &str) {
        OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn follows_a_file_through_its_life() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/later/log");
        let mut follower = Follower::new(path.clone());
        assert_eq!(polled(&mut follower), "", "it is not there yet, nor is its folder");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path, "a").unwrap();
        assert_eq!(polled(&mut follower), "a");
        append(&path, "b");
        assert_eq!((polled(&mut follower), polled(&mut follower)), ("b".to_owned(), String::new()));
        append(&path, "c");
        rename(&path, folder.path().join("log.1")).unwrap();
        assert_eq!(polled(&mut follower), "c", "the end of the one that was moved away");
        append(&folder.path().join("log.1"), "d");
        write(&path, "e").unwrap();
        assert_eq!(polled(&mut follower), "d|e");
        write(&path, "").unwrap();
        assert_eq!(polled(&mut follower), "|", "cut");
        append(&path, "f");
        assert_eq!(polled(&mut follower), "f");
        remove_file(&path).unwrap();
        assert_eq!(polled(&mut follower), "");
        write(&path, "g").unwrap();
        assert_eq!(polled(&mut follower), "|g");
    }

    #[test]
    fn what_was_there_before_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        write(&path, "old").unwrap();
        let mut follower = Follower::new(path.clone());
        assert_eq!(polled(&mut follower), "");
        append(&path, "new");
        assert_eq!(polled(&mut follower), "new");
        let mut follower = Follower::new(path.clone());
        write(&path, "anew").unwrap();
        assert_eq!(polled(&mut follower), "anew", "it is shorter than it was");
        let mut follower = Follower::from_its_beginning(path);
        assert_eq!(polled(&mut follower), "anew");
    }

    #[test]
    fn much_is_read_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut follower = Follower::new(path.clone());
        write(&path, vec![b'x'; 3 * AT_A_TIME + 1]).unwrap();
        let (mut parts, mut bytes) = (0, 0);
        loop {
            parts += 1;
            let more = follower.poll(|piece| match piece {
                Piece::Bytes(part) => bytes += part.len(),
                Piece::Anew => panic!("one file"),
            });
            if !more.unwrap() {
                break;
            }
        }
        assert_eq!((parts, bytes), (4, 3 * AT_A_TIME + 1));
    }

    #[test]
    fn a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        create_dir(&path).unwrap();
        assert_eq!(Follower::new(path).poll(|_| ()).unwrap_err().to_string(), "it is no file");
    }
}
