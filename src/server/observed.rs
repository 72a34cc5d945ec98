//! What those who look after the operator come for: metrics, and how much is logged.

use super::intake::Intake;
use super::routes::{Refusal, bearer};
use crate::controller::Visitors;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use std::sync::Arc;

/// Changes what is logged to a filter as for `RUST_LOG`; an error is a sentence.
pub type LogLevel = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

const METRICS: &str = "/metrics";
const LOG_LEVEL: &str = "/log-level";

/// How metrics are shown.
#[derive(Clone, Default)]
pub struct Observed {
    /// Whom to let in; `None`: everybody.
    pub visitors: Option<Arc<Visitors>>,
    /// By it what is logged is changed, at `/log-level`; `None`: not here.
    pub log_level: Option<LogLevel>,
}

#[derive(Clone)]
struct Served {
    intake: Arc<Intake>,
    observed: Observed,
}

impl Observed {
    /// Metrics, and with [`Observed::log_level`] the route that changes it.
    pub fn router(self, intake: Arc<Intake>) -> Router {
        let routes = Router::new().route(METRICS, get(metrics));
        let routes = match self.log_level {
            Some(_) => routes.route(LOG_LEVEL, put(log_level)),
            None => routes,
        };
        routes.with_state(Served { intake, observed: self })
    }

    async fn admit(&self, headers: &HeaderMap, verb: &'static str, path: &'static str) -> Result<(), Refusal> {
        match &self.visitors {
            Some(visitors) => Ok(visitors.check(bearer(headers), verb, path).await?),
            None => Ok(()),
        }
    }
}

async fn metrics(State(Served { intake, observed }): State<Served>, headers: HeaderMap) -> Result<Response, Refusal> {
    observed.admit(&headers, "get", METRICS).await?;
    let exposition = intake.reports().exposition();
    let (text, content_type) =
        exposition.map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

async fn log_level(
    State(Served { observed, .. }): State<Served>,
    headers: HeaderMap,
    body: String,
) -> Result<String, Refusal> {
    observed.admit(&headers, "put", LOG_LEVEL).await?;
    let filter = body.trim();
    let change = observed.log_level.as_ref().map_or(Ok(()), |change| change(filter));
    change.map_err(|why| Refusal::new(StatusCode::BAD_REQUEST, why))?;
    Ok(format!("{filter}\n"))
}
