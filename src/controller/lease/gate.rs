//! Whether this process may write.

use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// Open while this process holds the lease. It shuts by itself when the lease runs out, even if the task that renews it
/// is not scheduled.
#[derive(Clone, Debug)]
pub struct Gate {
    state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    until: Until,
    /// How often it was opened after it was shut.
    openings: u64,
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
        Gate { state: Arc::new(watch::Sender::new(State { until: Until::Shut, openings: 0 })) }
    }

    /// A gate for a process that has no rival.
    pub fn always_open() -> Self {
        Gate { state: Arc::new(watch::Sender::new(State { until: Until::Always, openings: 1 })) }
    }

    /// Opens it until this instant.
    pub fn open_until(&self, instant: Instant) {
        self.state.send_modify(|state| {
            state.openings += u64::from(!state.is_open());
            state.until = Until::Open(instant);
        });
    }

    /// Shuts it, at once.
    pub fn close(&self) {
        self.state.send_modify(|state| state.until = Until::Shut);
    }

    /// Whether it is open now.
    pub fn is_open(&self) -> bool {
        self.state.borrow().is_open()
    }

    /// Returns the number of times it was opened once that is more than `known`: while it was shut, work was put off, of
    /// which nothing else reminds.
    pub async fn opened(&self, known: u64) -> u64 {
        let mut state = self.state.subscribe();
        let openings = state.wait_for(|state| state.openings > known).await.map(|state| state.openings);
        match openings {
            Ok(openings) => openings,
            Err(_) => std::future::pending().await,
        }
    }
}

impl State {
    fn is_open(&self) -> bool {
        match self.until {
            Until::Shut => false,
            Until::Open(until) => Instant::now() < until,
            Until::Always => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::time::Duration;

    const TEN: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn shuts_by_itself() {
        let gate = Gate::shut();
        assert!(!gate.is_open());
        gate.open_until(Instant::now() + TEN);
        assert!(gate.is_open());
        tokio::time::advance(TEN).await;
        assert!(!gate.is_open());
        gate.open_until(Instant::now() + TEN);
        gate.close();
        assert!(!gate.is_open());
        assert!(Gate::always_open().is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn tells_of_each_opening_and_of_no_renewal() {
        let gate = Gate::shut();
        assert_eq!(gate.opened(0).now_or_never(), None);
        gate.open_until(Instant::now() + TEN);
        assert_eq!(gate.opened(0).now_or_never(), Some(1));
        tokio::time::advance(TEN / 2).await;
        gate.open_until(Instant::now() + TEN);
        assert_eq!(gate.opened(1).now_or_never(), None, "it was open all the time");
        // A renewal that is answered late, with nobody looking on meanwhile.
        tokio::time::advance(TEN).await;
        gate.open_until(Instant::now() + TEN);
        assert_eq!(gate.opened(1).now_or_never(), Some(2));
        gate.close();
        gate.open_until(Instant::now() + TEN);
        assert_eq!(gate.opened(2).now_or_never(), Some(3));
        assert_eq!(Gate::always_open().opened(0).now_or_never(), Some(1));
    }
}
