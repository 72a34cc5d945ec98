//! One local process with everything below it: start, stop, end.

use super::admit::{HostPath, Launch};
use super::{log, sweep};
use crate::local::files::private_folder;
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// Names the state folder in the environment of every process of its runner.
pub const RUNNER_VARIABLE: &str = "AUTOML_RUNNER";
/// Names the pod.
pub const POD_VARIABLE: &str = "AUTOML_POD_UID";
/// Tells the agent that its standard input is a lifeline: end of file there means that the runner is gone.
const LIFELINE_VARIABLE: &str = "AUTOML_LIFELINE";

/// Longest termination message, as in Kubernetes.
const MAX_MESSAGE: u64 = 4096;
/// How long processes that were killed may take to be gone, before somebody is told.
const SWEEP: Duration = Duration::from_secs(5);
/// How long output may still come when all that could print has ended.
const LAST_OUTPUT: Duration = Duration::from_secs(5);

/// Why a process was not started.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The pod is at fault: trying again cannot help.
    #[error("{0}")]
    Pod(String),
    /// The machine is at fault, for now: no space, no memory, too many processes.
    #[error("{0}")]
    Machine(String),
}

/// A process to start.
#[derive(Clone, Debug)]
pub struct Program {
    /// Program and arguments.
    pub argv: Vec<OsString>,
    /// On top of the runner's own environment.
    pub env: BTreeMap<String, String>,
    /// Where it runs.
    pub working_dir: PathBuf,
    /// Its output is appended here.
    pub log: PathBuf,
    /// It understands the lifeline: the agent does.
    pub lifeline: bool,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Exit code; 128 + n after signal n.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        let signal = status.signal();
        Self { code: status.code().or(signal.map(|signal| 128 + signal)).unwrap_or(-1), signal }
    }
}

/// Makes the folders and files that a launch needs. Blocking.
///
/// # Errors
/// A path of the machine is not what the pod says, or the file system refuses.
pub fn prepare(launch: &Launch) -> Result<(), StartError> {
    for host in &launch.host_paths {
        check_host_path(host)?;
    }
    for folder in &launch.folders {
        private_folder(Path::new(folder)).map_err(machine(folder))?;
    }
    for file in &launch.files {
        write_private(&file.path, &file.bytes, file.mode.0)?;
    }
    write_private(&launch.termination_message, b"", 0o600)
}

/// Writes a file that only its owner can reach. An earlier one is replaced, also where it may not be written.
///
/// # Errors
/// The file system refuses.
pub fn write_private(path: &str, bytes: &[u8], mode: u32) -> Result<(), StartError> {
    let write = || -> io::Result<()> {
        if let Some(parent) = Path::new(path).parent() {
            private_folder(parent)?;
        }
        if let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        OpenOptions::new().write(true).create_new(true).mode(mode & 0o777).open(path)?.write_all(bytes)
    };
    write().map_err(machine(path))
}

fn check_host_path(host: &HostPath) -> Result<(), StartError> {
    let path = Path::new(&host.path);
    let holds = match host.kind.as_str() {
        "" => true,
        "DirectoryOrCreate" => return fs::create_dir_all(path).map_err(machine(&host.path)),
        "Directory" => path.is_dir(),
        "FileOrCreate" => {
            return OpenOptions::new().create(true).append(true).open(path).map(drop).map_err(machine(&host.path));
        }
        "File" => path.is_file(),
        _ => path.exists(),
    };
    let sentence = || format!("hostPath type check failed: {} is not a {}", host.path, host.kind);
    if holds { Ok(()) } else { Err(StartError::Pod(sentence())) }
}

fn machine(path: &str) -> impl FnOnce(io::Error) -> StartError + '_ {
    move |error| StartError::Machine(format!("{path}: {error}"))
}

/// A process that was started, and is to be supervised.
#[derive(Debug)]
pub struct Started {
    /// The process.
    pub child: Child,
    /// Gets the end of its output once that has ended.
    pub last_output: oneshot::Receiver<String>,
}

/// Starts a program in a process group of its own.
///
/// # Errors
/// The program or its working directory does not exist or cannot be run, or the machine has no room for it.
pub fn spawn(program: &Program) -> Result<Started, StartError> {
    let (name, arguments) = program.argv.split_first().ok_or_else(|| StartError::Pod("no command".to_owned()))?;
    if !program.working_dir.is_dir() {
        let sentence = format!("working directory {} does not exist", program.working_dir.display());
        return Err(StartError::Pod(sentence));
    }
    let path = find(name, program)?;
    let shown = program.log.to_string_lossy();
    let (output, last_output) = log::begin(&program.log).map_err(machine(&shown))?;
    let errors = output.try_clone().map_err(machine(&shown))?;
    let mut command = Command::new(path);
    command.arg0(name).args(arguments).current_dir(&program.working_dir);
    // What configures the runner is none of the trial's business.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"AUTOML_")) {
        command.env_remove(name);
    }
    command.envs(&program.env).process_group(0).stdout(output).stderr(errors);
    if program.lifeline {
        command.env(LIFELINE_VARIABLE, "0").stdin(Stdio::piped());
    } else {
        command.stdin(Stdio::null()).kill_on_drop(true);
    }
    let child = command.spawn().map_err(|error| {
        let sentence = format!("failed to start {name:?}: {error}");
        match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(
                rustix::io::Errno::AGAIN
                | rustix::io::Errno::NOMEM
                | rustix::io::Errno::MFILE
                | rustix::io::Errno::NFILE
                | rustix::io::Errno::TXTBSY,
            ) => StartError::Machine(sentence),
            _ => StartError::Pod(sentence),
        }
    })?;
    Ok(Started { child, last_output })
}

/// Looks a program up as the process itself would: a path from its working directory, a name in its `PATH`.
fn find(name: &OsString, program: &Program) -> Result<PathBuf, StartError> {
    let path = Path::new(name);
    if name.as_encoded_bytes().contains(&b'/') {
        return Ok(program.working_dir.join(path));
    }
    let own = program.env.get("PATH").map(OsString::from);
    let folders = own.or_else(|| std::env::var_os("PATH")).unwrap_or_default();
    let found = std::env::split_paths(&folders)
        .map(|folder| program.working_dir.join(folder).join(path))
        .find(|candidate| candidate.metadata().is_ok_and(|file| file.is_file() && is_executable(&file)));
    found.ok_or_else(|| StartError::Pod(format!("failed to start {name:?}: executable file not found in PATH")))
}

fn is_executable(file: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.permissions().mode() & 0o111 != 0
}

/// Asks a supervised process to stop. Asking again can only make it sooner.
#[derive(Clone, Debug)]
pub struct Stopper(watch::Sender<Option<Instant>>);

impl Stopper {
    /// Sends SIGTERM now, if that has not been done, and SIGKILL after `grace`.
    pub fn stop(&self, grace: Duration) {
        let kill_at = Instant::now() + grace;
        self.0.send_if_modified(|known| {
            let sooner = known.is_none_or(|known| kill_at < known);
            if sooner {
                *known = Some(kill_at);
            }
            sooner
        });
    }
}

/// Watches a process until it has ended, and then ends everything that it left behind: as in a container, nothing
/// outlives the first process. The future gives the exit and the end of the output. Returns at once; the future must be
/// polled.
pub fn supervise(started: Started, pod_uid: &str) -> (Stopper, impl Future<Output = (Exit, String)> + Send + 'static) {
    let Started { mut child, last_output } = started;
    let (sender, mut asked) = watch::channel(None);
    let group = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let entry = format!("{POD_VARIABLE}={pod_uid}");
    // Held open until the end: when the runner dies, the kernel closes it and the agent stops the trial.
    let lifeline = child.stdin.take();
    let signal = move |signal| {
        if let Some(group) = group {
            // It may have ended by itself just now.
            let _ = kill_process_group(group, signal);
        }
    };
    let future = async move {
        let (mut kill_at, mut terminated) = (None, false);
        let status = loop {
            let patience = async {
                match kill_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                status = child.wait() => break status,
                Ok(()) = asked.changed() => {
                    kill_at = *asked.borrow_and_update();
                    if !terminated {
                        terminated = true;
                        signal(Signal::TERM);
                        // A process that was stopped (SIGSTOP) could not hear it.
                        signal(Signal::CONT);
                    }
                }
                () = patience => {
                    signal(Signal::KILL);
                    kill_at = None;
                }
            }
        };
        drop(lifeline);
        // The kernel gives out process numbers in turn: a group that is empty now is not another's yet.
        signal(Signal::KILL);
        end_marked(entry).await;
        let last_output = tokio::time::timeout(LAST_OUTPUT, last_output).await;
        (
            status.map_or(Exit { code: -1, signal: None }, Exit::from),
            last_output.map(Result::ok).ok().flatten().unwrap_or_default(),
        )
    };
    (Stopper(sender), future)
}

/// Kills every process with this entry in its environment. Comes back when all are gone: until then what they use, such
/// as a GPU, is nobody else's.
async fn end_marked(entry: String) {
    let entries = [entry];
    let mut told = false;
    loop {
        let wanted = entries.clone();
        match tokio::task::spawn_blocking(move || kill_marked(&wanted, SWEEP)).await {
            Ok(false) if !told => {
                told = true;
                let [entry] = &entries;
                tracing::error!(
                    "processes do not end, not even by SIGKILL (they may wait for a disk); look for {entry} in their environment"
                );
            }
            Ok(false) => {}
            Ok(true) | Err(_) => return,
        }
    }
}

/// Kills every process with these entries in its environment, until none is found. Blocking. Returns whether all are
/// gone; after `patience` it gives up on processes that the kernel does not let go.
pub fn kill_marked(entries: &[String], patience: Duration) -> bool {
    let give_up = std::time::Instant::now() + patience;
    while sweep::signal(entries, Signal::KILL) > 0 {
        if std::time::Instant::now() > give_up {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// The last words of a process: what it wrote to its termination file, else the end of its output, where that is given.
/// Empty: none. Blocking.
pub fn last_words(file: &str, output: Option<String>) -> String {
    let mut bytes = Vec::new();
    let read = fs::File::open(file).and_then(|file| file.take(MAX_MESSAGE).read_to_end(&mut bytes));
    let message = read.map(|_| String::from_utf8_lossy(&bytes).trim_end().to_owned()).unwrap_or_default();
    if message.is_empty() { output.unwrap_or_default() } else { message }
}

#[cfg(test)]
mod tests;
