//! Finds and signals processes by a variable in their environment, wherever they have gone: other process groups,
//! other sessions, other parents.
//!
//! Linux only. Elsewhere no process is found, and the runner falls back on process groups.

use rustix::process::Signal;

/// Sends a signal to every process of ours whose environment holds all these `NAME=value` entries, this process
/// excepted. Returns how many there were.
#[cfg(target_os = "linux")]
pub fn signal(entries: &[String], signal: Signal) -> usize {
    linux::pids().filter(|pid| linux::signal(*pid, entries, signal)).count()
}

/// Sends a signal to every process of ours whose environment holds all these `NAME=value` entries: none can be found on
/// this system.
#[cfg(not(target_os = "linux"))]
pub fn signal(_entries: &[String], _signal: Signal) -> usize {
    0
}

/// When a process started, in the kernel's own clock ticks; with the PID it identifies a process since the last boot.
/// `None`: there is no such process, or it has ended and only waits to be reaped.
#[cfg(target_os = "linux")]
pub fn start_ticks(pid: i32) -> Option<u64> {
    linux::start_ticks(pid)
}

/// When a process started: not known on this system.
#[cfg(not(target_os = "linux"))]
pub fn start_ticks(_pid: i32) -> Option<u64> {
    None
}

/// Identifies the time since the last boot; empty where it is not known.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

#[cfg(target_os = "linux")]
mod linux {
    use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
    use std::fs;

    pub(super) fn pids() -> impl Iterator<Item = i32> {
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(move |pid| *pid != own)
    }

    /// Signals this process if it carries the entries.
    pub(super) fn signal(pid: i32, entries: &[String], signal: Signal) -> bool {
        let Some(id) = Pid::from_raw(pid) else { return false };
        // Held before the look, a descriptor cannot come to mean another process that got the same PID.
        let held = pidfd_open(id, PidfdFlags::empty());
        if !carries(pid, entries) {
            return false;
        }
        match held {
            Ok(descriptor) => pidfd_send_signal(&descriptor, signal).is_ok(),
            // Kernels before 5.3.
            Err(rustix::io::Errno::NOSYS) => kill_process(id, signal).is_ok(),
            Err(_) => false,
        }
    }

    fn carries(pid: i32, entries: &[String]) -> bool {
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
        let holds = |entry: &String| environment.split(|byte| *byte == 0).any(|it| it == entry.as_bytes());
        entries.iter().all(holds)
    }

    pub(super) fn start_ticks(pid: i32) -> Option<u64> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in brackets and may hold anything; state is the third, start time
        // the 22nd.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        if state == "Z" || state == "X" { None } else { fields.nth(18)?.parse().ok() }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};

    fn sleeper(entry: &str) -> Child {
        let (name, value) = entry.split_once('=').unwrap();
        Command::new("sleep").arg("1000").env(name, value).stdin(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn signals_those_that_carry_the_whole_entry() {
        let id = std::process::id();
        let entry = format!("AUTOML_TEST_SWEEP={id}");
        let mut marked = [sleeper(&entry), sleeper(&entry)];
        let mut other = sleeper(&format!("{entry}0"));
        // Between fork and exec a child still shows its parent's environment.
        let mut found = 0;
        while found < 2 {
            found += signal(std::slice::from_ref(&entry), Signal::TERM);
        }
        for child in &mut marked {
            assert!(!child.wait().unwrap().success());
        }
        assert_eq!(signal(&[entry], Signal::KILL), 0);
        assert!(other.try_wait().unwrap().is_none(), "a longer value is another one");
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_process_is_known_by_its_start() {
        let mut child = sleeper("A=b");
        let pid = i32::try_from(child.id()).unwrap();
        let start = start_ticks(pid).unwrap();
        assert_eq!(start_ticks(pid), Some(start));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(start_ticks(pid), None);
        assert!(!boot_id().is_empty());
    }
}
