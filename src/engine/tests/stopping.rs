//! Rules that stop running trials early.

use super::model::{Model, Play};
use super::x;
use crate::api::conditions::types;
use crate::api::{Experiment, Trial, TrialStatus};
use crate::engine::ending::{Ending, ending};
use crate::engine::{Ledger, Past, compile};
use crate::metrics::{MetricSummary, Observation};
use crate::{stopping, tuner};
use kube::CustomResourceExt;
use serde_json::{Value, json};
use std::sync::Arc;

/// Says its parameter's value for ever.
fn endless(trial: &Trial) -> Play {
    Play::Endless(x(trial))
}

fn rule(name: &str, settings: &Value) -> Value {
    json!({"earlyStopping": [{"name": name, "settings": settings}], "limits": {"maxTrials": 6, "parallelTrials": 2}})
}

#[test]
fn the_schema_names_all_algorithms_and_rules() {
    let crd = serde_json::to_value(Experiment::crd()).unwrap();
    let names = |path: &str| -> Vec<String> {
        let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        serde_json::from_value(spec.pointer(path).unwrap().clone()).unwrap()
    };
    let algorithms: Vec<&str> = tuner::ALGORITHMS.iter().map(|algorithm| algorithm.name).collect();
    assert_eq!(names("/algorithm/properties/name/enum"), algorithms);
    let rules: Vec<&str> = stopping::RULES.iter().map(|(name, _)| *name).collect();
    assert_eq!(names("/earlyStopping/items/properties/name/enum"), rules);
}

/// Both for the API server, which writes it down, and for who reads a file.
#[test]
fn a_rule_without_a_name_is_auto() {
    let crd = serde_json::to_value(Experiment::crd()).unwrap();
    let item = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/earlyStopping/items";
    assert_eq!(crd.pointer(&format!("{item}/properties/name/default")), Some(&json!("Auto")));
    assert_eq!(crd.pointer(&format!("{item}/required")), None);
    // Nobody comes to an end, so the place among the others decides.
    let spec = json!({"earlyStopping": [{}], "limits": {"maxTrials": 9, "parallelTrials": 9}});
    let mut model = Model::new(spec, endless);
    model.pass(60);
    let stopped = model.trials.values().filter(|trial| ending(trial) == Some(Ending::EarlyStopped));
    let reasons: Vec<String> =
        stopped.map(|trial| model.trial_condition(trial.metadata.name.as_ref().unwrap(), types::COMPLETE).2).collect();
    assert!(
        !reasons.is_empty() && reasons.iter().all(|reason| reason.starts_with("stopped: Auto: step ")),
        "{reasons:?}"
    );
}

#[test]
fn a_stopped_trial_counts_with_what_it_has() {
    let mut model = Model::new(rule("Patience", &json!({"steps": 5})), endless);
    model.run();
    assert_eq!(model.condition(types::COMPLETE).1, "MaxTrialsReached");
    let status = model.experiment.status.clone().unwrap();
    assert_eq!((status.trials.early_stopped, status.trials.failed), (6, 0));
    assert!(model.jobs.is_empty(), "what was stopped does not run on");
    for trial in model.trials.values() {
        let (_, reason, message) = model.trial_condition(trial.metadata.name.as_ref().unwrap(), types::COMPLETE);
        let value = trial.status.as_ref().unwrap().objective.unwrap();
        assert_eq!((ending(trial), reason.as_str()), (Some(Ending::EarlyStopped), "EarlyStopped"));
        assert!(message.starts_with("stopped: Patience: step 6: not better than "), "{message}");
        assert_eq!(value, x(trial));
    }
    let best = model.trials.values().map(x).fold(f64::MIN, f64::max);
    assert_eq!(status.best.unwrap().value, best);
}

#[test]
fn the_first_rule_that_wants_to_stop_a_trial_does() {
    let mut model = Model::new(
        json!({"earlyStopping": [
            {"name": "Patience", "settings": {"steps": 4}},
            {"name": "Threshold", "settings": {"bound": 0.5}},
        ]}),
        endless,
    );
    model.run();
    for trial in model.trials.values() {
        let message = model.trial_condition(trial.metadata.name.as_ref().unwrap(), types::COMPLETE).2;
        let expected = if x(trial) < 0.5 { "stopped: Threshold: step 1:" } else { "stopped: Patience: step 5:" };
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn rules_may_change_while_trials_run() {
    let mut model = Model::new(json!({"limits": {"maxTrials": 2, "parallelTrials": 2}}), endless);
    model.pass(30);
    assert_eq!(model.jobs.len(), 2);
    model.edit(&json!({"earlyStopping": [{"name": "Patience", "settings": {"steps": 100}}]}));
    model.pass(30);
    assert_eq!(model.jobs.len(), 2);
    model.edit(&json!({"earlyStopping": [{"name": "Patience", "settings": {"steps": 10}}]}));
    model.pass(1);
    assert_eq!(model.condition(types::COMPLETE).1, "MaxTrialsReached");
}

/// A ledger that goes on from plan to plan, as the operator's does, and not one that is made anew each time.
#[test]
fn rules_that_are_added_know_the_trials_that_have_ended() {
    let mut model = Model::new(json!({}), super::good);
    model.run();
    let mut running = model.trials["e-00005"].clone();
    running.metadata.name = Some("e-00006".into());
    running.metadata.uid = Some("uid-of-e-00006".into());
    running.spec.index = Some(6);
    running.status = Some(TrialStatus { metrics: vec![MetricSummary::new("accuracy")], ..TrialStatus::default() });
    let worst = Observation { metric: "accuracy".into(), step: None, value: -1.0, time: model.now };
    running.status.as_mut().unwrap().metrics[0].observe(&worst);
    let without = model.experiment.clone();
    model.edit(&json!({"earlyStopping": [{"name": "Median"}]}));
    let with = model.experiment.clone();
    let trials = || model.trials.values().cloned().chain([running.clone()]).map(Arc::new);
    let judge = |ledger: &mut Ledger, experiment: &Experiment| {
        let compiled = compile(experiment).unwrap_or_else(|problem| panic!("{problem:?}"));
        ledger.prepare(&experiment.spec, Some(&compiled));
        ledger.judge(&experiment.spec, &compiled);
        ledger.jury().decision("e-00006").map(|decision| decision.reason.clone())
    };
    let mut ledger = Ledger::default();
    assert_eq!(judge(&mut ledger, &without), None);
    trials().for_each(|trial| ledger.upsert_trial(trial));
    assert_eq!(judge(&mut ledger, &without), None);
    let curves = || model.trials.values().filter_map(|trial| Past::of(trial, "accuracy")).collect::<Vec<_>>();
    for _ in 0..2 {
        assert_eq!(judge(&mut ledger, &with), None);
        assert!(ledger.lacks_curves(), "nobody is judged by half of what is known");
    }
    // What was deleted meanwhile is none of them.
    ["e-00000", "e-00001"].into_iter().for_each(|name| ledger.remove_trial(name));
    ledger.recall_curves(curves());
    assert!(!ledger.lacks_curves());
    assert_eq!(judge(&mut ledger, &with), None, "four others are too few");
    trials().for_each(|trial| ledger.upsert_trial(trial));
    let decided = judge(&mut ledger, &with).unwrap();
    assert!(decided.contains("of 6 trials"), "{decided}");
    let mut anew = Ledger::default();
    trials().for_each(|trial| anew.upsert_trial(trial));
    assert_eq!(judge(&mut anew, &with), Some(decided.clone()), "as after a restart");
    // Also when the experiment was opened again after its end.
    ledger.adjourn();
    assert_eq!(judge(&mut ledger, &with), None);
    ledger.recall_curves(curves());
    assert_eq!(judge(&mut ledger, &with), Some(decided));
}

#[test]
fn a_program_that_has_ended_is_left_to_its_end() {
    let mut model = Model::new(rule("Threshold", &json!({"bound": 0.9})), |_| Play::Lingers(0));
    model.still_running = vec!["train".into()];
    model.pass(60);
    assert_eq!(model.jobs.len(), 2, "its Job is about to end");
    let mut model = Model::new(rule("Threshold", &json!({"bound": 0.9})), |_| Play::Value(0.5));
    model.run();
    assert_eq!(model.experiment.status.as_ref().unwrap().trials.succeeded, 6);
}

#[test]
fn what_is_wrong_with_a_rule_is_said() {
    let mut model = Model::new(rule("Median", &json!({"minTrials": 0, "warmup": 3})), endless);
    model.settle(&mut usize::MAX.clone());
    let (status, reason, message) = model.condition(types::ACCEPTED);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "InvalidEarlyStopping"));
    assert!(
        message.contains("earlyStopping[0].settings.minTrials: is 0; write a whole number from 1 to "),
        "{message}"
    );
    assert!(message.contains("earlyStopping[0].settings.warmup: is no setting of Median; there are "), "{message}");
}

#[test]
fn what_was_saved_is_estimated_by_the_trials_that_ran_to_their_end() {
    let mut model = Model::new(
        json!({"limits": {"maxTrials": 4, "parallelTrials": 1}, "trialTemplate": {"manifest": {"spec": {"template": {"spec": {
            "containers": [{"name": "train", "image": "i", "command": ["train"], "resources": {"limits": {"nvidia.com/gpu": 2}}}],
        }}}}}}),
        |trial| if trial.spec.index == Some(0) { Play::Value(0.5) } else { endless(trial) },
    );
    model.pass(3);
    // As if the first had taken 40 steps.
    let first = model.trials.get_mut("e-00000").unwrap();
    for point in &mut first.status.as_mut().unwrap().metrics[0].curve.points {
        point.step = 40;
    }
    model.edit(&json!({"earlyStopping": [{"name": "Patience", "settings": {"steps": 9}}]}));
    model.run();
    let usage = model.trials["e-00001"].status.as_ref().unwrap().usage;
    assert!((9..=11).contains(&usage.seconds), "ten steps of a second each: {usage:?}");
    assert_eq!(usage.gpu_seconds, 2 * usage.seconds);
    assert_eq!((usage.saved_seconds, usage.saved_gpu_seconds), (3 * usage.seconds, 6 * usage.seconds), "{usage:?}");
    let sum = model.trials.values().map(|trial| trial.status.as_ref().unwrap().usage).reduce(crate::api::Usage::plus);
    assert_eq!(Some(model.experiment.status.as_ref().unwrap().usage), sum);
}

#[test]
fn the_page_names_every_rule_and_its_settings() {
    let page = include_str!("../../../docs/early-stopping.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut named = Vec::new();
    for row in rows {
        let (name, rest) = row.split_once("` | ").unwrap();
        let (settings, _) = rest.split_once(" | ").unwrap();
        let settings = settings.split(", ").map(|setting| {
            let setting = setting.trim_matches('`');
            let needed = setting.strip_suffix("` (needed)").map(|name| (name, json!(0.5)));
            let (name, value) = needed.unwrap_or_else(|| {
                let (name, default) = setting.split_once(": ").unwrap();
                (name, serde_json::from_str(default).unwrap())
            });
            (name.to_owned(), value)
        });
        if let Err(errors) = stopping::build(name, &settings.collect()) {
            panic!("{name}: {errors:?}");
        }
        named.push(name);
    }
    let mut known: Vec<&str> = stopping::RULES.iter().map(|(name, _)| *name).collect();
    named.sort_unstable();
    known.sort_unstable();
    assert_eq!(named, known);
}
