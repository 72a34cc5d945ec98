//! Whether this process may write.

use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// Open while this process holds the lease. It shuts by itself when the lease runs out, even if the task that renews it
/// is not scheduled.
#[derive(Clone, Debug)]
pub struct Gate {
    until: Arc<watch::Sender<Until>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Shut,
    Open(Instant),
    Always,
}

impl Gate {
    /// A gate that is shut until it is opened.
    pub fn shut() -> Self {
        Gate { until: Arc::new(watch::Sender::new(Until::Shut)) }
    }

    /// A gate for a process that has no rival.
    pub fn always_open() -> Self {
        Gate { until: Arc::new(watch::Sender::new(Until::Always)) }
    }

    /// Opens it until this instant.
    pub fn open_until(&self, instant: Instant) {
        self.until.send_replace(Until::Open(instant));
    }

    /// Shuts it, at once.
    pub fn close(&self) {
        self.until.send_replace(Until::Shut);
    }

    /// Whether it is open now.
    pub fn is_open(&self) -> bool {
        match *self.until.borrow() {
            Until::Shut => false,
            Until::Open(until) => Instant::now() < until,
            Until::Always => true,
        }
    }

    /// Returns once it is open.
    pub async fn opened(&self) {
        let mut until = self.until.subscribe();
        while !self.is_open() {
            if until.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn shuts_by_itself() {
        let gate = Gate::shut();
        assert!(!gate.is_open());
        assert!(gate.opened().now_or_never().is_none());
        gate.open_until(Instant::now() + Duration::from_secs(10));
        assert!(gate.is_open());
        assert!(gate.opened().now_or_never().is_some());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!gate.is_open());
        gate.open_until(Instant::now() + Duration::from_secs(10));
        gate.close();
        assert!(!gate.is_open());
        assert!(Gate::always_open().is_open());
    }
}
