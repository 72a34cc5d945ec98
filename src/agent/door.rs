//! Where the program itself says what it has measured: an HTTP endpoint on the loopback interface. What it takes goes the
//! way of all that is measured, so that the program need not number, keep or repeat anything.
//!
//! Other users of the machine, and other containers of the pod, share that interface: so whoever pushes shows the trial's
//! token. NNI's package knows of none; the path that it is told is a secret instead.

use super::key::{Key, Locked};
use super::say::say;
use crate::metrics::{Misses, Nni, Observation, Push};
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use std::future::Future;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};
use uuid::Uuid;

/// Most bytes of one request. NNI's own bound is 999,999 characters.
const MAX_BYTES: usize = 4 << 20;
/// Requests that are read at a time; others wait.
const AT_A_TIME: usize = 4;
/// As much is heard of what is not taken, so that the answer is; and so long.
const UNHEARD: (usize, Duration) = (64 << 10, Duration::from_secs(1));
/// How long a request may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);
/// How long what is being said when the program ends is waited for.
const LAST: Duration = Duration::from_secs(1);

/// Takes observations, and the names of what nobody asked for.
pub(super) type Tell = Box<dyn Fn(Vec<Observation>, Option<Vec<String>>) + Send>;

/// What the program's words are read by.
pub(super) enum Words {
    Push(Box<Push>, Key),
    /// Also read from the program's output. The record that tells the program its parameters.
    Nni(Arc<Mutex<Nni>>, String),
}

/// A door that is there, and not yet answered at: whoever knocks waits.
pub(super) struct Door {
    listener: TcpListener,
    path: String,
}

impl Door {
    /// One that is known by name.
    pub fn named(name: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        Ok(Door { listener, path: format!("/{name}") })
    }

    /// One that only those find who are told.
    pub fn secret() -> std::io::Result<Self> {
        Door::named(&Uuid::new_v4().simple().to_string())
    }

    /// Where it is.
    pub fn url(&self) -> std::io::Result<String> {
        Ok(format!("http://{}{}", self.listener.local_addr()?, self.path))
    }

    /// Answers from now on. `stopping`: the program is to stop, and is told so.
    pub fn open(self, words: Words, tell: Tell, stopping: Arc<AtomicBool>) -> Open {
        let (close, closed) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let served = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let served = served.and_then(|runtime| runtime.block_on(self.serve(words, tell, stopping, closed)));
            served.unwrap_or_else(|error| {
                say(format_args!("nothing can be posted: {error}"));
                Misses::default()
            })
        });
        Open { close, thread }
    }

    async fn serve(
        self,
        words: Words,
        tell: Tell,
        stopping: Arc<AtomicBool>,
        closed: oneshot::Receiver<()>,
    ) -> std::io::Result<Misses> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let path = self.path;
        let mut pushes = None;
        let routes = match words {
            Words::Push(push, key) => {
                let desk = pushes.insert(Desk::new((*push, key), tell, stopping));
                Router::new().route(&path, post(pushed)).with_state(Arc::clone(desk))
            }
            Words::Nni(nni, parameters) => {
                let desk = Desk::new((nni, parameters), tell, stopping);
                Router::new().route(&path, post(said).put(said).get(parameter)).with_state(desk)
            }
        };
        let (end, ended) = oneshot::channel::<()>();
        let serving = axum::serve(listener, routes).with_graceful_shutdown(async {
            let _ = closed.await;
            let _ = end.send(());
        });
        let late = async {
            let _ = ended.await;
            tokio::time::sleep(LAST).await;
        };
        tokio::select! {
            served = serving => served?,
            () = late => {}
        }
        Ok(pushes.map_or_else(Misses::default, |desk| {
            let ((push, _), _) = &mut *desk.lock();
            push.take_misses()
        }))
    }
}

/// A door that is answered at.
pub(super) struct Open {
    close: oneshot::Sender<()>,
    thread: JoinHandle<Misses>,
}

impl Open {
    /// The program has ended: hears out what it is saying. What looked like metrics and was none.
    pub fn close(self) -> Misses {
        let _ = self.close.send(());
        self.thread.join().unwrap_or_default()
    }
}

/// What the answers to one program share.
struct Desk<W> {
    words: Mutex<(W, Tell)>,
    stopping: Arc<AtomicBool>,
    room: Semaphore,
}

impl<W> Desk<W> {
    fn new(words: W, tell: Tell, stopping: Arc<AtomicBool>) -> Arc<Self> {
        Arc::new(Desk { words: Mutex::new((words, tell)), stopping, room: Semaphore::new(AT_A_TIME) })
    }

    fn lock(&self) -> MutexGuard<'_, (W, Tell)> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a request, and answers with what comes of it.
    async fn answer<F: Future<Output = Response>>(&self, body: Body, answer: impl FnOnce(Vec<u8>) -> F) -> Response {
        let Ok(_room) = self.room.acquire().await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
        match tokio::time::timeout(ARRIVAL, to_bytes(body, MAX_BYTES)).await {
            Ok(Ok(bytes)) => answer(bytes.into()).await,
            Ok(Err(_)) => refuse(StatusCode::PAYLOAD_TOO_LARGE, &format!("post at most {MAX_BYTES} bytes at a time")),
            Err(_) => refuse(StatusCode::REQUEST_TIMEOUT, "it took too long to arrive"),
        }
    }
}

impl PushDesk {
    fn admit(&self, headers: &HeaderMap) -> Result<(), Locked> {
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let ((_, key), _) = &mut *self.lock();
        key.fits(shown, Instant::now())
    }
}

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({"error": why}))).into_response()
}

type PushDesk = Desk<(Push, Key)>;

/// Takes what is pushed. When it has been answered the agent has it, and goes on saying it.
async fn pushed(State(desk): State<Arc<PushDesk>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if let Err(why) = desk.admit(&head.headers) {
        let (most, within) = UNHEARD;
        let _ = tokio::time::timeout(within, to_bytes(body, most)).await;
        let status = match why {
            Locked::Unreadable(..) => StatusCode::SERVICE_UNAVAILABLE,
            Locked::Nameless | Locked::Another => StatusCode::UNAUTHORIZED,
        };
        return ([(WWW_AUTHENTICATE, "Bearer")], refuse(status, &why.to_string())).into_response();
    }
    let shared = Arc::clone(&desk);
    desk.answer(body, |posted| async move {
        let mut words = shared.lock();
        let ((push, _), tell) = &mut *words;
        let found = match push.parse(&posted, Timestamp::now()) {
            Ok(found) => found,
            Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        let taken = found.len();
        tell(found, push.take_seen());
        let stop = shared.stopping.load(Ordering::Relaxed);
        Json(json!({"taken": taken, "stop": stop})).into_response()
    })
    .await
}

/// What NNI 3 says to its manager.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    /// Answered by [`parameter`].
    RequestParameter,
    Metric {
        metric: String,
    },
}

type NniDesk = Desk<(Arc<Mutex<Nni>>, String)>;

async fn said(State(desk): State<Arc<NniDesk>>, request: Request) -> Response {
    let shared = Arc::clone(&desk);
    desk.answer(request.into_body(), |said| async move {
        match serde_json::from_slice(&said) {
            Ok(Said::RequestParameter) => {}
            Ok(Said::Metric { metric }) => {
                let words = shared.lock();
                let ((nni, _), tell) = &*words;
                let mut nni = nni.lock().unwrap_or_else(PoisonError::into_inner);
                tell(nni.record(metric.as_bytes(), Timestamp::now()), nni.take_seen());
            }
            Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
        }
        StatusCode::OK.into_response()
    })
    .await
}

/// The same for whoever asks, as each process of a distributed program does; nothing any more after the final result, so that
/// a program that asks again and again comes to its end.
async fn parameter(State(desk): State<Arc<NniDesk>>) -> Response {
    let words = desk.lock();
    let ((nni, parameters), _) = &*words;
    if nni.lock().unwrap_or_else(PoisonError::into_inner).has_ended() {
        return StatusCode::GONE.into_response();
    }
    Json(json!({"type": "parameter", "parameter": parameters})).into_response()
}
