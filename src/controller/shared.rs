//! The index and the work queue, as the watches, the workers and the report route share them.

use super::index::{Index, Key};
use super::queue::Queue;
use std::sync::{Mutex, PoisonError};

/// See the module.
#[derive(Default)]
pub struct Shared {
    index: Mutex<Index>,
    /// What wants attention.
    pub queue: Queue<Key>,
}

impl Shared {
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
