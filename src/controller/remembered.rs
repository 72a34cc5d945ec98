//! What the API server says about tokens, asked for once and remembered for a while.

use super::tokens::Denied;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

const REMEMBER: Duration = Duration::from_secs(60);
const REMEMBER_DENIED: Duration = Duration::from_secs(5);
const CAPACITY: usize = 20_000;
pub(super) const MAX_TOKEN: usize = 16 * 1024;
/// Tokens that are looked into at a time: a stranger with many must not make us flood the API server.
pub(super) const CONCURRENCY: usize = 8;
/// How long a caller waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module. `T`: what is known of whoever shows a token.
pub struct Remembered<T> {
    keys: (RandomState, RandomState),
    turns: Semaphore,
    known: Mutex<HashMap<u128, Known<T>>>,
}

/// Until when an answer holds, and the answer.
type Known<T> = (Instant, Result<T, Denied>);

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        let keys = (RandomState::new(), RandomState::new());
        Remembered { keys, turns: Semaphore::new(CONCURRENCY), known: Mutex::default() }
    }
}

impl<T: Clone> Remembered<T> {
    /// What is known about this token and `what` it is shown for; `ask` is polled only where nothing is.
    ///
    /// # Errors
    /// Those of `ask`; there is no token; too many others are asked about.
    pub async fn answer(
        &self,
        token: &str,
        what: &str,
        ask: impl Future<Output = Result<T, Denied>>,
    ) -> Result<T, Denied> {
        if token.is_empty() || token.len() > MAX_TOKEN {
            return Err(Denied::Token("there is none, or it is too long".into()));
        }
        let key = self.key(token, what);
        if let Some(known) = self.remembered(key) {
            return known;
        }
        let Ok(Ok(_turn)) = timeout(PATIENCE, self.turns.acquire()).await else { return Err(Denied::Busy) };
        // Another call with the same token may have had its turn before.
        if let Some(known) = self.remembered(key) {
            return known;
        }
        let answer = ask.await;
        let keep = match &answer {
            Ok(_) => REMEMBER,
            Err(Denied::Unavailable(_) | Denied::Busy) => return answer,
            Err(_) => REMEMBER_DENIED,
        };
        let mut known = self.lock();
        let now = Instant::now();
        if known.len() >= CAPACITY {
            known.retain(|_, (until, _)| *until > now);
        }
        if known.len() >= CAPACITY {
            // Strangers must not push out our own.
            known.retain(|_, (_, answer)| answer.is_ok());
        }
        if known.len() >= CAPACITY {
            known.clear();
        }
        known.insert(key, (now + keep, answer.clone()));
        answer
    }

    fn remembered(&self, key: u128) -> Option<Result<T, Denied>> {
        self.lock().get(&key).filter(|(until, _)| *until > Instant::now()).map(|(_, answer)| answer.clone())
    }

    /// Tokens themselves are not kept. The keys of the hashes are this process's own and random.
    fn key(&self, token: &str, what: &str) -> u128 {
        let both = (token, what);
        u128::from(self.keys.0.hash_one(both)) << 64 | u128::from(self.keys.1.hash_one(both))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u128, Known<T>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
