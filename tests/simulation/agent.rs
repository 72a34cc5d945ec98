//! The in-pod program: plays a script and reports, with the real numbering and the real agent's times.

use super::door::Door;
use super::invariants::Eyes;
use super::script::{End, Script};
use automl_operator::metrics::Observation;
use automl_operator::report::{self, Answer, Batch, Body, Outbox, Record, Session};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Shortest time between two posts while something is to be said.
const PACE: Duration = Duration::from_secs(1);
/// Longest time without a post.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long an agent goes on after the end of its program: the default of `AUTOML_FLUSH_SECONDS`.
const FLUSH: Duration = Duration::from_secs(60);

/// One container's agent.
pub struct Agent {
    door: Door,
    eyes: Eyes,
    batch: Batch,
    token: String,
    outbox: Outbox,
    pushed: u64,
    last_post: Instant,
    session: Session,
    /// An operator has answered this session.
    heard: bool,
}

/// The program is to be stopped.
struct Stopped;

impl Agent {
    /// `clock`: what the node's clock shows, in microseconds.
    pub fn new(door: Door, eyes: Eyes, environment: &HashMap<String, String>, token: &str, clock: i64) -> Self {
        let variable = |name: &str| environment.get(name).cloned().unwrap_or_default();
        let attempt = variable(report::env::ATTEMPT).parse().unwrap_or(0);
        let session = Session::new(attempt, u64::try_from(clock).unwrap_or(0), 1);
        let batch = Batch {
            namespace: variable(report::env::NAMESPACE),
            trial: variable(report::env::TRIAL),
            trial_uid: variable(report::env::TRIAL_UID),
            attempt,
            session: session.to_string(),
            after: None,
            records: Vec::new(),
            end: false,
        };
        Agent {
            door,
            eyes,
            batch,
            token: token.into(),
            outbox: Outbox::default(),
            pushed: 0,
            last_post: Instant::now(),
            session,
            heard: false,
        }
    }

    /// Plays the lines; `None` when the container died after the last of them.
    pub async fn run(mut self, script: &Script, lines: usize, dies: bool) -> Option<End> {
        for line in &script.lines[..lines] {
            if self.wait(line.pause).await.is_err() {
                return Some(End::Exit(143));
            }
            self.push(Body::Observation(Observation {
                metric: line.metric.clone(),
                step: line.step,
                value: line.value,
                time: jiff::Timestamp::UNIX_EPOCH,
            }));
        }
        if dies {
            return None;
        }
        Some(match script.end {
            End::Never => {
                while self.wait(HEARTBEAT).await.is_ok() {}
                End::Exit(143)
            }
            End::Exit(code) => {
                self.push(Body::Ended {
                    exit_code: Some(code),
                    signal: None,
                    tail: "the last line".into(),
                    left_out: 0,
                    parse_misses: 0,
                });
                let until = Instant::now() + FLUSH;
                while !self.outbox.is_empty() && Instant::now() < until {
                    if self.say(true).await.is_none() {
                        sleep(PACE).await;
                    }
                }
                End::Exit(code)
            }
            // Taken away in the middle: nothing more is said.
            ref end => end.clone(),
        })
    }

    fn push(&mut self, body: Body) {
        self.pushed += 1;
        self.eyes.lock().said(&self.batch, Record { sequence: self.pushed, body: body.clone() });
        self.outbox.push(body);
    }

    /// Lets time pass and reports now and then.
    async fn wait(&mut self, pause: Duration) -> Result<(), Stopped> {
        let until = Instant::now() + pause;
        loop {
            let next_post = self.last_post + if self.outbox.is_handed_over() { HEARTBEAT } else { PACE };
            if until <= next_post {
                sleep_until(until).await;
                return Ok(());
            }
            sleep_until(next_post).await;
            if self.say(false).await.is_some_and(|answer| answer.stop.is_some()) {
                return Err(Stopped);
            }
        }
    }

    async fn say(&mut self, end: bool) -> Option<Answer> {
        self.last_post = Instant::now();
        let after = Some(self.outbox.taken());
        let batch = Batch { after, records: self.outbox.batch(), end, ..self.batch.clone() };
        self.eyes.lock().sent(&batch);
        let request = http::Request::post(report::PATH)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(axum::body::Body::from(serde_json::to_vec(&batch).unwrap()))
            .unwrap();
        let (life, response) = self.door.send(request).await?;
        if response.status() != http::StatusCode::OK {
            return None;
        }
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.ok()?;
        let answer: Answer = serde_json::from_slice(&body).ok()?;
        // An earlier agent of the same attempt, whose clock was ahead.
        if let Some(next) = answer.later.as_ref().filter(|_| !self.heard).and_then(|later| self.session.follow(later)) {
            self.eyes.lock().renamed(&self.batch, &next.to_string());
            self.session = next;
            self.batch.session = next.to_string();
            return Some(Answer { stop: None, ..answer });
        }
        self.heard = true;
        if answer.stop.is_none() {
            self.eyes.lock().answered(&life, &batch, &answer);
        }
        self.outbox.acknowledge(answer.stored);
        if let Some(taken) = answer.taken {
            self.outbox.hand_over(taken);
        }
        Some(answer)
    }
}
