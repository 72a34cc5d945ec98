//! How often one trial may report: a bucket of tokens for each, so that one that is beside itself costs the others nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// From this many buckets on the full ones, which are like none, are looked for.
const MANY: usize = 1024;

/// How many requests of one trial are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// One more each time that this has passed.
    pub every: Duration,
    /// So many at once, after a time without any.
    pub burst: u32,
}

impl Rate {
    /// An agent sends one a second at most, and at its end as many as it takes: this is enough for a trial of many pods that
    /// all report.
    pub const GENEROUS: Rate = Rate { every: Duration::from_millis(50), burst: 100 };
}

/// See the module.
#[derive(Debug)]
pub(super) struct Buckets {
    rate: Rate,
    /// By the trial's UID, when its bucket will be full again.
    full_at: Mutex<HashMap<String, Instant>>,
}

impl Buckets {
    pub fn new(rate: Rate) -> Self {
        Buckets { rate, full_at: Mutex::default() }
    }

    /// Takes a token of a trial's.
    ///
    /// # Errors
    /// There is none; the time in which there will be one.
    pub fn take(&self, trial_uid: &str, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MANY && !buckets.contains_key(trial_uid) {
            buckets.retain(|_, full_at| *full_at > now);
        }
        let full_at = buckets.get(trial_uid).copied().unwrap_or(now).max(now) + self.rate.every;
        let room = self.rate.every.saturating_mul(self.rate.burst);
        match full_at.duration_since(now).checked_sub(room) {
            None | Some(Duration::ZERO) => {
                buckets.insert(trial_uid.to_owned(), full_at);
                Ok(())
            }
            Some(wait) => Err(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATE: Rate = Rate { every: Duration::from_millis(100), burst: 3 };

    #[test]
    fn a_trial_has_its_burst_and_then_its_rate() {
        let (buckets, start) = (Buckets::new(RATE), Instant::now());
        let at = |millis: u64| start + Duration::from_millis(millis);
        // milliseconds, trial -> milliseconds to wait
        let table = [
            (0, "a", None),
            (0, "a", None),
            (0, "a", None),
            (0, "a", Some(100)),
            (30, "a", Some(70)),
            (30, "b", None),
            (100, "a", None),
            (100, "a", Some(100)),
            (320, "a", None),
            (320, "a", None),
            (320, "a", Some(80)),
            (10_000, "a", None),
            (10_000, "a", None),
            (10_000, "a", None),
            (10_000, "a", Some(100)),
        ];
        for (millis, trial, wait) in table {
            let taken = buckets.take(trial, at(millis));
            assert_eq!(taken, wait.map_or(Ok(()), |wait| Err(Duration::from_millis(wait))), "{trial} at {millis}");
        }
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let (buckets, start) = (Buckets::new(RATE), Instant::now());
        for trial in 0..100_000_u32 {
            let now = start + Duration::from_millis(trial.into());
            buckets.take(&trial.to_string(), now).unwrap();
        }
        assert!(buckets.full_at.lock().unwrap().len() <= MANY);
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_the_rate_and_who_waits_gets_one(pauses in prop::collection::vec(0_u64..400, 1..200)) {
            let (buckets, start) = (Buckets::new(RATE), Instant::now());
            let (mut now, mut taken) = (start, Vec::new());
            for pause in pauses {
                now += Duration::from_millis(pause);
                match buckets.take("t", now) {
                    Ok(()) => taken.push(now),
                    Err(wait) => {
                        prop_assert!(wait <= RATE.every && buckets.take("t", now + wait - Duration::from_millis(1)).is_err());
                        now += wait;
                        prop_assert_eq!(buckets.take("t", now), Ok(()));
                        taken.push(now);
                    }
                }
            }
            for (first, from) in taken.iter().enumerate() {
                for (last, to) in taken.iter().enumerate().skip(first) {
                    let most = f64::from(RATE.burst) + (*to - *from).div_duration_f64(RATE.every);
                    prop_assert!((last - first + 1) as f64 <= most + 1e-9, "{first} to {last}");
                }
            }
        }
    }
}
