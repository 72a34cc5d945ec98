//! What one trial has reported and is not yet stored.

use crate::metrics::Observation;
use crate::report::{Batch, Body, Progress, Record};
use std::collections::BTreeMap;

/// Most records that wait: the API server may be away for long, and an agent that has to drop some of its own records
/// sends later ones in their place.
const MAX_RECORDS: usize = 4096;
/// Most metrics whose latest value is remembered.
const MAX_LATEST: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Pending {
    /// UID of the Trial.
    pub uid: String,
    /// By session; later ones are greater.
    sessions: BTreeMap<String, Session>,
    /// The latest value of each metric, stored or not.
    pub latest: BTreeMap<String, Observation>,
}

#[derive(Debug)]
struct Session {
    attempt: u32,
    records: BTreeMap<u64, Record>,
}

impl Pending {
    pub(super) fn new(uid: &str) -> Self {
        Pending { uid: uid.to_owned(), sessions: BTreeMap::new(), latest: BTreeMap::new() }
    }

    /// Takes what is neither stored nor pending, as far as there is room; returns how many records that were. What is not
    /// taken is not acknowledged, so that it is said again.
    pub(super) fn take(&mut self, batch: &Batch, stored: &Progress) -> usize {
        let (mut taken, mut room) = (0, MAX_RECORDS.saturating_sub(self.len()));
        for record in stored.news(batch) {
            let known = self.sessions.get(&batch.session);
            if known.is_some_and(|session| session.records.contains_key(&record.sequence)) {
                continue;
            }
            // None of the later ones either: a number that is stored stands for all before it.
            let Some(left) = room.checked_sub(1) else { break };
            room = left;
            if let Body::Observation(observation) = &record.body
                && (self.latest.len() < MAX_LATEST || self.latest.contains_key(&observation.metric))
            {
                self.latest.insert(observation.metric.clone(), observation.clone());
            }
            let session = self
                .sessions
                .entry(batch.session.clone())
                .or_insert_with(|| Session { attempt: batch.attempt, records: BTreeMap::new() });
            session.records.insert(record.sequence, record.clone());
            taken += 1;
        }
        taken
    }

    /// All of it, in the order in which it is to be stored.
    pub(super) fn batches(&self, namespace: &str, trial: &str) -> Vec<Batch> {
        let batch = |(session, pending): (&String, &Session)| Batch {
            namespace: namespace.to_owned(),
            trial: trial.to_owned(),
            trial_uid: self.uid.clone(),
            attempt: pending.attempt,
            session: session.clone(),
            records: pending.records.values().cloned().collect(),
            end: false,
        };
        self.sessions.iter().map(batch).collect()
    }

    /// Drops what is stored by now.
    pub(super) fn stored(&mut self, progress: &Progress) {
        self.sessions.retain(|name, session| {
            let stored = progress.stored(name);
            session.records.retain(|sequence, _| *sequence > stored);
            !session.records.is_empty()
        });
    }

    /// Nothing waits to be stored.
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// How many records wait to be stored.
    pub(super) fn len(&self) -> usize {
        self.sessions.values().map(|session| session.records.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn batch(session: &str, numbers: impl IntoIterator<Item = u64>, metric: impl Fn(u64) -> String) -> Batch {
        let record = |sequence| {
            let observation =
                Observation { metric: metric(sequence), step: None, value: 1.0, time: Timestamp::UNIX_EPOCH };
            Record { sequence, body: Body::Observation(observation) }
        };
        Batch {
            namespace: "n".into(),
            trial: "t".into(),
            trial_uid: "u".into(),
            attempt: 0,
            session: session.into(),
            records: numbers.into_iter().map(record).collect(),
            end: false,
        }
    }

    #[test]
    fn what_there_is_no_room_for_is_neither_taken_nor_skipped() {
        let (mut pending, mut stored) = (Pending::new("u"), Progress::default());
        // While nothing can be stored, an agent that thins its records sends ever other numbers.
        for round in 0..100 {
            pending.take(&batch("1", (1..=512).map(|at| round * 1000 + at), |_| "m".into()), &stored);
        }
        assert_eq!(pending.len(), MAX_RECORDS);
        assert_eq!(pending.take(&batch("1", [200_000], |_| "m".into()), &stored), 0);
        assert_eq!(pending.take(&batch("1", [1], |_| "m".into()), &stored), 0, "known");
        for batch in pending.batches("n", "t") {
            stored = stored.after(&batch);
        }
        pending.stored(&stored);
        assert_eq!(pending.take(&batch("1", [7512, 7513, 200_000], |_| "m".into()), &stored), 2, "{stored:?}");
    }

    #[test]
    fn names_are_bounded() {
        let mut pending = Pending::new("u");
        pending.take(&batch("1", 1..=1000, |at| format!("m{at}")), &Progress::default());
        pending.take(&batch("1", [1001], |_| "m1".into()), &Progress::default());
        assert_eq!((pending.latest.len(), pending.len()), (MAX_LATEST, 1001));
    }
}
