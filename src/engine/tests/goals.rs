//! Several objectives, and outcome constraints.

use super::good;
use super::model::Model;
use crate::api::ExperimentStatus;
use crate::api::conditions::types;
use serde_json::{Value, json};

/// Accuracy, size and latency of trials that are known beforehand.
fn ended(change: Value, known: &[(f64, f64, f64)]) -> Model {
    let known: Vec<Value> = known
        .iter()
        .enumerate()
        .map(|(at, (accuracy, size, latency))| {
            let result = json!({"accuracy": accuracy, "size": size, "latency": latency});
            json!({"assignments": {"x": 0.01 * at as f64}, "result": result})
        })
        .collect();
    let mut spec = json!({
        "objectives": [{"metric": "accuracy", "direction": "Maximize"}, {"metric": "size", "direction": "Minimize"}],
        "additionalMetrics": ["latency"],
        "constraints": [{"metric": "latency", "max": 20.0}],
        "algorithm": {"name": "TPE"},
        "limits": {"maxTrials": 1, "parallelTrials": 1},
        "initialTrials": known,
    });
    json_patch::merge(&mut spec, &change);
    let mut model = Model::new(spec, good);
    model.run();
    model
}

fn status(model: &Model) -> ExperimentStatus {
    model.experiment.status.clone().unwrap()
}

#[test]
fn the_front_is_shown_and_what_violates_a_constraint_is_not_on_it() {
    let known = [(0.9, 8.0, 10.0), (0.8, 4.0, 20.0), (0.8, 5.0, 1.0), (0.99, 1.0, 30.0), (0.95, 30.0, 5.0)];
    let model = ended(json!({}), &known);
    let status = status(&model);
    let front: Vec<(&str, &[f64])> =
        status.pareto_front.iter().map(|one| (one.trial.as_str(), one.values.as_slice())).collect();
    assert_eq!(front, [("e-known-4", &[0.95, 30.0][..]), ("e-known-0", &[0.9, 8.0]), ("e-known-1", &[0.8, 4.0]),]);
    assert_eq!(
        status.best.unwrap().trial,
        "e-known-4",
        "the best by the first objective that satisfies the constraint"
    );
    let stored = model.trials["e-known-3"].status.clone().unwrap();
    assert_eq!((stored.objective, stored.objectives, stored.excesses), (Some(0.99), vec![0.99, 1.0], vec![0.5]));
}

/// The program of the model prints accuracy and nothing else.
#[test]
fn each_objective_and_constraint_needs_a_value() {
    let table = [
        (
            json!({}),
            "it never printed size; it printed accuracy; if accuracy is meant, write metric: \"accuracy\" in spec.objectives[1]",
        ),
        (
            json!({"objectives": [{"metric": "accuracy", "direction": "Maximize"}]}),
            "write metric: \"accuracy\" in spec.constraints[0]",
        ),
    ];
    for (change, says) in table {
        let model = ended(change, &[]);
        let (_, reason, message) = model.trial_condition("e-00000", types::COMPLETE);
        assert_eq!(reason, "MetricNotFound", "{message}");
        assert!(message.contains(says), "{message}");
        assert_eq!(status(&model).best, None);
    }
}

#[test]
fn one_trial_must_reach_all_goals() {
    let goals = json!({"objectives": [
        {"metric": "accuracy", "direction": "Maximize", "goal": 0.9}, {"metric": "size", "direction": "Minimize", "goal": 10.0},
    ]});
    let table = [
        (vec![(0.95, 30.0, 1.0), (0.8, 5.0, 1.0)], false),
        (vec![(0.95, 5.0, 30.0)], false),
        (vec![(0.95, 30.0, 1.0), (0.91, 10.0, 1.0)], true),
    ];
    for (known, reached) in table {
        let (_, reason, message) = ended(goals.clone(), &known).condition(types::COMPLETE);
        assert_eq!(reason == "GoalReached", reached, "{known:?}: {reason}: {message}");
        if reached {
            assert_eq!(message, "trial e-known-1 reached all goals: accuracy = 0.91, size = 10");
        }
    }
}

#[test]
fn a_search_that_satisfies_nothing_says_so() {
    let one = json!({"objectives": [{"metric": "accuracy", "direction": "Maximize"}],
        "additionalMetrics": [], "constraints": [{"metric": "accuracy", "min": 5.0}]});
    let model = ended(one, &[]);
    let (_, reason, message) = model.condition(types::FAILED);
    assert_eq!(reason, "NoSuccessfulTrial");
    assert!(message.contains("none satisfies spec.constraints"), "{message}");
}

#[test]
fn an_algorithm_that_cannot_is_refused() {
    for (change, what) in [
        (json!({"algorithm": {"name": "Forest"}}), "several objectives"),
        (
            json!({"algorithm": {"name": "CMA-ES"}, "objectives": [{"metric": "accuracy", "direction": "Maximize"}]}),
            "outcome constraints",
        ),
    ] {
        let (accepted, reason, message) = ended(change, &[]).condition(types::ACCEPTED);
        assert_eq!((accepted.as_str(), reason.as_str()), ("False", "InvalidAlgorithm"), "{message}");
        assert!(message.contains(&format!("knows nothing of {what}; write one of Auto")), "{message}");
    }
}
