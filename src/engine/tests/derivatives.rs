//! Trials that report derivatives of the objective.

use super::good;
use super::model::Model;
use crate::api::conditions::types;
use serde_json::{Value, json};

fn model(change: Value) -> Model {
    let mut spec = json!({
        "objectives": [{"metric": "accuracy", "direction": "Maximize"}],
        "additionalMetrics": ["d_accuracy/d_x"],
        "algorithm": {"name": "Gradient", "settings": {"derivatives": "Reported"}},
        "limits": {"maxTrials": 1, "parallelTrials": 1},
        "initialTrials": [{"assignments": {"x": 0.5}, "result": {"accuracy": 0.9, "d_accuracy/d_x": -3.0}}],
    });
    json_patch::merge(&mut spec, &change);
    let mut model = Model::new(spec, good);
    model.run();
    model
}

/// To where the objective is better, whatever the direction.
#[test]
fn the_next_trial_lies_along_them() {
    for (change, next) in [
        (json!({}), 0.4),
        (json!({"objectives": [{"metric": "accuracy", "direction": "Minimize"}]}), 0.6),
        (json!({"algorithm": {"name": "Gradient", "settings": {"derivatives": "Reported", "step": 0.25}}}), 0.25),
    ] {
        let model = model(change.clone());
        let x = model.trials["e-00000"].spec.assignments["x"].as_f64().unwrap();
        assert!((x - next).abs() < 1e-12, "{change}: {x}");
    }
}

#[test]
fn each_parameter_needs_one() {
    let model = model(json!({"additionalMetrics": ["d_accuracy_d_x"]}));
    let (status, reason, message) = model.condition(types::ACCEPTED);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "InvalidAlgorithm"), "{message}");
    assert!(message.contains("write d_accuracy/d_x into additionalMetrics"), "{message}");
}
