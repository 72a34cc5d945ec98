//! Who is left below the agent.
//!
//! The agent is a subreaper: a process whose parent ends becomes the agent's child, also one that has left the process
//! group or the session. So all that a program has started can be found, and none outlives the trial.

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, wait};
use std::time::{Duration, Instant};

/// Makes this process the one that orphans below it come to.
pub(super) fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// Signals the program's process group.
pub(super) fn signal_group(group: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(group).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, signal);
    }
}

/// Ends whatever is left below this process: SIGTERM, the grace period, SIGKILL. To be called once the program itself
/// has been waited for.
pub(super) fn end_all(grace: Duration) {
    signal_all(Signal::TERM);
    let deadline = Instant::now() + grace;
    let mut killing = false;
    while !reap() {
        if Instant::now() >= deadline {
            killing = true;
        }
        if killing {
            signal_all(Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for ended children; true when there are none left at all.
fn reap() -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

fn signal_all(signal: Signal) {
    for child in children() {
        let _ = kill_process(child, signal);
    }
}

/// All processes below this one.
#[cfg(target_os = "linux")]
fn children() -> Vec<Pid> {
    let mut parents = std::collections::HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name in brackets may hold anything; what follows the last bracket is: state, parent, ...
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<i32>().ok());
        if let Some(parent) = parent {
            parents.insert(pid, parent);
        }
    }
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let below = |pid: &&i32| {
        let mut at = **pid;
        // A bound, should the table have changed while it was read.
        for _ in 0..1000 {
            match parents.get(&at) {
                Some(parent) if *parent == me => return true,
                Some(parent) => at = *parent,
                None => return false,
            }
        }
        false
    };
    parents.keys().filter(below).filter_map(|pid| Pid::from_raw(*pid)).collect()
}

#[cfg(not(target_os = "linux"))]
fn children() -> Vec<Pid> {
    Vec::new()
}
