//! Puts the agent where the program's container finds it, whatever is in that container's image.

use super::say::say;
use crate::report::env;
use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Copies this program to `target`, and the trial's parameters into a file beside it. Gives the exit code to end with.
pub(super) fn install(target: &OsStr) -> i32 {
    let target = Path::new(target);
    match copy(target).and_then(|()| parameters(target)) {
        Ok(()) => 0,
        Err(error) => {
            say(format_args!("{} cannot be written: {error}", target.display()));
            1
        }
    }
}

/// Under another name first: a container that starts meanwhile finds all of it or nothing.
fn copy(target: &Path) -> std::io::Result<()> {
    let unfinished = target.with_extension("unfinished");
    std::fs::copy(std::env::current_exe()?, &unfinished)?;
    std::fs::set_permissions(&unfinished, Permissions::from_mode(0o755))?;
    std::fs::rename(&unfinished, target)
}

/// The file that `AUTOML_PARAMETERS_FILE` names to the program.
fn parameters(target: &Path) -> std::io::Result<()> {
    let Some(parameters) = std::env::var_os(env::PARAMETERS) else { return Ok(()) };
    let (file, unfinished) = (target.with_file_name("parameters.json"), target.with_file_name("parameters.unfinished"));
    std::fs::write(&unfinished, parameters.as_encoded_bytes())?;
    std::fs::rename(unfinished, file)
}
