//! The work queue: which keys want attention, now or later; one worker at a time for each.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Keys that want attention. A key that is added while it is being worked on comes up again once that work is done, and
/// a key that is added twice comes up once, so that a burst of events costs one pass.
pub struct Queue<K> {
    state: Mutex<State<K>>,
    changed: Notify,
}

struct State<K> {
    /// Each since when.
    ready: VecDeque<(K, Instant)>,
    waiting: HashSet<K>,
    /// Keys being worked on; true: wanted again.
    running: HashMap<K, bool>,
    later: BTreeSet<(Instant, K)>,
    due: HashMap<K, Instant>,
    /// Keys that are not to come up before this instant, whatever happens.
    held: HashMap<K, Instant>,
}

impl<K: Clone + Eq + Hash + Ord> Default for Queue<K> {
    fn default() -> Self {
        let state = State {
            ready: VecDeque::new(),
            waiting: HashSet::new(),
            running: HashMap::new(),
            later: BTreeSet::new(),
            due: HashMap::new(),
            held: HashMap::new(),
        };
        Queue { state: Mutex::new(state), changed: Notify::new() }
    }
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// The key wants attention now.
    pub fn add(&self, key: K) {
        self.lock().add(key);
        self.changed.notify_one();
    }

    /// The key wants attention at this instant, unless it does so sooner.
    pub fn add_at(&self, key: K, at: Instant) {
        self.lock().add_at(key, at);
        self.changed.notify_one();
    }

    /// The key has failed: it wants attention at `at`, and does not come up before `not_before` even if it is added.
    pub fn hold(&self, key: K, not_before: Instant, at: Instant) {
        let mut state = self.lock();
        state.held.insert(key.clone(), not_before);
        if state.waiting.remove(&key) {
            state.ready.retain(|(waiting, _)| *waiting != key);
            state.add(key.clone());
        }
        state.add_at(key, at);
        drop(state);
        self.changed.notify_one();
    }

    /// How many keys want attention now, and wait for it.
    pub fn ready(&self) -> usize {
        self.lock().ready.len()
    }

    /// For how long the first of them has waited.
    pub fn oldest(&self) -> Option<Duration> {
        self.lock().ready.front().map(|(_, since)| since.elapsed())
    }

    /// The next key, once there is one. It must be given back with [`Queue::done`].
    pub async fn next(&self) -> K {
        loop {
            let due = {
                let mut state = self.lock();
                match state.take(Instant::now()) {
                    Ok(key) => return key,
                    Err(due) => due,
                }
            };
            match due {
                Some(at) => tokio::select! {
                    biased;
                    () = self.changed.notified() => {}
                    () = sleep_until(at) => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    /// Whoever works on this key looks at everything anew from here on: what was added before need not bring it up again.
    pub fn renewed(&self, key: &K) {
        if let Some(again) = self.lock().running.get_mut(key) {
            *again = false;
        }
    }

    /// The work on this key is done.
    pub fn done(&self, key: &K) {
        let mut state = self.lock();
        if state.running.remove(key) == Some(true) {
            state.add(key.clone());
        }
        drop(state);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash + Ord> State<K> {
    fn add(&mut self, key: K) {
        if let Some(again) = self.running.get_mut(&key) {
            *again = true;
        } else if let Some(held) = self.held.get(&key).copied().filter(|held| *held > Instant::now()) {
            self.add_at(key, held);
        } else if self.waiting.insert(key.clone()) {
            self.held.remove(&key);
            self.ready.push_back((key, Instant::now()));
        }
    }

    fn add_at(&mut self, key: K, at: Instant) {
        let at = self.held.get(&key).map_or(at, |held| at.max(*held));
        match self.due.get(&key) {
            Some(due) if *due <= at => {}
            known => {
                if let Some(due) = known {
                    self.later.remove(&(*due, key.clone()));
                }
                self.due.insert(key.clone(), at);
                self.later.insert((at, key));
            }
        }
    }

    /// A key to work on, or the instant at which the next one is due.
    fn take(&mut self, now: Instant) -> Result<K, Option<Instant>> {
        while let Some((at, _)) = self.later.first()
            && *at <= now
        {
            if let Some((_, key)) = self.later.pop_first() {
                self.due.remove(&key);
                self.add(key);
            }
        }
        let Some((key, _)) = self.ready.pop_front() else {
            return Err(self.later.first().map(|(at, _)| *at));
        };
        self.waiting.remove(&key);
        // Whoever works on the key says when it is wanted next.
        if let Some(due) = self.due.remove(&key) {
            self.later.remove(&(due, key.clone()));
        }
        self.running.insert(key.clone(), false);
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test(start_paused = true)]
    async fn a_key_added_twice_comes_once_and_again_only_if_added_while_worked_on() {
        let queue = Queue::default();
        queue.add("a");
        queue.add("a");
        queue.add("b");
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!((queue.ready(), queue.oldest()), (2, Some(Duration::from_secs(3))));
        assert_eq!(queue.next().await, "a");
        assert_eq!(queue.next().await, "b");
        assert_eq!((queue.next().now_or_never(), queue.oldest()), (None, None));
        queue.add("a");
        assert_eq!(queue.next().now_or_never(), None, "one worker at a time");
        queue.done(&"b");
        queue.done(&"a");
        assert_eq!(queue.next().await, "a");
        queue.add("a");
        queue.renewed(&"a");
        queue.done(&"a");
        assert_eq!(queue.next().now_or_never(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_has_failed_does_not_come_up_early_whatever_happens_to_it() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let queue = Queue::default();
        queue.add("a");
        queue.next().await;
        queue.add("a");
        queue.hold("a", at(10), at(60));
        queue.done(&"a");
        queue.add("a");
        queue.add_at("a", at(5));
        queue.add("b");
        assert_eq!(queue.next().await, "b", "others are not held up");
        assert_eq!(queue.next().await, "a");
        assert_eq!(start.elapsed(), Duration::from_secs(10), "it was added meanwhile: as soon as may be");
        queue.done(&"a");
        queue.add("a");
        assert_eq!(queue.next().await, "a");
        assert_eq!(start.elapsed(), Duration::from_secs(10), "the hold is over");
        queue.hold("a", at(20), at(60));
        queue.done(&"a");
        assert_eq!(queue.next().await, "a");
        assert_eq!(start.elapsed(), Duration::from_secs(60), "nothing happened: at its time");
        // One that waited already when it was held.
        queue.done(&"a");
        queue.add("a");
        queue.hold("a", at(70), at(80));
        assert_eq!(queue.next().await, "a");
        assert_eq!(start.elapsed(), Duration::from_secs(70));
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_fires_once_at_its_earliest_time_and_is_dropped_when_the_key_comes_before() {
        let queue = Queue::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        queue.add_at("a", at(10));
        queue.add_at("a", at(5));
        queue.add_at("a", at(20));
        assert_eq!(queue.next().await, "a");
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        queue.add_at("a", at(30));
        queue.add("a");
        queue.done(&"a");
        assert_eq!(queue.next().await, "a");
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        queue.done(&"a");
        assert_eq!(tokio::time::timeout(Duration::from_secs(60), queue.next()).await.ok(), None);
    }
}
