//! What the operator adds to a trial's Job: names, labels, owner, the agent in front of the command, its token.

/// The operator's own settings, as far as decisions need them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Base URL at which trials reach the operator's report endpoint, such as `http://127.0.0.1:8080`.
    pub report_url: String,
    /// Shortest time between two writes of an Experiment's counters, in milliseconds. Conditions are never held back.
    pub status_interval_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { report_url: String::new(), status_interval_ms: 1000 }
    }
}
