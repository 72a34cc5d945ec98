//! Subcommands for people. The only room that knows all others.

mod crd;
mod exit;

use clap::{Parser, Subcommand};
use std::ffi::OsString;

pub use exit::ExitCode;

/// AutoML experiments on Kubernetes and on a laptop.
#[derive(Debug, Parser)]
#[command(name = "automl", version, about, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the CustomResourceDefinitions
    Crd,
}

/// Parses the arguments, runs the subcommand, and says how the process is to end.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = match Arguments::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::Usage } else { ExitCode::Done };
        }
    };
    let result = match parsed.command {
        Command::Crd => crd::print(),
    };
    result.unwrap_or_else(|failure| {
        eprintln!("automl: {failure}");
        failure.code()
    })
}
