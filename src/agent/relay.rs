//! The agent in a container of its own, beside the program's: it takes over what the agent around the program has to say
//! and says it to the operator. So a program that is killed with all that is in its container loses nothing, and what the
//! operator could not be told by the pod's end is left as this container's termination message.

use super::reporter::Reporter;
use super::route::{LOCAL_TIMEOUT, Route, agent, read_line, write_line};
use super::say::say;
use super::settings::Settings;
use super::{CANNOT_RUN, USAGE};
use crate::report::{Ask, Called, Session};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Longest time for an answer of the operator to a question.
const LONGEST_ASK: Duration = Duration::from_secs(30);
/// Callers at a time: there is one program.
const MAX_CALLERS: usize = 16;

/// Listens until the pod ends, and gives the exit code to end with.
pub(super) fn relay() -> i32 {
    let settings = Settings::from_environment();
    let (Some(route @ Route::Operator { .. }), Some(socket)) = (settings.operator(), settings.socket.clone()) else {
        say("AUTOML_REPORT_URL and AUTOML_SOCKET must be set");
        return USAGE;
    };
    // Before anything can be taken over, so that none of it is dropped.
    let mut signals = match signal_hook::iterator::Signals::new([SIGTERM, SIGINT]) {
        Ok(signals) => signals,
        Err(error) => {
            say(format_args!("signals cannot be waited for: {error}"));
            return CANNOT_RUN;
        }
    };
    let listener = match listen(&socket) {
        Ok(listener) => listener,
        Err(error) => {
            say(format_args!("{} cannot be listened on: {error}", socket.display()));
            return CANNOT_RUN;
        }
    };
    // The program hears of a stop from the agent around it.
    let asking = route.clone();
    let reporter = Reporter::start(settings.whose.clone(), route, |stop| say(format_args!("stop: {}", stop.message)));
    let taking = Arc::clone(&reporter);
    std::thread::spawn(move || serve(&listener, &taking, &asking));
    signals.forever().next();
    if let Err(why) = reporter.settle(settings.flush) {
        say(format_args!("the operator did not store all that was measured: {why}"));
    }
    if let Some(words) = reporter.last_words()
        && let Err(error) = std::fs::write(&settings.last_words_file, words)
    {
        say(format_args!("{} cannot be written: {error}", settings.last_words_file.display()));
    }
    0
}

/// Whoever is in the pod may call: the program's container may run as any user.
fn listen(socket: &Path) -> std::io::Result<UnixListener> {
    // Left by an earlier process of this container.
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

fn serve(listener: &UnixListener, reporter: &Arc<Reporter>, route: &Route) {
    let callers = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming().flatten() {
        if callers.fetch_add(1, Ordering::Relaxed) >= MAX_CALLERS {
            callers.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (reporter, route, callers) = (Arc::clone(reporter), route.clone(), Arc::clone(&callers));
        std::thread::spawn(move || {
            // A caller that is gone says it again.
            let _ = answer(&stream, &reporter, &route);
            callers.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn answer(stream: &UnixStream, reporter: &Reporter, route: &Route) -> std::io::Result<()> {
    let batch = match read_line(stream, LOCAL_TIMEOUT)? {
        Called::Batch(batch) => batch,
        Called::Ask(Ask { ask_within_ms }) => {
            let within = Duration::from_millis(ask_within_ms).min(LONGEST_ASK);
            return write_line(stream, &route.ask(&agent(), within));
        }
    };
    let Ok(session) = batch.session.parse::<Session>() else {
        return Err(std::io::Error::other("no session"));
    };
    write_line(stream, &reporter.take(session, batch.after.unwrap_or(0), batch.records, batch.end))
}
