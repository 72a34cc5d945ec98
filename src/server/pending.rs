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

/// What was in a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Records that are new.
    pub new: u64,
    /// Records that had come before.
    pub again: u64,
    /// Records for which there was no room.
    pub refused: u64,
    /// Records of a session that a later one has replaced.
    pub late: u64,
    /// Records that were dropped before these, by the gaps in the numbers.
    pub lost: u64,
    /// There is a new value among them.
    pub value: bool,
    /// New ones that say that metrics could not be read.
    pub troubles: u64,
    /// Values that the agents left out since there were too many, as those say that have ended.
    pub left_out: u64,
    /// Lines that looked like metrics and could not be read, as those say that have ended.
    pub parse_misses: u64,
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

    /// All that the batch leaves out is stored or waits to be.
    pub(super) fn holds(&self, batch: &Batch, stored: &Progress) -> bool {
        batch.after.is_none_or(|after| after <= self.reached(&batch.session, stored))
    }

    /// Takes what is neither stored nor pending, as far as there is room. What is not taken is not acknowledged, so that it is
    /// said again.
    pub(super) fn take(&mut self, batch: &Batch, stored: &Progress) -> Taken {
        let all = batch.records.len() as u64;
        if stored.later(&batch.session).is_some() {
            return Taken { late: all, ..Taken::default() };
        }
        let (mut taken, mut room) = (Taken::default(), MAX_RECORDS.saturating_sub(self.len()));
        let mut reached = self.reached(&batch.session, stored);
        taken.again = all - stored.news(batch).count() as u64;
        for record in stored.news(batch) {
            let known = self.sessions.get(&batch.session);
            if known.is_some_and(|session| session.records.contains_key(&record.sequence)) {
                taken.again += 1;
                continue;
            }
            // None of the later ones either: a number that is stored stands for all before it.
            let Some(left) = room.checked_sub(1) else { break };
            room = left;
            taken.value |= matches!(record.body, Body::Observation(_));
            if let Body::Ended { left_out, parse_misses, .. } = record.body {
                taken.left_out += left_out;
                taken.parse_misses += parse_misses;
            }
            taken.troubles += u64::from(matches!(&record.body, Body::Trouble(why) if !why.is_empty()));
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
            taken.new += 1;
            if record.sequence > reached {
                taken.lost += record.sequence - reached - 1;
                reached = record.sequence;
            }
        }
        taken.refused = all - taken.new - taken.again;
        taken
    }

    /// All of this session up to this number are stored or wait to be.
    pub(super) fn reached(&self, session: &str, stored: &Progress) -> u64 {
        let pending = self.sessions.get(session).and_then(|session| session.records.keys().next_back().copied());
        stored.stored(session).max(pending.unwrap_or(0))
    }

    /// All of it, in the order in which it is to be stored.
    pub(super) fn batches(&self, namespace: &str, trial: &str) -> Vec<Batch> {
        let batch = |(session, pending): (&String, &Session)| Batch {
            namespace: namespace.to_owned(),
            trial: trial.to_owned(),
            trial_uid: self.uid.clone(),
            attempt: pending.attempt,
            session: session.clone(),
            after: None,
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
            after: None,
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
        let refused = Taken { refused: 1, ..Taken::default() };
        assert_eq!(pending.take(&batch("1", [200_000], |_| "m".into()), &stored), refused);
        let known = Taken { again: 1, ..Taken::default() };
        assert_eq!(pending.take(&batch("1", [1], |_| "m".into()), &stored), known);
        for batch in pending.batches("n", "t") {
            stored = stored.after(&batch);
        }
        pending.stored(&stored);
        let taken = pending.take(&batch("1", [7512, 7513, 200_000], |_| "m".into()), &stored);
        assert_eq!((taken.new, taken.again, taken.refused), (2, 1, 0), "{stored:?}");
    }

    #[test]
    fn each_record_is_counted_as_what_it_is() {
        let (mut pending, mut stored) = (Pending::new("u"), Progress::default());
        let mut take = |session: &str, numbers: &[u64], stored: &Progress| {
            let taken = pending.take(&batch(session, numbers.iter().copied(), |_| "m".into()), stored);
            (taken.new, taken.again, taken.late, taken.lost, taken.value)
        };
        assert_eq!(take("1", &[1, 2, 3], &stored), (3, 0, 0, 0, true));
        assert_eq!(take("1", &[1, 3, 4], &stored), (1, 2, 0, 0, true), "what is left out of what was said is not lost");
        assert_eq!(take("1", &[3, 4], &stored), (0, 2, 0, 0, false));
        assert_eq!(take("1", &[5, 8, 9], &stored), (3, 0, 0, 2, true), "6 and 7");
        stored = stored.after(&batch("1", 1..=9, |_| "m".into()));
        assert_eq!(take("1", &[9, 12], &stored), (1, 1, 0, 2, true), "10 and 11");
        assert_eq!(take("2", &[3], &stored), (1, 0, 0, 2, true), "1 and 2 of another session");
        stored = stored.after(&batch("2", [3], |_| "m".into()));
        assert_eq!(take("1", &[13, 14], &stored), (0, 0, 2, 0, false), "a later session has been heard");
    }

    #[test]
    fn what_an_agent_left_out_and_missed_is_counted_once() {
        let (mut pending, stored) = (Pending::new("u"), Progress::default());
        let mut last = batch("1", [1, 2], |_| "m".into());
        last.records[1].body =
            Body::Ended { exit_code: Some(0), signal: None, tail: String::new(), left_out: 7, parse_misses: 3 };
        let mut counted = || {
            let taken = pending.take(&last, &stored);
            (taken.left_out, taken.parse_misses)
        };
        assert_eq!((counted(), counted()), ((7, 3), (0, 0)));
    }

    #[test]
    fn nothing_is_taken_behind_what_is_not_held() {
        let (mut pending, mut stored) = (Pending::new("u"), Progress::default());
        let after = |after: u64, numbers: &[u64]| Batch {
            after: Some(after),
            ..batch("1", numbers.iter().copied(), |_| "m".into())
        };
        assert!(pending.holds(&after(0, &[1, 2]), &stored) && !pending.holds(&after(1, &[2]), &stored));
        pending.take(&after(0, &[1, 2, 3]), &stored);
        assert!(pending.holds(&after(3, &[4]), &stored) && pending.holds(&after(2, &[3, 4]), &stored));
        stored = stored.after(&batch("1", 1..=2, |_| "m".into()));
        // Started anew: 3 was held by the one before.
        let mut pending = Pending::new("u");
        assert!(!pending.holds(&after(3, &[4]), &stored));
        assert_eq!((pending.reached("1", &stored), pending.reached("0", &stored)), (2, u64::MAX));
        assert!(pending.holds(&after(2, &[3, 4]), &stored));
        assert_eq!(pending.take(&after(2, &[3, 4]), &stored).new, 2);
        assert_eq!(pending.reached("1", &stored), 4);
        assert!(pending.holds(&batch("1", [9], |_| "m".into()), &stored), "an agent that leaves out nothing");
    }

    #[test]
    fn names_are_bounded() {
        let mut pending = Pending::new("u");
        pending.take(&batch("1", 1..=1000, |at| format!("m{at}")), &Progress::default());
        pending.take(&batch("1", [1001], |_| "m1".into()), &Progress::default());
        assert_eq!((pending.latest.len(), pending.len()), (MAX_LATEST, 1001));
    }
}
