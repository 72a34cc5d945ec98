//! Takes reports in at once and stores them seldom.
//!
//! What is received is kept in memory until it is in the Trial's status, and only then acknowledged. The memory is
//! worth nothing: an agent says again whatever was not acknowledged, so a crash loses nothing. While it is there the agent is told
//! so, and says again nothing.

use super::pace::Pace;
use super::pending::{Pending, Taken};
use crate::api::Trial;
use crate::controller::{Failure, Heard, Mutation, Name, Queue, Reports, Standing, Unstored};
use crate::metrics::Observation;
use crate::report::{Answer, Batch, Stop};
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How long the answer to a trial's last batch waits until it is stored.
const PATIENCE: Duration = Duration::from_secs(20);
/// So many records, or bytes of them, are stored without delay. Less than an agent sends at a time: whoever sends as much is
/// answered only once these are stored, so that no more comes meanwhile.
const FULL: usize = 384;
const FULL_BYTES: usize = 96 * 1024;
/// Stores at a time.
const CONCURRENCY: usize = 8;
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
const SWEEP: Duration = Duration::from_secs(60);
const MAX_SESSION: usize = 128;

/// Why a batch is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// It can never be taken.
    #[error("{0}")]
    Invalid(String),
    /// Not now; say it again later.
    #[error("{0}; say it again later")]
    Later(String),
}

/// See the module.
pub struct Intake {
    reports: Arc<Reports>,
    pace: Pace,
    slots: Mutex<HashMap<Name, Slot>>,
    queue: Queue<Name>,
}

struct Slot {
    pending: Pending,
    /// The latest attempt that was heard, and when it was first.
    attempt: u32,
    begun: Instant,
    /// When that was, or the last store ended.
    since: Instant,
    /// When values were received, by the clock on the wall.
    heard: Option<Heard>,
    /// It is judged while it runs.
    judged: bool,
    failures: u32,
    /// Counts attempts to store, so that those who wait look again.
    stored: Arc<watch::Sender<u64>>,
}

impl Intake {
    /// Stores reports at this pace.
    pub fn new(reports: Arc<Reports>, pace: Pace) -> Arc<Self> {
        let intake = Arc::new(Intake { reports, pace, slots: Mutex::default(), queue: Queue::default() });
        let unstored: Arc<dyn Unstored> = intake.clone();
        intake.reports.set_unstored(Arc::downgrade(&unstored));
        intake
    }

    /// The operator's side that needs the API server.
    pub fn reports(&self) -> &Reports {
        &self.reports
    }

    /// Takes a batch from a caller that was allowed to send it.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn receive(&self, batch: &Batch) -> Result<Answer, Refused> {
        check(batch)?;
        if !self.reports.is_open() {
            return Err(Refused::Later("this operator is not (yet) the one that writes".into()));
        }
        let name = (batch.namespace.clone(), batch.trial.clone());
        let Standing::Open(trial) = self.standing(&name, batch).await? else {
            self.lock().remove(&name);
            self.reports.telemetry().late.inc_by(batch.records.len() as u64);
            return Ok(closed());
        };
        let (mut stored, urgent, reached) = self.take(&name, batch, &trial);
        let last = batch.records.last().map_or(batch.after.unwrap_or(0), |record| record.sequence).min(reached);
        if urgent && Reports::progress(&trial).stored(&batch.session) < last {
            self.queue.add(name.clone());
            // Passing without an answer in time is no error: the agent asks again.
            let waited = timeout(PATIENCE, self.wait(&name, batch, &mut stored, last)).await;
            if let Ok(answer) = waited {
                return answer;
            }
        }
        self.answer(&name, batch).await
    }

    /// The latest values that a trial reported, stored or not.
    pub fn latest(&self, name: &Name) -> Vec<Observation> {
        let slots = self.lock();
        slots.get(name).map(|slot| slot.pending.latest.values().cloned().collect()).unwrap_or_default()
    }

    /// Stores what is due, for as long as it is polled.
    pub async fn run(self: Arc<Self>) {
        let mut running = JoinSet::new();
        let mut sweep = Box::pin(sleep(SWEEP));
        loop {
            tokio::select! {
                biased;
                Some(ended) = running.join_next() => {
                    if let Ok(name) = ended {
                        self.queue.done(&name);
                    }
                }
                name = self.queue.next(), if running.len() < CONCURRENCY => {
                    let intake = self.clone();
                    running.spawn(async move {
                        guarded(&intake.queue, &name, async { drop(intake.store(&name).await) }).await;
                        name
                    });
                }
                () = &mut sweep => {
                    self.lock().retain(|name, _| self.reports.is_active(name));
                    sweep = Box::pin(sleep(SWEEP));
                }
            }
        }
    }

    /// Stores everything that waits, as far as it can be stored in this time.
    pub async fn flush(&self, patience: Duration) {
        let names: BTreeSet<Name> = self.lock().keys().cloned().collect();
        let all = async {
            for name in names {
                let _ = self.store(&name).await;
            }
        };
        if timeout(patience, all).await.is_err() {
            tracing::warn!("stopping with reports that are not stored; their agents will say them again");
        }
    }

    async fn standing(&self, name: &Name, batch: &Batch) -> Result<Standing, Refused> {
        self.reports.standing(name, &batch.trial_uid).await.map_err(|failure| Refused::Later(failure.to_string()))
    }

    /// Keeps the batch; returns a way to hear of stores, whether to store without delay, and up to which number all is held or
    /// stored.
    fn take(&self, name: &Name, batch: &Batch, trial: &Trial) -> (watch::Receiver<u64>, bool, u64) {
        let telemetry = self.reports.telemetry();
        let judged = self.reports.is_judged(&name.0, trial);
        let mut slots = self.lock();
        let trials = slots.len();
        let slot = slots.entry(name.clone()).or_insert_with(|| Slot::new(&batch.trial_uid));
        if slot.pending.uid != batch.trial_uid {
            *slot = Slot::new(&batch.trial_uid);
        }
        let stored = Reports::progress(trial);
        // What it leaves out an operator before this one held: that is said again first.
        let held = slot.pending.holds(batch, &stored) || self.reports.mutation() == Mutation::IgnoreGaps;
        let taken = if held { slot.pending.take(batch, &stored) } else { Taken::default() };
        telemetry.records.inc_by(taken.new);
        telemetry.duplicates.inc_by(taken.again);
        telemetry.refused.inc_by(taken.refused);
        telemetry.late.inc_by(taken.late);
        telemetry.unreadable.inc_by(taken.troubles);
        telemetry.lost.inc_by(taken.lost);
        telemetry.values_left_out.inc_by(taken.left_out);
        telemetry.parse_misses.inc_by(taken.parse_misses);
        slot.hear(batch.attempt, judged);
        if taken.value {
            let now = Timestamp::now();
            // What was stored before, another process may have received.
            let silent = trial.status.as_ref().is_none_or(|status| status.metrics.is_empty());
            let first = slot.heard.map_or(silent.then_some(now), |heard| heard.first);
            slot.heard = Some(Heard { first, last: now });
        }
        if !slot.pending.is_empty() {
            self.queue.add_at(name.clone(), slot.due(self.pace, trials));
        }
        let reached = slot.pending.reached(&batch.session, &stored);
        (slot.stored.subscribe(), held && (batch.end || slot.pending.len() >= FULL || is_full(batch)), reached)
    }

    /// Waits until all up to `last` is stored or the trial takes no more.
    async fn wait(
        &self,
        name: &Name,
        batch: &Batch,
        stored: &mut watch::Receiver<u64>,
        last: u64,
    ) -> Result<Answer, Refused> {
        loop {
            if stored.changed().await.is_err() {
                return self.answer(name, batch).await;
            }
            let answer = self.answer(name, batch).await?;
            if answer.stored >= last || answer.stop.is_some() {
                return Ok(answer);
            }
        }
    }

    async fn answer(&self, name: &Name, batch: &Batch) -> Result<Answer, Refused> {
        let Standing::Open(trial) = self.standing(name, batch).await? else { return Ok(closed()) };
        let attempt = trial.status.as_ref().map_or(0, |status| status.attempt);
        let stop = (batch.attempt < attempt).then(|| Stop {
            reason: crate::api::conditions::reasons::RETRYING.into(),
            message: format!("attempt {} of the trial has begun", attempt + 1),
        });
        let progress = Reports::progress(&trial);
        let stored = match self.reports.mutation() {
            Mutation::AcknowledgeEarly => u64::MAX,
            _ => progress.stored(&batch.session),
        };
        let reached = || {
            let slots = self.lock();
            let slot = slots.get(name).filter(|slot| slot.pending.uid == batch.trial_uid);
            slot.map_or(progress.stored(&batch.session), |slot| slot.pending.reached(&batch.session, &progress))
        };
        let taken = batch.after.map(|_| reached());
        Ok(Answer { stored, taken, later: progress.later(&batch.session), stop })
    }

    /// Stores what waits. True: there was something. What failed is tried again by itself.
    async fn store(&self, name: &Name) -> Result<bool, Failure> {
        let Some((uid, batches)) = self.waiting(name) else { return Ok(false) };
        let result = self.reports.store(name, &uid, &batches).await;
        self.settle(name, &uid, &result);
        result.map(|_| true)
    }

    fn settle(&self, name: &Name, uid: &str, result: &Result<Standing, Failure>) {
        let mut slots = self.lock();
        let trials = slots.len();
        let Some(slot) = slots.get_mut(name).filter(|slot| slot.pending.uid == uid) else { return };
        slot.stored.send_modify(|count| *count += 1);
        match result {
            Ok(Standing::Open(trial)) => {
                slot.failures = 0;
                slot.since = Instant::now();
                slot.pending.stored(&Reports::progress(trial));
                if !slot.pending.is_empty() {
                    let at = if slot.pending.len() >= FULL { slot.since } else { slot.due(self.pace, trials) };
                    self.queue.add_at(name.clone(), at);
                }
            }
            Ok(Standing::Closed) => {
                slots.remove(name);
            }
            Err(failure) => {
                slot.failures = slot.failures.saturating_add(1);
                let wait = RETRY.saturating_mul(1 << (slot.failures - 1).min(5)).min(LONGEST_RETRY);
                let wait = wait.max(failure.retry_after.unwrap_or_default());
                tracing::warn!(trial = %format!("{}/{}", name.0, name.1), %failure, ?wait, "reports are not stored yet");
                let at = Instant::now() + wait;
                self.queue.hold(name.clone(), at, at);
            }
        }
    }

    fn waiting(&self, name: &Name) -> Option<(String, Vec<Batch>)> {
        let slots = self.lock();
        let pending = &slots.get(name)?.pending;
        (!pending.is_empty()).then(|| (pending.uid.clone(), pending.batches(&name.0, &name.1)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unstored for Intake {
    fn heard(&self, trial: &Name) -> Option<Heard> {
        self.lock().get(trial)?.heard
    }

    fn latest(&self, trial: &Name, metric: &str) -> Option<(Option<u64>, f64)> {
        let slots = self.lock();
        let latest = slots.get(trial)?.pending.latest.get(metric)?;
        Some((latest.step, latest.value))
    }

    fn store_now<'a>(&'a self, trial: &'a Name) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(self.store(trial))
    }
}

impl Slot {
    fn new(uid: &str) -> Self {
        let (now, stored) = (Instant::now(), Arc::new(watch::Sender::new(0)));
        Slot {
            pending: Pending::new(uid),
            attempt: 0,
            begun: now,
            since: now,
            heard: None,
            judged: false,
            failures: 0,
            stored,
        }
    }

    /// A further attempt is a new program: its reports are stored as soon and as often as the first one's.
    fn hear(&mut self, attempt: u32, judged: bool) {
        self.judged = judged;
        if attempt > self.attempt {
            (self.attempt, self.begun) = (attempt, Instant::now());
            self.heard = self.heard.map(|heard| Heard { first: None, ..heard });
            self.since = self.begun;
        }
    }

    /// When to store next. By this process's own clock: those of the machines differ.
    fn due(&self, pace: Pace, trials: usize) -> Instant {
        self.since + pace.wait(self.judged, self.since.duration_since(self.begun), trials)
    }
}

/// The agent has much to say.
fn is_full(batch: &Batch) -> bool {
    batch.records.len() >= FULL || serde_json::to_vec(&batch.records).is_ok_and(|text| text.len() >= FULL_BYTES)
}

/// Does the work on a key. A panic, which is a bug, must not take the key along: it comes up again later.
async fn guarded(queue: &Queue<Name>, name: &Name, work: impl Future<Output = ()>) {
    if AssertUnwindSafe(work).catch_unwind().await.is_err() {
        let trial = format!("{}/{}", name.0, name.1);
        tracing::error!(trial, wait = ?LONGEST_RETRY, "storing reports panicked, which is a bug; it is done again");
        queue.add_at(name.clone(), Instant::now() + LONGEST_RETRY);
    }
}

/// The trial has ended or is gone: nothing more is stored, so nothing needs to be said again.
fn closed() -> Answer {
    let reason = crate::api::conditions::reasons::EARLY_STOPPED.to_owned();
    Answer {
        stored: u64::MAX,
        taken: None,
        later: None,
        stop: Some(Stop { reason, message: "the trial has ended".into() }),
    }
}

fn check(batch: &Batch) -> Result<(), Refused> {
    let invalid = |what: &str| Err(Refused::Invalid(what.to_owned()));
    if batch.session.is_empty() || batch.session.chars().count() > MAX_SESSION {
        return invalid("session must have 1 to 128 characters");
    }
    let mut last = 0;
    for record in &batch.records {
        if record.sequence <= last || record.sequence > 1 << 53 {
            return invalid("the records' numbers must rise from 1");
        }
        last = record.sequence;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_panic_costs_time_and_no_trial() {
        let (queue, name) = (Queue::default(), ("ns".to_owned(), "t".to_owned()));
        queue.add(name.clone());
        for _ in 0..3 {
            let taken = timeout(2 * LONGEST_RETRY, queue.next()).await.expect("the key comes up");
            guarded(&queue, &taken, async { panic!("a bug") }).await;
            queue.done(&taken);
            assert_eq!(taken, name);
        }
        let taken = queue.next().await;
        guarded(&queue, &taken, async {}).await;
        queue.done(&taken);
        assert!(timeout(2 * LONGEST_RETRY, queue.next()).await.is_err(), "done is done");
    }
}
