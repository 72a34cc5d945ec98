//! A cluster with operators in it, in simulated time.

use super::chaos::Chaos;
use super::cluster::Cluster;
use super::door::Door;
use super::invariants::Eyes;
use super::script::Play;
use automl_operator::api::conditions::{find, types};
use automl_operator::api::{Condition, Experiment, Trial, crds};
use automl_operator::controller::{Clock, Config, LeaseName, Mutation, Operator};
use automl_operator::engine::Settings;
use automl_operator::local::apiserver::{ApiServer, TokioClock, Write};
use automl_operator::server::{Intake, Observed, Pace, router};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::Value;
use std::sync::{Arc, Mutex, OnceLock};
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
    pub chaos: Arc<Chaos>,
    pub eyes: Eyes,
    base: Instant,
    journal: Arc<Mutex<Vec<Entry>>>,
    _cluster: Cluster,
}

/// How an operator is started.
#[derive(Clone, Default)]
pub struct Start {
    pub lease: Option<LeaseName>,
    pub mutation: Mutation,
    /// How far its clock is ahead, in seconds.
    pub clock_ahead: i64,
}

/// An operator with its server. Dropping it is a crash.
pub struct Life {
    pub operator: Operator,
    pub intake: Arc<Intake>,
    name: String,
    _tasks: JoinSet<()>,
    closed: Closed,
}

/// All that an operator serves.
fn all_routes(intake: &Arc<Intake>) -> axum::Router {
    router(intake.clone(), None, None).merge(Observed::default().router(intake.clone()))
}

/// Shuts the door for reports when it is dropped.
struct Closed(watch::Sender<bool>);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

impl Life {
    /// From now on agents find this one, whether it leads or not.
    pub fn answer(&self, door: &Door) {
        door.open(&self.name, all_routes(&self.intake), self.closed.0.subscribe());
    }

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
        static DEFINITIONS: OnceLock<Vec<Value>> = OnceLock::new();
        let clock = TokioClock::starting_at(START.parse().unwrap());
        let mut builder = ApiServer::builder().clock(clock).seed(1).audit_log();
        for definition in DEFINITIONS.get_or_init(|| crds().unwrap().to_vec()) {
            builder = builder.custom_resource_definition(definition.clone());
        }
        let server = builder.build().unwrap();
        let eyes = Eyes::default();
        let witness = eyes.clone();
        let journal = Arc::new(Mutex::new(Vec::new()));
        let kept = journal.clone();
        let base = Instant::now();
        server.add_observer(Arc::new(move |write: &Write| {
            witness.lock().see(write);
            kept.lock().unwrap().push(entry(write, base.elapsed()));
        }));
        let chaos = Chaos::new(server.clone(), eyes.clone());
        let door = Door::default();
        let cluster = Cluster::start(&server, door.clone(), eyes.clone(), play);
        let user = server.client_as("default", "user");
        World { server, door, user, chaos, eyes, base, journal, _cluster: cluster }
    }

    /// Starts an operator under this name, by which the API server knows its requests.
    pub fn start(&self, name: &str) -> Life {
        self.start_with(name, Start::default())
    }

    pub fn start_with(&self, name: &str, start: Start) -> Life {
        let base: jiff::Timestamp = START.parse().unwrap();
        let elapsed = jiff::SignedDuration::try_from(self.base.elapsed()).unwrap();
        let now = base + elapsed + jiff::SignedDuration::from_secs(start.clock_ahead);
        let leads = start.lease.is_none();
        let config = Config {
            namespace: None,
            only: None,
            identity: name.into(),
            settings: Settings { report_url: "http://operator".into(), ..Settings::default() },
            lease: start.lease,
            concurrency: 16,
            clock: Clock::starting_at(now),
            mutation: start.mutation,
        };
        self.chaos.born(name);
        let operator = Operator::start(self.server.client_as("default", name), config).unwrap();
        self.eyes.lock().learnt_by(name, Box::new(operator.learnt()));
        let intake = Intake::new(operator.reports(), Pace::CLUSTER);
        let mut tasks = JoinSet::new();
        tasks.spawn(intake.clone().run());
        let (closed, closing) = watch::channel(false);
        let (door, routes, life) = (self.door.clone(), all_routes(&intake), name.to_owned());
        if leads {
            door.open(&life, routes, closing);
        } else {
            // A replica that does not lead passes reports on to the one that does.
            let reports = operator.reports();
            tasks.spawn(async move {
                let mut open = false;
                loop {
                    if reports.is_open() && !open {
                        door.open(&life, routes.clone(), closing.clone());
                    }
                    open = reports.is_open();
                    sleep(Duration::from_secs(1)).await;
                }
            });
        }
        Life { operator, intake, name: name.to_owned(), _tasks: tasks, closed: Closed(closed) }
    }

    pub fn experiments(&self, namespace: &str) -> Api<Experiment> {
        Api::namespaced(self.user.clone(), namespace)
    }

    pub fn trials(&self) -> Api<Trial> {
        Api::namespaced(self.user.clone(), "default")
    }

    pub fn jobs(&self) -> Api<k8s_openapi::api::batch::v1::Job> {
        Api::namespaced(self.user.clone(), "default")
    }

    /// As `kubectl create` would.
    pub async fn create(&self, experiment: &Value) -> Experiment {
        let experiment: Experiment = serde_json::from_value(experiment.clone()).unwrap();
        let namespace = experiment.namespace().unwrap_or_default();
        self.experiments(&namespace).create(&PostParams::default(), &experiment).await.unwrap()
    }

    pub async fn edit(&self, name: &str, patch: Value) {
        self.experiments("default").patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    pub async fn delete(&self, name: &str) {
        self.experiments("default").delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// As `kubectl delete --cascade=foreground` would.
    pub async fn delete_in_the_foreground(&self, name: &str) {
        self.experiments("default").delete(name, &DeleteParams::foreground()).await.unwrap();
    }

    /// The stored Experiment.
    pub fn experiment(&self, name: &str) -> Option<Experiment> {
        self.experiment_in("default", name)
    }

    pub fn experiment_in(&self, namespace: &str, name: &str) -> Option<Experiment> {
        let found = self.server.peek("experiments", namespace, name)?;
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
        self.ended_in("default", name)
    }

    pub fn ended_in(&self, namespace: &str, name: &str) -> bool {
        let Some(found) = self.server.peek("experiments", namespace, name) else { return false };
        let conditions = found["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        conditions.iter().any(|c| c["status"] == "True" && (c["type"] == types::COMPLETE || c["type"] == types::FAILED))
    }

    /// Lets time pass until this holds of what is stored.
    pub async fn until(&self, what: &str, holds: impl Fn(&World) -> bool) {
        let limit = Duration::from_secs(2 * 3600);
        let start = Instant::now();
        let mut seen = None;
        loop {
            let version = Some(self.server.resource_version());
            if seen != version {
                seen = version;
                if holds(self) {
                    return;
                }
            }
            assert!(start.elapsed() < limit, "after two hours: not {what}\n{}", self.report());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Lets some time pass in which nothing can change, so that nothing may be written once all is told.
    pub async fn rests(&self, state: &str) {
        loop {
            let deaths = self.chaos.fired();
            sleep(Duration::from_secs(60)).await;
            let before = self.chaos.writes();
            sleep(Duration::from_secs(180)).await;
            if self.chaos.fired() > deaths {
                // An operator has died meanwhile, and the next one had to find out anew.
                continue;
            }
            if self.chaos.is_calm() {
                let writes = self.chaos.writes() - before;
                self.eyes.lock().s10_nothing_is_written_at_rest(state, writes, &self.server);
            }
            return;
        }
    }

    /// From now on nothing goes wrong.
    pub fn calm(&self) {
        self.chaos.calm();
        self.server.set_expired_as_http(false);
        ["experiments", "trials", "jobs"].iter().for_each(|kind| self.server.release(kind));
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
    /// When, since the start.
    pub at: Duration,
    /// User agent.
    pub by: String,
    /// `create`, `update` or `delete`.
    pub verb: &'static str,
    pub resource: String,
    pub name: String,
}

fn entry(write: &Write, at: Duration) -> Entry {
    let verb = match (&write.before, &write.after) {
        (None, _) => "create",
        (_, None) => "delete",
        _ => "update",
    };
    Entry { at, by: write.user_agent.clone(), verb, resource: write.resource.clone(), name: write.name.clone() }
}
