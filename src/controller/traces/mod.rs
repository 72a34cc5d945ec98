//! Traces for OpenTelemetry, over HTTP as JSON: what has ended is told, from the times that are stored in it.

mod spans;

use crate::api::{Experiment, Trial};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
pub use spans::Moments;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// Spans that may wait; further ones are dropped: they are a courtesy, and must not hold up the work that they tell of.
const CAPACITY: usize = 2048;
/// Spans of one request.
const TOGETHER: usize = 256;
const LIMIT: Duration = Duration::from_secs(10);
/// How often a request is made, and how long between.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_secs(2);

/// Takes what has ended, to be exported.
#[derive(Clone)]
pub struct Traces(mpsc::Sender<Value>);

impl Traces {
    /// The queue, and the task that exports what is put there until nothing more can be; it says whether all was exported.
    /// `endpoint`: base URL of a receiver, such as `http://collector:4318`.
    pub fn new(endpoint: &str) -> (Self, impl Future<Output = bool> + use<>) {
        let (queue, waiting) = mpsc::channel(CAPACITY);
        (Traces(queue), export(format!("{}/v1/traces", endpoint.trim_end_matches('/')), waiting))
    }

    /// A trial, if it has ended; `experiment`: UID of its Experiment.
    pub fn trial(&self, trial: &Trial, experiment: &str, moments: Moments) {
        self.put(spans::of_trial(trial, experiment, moments));
    }

    /// An Experiment, if it has ended.
    pub fn experiment(&self, experiment: &Experiment) {
        self.put(spans::of_experiment(experiment));
    }

    fn put(&self, spans: Vec<Value>) {
        let lost = spans.into_iter().filter_map(|span| self.0.try_send(span).err()).count();
        if lost > 0 {
            tracing::warn!(lost, "spans are not exported: too many wait");
        }
    }
}

async fn export(url: String, mut waiting: mpsc::Receiver<Value>) -> bool {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let (mut spans, mut all) = (Vec::new(), true);
    while waiting.recv_many(&mut spans, TOGETHER).await > 0 {
        let body = Bytes::from(spans::request(&spans).to_string());
        for attempt in 1..=TRIES {
            match post(&client, &url, body.clone()).await {
                Ok(()) => break,
                // Whoever waits for the end does not wait for a receiver to come back.
                Err(error) if attempt == TRIES || waiting.is_closed() => {
                    all = false;
                    tracing::warn!(url, error, lost = spans.len(), "spans could not be exported");
                    break;
                }
                Err(_) => sleep(PAUSE * attempt).await,
            }
        }
        spans.clear();
    }
    all
}

async fn post(client: &Client<HttpConnector, Full<Bytes>>, url: &str, body: Bytes) -> Result<(), String> {
    let request = Request::post(url).header(http::header::CONTENT_TYPE, "application/json");
    let request = request.body(Full::from(body)).map_err(|error| error.to_string())?;
    match timeout(LIMIT, client.request(request)).await {
        Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
        Ok(Ok(answer)) => Err(format!("HTTP status {}", answer.status())),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer in {LIMIT:?}")),
    }
}
