//! A running runner, from outside.

use super::control::Control;
use super::desk::{Desk, Failure};
use super::gpus::{self, Gpus};
use super::job::Backoff;
use super::restart::{LeftoverError, stop_leftovers};
use super::scheduler::Capacity;
use super::state::{StateError, StateFolder};
use super::token::Tokens;
use jiff::{SignedDuration, Timestamp};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Tells the time.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How a runner works.
#[derive(Clone)]
pub struct Settings {
    /// Where volumes, logs and records lie; one runner at a time.
    pub state_dir: PathBuf,
    /// Where processes run; a relative `workingDir` starts here.
    pub base_dir: PathBuf,
    /// Cores; `None`: those of the machine.
    pub cpus: Option<u32>,
    /// Bytes of memory; `None`: that of the machine.
    pub memory: Option<i64>,
    /// GPUs.
    pub gpus: Gpus,
    /// What to run where a pod's command begins with `automl-agent`; empty: this program, with argument `agent`.
    pub agent_command: Vec<OsString>,
    /// Variables that every process gets, whatever its pod says: what is known only while the runner runs.
    pub environment: Vec<(String, String)>,
    /// Where the tokens of the pods are kept; the API server answers TokenReviews from it.
    pub tokens: Tokens,
    /// Time for processes of an earlier runner between SIGTERM and SIGKILL.
    pub leftover_grace: Duration,
    /// Between a failed pod of a Job and the next.
    pub job_backoff: Backoff,
    /// Between the end of a container and its next start.
    pub restart_backoff: Backoff,
    /// Tells the time.
    pub now: Now,
}

impl Settings {
    /// The machine as it is, and Kubernetes' pauses.
    pub fn new(state_dir: impl Into<PathBuf>, base_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            base_dir: base_dir.into(),
            cpus: None,
            memory: None,
            gpus: Gpus::Detect,
            agent_command: Vec::new(),
            environment: Vec::new(),
            tokens: Tokens::default(),
            leftover_grace: Duration::from_secs(5),
            job_backoff: Backoff::JOB,
            restart_backoff: Backoff { base: SignedDuration::from_secs(10), limit: SignedDuration::from_mins(5) },
            now: Arc::new(Timestamp::now),
        }
    }

    fn capacity(&self) -> Capacity {
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let cores = self.cpus.map_or_else(|| i64::try_from(cores()).unwrap_or(i64::MAX / 1000), i64::from);
        let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        Capacity {
            cpu_milli: cores.saturating_mul(1000),
            memory: self.memory.unwrap_or_else(gpus::memory),
            gpus: gpus::names(self.gpus, visible.as_deref(), &gpus::devices()),
        }
    }
}

/// Why a runner does not start.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// An earlier run cannot be cleared up.
    #[error(transparent)]
    Leftover(#[from] LeftoverError),
    /// The folder where processes run cannot be used.
    #[error("cannot use the working folder {path}: {source}")]
    BaseDir {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// This program cannot find itself, and so cannot run as the agent.
    #[error("cannot find the program that is running, to start it as the agent: {0}")]
    OwnProgram(std::io::Error),
    /// The API server does not take the Node.
    #[error("cannot register this machine at the API server: {0}")]
    Node(#[from] Failure),
    /// A part of the runner broke.
    #[error("the runner broke: {0}")]
    Broken(#[from] tokio::task::JoinError),
}

/// A running runner. Dropped, it starts nothing more, and its processes end as after a crash.
#[derive(Debug)]
pub struct Runner {
    stop: watch::Sender<Option<Duration>>,
    task: Option<JoinHandle<()>>,
}

impl Runner {
    /// Stops what an earlier runner of this state folder left, then runs the Jobs and Pods of the API server.
    ///
    /// # Errors
    /// The state folder is in use or cannot be used, or the API server does not answer.
    pub async fn start(client: kube::Client, mut settings: Settings) -> Result<Self, RunnerError> {
        let base_dir = &settings.base_dir;
        settings.base_dir =
            base_dir.canonicalize().map_err(|source| RunnerError::BaseDir { path: base_dir.clone(), source })?;
        if settings.agent_command.is_empty() {
            let program = std::env::current_exe().map_err(RunnerError::OwnProgram)?;
            settings.agent_command = vec![program.into(), "agent".into()];
        }
        let (path, grace) = (settings.state_dir.clone(), settings.leftover_grace);
        let opened = tokio::task::spawn_blocking(move || -> Result<_, RunnerError> {
            let state = StateFolder::open(&path)?;
            let started = stop_leftovers(&state, grace)?;
            Ok((state, started))
        });
        let (state, started) = opened.await??;
        let (desk, capacity) = (Desk::new(client), settings.capacity());
        desk.put_node(&capacity, (settings.now)()).await?;
        let (stop, asked) = watch::channel(None);
        let control = Control::new(desk, settings, state, capacity, started);
        let task = tokio::spawn(control.run(asked));
        Ok(Self { stop, task: Some(task) })
    }

    /// Stops every process: SIGTERM, then SIGKILL after the pod's own grace period or `grace`, whichever is shorter.
    /// The pods are stored as disrupted, Jobs stay as they are: a later runner goes on with them.
    ///
    /// # Errors
    /// A part of the runner broke.
    pub async fn stop(mut self, grace: Duration) -> Result<(), RunnerError> {
        self.stop.send_replace(Some(grace));
        if let Some(task) = self.task.take() {
            task.await?;
        }
        Ok(())
    }

    /// Returns when the runner has ended by itself, which is a bug. Pending otherwise.
    pub async fn lost(&mut self) {
        match self.task.as_mut() {
            Some(task) => drop(task.await),
            None => std::future::pending().await,
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
