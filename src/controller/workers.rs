//! Takes keys from the queue and makes passes over them, several at a time.

use super::backoff::{Backoff, chance};
use super::failure::Failure;
use super::index::Key;
use super::reconcile::{Reconciler, Rest};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// How long running passes may take to end when the operator is stopped.
const FINISH: Duration = Duration::from_secs(20);
/// Every Experiment that has not ended is looked at again after this time and up to twice of it.
const RESYNC: Duration = Duration::from_secs(300);

/// A key that has failed is not tried again before this time even if something happens to it, or a burst of events would
/// make its backoff worth nothing; what a person has mended is noticed after it.
const DEAF: Duration = Duration::from_secs(10);

/// Works until `stop` becomes true, then finishes what is running.
pub async fn work(reconciler: Arc<Reconciler>, concurrency: usize, mut stop: watch::Receiver<bool>) {
    let mut backoff = Backoff::default();
    let mut running = JoinSet::new();
    let queue = &reconciler.shared.queue;
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(ended) = running.join_next() => {
                let Ok((key, result)) = ended else { continue };
                settle(&reconciler, &mut backoff, &key, result);
                queue.done(&key);
            }
            key = queue.next(), if running.len() < concurrency => {
                let (reconciler, failures) = (reconciler.clone(), backoff.count(&key));
                running.spawn(async move {
                    let started = std::time::Instant::now();
                    let pass = AssertUnwindSafe(reconciler.pass(&key, failures)).catch_unwind();
                    let result = pass.await.map_err(|_| ());
                    reconciler.pen.telemetry.reconcile_duration.observe(started.elapsed().as_secs_f64());
                    (key, result)
                });
            }
        }
    }
    let finished = timeout(FINISH, async { while running.join_next().await.is_some() {} }).await;
    if finished.is_err() {
        tracing::warn!(left = running.len(), "stopping in the middle of passes that do not end");
    }
}

type Ended = Result<Result<Rest, Failure>, ()>;

fn settle(reconciler: &Reconciler, backoff: &mut Backoff<Key>, key: &Key, result: Ended) {
    let queue = &reconciler.shared.queue;
    let mut asked = Duration::ZERO;
    let (outcome, wait) = match result {
        Ok(Ok(rest)) => {
            backoff.succeeded(key);
            if let Some(at) = rest.wake_at {
                queue.add_at(key.clone(), reconciler.clock.instant(at));
            }
            if rest.restless {
                queue.add_at(key.clone(), Instant::now() + RESYNC.mul_f64(1.0 + chance(key)));
            }
            ("ok", None)
        }
        Ok(Err(failure)) => {
            asked = failure.retry_after.unwrap_or_default();
            let wait = backoff.failed(key).max(asked);
            reconciler.pen.telemetry.errors.with_label_values(&[failure.class.name()]).inc();
            tracing::warn!(?key, %failure, ?wait, "a pass failed and is made again");
            ("failed", Some(wait))
        }
        Err(()) => {
            let wait = backoff.failed(key);
            reconciler.pen.telemetry.errors.with_label_values(&["panic"]).inc();
            tracing::error!(?key, ?wait, "a pass panicked, which is a bug; it is made again");
            ("panicked", Some(wait))
        }
    };
    reconciler.pen.telemetry.reconciles.with_label_values(&[outcome]).inc();
    if let Some(wait) = wait {
        let now = Instant::now();
        queue.hold(key.clone(), now + wait.min(DEAF.max(asked)), now + wait);
    }
}
