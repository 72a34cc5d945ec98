//! Numbers about the operator and its objects, for Prometheus.

pub(super) mod catalogue;
mod causes;
mod objects;

use super::failure::Class;
use crate::api::conditions::{find, is_true, reasons, types};
use crate::api::{Experiment, Trial, Usage};
use crate::engine::{Action, STOPPING_RULES, TrialPatch};
use catalogue::Metric;
use jiff::Timestamp;
use kube::ResourceExt;
pub use objects::Received;
use prometheus::core::Collector;
#[cfg(target_os = "linux")]
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder, Error, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Upper bounds for what takes the operator's own time, in seconds.
const SHORT: &[f64] = &[0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
/// Upper bounds for what a person waits for, in seconds.
const LONG: &[f64] = &[0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1_800.0, 3_600.0, 14_400.0, 43_200.0, 172_800.0];

/// The operator's own metrics.
#[derive(Clone)]
pub struct Telemetry {
    registry: Registry,
    /// Passes over an Experiment, by outcome.
    pub reconciles: IntCounterVec,
    /// How long they took.
    pub reconcile_duration: Histogram,
    /// Keys that wait for a worker.
    pub queue_depth: IntGauge,
    /// For how long the first of them has waited, in seconds.
    pub queue_oldest: Gauge,
    /// Passes that failed, by class.
    pub errors: IntCounterVec,
    /// Calls of the API server, by verb, resource and status code.
    pub requests: IntCounterVec,
    /// How long they took, by verb and resource.
    pub request_duration: HistogramVec,
    /// When the API server was last heard, by kind, in seconds since 1970.
    pub watch_heard: GaugeVec,
    /// Size of the largest object, by kind.
    pub largest: IntGaugeVec,
    /// Objects that cannot be understood, by kind.
    pub unreadable_objects: IntGaugeVec,
    /// Dollars an hour, by the GPU's model.
    pub gpu_price: GaugeVec,
    /// Events that were not published because too many were waiting.
    pub events_dropped: IntCounter,
    /// Batches received on the report route, by answer.
    pub batches: IntCounterVec,
    /// Records received in them.
    pub records: IntCounter,
    /// Records that had been received before.
    pub duplicates: IntCounter,
    /// Records for which there was no room.
    pub refused: IntCounter,
    /// Records that came when nobody waited for them any more.
    pub late: IntCounter,
    /// Values that agents left out, as they said at their end.
    pub values_left_out: IntCounter,
    /// Lines that looked like metrics and could not be read, as agents said at their end.
    pub parse_misses: IntCounter,
    /// Records that were dropped before they could be said.
    pub lost: IntCounter,
    /// Times that an agent could not read metrics.
    pub unreadable: IntCounter,
    /// Writes of reported metrics into Trials.
    pub stores: IntCounter,
    /// 1 while this process may write.
    pub leading: IntGauge,
    /// How long the tuner's plans took, by algorithm.
    pub suggestion_duration: HistogramVec,
    trials_ended: IntCounterVec,
    trial_endings: IntCounterVec,
    trial_retries: IntCounterVec,
    stop_decisions: IntCounterVec,
    objective_missing: IntCounterVec,
    trial_queue: Histogram,
    trial_duration: Histogram,
    experiment_start: Histogram,
    gpu_seconds: IntCounterVec,
    gpu_seconds_saved: IntCounterVec,
    /// Those that have counters of their own.
    namespaces: Arc<Mutex<BTreeSet<String>>>,
}

impl Telemetry {
    /// All at zero.
    ///
    /// # Errors
    /// When two metrics share a name, which a test excludes.
    pub fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        let options = |metric: &Metric| Opts::new(metric.name, metric.help);
        let buckets =
            |metric: &Metric, buckets: &[f64]| HistogramOpts::new(metric.name, metric.help).buckets(buckets.to_vec());
        let counters = |of: Metric| kept(&registry, IntCounterVec::new(options(&of), of.labels));
        let counter = |of: Metric| kept(&registry, IntCounter::with_opts(options(&of)));
        let gauge = |of: Metric| kept(&registry, IntGauge::with_opts(options(&of)));
        let gauges = |of: Metric| kept(&registry, IntGaugeVec::new(options(&of), of.labels));
        let floats = |of: Metric| kept(&registry, Gauge::with_opts(options(&of)));
        let float_gauges = |of: Metric| kept(&registry, GaugeVec::new(options(&of), of.labels));
        let histograms =
            |of: Metric, bounds: &[f64]| kept(&registry, HistogramVec::new(buckets(&of, bounds), of.labels));
        let histogram = |of: Metric, bounds: &[f64]| kept(&registry, Histogram::with_opts(buckets(&of, bounds)));
        #[cfg(target_os = "linux")]
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let info = catalogue::BUILD_INFO;
        let build =
            Gauge::with_opts(Opts::new(info.name, info.help).const_label("version", env!("CARGO_PKG_VERSION")))?;
        build.set(1.0);
        registry.register(Box::new(build))?;
        // A counter that begins at zero: the first error is an increase, too.
        let errors = counters(catalogue::ERRORS)?;
        let classes = Class::ALL.iter().map(|class| class.name()).chain(["panic"]);
        classes.for_each(|class| drop(errors.with_label_values(&[class])));
        let stop_decisions = counters(catalogue::STOP_DECISIONS)?;
        STOPPING_RULES.iter().for_each(|(rule, _)| drop(stop_decisions.with_label_values(&[rule])));
        Ok(Telemetry {
            reconciles: counters(catalogue::RECONCILES)?,
            reconcile_duration: histogram(catalogue::RECONCILE_DURATION, SHORT)?,
            queue_depth: gauge(catalogue::QUEUE_DEPTH)?,
            queue_oldest: floats(catalogue::QUEUE_OLDEST)?,
            errors,
            requests: counters(catalogue::REQUESTS)?,
            request_duration: histograms(catalogue::REQUEST_DURATION, SHORT)?,
            watch_heard: float_gauges(catalogue::WATCH_HEARD)?,
            largest: gauges(catalogue::LARGEST)?,
            unreadable_objects: gauges(catalogue::UNREADABLE_OBJECTS)?,
            gpu_price: float_gauges(catalogue::GPU_PRICE)?,
            events_dropped: counter(catalogue::EVENTS_DROPPED)?,
            batches: counters(catalogue::BATCHES)?,
            records: counter(catalogue::RECORDS)?,
            duplicates: counter(catalogue::DUPLICATES)?,
            refused: counter(catalogue::REFUSED)?,
            late: counter(catalogue::LATE)?,
            values_left_out: counter(catalogue::VALUES_LEFT_OUT)?,
            parse_misses: counter(catalogue::PARSE_MISSES)?,
            lost: counter(catalogue::LOST)?,
            unreadable: counter(catalogue::UNREADABLE)?,
            stores: counter(catalogue::STORES)?,
            leading: gauge(catalogue::LEADING)?,
            suggestion_duration: histograms(catalogue::SUGGESTION, SHORT)?,
            trials_ended: counters(catalogue::TRIALS_ENDED)?,
            trial_endings: counters(catalogue::TRIAL_ENDINGS)?,
            namespaces: Arc::default(),
            trial_retries: counters(catalogue::TRIAL_RETRIES)?,
            stop_decisions,
            objective_missing: counters(catalogue::OBJECTIVE_MISSING)?,
            trial_queue: histogram(catalogue::TRIAL_QUEUE, LONG)?,
            trial_duration: histogram(catalogue::TRIAL_DURATION, LONG)?,
            experiment_start: histogram(catalogue::EXPERIMENT_START, LONG)?,
            gpu_seconds: counters(catalogue::GPU_SECONDS)?,
            gpu_seconds_saved: counters(catalogue::GPU_SECONDS_SAVED)?,
            registry,
        })
    }

    /// The API server was heard about objects of this kind.
    pub fn heard(&self, kind: &str, now: Timestamp) {
        self.watch_heard.with_label_values(&[kind]).set(now.as_millisecond() as f64 / 1000.0);
    }

    /// Begins this namespace's counters at zero: its first failure is an increase, too.
    fn begin(&self, namespace: &str) {
        if self.namespaces().insert(namespace.to_owned()) {
            ENDINGS.iter().for_each(|ending| drop(self.trial_endings.with_label_values(&[namespace, ending])));
        }
    }

    /// Forgets the counters of namespaces that have none of these Experiments any more.
    pub fn keep_namespaces_of(&self, experiments: &[Arc<Experiment>]) {
        let mut known = self.namespaces();
        let present: BTreeSet<String> = experiments.iter().filter_map(|one| one.namespace()).collect();
        known.retain(|namespace| {
            let kept = present.contains(namespace);
            if !kept {
                self.forget(namespace);
            }
            kept
        });
    }

    fn forget(&self, namespace: &str) {
        let drop_each = |counters: &IntCounterVec, words: &mut dyn Iterator<Item = &'static str>| {
            words.for_each(|word| drop(counters.remove_label_values(&[namespace, word])));
        };
        drop_each(&self.trial_endings, &mut ENDINGS.into_iter());
        drop_each(&self.trials_ended, &mut reasons::ALL.iter().map(|(reason, _)| *reason));
        drop_each(&self.trial_retries, &mut causes::ALL.into_iter());
        for counters in [&self.objective_missing, &self.gpu_seconds, &self.gpu_seconds_saved] {
            drop(counters.remove_label_values(&[namespace]));
        }
    }

    fn namespaces(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what was done for an Experiment; `trial`: the one that was written, as it is now.
    pub fn count(&self, action: &Action, experiment: &Experiment, trial: Option<&Trial>) {
        match (action, trial) {
            (Action::WriteTrialStatus { patch, .. }, Some(trial)) => self.count_status(patch, trial),
            (Action::CreateTrial { .. }, Some(trial)) => {
                self.begin(&trial.namespace().unwrap_or_default());
                if let (Some(0), Some(from), Some(to)) = (trial.spec.index, created(experiment), created(trial)) {
                    self.experiment_start.observe(seconds(from, to));
                }
            }
            _ => {}
        }
    }

    fn count_status(&self, patch: &TrialPatch, trial: &Trial) {
        let namespace = trial.namespace().unwrap_or_default();
        let of = [namespace.as_str()];
        self.begin(of[0]);
        let Some(complete) = find(&patch.conditions, types::COMPLETE) else { return };
        if let Some(cause) = causes::interruption(&complete.reason, &complete.message) {
            self.trial_retries.with_label_values(&[of[0], cause]).inc();
        }
        // What it waited for after an interruption is another matter.
        let first = patch.attempt == 0 && patch.interruptions == 0 && patch.usage == Usage::default();
        if let (true, reasons::RUNNING, Some(start), Some(made)) =
            (first, complete.reason.as_str(), patch.start_time, created(trial))
        {
            self.trial_queue.observe(seconds(made, start));
        }
        let Some(end) = patch.completion_time else { return };
        self.trials_ended.with_label_values(&[of[0], &complete.reason]).inc();
        self.trial_endings.with_label_values(&[of[0], ending(patch)]).inc();
        if let Some(rule) = causes::rule(&complete.message).filter(|_| complete.reason != reasons::PROGRAM_FAILED) {
            self.stop_decisions.with_label_values(&[rule]).inc();
        }
        if patch.objective.is_none() {
            self.objective_missing.with_label_values(&of).inc();
        }
        self.gpu_seconds.with_label_values(&of).inc_by(patch.usage.gpu_seconds);
        self.gpu_seconds_saved.with_label_values(&of).inc_by(patch.usage.saved_gpu_seconds);
        let Some(start) = patch.start_time else { return };
        self.trial_duration.observe(seconds(start, end));
    }

    /// All metrics in Prometheus' text format, and its content type: the operator's own, then those of these Experiments
    /// and of these Trials, which have not ended. `received`: what of a trial's metric was.
    ///
    /// # Errors
    /// When they cannot be written as text.
    pub fn render(
        &self,
        experiments: Vec<Arc<Experiment>>,
        trials: Vec<Arc<Trial>>,
        received: &dyn Fn(&Trial, &str) -> Received,
    ) -> Result<(String, String), Error> {
        let encoder = TextEncoder::new();
        let mut text = Vec::new();
        encoder.encode(&self.registry.gather(), &mut text)?;
        encoder.encode(&objects::collect(experiments, trials, received)?, &mut text)?;
        let text = String::from_utf8(text).map_err(|error| Error::Msg(error.to_string()))?;
        Ok((text, encoder.format_type().to_owned()))
    }
}

/// The metric, registered.
fn kept<T: Collector + Clone + 'static>(registry: &Registry, made: Result<T, Error>) -> Result<T, Error> {
    let made = made?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

/// How a trial can end.
const ENDINGS: [&str; 3] = ["succeeded", "failed", "early_stopped"];

fn ending(patch: &TrialPatch) -> &'static str {
    let stopped = find(&patch.conditions, types::COMPLETE).is_some_and(|one| one.reason == reasons::EARLY_STOPPED);
    match (is_true(&patch.conditions, types::FAILED), stopped) {
        (true, _) => "failed",
        (false, true) => "early_stopped",
        (false, false) => "succeeded",
    }
}

fn created(object: &impl ResourceExt) -> Option<Timestamp> {
    object.meta().creation_timestamp.as_ref().map(|time| time.0)
}

/// Clocks of different machines may differ.
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(telemetry: &Telemetry) -> String {
        let (text, content_type) = telemetry.render(Vec::new(), Vec::new(), &|_, _| Received::default()).unwrap();
        assert!(content_type.starts_with("text/plain"));
        text
    }

    #[test]
    fn renders_what_was_counted() {
        let telemetry = Telemetry::new().unwrap();
        telemetry.requests.with_label_values(&["create", "jobs", "201"]).inc();
        let text = text(&telemetry);
        assert!(text.contains("automl_api_requests_total{code=\"201\",resource=\"jobs\",verb=\"create\"} 1"), "{text}");
        assert!(text.contains("automl_build_info{version="), "{text}");
    }

    #[test]
    fn a_trials_end_is_counted_with_what_it_used() {
        let telemetry = Telemetry::new().unwrap();
        let trial: Trial = serde_json::from_value(json!({
            "apiVersion": "automl.dev/v1alpha1", "kind": "Trial",
            "metadata": {"name": "e-00000", "namespace": "team", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"experiment": "e", "index": 0, "assignments": {}, "manifest": {}},
        }))
        .unwrap();
        let says = |reason: &str, message: &str| {
            serde_json::from_value(json!([{"type": "Complete", "status": "False", "reason": reason, "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]))
            .unwrap()
        };
        let at = |time: &str| time.parse::<Timestamp>().ok();
        let running = TrialPatch { start_time: at("2026-01-01T00:00:20Z"), ..TrialPatch::default() };
        telemetry.count_status(&TrialPatch { conditions: says("Running", ""), ..running.clone() }, &trial);
        // Interrupted by a queue, then by an eviction: neither is waiting for its first start.
        let conditions =
            says("Pending", "Job e-00000 was suspended while it ran; it begins anew once it is let in again");
        telemetry.count_status(&TrialPatch { conditions, start_time: None, ..running.clone() }, &trial);
        let mut again = TrialPatch { conditions: says("Running", ""), ..running.clone() };
        again.usage.seconds = 10;
        telemetry.count_status(&again, &trial);
        let conditions = says("Retrying", "attempt 2: pod e-00000-x was taken away (EvictionByEvictionAPI): bye");
        telemetry.count_status(&TrialPatch { conditions, attempt: 1, ..running.clone() }, &trial);
        let mut last = TrialPatch { conditions: says("Running", ""), attempt: 1, ..running };
        last.start_time = at("2026-01-01T05:00:20Z");
        telemetry.count_status(&last, &trial);
        last.conditions = says("Succeeded", "");
        last.usage.gpu_seconds = 40;
        last.completion_time = at("2026-01-01T05:01:00Z");
        telemetry.count_status(&last, &trial);
        let text = text(&telemetry);
        for line in [
            "automl_trials_ended_total{namespace=\"team\",reason=\"Succeeded\"} 1",
            "automl_gpu_seconds_used_total{namespace=\"team\"} 40",
            "automl_trial_endings_total{ending=\"succeeded\",namespace=\"team\"} 1",
            "automl_trial_endings_total{ending=\"failed\",namespace=\"team\"} 0",
            "automl_trial_retries_total{cause=\"suspended\",namespace=\"team\"} 1",
            "automl_trial_retries_total{cause=\"evicted\",namespace=\"team\"} 1",
            "automl_trial_queue_duration_seconds_sum 20",
            "automl_trial_queue_duration_seconds_count 1",
            "automl_trial_duration_seconds_sum 40",
            "automl_trial_duration_seconds_count 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn counters_go_with_their_namespace() {
        let telemetry = Telemetry::new().unwrap();
        let of = |namespace: &str| text(&telemetry).contains(&format!("namespace=\"{namespace}\""));
        let (experiment, _) = objects::tests::examples();
        for namespace in ["team-1", "gone"] {
            telemetry.begin(namespace);
            telemetry.trials_ended.with_label_values(&[namespace, reasons::PROGRAM_FAILED]).inc();
            causes::ALL.iter().for_each(|cause| telemetry.trial_retries.with_label_values(&[namespace, cause]).inc());
            let counters = [&telemetry.objective_missing, &telemetry.gpu_seconds, &telemetry.gpu_seconds_saved];
            counters.into_iter().for_each(|counters| counters.with_label_values(&[namespace]).inc());
        }
        assert!(of("team-1") && of("gone"));
        telemetry.keep_namespaces_of(&[experiment]);
        assert!(of("team-1") && !of("gone"), "{}", text(&telemetry));
        telemetry.begin("gone");
        assert!(of("gone"), "it is there again");
    }

    /// Every metric of the catalogue can be given, and no other is.
    #[test]
    fn the_catalogue_is_complete() {
        let telemetry = Telemetry::new().unwrap();
        for counters in [&telemetry.objective_missing, &telemetry.gpu_seconds, &telemetry.gpu_seconds_saved] {
            counters.with_label_values(&["team"]).inc();
        }
        telemetry.trial_retries.with_label_values(&["team", "evicted"]).inc();
        telemetry.stop_decisions.with_label_values(&["Median"]).inc();
        telemetry.errors.with_label_values(&["transient"]).inc();
        telemetry.heard("Trial", Timestamp::UNIX_EPOCH);
        telemetry.largest.with_label_values(&["Trial"]).set(1);
        telemetry.gpu_price.with_label_values(&["any"]).set(2.5);
        telemetry.trials_ended.with_label_values(&["team", "Succeeded"]).inc();
        telemetry.begin("team");
        telemetry.unreadable_objects.with_label_values(&["Trial"]).set(1);
        telemetry.batches.with_label_values(&["ok"]).inc();
        telemetry.reconciles.with_label_values(&["ok"]).inc();
        telemetry.requests.with_label_values(&["create", "jobs", "201"]).inc();
        telemetry.request_duration.with_label_values(&["create", "jobs"]).observe(0.1);
        telemetry.suggestion_duration.with_label_values(&["TPE"]).observe(0.1);
        let (experiment, trials) = objects::tests::examples();
        let received = |_: &Trial, _: &str| Received { at: Some(Timestamp::UNIX_EPOCH), latest: None };
        let (text, _) = telemetry.render(vec![experiment], trials, &received).unwrap();
        let given: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let known = || catalogue::SECTIONS.iter().flat_map(|(_, metrics)| *metrics);
        for metric in known() {
            assert!(text.contains(&format!("# TYPE {} {}\n", metric.name, metric.kind.name())), "{}", metric.name);
            for label in metric.labels {
                let line = text.lines().find(|line| {
                    line.starts_with(metric.name) && !line.starts_with('#') && line.contains(&format!("{label}=\""))
                });
                assert!(line.is_some(), "{} has no label {label}", metric.name);
            }
        }
        assert_eq!(given.len(), known().count(), "{given:?}");
    }
}
