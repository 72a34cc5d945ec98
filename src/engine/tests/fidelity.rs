//! Trials that spend different shares of the resource, and go on from others' checkpoints.

use super::by_hand;
use super::model::{Model, Play};
use crate::api::conditions::types;
use crate::api::{Parent, Trial};
use crate::engine::Action;
use serde_json::{Value, json};

/// More epochs are better, and so is a higher x.
fn learns(trial: &Trial) -> Play {
    Play::Value(super::x(trial) + trial.spec.fidelity.unwrap_or(100.0))
}

fn spec(algorithm: &str, change: Value) -> Value {
    let mut spec = json!({
        "algorithm": {"name": algorithm},
        "fidelity": {"parameter": "epochs", "min": 1, "max": 9, "eta": 3},
        "checkpoint": {"volume": {"persistentVolumeClaim": {"claimName": "c"}}},
        "limits": {"maxTrials": 13, "parallelTrials": 2},
        "trialTemplate": {"manifest": {"spec": {"template": {"spec": {"containers": [
            {"name": "train", "image": "i", "command": ["train", "${params.x}", "${params.epochs}", "${trial.checkpointDir}"]},
        ]}}}}},
    });
    json_patch::merge(&mut spec, &change);
    spec
}

fn fidelities(model: &Model) -> Vec<f64> {
    model.trials.values().map(|trial| trial.spec.fidelity.unwrap()).collect()
}

/// The Job that the trial will have.
fn job_of(model: &Model, trial: &str) -> Value {
    let actions = model.plan().actions.into_iter();
    let job = actions.into_iter().find_map(|action| match action {
        Action::CreateJob { trial: of, job } if of == trial => Some(*job),
        _ => None,
    });
    job.unwrap_or_else(|| panic!("{trial} gets no Job"))
}

#[test]
fn the_best_of_a_rung_go_on_from_their_checkpoints() {
    let mut model = Model::new(spec("SuccessiveHalving", json!({})), learns);
    model.run();
    assert_eq!(model.condition(types::COMPLETE).1, "MaxTrialsReached");
    assert_eq!(fidelities(&model), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 9.0]);
    let last = &model.trials["e-00012"].spec;
    let parent = &model.trials[&last.parent.as_ref().unwrap().name];
    assert_eq!(parent.spec.fidelity, Some(3.0));
    assert_eq!(last.parent.as_ref().unwrap().uid, parent.metadata.uid.clone().unwrap());
    assert_eq!(last.assignments, parent.spec.assignments);
    let command = last.manifest.as_ref().unwrap().pointer("/spec/template/spec/containers/0/command").unwrap();
    let directory = "/var/lib/automl.dev/checkpoints/e-00012";
    assert_eq!(command, &json!(["train", last.assignments["x"].to_string(), "9", directory]));
    let best = model.experiment.status.as_ref().unwrap().best.clone().unwrap();
    assert_eq!((best.trial.as_str(), best.fidelity), ("e-00012", Some(9.0)));
}

#[test]
fn the_best_is_one_of_the_highest_fidelity() {
    // Those that are cut short look better.
    let play = |trial: &Trial| Play::Value(super::x(trial) - trial.spec.fidelity.unwrap());
    let mut model = Model::new(spec("SuccessiveHalving", json!({})), play);
    model.pass(4);
    let first = model.experiment.status.as_ref().unwrap().best.clone().unwrap();
    assert_eq!(first.fidelity, Some(1.0));
    model.run();
    let best = model.experiment.status.as_ref().unwrap().best.clone().unwrap();
    assert_eq!((best.trial.as_str(), best.fidelity), ("e-00012", Some(9.0)));
    assert!(best.value < first.value);
    // Also when what was stored is all that is left of it.
    model.remove("e-00012");
    model.edit(&json!({"suspend": true}));
    model.run();
    assert_eq!(model.experiment.status.as_ref().unwrap().best.clone().unwrap().trial, "e-00012");
}

#[test]
fn what_stays_on_a_volume_of_somebody_elses_is_said() {
    let template = json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}}});
    let table = [
        (
            json!({}),
            Some(
                "its checkpoints stay on PersistentVolumeClaim c, in the folder e-UID (metadata.uid), until somebody deletes it",
            ),
        ),
        (
            json!({"checkpoint": {"volume": {"persistentVolumeClaim": null, "nfs": {"server": "n", "path": "/"}}}}),
            Some("on the volume of spec.checkpoint"),
        ),
        (json!({"checkpoint": {"volume": {"persistentVolumeClaim": null, "emptyDir": {}}}}), None),
        (json!({"checkpoint": {"volume": null, "volumeClaimTemplate": template}}), None),
    ];
    for (change, said) in table {
        for laptop in [false, true] {
            let mut model = Model::new(spec("ASHA", change.clone()), learns);
            model.settings.checkpoints = laptop.then(|| "/state/checkpoints".into());
            model.run();
            let (status, _, message) = model.condition(types::COMPLETE);
            assert_eq!(status, "True", "{message}");
            assert_eq!(message.contains("checkpoints"), said.is_some() && !laptop, "{message}");
            assert!(laptop || message.contains(said.unwrap_or("all 13 trials have ended")), "{message}");
            // Said once, also after an edit that changes nothing of it.
            model.edit(&json!({"suspend": true}));
            model.run();
            assert_eq!(model.condition(types::COMPLETE).2, message);
        }
    }
}

#[test]
fn other_algorithms_give_each_trial_the_whole() {
    let mut model = Model::new(spec("TPE", json!({"limits": {"maxTrials": 3}})), learns);
    model.run();
    assert_eq!(fidelities(&model), [9.0; 3]);
    assert!(model.trials.values().all(|trial| trial.spec.parent.is_none()));
}

#[test]
fn given_points_begin_as_others_do() {
    let initial: Vec<Value> = (0..12).map(|at| json!({"assignments": {"x": f64::from(at) / 100.0}})).collect();
    for (algorithm, first) in [("Hyperband", 1.0), ("ASHA", 1.0), ("TPE", 9.0)] {
        let mut model = Model::new(spec(algorithm, json!({"initialTrials": initial.clone()})), learns);
        model.run();
        let trials: Vec<_> = model.trials.values().take(12).map(|trial| &trial.spec).collect();
        assert_eq!(trials[0].fidelity, Some(first), "{algorithm}");
        assert!(trials.iter().all(|trial| trial.parent.is_none()), "{algorithm}");
        assert!(trials.iter().enumerate().all(|(at, t)| t.assignments["x"].as_f64() == Some(at as f64 / 100.0)));
    }
}

#[test]
fn an_interruption_anywhere_changes_nothing() {
    let end = |model: &Model| -> Vec<Value> {
        let trials = model.trials.values();
        trials.map(|t| json!([t.spec.assignments, t.spec.fidelity, t.spec.parent.as_ref().map(|p| &p.name)])).collect()
    };
    for algorithm in ["Hyperband", "ASHA"] {
        let spec = || spec(algorithm, json!({"limits": {"maxTrials": 22, "parallelTrials": 1}}));
        let mut undisturbed = Model::new(spec(), learns);
        undisturbed.run();
        for fuel in (0..120).step_by(7) {
            let mut model = Model::new(spec(), learns);
            for _ in 0..40 {
                model.settle(&mut fuel.clone());
                model.restart();
                model.pass(1);
            }
            model.run();
            assert_eq!(end(&model), end(&undisturbed), "{algorithm}, interrupted after {fuel}");
        }
    }
}

#[test]
fn a_trial_made_by_hand_may_say_what_it_spends_and_goes_on_from() {
    let mut model = Model::new(spec("Hyperband", json!({})), learns);
    model.settle(&mut usize::MAX.clone());
    let mut mine = by_hand("mine", &json!({"x": 0.5}));
    mine.spec.fidelity = Some(3.0);
    mine.spec.parent = Some(Parent { name: "e-00000".into(), uid: String::new() });
    model.add(mine);
    let mut wrong = by_hand("wrong", &json!({"x": 0.5}));
    wrong.spec.fidelity = Some(10.0);
    model.add(wrong);
    let mut circle = by_hand("circle", &json!({"x": 0.5}));
    circle.spec.parent = Some(Parent { name: "circle".into(), uid: String::new() });
    model.add(circle);
    let said = |model: &Model, trial: &str| model.trial_condition(trial, types::FAILED).2;
    model.run();
    assert_eq!(said(&model, "wrong"), "fidelity: 10 is outside 1 to 9");
    assert_eq!(said(&model, "circle"), "parent: a Trial cannot go on from itself; name another one");
    assert_eq!(model.trials["mine"].status.as_ref().unwrap().objective, Some(3.5));
    let mut without = Model::new(json!({}), super::good);
    let mut mine = by_hand("mine", &json!({"x": 0.5}));
    mine.spec.fidelity = Some(3.0);
    without.add(mine);
    without.run();
    assert!(said(&without, "mine").starts_with("fidelity: the Experiment has no spec.fidelity"));
}

/// What the agent of this trial will be told to keep; action by action, until the trial is there and its Job is not.
fn kept(model: &mut Model, trial: &str) -> Value {
    for _ in 0..1000 {
        match model.trials.contains_key(trial) {
            true => break,
            false if model.plan().actions.is_empty() => model.tick(),
            false => model.settle(&mut 1),
        }
    }
    let job = job_of(model, trial);
    let variables = job.pointer("/spec/template/spec/containers/0/env").unwrap().as_array().unwrap();
    let told = variables.iter().find(|variable| variable["name"] == "AUTOML_CHECKPOINT").unwrap();
    serde_json::from_str::<Value>(told["value"].as_str().unwrap()).unwrap()["keep"].clone()
}

/// The first bracket waits for its first trial; the fourth trial, the worst, is of the second, which is not whole.
#[test]
fn what_a_bracket_to_come_may_need_is_kept() {
    let play = |trial: &Trial| match trial.spec.index {
        Some(0) => Play::Forever,
        Some(3) => Play::Value(-1.0),
        _ => learns(trial),
    };
    let halving = json!({"algorithm": {"settings": {"trials": 3, "overlap": true}}, "limits": {"parallelTrials": 3}});
    let mut model = Model::new(spec("SuccessiveHalving", halving), play);
    let kept = kept(&mut model, "e-00005");
    for trial in ["e-00001", "e-00002", "e-00003"] {
        assert!(super::ended(&model.trials[trial]), "{trial}");
        let index = model.trials[trial].spec.index.unwrap();
        assert!(kept.as_array().unwrap().contains(&json!(index)), "{trial} is not among {kept}");
    }
}

#[test]
fn agents_are_told_which_checkpoints_are_kept() {
    // Nothing goes on from a trial of TPE: the best's is kept, and what runs.
    let mut model =
        Model::new(spec("TPE", json!({"limits": {"maxTrials": 5, "parallelTrials": 1}})), |_| Play::Value(1.0));
    let mut seen = Vec::new();
    for trial in ["e-00000", "e-00001", "e-00002", "e-00003"] {
        seen.push(kept(&mut model, trial));
    }
    assert_eq!(seen, [json!([0]), json!([0, 1]), json!([0, 2]), json!([0, 3])]);
}

#[test]
fn a_folder_of_this_machine_takes_the_volumes_place() {
    let mut model = Model::new(spec("Hyperband", json!({})), learns);
    model.settings.checkpoints = Some("/state/checkpoints".into());
    while !model.trials.contains_key("e-00000") {
        model.settle(&mut 1);
    }
    let job = job_of(&model, "e-00000");
    let volumes = job.pointer("/spec/template/spec/volumes").unwrap().as_array().unwrap();
    let volume = volumes.iter().find(|volume| volume["name"] == "automl-checkpoints").unwrap();
    assert_eq!(volume["hostPath"], json!({"path": "/state/checkpoints", "type": "DirectoryOrCreate"}));
    assert!(volume.get("persistentVolumeClaim").is_none());
}

/// The spec with a claim to be made.
fn with_claim(change: Value) -> Value {
    let template = json!({
        "metadata": {"labels": {"team": "a", "automl.dev/experiment": "other"}, "annotations": {"backup": "no"}},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    let mut spec = spec("ASHA", json!({"checkpoint": {"volume": null, "volumeClaimTemplate": template}}));
    json_patch::merge(&mut spec, &change);
    spec
}

#[test]
fn a_claim_is_made_before_the_first_trial_and_once() {
    let mut model = Model::new(with_claim(json!({"limits": {"maxTrials": 3, "parallelTrials": 1}})), learns);
    while model.trials.is_empty() {
        assert!(model.claims.len() <= 1);
        model.settle(&mut 1);
    }
    let [claim] = model.claims.as_slice() else { panic!("{:?}", model.claims) };
    let expected = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "e-checkpoints", "namespace": "default",
            "labels": {
                "team": "a", "automl.dev/experiment": "e", "automl.dev/experiment-uid": "e-uid",
                "app.kubernetes.io/managed-by": "automl-operator",
            },
            "annotations": {"backup": "no"},
            "ownerReferences": [{
                "apiVersion": "automl.dev/v1alpha1", "kind": "Experiment", "name": "e", "uid": "e-uid",
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    assert_eq!(claim, &expected);
    let job = job_of(&model, "e-00000");
    let volumes = job.pointer("/spec/template/spec/volumes").unwrap().as_array().unwrap();
    let volume = volumes.iter().find(|volume| volume["name"] == "automl-checkpoints").unwrap();
    assert_eq!(volume["persistentVolumeClaim"], json!({"claimName": "e-checkpoints"}));
    model.run();
    assert_eq!(model.condition(types::COMPLETE).1, "MaxTrialsReached");
    assert_eq!(model.claims.len(), 1);
}

#[test]
fn a_claim_that_was_lost_is_made_anew_while_a_trial_waits_for_it() {
    let mut model = Model::new(with_claim(json!({"limits": {"maxTrials": 3}})), |_| Play::Pending);
    model.pass(50);
    assert_eq!(model.claims.len(), 1);
    model.pass(600);
    // Not at each of the plans.
    assert!((2..=12).contains(&model.claims.len()), "{}", model.claims.len());
}

#[test]
fn no_claim_is_made_where_there_is_a_folder_or_nothing_is_to_run() {
    for (change, folder) in [(json!({}), true), (json!({"suspend": true}), false)] {
        let mut model = Model::new(with_claim(change), learns);
        model.settings.checkpoints = folder.then(|| "/state/checkpoints".into());
        for _ in 0..5 {
            model.settle(&mut usize::MAX.clone());
        }
        assert_eq!(model.claims, [] as [Value; 0]);
    }
}
