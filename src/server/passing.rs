//! A replica that does not lead passes reports on to the one that does: a Service picks replicas without knowing which
//! leads.
//!
//! The leader's address stands in the Lease, and what is passed on carries the trial's token: whoever may write the Lease is
//! trusted, as whoever may change the operator's Deployment is.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout;

/// Marks what was passed on: it goes no further, or two replicas that each take the other for the leader would pass it
/// on for ever.
const PASSED: HeaderName = HeaderName::from_static("automl-passed-on");
const CONNECT: Duration = Duration::from_secs(3);
/// Longer than the leader lets a last batch wait until it is stored, shorter than agents wait.
const ANSWER: Duration = Duration::from_secs(25);
/// Connections that nothing goes through are closed after this time: the next leader has another address.
const IDLE: Duration = Duration::from_secs(30);
const MAX_ANSWER: usize = 64 * 1024;

/// The way to the replica that leads.
#[derive(Clone)]
pub struct Passing {
    leader: watch::Receiver<Option<String>>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// Why the leader has not answered.
#[derive(Debug, Error)]
pub(super) enum Unreachable {
    #[error("{0}")]
    Call(#[from] axum::http::Error),
    #[error("{0}")]
    Client(#[from] hyper_util::client::legacy::Error),
    #[error("{0}")]
    Body(#[from] Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer in {ANSWER:?}")]
    Late,
}

impl Passing {
    /// `leader`: base URL of the replica that leads, while it is another one.
    pub fn new(leader: watch::Receiver<Option<String>>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        Passing { leader, client: builder.build(connector) }
    }

    /// Where a request with these headers is to be passed on to, if it is.
    pub(super) fn destination(&self, headers: &HeaderMap) -> Option<String> {
        if headers.contains_key(PASSED) {
            return None;
        }
        self.leader.borrow().clone()
    }

    /// Asks the leader, with the caller's own token, and gives its answer.
    pub(super) async fn pass(
        &self,
        (base, path): (&str, &str),
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response, Unreachable> {
        let mut request = Request::post(format!("{base}{path}"));
        for name in [header::AUTHORIZATION, header::CONTENT_TYPE] {
            if let Some(value) = headers.get(&name) {
                request = request.header(name, value);
            }
        }
        let request = request.header(PASSED, HeaderValue::from_static("1")).body(Full::new(body))?;
        let ask = async {
            let (parts, body) = self.client.request(request).await?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
            Ok((parts, body))
        };
        let (parts, body) = timeout(ANSWER, ask).await.unwrap_or(Err(Unreachable::Late))?;
        let mut answer = (parts.status, Body::from(body)).into_response();
        for name in [header::CONTENT_TYPE, header::RETRY_AFTER] {
            if let Some(value) = parts.headers.get(&name) {
                answer.headers_mut().insert(name, value.clone());
            }
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::post;
    use std::net::SocketAddr;
    use tokio::net::TcpListener;

    async fn serve(routes: Router) -> (SocketAddr, tokio::task::JoinHandle<std::io::Result<()>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (address, tokio::spawn(axum::serve(listener, routes).into_future()))
    }

    fn headers(token: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(token))])
    }

    #[tokio::test]
    async fn the_leader_is_asked_with_the_callers_token_and_its_answer_given() {
        let leader = Router::new().route(
            "/v1/report",
            post(async |headers: HeaderMap, body: Bytes| {
                assert!(headers.contains_key(PASSED));
                let token = headers[header::AUTHORIZATION].to_str().unwrap().to_owned();
                let status = if token == "Bearer good" { StatusCode::OK } else { StatusCode::FORBIDDEN };
                (status, [(header::RETRY_AFTER, "7")], body)
            }),
        );
        let (address, serving) = serve(leader).await;
        let (url, leader) = watch::channel(None);
        let passing = Passing::new(leader);
        assert_eq!(passing.destination(&headers("Bearer good")), None, "nobody is known to lead");
        url.send_replace(Some(format!("http://{address}")));
        let base = passing.destination(&headers("Bearer good")).unwrap();
        for (token, status) in [("Bearer good", 200), ("Bearer bad", 403)] {
            let answer = passing.pass((&base, "/v1/report"), &headers(token), Bytes::from("x")).await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), answer.headers()[header::RETRY_AFTER].as_bytes()),
                (status, &b"7"[..])
            );
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "x");
        }
        serving.abort();
    }

    #[tokio::test]
    async fn what_was_passed_on_goes_no_further_and_a_leader_that_is_gone_is_said() {
        let passing = Passing::new(watch::channel(Some("http://127.0.0.1:1".to_owned())).1);
        let passed = HeaderMap::from_iter([(PASSED, HeaderValue::from_static("1"))]);
        assert_eq!(passing.destination(&passed), None);
        let refused = passing.pass(("http://127.0.0.1:1", "/"), &headers("x"), Bytes::new()).await;
        assert!(matches!(refused, Err(Unreachable::Client(_))), "{refused:?}");
    }
}
