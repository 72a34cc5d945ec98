//! The ground of every API call: a time limit, the error read once, and the gate for writes.

use super::failure::{Class, Failure};
use super::lease::Gate;
use super::telemetry::Telemetry;
use std::future::Future;
use std::time::Duration;

/// How long one API call may take. kube's client has no limit of its own.
pub const CALL_LIMIT: Duration = Duration::from_secs(10);

/// Waits for the answer, at most [`CALL_LIMIT`].
///
/// # Errors
/// The call's error, or that there was no answer in time; then it may have been carried out all the same.
pub async fn timed<T>(call: impl Into<String>, answer: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match tokio::time::timeout(CALL_LIMIT, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Failure::of(call, &error)),
        Err(_) => Err(Failure::timeout(call, CALL_LIMIT)),
    }
}

/// Lets writes through while this process leads.
#[derive(Clone)]
pub struct Pen {
    /// Whether this process may write.
    pub gate: Gate,
    /// Where what is done is counted.
    pub telemetry: Telemetry,
}

impl Pen {
    /// Carries out one write. It is not repeated here: whether it may be is known only to who asks for it.
    ///
    /// # Errors
    /// As [`timed`]; and without a call when this process does not lead.
    pub async fn write<T>(
        &self,
        verb: &'static str,
        kind: &'static str,
        name: &str,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Failure> {
        let call = format!("{verb} {kind} {name}");
        if self.gate.is_open() {
            return timed(call, answer).await;
        }
        let message = "this process does not hold the lease".to_owned();
        Err(Failure { call, class: Class::NotLeader, message, retry_after: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    fn pen(gate: Gate) -> Pen {
        Pen { gate, telemetry: Telemetry::new().unwrap() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_not_answered_ends_after_its_limit() {
        let start = Instant::now();
        let failure = timed("read Job a/b", std::future::pending::<kube::Result<()>>()).await.unwrap_err();
        assert_eq!(start.elapsed(), CALL_LIMIT);
        assert_eq!(failure.to_string(), "read Job a/b: the API server did not answer within 10 s");
        assert_eq!(failure.class, Class::Transient, "it may have been carried out");
    }

    #[tokio::test]
    async fn nothing_is_sent_while_the_gate_is_shut() {
        let sent = async { panic!("this was sent") };
        let failure = pen(Gate::shut()).write::<()>("delete", "Job", "a/b", sent).await.unwrap_err();
        assert_eq!(failure.class, Class::NotLeader);
    }
}
