//! Ctrl-C and SIGTERM: the first asks for an orderly end, the second for an end at once.

use super::exit::Failure;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals. From here on neither ends the process by itself.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// The system does not let it.
    pub fn listen() -> Result<Self, Failure> {
        let one = |kind| signal(kind).map_err(|error| Failure::other(format!("signals cannot be waited for: {error}")));
        Ok(Signals { interrupt: one(SignalKind::interrupt())?, terminate: one(SignalKind::terminate())? })
    }

    /// The next of them.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Waits for an orderly end, but not when a person asks (again) meanwhile. Returns whether it was orderly.
    pub async fn unless_asked_again(&mut self, end: impl Future<Output = ()>) -> bool {
        tokio::select! {
            () = end => true,
            () = self.next() => false,
        }
    }
}
