//! Values that are no numbers, statistics, and metrics that somebody else knows.

use super::good;
use super::model::{Model, Play};
use crate::api::conditions::types;
use crate::engine::ending::{Ending, ending};
use crate::engine::{Prometheus, compile};
use serde_json::json;

#[test]
fn a_value_that_is_no_number_fails_a_trial_where_that_is_wanted() {
    let limits = json!({"maxTrials": 3, "maxFailedTrials": 3});
    let mut model = Model::new(json!({"limits": limits, "failurePolicy": {"nonFinite": "Fail"}}), |trial| {
        match trial.spec.index {
            // It would go on for ever.
            Some(0) => Play::Endless(f64::NAN),
            Some(1) => Play::Value(f64::INFINITY),
            _ => good(trial),
        }
    });
    model.run();
    for (name, expected) in [("e-00000", Ending::Failed), ("e-00001", Ending::Failed), ("e-00002", Ending::Succeeded)] {
        assert_eq!(ending(&model.trials[name]), Some(expected), "{name}");
    }
    for name in ["e-00000", "e-00001"] {
        let (_, reason, message) = model.trial_condition(name, types::FAILED);
        assert_eq!(reason, "MetricNotFinite");
        assert!(
            message.contains("was NaN or infinite at step ") && message.ends_with("nonFinite is Fail"),
            "{message}"
        );
    }
    assert!(model.jobs.values().all(|job| job.end().is_some()), "what has diverged does not run on");
    let mut patient = Model::new(json!({"limits": {"maxTrials": 1}}), |_| Play::Endless(f64::NAN));
    patient.pass(60);
    assert_eq!(ending(&patient.trials["e-00000"]), None, "else it is passed over");
}

#[test]
fn without_a_prometheus_it_is_said_before_any_trial() {
    let asked = json!({"queries": [{"metric": "accuracy", "query": "max(accuracy{pod=\"${trial.pod}\"})"}]});
    let mut model = Model::new(json!({"metrics": {"source": {"prometheusQuery": asked}}}), good);
    model.pass(30);
    let (status, reason, message) = model.condition(types::ACCEPTED);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "InvalidMetrics"), "{message}");
    assert!(message.contains("this operator has no Prometheus to ask; start it with --prometheus-url"), "{message}");
    assert!(model.trials.is_empty());
    model.settings.prometheus = Some(Prometheus::default());
    model.run();
    assert_eq!(model.condition(types::COMPLETE).1, "MaxTrialsReached");
    let compiled = compile(&model.experiment).unwrap_or_else(|problem| panic!("{problem:?}"));
    assert!(compiled.metrics.is_empty(), "the agent reads nothing of what is asked");
}
