//! Reads what is appended to a file, from its beginning: also when it appears late, is moved away for another, or is cut.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// See the module.
pub(super) struct Follower {
    path: PathBuf,
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
    pub fn new(path: PathBuf) -> Self {
        Follower { path, open: None, begun: false }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives all that has come since the last time. No file is no error: it may come.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub fn poll(&mut self, mut take: impl FnMut(Piece<'_>)) -> std::io::Result<()> {
        let there = self.there()?;
        if let Some(open) = &mut self.open {
            // Whatever it is called by now.
            open.read_on(&mut take)?;
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
            return Ok(());
        }
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let identity = identity(&file.metadata()?);
        if std::mem::replace(&mut self.begun, true) {
            take(Piece::Anew);
        }
        self.open.insert(Open { file, identity, read: 0 }).read_on(&mut take)
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
    fn read_on(&mut self, take: &mut impl FnMut(Piece<'_>)) -> std::io::Result<()> {
        let mut buffer = [0; 16 << 10];
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    self.read += count as u64;
                    take(Piece::Bytes(&buffer[..count]));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
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
    fn a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        create_dir(&path).unwrap();
        assert_eq!(Follower::new(path).poll(|_| ()).unwrap_err().to_string(), "it is no file");
    }
}
