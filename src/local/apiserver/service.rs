//! From an HTTP request to its answer.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, PoisonError, atomic::Ordering},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use serde_json::Value;
use tower::BoxError;

use super::{
    ApiServer, AuditRecord, Fault, Garbage, Verb, Write,
    delete::DeleteOptions,
    discovery,
    garbage::ACTOR,
    held::Held,
    object::Object,
    read,
    render::{Renderer, text},
    request::Request,
    resource::{Resource, View},
    status::Status,
    watch::Watch,
    write::Writer,
};

/// Body of an answer: whole, or a stream of watch events.
pub type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// The answer to a request that was served.
pub(super) struct Outcome {
    code: u16,
    content: Content,
    warnings: Vec<String>,
}

enum Content {
    Json(Bytes),
    Object(Renderer, Arc<Object>),
    List(Renderer, Vec<Arc<Object>>, Value),
    Typed(&'static str, Bytes),
    Watch(Box<Watch>),
}

impl Outcome {
    pub fn json(code: u16, body: Bytes) -> Self {
        Self { code, content: Content::Json(body), warnings: Vec::new() }
    }

    /// One object. Its text is made once nobody else has to wait for it.
    pub fn object(code: u16, renderer: Renderer, object: Arc<Object>) -> Self {
        Self { code, content: Content::Object(renderer, object), warnings: Vec::new() }
    }

    /// A list, likewise.
    pub fn list(renderer: Renderer, objects: Vec<Arc<Object>>, metadata: Value) -> Self {
        Self { code: 200, content: Content::List(renderer, objects, metadata), warnings: Vec::new() }
    }

    pub fn typed(content_type: &'static str, body: Bytes) -> Self {
        Self { code: 200, content: Content::Typed(content_type, body), warnings: Vec::new() }
    }

    pub fn watch(watch: Watch) -> Self {
        Self { code: 200, content: Content::Watch(Box::new(watch)), warnings: Vec::new() }
    }

    pub fn with_warnings(mut self, warnings: Vec<String>) -> Self {
        self.warnings = warnings;
        self
    }

    fn into_response(self) -> Response<ResponseBody> {
        let (content_type, body) = match self.content {
            Content::Json(bytes) => ("application/json", whole(bytes)),
            Content::Object(renderer, object) => ("application/json", whole(renderer.object(&object))),
            Content::List(renderer, objects, metadata) => {
                ("application/json", whole(renderer.list(&objects, &metadata)))
            }
            Content::Typed(content_type, bytes) => (content_type, whole(bytes)),
            Content::Watch(watch) => {
                let lines = futures::stream::unfold(watch, |mut watch| async move {
                    let line = watch.next().await?;
                    Some((Ok::<_, BoxError>(Frame::data(line)), watch))
                });
                ("application/json", StreamBody::new(lines).boxed_unsync())
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        for warning in self.warnings {
            if let Ok(value) = HeaderValue::from_str(&format!("299 - {warning:?}")) {
                headers.append(header::WARNING, value);
            }
        }
        response
    }
}

fn whole(bytes: Bytes) -> ResponseBody {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// The answer to a request that was refused.
pub(super) fn refusal(status: &Status) -> Response<ResponseBody> {
    let mut response = Outcome::json(status.code, text(&status.to_json())).into_response();
    if let Some(seconds) = status.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What a client sees of a request that is lost.
#[derive(Debug, thiserror::Error)]
#[error("connection reset by peer (the {0} of {1} was lost)")]
struct Lost(&'static str, String);

impl ApiServer {
    /// Serves one request.
    ///
    /// # Errors
    /// Only where a fault loses the request or its answer: the client sees a broken connection.
    pub async fn serve_request(
        &self,
        parts: &http::request::Parts,
        body: Bytes,
    ) -> Result<Response<ResponseBody>, BoxError> {
        let mut request = Request::parse(parts, body);
        if request.info.verb == Verb::Delete || request.info.verb == Verb::DeleteCollection {
            request.info.dry_run |= DeleteOptions::parse(&request).is_ok_and(|options| options.dry_run);
        }
        request.info.number = self.inner.requests.fetch_add(1, Ordering::Relaxed) + 1;
        request.info.write_number = if request.info.is_write() {
            self.inner.writes.fetch_add(1, Ordering::Relaxed) + 1
        } else {
            self.inner.writes.load(Ordering::Relaxed)
        };
        let fault = self.hooks().faults.map_or(Fault::None, |faults| faults.before(&request.told()));
        match &fault {
            Fault::DropBefore => return Err(Lost("request", request.info.path).into()),
            Fault::Hang => return std::future::pending().await,
            Fault::Delay(time) => tokio::time::sleep(*time).await,
            Fault::Garbage(body) => return Ok(Outcome::json(200, Bytes::from(body.clone())).into_response()),
            Fault::Answer { code, reason, retry_after } => {
                let mut status = Status::new(*code, reason, "the server was told by a test to fail here");
                if let Some(seconds) = retry_after {
                    status = status.with_retry_after(*seconds);
                }
                self.record(&request, *code);
                return Ok(refusal(&status));
            }
            Fault::None | Fault::DropAfter | Fault::AnswerAfter { .. } | Fault::HangAfter => {}
        }
        let path = request.info.path.clone();
        let served = if self.inner.options.on_disk && request.info.is_write() {
            let server = self.clone();
            tokio::task::spawn_blocking(move || server.serve_now(&request)).await?
        } else {
            self.serve_now(&request)
        };
        match fault {
            Fault::DropAfter => Err(Lost("answer", path).into()),
            Fault::HangAfter => std::future::pending().await,
            Fault::AnswerAfter { code, reason } => {
                Ok(refusal(&Status::new(code, &reason, "the server was told by a test to fail after the write")))
            }
            _ => Ok(match served {
                Ok(outcome) => outcome.into_response(),
                Err(status) => refusal(&status),
            }),
        }
    }

    /// Serves a request without waiting for anything but the lock and the disk.
    fn serve_now(&self, request: &Request) -> Result<Outcome, Status> {
        let (served, writes) = self.dispatch(request);
        self.record(request, served.as_ref().map_or_else(|status| status.code, |outcome| outcome.code));
        self.show(&writes);
        served
    }

    fn dispatch(&self, request: &Request) -> (Result<Outcome, Status>, Vec<Write>) {
        if self.inner.is_stopped() {
            let status = Status::new(503, "ServiceUnavailable", "the server is shutting down");
            return (Err(status), Vec::new());
        }
        let mut held = Held::new(&self.inner);
        let mut served = self.serve_held(&mut held, request);
        if held.was_overtaken() {
            held = Held::throughout(&self.inner);
            served = self.serve_held(&mut held, request);
        }
        if served.is_err() || request.info.dry_run {
            held.roll_back();
            return (served, Vec::new());
        }
        if !request.info.verb.is_write() {
            return (served, Vec::new());
        }
        let state = held.state();
        state.mark_actor(&request.info.user_agent);
        if self.inner.options.garbage == Garbage::Immediate {
            state.collect_garbage(self.inner.now());
        }
        let committed = state.commit(ACTOR, self.is_observed());
        let forgotten = state.forgotten();
        drop(held);
        // To take whole objects apart takes long; nobody has to wait for it.
        drop(forgotten);
        match committed {
            Ok(writes) => (served, writes),
            Err(status) => (Err(status), Vec::new()),
        }
    }

    fn serve_held(&self, held: &mut Held<'_>, request: &Request) -> Result<Outcome, Status> {
        let info = &request.info;
        let state = held.state();
        if info.resource.is_empty() {
            return discovery::serve(state, request);
        }
        let resource =
            state.registry.get(&info.group, &info.version, &info.resource).ok_or_else(Status::page_not_found)?;
        check_scope(&resource, request)?;
        match info.verb {
            Verb::Get => read::get(&self.inner, state, request, &resource),
            Verb::List => read::list(&self.inner, state, request, &resource),
            Verb::Watch => read::watch(&self.inner, state, request, &resource),
            Verb::Create if resource.view == View::Review => self.review(request),
            _ => self.write(held, request, &resource),
        }
    }

    fn write(&self, held: &mut Held<'_>, request: &Request, resource: &Arc<Resource>) -> Result<Outcome, Status> {
        let mut writer = Writer { server: &self.inner, held, request, resource, warnings: Vec::new() };
        let written = match request.info.verb {
            Verb::Create => writer.create()?,
            Verb::Update => writer.update()?,
            Verb::Patch => writer.patch()?,
            Verb::Delete => return writer.delete(&DeleteOptions::parse(request)?),
            _ => return writer.delete_collection(&DeleteOptions::parse(request)?),
        };
        writer.answer(written)
    }

    /// Serves a TokenReview.
    fn review(&self, request: &Request) -> Result<Outcome, Status> {
        let mut review: Value = serde_json::from_slice(&request.body)
            .map_err(|error| Status::bad_request(format!("the object provided is unrecognized: {error}")))?;
        let spec = review.get("spec").cloned().unwrap_or_default();
        let status = match self.hooks().token_reviewer {
            Some(reviewer) => reviewer(&spec),
            None => serde_json::json!({ "authenticated": false, "error": "this server issues no tokens" }),
        };
        super::object::as_map(&mut review).insert("status".to_owned(), status);
        Ok(Outcome::json(201, text(&review)))
    }

    fn record(&self, request: &Request, code: u16) {
        if self.inner.options.audit_log {
            let mut log = self.inner.audit.lock().unwrap_or_else(PoisonError::into_inner);
            log.push(AuditRecord { request: request.info.clone(), code });
        }
    }

    /// Shows stored changes to the observers, outside the lock.
    pub(super) fn show(&self, writes: &[Write]) {
        if writes.is_empty() {
            return;
        }
        for observer in self.hooks().observers {
            writes.iter().for_each(|write| observer(write));
        }
    }

    /// A client of this server, without a socket in between.
    #[must_use]
    pub fn client(&self, default_namespace: &str) -> kube::Client {
        kube::Client::new(self.clone(), default_namespace)
    }

    /// A client whose requests carry this user agent, so that hooks can tell clients apart.
    #[must_use]
    pub fn client_as(&self, default_namespace: &str, user_agent: &str) -> kube::Client {
        let agent = HeaderValue::from_str(user_agent).unwrap_or(HeaderValue::from_static("unknown"));
        let server = self.clone();
        let service = tower::service_fn(move |mut request: http::Request<kube::client::Body>| {
            request.headers_mut().entry(header::USER_AGENT).or_insert_with(|| agent.clone());
            tower::ServiceExt::oneshot(server.clone(), request)
        });
        kube::Client::new(service, default_namespace)
    }
}

/// Refuses paths that do not fit the resource: a namespace where there is none, a subresource that is not served.
fn check_scope(resource: &Resource, request: &Request) -> Result<(), Status> {
    let info = &request.info;
    let one = !info.name.is_empty();
    let namespaced_path = !info.namespace.is_empty();
    let subresource = match info.subresource.as_str() {
        "" => true,
        "status" => resource.status_subresource && matches!(info.verb, Verb::Get | Verb::Update | Verb::Patch),
        _ => false,
    };
    if !subresource || (namespaced_path && !resource.namespaced) || (one && resource.namespaced && !namespaced_path) {
        return Err(Status::page_not_found());
    }
    let allowed = match info.verb {
        Verb::Create => !one && namespaced_path == resource.namespaced,
        Verb::Update | Verb::Patch | Verb::Delete => one && resource.view != View::Review,
        Verb::DeleteCollection => namespaced_path == resource.namespaced && resource.view != View::Review,
        Verb::Get | Verb::List | Verb::Watch => resource.view != View::Review,
    };
    if allowed {
        Ok(())
    } else {
        Err(Status::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource"))
    }
}

impl<B> tower::Service<http::Request<B>> for ApiServer
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(Into::into)?.to_bytes();
            server.serve_request(&parts, body).await
        })
    }
}
