//! Numbers about the operator itself, for Prometheus. Labels are verbs, kinds and outcomes, never names of objects.

use prometheus::{Encoder, Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

/// The operator's own metrics.
#[derive(Clone)]
pub struct Telemetry {
    registry: Registry,
    /// Passes over an Experiment, by outcome: `ok`, `failed`, `panicked`.
    pub reconciles: IntCounterVec,
    /// Writes to the API server, by verb, kind and outcome (`ok` or the class of the failure).
    pub writes: IntCounterVec,
    /// Events that were not published because too many were waiting.
    pub events_dropped: IntCounter,
    /// Batches received on the report route, by answer: `ok`, `refused`, `failed`.
    pub batches: IntCounterVec,
    /// Records received in them.
    pub records: IntCounter,
    /// Records that had been received before.
    pub duplicates: IntCounter,
    /// Writes of reported metrics into Trials.
    pub stores: IntCounter,
    /// Trials that have not ended.
    pub active_trials: IntGauge,
    /// Experiments.
    pub experiments: IntGauge,
    /// 1 while this process may write.
    pub leading: IntGauge,
}

impl Telemetry {
    /// All at zero.
    ///
    /// # Errors
    /// When two metrics share a name, which a test excludes.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let version = Opts::new("automl_build_info", "1, with the version as a label")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        let build = Gauge::with_opts(version)?;
        build.set(1.0);
        registry.register(Box::new(build))?;
        Ok(Telemetry {
            reconciles: counters("automl_reconciles_total", "Passes over an Experiment", &["outcome"])?,
            writes: counters("automl_api_writes_total", "Writes to the API server", &["verb", "kind", "outcome"])?,
            events_dropped: counter("automl_events_dropped_total", "Kubernetes Events that were not published")?,
            batches: counters("automl_report_batches_total", "Batches on the report route", &["answer"])?,
            records: counter("automl_report_records_total", "Records received on the report route")?,
            duplicates: counter("automl_report_duplicates_total", "Records that had been received before")?,
            stores: counter("automl_report_stores_total", "Writes of reported metrics into Trials")?,
            active_trials: gauge("automl_active_trials", "Trials that have not ended")?,
            experiments: gauge("automl_experiments", "Experiments")?,
            leading: gauge("automl_leading", "1 while this process may write")?,
            registry,
        })
    }

    /// All metrics in Prometheus' text format, and its content type.
    ///
    /// # Errors
    /// When they cannot be written as text.
    pub fn render(&self) -> Result<(String, String), prometheus::Error> {
        let encoder = TextEncoder::new();
        let mut text = Vec::new();
        encoder.encode(&self.registry.gather(), &mut text)?;
        let text = String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))?;
        Ok((text, encoder.format_type().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::Telemetry;

    #[test]
    fn renders_what_was_counted() {
        let telemetry = Telemetry::new().unwrap();
        telemetry.writes.with_label_values(&["create", "Job", "ok"]).inc();
        let (text, content_type) = telemetry.render().unwrap();
        assert!(text.contains("automl_api_writes_total{kind=\"Job\",outcome=\"ok\",verb=\"create\"} 1"), "{text}");
        assert!(text.contains("automl_build_info{version="), "{text}");
        assert!(content_type.starts_with("text/plain"));
    }
}
