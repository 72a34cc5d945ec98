//! Says what was measured until the operator has stored it, and hears when to stop.

use super::say::say;
use super::settings::Report;
use crate::report::{Answer, Batch, Body, Outbox, Session, Stop};
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
    /// It was said that values are dropped.
    told: bool,
    /// Why the last post was not answered.
    failure: Option<String>,
}

/// How a post ended.
enum Posted {
    Answer(Answer),
    /// The operator takes nothing from this agent, now or later.
    Refused(String),
    Failed(String),
    /// Answered by something that does not speak the operator's language, perhaps a proxy in between.
    Strange(String),
}

impl Reporter {
    /// Starts reporting; `stop` is called once when the operator says so, and comes back at once.
    pub fn start(report: Report, stop: impl FnOnce(Stop) + Send + 'static) -> Arc<Self> {
        let reporter = Arc::new(Reporter { state: Mutex::default(), changed: Condvar::new() });
        let shared = Arc::clone(&reporter);
        let time = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0);
        let session = Session::new(report.attempt, time, std::process::id());
        std::thread::spawn(move || shared.run(&report, session, stop));
        reporter
    }

    /// Takes something to say.
    pub fn say(&self, body: Body) {
        let mut state = self.lock();
        state.outbox.push(body);
        let dropping = !state.told && state.outbox.thinned() > 0;
        state.told |= dropping;
        drop(state);
        self.changed.notify_all();
        if dropping {
            say(
                "metrics are printed faster than the operator stores them: not every value is reported, but always the \
                 lowest, the highest and the last of each metric",
            );
        }
    }

    /// Says the last, and waits until all is stored, the operator wants nothing, or the time is up.
    ///
    /// # Errors
    /// Why not all is stored.
    pub fn finish(&self, body: Body, patience: Duration) -> Result<(), String> {
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
        if state.outbox.thinned() > 0 {
            say(format_args!("{} values were not reported", state.outbox.thinned()));
        }
        if state.outbox.is_empty() {
            return Ok(());
        }
        Err(state.failure.take().unwrap_or_else(|| "it has not said that they are stored".into()))
    }

    fn run(&self, report: &Report, mut session: Session, stop: impl FnOnce(Stop)) {
        let agent = agent();
        let mut stop = Some(stop);
        let (mut failures, mut heard, mut wondered) = (0_u32, false, false);
        loop {
            let Some(batch) = self.next_batch(report, &session.to_string(), failures) else { return };
            let failure = match post(&agent, report, &batch) {
                Posted::Answer(answer) => {
                    failures = 0;
                    self.lock().failure = None;
                    // An earlier agent of the same attempt, whose clock was ahead. Once this agent has been heard, a
                    // later session is that of an agent which has replaced it.
                    if let Some(next) = answer.later.as_ref().filter(|_| !heard).and_then(|later| session.follow(later))
                    {
                        session = next;
                        continue;
                    }
                    heard = true;
                    self.lock().outbox.acknowledge(answer.stored);
                    self.changed.notify_all();
                    if let Some((reason, stop)) = answer.stop.and_then(|reason| Some((reason, stop.take()?))) {
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

/// Straight to the operator: a proxy for the program's own downloads cannot reach it, and is not to have the token; nor
/// is whoever a redirect names.
fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false);
    config.proxy(None).max_redirects(0).build().into()
}

fn post(agent: &ureq::Agent, report: &Report, batch: &Batch) -> Posted {
    let body = match serde_json::to_vec(batch) {
        Ok(body) => body,
        Err(error) => return Posted::Failed(error.to_string()),
    };
    let mut request = agent.post(&report.url).header("content-type", "application/json");
    // Read anew each time, because it rotates.
    if let Some(token) = report.token_file.as_ref().and_then(|file| std::fs::read_to_string(file).ok()) {
        request = request.header("authorization", format!("Bearer {}", token.trim()));
    }
    let mut response = match request.send(&body) {
        Ok(response) => response,
        Err(error) => return Posted::Failed(format!("{}: {error}", report.url)),
    };
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().unwrap_or_default();
    let answered = || format!("{} answered {status}: {}", report.url, text.chars().take(300).collect::<String>());
    match (status, serde_json::from_str::<Refusal>(&text)) {
        (200, _) => match serde_json::from_str(&text) {
            Ok(answer) => Posted::Answer(answer),
            Err(_) => Posted::Strange(answered()),
        },
        // Only the operator itself can refuse for good, and it says so in its own words: another's token, a batch that
        // cannot be read. Whatever else is in between may be mended while the trial runs.
        (400 | 403, Ok(refusal)) => Posted::Refused(refusal.error),
        // The token may be about to rotate, and a busy operator is no refusal.
        (401 | 408 | 429 | 500.., _) => Posted::Failed(answered()),
        _ => Posted::Strange(answered()),
    }
}

/// The operator's own words.
#[derive(serde::Deserialize)]
struct Refusal {
    error: String,
}
