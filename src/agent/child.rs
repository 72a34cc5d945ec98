//! The program dies with its agent, even when the agent is killed with SIGKILL.
//!
//! The kernel can be asked to signal a process when its parent dies. The process has to ask for itself, so the agent
//! starts itself once more (`child`), which asks and then becomes the program: the request outlives `execve`.

use super::say::say;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Command not found, as shells say it.
const NOT_FOUND: i32 = 127;
/// Found, but it cannot be started.
const NOT_EXECUTABLE: i32 = 126;

/// The command that starts `program` below this process.
pub(super) fn command(program: &OsStr, arguments: &[OsString], prefix: &[&str]) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(prefix).arg("child").arg("--").arg(std::process::id().to_string()).arg(program).args(arguments);
    // A group of its own, so that a signal reaches all that it starts.
    command.process_group(0);
    Ok(command)
}

/// Asks to die with the parent, then becomes the program. Comes back only when it cannot be started.
pub(super) fn become_program(parent: &OsStr, program: &OsStr, arguments: &[OsString]) -> i32 {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, getppid, set_parent_process_death_signal};
        let asked = set_parent_process_death_signal(Some(Signal::KILL));
        // The parent may have died before the request was heard.
        let same = getppid().map(|pid| pid.as_raw_nonzero().to_string()).as_deref() == parent.to_str();
        if asked.is_ok() && !same {
            return NOT_EXECUTABLE;
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = parent;
    let error = Command::new(program).args(arguments).exec();
    let shown = program.to_string_lossy();
    if error.kind() == std::io::ErrorKind::NotFound {
        say(format_args!("{shown}: command not found; is it in the image, or on PATH?"));
        return NOT_FOUND;
    }
    say(format_args!("{shown} cannot be started: {error}"));
    NOT_EXECUTABLE
}
