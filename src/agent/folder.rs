//! A folder of the agent's own for what the program is to find.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// A folder that nobody else can read, foresee or put in place; removed at the end.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes it.
    pub fn create() -> std::io::Result<Self> {
        let folder = Folder(std::env::temp_dir().join(format!("automl-{}", Uuid::new_v4().simple())));
        folder.inner("")?;
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes a folder within it, or a folder within that: `a`, then `a/b`.
    pub fn inner(&self, name: &str) -> std::io::Result<PathBuf> {
        let path = self.0.join(name);
        // Does not take what is already there.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(path)
    }

    /// Writes a file that is not there yet.
    pub fn write(&self, name: impl AsRef<Path>, content: &[u8]) -> std::io::Result<PathBuf> {
        let path = self.0.join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(content)?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
