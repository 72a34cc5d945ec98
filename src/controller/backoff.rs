//! How long to wait after a failure.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// Failures in a row, by key.
#[derive(Debug)]
pub struct Backoff<K> {
    failures: HashMap<K, u32>,
}

impl<K> Default for Backoff<K> {
    fn default() -> Self {
        Backoff { failures: HashMap::new() }
    }
}

impl<K: Clone + Eq + Hash> Backoff<K> {
    /// The key has failed: how long to wait before it is tried again. At least a second, doubled with each failure in a
    /// row up to five minutes, of which up to a quarter is taken off by chance.
    pub fn failed(&mut self, key: &K) -> Duration {
        let failures = self.failures.entry(key.clone()).or_default();
        *failures = failures.saturating_add(1);
        let whole = FIRST.saturating_mul(1 << (*failures - 1).min(9)).min(LONGEST);
        let taken_off = whole.mul_f64(0.25 * chance(&(key, *failures)));
        (whole - taken_off).max(FIRST)
    }

    /// How often in a row the key has failed.
    pub fn count(&self, key: &K) -> u32 {
        self.failures.get(key).copied().unwrap_or(0)
    }

    /// The key has succeeded.
    pub fn succeeded(&mut self, key: &K) {
        self.failures.remove(key);
    }
}

/// A number that differs between keys and is the same each time, so that a run can be replayed.
pub fn hash(key: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// Likewise, from 0 to 1.
pub fn chance(key: &impl Hash) -> f64 {
    f64::from(u32::try_from(hash(key) >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_from_one_second_to_five_minutes_and_starts_anew_after_success() {
        let mut backoff = Backoff::default();
        for most in [1.0_f64, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0, 300.0] {
            let wait = backoff.failed(&"a").as_secs_f64();
            assert!((most * 0.75).max(1.0) <= wait && wait <= most, "{wait} of {most}");
        }
        assert!(backoff.failed(&"b") <= FIRST, "keys do not share their failures");
        backoff.succeeded(&"a");
        assert!(backoff.failed(&"a") <= FIRST);
    }

    #[test]
    fn keys_do_not_wake_all_at_once() {
        let waits: std::collections::BTreeSet<u64> = (0..100).map(|key| (chance(&key) * 1000.0) as u64).collect();
        assert!(waits.len() > 80, "{}", waits.len());
    }
}
