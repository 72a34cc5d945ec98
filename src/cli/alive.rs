//! When this machine was last at work: a file whose time is moved on while a process works in the state folder. The time
//! in which nothing could run is not the experiment's.

use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often it is moved on. So much of a machine's last work is forgotten at most.
const BEAT: Duration = Duration::from_secs(5);

/// The mark in a state folder.
pub struct Alive(PathBuf);

impl Alive {
    /// In this state folder, which must be nobody else's now.
    pub fn new(state_dir: &Path) -> Self {
        Alive(state_dir.join("alive"))
    }

    /// From when to when nobody worked here; `None` when nobody ever has.
    pub fn away(&self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let last = std::fs::metadata(&self.0).and_then(|metadata| metadata.modified()).ok()?;
        let last = Timestamp::try_from(last).ok()?;
        (last < now).then_some((last, now))
    }

    /// Somebody works here now.
    pub fn mark(&self) {
        if let Err(error) = std::fs::write(&self.0, "") {
            tracing::debug!(%error, "cannot mark the state folder as in use; the time until the next start will count");
        }
    }

    /// Marks it for as long as this is polled.
    pub async fn beat(self) {
        let mut beat = tokio::time::interval(BEAT);
        loop {
            beat.tick().await;
            self.mark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_from_when_to_when_nobody_worked_here() {
        let folder = tempfile::tempdir().unwrap();
        let alive = Alive::new(folder.path());
        let later = Timestamp::MAX;
        assert_eq!(alive.away(later), None, "never");
        alive.mark();
        let (from, to) = alive.away(later).unwrap();
        assert!(from > Timestamp::UNIX_EPOCH && to == later);
        assert_eq!(alive.away(Timestamp::UNIX_EPOCH), None, "the clock went back");
        alive.mark();
        assert!(alive.away(later).unwrap().0 >= from);
    }
}
