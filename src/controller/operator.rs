//! The operator: watches, workers, election, reports, wired together and stopped together.

use super::act::Hand;
use super::clock::Clock;
use super::counted::counted;
use super::events::Events;
use super::index::{Index, Kind, name};
use super::job::{self, SlimJob};
use super::lease::{Elector, Gate, LeaseName};
use super::mutation::Mutation;
use super::readable::{Broken, Misread, Readable};
use super::reconcile::Reconciler;
use super::reports::Reports;
use super::shared::Shared;
use super::telemetry::Telemetry;
use super::traces::Traces;
use super::unreadable::{Complainer, Complaints, Unreadable};
use super::visitors::Visitors;
use super::watch::{Name, Seen, follow};
use super::wire::Pen;
use super::workers::work;
use crate::api::{Experiment, Trial};
use crate::engine::{Finished, Settings};
use futures::FutureExt;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
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
    /// Namespace and name of the one Experiment to look after; `None`: all. Others, and their Trials, are left as they are.
    pub only: Option<(String, String)>,
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

/// Why an operator could not start.
#[derive(Debug, Error)]
pub enum OperatorError {
    /// A bug: two of our own metrics share a name.
    #[error("cannot set up the operator's own metrics: {0}")]
    Telemetry(#[from] prometheus::Error),
}

/// Why an operator has ended by itself.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Ended {
    /// It led, and does not any more.
    #[error("another replica leads now; this one ends and starts afresh")]
    Lease,
    /// A task that never ends has ended.
    #[error("a part of the operator has ended, which is a bug ({0}); the whole ends, so that it is started afresh")]
    Part(&'static str),
}

/// A running operator. Dropping it stops it at once, as a crash would; [`Operator::shutdown`] stops it in order.
pub struct Operator {
    client: Client,
    shared: Arc<Shared>,
    gate: Gate,
    telemetry: Telemetry,
    reports: Arc<Reports>,
    /// Weak: it ends with the workers, and the Events' publisher ends with it.
    reconciler: Weak<Reconciler>,
    leader: watch::Receiver<Option<String>>,
    stop: watch::Sender<bool>,
    /// To be told once nothing is written any more.
    hand_over: watch::Sender<bool>,
    workers: Parts,
    /// Of traces, which is a courtesy: nothing waits for it.
    exporter: JoinSet<bool>,
    /// The watches; they end with the operator.
    background: Parts,
    election: Parts,
}

/// For so long the end waits for traces that are not exported.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// Tasks that end when they are told to, or by a bug; each says its name, and whether it panicked.
type Parts = JoinSet<(&'static str, bool)>;

fn spawn(parts: &mut Parts, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
    parts.spawn(async move { (name, AssertUnwindSafe(part).catch_unwind().await.is_err()) });
}

impl Operator {
    /// Starts one on the present tokio runtime.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub fn start(client: Client, config: Config) -> Result<Self, OperatorError> {
        let telemetry = Telemetry::new()?;
        let client = counted(client, telemetry.clone());
        let gate = if config.lease.is_some() { Gate::shut() } else { Gate::always_open() };
        let elected = gate.clone();
        let gate = if config.mutation == Mutation::IgnoreGate { Gate::always_open() } else { gate };
        let pen = Pen { gate: gate.clone(), telemetry: telemetry.clone() };
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = watch::channel(false);
        let (hand_over, handed_over) = watch::channel(false);
        let (mut workers, mut background, mut election) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
        let mut exporter = JoinSet::new();

        let (events, publisher) = Events::new(client.clone(), pen.clone(), config.clock, &config.identity);
        spawn(&mut workers, "Events", publisher);
        let traces = config.settings.otlp_endpoint.as_deref().map(|endpoint| {
            let (traces, exporting) = Traces::new(endpoint);
            exporter.spawn(exporting);
            traces
        });
        let (complaints, complainer) = Complainer::new(client.clone(), pen.clone(), config.clock);
        spawn(&mut background, "complaints", complainer.run());
        let hand = Hand::new(client.clone(), pen.clone(), config.mutation);
        let reports = Arc::new(Reports::new(
            client.clone(),
            hand.clone(),
            shared.clone(),
            (gate.clone(), telemetry.clone()),
            &config,
        ));
        let reconciler = Arc::new(Reconciler::new(
            shared.clone(),
            hand,
            pen,
            (events, reports.clone(), traces),
            config.clock,
            config.settings.clone(),
            config.mutation,
        ));
        let known = Arc::downgrade(&reconciler);
        spawn(&mut workers, "workers", work(reconciler, config.concurrency.max(1), stopped));
        let heard = (telemetry.clone(), config.clock);
        watch_all(&mut background, &client, (config.namespace.as_deref(), config.only), &shared, (&complaints, heard));
        spawn(&mut background, "wake-up", wake_up(shared.clone(), gate.clone()));
        let mut leader = watch::channel(None).1;
        if let Some(lease) = &config.lease {
            let elector = Elector::new(client.clone(), lease, &config.identity, config.clock, elected);
            leader = elector.leader();
            spawn(&mut election, "election", elect(elector, handed_over));
        }
        Ok(Operator {
            client,
            shared,
            gate,
            telemetry,
            reports,
            reconciler: known,
            leader,
            stop,
            hand_over,
            workers,
            exporter,
            background,
            election,
        })
    }

    /// All caches are filled: this process could act at once.
    pub fn is_ready(&self) -> bool {
        self.shared.with(|index| index.synced())
    }

    /// This process may write.
    pub fn is_leading(&self) -> bool {
        self.gate.is_open()
    }

    /// For the server: URL of the replica that leads, while that is another one and is known.
    pub fn leader(&self) -> watch::Receiver<Option<String>> {
        self.leader.clone()
    }

    /// For the server: where reports go.
    pub fn reports(&self) -> Arc<Reports> {
        self.reports.clone()
    }

    /// For the server: who may look at metrics.
    pub fn visitors(&self) -> Arc<Visitors> {
        Arc::new(Visitors::new(self.client.clone()))
    }

    /// The operator's own metrics.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// For tests: what the tuners have learnt, as long as the operator lives.
    #[doc(hidden)]
    pub fn learnt(&self) -> impl Fn(&str) -> Option<Vec<Finished>> + Send + Sync + use<> {
        let reconciler = self.reconciler.clone();
        move |uid| reconciler.upgrade()?.learnt(uid)
    }

    /// Returns when the operator, or a part that it cannot be without, has ended by itself. Pending otherwise.
    pub async fn lost(&mut self) -> Ended {
        let (ended, elected) = tokio::select! {
            biased;
            Some(ended) = self.workers.join_next() => (ended, false),
            Some(ended) = self.background.join_next() => (ended, false),
            Some(ended) = self.election.join_next() => (ended, true),
            else => return std::future::pending().await,
        };
        match ended {
            Ok((_, false)) if elected => Ended::Lease,
            Ok((name, _)) => Ended::Part(name),
            Err(_) => Ended::Part("a task that was aborted"),
        }
    }

    /// Takes no more work, finishes what is running, publishes the Events that wait, hands over the lease, and exports the
    /// traces that wait if that goes quickly.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let patience = Duration::from_secs(30);
        if timeout(patience, async { while self.workers.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!("stopping although some work has not ended");
        }
        self.hand_over.send_replace(true);
        if timeout(patience, async { while self.election.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!("stopping without having handed over the lease");
        }
        let exported = timeout(LAST_SPANS, self.exporter.join_next()).await;
        if !matches!(exported, Ok(None | Some(Ok(true)))) {
            tracing::error!("not all traces could be exported: look at the receiver that --otlp-endpoint names");
        }
    }
}

/// Holds the lease until told to stop or until it is lost.
async fn elect(mut elector: Elector, mut stop: watch::Receiver<bool>) {
    let stopped = tokio::select! {
        biased;
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

/// Wakes everything whenever this process may write (again).
async fn wake_up(shared: Arc<Shared>, gate: Gate) {
    let mut openings = 0;
    loop {
        openings = gate.opened(openings).await;
        shared.with(Index::touch_all);
    }
}

fn watch_all(
    tasks: &mut Parts,
    client: &Client,
    (namespace, only): (Option<&str>, Option<Name>),
    shared: &Arc<Shared>,
    (complaints, (telemetry, clock)): (&Complaints, (Telemetry, Clock)),
) {
    let gauges = telemetry.unreadable_objects.clone();
    let misread = |kind: &str| Misread::new(gauges.with_label_values(&[kind]));
    let heard = move |kind: &'static str| {
        let telemetry = telemetry.clone();
        move || telemetry.heard(kind, clock.now())
    };
    let ours = move |namespace: &str, experiment: &str| {
        only.as_ref().is_none_or(|(own, name)| (own.as_str(), name.as_str()) == (namespace, experiment))
    };
    let (index, complain, our) = (shared.clone(), complaints.clone(), ours.clone());
    let experiments = api::<Readable<Experiment>>(client, namespace);
    let (told, mut bad) = (heard("Experiment"), misread("Experiment"));
    spawn(tasks, "watch of Experiments", async move {
        follow(experiments, "Experiments", None, told, |seen| match seen {
            Seen::Present(found) => match found.object {
                Ok(experiment) => {
                    let name = name(&experiment);
                    if our(&name.0, &name.1) {
                        bad.mended(&name);
                        index.with(|i| {
                            i.see_experiment(experiment);
                            i.measure(Kind::Experiment, &name, found.bytes);
                        });
                    }
                }
                Err(invalid) => {
                    let name = unreadable(&invalid, "Experiment");
                    bad.seen(name.clone());
                    // Nothing is started or judged by a spec that is not the present one.
                    index.with(|i| i.experiment_deleted(&invalid.metadata));
                    complain.send((Unreadable::Experiment, name)).ok();
                }
            },
            Seen::Deleted(last) => {
                bad.mended(&name(&*last));
                index.with(|i| i.experiment_deleted(last.meta()));
            }
            Seen::All(names, version) => {
                bad.keep(&names);
                index.with(|i| i.listed(Kind::Experiment, &names, version));
            }
        })
        .await;
    });
    let (index, complain, our) = (shared.clone(), complaints.clone(), ours);
    let trials = api::<Readable<Trial>>(client, namespace);
    let (told, mut bad) = (heard("Trial"), misread("Trial"));
    spawn(tasks, "watch of Trials", async move {
        follow(trials, "Trials", None, told, |seen| match seen {
            Seen::Present(found) => match found.object {
                Ok(trial) => {
                    let name = name(&trial);
                    if our(&name.0, &trial.spec.experiment) {
                        bad.mended(&name);
                        index.with(|i| {
                            i.see_trial(trial);
                            i.measure(Kind::Trial, &name, found.bytes);
                        });
                    }
                }
                Err(invalid) => {
                    let name = unreadable(&invalid, "Trial");
                    bad.seen(name.clone());
                    complain.send((Unreadable::Trial, name)).ok();
                }
            },
            Seen::Deleted(last) => {
                bad.mended(&name(&*last));
                index.with(|i| i.trial_deleted(last.meta()));
            }
            Seen::All(names, version) => {
                bad.keep(&names);
                index.with(|i| i.listed(Kind::Trial, &names, version));
            }
        })
        .await;
    });
    let index = shared.clone();
    let jobs = api::<SlimJob>(client, namespace);
    let told = heard("Job");
    spawn(tasks, "watch of Jobs", async move {
        follow(jobs, "Jobs", Some(&job::selector()), told, |seen| match seen {
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

/// Namespace and name of an object that cannot be read. It is left alone and does not hide the others.
fn unreadable(invalid: &Broken, kind: &str) -> Name {
    let name =
        (invalid.metadata.namespace.clone().unwrap_or_default(), invalid.metadata.name.clone().unwrap_or_default());
    tracing::warn!(kind, namespace = name.0, name = name.1, error = invalid.error, "cannot be read, and is left alone");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An operator whose API server never answers.
    fn alone() -> Operator {
        let silent = tower::service_fn(|_: http::Request<kube::client::Body>| {
            std::future::pending::<Result<http::Response<kube::client::Body>, std::convert::Infallible>>()
        });
        let config = Config {
            namespace: None,
            only: None,
            identity: "operator".into(),
            settings: Settings::default(),
            lease: None,
            concurrency: 1,
            clock: Clock::system(),
            mutation: Mutation::None,
        };
        Operator::start(Client::new(silent, "default"), config).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_dies_does_not_go_unnoticed() {
        let mut operator = alone();
        let quiet = timeout(Duration::from_secs(3600), operator.lost()).await;
        assert!(quiet.is_err(), "{quiet:?}");
        for parts in [0, 1, 2] {
            let mut operator = alone();
            let parts =
                [&mut operator.workers, &mut operator.background, &mut operator.election].into_iter().nth(parts);
            spawn(parts.unwrap(), "watch of Jobs", async { panic!("a bug") });
            assert_eq!(operator.lost().await, Ended::Part("watch of Jobs"));
        }
        let mut operator = alone();
        spawn(&mut operator.election, "election", async {});
        assert_eq!(operator.lost().await, Ended::Lease);
    }
}
