//! Asks Prometheus about trials.
//!
//! What is asked stands in the Experiment, where it is asked is the operator's own configuration, and when it is asked the
//! trial's agent says. So a trial that has ended costs nothing, and the answer goes the way of all that agents measure.
//! Everything is bounded: each trial asks one time after the other, all share a few connections, and a Prometheus that is
//! slow, down or talkative costs a trial a sentence.

use crate::controller::Asked;
use crate::metrics::{Answered, answer, observations};
use crate::report::Queried;
use axum::http::{Request, header};
use futures::future::join_all;
use http_body_util::{BodyExt, Limited};
use jiff::Timestamp;
use kube::client::Body;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// One query.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a query waits for its turn, and how many have theirs at a time.
const PATIENCE: Duration = Duration::from_secs(5);
const CONCURRENCY: usize = 8;
/// One number, its labels and warnings are much shorter.
const MAX_ANSWER: usize = 256 << 10;
/// From one time that a trial asks to the next.
const REST: Duration = Duration::from_millis(500);
/// So many sentences about what went wrong.
const MAX_SENTENCES: usize = 3;

/// The way to Prometheus.
pub struct Queries {
    client: kube::Client,
    turns: Semaphore,
    /// By UID of the trial: until when it may not ask again.
    resting: Mutex<HashMap<String, Instant>>,
}

impl Queries {
    /// `client`: of the URL that is configured.
    pub fn new(client: kube::Client) -> Arc<Self> {
        Arc::new(Queries { client, turns: Semaphore::new(CONCURRENCY), resting: Mutex::default() })
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// A sentence: why not.
    pub async fn reach(&self) -> Result<(), String> {
        self.query("vector(1)").await.map(drop)
    }

    /// Asks all of it; `None`: the trial asks too often.
    pub(super) async fn ask(&self, trial_uid: &str, asked: Vec<Asked>) -> Option<Queried> {
        if !self.may_ask(trial_uid) {
            return None;
        }
        let answers = join_all(asked.into_iter().map(async |Asked { metric, query }| {
            let answered = match query {
                Ok(query) => self.query(&query).await,
                Err(why) => Err(why),
            };
            (metric, answered)
        }));
        let answers = answers.await;
        self.rest(trial_uid, REST);
        let (mut numbers, mut sentences) = (Vec::new(), Vec::new());
        for (metric, answered) in answers {
            let why = match answered {
                Ok(Answered { value, warning }) => {
                    numbers.extend(value.map(|value| (metric.clone(), value)));
                    match (value, warning) {
                        (Some(_), None) => continue,
                        (Some(_), Some(warning)) => format!("Prometheus warns: {warning}"),
                        (None, Some(warning)) => format!("Prometheus knows no such series, and warns: {warning}"),
                        (None, None) => "Prometheus knows no such series".to_owned(),
                    }
                }
                Err(why) => format!("Prometheus: {why}"),
            };
            sentences.push(format!("{metric}: {why}"));
        }
        let more = sentences.len().saturating_sub(MAX_SENTENCES);
        sentences.truncate(MAX_SENTENCES);
        if more > 0 {
            sentences.push(format!("and {more} more"));
        }
        let trouble = (!sentences.is_empty()).then(|| sentences.join("; "));
        Some(Queried { observations: observations(numbers, Timestamp::now()), trouble })
    }

    fn may_ask(&self, trial_uid: &str) -> bool {
        let (mut resting, now) = (self.resting.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        resting.retain(|_, until| *until > now);
        if resting.contains_key(trial_uid) {
            return false;
        }
        // A caller that goes away does not hinder the next for longer.
        resting.insert(trial_uid.to_owned(), now + PATIENCE + TIMEOUT);
        true
    }

    fn rest(&self, trial_uid: &str, time: Duration) {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.insert(trial_uid.to_owned(), Instant::now() + time);
    }

    async fn query(&self, query: &str) -> Result<Answered, String> {
        let Ok(Ok(_turn)) = timeout(PATIENCE, self.turns.acquire()).await else {
            return Err("too many others are asking it".into());
        };
        let body = format!("query={}&timeout={}s", encoded(query), TIMEOUT.as_secs());
        let request = Request::post("/api/v1/query")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(Body::from(body.into_bytes()))
            .map_err(|error| error.to_string())?;
        let ask = async {
            let (parts, body) = self.client.send(request).await.map_err(|error| unreachable(&error))?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body =
                body.map_err(|error| format!("its answer breaks off, or has more than {MAX_ANSWER} bytes: {error}"))?;
            // It says what is wrong with a query in the same form.
            match answer(&body.to_bytes()) {
                Err(_)
                    if !parts.status.is_success() && !parts.headers.get(header::CONTENT_TYPE).is_some_and(is_json) =>
                {
                    Err(format!("it answers {}", parts.status))
                }
                answered => answered,
            }
        };
        timeout(TIMEOUT, ask).await.unwrap_or_else(|_| Err(format!("no answer in {} seconds", TIMEOUT.as_secs())))
    }
}

fn is_json(content_type: &axum::http::HeaderValue) -> bool {
    content_type.as_bytes().starts_with(b"application/json")
}

/// Where it is, is nothing for a trial to know.
fn unreachable(error: &kube::Error) -> String {
    tracing::warn!(%error, "Prometheus cannot be reached");
    "it cannot be reached".into()
}

/// As a value in a form.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
