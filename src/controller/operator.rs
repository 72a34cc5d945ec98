//! The operator: watches, workers, election, reports, wired together and stopped together.

use super::act::Hand;
use super::clock::Clock;
use super::events::Events;
use super::index::{Index, Kind};
use super::job::{self, SlimJob};
use super::lease::{Elector, Gate};
use super::mutation::Mutation;
use super::reconcile::Reconciler;
use super::reports::Reports;
use super::shared::Shared;
use super::telemetry::Telemetry;
use super::unreadable::{Complainer, Complaints, Unreadable};
use super::watch::{Name, Seen, follow};
use super::wire::Pen;
use super::workers::work;
use crate::api::{Experiment, Trial};
use crate::engine::Settings;
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How an operator is to run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The namespace to look after; `None`: all.
    pub namespace: Option<String>,
    /// This process's own name, such as the pod's with its UID.
    pub identity: String,
    /// For the engine.
    pub settings: Settings,
    /// The Lease by which replicas elect a leader; `None`: this operator has no rival.
    pub lease: Option<LeaseName>,
    /// Experiments that are worked on at a time.
    pub concurrency: usize,
    /// The time.
    pub clock: Clock,
    /// A deliberate fault; tests only.
    #[doc(hidden)]
    pub mutation: Mutation,
}

/// Where the Lease is.
#[derive(Clone, Debug)]
pub struct LeaseName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Why an operator could not start, or stopped.
#[derive(Debug, Error)]
pub enum OperatorError {
    /// A bug: two of our own metrics share a name.
    #[error("cannot set up the operator's own metrics: {0}")]
    Telemetry(#[from] prometheus::Error),
}

/// A running operator. Dropping it stops it at once, as a crash would; [`Operator::shutdown`] stops it in order.
pub struct Operator {
    shared: Arc<Shared>,
    gate: Gate,
    telemetry: Telemetry,
    reports: Arc<Reports>,
    stop: watch::Sender<bool>,
    workers: JoinSet<()>,
    /// The watches; they end with the operator.
    _background: JoinSet<()>,
    election: JoinSet<()>,
}

impl Operator {
    /// Starts one on the present tokio runtime.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub fn start(client: Client, config: Config) -> Result<Self, OperatorError> {
        let telemetry = Telemetry::new()?;
        let gate = if config.lease.is_some() { Gate::shut() } else { Gate::always_open() };
        let pen = Pen { gate: gate.clone(), telemetry: telemetry.clone() };
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = watch::channel(false);
        let (mut workers, mut background, mut election) = (JoinSet::new(), JoinSet::new(), JoinSet::new());

        let (events, publisher) = Events::new(client.clone(), pen.clone(), config.clock, &config.identity);
        workers.spawn(publisher);
        let (complaints, complainer) = Complainer::new(client.clone(), pen.clone(), config.clock);
        background.spawn(complainer.run());
        let hand = Hand::new(client.clone(), pen.clone(), config.mutation);
        let reports = Arc::new(Reports::new(
            client.clone(),
            hand.clone(),
            shared.clone(),
            config.clock,
            (gate.clone(), telemetry.clone()),
            config.mutation,
        ));
        let reconciler = Arc::new(Reconciler::new(
            shared.clone(),
            hand,
            pen,
            events,
            config.clock,
            config.settings.clone(),
            config.mutation,
        ));
        workers.spawn(work(reconciler, config.concurrency.max(1), stopped));
        watch_all(&mut background, &client, config.namespace.as_deref(), &shared, &complaints);
        let observer = observe(shared.clone(), gate.clone(), telemetry.clone());
        background.spawn(observer);
        if let Some(lease) = &config.lease {
            let namespace = &lease.namespace;
            let elector = Elector::new(client, namespace, &lease.name, &config.identity, config.clock, gate.clone());
            election.spawn(elect(elector, stop.subscribe()));
        }
        Ok(Operator { shared, gate, telemetry, reports, stop, workers, _background: background, election })
    }

    /// All caches are filled: this process could act at once.
    pub fn is_ready(&self) -> bool {
        self.shared.with(|index| index.synced())
    }

    /// This process may write.
    pub fn is_leading(&self) -> bool {
        self.gate.is_open()
    }

    /// For the server: where reports go.
    pub fn reports(&self) -> Arc<Reports> {
        self.reports.clone()
    }

    /// The operator's own metrics.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Returns when the operator has ended by itself, which means that it led and lost the lease. Pending otherwise.
    pub async fn lost(&mut self) {
        if self.election.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Takes no more work, finishes what is running, publishes the Events that wait, and hands over the lease.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let patience = Duration::from_secs(30);
        if timeout(patience, async { while self.workers.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!("stopping although some work has not ended");
        }
        if timeout(patience, async { while self.election.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!("stopping without having handed over the lease");
        }
    }
}

/// Holds the lease until told to stop or until it is lost.
async fn elect(mut elector: Elector, mut stop: watch::Receiver<bool>) {
    let stopped = tokio::select! {
        () = elector.lead() => false,
        stopped = told(&mut stop) => stopped,
    };
    if stopped {
        elector.release().await;
    }
}

/// Returns once `stop` is true.
async fn told(stop: &mut watch::Receiver<bool>) -> bool {
    stop.wait_for(|stop| *stop).await.is_ok()
}

/// Wakes everything when this process begins to lead, and keeps the gauges.
async fn observe(shared: Arc<Shared>, gate: Gate, telemetry: Telemetry) {
    gate.opened().await;
    shared.with(Index::touch_all);
    loop {
        telemetry.leading.set(gate.is_open().into());
        let (active, experiments) = shared.with(|index| (index.active_trials(), index.experiments().count()));
        telemetry.active_trials.set(i64::try_from(active).unwrap_or(i64::MAX));
        telemetry.experiments.set(i64::try_from(experiments).unwrap_or(i64::MAX));
        tokio::time::sleep(Duration::from_secs(15)).await;
    }
}

fn watch_all(
    tasks: &mut JoinSet<()>,
    client: &Client,
    namespace: Option<&str>,
    shared: &Arc<Shared>,
    complaints: &Complaints,
) {
    let (index, complain) = (shared.clone(), complaints.clone());
    let experiments = api::<DeserializeGuard<Experiment>>(client, namespace);
    tasks.spawn(async move {
        follow(experiments, "Experiments", None, |seen| match seen {
            Seen::Present(found) => match readable(*found) {
                Ok(found) => index.with(|i| i.see_experiment(found)),
                Err(name) => {
                    // Nothing is started or judged by a spec that is not the present one.
                    index.with(|i| i.experiment_gone(&name));
                    complain.send((Unreadable::Experiment, name)).ok();
                }
            },
            Seen::Deleted(last) => match readable(*last) {
                Ok(last) => index.with(|i| i.experiment_deleted(&last)),
                Err(name) => index.with(|i| i.experiment_gone(&name)),
            },
            Seen::All(names, version) => index.with(|i| i.listed(Kind::Experiment, &names, version)),
        })
        .await;
    });
    let (index, complain) = (shared.clone(), complaints.clone());
    let trials = api::<DeserializeGuard<Trial>>(client, namespace);
    tasks.spawn(async move {
        follow(trials, "Trials", None, |seen| match seen {
            Seen::Present(found) => match readable(*found) {
                Ok(found) => index.with(|i| i.see_trial(found)),
                Err(name) => drop(complain.send((Unreadable::Trial, name))),
            },
            Seen::Deleted(last) => match readable(*last) {
                Ok(last) => index.with(|i| i.trial_deleted(&last)),
                Err(name) => index.with(|i| i.trial_gone(&name)),
            },
            Seen::All(names, version) => index.with(|i| i.listed(Kind::Trial, &names, version)),
        })
        .await;
    });
    let index = shared.clone();
    let jobs = api::<SlimJob>(client, namespace);
    tasks.spawn(async move {
        follow(jobs, "Jobs", Some(&job::selector()), |seen| match seen {
            Seen::Present(found) => found.seen().into_iter().for_each(|found| index.with(|i| i.see_job(found))),
            Seen::Deleted(last) => last.seen().into_iter().for_each(|last| index.with(|i| i.job_deleted(&last))),
            Seen::All(names, version) => index.with(|i| i.listed(Kind::Job, &names, version)),
        })
        .await;
    });
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// The object without what is of no use here, or the name of one that cannot be read.
fn readable<K: Resource<DynamicType = ()>>(found: DeserializeGuard<K>) -> Result<K, Name> {
    match found.0 {
        Ok(mut object) => {
            let metadata = object.meta_mut();
            metadata.managed_fields = None;
            if let Some(annotations) = &mut metadata.annotations {
                annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            }
            Ok(object)
        }
        Err(invalid) => {
            let (namespace, name) =
                (invalid.metadata.namespace.unwrap_or_default(), invalid.metadata.name.unwrap_or_default());
            tracing::warn!(kind = %K::kind(&()), %namespace, %name, error = invalid.error, "cannot be read, and is left alone");
            Err((namespace, name))
        }
    }
}
