//! Every metric of the operator: its name, what kind it is, its labels, and what it says. `docs/metrics-reference.md` is
//! made from it.

/// A metric, as Prometheus knows it.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// A sentence.
    pub help: &'static str,
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up only.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper bounds.
    Histogram,
}

impl Kind {
    /// As Prometheus writes it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

macro_rules! metrics {
    ($($title:literal: $($name:ident = $kind:ident $text:literal [$($label:literal),*] $help:literal;)+)+) => {
        $($(
            #[doc = $help]
            pub(crate) const $name: Metric =
                Metric { name: $text, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )+)+

        /// All of them under the titles of their sections.
        pub const SECTIONS: &[(&str, &[Metric])] = &[$(($title, &[$($name),+])),+];
    };
}

metrics! {
    "Experiments and trials, summed up":
    EXPERIMENTS = Gauge "automl_experiments" ["namespace", "reason"]
        "Experiments by the reason of their condition Complete.";
    TRIALS = Gauge "automl_trials" ["namespace", "state"]
        "Trials of the Experiments that exist: pending, running, succeeded, failed, early_stopped, known.";
    TRIALS_WAITING = Gauge "automl_trials_waiting" ["namespace", "reason"]
        "Trials that have not begun, by the reason of their condition Complete: what they wait for.";
    TRIAL_ENDINGS = Counter "automl_trial_endings_total" ["namespace", "ending"]
        "Trials whose end this process has stored: succeeded, failed, early_stopped. There from a namespace's first trial on.";
    TRIALS_ENDED = Counter "automl_trials_ended_total" ["namespace", "reason"]
        "Trials whose end this process has stored, by its reason.";
    TRIAL_RETRIES = Counter "automl_trial_retries_total" ["namespace", "cause"]
        "Attempts at trials that were interrupted and began anew: preempted, evicted, node_lost, job_deleted, pod_deleted, suspended (by a queue), other.";
    STOP_DECISIONS = Counter "automl_stop_decisions_total" ["rule"]
        "Trials that a rule of earlyStopping has ended, by the rule.";
    OBJECTIVE_MISSING = Counter "automl_objective_missing_total" ["namespace"]
        "Trials that ended without a value of their objective.";
    TRIAL_QUEUE = Histogram "automl_trial_queue_duration_seconds" []
        "Time from a Trial's creation until its first attempt was seen running.";
    TRIAL_DURATION = Histogram "automl_trial_duration_seconds" []
        "Time for which the last attempt of an ended Trial ran.";
    EXPERIMENT_START = Histogram "automl_experiment_start_duration_seconds" []
        "Time from an Experiment's creation until its first Trial was made.";
    SUGGESTION = Histogram "automl_suggestion_duration_seconds" ["algorithm"]
        "Time that a plan took in which the tuner proposed trials, for each of them; given points do not count.";
    GPU_SECONDS = Counter "automl_gpu_seconds_used_total" ["namespace"]
        "GPU seconds of the trials whose end this process has stored.";
    GPU_SECONDS_SAVED = Counter "automl_gpu_seconds_saved_total" ["namespace"]
        "GPU seconds that ending these trials early has saved, estimated by those that ran to their end.";

    "Each Experiment (those that have not ended and the latest, at most 200)":
    EXPERIMENT_INFO = Gauge "automl_experiment_info" ["namespace", "experiment", "algorithm", "metric", "direction"]
        "1, with what the Experiment is about.";
    EXPERIMENT_STATUS = Gauge "automl_experiment_status" ["namespace", "experiment", "reason"]
        "1, with the reason of the Experiment's condition Complete.";
    EXPERIMENT_ENDED = Gauge "automl_experiment_ended" ["namespace", "experiment"]
        "1 once the Experiment has ended.";
    EXPERIMENT_BEST = Gauge "automl_experiment_best_objective" ["namespace", "experiment"]
        "The best value of the objective so far.";
    EXPERIMENT_TRIALS = Gauge "automl_experiment_trials" ["namespace", "experiment", "state"]
        "Its trials: pending, running, succeeded, failed, early_stopped, known.";
    EXPERIMENT_MAX_TRIALS = Gauge "automl_experiment_max_trials" ["namespace", "experiment"]
        "limits.maxTrials.";
    EXPERIMENT_PARALLEL = Gauge "automl_experiment_parallel_trials" ["namespace", "experiment"]
        "limits.parallelTrials.";
    EXPERIMENT_SECONDS = Gauge "automl_experiment_seconds_used" ["namespace", "experiment"]
        "Seconds for which its ended trials ran.";
    EXPERIMENT_SECONDS_SAVED = Gauge "automl_experiment_seconds_saved" ["namespace", "experiment"]
        "Seconds that ending trials early has saved, estimated.";
    EXPERIMENT_GPU_SECONDS = Gauge "automl_experiment_gpu_seconds_used" ["namespace", "experiment"]
        "GPU seconds of its ended trials.";
    EXPERIMENT_GPU_SECONDS_SAVED = Gauge "automl_experiment_gpu_seconds_saved" ["namespace", "experiment"]
        "GPU seconds that ending trials early has saved, estimated.";
    EXPERIMENT_MAX_GPU_SECONDS = Gauge "automl_experiment_max_gpu_seconds" ["namespace", "experiment"]
        "limits.maxGpuHours in seconds; absent without that limit.";

    "Each Trial that runs (at most 1000)":
    TRIAL_INFO = Gauge "automl_trial_info" ["namespace", "experiment", "trial", "job_name"]
        "1, with the Job of the present attempt; a pod's name is the Job's, its completion index if the Job is Indexed, and five more characters.";
    TRIAL_START = Gauge "automl_trial_start_timestamp_seconds" ["namespace", "experiment", "trial"]
        "When its present attempt was seen running, in seconds since 1970.";
    TRIAL_LATEST = Gauge "automl_trial_latest_value" ["namespace", "experiment", "trial"]
        "The latest value of the objective that was received, stored or not.";
    TRIAL_OBJECTIVE = Gauge "automl_trial_objective" ["namespace", "experiment", "trial"]
        "Its objective so far, as the objective's statistic has it: of the values that are stored and the latest one.";
    TRIAL_STEP = Gauge "automl_trial_step" ["namespace", "experiment", "trial"]
        "The step of that value.";
    TRIAL_HEARD = Gauge "automl_trial_last_observation_timestamp_seconds" ["namespace", "experiment", "trial"]
        "When its latest value was received, stored or not, in seconds since 1970; of one that was heard before this process began to lead, that time until it is heard again. Absent while nothing was heard.";
    LEFT_OUT = Gauge "automl_series_left_out" ["kind"]
        "Objects that have no series of their own, since there are too many: experiment, trial.";

    "Cost":
    GPU_PRICE = Gauge "automl_gpu_price_dollars_per_hour" ["model"]
        "What a GPU costs, by its model as the DCGM exporter names it (modelName), as --gpu-price says; any: all others. Absent without.";

    "Reports":
    BATCHES = Counter "automl_report_batches_total" ["answer"]
        "Batches on the report route: ok, passed, refused, limited (the trial reports too often; its agent says them again), failed.";
    RECORDS = Counter "automl_report_records_total" []
        "Records received on the report route that are new.";
    DUPLICATES = Counter "automl_report_duplicates_total" []
        "Records that had been received before: an agent says again what was not answered, and what an operator held that is gone.";
    REFUSED = Counter "automl_report_refused_total" []
        "Records for which there was no room: too many of the trial wait to be stored. They are said again.";
    LATE = Counter "automl_report_late_total" []
        "Records of trials that have ended, or of attempts that a later one has replaced; they are not stored.";
    LOST = Counter "automl_report_lost_total" []
        "Records that agents had to drop before they could say them, by the gaps in their numbers.";
    VALUES_LEFT_OUT = Counter "automl_report_values_left_out_total" []
        "Values that agents left out because their programs report more than can be stored, as they said at their end; the first, the last and those that may be the best are never among them.";
    PARSE_MISSES = Counter "automl_report_parse_misses_total" []
        "Lines, rows of files and posts that looked like metrics of the trial and could not be read, such as accuracy=abc, as agents said at their programs' end.";
    UNREADABLE = Counter "automl_report_unreadable_total" []
        "Times that an agent said that it cannot read metrics where the Experiment says: a file that never came, an endpoint that does not answer, a query that fails.";
    STORES = Counter "automl_report_stores_total" []
        "Writes of reported metrics into Trials.";

    "The operator":
    RECONCILES = Counter "automl_reconciles_total" ["outcome"]
        "Passes over an Experiment: ok, failed, panicked.";
    RECONCILE_DURATION = Histogram "automl_reconcile_duration_seconds" []
        "Time that a pass over an Experiment took, API calls included.";
    ERRORS = Counter "automl_errors_total" ["class"]
        "Passes over an Experiment that failed, by class: transient, conflict, already-exists, invalid, forbidden, not-found, gone, not-leader, panic.";
    QUEUE_DEPTH = Gauge "automl_queue_depth" []
        "Experiments that want attention and wait for a worker.";
    QUEUE_OLDEST = Gauge "automl_queue_oldest_seconds" []
        "For how long the first of them has waited; 0 when none waits.";
    WATCH_HEARD = Gauge "automl_watch_last_event_timestamp_seconds" ["kind"]
        "When the API server was last heard about a kind (a list, a watch that began, an event, a bookmark), in seconds since 1970.";
    UNREADABLE_OBJECTS = Gauge "automl_unreadable_objects" ["kind"]
        "Objects that are stored and cannot be understood (older than their schema, say); they are left alone. Their condition says why.";
    LARGEST = Gauge "automl_largest_object_bytes" ["kind"]
        "Size of the largest object of a kind, as JSON; the API server takes no more than about 1.5 million bytes.";
    REQUESTS = Counter "automl_api_requests_total" ["verb", "resource", "code"]
        "Calls of the API server, by the HTTP status of the answer; none: there was no answer.";
    REQUEST_DURATION = Histogram "automl_api_request_duration_seconds" ["verb", "resource"]
        "Time until the API server began to answer a call.";
    EVENTS_DROPPED = Counter "automl_events_dropped_total" []
        "Kubernetes Events that were not published because too many were waiting.";
    LEADING = Gauge "automl_leading" []
        "1 while this process may write.";
    BUILD_INFO = Gauge "automl_build_info" ["version"]
        "1, with the version.";

    "The process (on Linux)":
    PROCESS_CPU = Counter "process_cpu_seconds_total" []
        "Total user and system CPU time spent in seconds.";
    PROCESS_OPEN_FDS = Gauge "process_open_fds" []
        "Number of open file descriptors.";
    PROCESS_MAX_FDS = Gauge "process_max_fds" []
        "Maximum number of open file descriptors.";
    PROCESS_VIRTUAL_MEMORY = Gauge "process_virtual_memory_bytes" []
        "Virtual memory size in bytes.";
    PROCESS_RESIDENT_MEMORY = Gauge "process_resident_memory_bytes" []
        "Resident memory size in bytes.";
    PROCESS_START = Gauge "process_start_time_seconds" []
        "Start time of the process since unix epoch in seconds.";
    PROCESS_THREADS = Gauge "process_threads" []
        "Number of OS threads in the process.";
}

/// `docs/metrics-reference.md`.
pub fn reference() -> String {
    let mut text = "# Metrics of the operator\n\n<!-- Generated; `make generate` writes it. -->\n\n\
        At `/metrics` of the operator, in Prometheus' text format. A histogram has the series `_bucket`, `_sum` and `_count`.\n"
        .to_owned();
    for (title, metrics) in SECTIONS {
        text += &format!("\n## {title}\n\n| name | kind | labels | |\n| --- | --- | --- | --- |\n");
        for Metric { name, kind, labels, help } in *metrics {
            let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
            text += &format!("| `{name}` | {} | {labels} | {help} |\n", kind.name());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        let all: Vec<&Metric> = SECTIONS.iter().flat_map(|(_, metrics)| *metrics).collect();
        for metric in &all {
            let name = metric.name;
            assert!(name.starts_with("automl_") || name.starts_with("process_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert!(metric.kind != Kind::Histogram || name.ends_with("_duration_seconds"), "{name} has a unit");
            assert!(metric.help.ends_with('.'), "{name}");
            assert_eq!(all.iter().filter(|other| other.name == name).count(), 1, "{name} is there twice");
        }
    }
}
