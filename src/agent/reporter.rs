//! Says what was measured until the operator has stored it, and hears when to stop.

use super::route::{Posted, Route, agent};
use super::say::say;
use super::settings::Whose;
use crate::report::{Answer, Batch, Body, Outbox, Record, Session, Stop, last_words};
use jiff::Timestamp;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most sessions that wait to be said. A later one says anew what an earlier one said.
const MAX_SESSIONS: usize = 8;

/// Shared by the threads that have something to say, the one that posts, and the one that waits for the end.
pub(super) struct Reporter {
    whose: Whose,
    /// Whoever takes records goes on saying them.
    kept: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// In the order in which they began. The first is being said.
    said: VecDeque<Said>,
    /// The operator wants no reports: nobody waits for an acknowledgement any more.
    refused: bool,
    /// Nobody waits any more.
    given_up: bool,
    /// It was said that values are dropped.
    told: bool,
    /// Why the last post was not answered.
    failure: Option<String>,
    /// The program is to be stopped.
    stop: Option<Stop>,
}

/// What one agent process around the program has to say.
struct Said {
    /// As it began.
    origin: Session,
    /// As the operator knows it.
    session: Session,
    outbox: Outbox,
    /// All up to this number are stored.
    stored: u64,
    /// The operator has heard of it.
    heard: bool,
    /// Everything has been said.
    end: bool,
}

impl Said {
    fn new(session: Session) -> Self {
        Said { origin: session, session, outbox: Outbox::default(), stored: 0, heard: false, end: false }
    }
}

impl Reporter {
    /// Says what there is from now on; `stop` is called once when the operator says so, and comes back at once.
    pub fn start(whose: Whose, route: Route, stop: impl FnOnce(Stop) + Send + 'static) -> Arc<Self> {
        let reporter =
            Arc::new(Reporter { whose, kept: route.keeps(), state: Mutex::default(), changed: Condvar::new() });
        let shared = Arc::clone(&reporter);
        std::thread::spawn(move || shared.run(&route, stop));
        reporter
    }

    /// Begins a session of this process.
    pub fn begin(&self) {
        let time = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0);
        self.lock().said.push_back(Said::new(Session::new(self.whose.attempt, time, std::process::id())));
    }

    /// Takes something to say.
    pub fn say(&self, body: Body) {
        let mut state = self.lock();
        let thinned = state.said.back_mut().is_some_and(|said| {
            said.outbox.push(body);
            said.outbox.thinned() > 0
        });
        let dropping = thinned && !std::mem::replace(&mut state.told, true);
        drop(state);
        self.changed.notify_all();
        if dropping {
            say(
                "metrics are printed faster than the operator stores them: not every value is reported, but always the \
                 lowest, the highest and the last of each metric",
            );
        }
    }

    /// Takes records of an agent process in another container, which knows that all up to `after` were taken. Says what
    /// is taken now, what is stored, and whether the program is to be stopped.
    pub fn take(&self, session: Session, after: u64, records: Vec<Record>, end: bool) -> Answer {
        let mut state = self.lock();
        let stop = state.stop.clone();
        if state.said.iter().rev().skip(1).any(|said| said.origin == session) {
            // A process that has been replaced.
            return Answer { stored: 0, taken: Some(u64::MAX), later: None, stop };
        }
        if state.said.back().is_none_or(|said| said.origin != session) {
            if after > 0 {
                // It was told so by a process that is gone, and its memory with it.
                return Answer { stored: 0, taken: Some(0), later: None, stop };
            }
            state.said.iter_mut().for_each(|said| said.end = true);
            state.said.push_back(Said::new(session));
            if state.said.len() > MAX_SESSIONS {
                state.said.pop_front();
            }
        }
        let mut answer = Answer { stop, ..Answer::default() };
        if let Some(said) = state.said.back_mut() {
            records.into_iter().for_each(|record| said.outbox.put(record));
            said.end |= end;
            (answer.stored, answer.taken) = (said.stored, Some(said.outbox.last()));
        }
        drop(state);
        self.changed.notify_all();
        answer
    }

    /// Says the last, and waits as [`Reporter::settle`] does.
    ///
    /// # Errors
    /// Why not all is in safe hands.
    pub fn finish(&self, body: Body, patience: Duration) -> Result<(), String> {
        self.say(body);
        self.settle(patience)
    }

    /// Nothing more is to come. Waits until all is stored (or with an agent that goes on saying it), the operator wants
    /// nothing, or the time is up.
    ///
    /// # Errors
    /// Why not all is in safe hands.
    pub fn settle(&self, patience: Duration) -> Result<(), String> {
        let mut state = self.lock();
        state.said.iter_mut().for_each(|said| said.end = true);
        self.changed.notify_all();
        let deadline = Instant::now() + patience;
        let open = |state: &State| state.said.iter().any(|said| !self.is_safe(said));
        while open(&state) && !state.refused {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wait(state, left);
        }
        state.given_up = true;
        self.changed.notify_all();
        let thinned: u64 = state.said.iter().map(|said| said.outbox.thinned()).sum();
        if thinned > 0 {
            say(format_args!("{thinned} values were not reported"));
        }
        if !open(&state) {
            return Ok(());
        }
        Err(state.failure.take().unwrap_or_else(|| "it has not said that they are stored".into()))
    }

    /// What of the latest session is not stored, in few words; `None`: all is.
    pub fn last_words(&self) -> Option<String> {
        let said = self.lock().said.pop_back()?;
        last_words(&self.batch(&said, Vec::new()), said.outbox)
    }

    fn run(&self, route: &Route, stop: impl FnOnce(Stop)) {
        let agent = agent();
        let mut stop = Some(stop);
        let (mut failures, mut wondered, mut rest) = (0_u32, false, Duration::ZERO);
        loop {
            let Some((session, batch)) = self.next_batch(route, failures, std::mem::take(&mut rest)) else { return };
            let failure = match route.post(&agent, batch) {
                Posted::Answer(answer) => {
                    failures = 0;
                    if let Some(reason) = self.hear(session, answer)
                        && let Some(stop) = stop.take()
                    {
                        stop(reason);
                    }
                    continue;
                }
                Posted::Refused(why) => {
                    say(format_args!("the operator takes no reports of this trial: {why}"));
                    let mut state = self.lock();
                    (state.refused, state.failure) = (true, Some(why));
                    self.changed.notify_all();
                    return;
                }
                Posted::Failed(why) => why,
                Posted::TooOften(why, wait) => {
                    rest = wait;
                    why
                }
                Posted::Strange(why) => {
                    if !std::mem::replace(&mut wondered, true) {
                        say(format_args!("no report reaches the operator: {why}; going on trying"));
                    }
                    why
                }
            };
            failures += 1;
            self.lock().failure = Some(failure);
        }
    }

    /// What the answer to a batch of this session means; a reason to stop.
    fn hear(&self, session: Session, answer: Answer) -> Option<Stop> {
        let mut state = self.lock();
        state.failure = None;
        let more = state.said.len() > 1;
        if let Some(said) = state.said.front_mut().filter(|said| said.session == session) {
            // An earlier agent of the same attempt, whose clock was ahead. Once this one has been heard, a later session is
            // that of an agent which has replaced it.
            let later = answer.later.as_ref().filter(|_| !said.heard);
            if let Some(next) = later.and_then(|later| said.session.follow(later)) {
                said.session = next;
                return None;
            }
            said.heard = true;
            said.stored = answer.stored;
            said.outbox.acknowledge(answer.stored);
            if let Some(taken) = answer.taken {
                said.outbox.hand_over(taken);
            }
            if more && said.end && said.outbox.is_empty() {
                state.said.pop_front();
            }
        }
        state.stop = state.stop.take().or_else(|| answer.stop.clone());
        self.changed.notify_all();
        answer.stop
    }

    /// Nothing of it is lost any more, whatever happens to this agent.
    fn is_safe(&self, said: &Said) -> bool {
        said.outbox.is_empty() || self.kept && said.outbox.is_handed_over()
    }

    /// Waits until it is time for a post, so long at least; `None` when there is nothing more to wait for.
    fn next_batch(&self, route: &Route, failures: u32, rest: Duration) -> Option<(Session, Batch)> {
        let (started, pace) = (Instant::now(), route.pace());
        let mut state = self.lock();
        loop {
            if state.given_up {
                return None;
            }
            // What is held, but not stored yet, is only at the end worth a question. At the end at once; after failures with
            // patience, doubling up to the heartbeat.
            let quiet = |said: &Said| self.is_safe(said) || !said.end && said.outbox.is_handed_over();
            let due = match (state.said.front(), failures) {
                (None, _) => pace.heartbeat,
                (Some(said), _) if quiet(said) => pace.heartbeat,
                (Some(said), 0) if said.end => Duration::ZERO,
                (Some(_), 0) => pace.busy,
                (Some(_), failures) => (pace.busy / 4 * 2_u32.saturating_pow(failures.min(8))).min(pace.heartbeat),
            };
            let left = (started + due.max(rest)).saturating_duration_since(Instant::now());
            if left.is_zero()
                && let Some(said) = state.said.front()
            {
                return Some((said.session, self.batch(said, said.outbox.batch())));
            }
            state = self.wait(state, if left.is_zero() { pace.heartbeat } else { left });
        }
    }

    fn batch(&self, said: &Said, records: Vec<Record>) -> Batch {
        let Whose { namespace, trial, trial_uid, attempt } = self.whose.clone();
        let all = records.last().is_none_or(|record| record.sequence == said.outbox.last());
        let (session, after, end) = (said.session.to_string(), Some(said.outbox.taken()), said.end && all);
        Batch { namespace, trial, trial_uid, attempt, session, after, records, end }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }
}
