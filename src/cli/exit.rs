//! How a subcommand ends.

use std::fmt::Display;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// 0: it did what was asked.
    Done,
    /// 1: something went wrong.
    Failed,
    /// 2: bad usage.
    Usage,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        let code: u8 = match code {
            ExitCode::Done => 0,
            ExitCode::Failed => 1,
            ExitCode::Usage => 2,
        };
        code.into()
    }
}

/// Why a subcommand could not do its work: a sentence for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl Failure {
    /// Something went wrong.
    pub fn other(message: impl Display) -> Self {
        Failure(message.to_string())
    }

    /// The exit code that goes with it.
    pub fn code(&self) -> ExitCode {
        ExitCode::Failed
    }
}

/// What a subcommand gives.
pub type Outcome = Result<ExitCode, Failure>;
