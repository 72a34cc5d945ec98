//! Says what was measured until the operator has stored it, and hears when to stop.

use super::settings::Report;
use crate::report::{Answer, Batch, Body, Outbox, Stop};
use jiff::Timestamp;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shortest time between two posts while something is to be said.
const PACE: Duration = Duration::from_secs(1);
/// Longest time without a post: a stop is heard within it.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// One request.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Shared by the threads that read output, the one that posts, and the one that waits for the program.
pub(super) struct Reporter {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    outbox: Outbox,
    /// Everything has been said.
    end: bool,
    /// The operator wants no reports: nobody waits for an acknowledgement any more.
    refused: bool,
    /// Nobody waits any more.
    given_up: bool,
}

/// How a post ended.
enum Posted {
    Answer(Answer),
    Refused(String),
    Failed,
}

impl Reporter {
    /// Starts reporting; `stop` is called once when the operator says so.
    pub fn start(report: Report, stop: impl FnOnce(Stop) + Send + 'static) -> Arc<Self> {
        let reporter = Arc::new(Reporter { state: Mutex::default(), changed: Condvar::new() });
        let shared = Arc::clone(&reporter);
        // Later sessions are greater: the time of the start, then the process.
        let session = format!("{:020}-{:010}", Timestamp::now().as_microsecond(), std::process::id());
        std::thread::spawn(move || shared.run(&report, &session, stop));
        reporter
    }

    /// Takes something to say.
    pub fn say(&self, body: Body) {
        self.lock().outbox.push(body);
        self.changed.notify_all();
    }

    /// Says the last, and waits until all is stored, the operator wants nothing, or the time is up. True when all is
    /// stored.
    pub fn finish(&self, body: Body, patience: Duration) -> bool {
        let mut state = self.lock();
        state.outbox.push(body);
        state.end = true;
        self.changed.notify_all();
        let deadline = Instant::now() + patience;
        while !state.outbox.is_empty() && !state.refused {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wait(state, left);
        }
        state.given_up = true;
        self.changed.notify_all();
        state.outbox.is_empty()
    }

    fn run(&self, report: &Report, session: &str, stop: impl FnOnce(Stop)) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build().into();
        let mut stop = Some(stop);
        let mut failures = 0_u32;
        loop {
            let Some(batch) = self.next_batch(report, session, failures) else { return };
            match post(&agent, report, &batch) {
                Posted::Answer(answer) => {
                    failures = 0;
                    self.lock().outbox.acknowledge(answer.stored);
                    self.changed.notify_all();
                    if let (Some(reason), Some(stop)) = (answer.stop, stop.take_if(|_| true)) {
                        stop(reason);
                    }
                }
                Posted::Refused(why) => {
                    eprintln!("automl-agent: the operator takes no reports of this trial: {why}");
                    self.lock().refused = true;
                    self.changed.notify_all();
                    return;
                }
                Posted::Failed => failures += 1,
            }
        }
    }

    /// Waits until it is time for a post; `None` when there is nothing more to wait for.
    fn next_batch(&self, report: &Report, session: &str, failures: u32) -> Option<Batch> {
        let started = Instant::now();
        let mut state = self.lock();
        loop {
            if state.given_up {
                return None;
            }
            // At the end at once; after failures with patience, doubling up to the heartbeat.
            let pace = match (failures, state.end) {
                (0, true) => Duration::ZERO,
                (0, false) => PACE,
                (failures, _) => (PACE / 4 * 2_u32.saturating_pow(failures.min(8))).min(HEARTBEAT),
            };
            let due = if state.outbox.is_empty() { HEARTBEAT } else { pace };
            let left = (started + due).saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wait(state, left);
        }
        let records = state.outbox.batch();
        Some(Batch {
            namespace: report.namespace.clone(),
            trial: report.trial.clone(),
            trial_uid: report.trial_uid.clone(),
            attempt: report.attempt,
            session: session.to_owned(),
            end: state.end && records.len() == state.outbox.len(),
            records,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }
}

fn post(agent: &ureq::Agent, report: &Report, batch: &Batch) -> Posted {
    let Ok(body) = serde_json::to_vec(batch) else { return Posted::Failed };
    let mut request = agent.post(&report.url).header("content-type", "application/json");
    // Read anew each time, because it rotates.
    if let Some(token) = report.token_file.as_ref().and_then(|file| std::fs::read_to_string(file).ok()) {
        request = request.header("authorization", format!("Bearer {}", token.trim()));
    }
    let Ok(mut response) = request.send(&body) else { return Posted::Failed };
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().unwrap_or_default();
    match status {
        200 => serde_json::from_str(&text).map_or(Posted::Failed, Posted::Answer),
        // The token may be about to rotate, and a busy operator is no refusal.
        401 | 408 | 429 => Posted::Failed,
        400..500 => Posted::Refused(text.chars().take(300).collect()),
        _ => Posted::Failed,
    }
}
