//! The operator's own settings.

use jiff::Timestamp;

/// The operator's own settings, as far as decisions need them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Base URL at which trials reach the operator's report endpoint, such as `http://127.0.0.1:8080`.
    pub report_url: String,
    /// The container that brings the agent into trials' pods; `None` where the program is on their PATH.
    pub agent: Option<AgentContainer>,
    /// From when to when this machine, with all that runs on it, was last down; `None` where trials run on other ones.
    pub away: Option<(Timestamp, Timestamp)>,
    /// A folder of this machine that takes the place of the volumes for checkpoints that specs name.
    pub checkpoints: Option<String>,
    /// Base URL of what takes traces (OTLP over HTTP), such as `http://collector:4318`; programs are told their place in them.
    pub otlp_endpoint: Option<String>,
    /// Shortest time between two writes of an Experiment's counters, in milliseconds. Conditions are never held back.
    pub status_interval_ms: i64,
    /// There is a Prometheus to ask about trials.
    pub prometheus: Option<Prometheus>,
}

/// The Prometheus that is asked about trials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prometheus {
    /// The label that each series' namespace stands in: a trial sees those of its own alone. `None`: it sees all.
    pub namespace_label: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            report_url: String::new(),
            agent: None,
            away: None,
            checkpoints: None,
            otlp_endpoint: None,
            status_interval_ms: 1000,
            prometheus: None,
        }
    }
}

/// The agent's container on a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentContainer {
    /// An image that holds `/automl-agent`.
    pub image: String,
    /// `imagePullPolicy`; `None`: Kubernetes' own default.
    pub pull_policy: Option<String>,
    /// What it asks for of a processor, a quantity of Kubernetes such as `100m`. Where all other containers have a limit, it
    /// is the agent's, too.
    pub cpu: String,
    /// What it asks for of memory, and may use at most, such as `32Mi`.
    pub memory: String,
}
