//! The engine against a model of a cluster: whole lives of experiments, in tables and with interruptions anywhere.

mod derivatives;
mod fidelity;
mod goals;
mod interruptions;
mod known;
mod limits;
mod measured;
mod model;
mod others;
mod panics;
mod properties;
mod stopping;

use super::ending::{Ending, ending};
use crate::api::Trial;
use crate::api::conditions::types;
use model::{Model, Play};
use serde_json::{Value, json};

pub(super) fn ended(trial: &Trial) -> bool {
    ending(trial).is_some()
}

fn x(trial: &Trial) -> f64 {
    trial.spec.assignments.get("x").and_then(crate::space::Value::as_f64).unwrap_or(0.5)
}

fn good(trial: &Trial) -> Play {
    Play::Value(x(trial))
}

/// What a person sees at the end, without names that differ from run to run.
fn end_state(model: &Model) -> Value {
    let trials: Vec<Value> = model
        .trials
        .values()
        .map(|trial| {
            let status = trial.status.clone().unwrap_or_default();
            json!([
                kube::ResourceExt::name_any(trial),
                trial.spec.assignments,
                status.objective,
                status.attempt,
                ending(trial).map(|ending| format!("{ending:?}")),
            ])
        })
        .collect();
    let status = model.experiment.status.clone().unwrap();
    json!([
        trials,
        status.best,
        status.trials,
        model.condition(types::COMPLETE),
        model.condition(types::FAILED),
        model.jobs.len()
    ])
}

#[test]
fn from_the_first_trial_to_the_best_parameters() {
    let mut model = Model::new(json!({}), good);
    model.run();
    assert_eq!(model.condition(types::COMPLETE).0, "True");
    assert_eq!(model.condition(types::COMPLETE).1, "MaxTrialsReached");
    assert_eq!(model.trials.len(), 6);
    assert_eq!(model.most_running, 2);
    assert!(model.jobs.is_empty(), "Jobs of successful trials are cleaned up");
    let best = model.experiment.status.as_ref().unwrap().best.clone().unwrap();
    let highest = model.trials.values().map(x).fold(f64::MIN, f64::max);
    assert_eq!(best.value, highest);
    assert_eq!(
        model.trials["e-00003"]
            .spec
            .manifest
            .as_ref()
            .unwrap()
            .pointer("/spec/template/spec/containers/0/command/1")
            .unwrap(),
        &json!(model.trials["e-00003"].spec.assignments["x"].to_string())
    );
}

#[test]
fn what_the_policy_chose_is_said() {
    let mut model =
        Model::new(json!({"algorithm": {"name": "Auto"}, "limits": {"maxTrials": 30, "parallelTrials": 1}}), good);
    let mut said = std::collections::BTreeSet::new();
    for _ in 0..200 {
        model.pass(1);
        let message = model.condition(types::COMPLETE).2;
        said.extend(message.split_once("; next: ").map(|(_, next)| next.split(':').next().unwrap().to_owned()));
    }
    assert_eq!(said.into_iter().collect::<Vec<_>>(), ["GP", "Sobol", "TPE"]);
    assert_eq!(model.condition(types::COMPLETE).1, "MaxTrialsReached");
}

#[test]
fn how_an_experiment_ends() {
    let table: Vec<(&str, Value, fn(&Trial) -> Play, (&str, &str))> = vec![
        (
            "goal",
            json!({"objectives": [{"metric": "accuracy", "direction": "Maximize", "goal": 0.0}]}),
            good,
            ("Complete", "GoalReached"),
        ),
        (
            "goal of a minimum",
            json!({"objectives": [{"metric": "accuracy", "direction": "Minimize", "goal": 0.9999}]}),
            good,
            ("Complete", "GoalReached"),
        ),
        ("all fail", json!({}), |_| Play::Fail, ("Failed", "MaxFailedTrialsExceeded")),
        (
            "all fail, and may",
            json!({"limits": {"maxFailedTrials": 6}}),
            |_| Play::Fail,
            ("Failed", "NoSuccessfulTrial"),
        ),
        ("none reports", json!({"limits": {"maxFailedTrials": 6}}), |_| Play::Silent, ("Failed", "NoSuccessfulTrial")),
        (
            "time is up",
            json!({"limits": {"maxDuration": "20s"}}),
            |t| if x(t) < 0.5 { Play::Value(1.0) } else { Play::Forever },
            ("Complete", "MaxDurationReached"),
        ),
        (
            "time is up, nothing known",
            json!({"limits": {"maxDuration": "20s"}}),
            |_| Play::Forever,
            ("Failed", "NoSuccessfulTrial"),
        ),
        (
            "space is used up",
            json!({"parameters": [{"name": "x", "int": {"min": 1, "max": 3}}], "algorithm": {"name": "Grid"}}),
            good,
            ("Complete", "SearchSpaceExhausted"),
        ),
        (
            "the constraints leave nothing",
            json!({"parameterConstraints": ["x > 2.0"]}),
            good,
            ("Failed", "ConstraintsUnsatisfiable"),
        ),
        // The grid's first configuration, and none that can be found after it.
        (
            "the constraints leave nothing more",
            json!({
                "parameters": [{"name": "x", "int": {"min": 1, "max": 200}}, {"name": "y", "int": {"min": 1, "max": 200}}],
                "parameterConstraints": (vec![["x + y < 3"; 40].join(" && ")]),
                "algorithm": {"name": "Grid", "seed": 0},
            }),
            good,
            ("Complete", "ConstraintsUnsatisfiable"),
        ),
        ("nodes are lost", json!({}), |t| Play::Lost(2, x(t)), ("Complete", "MaxTrialsReached")),
        (
            "nodes are lost for ever",
            json!({"limits": {"maxFailedTrials": 6}}),
            |t| Play::Lost(9, x(t)),
            ("Failed", "NoSuccessfulTrial"),
        ),
    ];
    for (name, spec, play, (r#type, reason)) in table {
        let mut model = Model::new(spec, play);
        model.run();
        let (status, found, message) = model.condition(r#type);
        assert_eq!((status.as_str(), found.as_str()), ("True", reason), "{name}: {message}");
        assert!(model.trials.values().all(ended), "{name}");
        let running = model.jobs.values().filter(|job| job.active > 0).count();
        assert_eq!(running, 0, "{name}: no Job runs on");
        assert!(model.plan().actions.is_empty(), "{name}: at rest");
        let mut created = model.created_jobs.clone();
        created.sort();
        created.dedup();
        assert_eq!(created.len(), model.created_jobs.len(), "{name}: no Job is made twice for one attempt");
    }
}

/// The sentences themselves stand in `tests/bad_conditions`.
#[test]
fn what_is_wrong_is_said_before_any_trial_in_both_conditions() {
    let mut model = Model::new(json!({"parameterConstraints": ["y < 5"]}), good);
    model.run();
    assert!(model.trials.is_empty());
    let said = [types::ACCEPTED, types::COMPLETE].map(|r#type| model.condition(r#type));
    assert_eq!(said[0], said[1]);
    assert_eq!((said[0].0.as_str(), said[0].1.as_str()), ("False", "InvalidSearchSpace"));
}

#[test]
fn a_template_that_the_api_server_refuses_is_said_and_may_be_mended() {
    let mut model = Model::new(json!({}), good);
    model.refuse_template = Some("Job is invalid: spec.template: unknown field \"x\"".into());
    model.run();
    assert!(model.trials.is_empty());
    assert_eq!(model.condition(types::ACCEPTED).1, "InvalidTemplate");
    model.refuse_template = None;
    model.edit(&json!({"limits": {"parallelTrials": 3}}));
    model.run();
    assert_eq!(model.condition(types::COMPLETE).1, "MaxTrialsReached");
}

#[test]
fn limits_change_live() {
    let mut model = Model::new(json!({"limits": {"maxTrials": 4}}), good);
    model.run();
    assert_eq!((model.trials.len(), model.condition(types::COMPLETE).0.as_str()), (4, "True"));
    model.edit(&json!({"limits": {"maxTrials": 9}}));
    model.settle(&mut usize::MAX.clone());
    assert_eq!(model.condition(types::COMPLETE).0, "False", "raising maxTrials resumes");
    model.run();
    assert_eq!((model.trials.len(), model.condition(types::COMPLETE).0.as_str()), (9, "True"));
    model.edit(&json!({"limits": {"maxTrials": 5}}));
    model.run();
    assert_eq!((model.trials.len(), model.condition(types::COMPLETE).0.as_str()), (9, "True"));
}

#[test]
fn suspend_lets_running_trials_end() {
    let mut model = Model::new(json!({}), good);
    model.settle(&mut usize::MAX.clone());
    model.edit(&json!({"suspend": true}));
    model.run();
    assert_eq!(model.trials.len(), 2);
    assert_eq!(model.condition(types::SUSPENDED).0, "True");
    assert_eq!(model.condition(types::COMPLETE).1, "Suspended");
    model.edit(&json!({"suspend": false}));
    model.run();
    assert_eq!(model.condition(types::SUSPENDED).0, "False");
    assert_eq!(model.condition(types::COMPLETE).1, "MaxTrialsReached");
}

fn by_hand(name: &str, assignments: &Value) -> Trial {
    serde_json::from_value(json!({
        "apiVersion": "automl.dev/v1alpha1", "kind": "Trial", "metadata": {"name": name, "namespace": "default"},
        "spec": {"experiment": "e", "assignments": assignments},
    }))
    .unwrap()
}

#[test]
fn a_trial_made_by_hand_joins() {
    let mut model =
        Model::new(json!({}), |trial| if trial.spec.index.is_none() { Play::Value(7.0) } else { good(trial) });
    model.settle(&mut usize::MAX.clone());
    model.add(by_hand("mine", &json!({"x": 0.25})));
    model.add(by_hand("wrong", &json!({"x": 4})));
    model.add(by_hand("strange", &json!({"x": true})));
    model.run();
    assert_eq!(ending(&model.trials["mine"]), Some(Ending::Succeeded));
    let (status, reason, message) = model.trial_condition("wrong", types::FAILED);
    assert_eq!((status.as_str(), reason.as_str()), ("True", "InvalidAssignment"), "{message}");
    assert_eq!(
        model.trial_condition("strange", types::FAILED).2,
        "x: true is neither a number nor text; put a word such as true into quotes"
    );
    assert_eq!(model.most_running, 2, "it waits for a slot");
    assert_eq!(model.trials.len(), 9, "it comes on top of maxTrials");
    assert_eq!(model.experiment.status.as_ref().unwrap().best.as_ref().unwrap().trial, "mine");
}

/// A copy of another Trial's YAML takes no place of the operator's own.
#[test]
fn an_index_counts_only_with_its_name() {
    let mut model = Model::new(json!({}), good);
    let mut copy = by_hand("copy", &json!({"x": 0.25}));
    copy.spec.index = Some(900);
    model.add(copy);
    model.run();
    assert_eq!(model.trials.len(), 7, "it comes on top of maxTrials");
    assert_eq!(model.experiment.status.as_ref().unwrap().trials.created, 6);
    assert_eq!(model.condition(types::COMPLETE).1, "MaxTrialsReached");
}

#[test]
fn given_points_come_first() {
    let initial = json!([{"assignments": {"x": 0.125}}, {"assignments": {}}]);
    let mut model = Model::new(json!({"initialTrials": initial, "parameterConstraints": ["x < 0.5"]}), good);
    model.run();
    assert_eq!(x(&model.trials["e-00000"]), 0.125);
}

#[test]
fn a_job_deleted_by_hand_is_made_again_as_another_attempt() {
    let mut model = Model::new(json!({"limits": {"maxTrials": 1, "parallelTrials": 1}}), good);
    model.settle(&mut usize::MAX.clone());
    model.tick();
    model.settle(&mut usize::MAX.clone());
    model.jobs.clear();
    model.run();
    assert_eq!(model.trials["e-00000"].status.as_ref().unwrap().attempt, 1);
    assert_eq!(model.condition(types::COMPLETE).1, "MaxTrialsReached");
}
