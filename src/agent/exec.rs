//! Runs the program, from its start to its report.

use super::child;
use super::descendants::{adopt_orphans, end_all, signal_group};
use super::output::{Reader, pass_on};
use super::reporter::Reporter;
use super::settings::Settings;
use crate::report::{Body, env};
use rustix::process::Signal;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Exit code when the agent itself cannot do its work.
const CANNOT_RUN: i32 = 126;

/// Runs the program and gives the exit code to end with: its own, or 128 and the number of the signal that ended it.
pub(super) fn exec(program: &OsStr, arguments: &[OsString], prefix: &[&str]) -> i32 {
    let settings = Settings::from_environment();
    adopt_orphans();
    let parameters = settings.parameters.as_deref().and_then(ParametersFile::write);
    let child = match start(program, arguments, prefix, &settings, parameters.as_ref()) {
        Ok(child) => child,
        Err(error) => {
            eprintln!("automl-agent: {} cannot be started: {error}", program.to_string_lossy());
            return CANNOT_RUN;
        }
    };
    let stopper = Arc::new(Stopper::new(child.id(), settings.grace));
    forward_signals(&stopper);
    if settings.lifeline {
        watch_lifeline(&stopper);
    }
    let reporter = settings.report.clone().map(|report| {
        let stopper = Arc::clone(&stopper);
        Reporter::start(report, move |stop| {
            eprintln!("automl-agent: stopping: {}", stop.message);
            stopper.stop();
        })
    });
    let reader = Arc::new(Mutex::new(Reader::new(settings.metrics.clone())));
    let status = run(child, &reader, reporter.as_ref(), &settings);
    // Whoever started the agent on a laptop is the operator as well: gone, it stores nothing.
    let patience = if stopper.orphaned.load(Ordering::SeqCst) { Duration::ZERO } else { settings.flush };
    report_end(&status, &reader, reporter.as_ref(), patience);
    match (&status, status.as_ref().ok().and_then(ExitStatus::code)) {
        (_, Some(code)) => code,
        (Ok(status), None) => 128 + status.signal().unwrap_or(0),
        (Err(_), _) => CANNOT_RUN,
    }
}

fn start(
    program: &OsStr,
    arguments: &[OsString],
    prefix: &[&str],
    settings: &Settings,
    parameters: Option<&ParametersFile>,
) -> std::io::Result<Child> {
    let mut command = child::command(program, arguments, prefix)?;
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if settings.lifeline {
        command.stdin(Stdio::null());
    }
    command.env_remove(env::LIFELINE);
    if let Some(file) = parameters {
        command.env(env::PARAMETERS_FILE, &file.path);
    }
    command.spawn()
}

/// Waits for the program, then for its output and whatever it has left behind.
fn run(
    mut child: Child,
    reader: &Arc<Mutex<Reader>>,
    reporter: Option<&Arc<Reporter>>,
    settings: &Settings,
) -> std::io::Result<ExitStatus> {
    let streams = [
        child.stdout.take().map(|stream| pump(stream, std::io::stdout(), reader, reporter)),
        child.stderr.take().map(|stream| pump(stream, std::io::stderr(), reader, reporter)),
    ];
    let status = child.wait();
    // What it has started and left behind holds its output open; it ends with the trial.
    end_all(settings.grace);
    for stream in streams.into_iter().flatten() {
        let _ = stream.join();
    }
    status
}

fn pump(
    from: impl Read + Send + 'static,
    to: impl std::io::Write + Send + 'static,
    reader: &Arc<Mutex<Reader>>,
    reporter: Option<&Arc<Reporter>>,
) -> thread::JoinHandle<()> {
    let (reader, reporter) = (Arc::clone(reader), reporter.cloned());
    thread::spawn(move || {
        pass_on(from, to, &reader, |observations, seen| {
            let Some(reporter) = &reporter else { return };
            observations.into_iter().for_each(|observation| reporter.say(Body::Observation(observation)));
            if let Some(names) = seen {
                reporter.say(Body::Seen(names));
            }
        });
    })
}

fn report_end(
    status: &std::io::Result<ExitStatus>,
    reader: &Arc<Mutex<Reader>>,
    reporter: Option<&Arc<Reporter>>,
    patience: Duration,
) {
    let Some(reporter) = reporter else { return };
    let status = status.as_ref().ok();
    let tail = reader.lock().unwrap_or_else(PoisonError::into_inner).tail();
    let ended = Body::Ended {
        exit_code: status.and_then(ExitStatus::code),
        signal: status.and_then(ExitStatusExt::signal),
        tail,
    };
    if !reporter.finish(ended, patience) {
        eprintln!("automl-agent: the operator did not store all that was measured");
    }
}

/// Ends the program: SIGTERM to its group, the grace period, SIGKILL. Once.
struct Stopper {
    group: u32,
    grace: Duration,
    stopping: AtomicBool,
    /// Whoever started the agent is gone.
    orphaned: AtomicBool,
}

impl Stopper {
    fn new(group: u32, grace: Duration) -> Self {
        Stopper { group, grace, stopping: AtomicBool::new(false), orphaned: AtomicBool::new(false) }
    }

    fn stop(&self) {
        if self.stopping.swap(true, Ordering::SeqCst) {
            return;
        }
        signal_group(self.group, Signal::TERM);
        thread::sleep(self.grace);
        signal_group(self.group, Signal::KILL);
    }
}

/// Signals go to the program's group; SIGTERM also starts the clock towards SIGKILL.
fn forward_signals(stopper: &Arc<Stopper>) {
    let wanted = [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH];
    let Ok(mut signals) = signal_hook::iterator::Signals::new(wanted) else { return };
    let stopper = Arc::clone(stopper);
    thread::spawn(move || {
        for signal in signals.forever() {
            if signal == SIGTERM {
                let stopper = Arc::clone(&stopper);
                thread::spawn(move || stopper.stop());
            } else if let Some(signal) = Signal::from_named_raw(signal) {
                signal_group(stopper.group, signal);
            }
        }
    });
}

/// Standard input is held open by whoever started the agent: its end is theirs.
fn watch_lifeline(stopper: &Arc<Stopper>) {
    let stopper = Arc::clone(stopper);
    thread::spawn(move || {
        let mut buffer = [0; 64];
        let mut input = std::io::stdin();
        while matches!(input.read(&mut buffer), Ok(count) if count > 0) {}
        stopper.orphaned.store(true, Ordering::SeqCst);
        stopper.stop();
    });
}

/// The trial's parameters in a file of their own, removed at the end.
struct ParametersFile {
    folder: PathBuf,
    path: PathBuf,
}

impl ParametersFile {
    fn write(parameters: &str) -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("automl-{}", std::process::id()));
        let path = folder.join("parameters.json");
        let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, parameters));
        if let Err(error) = &written {
            eprintln!("automl-agent: {} cannot be written: {error}", path.display());
        }
        written.ok().map(|()| ParametersFile { folder, path })
    }
}

impl Drop for ParametersFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
