//! The agent's side of the numbering: what is not yet acknowledged.

use super::{Body, Record};
use std::collections::VecDeque;

/// Most records kept. When there are more, every other observation is dropped: memory stays bounded however long the
/// operator is away.
const MAX_RECORDS: usize = 4096;
/// Most records of one batch: about 64 KiB.
const MAX_BATCH: usize = 512;

/// Numbered records that are not yet acknowledged.
#[derive(Debug, Default)]
pub struct Outbox {
    records: VecDeque<Record>,
    last: u64,
    thinned: u64,
}

impl Outbox {
    /// Takes something to say.
    pub fn push(&mut self, body: Body) {
        self.last += 1;
        self.records.push_back(Record { sequence: self.last, body });
        if self.records.len() > MAX_RECORDS {
            self.thin();
        }
    }

    /// The next records to send.
    pub fn batch(&self) -> Vec<Record> {
        self.records.iter().take(MAX_BATCH).cloned().collect()
    }

    /// All up to this number are stored.
    pub fn acknowledge(&mut self, stored: u64) {
        while self.records.front().is_some_and(|record| record.sequence <= stored) {
            self.records.pop_front();
        }
    }

    /// All is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many records wait.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// How many observations were dropped for want of room.
    pub fn thinned(&self) -> u64 {
        self.thinned
    }

    fn thin(&mut self) {
        let (before, newest) = (self.records.len(), self.last);
        let mut keep = true;
        self.records.retain(|record| {
            if !matches!(record.body, Body::Observation(_)) || record.sequence == newest {
                return true;
            }
            keep = !keep;
            keep
        });
        self.thinned += (before - self.records.len()) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Observation;
    use crate::report::{Batch, Progress};
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn observation(value: u32) -> Body {
        Body::Observation(Observation {
            metric: "m".into(),
            step: None,
            value: f64::from(value),
            time: Timestamp::UNIX_EPOCH,
        })
    }

    fn batch(outbox: &Outbox, session: &str) -> Batch {
        Batch {
            namespace: "n".into(),
            trial: "t".into(),
            trial_uid: "u".into(),
            attempt: 0,
            session: session.into(),
            records: outbox.batch(),
            end: false,
        }
    }

    #[test]
    fn memory_is_bounded_while_nobody_listens() {
        let mut outbox = Outbox::default();
        for value in 0..100_000 {
            outbox.push(observation(value));
        }
        assert!(outbox.len() <= MAX_RECORDS);
        assert_eq!(outbox.len() as u64 + outbox.thinned(), 100_000);
        assert_eq!(outbox.records.back().unwrap().sequence, 100_000);
    }

    #[derive(Clone, Debug)]
    enum Event {
        Say,
        /// A batch is sent; it may be lost, its answer may be lost.
        Send {
            arrives: bool,
            answered: bool,
        },
        /// An earlier batch arrives once more.
        Replay(usize),
        Store,
        /// The operator forgets what it has not stored.
        Restart,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Say),
            (any::<bool>(), any::<bool>()).prop_map(|(arrives, answered)| Event::Send { arrives, answered }),
            (0_usize..8).prop_map(Event::Replay),
            Just(Event::Store),
            Just(Event::Restart),
        ]
    }

    #[derive(Default)]
    struct Operator {
        stored: (Progress, Vec<u64>),
        memory: (Progress, Vec<u64>),
    }

    impl Operator {
        fn take(&mut self, batch: &Batch) {
            let (progress, values) = &mut self.memory;
            values.extend(progress.news(batch).map(|record| record.sequence));
            *progress = progress.after(batch);
        }
    }

    proptest! {
        #[test]
        fn each_record_is_stored_once_and_in_order(events in prop::collection::vec(event(), 0..80)) {
            let (mut outbox, mut operator, mut sent, mut said) = (Outbox::default(), Operator::default(), Vec::new(), 0);
            let calm = [Event::Send { arrives: true, answered: true }, Event::Store, Event::Send { arrives: true, answered: true }];
            for event in events.into_iter().chain(calm) {
                match event {
                    Event::Say => { said += 1; outbox.push(observation(said)); }
                    Event::Send { arrives, answered } => {
                        let batch = batch(&outbox, "1");
                        sent.push(batch.clone());
                        if arrives { operator.take(&batch); }
                        if arrives && answered { outbox.acknowledge(operator.stored.0.stored("1")); }
                    }
                    Event::Replay(which) => if let Some(batch) = sent.get(which) { operator.take(&batch.clone()); },
                    Event::Store => operator.stored = operator.memory.clone(),
                    Event::Restart => operator.memory = operator.stored.clone(),
                }
            }
            prop_assert!(outbox.is_empty());
            prop_assert_eq!(operator.stored.1, (1..=u64::from(said)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_older_session_changes_nothing() {
        let mut outbox = Outbox::default();
        outbox.push(observation(1));
        let stored = Progress { session: "2".into(), sequence: 0 };
        let old = batch(&outbox, "1");
        assert_eq!((stored.news(&old).count(), stored.after(&old), stored.stored("1")), (0, stored.clone(), u64::MAX));
        let new = batch(&outbox, "3");
        assert_eq!((stored.news(&new).count(), stored.after(&new).sequence, stored.stored("3")), (1, 1, 0));
    }
}
