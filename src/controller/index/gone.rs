//! What was deleted.

use std::collections::{HashMap, VecDeque};

/// UIDs of deleted objects with the resourceVersion of their deletion, the last few thousand: an answer that comes late
/// must not bring an object back.
#[derive(Default)]
pub(super) struct Gone {
    pub(super) versions: HashMap<String, u64>,
    pub(super) order: VecDeque<String>,
}

impl Gone {
    pub(super) const CAPACITY: usize = 4096;

    pub fn insert(&mut self, uid: Option<String>, version: u64) {
        let Some(uid) = uid else { return };
        match self.versions.get_mut(&uid) {
            Some(known) => *known = version.max(*known),
            None => {
                self.versions.insert(uid.clone(), version);
                self.order.push_back(uid);
            }
        }
        if self.order.len() > Self::CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.versions.remove(&oldest);
        }
    }

    /// This version is older than the deletion. (A Job that lost our label looks deleted but can be read later on.)
    pub fn covers(&self, uid: &str, version: u64) -> bool {
        self.versions.get(uid).is_some_and(|gone| version < *gone)
    }
}
