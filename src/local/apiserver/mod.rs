//! A Kubernetes API server in process: small, and faithful in what it does.
//!
//! It serves a [`kube::Client`] directly, as a tower service, and kubectl over HTTP on loopback. What it claims to do
//! like kube-apiserver is a list of behaviours that also runs against the real one (`tests/behaviours`).
//!
//! A request takes one way: `request` takes it apart, a hook of the test may break it (`fault`), `read` or `write`,
//! `patch` and `delete` do it on the tables of `store`, which `held` locks to look and to store, the collector in
//! `garbage` follows up, `store` commits (to disk first, where there is one), watches in `watch` are woken, `render` words
//! the answer.

mod age;
mod apply;
mod builder;
mod builtin;
mod cel;
mod cel_glance;
mod cel_value;
mod clock;
mod coerce;
mod columns;
mod custom;
mod decode;
mod delete;
mod discovery;
mod events;
mod expiry;
mod fault;
mod fieldset;
mod garbage;
mod gofmt;
mod held;
mod history;
mod http;
mod job_status;
mod knobs;
mod managed;
mod names;
mod object;
mod openapi;
mod patch;
mod path;
mod persist;
mod podspec;
mod read;
mod render;
mod request;
mod resource;
mod schema;
mod selector;
mod service;
mod shape;
mod status;
mod store;
mod strategic;
mod table;
mod typed;
mod validate;
mod watch;
mod write;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

pub use builder::{BuildError, Builder, Garbage};
pub use clock::{Clock, SystemClock, TokioClock};
pub use fault::{AuditRecord, Fault, Faults, RequestInfo, Verb, Write, WriteObserver};
pub use http::kubeconfig;
use jiff::Timestamp;
pub use knobs::TokenReviewer;
pub use persist::DiskError;
use service::Outcome;
pub use service::ResponseBody;
pub use status::{Cause, Status};
use store::State;

/// A handle to a running server; clones are the same server.
#[derive(Clone)]
pub struct ApiServer {
    inner: Arc<Inner>,
}

/// What all handles share.
struct Inner {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    options: builder::Options,
    hooks: RwLock<knobs::Hooks>,
    audit: Mutex<Vec<AuditRecord>>,
    requests: AtomicU64,
    writes: AtomicU64,
    expired_as_http: AtomicBool,
    stopped: AtomicBool,
}

impl Inner {
    /// The state. A panic of another thread while it held the lock is not hidden by one of ours: the tables are
    /// changed by whole steps.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn expired_as_http(&self) -> bool {
        self.expired_as_http.load(Ordering::Relaxed)
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn creates_namespaces(&self) -> bool {
        self.options.creates_namespaces
    }
}
