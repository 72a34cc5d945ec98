//! What belongs to others: it is left alone, told of, and holds up nothing else.

use super::model::{Model, Play};
use super::{by_hand, good};
use crate::api::Trial;
use crate::api::conditions::types;
use crate::engine::{JobCondition, JobView};
use serde_json::{Value, json};

fn calm() -> usize {
    usize::MAX
}

/// A Trial made by hand, changed by a merge patch.
fn stranger(name: &str, change: &Value) -> Trial {
    let mut trial = serde_json::to_value(by_hand(name, &json!({"x": 0.25}))).unwrap();
    json_patch::merge(&mut trial, change);
    serde_json::from_value(trial).unwrap()
}

#[test]
fn only_jobs_that_a_trial_owns_and_that_are_called_so_are_deleted() {
    let table = [
        ("debug-1", "", "a copy without its owner"),
        ("debug-1", "uid-of-e-00000", "a copy under a name of its own"),
        ("e-00000-1", "", "a name like another attempt's"),
        ("e-00000-1", "uid-of-another", "of another owner"),
    ];
    for (name, owner, what) in table {
        let mut model = Model::new(json!({"limits": {"maxTrials": 2}}), good);
        model.run();
        let end = JobCondition { r#type: "Complete".into(), ..JobCondition::default() };
        let copy = JobView {
            name: name.into(),
            uid: "copy".into(),
            resource_version: "900".into(),
            trial: "e-00000".into(),
            owner_uid: owner.into(),
            conditions: vec![end],
            ..JobView::default()
        };
        model.jobs.insert(name.into(), copy);
        model.run();
        assert!(model.jobs.contains_key(name), "{what}");
    }
}

#[test]
fn an_attempt_of_any_number_costs_nothing() {
    let mut model = Model::new(json!({"limits": {"maxTrials": 1, "parallelTrials": 1}}), good);
    model.settle(&mut calm());
    let trial = model.trials.get_mut("e-00000").unwrap();
    trial.status.get_or_insert_default().attempt = u32::MAX;
    model.run();
    assert_eq!(model.condition(types::COMPLETE).0, "True");
}

#[test]
fn a_taken_name_is_told_and_the_experiment_goes_on_once_it_is_free() {
    let mut model = Model::new(json!({}), good);
    model.add(by_hand("e-00002", &json!({"x": 0.25})));
    model.run();
    assert_eq!(model.trials.len(), 3, "the two before it, and the one in the way");
    let expected = ("False".into(), "NameTaken".into(), "cannot create Trial e-00002: it exists".into());
    assert_eq!(model.condition(types::COMPLETE), expected);
    model.remove("e-00002");
    model.run();
    assert_eq!(model.condition(types::COMPLETE).1, "MaxTrialsReached");
    assert_eq!(model.trials.len(), 6);
}

#[test]
fn a_trial_that_cannot_be_adopted_says_so_and_holds_up_nothing() {
    let workflow =
        json!({"apiVersion": "argoproj.io/v1", "kind": "Workflow", "name": "w", "uid": "w", "controller": true});
    let table = [
        ("mine", json!({"metadata": {"ownerReferences": [workflow]}}), "Workflow w controls this Trial"),
        ("e-00900", json!({"spec": {"index": 900}}), "it is called as one of the operator's own"),
    ];
    for (name, change, sentence) in table {
        let mut model = Model::new(json!({}), good);
        model.add(stranger(name, &change));
        model.settle(&mut calm());
        let (status, reason, message) = model.trial_condition(name, types::COMPLETE);
        assert_eq!((status.as_str(), reason.as_str()), ("False", "NotAdopted"), "{message}");
        assert!(message.contains(sentence), "{message}");
        model.run();
        assert!(!model.created_jobs.iter().any(|job| job.contains(name)), "{change}");
        assert_eq!(model.condition(types::COMPLETE).1, "MaxTrialsReached", "{change}");
        let trials = model.experiment.status.as_ref().unwrap().trials;
        assert_eq!((trials.created, trials.succeeded, trials.pending), (6, 6, 0), "{change}");
    }
}

#[test]
fn a_copied_trial_with_an_index_is_one_made_by_hand() {
    let experiment = json!({
        "apiVersion": "automl.dev/v1alpha1", "kind": "Experiment", "name": "e", "uid": "e-uid", "controller": true,
    });
    let mut model =
        Model::new(json!({}), |trial| if trial.spec.index == Some(3) { Play::Value(3.0) } else { good(trial) });
    model.add(stranger("copy", &json!({"metadata": {"ownerReferences": [experiment]}, "spec": {"index": 3}})));
    model.run();
    assert_eq!(model.trials.len(), 7, "it comes on top");
    let status = model.experiment.status.as_ref().unwrap();
    assert_eq!((status.trials.created, status.trials.succeeded), (6, 7));
}

#[test]
fn an_experiment_of_another_system_is_none_of_ours() {
    let katib =
        json!({"apiVersion": "kubeflow.org/v1", "kind": "Experiment", "name": "e", "uid": "k", "controller": true});
    let mut model = Model::new(json!({"limits": {"maxTrials": 1}}), good);
    model.add(stranger("theirs", &json!({"metadata": {"ownerReferences": [katib]}})));
    model.run();
    assert!(!model.jobs.keys().any(|job| job.starts_with("theirs")), "{:?}", model.jobs.keys());
    let conditions = &model.trials["theirs"].status.as_ref().unwrap().conditions;
    assert_eq!(conditions[0].reason, "NotAdopted");
}
