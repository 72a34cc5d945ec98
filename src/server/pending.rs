//! What one trial has reported and is not yet stored.

use crate::metrics::Observation;
use crate::report::{Batch, Body, Progress, Record};
use std::collections::BTreeMap;

/// See the module. Bounded, since an agent sends on only once the earlier records are acknowledged.
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

    /// Takes what is neither stored nor pending; returns how many records that were.
    pub(super) fn take(&mut self, batch: &Batch, stored: &Progress) -> usize {
        let mut taken = 0;
        for record in stored.news(batch) {
            let session = self
                .sessions
                .entry(batch.session.clone())
                .or_insert_with(|| Session { attempt: batch.attempt, records: BTreeMap::new() });
            if session.records.contains_key(&record.sequence) {
                continue;
            }
            if let Body::Observation(observation) = &record.body {
                self.latest.insert(observation.metric.clone(), observation.clone());
            }
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
