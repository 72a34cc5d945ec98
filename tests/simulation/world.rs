//! A cluster with an operator in it, in simulated time.

use super::cluster::{Cluster, Door};
use super::script::Play;
use automl_operator::api::conditions::{find, types};
use automl_operator::api::{Condition, Experiment, Trial, crds};
use automl_operator::controller::{Clock, Config, LeaseName, Mutation, Operator};
use automl_operator::engine::Settings;
use automl_operator::local::apiserver::{ApiServer, TokioClock, Write};
use automl_operator::server::{INTERVAL, Intake, router};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const START: &str = "2026-01-01T00:00:00Z";

/// See the module.
pub struct World {
    pub server: ApiServer,
    pub door: Door,
    pub user: Client,
    base: Instant,
    journal: Arc<Mutex<Vec<Entry>>>,
    _cluster: Cluster,
}

/// An operator with its server. Dropping it is a crash.
pub struct Life {
    pub operator: Operator,
    pub intake: Arc<Intake>,
    _tasks: JoinSet<()>,
    closed: Closed,
}

/// Shuts the door for reports when it is dropped.
struct Closed(watch::Sender<bool>);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

impl Life {
    /// Stops it in order, as a signal does.
    pub async fn stop(self) {
        drop(self.closed);
        self.intake.flush(Duration::from_secs(10)).await;
        self.operator.shutdown().await;
    }
}

impl World {
    /// A cluster without an operator.
    pub fn new(play: Play) -> Self {
        // RUST_LOG=automl_operator=debug shows what the operator says.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let clock = TokioClock::starting_at(START.parse().unwrap());
        let mut builder = ApiServer::builder().clock(clock).seed(1).audit_log();
        for definition in crds().unwrap() {
            builder = builder.custom_resource_definition(definition);
        }
        let server = builder.build().unwrap();
        let journal = Arc::new(Mutex::new(Vec::new()));
        let kept = journal.clone();
        server.add_observer(Arc::new(move |write: &Write| kept.lock().unwrap().push(entry(write))));
        let door = Door::default();
        let cluster = Cluster::start(&server, door.clone(), play);
        let user = server.client_as("default", "user");
        World { server, door, user, base: Instant::now(), journal, _cluster: cluster }
    }

    /// Starts an operator under this name, by which the API server knows its requests.
    pub fn start(&self, name: &str) -> Life {
        self.start_with(name, None, Mutation::None)
    }

    pub fn start_with(&self, name: &str, lease: Option<LeaseName>, mutation: Mutation) -> Life {
        let base: jiff::Timestamp = START.parse().unwrap();
        let now = base + jiff::SignedDuration::try_from(self.base.elapsed()).unwrap();
        let config = Config {
            namespace: None,
            identity: name.into(),
            settings: Settings { report_url: "http://operator".into(), ..Settings::default() },
            lease,
            concurrency: 16,
            clock: Clock::starting_at(now),
            mutation,
        };
        let operator = Operator::start(self.server.client_as("default", name), config).unwrap();
        let intake = Intake::new(operator.reports(), INTERVAL);
        let mut tasks = JoinSet::new();
        tasks.spawn(intake.clone().run());
        let (closed, closing) = watch::channel(false);
        self.door.open(router(intake.clone()), closing);
        Life { operator, intake, _tasks: tasks, closed: Closed(closed) }
    }

    pub fn experiments(&self) -> Api<Experiment> {
        Api::namespaced(self.user.clone(), "default")
    }

    pub fn trials(&self) -> Api<Trial> {
        Api::namespaced(self.user.clone(), "default")
    }

    /// As `kubectl create` would.
    pub async fn create(&self, experiment: &Value) -> Experiment {
        let experiment = serde_json::from_value(experiment.clone()).unwrap();
        self.experiments().create(&PostParams::default(), &experiment).await.unwrap()
    }

    pub async fn edit(&self, name: &str, patch: Value) {
        self.experiments().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    pub async fn delete(&self, name: &str) {
        self.experiments().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// The stored Experiment.
    pub fn experiment(&self, name: &str) -> Option<Experiment> {
        let found = self.server.peek("experiments", "default", name)?;
        Some(serde_json::from_value((*found).clone()).unwrap())
    }

    /// A condition of the stored Experiment: its status, reason and message.
    pub fn condition(&self, name: &str, r#type: &str) -> (String, String, String) {
        let conditions = self.experiment(name).and_then(|found| found.status).unwrap_or_default().conditions;
        let text = |c: &Condition| (c.status.clone(), c.reason.clone(), c.message.clone());
        find(&conditions, r#type).map(text).unwrap_or_default()
    }

    /// The stored Trials.
    pub fn stored_trials(&self) -> Vec<Trial> {
        let trials = self.server.dump("trials");
        trials.iter().map(|trial| serde_json::from_value((**trial).clone()).unwrap()).collect()
    }

    /// Complete or Failed.
    pub fn ended(&self, name: &str) -> bool {
        [types::COMPLETE, types::FAILED].iter().any(|kind| self.condition(name, kind).0 == "True")
    }

    /// Lets time pass until this holds.
    pub async fn until(&self, what: &str, holds: impl Fn(&World) -> bool) {
        let limit = Duration::from_secs(3600);
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < limit, "after an hour: not {what}\n{}", self.report());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// What there is, for the message of a failed test.
    pub fn report(&self) -> String {
        let dump = |resource: &str| {
            let objects = self.server.dump(resource);
            objects
                .iter()
                .map(|object| format!("{} {} {}\n", resource, object["metadata"]["name"], object["status"]))
                .collect::<String>()
        };
        format!("{}{}{}", dump("experiments"), dump("trials"), dump("jobs"))
    }

    /// Trials that are seen running.
    pub fn running(&self) -> usize {
        self.stored_trials()
            .iter()
            .filter(|trial| trial.status.as_ref().is_some_and(|status| status.start_time.is_some()))
            .count()
    }

    /// `status.trials.created`.
    pub fn counted(&self, name: &str) -> u32 {
        self.experiment(name).and_then(|found| found.status).map_or(0, |status| status.trials.created)
    }

    /// The Trial is seen running.
    pub fn runs(&self, name: &str) -> bool {
        let trials = self.stored_trials();
        trials.iter().any(|trial| {
            trial.name_any() == name && trial.status.as_ref().is_some_and(|status| status.start_time.is_some())
        })
    }

    /// The Trial says that it waits for this reason.
    pub fn waits(&self, name: &str, reason: &str) -> bool {
        let trials = self.stored_trials();
        let trial = trials.iter().find(|trial| trial.name_any() == name);
        let status = trial.and_then(|trial| trial.status.clone()).unwrap_or_default();
        find(&status.conditions, types::COMPLETE).is_some_and(|condition| condition.reason == reason)
    }

    /// All stored changes.
    pub fn journal(&self) -> Vec<Entry> {
        self.journal.lock().unwrap().clone()
    }

    /// What the client of this name has changed, in order.
    pub fn writes_of(&self, user_agent: &str) -> Vec<Entry> {
        self.journal.lock().unwrap().iter().filter(|entry| entry.by == user_agent).cloned().collect()
    }
}

/// One stored change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// User agent.
    pub by: String,
    /// `create`, `update` or `delete`.
    pub verb: &'static str,
    pub resource: String,
    pub name: String,
}

fn entry(write: &Write) -> Entry {
    let verb = match (&write.before, &write.after) {
        (None, _) => "create",
        (_, None) => "delete",
        _ => "update",
    };
    Entry { by: write.user_agent.clone(), verb, resource: write.resource.clone(), name: write.name.clone() }
}
