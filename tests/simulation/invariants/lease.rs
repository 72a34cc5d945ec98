//! L3: of several operators one writes, and another takes over in time.

use super::Witness;
use super::facts::KnownLease;
use automl_operator::local::apiserver::{RequestInfo, Write};
use std::time::Duration;
use tokio::time::Instant;

/// The lease's duration.
const DURATION: Duration = Duration::from_secs(15);
/// How often the others look.
const RETRY: Duration = Duration::from_secs(2);

impl Witness {
    pub(super) fn see_lease(&mut self, write: &Write) {
        let holder = write.after.as_ref().and_then(|lease| lease["spec"]["holderIdentity"].as_str());
        let holder = holder.unwrap_or_default().to_owned();
        self.l3_a_lease_is_taken_only_once_it_has_run_out(&holder);
        self.l3_the_standby_takes_over_in_time();
        self.lease = Some(KnownLease { holder, written: Instant::now() });
    }

    /// It is no fence, but who has it has it to himself for as long as all clocks run at one speed.
    pub(super) fn l3_only_the_holder_writes(&mut self, request: &RequestInfo) {
        if !self.elects || self.lease.as_ref().is_some_and(|lease| lease.holder == request.user_agent) {
            return;
        }
        let holder = self.lease.as_ref().map_or("nobody", |lease| &lease.holder).to_owned();
        let (who, verb, what) = (&request.user_agent, request.verb.as_str(), &request.path);
        self.violated("L3", format!("{who} sends {verb} {what} while {holder} holds the lease"));
    }

    fn l3_a_lease_is_taken_only_once_it_has_run_out(&mut self, next: &str) {
        let Some(lease) = self.lease.as_ref().filter(|lease| !lease.holder.is_empty() && !next.is_empty()) else {
            return;
        };
        let age = lease.written.elapsed();
        if lease.holder != next && age < DURATION {
            let text = format!("{next} took the lease of {} after {age:?}", lease.holder);
            self.violated("L3", text);
        }
    }

    /// The lease is renewed or taken within its duration and the time between two looks.
    pub fn l3_the_standby_takes_over_in_time(&mut self) {
        let Some(lease) = self.lease.as_ref().filter(|_| self.standby) else { return };
        let age = lease.written.elapsed();
        if age > DURATION + RETRY {
            self.violated("L3", format!("for {age:?} nobody has renewed or taken the lease"));
        }
    }
}
