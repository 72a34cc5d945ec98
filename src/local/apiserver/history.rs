//! What has changed of late in one kind, for watches that read on or resume, and for lists of an earlier moment.
//!
//! Each change holds on to a whole object, so the history is bounded by its size and not by its number alone.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{
    object::Object,
    store::{Change, Key},
};

/// Changes kept for watches that resume, and bytes of them as JSON. An object in memory takes some ten times its text.
const KEPT: Bound = Bound { changes: 1_024, bytes: 1 << 20 };
/// Kept for a watch that is slow, at most.
const LIMIT: Bound = Bound { changes: 65_536, bytes: 16 << 20 };
/// Changes whose length may be unknown: their texts are being made, and the store does not wait for that.
const UNMEASURED: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Bound {
    changes: usize,
    bytes: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Each with the length of its object as JSON.
    changes: VecDeque<(Arc<Change>, usize)>,
    bytes: usize,
    /// How many of the newest have a length that is not known yet.
    unmeasured: usize,
    /// Changes up to this resourceVersion are forgotten.
    compacted: u64,
}

impl History {
    /// Nothing is known of what was before this resourceVersion.
    pub fn since(resource_version: u64) -> Self {
        Self { compacted: resource_version, ..Self::default() }
    }

    /// Changes up to this resourceVersion are forgotten.
    pub fn compacted(&self) -> u64 {
        self.compacted
    }

    /// Adds the newest change.
    pub fn push(&mut self, change: Arc<Change>) {
        self.changes.push_back((change, 0));
        self.unmeasured += 1;
        while let Some((change, bytes)) =
            self.changes.len().checked_sub(self.unmeasured).and_then(|at| self.changes.get_mut(at))
        {
            let object = change.after.as_ref().or(change.removed.as_ref());
            // The text has been made by now, as a rule: for its answer, or a watch.
            let length = match object {
                Some(object) if self.unmeasured <= UNMEASURED => object.known_length(),
                object => Some(object.map_or(0, |object| object.json().len())),
            };
            let Some(length) = length else { break };
            *bytes = length;
            self.bytes += length;
            self.unmeasured -= 1;
        }
    }

    /// Forgets old changes: those that every watch has read (`slowest` is how far the slowest one has), and in any case
    /// what is beyond all measure. Returns them.
    pub fn trim(&mut self, slowest: impl FnOnce() -> u64) -> Vec<Arc<Change>> {
        let mut forgotten = Vec::new();
        // Not one by one.
        if !self.exceeds(Bound { changes: 2 * KEPT.changes, bytes: 2 * KEPT.bytes }) {
            return forgotten;
        }
        let slowest = slowest();
        while self.exceeds(KEPT) {
            match self.changes.front() {
                Some((oldest, bytes)) if oldest.resource_version <= slowest || self.exceeds(LIMIT) => {
                    self.compacted = oldest.resource_version;
                    self.bytes -= bytes;
                    self.unmeasured = self.unmeasured.min(self.changes.len() - 1);
                    forgotten.extend(self.changes.pop_front().map(|(change, _)| change));
                }
                _ => break,
            }
        }
        forgotten
    }

    fn exceeds(&self, bound: Bound) -> bool {
        self.changes.len() > bound.changes || self.bytes > bound.bytes
    }

    /// The changes after `cursor`, oldest first.
    pub fn after(&self, cursor: u64) -> impl Iterator<Item = &Arc<Change>> {
        let first = self.changes.partition_point(|(change, _)| change.resource_version <= cursor);
        self.changes.range(first..).map(|(change, _)| change)
    }

    /// What differed at resourceVersion `at`: the objects changed since, as they were (`None`: not there).
    /// `None` altogether if the history does not reach back that far.
    pub fn differences_at(&self, at: u64) -> Option<BTreeMap<Key, Option<Arc<Object>>>> {
        if at < self.compacted {
            return None;
        }
        let mut differences = BTreeMap::new();
        for (change, _) in self.changes.iter().rev().take_while(|(change, _)| change.resource_version > at) {
            differences.insert(change.key.clone(), change.before.clone());
        }
        Some(differences)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A history into which so many changes of objects of about this size came, and how much it had at most.
    fn filled(changes: u64, size: usize, slowest: u64) -> (History, usize, usize) {
        let mut history = History::default();
        let (mut most, mut most_bytes, mut forgotten) = (0, 0, 0);
        for version in 1..=changes {
            let object = Object::new(json!({"data": "x".repeat(size)}), version);
            let key = Key::new("ns", &version.to_string());
            let change = Change { key, resource_version: version, before: None, after: Some(object), removed: None };
            history.push(Arc::new(change));
            forgotten += history.trim(|| slowest).len();
            assert_eq!(history.changes.len() + forgotten, version as usize);
            (most, most_bytes) = (most.max(history.changes.len()), most_bytes.max(history.bytes));
            let there: usize = history.changes.iter().map(|(_, bytes)| bytes).sum();
            assert_eq!(there, history.bytes);
        }
        (history, most, most_bytes)
    }

    #[test]
    fn bounded_by_number_and_by_size() {
        let (history, most, bytes) = filled(5_000, 10, u64::MAX);
        assert!(most <= 2 * KEPT.changes && history.changes.len() >= KEPT.changes, "{most}");
        assert!(bytes < KEPT.bytes);
        let (history, most, bytes) = filled(1_000, 20_000, u64::MAX);
        assert!(bytes <= 2 * KEPT.bytes + 21_000, "{bytes}");
        assert!(most < 200 && history.changes.len() > 40, "{most}");
        assert_eq!(history.after(999).count(), 1, "the newest is there");
        let first = history.compacted();
        assert!(history.differences_at(first).is_some_and(|there| there.len() == history.changes.len()));
        assert!(history.differences_at(first - 1).is_none());
    }

    #[test]
    fn what_a_slow_watch_has_not_read_is_kept_up_to_a_limit() {
        let (history, ..) = filled(500, 20_000, 100);
        assert_eq!((history.compacted(), history.after(100).count()), (100, 400));
        let (history, _, bytes) = filled(2_000, 20_000, 100);
        assert!(bytes <= LIMIT.bytes + 21_000 && history.compacted() > 100, "{bytes}");
        assert_eq!(history.after(1_999).count(), 1);
    }
}
