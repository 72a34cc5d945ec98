//! The agent's side of the numbering: what is not yet acknowledged.

use super::{Body, MAX_BATCH_BYTES, Record};
use crate::metrics::Observation;
use std::collections::{HashMap, VecDeque};

/// Most records kept. When there are more, every other observation of each metric is dropped: memory stays bounded
/// however long the operator is away.
const MAX_RECORDS: usize = 4096;
/// Most records of one batch: about 64 KiB with names of a usual length.
const MAX_BATCH: usize = 512;
/// Most bytes of a batch's records; the rest of the batch is small.
const MAX_BYTES: usize = MAX_BATCH_BYTES / 2;

/// Numbered records that are not yet acknowledged.
#[derive(Debug, Default)]
pub struct Outbox {
    records: VecDeque<Record>,
    last: u64,
    /// All up to this number are with somebody else.
    taken: u64,
    /// Dropped for want of room, and nobody had them.
    thinned: u64,
    /// Dropped for want of room, while somebody else had them.
    spared: u64,
}

impl Outbox {
    /// Takes something to say.
    pub fn push(&mut self, body: Body) {
        self.put(Record { sequence: self.last + 1, body });
    }

    /// Takes something to say that is numbered already; nothing when that number, or a greater one, was taken before.
    pub fn put(&mut self, record: Record) {
        if record.sequence <= self.last {
            return;
        }
        self.last = record.sequence;
        // These stand for what was said of their kind before, which may have been often.
        match &record.body {
            Body::Trouble(_) => self.records.retain(|record| !matches!(record.body, Body::Trouble(_))),
            Body::Seen(_) => self.records.retain(|record| !matches!(record.body, Body::Seen(_))),
            Body::Observation(_) | Body::Ended { .. } => {}
        }
        self.records.push_back(record);
        if self.records.len() > MAX_RECORDS {
            self.thin();
        }
        // The end is said once, and nothing after it.
        if let Some(last) = self.records.back_mut() {
            count_left_out(std::slice::from_mut(last), self.thinned);
        }
    }

    /// The highest number so far.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Somebody else has taken all up to this number; less than before: it was lost there.
    pub fn hand_over(&mut self, taken: u64) {
        if taken < self.taken {
            self.thinned += std::mem::take(&mut self.spared);
        }
        self.taken = taken;
    }

    /// All up to this number are with somebody else.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Nothing waits for anybody to take it.
    pub fn is_handed_over(&self) -> bool {
        self.records.back().is_none_or(|record| record.sequence <= self.taken)
    }

    /// The next records to send, of those that nobody has taken: at least one when there is any, and as many as one
    /// request takes.
    pub fn batch(&self) -> Vec<Record> {
        let mut bytes = 0;
        let fits = |record: &&Record| {
            let first = bytes == 0;
            // A record that cannot be written has no place in a sum either; sending it fails, and says so.
            bytes += serde_json::to_vec(record).map_or(0, |text| text.len()) + 1;
            first || bytes <= MAX_BYTES
        };
        let open = self.records.iter().skip_while(|record| record.sequence <= self.taken);
        open.take(MAX_BATCH).take_while(fits).cloned().collect()
    }

    /// All up to this number are stored.
    pub fn acknowledge(&mut self, stored: u64) {
        while self.records.front().is_some_and(|record| record.sequence <= stored) {
            self.records.pop_front();
        }
        if stored >= self.taken {
            self.spared = 0;
        }
    }

    /// All is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// All that is not acknowledged, as few of it as fit into so many bytes: each metric keeps its extremes and its last
    /// value for as long as there is room, and the program's end is said in any case.
    pub fn into_few(mut self, fits: impl Fn(&[Record]) -> bool) -> Vec<Record> {
        let told = self.thinned;
        loop {
            let mut records: Vec<Record> = self.records.iter().cloned().collect();
            count_left_out(&mut records, self.thinned - told);
            if fits(&records) {
                return records;
            }
            let before = self.records.len();
            self.thin();
            if self.records.len() == before {
                break;
            }
        }
        let mut records: Vec<Record> = self.records.into();
        count_left_out(&mut records, self.thinned - told);
        records.retain(|record| !matches!(record.body, Body::Seen(_) | Body::Trouble(_)));
        // Metric after metric has to go, those that were said first stay longest.
        while !fits(&records) {
            let mut metrics: Vec<&str> = Vec::new();
            for metric in records.iter().filter_map(metric_of) {
                if !metrics.contains(&metric) {
                    metrics.push(metric);
                }
            }
            let Some(last) = metrics.last().map(|metric| (*metric).to_owned()) else {
                shorten(&mut records);
                break;
            };
            records.retain(|record| metric_of(record) != Some(&last));
        }
        records
    }

    /// How many records wait.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// How many observations were dropped for want of room before anybody else had them, or are lost there.
    pub fn thinned(&self) -> u64 {
        self.thinned
    }

    /// Drops every other observation of each metric, so that all curves stay even. The lowest, the highest and the last
    /// value of each metric stay: a trial's result is one of them.
    fn thin(&mut self) {
        let count = |outbox: &Outbox| {
            let held = outbox.records.iter().take_while(|record| record.sequence <= outbox.taken).count() as u64;
            (held, outbox.records.len() as u64 - held)
        };
        let (held, own) = count(self);
        let mut metrics: HashMap<String, Kept> = HashMap::new();
        for (sequence, observation) in observations(&self.records) {
            metrics.entry(observation.metric.clone()).or_default().see(sequence, observation.value);
        }
        self.records.retain(|record| {
            let Body::Observation(observation) = &record.body else { return true };
            metrics.get_mut(&observation.metric).is_none_or(|kept| kept.keep(record.sequence))
        });
        let (still_held, still_own) = count(self);
        self.spared += held - still_held;
        self.thinned += own - still_own;
    }
}

fn metric_of(record: &Record) -> Option<&str> {
    match &record.body {
        Body::Observation(observation) => Some(&observation.metric),
        _ => None,
    }
}

/// So many more values are left out than the program's end says.
fn count_left_out(end: &mut [Record], more: u64) {
    for record in end {
        if let Body::Ended { left_out, .. } = &mut record.body {
            *left_out = left_out.saturating_add(more);
        }
    }
}

/// Without the program's last lines, which are the only long part of its end.
fn shorten(end: &mut [Record]) {
    for record in end {
        if let Body::Ended { tail, .. } = &mut record.body {
            tail.clear();
        }
    }
}

fn observations(records: &VecDeque<Record>) -> impl Iterator<Item = (u64, &Observation)> {
    records.iter().filter_map(|record| match &record.body {
        Body::Observation(observation) => Some((record.sequence, observation)),
        _ => None,
    })
}

/// Which observations of one metric stay, by number.
#[derive(Default)]
struct Kept {
    lowest: Option<(u64, f64)>,
    highest: Option<(u64, f64)>,
    last: u64,
    /// Every other one stays.
    other: bool,
}

impl Kept {
    fn see(&mut self, sequence: u64, value: f64) {
        self.last = sequence;
        if value.is_finite() {
            self.lowest = self.lowest.filter(|(_, lowest)| *lowest <= value).or(Some((sequence, value)));
            self.highest = self.highest.filter(|(_, highest)| *highest >= value).or(Some((sequence, value)));
        }
    }

    fn keep(&mut self, sequence: u64) -> bool {
        self.other = !self.other;
        let extreme = [self.lowest, self.highest].into_iter().flatten().any(|(number, _)| number == sequence);
        self.other || extreme || sequence == self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Batch, Progress};
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn observation(value: u32) -> Body {
        value_of("m", f64::from(value))
    }

    fn value_of(metric: &str, value: f64) -> Body {
        Body::Observation(Observation { metric: metric.into(), step: None, value, time: Timestamp::UNIX_EPOCH })
    }

    fn batch(outbox: &Outbox, session: &str) -> Batch {
        Batch {
            namespace: "n".into(),
            trial: "t".into(),
            trial_uid: "u".into(),
            attempt: 0,
            session: session.into(),
            after: Some(outbox.taken()),
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

    #[test]
    fn what_stands_for_all_before_it_is_kept_once() {
        let mut outbox = Outbox::default();
        for at in 0..100_000_u32 {
            outbox.push(Body::Seen(vec![format!("m{at}")]));
            outbox.push(Body::Trouble(format!("it has been down {at} times")));
        }
        outbox.push(observation(1));
        assert_eq!((outbox.len(), outbox.thinned()), (3, 0));
        for value in 0..10_000 {
            outbox.push(observation(value));
        }
        let thinned = outbox.thinned();
        outbox.push(Body::Ended {
            exit_code: Some(0),
            signal: None,
            tail: String::new(),
            left_out: 5,
            parse_misses: 0,
        });
        let Some(Body::Ended { left_out, .. }) = outbox.records.back().map(|record| &record.body) else { panic!() };
        assert_eq!(*left_out, thinned + 5, "those that an agent before has left out count as well");
    }

    #[test]
    fn what_another_has_is_left_out_only_when_it_is_lost_there() {
        let mut outbox = Outbox::default();
        let push = |outbox: &mut Outbox, count: usize| (0..count).for_each(|_| outbox.push(observation(1)));
        push(&mut outbox, MAX_RECORDS);
        outbox.hand_over(MAX_RECORDS as u64);
        push(&mut outbox, 1);
        assert!(outbox.len() < MAX_RECORDS && outbox.thinned() == 0, "all of them are with somebody else");
        let dropped = (MAX_RECORDS + 1 - outbox.len()) as u64;
        let mut stored = Outbox { records: outbox.records.clone(), ..outbox };
        outbox.hand_over(0);
        assert_eq!(outbox.thinned(), dropped);
        stored.acknowledge(MAX_RECORDS as u64);
        stored.hand_over(0);
        assert_eq!(stored.thinned(), 0);
    }

    #[test]
    fn each_metric_keeps_its_share_and_its_extremes() {
        let mut outbox = Outbox::default();
        outbox.push(value_of("rare", f64::NAN));
        for at in 0..50_001_u32 {
            let accuracy = if at == 12_345 { 0.99 } else { 0.5 + f64::from(at % 7) / 100.0 };
            let loss = if at == 33_333 { -1.0 } else { f64::from(at % 11) };
            outbox.push(value_of("accuracy", accuracy));
            outbox.push(value_of("loss", loss));
        }
        let of = |metric: &str| -> Vec<f64> {
            let all = observations(&outbox.records).filter(|(_, observation)| observation.metric == metric);
            all.map(|(_, observation)| observation.value).collect()
        };
        let (accuracy, loss) = (of("accuracy"), of("loss"));
        assert!(accuracy.len().abs_diff(loss.len()) <= 8, "{} {}", accuracy.len(), loss.len());
        assert!(accuracy.len() > MAX_RECORDS / 5, "{}", accuracy.len());
        assert_eq!(accuracy.iter().copied().fold(0.0, f64::max), 0.99);
        assert_eq!(loss.iter().copied().fold(0.0, f64::min), -1.0);
        assert_eq!((accuracy.last(), loss.last()), (Some(&(0.5 + 6.0 / 100.0)), Some(&5.0)));
        assert_eq!(of("rare").len(), 1, "what was said once is not dropped");
    }

    #[test]
    fn a_batch_fits_into_one_request() {
        let mut outbox = Outbox::default();
        // The longest name that is stored, each character as long in JSON as one can be.
        let name = "\u{1}".repeat(128);
        for value in 0..1000 {
            outbox.push(value_of(&name, f64::from(value)));
        }
        let mut sent = 0;
        while !outbox.is_empty() {
            let batch = batch(&outbox, "1");
            assert!(serde_json::to_vec(&batch).unwrap().len() < MAX_BATCH_BYTES);
            sent += batch.records.len();
            outbox.acknowledge(batch.records.last().unwrap().sequence);
        }
        assert_eq!(sent, 1000);
        outbox.push(value_of(&"x".repeat(MAX_BATCH_BYTES), 1.0));
        assert_eq!(outbox.batch().len(), 1, "one always goes, or nothing would ever go");
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
            if batch.after.is_some_and(|after| after > progress.stored(&batch.session)) {
                return;
            }
            values.extend(progress.news(batch).map(|record| record.sequence));
            *progress = progress.after(batch);
        }
    }

    proptest! {
        #[test]
        fn each_record_is_stored_once_and_in_order(events in prop::collection::vec(event(), 0..80)) {
            let (mut outbox, mut operator, mut sent, mut said) = (Outbox::default(), Operator::default(), Vec::new(), 0);
            // One to hear what is held, one to say what is not.
            let send = || Event::Send { arrives: true, answered: true };
            for event in events.into_iter().chain([send(), send(), Event::Store, send()]) {
                match event {
                    Event::Say => { said += 1; outbox.push(observation(said)); }
                    Event::Send { arrives, answered } => {
                        let batch = batch(&outbox, "1");
                        sent.push(batch.clone());
                        if arrives { operator.take(&batch); }
                        if arrives && answered {
                            outbox.acknowledge(operator.stored.0.stored("1"));
                            outbox.hand_over(operator.memory.0.stored("1"));
                            prop_assert!(operator.memory.0.sequence < u64::from(said) || outbox.is_handed_over());
                        }
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
    fn what_is_held_is_said_once_and_again_when_it_is_held_no_more() {
        let (mut outbox, mut operator) = (Outbox::default(), Operator::default());
        for number in 1..=5 {
            outbox.push(observation(number));
            let batch = batch(&outbox, "1");
            assert_eq!(batch.records.iter().map(|record| record.sequence).collect::<Vec<_>>(), [u64::from(number)]);
            operator.take(&batch);
            outbox.hand_over(operator.memory.0.stored("1"));
        }
        assert!(outbox.is_handed_over() && outbox.len() == 5);
        operator = Operator::default();
        outbox.push(observation(6));
        operator.take(&batch(&outbox, "1"));
        assert!(operator.memory.1.is_empty(), "it would not know that there is something before it");
        outbox.hand_over(operator.memory.0.stored("1"));
        operator.take(&batch(&outbox, "1"));
        assert_eq!(operator.memory.1, [1, 2, 3, 4, 5, 6]);
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
