//! Leader election: of several operators, one acts.

mod gate;
mod step;

pub use gate::Gate;
pub use step::{Record, Sighting, Step, Timing, step};

use super::clock::Clock;
use super::failure::{Class, Failure};
use super::wire;
use crate::api::labels;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// Where the Lease is, and what our claim on it says.
#[derive(Clone, Debug)]
pub struct LeaseName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// URL at which the other replicas reach this one, which they read in the Lease.
    pub own_url: Option<String>,
    /// How long it is held without being renewed, and what follows from that.
    pub timing: Timing,
}

/// Takes part in the election for one Lease.
pub struct Elector {
    api: Api<Lease>,
    name: String,
    identity: String,
    url: Option<String>,
    leader: watch::Sender<Option<String>>,
    timing: Timing,
    clock: Clock,
    gate: Gate,
    lease: Option<Lease>,
    seen: Option<Sighting>,
    renewed: Option<Instant>,
    /// A write was sent and its answer not yet read.
    under_way: bool,
}

impl Elector {
    /// `identity` must be this process's own: two that share it both lead. The gate opens while this one leads.
    pub fn new(client: kube::Client, lease: &LeaseName, identity: &str, clock: Clock, gate: Gate) -> Self {
        Elector {
            api: Api::namespaced(client, &lease.namespace),
            name: lease.name.clone(),
            identity: identity.into(),
            url: lease.own_url.clone(),
            leader: watch::Sender::new(None),
            timing: lease.timing,
            clock,
            gate,
            lease: None,
            seen: None,
            renewed: None,
            under_way: false,
        }
    }

    /// Where the holder of the lease is reached, as far as it is another process and says so in the Lease.
    pub fn leader(&self) -> watch::Receiver<Option<String>> {
        self.leader.subscribe()
    }

    /// Waits for the lease and keeps it. Returns once it was held and is lost.
    pub async fn lead(&mut self) {
        loop {
            let now = Instant::now();
            match step(self.seen.as_ref(), self.renewed, &self.identity, now, self.timing) {
                Step::Lost => {
                    self.gate.close();
                    self.renewed = None;
                    tracing::warn!(lease = self.name, "lost the lease");
                    return;
                }
                Step::Wait(pause) => {
                    sleep(pause).await;
                    if self.renewed.is_none() {
                        self.look().await;
                    }
                }
                // The first look: nothing is known yet.
                Step::Create if self.lease.is_none() && !self.look().await => {}
                Step::Create | Step::Take | Step::Renew => self.write(now).await,
            }
        }
    }

    /// Hands the lease over, so that another need not wait for it to run out.
    pub async fn release(&mut self) {
        self.gate.close();
        self.renewed = None;
        if std::mem::take(&mut self.under_way) {
            // A write was broken off, by which the Lease may have become ours, or another version of ours.
            self.look().await;
        }
        let ours = self.seen.as_ref().is_some_and(|seen| seen.record.holder == self.identity);
        let Some(lease) = self.lease.take().filter(|_| ours) else { return };
        let released = self.claim(Some(lease), "", Duration::from_secs(1));
        match self.put(released).await {
            Ok(_) => {}
            // While it is uninstalled its rights go before it does, and nobody is there to take over.
            Err(error) if error.class == Class::Forbidden => {
                tracing::debug!(lease = self.name, %error, "the lease may not be handed over any more");
            }
            Err(error) => {
                tracing::info!(lease = self.name, %error, "could not hand over the lease; it runs out by itself");
            }
        }
    }

    /// Reads the Lease. True: it is known now whether it exists and does not.
    async fn look(&mut self) -> bool {
        match wire::timed("read Lease", self.api.get_opt(&self.name)).await {
            Ok(Some(lease)) => {
                self.saw(lease);
                false
            }
            Ok(None) => {
                self.lease = None;
                self.seen = None;
                self.leader.send_replace(None);
                true
            }
            Err(error) => {
                tracing::warn!(lease = self.name, %error, "cannot read the lease");
                sleep(self.timing.retry).await;
                false
            }
        }
    }

    async fn write(&mut self, sent: Instant) {
        let claim = self.claim(self.lease.clone(), &self.identity.clone(), self.timing.duration);
        self.under_way = true;
        let answer = self.put(claim).await;
        self.under_way = false;
        match answer {
            Ok(lease) => {
                if self.renewed.is_none() {
                    tracing::info!(lease = self.name, identity = self.identity, "holding the lease");
                }
                self.saw(lease);
                self.renewed = Some(sent);
                self.gate.open_until(sent + self.timing.deadline);
            }
            Err(error) => {
                if matches!(error.class, Class::Conflict | Class::AlreadyExists | Class::NotFound) {
                    tracing::info!(lease = self.name, "another process wrote the lease");
                } else {
                    tracing::warn!(lease = self.name, %error, "cannot write the lease");
                    sleep(self.timing.retry).await;
                }
                // The answer may be lost, too: what the API server holds decides.
                self.look().await;
            }
        }
    }

    async fn put(&self, claim: Lease) -> Result<Lease, Failure> {
        let params = PostParams { field_manager: Some(crate::api::labels::MANAGER.into()), ..PostParams::default() };
        if claim.metadata.resource_version.is_some() {
            wire::timed("write Lease", self.api.replace(&self.name, &params, &claim)).await
        } else {
            wire::timed("create Lease", self.api.create(&params, &claim)).await
        }
    }

    fn saw(&mut self, lease: Lease) {
        let spec = lease.spec.clone().unwrap_or_default();
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let record = Record {
            holder: spec.holder_identity.unwrap_or_default(),
            duration: seconds.map_or(self.timing.duration, Duration::from_secs),
            resource_version: lease.metadata.resource_version.clone().unwrap_or_default(),
        };
        let elsewhere = !record.holder.is_empty() && record.holder != self.identity;
        let url = lease.metadata.annotations.as_ref().and_then(|notes| notes.get(labels::LEADER_URL));
        self.leader.send_replace(url.filter(|_| elsewhere).cloned());
        self.seen = Some(Sighting::again(self.seen.take(), record, Instant::now()));
        self.lease = Some(lease);
    }

    /// The Lease as it should be; with the resourceVersion that was seen.
    fn claim(&self, seen: Option<Lease>, holder: &str, duration: Duration) -> Lease {
        let mut lease = seen.unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            spec: None,
        });
        lease.metadata.managed_fields = None;
        let notes = lease.metadata.annotations.get_or_insert_default();
        notes.remove(labels::LEADER_URL);
        if let Some(url) = self.url.as_ref().filter(|_| !holder.is_empty()) {
            notes.insert(labels::LEADER_URL.into(), url.clone());
        }
        let before = lease.spec.take().unwrap_or_default();
        let now = Some(MicroTime(self.clock.now()));
        let same = before.holder_identity.as_deref() == Some(holder);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(holder.into()),
            lease_duration_seconds: i32::try_from(duration.as_secs()).ok(),
            acquire_time: if same { before.acquire_time } else { now.clone() },
            renew_time: now,
            lease_transitions: Some(before.lease_transitions.unwrap_or(0) + i32::from(!same)),
            ..before
        });
        lease
    }
}
