//! S10, L1, L2: quiet, and the end.

use super::Witness;
use super::facts::{ended, experiment_uid, job_ended, owner};
use automl_operator::api::conditions::{is_true, types};
use automl_operator::local::apiserver::{ApiServer, Fault, RequestInfo, Write};
use kube::ResourceExt;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// So often may one thing be asked for within a second: conflicts are answered by a few repetitions at once.
const MOST: usize = 24;

/// Who, verb, resource, subresource, name.
type Thing = (String, &'static str, String, String, String);

/// What was asked for of late.
#[derive(Default)]
pub struct Requests {
    sent: BTreeMap<(String, String, String), Instant>,
    recent: BTreeMap<Thing, VecDeque<Instant>>,
    /// Until when the API server asked to be left alone.
    left_alone: BTreeMap<Thing, Instant>,
}

impl Requests {
    pub fn sent(&mut self, request: &RequestInfo) {
        if request.is_write() {
            let key = (request.user_agent.clone(), request.resource.clone(), request.name.clone());
            self.sent.insert(key, Instant::now());
        }
    }

    /// When the request that led to this write was sent.
    pub fn when(&self, write: &Write) -> Option<Instant> {
        let key = (write.user_agent.clone(), write.resource.clone(), write.name.clone());
        self.sent.get(&key).copied()
    }
}

fn thing(request: &RequestInfo) -> Thing {
    let RequestInfo { user_agent, verb, resource, subresource, name, .. } = request;
    (user_agent.clone(), verb.as_str(), resource.clone(), subresource.clone(), name.clone())
}

impl Witness {
    /// No pass goes round in circles.
    /// False: it has gone round so often that it must be stopped for the simulation to go on.
    pub(super) fn s10_requests_are_bounded(&mut self, request: &RequestInfo) -> bool {
        if request.resource == "tokenreviews" {
            return true;
        }
        let now = Instant::now();
        let recent = self.requests.recent.entry(thing(request)).or_default();
        recent.push_back(now);
        while recent.front().is_some_and(|sent| now.duration_since(*sent) > Duration::from_secs(1)) {
            recent.pop_front();
        }
        let count = recent.len();
        if count == MOST + 1 && !self.twins {
            self.violated("S10", format!("{:?} was sent {count} times within a second", thing(request)));
        }
        count < 20 * MOST
    }

    /// What was answered with Retry-After is not asked for again before.
    pub(super) fn s10_retry_after_is_obeyed(&mut self, request: &RequestInfo, fault: &Fault) {
        let (now, thing) = (Instant::now(), thing(request));
        // Reads are made for several who ask, and a Trial's status is written on two ways.
        if !request.is_write() || request.resource == "trials" {
            return;
        }
        if self.requests.left_alone.get(&thing).is_some_and(|until| now < *until) {
            self.violated("S10", format!("{thing:?} was sent again before the API server's Retry-After"));
        }
        match fault {
            Fault::Answer { retry_after: Some(seconds), .. } => {
                self.requests.left_alone.insert(thing, now + Duration::from_secs((*seconds).into()));
            }
            _ => drop(self.requests.left_alone.remove(&thing)),
        }
    }

    /// In a state in which nothing moves.
    pub fn s10_nothing_is_written_at_rest(&mut self, state: &str, writes: u64, server: &ApiServer) {
        if writes > 0 {
            let log = server.audit_log();
            let operators = log.iter().rev().map(|line| &line.request);
            let operators =
                operators.filter(|request| request.is_write() && request.user_agent.starts_with("operator"));
            let last: Vec<String> = operators.take(3).map(|r| format!("{} {}", r.verb.as_str(), r.path)).collect();
            self.violated("S10", format!("{writes} writes {state}, such as {last:?}"));
        }
    }

    /// Once all is quiet.
    pub fn at_the_end(&mut self) {
        self.l1_each_experiment_ends();
        self.l2_no_job_runs_without_its_trial();
        self.l3_the_standby_takes_over_in_time();
        self.s8_at_rest();
    }

    fn l1_each_experiment_ends(&mut self) {
        let open = self.experiments.values().filter(|known| !known.gone).filter(|known| {
            let conditions = known.last.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
            !is_true(conditions, types::COMPLETE) && !is_true(conditions, types::FAILED)
        });
        let open: Vec<String> = open.map(|known| known.last.name_any()).collect();
        for name in open {
            self.violated("L1", format!("Experiment {name} has not ended"));
        }
    }

    fn l2_no_job_runs_without_its_trial(&mut self) {
        let alone = |job: &&std::sync::Arc<serde_json::Value>| {
            !experiment_uid(job).is_empty()
                && !job_ended(job)
                && self.trial(owner(job)).is_none_or(|trial| ended(trial))
        };
        let alone: Vec<String> =
            self.jobs.values().filter(alone).map(|job| job["metadata"]["name"].to_string()).collect();
        for name in alone {
            self.violated("L2", format!("Job {name} runs without its Trial"));
        }
    }
}
