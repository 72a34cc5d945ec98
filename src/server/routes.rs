//! The routes: reports, health.

use super::intake::{Intake, Refused};
use super::passing::Passing;
use super::queries::Queries;
use super::rate::{Buckets, Rate};
use crate::controller::{Caller, Denied};
use crate::report::{self, Batch};
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What the routes work with.
#[derive(Clone)]
struct Served {
    intake: Arc<Intake>,
    /// The way to the replica that leads, where there are several.
    passing: Option<Passing>,
    /// The way to Prometheus, where there is one.
    queries: Option<Arc<Queries>>,
    buckets: Arc<Buckets>,
}

/// Reports, questions and health, to be served on a listener or called as a tower service. `passing`: one of several replicas
/// needs it. `queries`: where a Prometheus is configured.
pub fn router(intake: Arc<Intake>, passing: Option<Passing>, queries: Option<Arc<Queries>>) -> Router {
    Router::new()
        .route(report::PATH, post(take))
        .route(report::QUERY_PATH, post(query))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .layer(DefaultBodyLimit::max(report::MAX_BATCH_BYTES))
        .with_state(Served { intake, passing, queries, buckets: Arc::new(Buckets::new(Rate::GENEROUS)) })
}

async fn take(
    State(Served { intake, passing, buckets, .. }): State<Served>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let elsewhere = elsewhere(&intake, passing, &headers);
    let (answer, good) = match (elsewhere, body) {
        (Some(elsewhere), Ok(body)) => (pass(elsewhere, report::PATH, &headers, body).await, "passed"),
        (_, body) => (answer(&intake, &buckets, &headers, body).await.map(axum::Json).into_response(), "ok"),
    };
    let outcome = match answer.status() {
        status if status.is_success() => good,
        StatusCode::TOO_MANY_REQUESTS => "limited",
        status if status.is_client_error() => "refused",
        _ => "failed",
    };
    intake.reports().telemetry().batches.with_label_values(&[outcome]).inc();
    answer
}

/// Where another replica leads: its URL.
fn elsewhere(intake: &Intake, passing: Option<Passing>, headers: &HeaderMap) -> Option<(String, Passing)> {
    let passing = passing.filter(|_| !intake.reports().is_open())?;
    Some((passing.destination(headers)?, passing))
}

async fn pass((leader, passing): (String, Passing), path: &str, headers: &HeaderMap, body: Bytes) -> Response {
    passing.pass((&leader, path), headers, body).await.unwrap_or_else(|why| {
        let message = format!("the replica that leads cannot be reached ({leader}): {why}; say it again later");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message).into_response()
    })
}

/// What Prometheus knows of the caller's trial.
async fn query(State(served): State<Served>, headers: HeaderMap) -> Response {
    let Served { intake, passing, queries, buckets } = served;
    if let Some(elsewhere) = elsewhere(&intake, passing, &headers) {
        return pass(elsewhere, report::QUERY_PATH, &headers, Bytes::new()).await;
    }
    asked(&intake, &buckets, queries.as_deref(), &headers).await.map(axum::Json).into_response()
}

async fn asked(
    intake: &Intake,
    buckets: &Buckets,
    queries: Option<&Queries>,
    headers: &HeaderMap,
) -> Result<report::Queried, Refusal> {
    let caller = admitted(intake, buckets, headers).await?;
    if !intake.reports().is_open() {
        let message = "this operator is not (yet) the one that leads; ask again later";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message));
    }
    let Some(queries) = queries else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "this operator has no Prometheus to ask"));
    };
    let asked = intake.reports().queries(&caller).await;
    let asked = asked.map_err(|failure| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, failure.to_string()))?;
    let queried = queries.ask(&caller.trial_uid, asked).await;
    queried.ok_or_else(|| Refusal::new(StatusCode::TOO_MANY_REQUESTS, "the trial is asking already; ask again later"))
}

/// The caller, whose token is good and who has not come too often.
async fn admitted(intake: &Intake, buckets: &Buckets, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let caller = intake.reports().authenticate(bearer(headers)).await?;
    buckets.take(&caller.trial_uid, Instant::now()).map_err(Refusal::too_often)?;
    Ok(caller)
}

async fn answer(
    intake: &Intake,
    buckets: &Buckets,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<report::Answer, Refusal> {
    // Who it is comes first: a stranger learns nothing about what is wrong with the rest.
    let caller = admitted(intake, buckets, headers).await?;
    let body = body.map_err(|rejection| Refusal::new(rejection.status(), rejection.body_text()))?;
    let batch: Batch = serde_json::from_slice(&body)
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, format!("the batch cannot be read: {error}")))?;
    let theirs =
        caller.trial.0 == batch.namespace && caller.trial.1 == batch.trial && caller.trial_uid == batch.trial_uid;
    if !theirs {
        let message =
            format!("the token is that of Trial {}/{}, the batch is another's", caller.trial.0, caller.trial.1);
        return Err(Refusal::new(StatusCode::FORBIDDEN, message));
    }
    Ok(intake.receive(&batch).await?)
}

/// One that could act at once is ready, whether it leads or not: it passes on what only the leader can take.
async fn ready(State(Served { intake, .. }): State<Served>) -> (StatusCode, &'static str) {
    if intake.reports().is_synced() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: the objects are not listed yet\n")
    }
}

/// The token that somebody shows; empty where there is none.
pub(super) fn bearer(headers: &HeaderMap) -> &str {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    shown.strip_prefix("Bearer ").unwrap_or_default().trim()
}

/// A status and a sentence.
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    /// When to come again, in seconds.
    again: Option<u64>,
}

impl Refusal {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let again = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(2);
        Refusal { status, message: message.into(), again }
    }

    fn too_often(wait: Duration) -> Self {
        let message = "this trial reports too often; say it again later";
        Refusal { again: Some(wait.as_secs() + 1), ..Refusal::new(StatusCode::TOO_MANY_REQUESTS, message) }
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        let status = match denied {
            Denied::Token(_) => StatusCode::UNAUTHORIZED,
            Denied::Pod(..) | Denied::Forbidden { .. } => StatusCode::FORBIDDEN,
            Denied::Unavailable(_) | Denied::Busy => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refusal::new(status, denied.to_string())
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let status = match refused {
            Refused::Invalid(_) => StatusCode::BAD_REQUEST,
            Refused::Later(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refusal::new(status, refused.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = axum::Json(serde_json::json!({"error": self.message}));
        match self.again {
            Some(seconds) => (self.status, [(header::RETRY_AFTER, seconds.to_string())], body).into_response(),
            None => (self.status, body).into_response(),
        }
    }
}
