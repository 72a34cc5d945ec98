//! Where agents find the operator; nobody is there while it is down.

use axum::Router;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceExt;

/// How long an agent waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Clone, Default)]
pub struct Door(Arc<Mutex<Option<Behind>>>);

/// Who is behind the door: its name, its routes, and whether it has died.
#[derive(Clone)]
struct Behind {
    life: String,
    router: Router,
    closed: watch::Receiver<bool>,
}

impl Door {
    /// From now on reports go there, until `closed` becomes true: then even a request under way is cut off.
    pub fn open(&self, life: &str, router: Router, closed: watch::Receiver<bool>) {
        *self.0.lock().unwrap() = Some(Behind { life: life.to_owned(), router, closed });
    }

    /// One request, and who answered; `None` when there is no answer.
    pub async fn send(
        &self,
        request: http::Request<axum::body::Body>,
    ) -> Option<(String, http::Response<axum::body::Body>)> {
        let Behind { life, router, mut closed } = self.0.lock().unwrap().clone()?;
        if *closed.borrow() {
            return None;
        }
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => None,
            answer = timeout(PATIENCE, router.oneshot(request)) => Some((life, answer.ok()?.ok()?)),
        }
    }
}
