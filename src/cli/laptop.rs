//! This machine as a cluster: the embedded API server, the runner of Jobs as processes, and the very controllers that run
//! on a cluster.

use super::alive::Alive;
use super::checkpoints;
use super::exit::Failure;
use super::observing::ObservingArguments;
use super::prometheus::PrometheusArguments;
use crate::controller::{Clock, Config, Mutation, Operator};
use crate::engine::Settings;
use crate::local::apiserver::{ApiServer, BuildError, DiskError};
use crate::local::files::{no_room, private_folder};
use crate::local::runner::state::StateError;
use crate::local::runner::{self, Gpus, Runner, RunnerError};
use crate::metrics::Observation;
use crate::server::{Intake, LogLevel, Observed, Pace, router, serve};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Longest time for a trial between SIGTERM and SIGKILL when everything stops; as on a cluster, where its pod names none.
pub const GRACE: Duration = Duration::from_secs(30);

/// How this machine is to be used.
pub struct Machine {
    /// Where state is kept.
    pub state_dir: PathBuf,
    /// Where trials run.
    pub base_dir: PathBuf,
    /// GPUs to offer; `None`: those found.
    pub gpus: Option<u32>,
    /// Where metrics are served; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// Which Prometheus trials may be asked about.
    pub prometheus: PrometheusArguments,
    /// How all this is watched.
    pub observing: ObservingArguments,
}

/// A running laptop.
pub struct Laptop {
    /// The embedded API server.
    pub server: ApiServer,
    intake: Arc<Intake>,
    parts: Mutex<Parts>,
}

/// What must not end by itself.
struct Parts {
    operator: Operator,
    runner: Runner,
    tasks: JoinSet<()>,
}

impl Laptop {
    /// Starts everything; what an earlier process has left running is stopped first. `log_level`: by it what is logged is
    /// changed beside the metrics, while nobody else can reach these. `only`: namespace and name of the one Experiment that is
    /// worked on.
    ///
    /// # Errors
    /// The state folder is used by another process, damaged or newer; a port cannot be had.
    pub async fn start(
        machine: &Machine,
        log_level: LogLevel,
        only: Option<(String, String)>,
    ) -> Result<Self, Failure> {
        private_folder(&machine.state_dir).map_err(|error| cannot_use(&machine.state_dir, &error))?;
        let state_dir =
            std::path::absolute(&machine.state_dir).map_err(|error| cannot_use(&machine.state_dir, &error))?;
        let crds = crate::api::crds().map_err(Failure::other)?;
        let builder =
            crds.into_iter().fold(ApiServer::builder(), |builder, crd| builder.custom_resource_definition(crd));
        let server = builder.state_directory(&state_dir).build().map_err(not_built)?;
        let alive = Alive::new(&state_dir);
        let away = alive.away(Clock::system().now());
        let queries = machine.prometheus.queries()?;
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Failure::other)?;
        let metrics = match machine.metrics {
            Some(address) => Some(TcpListener::bind(address).await.map_err(|error| {
                Failure::usage(format!("{address} cannot be listened on: {error}; choose another with --metrics"))
            })?),
            None => None,
        };
        let report_url = format!("http://{}", listener.local_addr().map_err(Failure::other)?);
        let base_dir = std::path::absolute(&machine.base_dir).map_err(|error| cannot_use(&machine.base_dir, &error))?;
        let mut settings = runner::Settings::new(&state_dir, base_dir);
        settings.gpus = machine.gpus.map_or(Gpus::Detect, |count| Gpus::Count(count as usize));
        // A Job may have been made by an earlier process, whose port was another.
        settings.environment = vec![(crate::report::env::REPORT_URL.to_owned(), report_url.clone())];
        let tokens = settings.tokens.clone();
        server.set_token_reviewer(Arc::new(move |spec| tokens.answer(spec)));
        let runner =
            Runner::start(server.client_as("default", "automl-runner"), settings).await.map_err(not_started)?;
        let config = Config {
            namespace: None,
            only,
            identity: "automl".into(),
            settings: Settings {
                report_url,
                away,
                checkpoints: Some(checkpoints::folder(&state_dir).display().to_string()),
                prometheus: machine.prometheus.settings(None),
                otlp_endpoint: machine.observing.otlp_endpoint.clone(),
                ..Settings::default()
            },
            lease: None,
            concurrency: 16,
            clock: Clock::system(),
            mutation: Mutation::default(),
        };
        let operator =
            Operator::start(server.client_as("default", "automl-operator"), config).map_err(Failure::other)?;
        machine.observing.tell_prices(&operator);
        let intake = Intake::new(operator.reports(), Pace::LAPTOP);
        let mut tasks = JoinSet::new();
        tasks.spawn(alive.beat());
        tasks.spawn(Arc::clone(&intake).run());
        tasks.spawn(checkpoints::keep_clear(server.clone(), checkpoints::folder(&state_dir)));
        tasks.spawn(super::logs::keep_clear(server.clone(), state_dir));
        if let Some(listener) = metrics {
            let here = machine.metrics.is_some_and(|address| address.ip().is_loopback());
            let observed = Observed { visitors: None, log_level: here.then_some(log_level) };
            let routes = observed.router(Arc::clone(&intake));
            tasks.spawn(async move {
                if let Err(error) = axum::serve(listener, routes).await {
                    tracing::error!(%error, "the metrics endpoint has ended");
                }
            });
        }
        let routes = router(Arc::clone(&intake), None, queries);
        tasks.spawn(async move {
            if let Err(error) = serve(listener, routes).await {
                tracing::error!(%error, "the report endpoint has ended");
            }
        });
        Ok(Laptop { server, intake, parts: Mutex::new(Parts { operator, runner, tasks }) })
    }

    /// The latest values that a trial has reported.
    pub fn latest(&self, namespace: &str, trial: &str) -> Vec<Observation> {
        self.intake.latest(&(namespace.to_owned(), trial.to_owned()))
    }

    /// Returns when a part has ended without which nothing goes on. Pending otherwise.
    pub async fn lost(&self) -> Failure {
        let mut parts = self.parts.lock().await;
        let Parts { operator, runner, tasks } = &mut *parts;
        let what = tokio::select! {
            ended = operator.lost() => ended.to_string(),
            () = runner.lost() => "the runner of Jobs has ended, which is a bug".to_owned(),
            Some(_) = tasks.join_next() => "a part of the control plane has ended, which is a bug".to_owned(),
        };
        Failure::other(format!("{what}; state is kept, and the same command goes on"))
    }

    /// Stops trials (SIGTERM, then SIGKILL), stores what they said, and ends everything. State is kept.
    pub async fn stop(self) {
        let Parts { operator, runner, mut tasks } = self.parts.into_inner();
        if let Err(error) = runner.stop(GRACE).await {
            tracing::error!(%error, "trials may not have been stopped in order");
        }
        self.intake.flush(Duration::from_secs(5)).await;
        operator.shutdown().await;
        tasks.shutdown().await;
        self.server.stop();
    }
}

fn cannot_use(path: &Path, error: &std::io::Error) -> Failure {
    let why = match error.kind() {
        std::io::ErrorKind::AlreadyExists => "it is a file".to_owned(),
        _ => error.to_string(),
    };
    let sentence = format!("the folder {} cannot be used: {why}", path.display());
    if no_room(error) { Failure::other(sentence) } else { Failure::usage(sentence) }
}

/// Another folder, or none in use, helps against most; nothing that a person types helps against a full disk.
fn not_built(error: BuildError) -> Failure {
    match &error {
        BuildError::Definition { .. } | BuildError::Disk(DiskError::Full(_) | DiskError::Write(_)) => {
            Failure::other(error)
        }
        BuildError::Disk(_) => Failure::usage(error),
    }
}

fn not_started(error: RunnerError) -> Failure {
    match &error {
        RunnerError::State(StateError::Io { source, .. }) if no_room(source) => Failure::other(error),
        RunnerError::State(_) | RunnerError::BaseDir { .. } => Failure::usage(error),
        _ => Failure::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_ends_by_itself_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let base_dir = folder.path().to_owned();
        let state_dir = folder.path().join("state");
        let (prometheus, observing) = (PrometheusArguments::default(), ObservingArguments::default());
        let machine = Machine { state_dir, base_dir, gpus: Some(0), metrics: None, prometheus, observing };
        let laptop = Laptop::start(&machine, Arc::new(|_| Ok(())), None).await.unwrap();
        let quiet = tokio::time::timeout(Duration::from_millis(200), laptop.lost()).await;
        assert!(quiet.is_err(), "nothing has ended: {quiet:?}");
        laptop.parts.lock().await.tasks.spawn(async {});
        let said = laptop.lost().await.to_string();
        assert!(said.ends_with("state is kept, and the same command goes on"), "{said}");
        laptop.stop().await;
    }
}
