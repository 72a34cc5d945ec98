//! Runs the program, from its start to its report.

use super::asking::Asking;
use super::channel::{Channel, Hearing};
use super::checkpoint::Directory;
use super::collect::Collector;
use super::descendants::{adopt_orphans, end_all};
use super::feed::Feed;
use super::mlflow::Tracking;
use super::output::{Lost, Reader, pass_on};
use super::parameters::ParametersFile;
use super::reporter::Reporter;
use super::say::say;
use super::settings::Settings;
use super::stopper::Stopper;
use super::{CANNOT_RUN, child};
use crate::metrics::Observation;
use crate::report::{Body, env};
use rustix::process::Signal;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Runs the program and gives the exit code to end with: its own, or 128 and the number of the signal that ended it.
pub(super) fn exec(program: &OsStr, arguments: &[OsString], prefix: &[&str]) -> i32 {
    let settings = Settings::from_environment();
    adopt_orphans();
    let checkpoint = match settings.checkpoint.as_ref().map(|told| Directory::prepare(told, &settings.whose.trial_uid))
    {
        None => None,
        Some(Ok(directory)) => Some(directory),
        Some(Err(why)) => {
            say(format_args!("the directory for checkpoints cannot be made: {why}"));
            return CANNOT_RUN;
        }
    };
    let parameters =
        settings.parameters.as_deref().filter(|_| !settings.has_parameters_file).and_then(ParametersFile::write);
    // Before the program starts: what is there by now is not its own.
    let mark = settings.whose.mark();
    let feed = Feed::new(&settings.source, &settings.metrics, &mark).unwrap_or_else(|why| {
        say(format_args!("metrics cannot be read: {why}"));
        None
    });
    let reader = Arc::new(Mutex::new(Reader::new(&settings.source, &settings.metrics)));
    let nni = reader.lock().unwrap_or_else(PoisonError::into_inner).nni();
    let channel = Channel::prepare(&settings, nni).unwrap_or_else(|error| {
        say(format_args!("metrics cannot be read: the program cannot be told where to say them: {error}"));
        None
    });
    let mut variables = channel.as_ref().map(Channel::variables).unwrap_or_default();
    if let Some(tracking) = Tracking::of(&settings.source) {
        tracking.prepare().unwrap_or_else(say);
        variables.extend(tracking.variables(&settings.whose));
    }
    variables.extend(parameters.as_ref().map(|file| (env::PARAMETERS_FILE, file.path().into())));
    let child = match start(program, arguments, prefix, &settings, variables) {
        Ok(child) => child,
        Err(error) => {
            say(format_args!("{} cannot be started: {error}", program.to_string_lossy()));
            return CANNOT_RUN;
        }
    };
    let stopper = Stopper::new(&child, settings.grace);
    forward_signals(&stopper);
    if settings.lifeline {
        watch_lifeline(&stopper);
    }
    let stopping = Arc::new(AtomicBool::new(false));
    let reporter = settings.route().map(|route| {
        let (stopper, stopping) = (Arc::clone(&stopper), Arc::clone(&stopping));
        let reporter = Reporter::start(settings.whose.clone(), route, move |stop| {
            stopping.store(true, Ordering::Relaxed);
            say(format_args!("stopping: {}", stop.message));
            stopper.stop();
        });
        reporter.begin();
        reporter
    });
    let anything = Arc::new(AtomicBool::new(false));
    let teller = || teller(reporter.as_ref(), &anything);
    let channel = channel.map(|channel| channel.open(Box::new(teller()), stopping));
    let asking = settings.query.zip(settings.route()).zip(reporter.clone());
    let asking =
        asking.map(|((interval, route), reporter)| Asking::start(route, interval, move |body| reporter.say(body)));
    let collector = feed.map(|feed| Collector::start(feed, teller()));
    let status = run(child, &stopper, &reader, teller, &settings);
    let mut misses = channel.map(Hearing::close).unwrap_or_default();
    misses.join(reader.lock().unwrap_or_else(PoisonError::into_inner).take_misses());
    // Of a program that was killed under a shell, the shell says 128 and the signal.
    let by_itself = status.as_ref().is_ok_and(|status| status.code().is_some_and(|code| code <= 128));
    let mut trouble = None;
    if let Some(collector) = collector {
        let missed;
        (trouble, missed) = collector.finish(by_itself);
        misses.join(missed);
    }
    if misses.lines > 0 {
        say(&misses);
        // Where something was read, it is not worth a person's time.
        trouble = trouble.or_else(|| (!anything.load(Ordering::Relaxed)).then(|| misses.to_string()));
    }
    if let (Some(trouble), Some(reporter)) = (trouble, &reporter) {
        reporter.say(Body::Trouble(trouble));
    }
    if let Some(asking) = asking {
        asking.finish(by_itself && stopper.kill_at().is_none());
    }
    if let Some(directory) = checkpoint {
        directory.leave();
    }
    // Whoever started the agent on a laptop is the operator as well: gone, it stores nothing.
    let patience = if stopper.is_orphaned() { Duration::ZERO } else { settings.flush };
    report_end(&status, &reader, misses.lines, reporter.as_ref(), patience);
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
    variables: Vec<(&'static str, OsString)>,
) -> std::io::Result<Child> {
    let mut command = child::command(program, arguments, prefix)?;
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if settings.lifeline {
        command.stdin(Stdio::null());
    }
    command.env_remove(env::LIFELINE);
    command.envs(variables).spawn()
}

/// Waits for the program, then for whatever it has left behind, and for the output of both.
///
/// The trial is the process that was started: with its end the trial has ended, and with its exit code. What it has left
/// behind, daemons in sessions of their own included, is stopped. What these print until then is passed on and counts
/// like the program's own; a line says that they were stopped, since a program that was meant to run on in the
/// background loses by it.
fn run<T: Fn(Vec<Observation>, Option<Vec<String>>) + Send + 'static>(
    mut child: Child,
    stopper: &Stopper,
    reader: &Arc<Mutex<Reader>>,
    teller: impl Fn() -> T,
    settings: &Settings,
) -> std::io::Result<ExitStatus> {
    let streams = [
        child.stdout.take().map(|from| pump(from, unbuffered(&std::io::stdout()), "output", reader, teller())),
        child.stderr.take().map(|from| pump(from, unbuffered(&std::io::stderr()), "error output", reader, teller())),
    ];
    let status = stopper.wait();
    end_all(stopper.kill_at(), settings.grace);
    for stream in streams.into_iter().flatten() {
        let _ = stream.join();
    }
    status
}

/// The stream itself, without the buffer that the standard library has for it.
fn unbuffered(stream: &impl AsFd) -> Box<dyn Write + Send> {
    match stream.as_fd().try_clone_to_owned() {
        Ok(stream) => Box::new(File::from(stream)),
        Err(error) => {
            say(format_args!("the program's output cannot be passed on: {error}"));
            Box::new(std::io::sink())
        }
    }
}

fn pump(
    from: impl Read + Send + 'static,
    to: impl Write + Send + 'static,
    what: &'static str,
    reader: &Arc<Mutex<Reader>>,
    tell: impl Fn(Vec<Observation>, Option<Vec<String>>) + Send + 'static,
) -> thread::JoinHandle<()> {
    let reader = Arc::clone(reader);
    thread::spawn(move || {
        let lost = pass_on(from, to, &reader, tell);
        if let Some(Lost { bytes, why }) = lost {
            say(format_args!("{bytes} bytes of the program's {what} could not be passed on: {why}"));
        }
    })
}

/// Says what was read: observations, and the names of what nobody asked for. `anything`: there was an observation.
fn teller(
    reporter: Option<&Arc<Reporter>>,
    anything: &Arc<AtomicBool>,
) -> impl Fn(Vec<Observation>, Option<Vec<String>>) + Send + use<> {
    let (reporter, anything) = (reporter.cloned(), Arc::clone(anything));
    move |observations, seen| {
        anything.fetch_or(!observations.is_empty(), Ordering::Relaxed);
        let Some(reporter) = &reporter else { return };
        observations.into_iter().for_each(|observation| reporter.say(Body::Observation(observation)));
        if let Some(names) = seen {
            reporter.say(Body::Seen(names));
        }
    }
}

fn report_end(
    status: &std::io::Result<ExitStatus>,
    reader: &Arc<Mutex<Reader>>,
    parse_misses: u64,
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
        left_out: 0,
        parse_misses,
    };
    if let Err(why) = reporter.finish(ended, patience) {
        say(format_args!("the operator did not store all that was measured: {why}"));
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
                stopper.stop();
            } else if let Some(signal) = Signal::from_named_raw(signal) {
                stopper.signal(signal);
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
        stopper.orphan();
    });
}
