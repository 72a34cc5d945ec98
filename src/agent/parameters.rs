//! The trial's parameters in a file of their own.

use super::say::say;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// A file that nobody else can read, foresee or put in place; removed at the end.
pub(super) struct ParametersFile {
    folder: PathBuf,
    path: PathBuf,
}

impl ParametersFile {
    /// Writes it; says so when that cannot be done.
    pub fn write(parameters: &str) -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("automl-{}", Uuid::new_v4().simple()));
        let file = ParametersFile { path: folder.join("parameters.json"), folder };
        match file.create(parameters) {
            Ok(()) => Some(file),
            Err(error) => {
                say(format_args!("{} cannot be written: {error}", file.path.display()));
                None
            }
        }
    }

    fn create(&self, parameters: &str) -> std::io::Result<()> {
        // Neither takes what is already there.
        DirBuilder::new().mode(0o700).create(&self.folder)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
        file.write_all(parameters.as_bytes())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ParametersFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
