//! Results that are known before any trial.

use super::model::Model;
use super::{by_hand, good, x};
use crate::api::conditions::types;
use crate::engine::{Finding, Known};
use serde_json::{Value, json};

fn start(model: &mut Model) {
    model.settle(&mut usize::MAX.clone());
}

fn results(metric: &str, objectives: &[f64]) -> Finding {
    let known = |(at, objective): (usize, &f64)| Known {
        name: format!("{at:05}"),
        assignment: serde_json::from_value(json!({"x": objective, "gone": 1})).unwrap(),
        values: [(metric.to_owned(), *objective)].into(),
    };
    Finding::Results { metrics: vec![metric.into()], results: objectives.iter().enumerate().map(known).collect() }
}

fn spec(change: Value) -> Value {
    let mut spec = json!({"algorithm": {"name": "TPE"}, "limits": {"maxTrials": 3, "parallelTrials": 1}});
    json_patch::merge(&mut spec, &change);
    spec
}

#[test]
fn a_given_result_is_a_trial_that_is_not_run_and_no_limit_counts_it() {
    let initial = json!([
        {"assignments": {"x": 0.25}, "result": {"accuracy": 0.125, "loss": 3}},
        {"assignments": {"x": 0.75}},
    ]);
    let mut model = Model::new(spec(json!({"initialTrials": initial})), good);
    model.run();
    assert_eq!(model.created_jobs.len(), 3);
    let known = model.trials["e-known-0"].status.clone().unwrap();
    assert_eq!((known.objective, known.start_time), (Some(0.125), None));
    assert_eq!(x(&model.trials["e-00000"]), 0.75, "the other given point comes first of those that are run");
    let trials = model.experiment.status.as_ref().unwrap().trials;
    assert_eq!((trials.created, trials.succeeded, trials.known), (3, 3, 1));
    assert_eq!(model.condition(types::COMPLETE).1, "MaxTrialsReached");
}

#[test]
fn a_known_result_may_be_the_goal() {
    let mut model = Model::new(
        json!({
            "objectives": [{"metric": "accuracy", "direction": "Maximize", "goal": 0.9}],
            "initialTrials": [{"assignments": {"x": 0.5}, "result": {"accuracy": 0.95}}],
        }),
        good,
    );
    model.run();
    assert_eq!(model.created_jobs.len(), 0);
    assert_eq!(model.condition(types::COMPLETE).1, "GoalReached");
    assert_eq!(model.experiment.status.unwrap().best.unwrap().trial, "e-known-0");
}

#[test]
fn a_person_may_tell_of_a_result_at_any_time() {
    let mut model = Model::new(spec(json!({})), good);
    start(&mut model);
    let mut told = by_hand("mine", &json!({"x": 0.5}));
    told.spec.result = [("accuracy".to_owned(), 0.75)].into();
    model.add(told);
    let mut useless = by_hand("useless", &json!({"x": 0.5}));
    useless.spec.result = [("loss".to_owned(), 0.75)].into();
    model.add(useless);
    model.run();
    assert_eq!(model.trials["mine"].status.as_ref().unwrap().objective, Some(0.75));
    let useless = serde_json::to_string(&model.trials["useless"].status).unwrap();
    assert!(useless.contains("spec.result has no value of accuracy, which is the objective"), "{useless}");
    let trials = model.experiment.status.as_ref().unwrap().trials;
    assert_eq!((trials.created, trials.failed, trials.known), (3, 0, 2));
}

#[test]
fn another_experiments_results_come_before_the_first_trial() {
    let warm = json!({"warmStartFrom": [{"experiment": "old", "maxTrials": 2}]});
    let mut model = Model::new(spec(warm), good);
    model.others.insert("old".into(), results("accuracy", &[0.5, 0.25, 0.125]));
    model.run();
    let names: Vec<&str> = model.trials.keys().map(String::as_str).collect();
    assert_eq!(names, ["e-00000", "e-00001", "e-00002", "e-w0-00000", "e-w0-00001"]);
    assert_eq!(
        json!(model.trials["e-w0-00001"].spec.assignments),
        json!({"x": 0.25}),
        "what is not a parameter is left"
    );
    assert_eq!(model.experiment.status.as_ref().unwrap().trials.known, 2);
    // What is found later changes nothing any more.
    model.restart();
    model.others.insert("old".into(), results("accuracy", &[0.9, 0.9, 0.9, 0.9]));
    model.trials.remove("e-w0-00001");
    model.run();
    assert_eq!(model.trials.len(), 4);
}

/// Half of what is taken is the best: the front, and what violates the constraint comes last. What lacks a number is of no use.
#[test]
fn of_several_objectives_the_front_comes_first() {
    let change = json!({
        "objectives": [{"metric": "accuracy", "direction": "Maximize"}, {"metric": "size", "direction": "Minimize"}],
        "additionalMetrics": ["loss"],
        "constraints": [{"metric": "loss", "max": 1}],
        "warmStartFrom": [{"experiment": "old", "maxTrials": 4}],
    });
    let known = |name: &str, values: Value| Known {
        name: name.into(),
        assignment: serde_json::from_value(json!({"x": 0.5})).unwrap(),
        values: serde_json::from_value(values).unwrap(),
    };
    let results = vec![
        known("dominated", json!({"accuracy": 0.5, "size": 5, "loss": 0})),
        known("small", json!({"accuracy": 0.6, "size": 1, "loss": 0})),
        known("good", json!({"accuracy": 0.9, "size": 9, "loss": 0})),
        known("unlawful", json!({"accuracy": 1, "size": 0, "loss": 2})),
        known("worst", json!({"accuracy": 0.1, "size": 9, "loss": 0.5})),
        known("incomplete", json!({"accuracy": 1, "size": 0})),
    ];
    let all = ["accuracy", "size", "loss", "more"];
    let found = |metrics: &[&str], results: &[Known]| Finding::Results {
        metrics: metrics.iter().map(|metric| (*metric).to_owned()).collect(),
        results: results.to_vec(),
    };
    let table = [
        // Two of the four are the front; the others are spread over the three that are left.
        (found(&all, &results), vec!["e-w0-dominated", "e-w0-good", "e-w0-small", "e-w0-worst"]),
        (found(&all, &results[2..]), vec!["e-w0-good", "e-w0-unlawful", "e-w0-worst"]),
        (found(&all, &results[5..]), vec![]),
        (found(&all[..2], &results), vec![]),
    ];
    for (finding, expected) in table {
        let mut model = Model::new(spec(change.clone()), good);
        model.others.insert("old".into(), finding.clone());
        start(&mut model);
        let known = |name: &&str| name.starts_with("e-w0-");
        let names: Vec<&str> = model.trials.keys().map(String::as_str).filter(known).collect();
        assert_eq!(names, expected, "{finding:?}");
        let message = model.condition(types::COMPLETE).2;
        match (expected.is_empty(), finding) {
            (true, Finding::Results { metrics, .. }) if metrics.len() == 2 => {
                assert!(message.ends_with("it does not read loss; leave it out"), "{message}");
            }
            (true, _) => assert!(message.contains("1 results, and none fits this search space"), "{message}"),
            _ => {
                let result = json!(model.trials["e-w0-good"].spec.result);
                assert_eq!(result, json!({"accuracy": 0.9, "size": 9.0, "loss": 0.0}));
            }
        }
    }
}

#[test]
fn what_is_missing_is_told_and_waited_for() {
    let table = [
        (Finding::None, "there is no such Experiment in this namespace; make it, or leave it out"),
        (results("loss", &[0.5]), "it does not read accuracy; leave it out"),
        (results("accuracy", &[5.0]), "1 results, and none fits this search space; leave it out, or wait for more"),
        (results("accuracy", &[]), "0 results, and none fits this search space; leave it out, or wait for more"),
    ];
    for (found, sentence) in table {
        let mut model = Model::new(spec(json!({"warmStartFrom": [{"experiment": "old", "maxTrials": 9}]})), good);
        model.others.insert("old".into(), found);
        start(&mut model);
        let (status, reason, message) = model.condition(types::COMPLETE);
        assert_eq!((status.as_str(), reason.as_str()), ("False", "WarmStartWaits"));
        assert_eq!(message, format!("waits for warmStartFrom[0], experiment \"old\": {sentence}"));
        assert_eq!(model.trials.len(), 0);
        model.others.insert("old".into(), results("accuracy", &[0.5]));
        model.run();
        assert_eq!((model.trials.len(), model.condition(types::COMPLETE).1.as_str()), (4, "MaxTrialsReached"));
    }
}

#[test]
fn a_given_result_must_be_whole() {
    let table = [
        (json!({"assignments": {"x": 2}, "result": {"accuracy": 1}}), "initialTrials[0]: x: 2 is outside 0 to 1"),
        (json!({"assignments": {}, "result": {"accuracy": 1}}), "initialTrials[0]: x: has no value"),
        (
            json!({"assignments": {"x": 0.5}, "result": {"acc": 1}}),
            "initialTrials[0].result: there is no value of accuracy, which is the objective",
        ),
    ];
    for (given, sentence) in table {
        let mut model = Model::new(spec(json!({"initialTrials": [given]})), good);
        start(&mut model);
        let (_, reason, message) = model.condition(types::ACCEPTED);
        assert_eq!((reason.as_str(), message.as_str()), ("InvalidInitialTrial", sentence));
    }
}
