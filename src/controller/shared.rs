//! The index and the work queue, as the watches, the workers and the report route share them.

use super::failure::Failure;
use super::index::{Index, Key};
use super::queue::Queue;
use super::watch::Name;
use futures::future::BoxFuture;
use jiff::Timestamp;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// When values of a trial were received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The first one of its present attempt, where this process has received it.
    pub first: Option<Timestamp>,
    /// The latest one.
    pub last: Timestamp,
}

/// Where reports wait to be stored.
pub trait Unstored: Send + Sync {
    /// When values of this trial were received, if any was since this process began to take reports.
    fn heard(&self, trial: &Name) -> Option<Heard>;

    /// Step and value of this metric that this process has received last of this trial.
    fn latest(&self, trial: &Name, metric: &str) -> Option<(Option<u64>, f64)>;

    /// Stores what this trial has reported. True: there was something, and it is stored. An error: there is something,
    /// and it is not stored, so the trial must not be ended yet.
    fn store_now<'a>(&'a self, trial: &'a Name) -> BoxFuture<'a, Result<bool, Failure>>;
}

/// See the module.
#[derive(Default)]
pub struct Shared {
    index: Mutex<Index>,
    unstored: OnceLock<Weak<dyn Unstored>>,
    /// What wants attention.
    pub queue: Queue<Key>,
}

impl Shared {
    /// Tells where reports wait; once.
    pub fn set_unstored(&self, unstored: Weak<dyn Unstored>) {
        let _ = self.unstored.set(unstored);
    }

    /// Where reports wait, while there is such a place.
    pub fn unstored(&self) -> Option<Arc<dyn Unstored>> {
        self.unstored.get()?.upgrade()
    }

    /// Looks into the index or changes it. What that touches is put into the queue.
    pub fn with<R>(&self, act: impl FnOnce(&mut Index) -> R) -> R {
        let (result, touched) = {
            let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
            (act(&mut index), index.take_touched())
        };
        for key in touched {
            self.queue.add(key);
        }
        result
    }
}
