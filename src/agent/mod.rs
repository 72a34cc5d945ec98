//! The in-pod program: wraps the command, collects its metrics, reports them and obeys a stop.
//!
//! `automl-agent exec -- COMMAND ARGUMENT...` starts the command without a shell, argv and exit code kept exactly, passes
//! its output on untouched, and reads a copy of it line by line. What the operator wants comes by environment variables
//! ([`crate::report::env`]); without them the command is just wrapped.

mod asking;
mod channel;
mod checkpoint;
mod child;
mod collect;
mod descendants;
mod door;
mod exec;
mod feed;
mod folder;
mod follow;
mod install;
mod key;
mod mlflow;
mod nni;
mod output;
mod parameters;
mod relay;
mod reporter;
mod route;
mod say;
mod settings;
mod stopper;
mod tail;

pub use feed::event_files;

use std::ffi::OsString;

/// Exit code for bad usage.
const USAGE: i32 = 2;
/// Exit code when the agent itself cannot do its work.
const CANNOT_RUN: i32 = 126;

/// Runs the agent with these arguments (without the program's name) and gives its exit code. `prefix` are the words by
/// which this program reaches the agent when it starts itself: none for `automl-agent`, `agent` for `automl`.
pub fn main(arguments: impl IntoIterator<Item = OsString>, prefix: &[&str]) -> i32 {
    let mut arguments = arguments.into_iter();
    let verb = arguments.next();
    let mut rest: Vec<OsString> = arguments.collect();
    if rest.first().is_some_and(|first| first == "--") {
        rest.remove(0);
    }
    match (verb.as_deref().and_then(|verb| verb.to_str()), rest.as_slice()) {
        (Some("exec"), [program, arguments @ ..]) => exec::exec(program, arguments, prefix),
        // In a pod's other containers.
        (Some("install"), [target]) => install::install(target),
        (Some("relay"), []) => relay::relay(),
        // Not for people: see `child`.
        (Some("child"), [parent, program, arguments @ ..]) => child::become_program(parent, program, arguments),
        _ => {
            eprintln!("usage: automl-agent exec -- COMMAND [ARGUMENT...]");
            USAGE
        }
    }
}
