//! Time for decisions.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Tells the time. Under a paused tokio clock, one made by [`Clock::starting_at`] stands still, too.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Option<(Timestamp, Instant)>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Clock { origin: None }
    }

    /// A clock that shows `base` now and moves with tokio's clock.
    pub fn starting_at(base: Timestamp) -> Self {
        Clock { origin: Some((base, Instant::now())) }
    }

    /// The present time.
    pub fn now(&self) -> Timestamp {
        match self.origin {
            None => Timestamp::now(),
            Some((base, start)) => {
                let elapsed = SignedDuration::try_from(start.elapsed()).unwrap_or(SignedDuration::MAX);
                base.checked_add(elapsed).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// The instant at which this clock will show `at`; the present one when it has passed.
    pub fn instant(&self, at: Timestamp) -> Instant {
        let left = std::time::Duration::try_from(at.duration_since(self.now())).unwrap_or_default();
        Instant::now().checked_add(left).unwrap_or_else(Instant::now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn moves_with_the_paused_clock_only() {
        let base: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = Clock::starting_at(base);
        assert_eq!(clock.now(), base);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.now().to_string(), "2026-01-01T00:01:30Z");
        let later: Timestamp = "2026-01-01T00:02:00Z".parse().unwrap();
        assert_eq!(clock.instant(later) - Instant::now(), Duration::from_secs(30));
        assert_eq!(clock.instant(base), Instant::now());
    }
}
