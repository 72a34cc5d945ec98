//! The environment by which the operator tells an agent what to do.

/// Base URL of the report endpoint; without it nothing is reported.
pub const REPORT_URL: &str = "AUTOML_REPORT_URL";
/// Namespace of the Trial.
pub const NAMESPACE: &str = "AUTOML_NAMESPACE";
/// Name of the Trial.
pub const TRIAL: &str = "AUTOML_TRIAL";
/// UID of the Trial.
pub const TRIAL_UID: &str = "AUTOML_TRIAL_UID";
/// How many attempts came before this one.
pub const ATTEMPT: &str = "AUTOML_ATTEMPT";
/// Names of the wanted metrics, a JSON list.
pub const METRICS: &str = "AUTOML_METRICS";
/// Where metrics come from, a [`super::Source`] in JSON; without it, from the program's output.
pub const SOURCE: &str = "AUTOML_SOURCE";
/// Seconds from one time to the next that the operator is asked what Prometheus knows of the trial; absent: it is not.
pub const QUERY_SECONDS: &str = "AUTOML_QUERY_SECONDS";
/// File with the trial's bearer token; read anew for each request, because it rotates. A program that pushes has it, too.
pub const TOKEN_FILE: &str = "AUTOML_TOKEN_FILE";
/// The trial's parameters, a JSON object.
pub const PARAMETERS: &str = "AUTOML_PARAMETERS";
/// Set by the agent for the program: a file with the same object.
pub const PARAMETERS_FILE: &str = "AUTOML_PARAMETERS_FILE";
/// The trial's directory for checkpoints, a [`super::Checkpoint`] in JSON.
pub const CHECKPOINT: &str = "AUTOML_CHECKPOINT";
/// The same directory's path, for the program.
pub const CHECKPOINT_DIR: &str = "AUTOML_CHECKPOINT_DIR";
/// For the program: the directory of the trial that it goes on from, to be read only.
pub const PARENT_CHECKPOINT_DIR: &str = "AUTOML_PARENT_CHECKPOINT_DIR";
/// Set by the agent for the program: where it may post what it has measured, with the token in [`TOKEN_FILE`].
pub const PUSH_URL: &str = "AUTOML_PUSH_URL";
/// `0`: end of file on standard input means that whoever started the agent is gone; the program is stopped then.
pub const LIFELINE: &str = "AUTOML_LIFELINE";
/// Seconds between SIGTERM and SIGKILL when a program is stopped; fractions allowed. Shorter than the pod's own grace
/// period, so that the agent outlives the program and reports its end.
pub const GRACE_SECONDS: &str = "AUTOML_GRACE_SECONDS";
/// Seconds that the agent waits, after the program's end, until all is stored.
pub const FLUSH_SECONDS: &str = "AUTOML_FLUSH_SECONDS";
/// A Unix socket on which the agent in the pod's other container listens; with it, nothing is said to the operator itself.
pub const SOCKET: &str = "AUTOML_SOCKET";
/// File into which the agent beside the program puts what it could not say before it ends.
pub const LAST_WORDS_FILE: &str = "AUTOML_LAST_WORDS_FILE";
