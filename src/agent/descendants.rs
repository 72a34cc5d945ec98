//! Who is left below the agent.
//!
//! The agent is a subreaper: a process whose parent ends becomes the agent's child, also one that has left the process
//! group or the session. So all that a program has started can be found, and none outlives the trial.

use super::say::say;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use std::thread;
use std::time::{Duration, Instant};

/// How long what is left may take to end by itself.
const MOMENT: Duration = Duration::from_millis(200);
const POLL: Duration = Duration::from_millis(10);

/// Makes this process the one that orphans below it come to.
pub(super) fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// Ends whatever is left below this process: a moment to end by itself, SIGTERM, SIGKILL at `kill_at` or after the grace
/// period. To be called once the program itself has been waited for.
pub(super) fn end_all(kill_at: Option<Instant>, grace: Duration) {
    // Helpers that end with their program, such as those of Python's pools, are nothing to speak of.
    let quiet_until = Instant::now() + MOMENT;
    while kill_at.is_none() && Instant::now() < quiet_until {
        if reap() {
            return;
        }
        thread::sleep(POLL);
    }
    let left = children();
    if kill_at.is_none() && !left.is_empty() {
        let count = left.len();
        say(format_args!(
            "the program has ended, but not {count} of the processes it has started: they are stopped now, since a trial \
             ends with the process that its command names. Let it wait for them."
        ));
    }
    signal(&left, Signal::TERM);
    let kill_at = kill_at.unwrap_or_else(|| Instant::now() + grace);
    while !reap() {
        if Instant::now() >= kill_at {
            signal(&children(), Signal::KILL);
        }
        thread::sleep(POLL);
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

fn signal(processes: &[Pid], signal: Signal) {
    for process in processes {
        let _ = kill_process(*process, signal);
    }
}

/// All processes below this one that have not ended.
#[cfg(target_os = "linux")]
fn children() -> Vec<Pid> {
    let mut parents = std::collections::HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name in brackets may hold anything; what follows the last bracket is: state, parent, ...
        let Some(mut fields) = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()) else { continue };
        let ended = matches!(fields.next(), Some("Z" | "X"));
        if let Some(parent) = fields.next().and_then(|parent| parent.parse::<i32>().ok()).filter(|_| !ended) {
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
