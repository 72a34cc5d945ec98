//! What the operator wants, from the environment.

use super::route::Route;
use crate::report::{Checkpoint, Source, env};
use std::path::PathBuf;
use std::time::Duration;

/// Longer than any pod lives.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Where the kubelet looks for a container's termination message.
const LAST_WORDS_FILE: &str = "/dev/termination-log";

/// What the operator wants.
pub(super) struct Settings {
    /// URL of the report endpoint; `None`: nothing is reported to the operator from here.
    url: Option<String>,
    /// The trial's token.
    pub token_file: Option<PathBuf>,
    /// On whose behalf.
    pub whose: Whose,
    /// Where the two agents of a pod meet.
    pub socket: Option<PathBuf>,
    /// Where to put what could not be said.
    pub last_words_file: PathBuf,
    /// Names of the wanted metrics.
    pub metrics: Vec<String>,
    /// Where they come from.
    pub source: Source,
    /// Where the trial keeps its checkpoints.
    pub checkpoint: Option<Checkpoint>,
    /// How often the operator is asked what Prometheus knows of the trial; `None`: it is not.
    pub query: Option<Duration>,
    /// The trial's parameters as JSON.
    pub parameters: Option<String>,
    /// There is a file with them already.
    pub has_parameters_file: bool,
    /// End of file on standard input means that whoever started the agent is gone.
    pub lifeline: bool,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// How long to wait, after the program's end, until all is stored.
    pub flush: Duration,
}

/// The trial.
#[derive(Clone)]
pub(super) struct Whose {
    pub namespace: String,
    pub trial: String,
    pub trial_uid: String,
    pub attempt: u32,
}

impl Whose {
    /// Tells what this attempt leaves in a shared place from what others do.
    pub fn mark(&self) -> String {
        format!("{}-{}", self.trial_uid, self.attempt)
    }
}

impl Settings {
    pub fn from_environment() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let seconds = |name: &str, default: u64| {
            let given = text(name).and_then(|value| Duration::try_from_secs_f64(value.parse().ok()?).ok());
            // No clock goes as far as the longest duration does.
            given.unwrap_or(Duration::from_secs(default)).min(LONGEST)
        };
        let whose = Whose {
            namespace: text(env::NAMESPACE).unwrap_or_default(),
            trial: text(env::TRIAL).unwrap_or_default(),
            trial_uid: text(env::TRIAL_UID).unwrap_or_default(),
            attempt: text(env::ATTEMPT).and_then(|value| value.parse().ok()).unwrap_or(0),
        };
        Settings {
            url: text(env::REPORT_URL).map(|url| format!("{}{}", url.trim_end_matches('/'), crate::report::PATH)),
            token_file: text(env::TOKEN_FILE).map(PathBuf::from),
            whose,
            socket: text(env::SOCKET).map(PathBuf::from),
            last_words_file: text(env::LAST_WORDS_FILE).unwrap_or_else(|| LAST_WORDS_FILE.into()).into(),
            metrics: text(env::METRICS).and_then(|value| serde_json::from_str(&value).ok()).unwrap_or_default(),
            source: text(env::SOURCE).and_then(|value| serde_json::from_str(&value).ok()).unwrap_or_default(),
            checkpoint: text(env::CHECKPOINT).and_then(|value| serde_json::from_str(&value).ok()),
            query: text(env::QUERY_SECONDS).map(|_| seconds(env::QUERY_SECONDS, 30).max(Duration::from_secs(1))),
            parameters: text(env::PARAMETERS),
            has_parameters_file: text(env::PARAMETERS_FILE).is_some(),
            lifeline: text(env::LIFELINE).as_deref() == Some("0"),
            grace: seconds(env::GRACE_SECONDS, 10),
            flush: seconds(env::FLUSH_SECONDS, 60),
        }
    }

    /// The way to the operator itself.
    pub fn operator(&self) -> Option<Route> {
        Some(Route::Operator { url: self.url.clone()?, token_file: self.token_file.clone() })
    }

    /// The way of an agent around a program.
    pub fn route(&self) -> Option<Route> {
        self.socket.clone().map(Route::Relay).or_else(|| self.operator())
    }
}
