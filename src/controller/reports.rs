//! The report route's side that needs the API server: who reports, and what is stored in the Trial.

use super::act::{Done, Hand, Learnt};
use super::clock::Clock;
use super::failure::{Class, Failure};
use super::index::{Lookup, Moment, has_ended};
use super::lease::Gate;
use super::mutation::Mutation;
use super::operator::Config;
use super::patch;
use super::shared::{Shared, Unstored};
use super::telemetry::{Received, Telemetry};
use super::tokens::{Caller, Denied, Tokens};
use super::watch::Name;
use crate::api::{Experiment, Trial, TrialStatus};
use crate::engine::{Asked, Prometheus, Wanted, fold, queries};
use crate::report::{Batch, Progress};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// How often a store is tried anew when somebody else wrote the Trial in between.
const TRIES: usize = 8;

/// See the module.
pub struct Reports {
    hand: Hand,
    shared: Arc<Shared>,
    tokens: Tokens,
    gate: Gate,
    telemetry: Telemetry,
    prometheus: Prometheus,
    clock: Clock,
    mutation: Mutation,
    since: Mutex<Option<Timestamp>>,
}

/// A Trial, as far as its reports are concerned.
#[derive(Clone, Debug)]
pub enum Standing {
    /// It takes reports.
    Open(Arc<Trial>),
    /// It has ended, or does not exist (any more): whatever runs for it is to stop.
    Closed,
}

impl Reports {
    pub(super) fn new(
        client: kube::Client,
        hand: Hand,
        shared: Arc<Shared>,
        (gate, telemetry): (Gate, Telemetry),
        config: &Config,
    ) -> Self {
        let tokens = Tokens::new(client, hand.clone());
        let prometheus = config.settings.prometheus.clone().unwrap_or_default();
        let (clock, mutation, since) = (config.clock, config.mutation, Mutex::default());
        Reports { hand, shared, tokens, gate, telemetry, prometheus, clock, mutation, since }
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// When it is nobody's, no trial's, or the API server cannot be asked.
    pub async fn authenticate(&self, token: &str) -> Result<Caller, Denied> {
        self.tokens.check(token).await
    }

    /// Tells where reports wait, so that they are stored before a trial is ended from outside; once.
    pub fn set_unstored(&self, unstored: Weak<dyn Unstored>) {
        self.shared.set_unstored(unstored);
    }

    /// Whether reports can be taken now: all is known, and this process may write.
    pub fn is_open(&self) -> bool {
        self.gate.is_open() && self.is_synced()
    }

    /// Whether all is known.
    pub fn is_synced(&self) -> bool {
        self.shared.with(|index| index.synced())
    }

    /// All metrics in Prometheus' text format, and its content type.
    ///
    /// # Errors
    /// When they cannot be written as text.
    pub fn exposition(&self) -> Result<(String, String), prometheus::Error> {
        // Of several replicas one tells of the objects, or sums would count them several times.
        let leading = self.gate.is_open();
        let (experiments, trials) = match leading {
            true => self.shared.with(|index| (index.all_experiments(), index.all_active_trials())),
            false => Default::default(),
        };
        self.telemetry.leading.set(leading.into());
        self.telemetry.queue_depth.set(whole(self.shared.queue.ready()));
        self.telemetry.queue_oldest.set(self.shared.queue.oldest().unwrap_or_default().as_secs_f64());
        for (kind, bytes) in self.shared.with(|index| index.largest()) {
            self.telemetry.largest.with_label_values(&[kind]).set(whole(bytes));
        }
        let (since, unstored) = (self.leading_since(leading), self.shared.unstored());
        let received = |trial: &Trial, metric: &str| {
            let name = (trial.namespace().unwrap_or_default(), trial.name_any());
            let heard = unstored.as_ref().and_then(|unstored| unstored.heard(&name)).map(|heard| heard.last);
            let stored = trial.status.as_ref().is_some_and(|status| !status.metrics.is_empty());
            let latest = unstored.as_ref().and_then(|unstored| unstored.latest(&name, metric));
            Received { at: heard.or(since.filter(|_| stored)), latest }
        };
        if leading && self.is_synced() {
            self.telemetry.keep_namespaces_of(&experiments);
        }
        self.telemetry.render(experiments, trials, &received)
    }

    /// Since when this process leads, as far as whoever looks at metrics could notice: what another one has heard before is
    /// known to that one alone.
    fn leading_since(&self, leading: bool) -> Option<Timestamp> {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        *since = leading.then(|| since.unwrap_or_else(Timestamp::now));
        *since
    }

    /// The operator's own metrics.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// None, outside tests.
    #[doc(hidden)]
    pub fn mutation(&self) -> Mutation {
        self.mutation
    }

    /// How things stand with the Trial of this name and UID.
    ///
    /// # Errors
    /// When the API server has to be asked and does not answer.
    pub async fn standing(&self, name: &Name, uid: &str) -> Result<Standing, Failure> {
        match self.shared.with(|index| index.trial(name)) {
            Lookup::Active(trial) if trial.uid().as_deref() == Some(uid) => Ok(Standing::Open(trial)),
            Lookup::Ended(ended) if &*ended == uid => Ok(Standing::Closed),
            // The watch may be behind.
            Lookup::Active(_) | Lookup::Ended(_) | Lookup::Absent => {
                let asked = self.shared.with(|index| index.moment());
                let read = self.hand.read_trial(&name.0, &name.1).await?;
                Ok(self.learnt(name, uid, read, asked))
            }
        }
    }

    /// What Prometheus is to be asked about a caller's trial; nothing, once it has ended.
    ///
    /// # Errors
    /// When the API server has to be asked and does not answer.
    pub async fn queries(&self, caller: &Caller) -> Result<Vec<Asked>, Failure> {
        let Standing::Open(trial) = self.standing(&caller.trial, &caller.trial_uid).await? else {
            return Ok(Vec::new());
        };
        let experiment = self.experiment(&caller.trial.0, &trial);
        let asked = experiment.map(|experiment| queries(&experiment, &trial, &caller.pod, &self.prometheus));
        Ok(asked.unwrap_or_default())
    }

    /// Whether the Trial of this name exists, as far as was seen, and has not ended.
    pub fn is_active(&self, name: &Name) -> bool {
        matches!(self.shared.with(|index| index.trial(name)), Lookup::Active(_))
    }

    /// Stores what of these batches (in the order of their sessions) is not yet stored. Repeating it changes nothing.
    ///
    /// # Errors
    /// When the API server did not take it, or may not have.
    pub async fn store(&self, name: &Name, uid: &str, batches: &[Batch]) -> Result<Standing, Failure> {
        let mut standing = self.standing(name, uid).await?;
        for _ in 0..TRIES {
            let Standing::Open(trial) = &standing else { return Ok(standing) };
            let before = trial.status.clone().unwrap_or_default();
            let after = fold(&self.base(&before), batches, self.wanted(&name.0, trial).as_deref(), self.clock.now());
            if after == before {
                return Ok(standing);
            }
            let change = patch::diff(&json!(before), &json!(after));
            let version = trial.resource_version().unwrap_or_default();
            let body = match self.mutation {
                Mutation::DropResourceVersion => json!({"status": change}),
                _ => patch::status(&version, change),
            };
            let asked = self.shared.with(|index| index.moment());
            let learnt = match self.hand.patch_trial(&name.0, &name.1, &body, true).await? {
                Done::Done(learnt) => {
                    self.telemetry.stores.inc();
                    return Ok(self.learnt(name, uid, learnt, asked));
                }
                Done::Void(learnt) => learnt,
            };
            standing = self.learnt(name, uid, learnt, asked);
        }
        let message = "it keeps being written by others".to_owned();
        let call = format!("store reports of Trial {}/{}", name.0, name.1);
        Err(Failure { call, class: Class::Conflict, message, retry_after: None })
    }

    /// What is stored, as this Trial says.
    pub fn progress(trial: &Trial) -> Progress {
        trial.status.as_ref().and_then(|status| status.reports.clone()).unwrap_or_default()
    }

    /// Takes in what the API server, asked at that moment, said of a Trial.
    fn learnt(&self, name: &Name, uid: &str, learnt: Learnt, asked: Moment) -> Standing {
        let Learnt::Trial(trial) = learnt else {
            self.shared.with(|index| index.trial_gone(name, asked));
            return Standing::Closed;
        };
        let open = trial.uid().as_deref() == Some(uid) && !has_ended(&trial);
        let standing = if open { Standing::Open(Arc::new((*trial).clone())) } else { Standing::Closed };
        self.shared.with(|index| index.see_trial(*trial));
        standing
    }

    fn base(&self, stored: &TrialStatus) -> TrialStatus {
        match self.mutation {
            Mutation::StoreBlindly => TrialStatus { reports: None, ..stored.clone() },
            _ => stored.clone(),
        }
    }

    /// Whether rules may stop the trial while it runs, so that they want to know soon what it reports.
    pub fn is_judged(&self, namespace: &str, trial: &Trial) -> bool {
        self.experiment(namespace, trial).is_some_and(|experiment| !experiment.spec.early_stopping.is_empty())
    }

    fn experiment(&self, namespace: &str, trial: &Trial) -> Option<Arc<Experiment>> {
        let name = (namespace.to_owned(), trial.spec.experiment.clone());
        self.shared.with(|index| index.experiment(&name).cloned())
    }

    /// The metrics that the Experiment wants; `None` when it is not known.
    fn wanted(&self, namespace: &str, trial: &Trial) -> Option<Vec<Wanted>> {
        Some(Wanted::of(&self.experiment(namespace, trial)?.spec))
    }
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
