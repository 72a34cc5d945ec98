//! What a pod prints, kept within bounds, however much it is.
//!
//! The newest part is `POD.log`. When that is full it becomes `POD.log.1` and a new one is begun; the very first part is
//! kept as `POD.log.0`. What lies between is lost. All of it passes through the runner, so a full disk never stops a
//! trial that prints.

use crate::local::files::{private_file, private_folder};
use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::path::{Path, PathBuf};
use tokio::sync::oneshot;

/// Longest part, in bytes; there are three at most.
pub const MAX_PART: u64 = 8 << 20;
/// So much of the end is remembered, as in Kubernetes a message is taken from a log.
const MAX_TAIL: usize = 2048;

/// Begins to copy what comes out of the pipe into the log. The other end is for the process; when all have closed it,
/// the receiver gets the last words.
///
/// # Errors
/// The file system refuses, or the machine has no room for a pipe or a thread.
pub fn begin(path: &Path) -> io::Result<(PipeWriter, oneshot::Receiver<String>)> {
    let mut log = Log::open(path)?;
    let (mut from, to) = io::pipe()?;
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new().name("log".into()).spawn(move || {
        log.copy(&mut from);
        // Whoever started the process may be gone.
        let _ = sender.send(String::from_utf8_lossy(&log.tail).trim_end().to_owned());
    })?;
    Ok((to, receiver))
}

/// Names of the older parts of a log.
fn older(path: &Path) -> [PathBuf; 2] {
    ["log.0", "log.1"].map(|extension| path.with_extension(extension))
}

/// Whose log a file is: the name of its pod.
pub fn pod_of(file: &str) -> Option<&str> {
    [".log", ".log.0", ".log.1"].iter().find_map(|ending| file.strip_suffix(ending))
}

struct Log {
    path: PathBuf,
    /// `None`: it could not be opened; tried again with the next output.
    file: Option<File>,
    length: u64,
    /// Bytes that could not be written since the last that could.
    lost: u64,
    tail: Vec<u8>,
}

impl Log {
    fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            private_folder(folder)?;
        }
        let file = private_file(path, OpenOptions::new().create(true).append(true))?;
        let length = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file: Some(file), length, lost: 0, tail: Vec::new() })
    }

    fn copy(&mut self, from: &mut PipeReader) {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => self.take(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.tail.drain(..self.tail.len().saturating_sub(MAX_TAIL));
        if let Err(error) = self.write(bytes) {
            if self.lost == 0 {
                tracing::warn!(log = %self.path.display(), %error, "output of a pod is lost");
            }
            self.lost += bytes.len() as u64;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.length > 0 && self.length + bytes.len() as u64 > MAX_PART {
            self.turn()?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            closed => closed.insert(private_file(&self.path, OpenOptions::new().create(true).append(true))?),
        };
        if self.lost > 0 {
            let note = format!("\n[{} bytes of output could not be written]\n", self.lost);
            file.write_all(note.as_bytes())?;
            self.length += note.len() as u64;
            self.lost = 0;
        }
        file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Begins a new part.
    fn turn(&mut self) -> io::Result<()> {
        let [first, last] = older(&self.path);
        std::fs::rename(&self.path, if first.exists() { last } else { first })?;
        (self.file, self.length) = (None, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_keeps_its_beginning_and_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ns/p.log");
        let (mut writer, tail) = begin(&path).unwrap();
        let line = |number: usize| format!("{number:>63}\n");
        let lines = 6 * MAX_PART as usize / 64;
        for number in 0..lines {
            writer.write_all(line(number).as_bytes()).unwrap();
        }
        drop(writer);
        assert!(tail.blocking_recv().unwrap().ends_with(line(lines - 1).trim_end()));
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let [first, last] = older(&path).map(|path| read(&path));
        assert!(first.starts_with(&line(0)), "the beginning is kept");
        assert_eq!(read(&path).lines().last().unwrap(), line(lines - 1).trim_end());
        let parts = [&first, &last, &read(&path)];
        assert!(parts.iter().all(|part| part.len() as u64 <= MAX_PART && !part.is_empty()));
        let next = line(last.lines().last().unwrap().trim().parse::<usize>().unwrap() + 1);
        assert!(read(&path).starts_with(&next), "the end is kept without a gap");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 3);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_the_rest_follows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.log");
        let mut log = Log::open(&path).unwrap();
        log.take(b"one\n");
        // Writing to it fails, as on a full disk.
        log.file = Some(File::open("/dev/full").unwrap());
        log.take(b"two\n");
        log.take(b"three\n");
        log.file = None;
        log.take(b"four\n");
        let expected = "one\n\n[10 bytes of output could not be written]\nfour\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        assert_eq!(log.tail, b"one\ntwo\nthree\nfour\n", "for a message all counts");
    }

    #[test]
    fn a_file_belongs_to_a_pod() {
        for (file, pod) in [("a-b.log", Some("a-b")), ("a.log.0", Some("a")), ("a.b.log.1", Some("a.b")), ("x", None)] {
            assert_eq!(pod_of(file), pod);
        }
    }
}
