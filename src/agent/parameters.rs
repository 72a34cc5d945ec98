//! The trial's parameters in a file of their own.

use super::folder::Folder;
use super::say::say;
use std::path::{Path, PathBuf};

/// The file, while this is kept.
pub(super) struct ParametersFile {
    _folder: Folder,
    path: PathBuf,
}

impl ParametersFile {
    /// Writes it; says so when that cannot be done.
    pub fn write(parameters: &str) -> Option<Self> {
        let written = Folder::create().and_then(|folder| {
            let path = folder.write("parameters.json", parameters.as_bytes())?;
            Ok(ParametersFile { _folder: folder, path })
        });
        written.map_err(|error| say(format_args!("the parameters' file cannot be written: {error}"))).ok()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}
