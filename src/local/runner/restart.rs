//! What an earlier runner left behind: its processes are stopped before anything new runs, and its pods are known.
//!
//! A process is found in two ways. Each carries the state folder's id in its environment, which works from the moment
//! it runs, whatever it does later; Linux only. And each start is recorded with PID and start time, for programs that
//! overwrite their environment to show another name.

use super::process::{RUNNER_VARIABLE, kill_marked};
use super::state::{StateError, StateFolder};
use super::sweep;
use crate::local::files::{private_folder, write_whole};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Why a runner cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum LeftoverError {
    /// The folder cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// A process of an earlier run does not die.
    #[error(
        "processes of an earlier run do not end, not even by SIGKILL (they may wait for a disk); look for {0} in their environment"
    )]
    Immortal(String),
}

/// A start, as it is recorded.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    /// `None`: it was about to start.
    pid: Option<i32>,
    start_ticks: Option<u64>,
    boot_id: String,
}

fn record_path(pod_folder: &str) -> PathBuf {
    Path::new(pod_folder).join("process.json")
}

/// Records that a pod's process is about to start (`pid` is `None`) or has started. From the first record on, a later
/// runner takes the pod for one that ran.
///
/// # Errors
/// The file system refuses.
pub fn record(pod_folder: &str, pid: Option<u32>) -> io::Result<()> {
    let pid = pid.and_then(|pid| i32::try_from(pid).ok());
    let record = Record { pid, start_ticks: pid.and_then(sweep::start_ticks), boot_id: sweep::boot_id() };
    private_folder(Path::new(pod_folder))?;
    write_whole(&record_path(pod_folder), &serde_json::to_vec(&record)?)
}

/// Stops every process that an earlier runner of this folder left: SIGTERM, `grace`, SIGKILL. Returns the UIDs of the
/// pods that were started. Blocking.
///
/// # Errors
/// The folder cannot be read, or a process does not die.
pub fn stop_leftovers(state: &StateFolder, grace: Duration) -> Result<BTreeSet<String>, LeftoverError> {
    let mut started = BTreeSet::new();
    let mut groups = Vec::new();
    for uid in state.pods()? {
        if let Ok(bytes) = std::fs::read(record_path(&state.pod_folder(&uid))) {
            groups.extend(serde_json::from_slice(&bytes).ok().and_then(|record: Record| record.group()));
            started.insert(uid);
        }
    }
    let marker = format!("{RUNNER_VARIABLE}={}", state.id());
    let entries = [marker.clone()];
    let deadline = Instant::now() + grace;
    let (mut signal, mut quiet) = (Signal::TERM, 0);
    // Twice nothing: a process that is just replacing its program shows no environment for a moment.
    while quiet < 2 && Instant::now() < deadline {
        let found = sweep::signal(&entries, signal) + signal_groups(&mut groups, signal);
        quiet = if found == 0 { quiet + 1 } else { 0 };
        // They have heard it; from now on they are only counted.
        signal = Signal::CONT;
        std::thread::sleep(Duration::from_millis(10));
    }
    signal_groups(&mut groups, Signal::KILL);
    if kill_marked(&entries, Duration::from_secs(10)) { Ok(started) } else { Err(LeftoverError::Immortal(marker)) }
}

impl Record {
    /// The process group, if its leader is still the process that was started.
    fn group(&self) -> Option<(Pid, u64)> {
        let (pid, start) = (self.pid?, self.start_ticks?);
        let alive = !self.boot_id.is_empty() && self.boot_id == sweep::boot_id();
        if alive && sweep::start_ticks(pid) == Some(start) { Some((Pid::from_raw(pid)?, start)) } else { None }
    }
}

/// Signals the groups whose leader lives, and forgets the others. Returns how many there were.
fn signal_groups(groups: &mut Vec<(Pid, u64)>, signal: Signal) -> usize {
    groups.retain(|(group, start)| {
        let lives = sweep::start_ticks(group.as_raw_nonzero().get()) == Some(*start);
        lives && kill_process_group(*group, signal).is_ok()
    });
    groups.len()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Child, Command};

    fn start(script: &str, marker: Option<&str>) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]).process_group(0).env_remove(RUNNER_VARIABLE);
        if let Some(marker) = marker {
            command.env(RUNNER_VARIABLE, marker);
        }
        command.spawn().unwrap()
    }

    #[test]
    fn stops_what_is_marked_and_what_is_recorded_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        let ready = folder.path().join("ready");
        let mark = format!("touch {}; exec sleep 1000", ready.display());
        let mut marked = start(&format!("trap '' TERM; {mark}"), Some(state.id()));
        let mut recorded = start("exec sleep 1000", None);
        let mut other = start("exec sleep 1000", Some("another"));
        record(&state.pod_folder("ran"), Some(recorded.id())).unwrap();
        record(&state.pod_folder("about-to"), None).unwrap();
        std::fs::create_dir_all(state.pod_folder("never")).unwrap();
        while !ready.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let started = stop_leftovers(&state, Duration::from_millis(200)).unwrap();
        assert_eq!(started, ["about-to", "ran"].map(str::to_owned).into());
        assert_eq!(marked.wait().unwrap().signal(), Some(9), "it ignores SIGTERM");
        assert!(!recorded.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_recycled_number_is_not_ours() {
        let mut child = start("exec sleep 1000", None);
        let number = i32::try_from(child.id()).unwrap();
        let (pid, start_ticks) = (Some(number), sweep::start_ticks(number));
        let boot_id = sweep::boot_id();
        let group = |record: Record| record.group().is_some();
        assert!(group(Record { pid, start_ticks, boot_id: boot_id.clone() }));
        assert!(!group(Record { pid, start_ticks: start_ticks.map(|ticks| ticks + 1), boot_id: boot_id.clone() }));
        assert!(!group(Record { pid, start_ticks, boot_id: "another boot".into() }));
        assert!(!group(Record { pid: None, start_ticks, boot_id }));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
