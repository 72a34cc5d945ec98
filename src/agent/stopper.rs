//! Ends the program, whoever asks for it, and knows when it has ended by itself.
//!
//! A process number is free for others once its process has been waited for. So waiting and signalling share a lock, and
//! nothing is sent once the program has been waited for.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process_group, wait, waitid};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// See the module.
pub(super) struct Stopper {
    /// The program; its process group has the same number.
    program: Pid,
    /// Between SIGTERM and SIGKILL.
    grace: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// SIGTERM has been sent; then comes SIGKILL.
    kill_at: Option<Instant>,
    ended: bool,
    orphaned: bool,
}

impl Stopper {
    pub fn new(program: &Child, grace: Duration) -> Arc<Self> {
        Arc::new(Stopper { program: Pid::from_child(program), grace, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Ends the program's group: SIGTERM, the grace period, SIGKILL. Once, and not once it has ended. Does not wait.
    pub fn stop(self: &Arc<Self>) {
        let stopper = Arc::clone(self);
        thread::spawn(move || stopper.stop_and_wait());
    }

    /// Whoever started the agent is gone: stops the program.
    pub fn orphan(self: &Arc<Self>) {
        self.lock().orphaned = true;
        self.stop();
    }

    /// Whether whoever started the agent is gone.
    pub fn is_orphaned(&self) -> bool {
        self.lock().orphaned
    }

    /// When SIGKILL is due for whatever is still there: the time is running since the program was told to stop.
    pub fn kill_at(&self) -> Option<Instant> {
        self.lock().kill_at
    }

    /// Signals the program's group while the program is there.
    pub fn signal(&self, signal: Signal) {
        self.signal_if_there(&self.lock(), signal);
    }

    /// Waits for the program. Orphans that end meanwhile are waited for as well: they come to this process, and would
    /// fill the table of processes.
    pub fn wait(&self) -> std::io::Result<ExitStatus> {
        loop {
            // Only looks, so that the number stays taken until the lock is held.
            match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    self.ended(&mut self.lock());
                    return Err(error.into());
                }
            }
            let mut state = self.lock();
            while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
                if pid == self.program {
                    self.ended(&mut state);
                    return Ok(ExitStatus::from_raw(status.as_raw()));
                }
            }
        }
    }

    fn stop_and_wait(&self) {
        let mut state = self.lock();
        if state.ended || state.kill_at.is_some() {
            return;
        }
        state.kill_at = Some(Instant::now() + self.grace);
        self.signal_if_there(&state, Signal::TERM);
        let waited = self.changed.wait_timeout_while(state, self.grace, |state| !state.ended);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        self.signal_if_there(&state, Signal::KILL);
    }

    fn signal_if_there(&self, state: &State, signal: Signal) {
        if !state.ended {
            let _ = kill_process_group(self.program, signal);
        }
    }

    fn ended(&self, state: &mut State) {
        state.ended = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{kill_process, test_kill_process};
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    #[test]
    fn nothing_is_sent_once_the_program_has_been_waited_for() {
        // The group outlives the program, and stands for another's group of the same number.
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 300 & echo $!"]).process_group(0).stdout(Stdio::piped());
        let mut program = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(program.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let other = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        let stopper = Stopper::new(&program, Duration::ZERO);
        program.wait().unwrap();
        stopper.ended(&mut stopper.lock());
        stopper.signal(Signal::KILL);
        stopper.stop_and_wait();
        assert!(stopper.kill_at().is_none());
        let there = test_kill_process(other);
        let _ = kill_process(other, Signal::KILL);
        assert_eq!(there, Ok(()));
    }
}
