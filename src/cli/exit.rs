//! How a subcommand ends.

use std::fmt::Display;
use std::future::Future;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// 0: the experiment is complete, the file is valid.
    Done,
    /// 1: the experiment failed, or something else went wrong.
    Failed,
    /// 2: bad usage or an invalid file.
    Usage,
    /// 130: interrupted by a person; state is kept.
    Interrupted,
    /// The exit code of a wrapped program.
    Program(i32),
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        let code = match code {
            ExitCode::Done => 0,
            ExitCode::Failed => 1,
            ExitCode::Usage => 2,
            ExitCode::Interrupted => 130,
            ExitCode::Program(code) => u8::try_from(code).unwrap_or(255),
        };
        code.into()
    }
}

/// Why a subcommand could not do its work: a sentence for people.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line or a file is wrong.
    #[error("{0}")]
    Usage(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// What the person gave is wrong.
    pub fn usage(message: impl Display) -> Self {
        Failure::Usage(message.to_string())
    }

    /// Something else is.
    pub fn other(message: impl Display) -> Self {
        Failure::Other(message.to_string())
    }

    /// The exit code that goes with it.
    pub fn code(&self) -> ExitCode {
        match self {
            Failure::Usage(_) => ExitCode::Usage,
            Failure::Other(_) => ExitCode::Failed,
        }
    }
}

/// What a subcommand gives.
pub type Outcome = Result<ExitCode, Failure>;

/// Runs a subcommand that needs an async runtime.
pub fn in_runtime(command: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::other(format!("the async runtime does not start: {error}")))?;
    let outcome = runtime.block_on(command);
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    outcome
}
