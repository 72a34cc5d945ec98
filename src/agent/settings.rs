//! What the operator wants, from the environment.

use crate::report::env;
use std::path::PathBuf;
use std::time::Duration;

/// Longer than any pod lives.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// What the operator wants.
pub(super) struct Settings {
    /// Where to report; `None`: nowhere.
    pub report: Option<Report>,
    /// Names of the wanted metrics.
    pub metrics: Vec<String>,
    /// The trial's parameters as JSON.
    pub parameters: Option<String>,
    /// End of file on standard input means that whoever started the agent is gone.
    pub lifeline: bool,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// How long to wait, after the program's end, until all is stored.
    pub flush: Duration,
}

/// Where and for whom to report.
#[derive(Clone)]
pub(super) struct Report {
    pub url: String,
    pub namespace: String,
    pub trial: String,
    pub trial_uid: String,
    pub attempt: u32,
    pub token_file: Option<PathBuf>,
}

impl Settings {
    pub fn from_environment() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let seconds = |name: &str, default: u64| {
            let given = text(name).and_then(|value| Duration::try_from_secs_f64(value.parse().ok()?).ok());
            // No clock goes as far as the longest duration does.
            given.unwrap_or(Duration::from_secs(default)).min(LONGEST)
        };
        let report = text(env::REPORT_URL).map(|url| Report {
            url: format!("{}{}", url.trim_end_matches('/'), crate::report::PATH),
            namespace: text(env::NAMESPACE).unwrap_or_default(),
            trial: text(env::TRIAL).unwrap_or_default(),
            trial_uid: text(env::TRIAL_UID).unwrap_or_default(),
            attempt: text(env::ATTEMPT).and_then(|value| value.parse().ok()).unwrap_or(0),
            token_file: text(env::TOKEN_FILE).map(PathBuf::from),
        });
        Settings {
            report,
            metrics: text(env::METRICS).and_then(|value| serde_json::from_str(&value).ok()).unwrap_or_default(),
            parameters: text(env::PARAMETERS),
            lifeline: text(env::LIFELINE).as_deref() == Some("0"),
            grace: seconds(env::GRACE_SECONDS, 10),
            flush: seconds(env::FLUSH_SECONDS, 60),
        }
    }
}
