//! Limits of time and number, and what editing them does.

use super::model::{Model, Play};
use super::{by_hand, ended, good, x};
use crate::api::conditions::{find, types};
use crate::engine::JobCondition;
use crate::engine::ending::{Ending, ending};
use jiff::SignedDuration;
use serde_json::{Value, json};

/// The Experiment has ended for this reason.
fn assert_end(model: &Model, r#type: &str, reason: &str, what: &str) {
    let (status, found, message) = model.condition(r#type);
    assert_eq!((status.as_str(), found.as_str()), ("True", reason), "{what}: {message}");
}

#[test]
fn the_time_of_max_duration_runs_only_while_there_is_work() {
    type Story = fn(&mut Model);
    let table: [(&str, Story, i64); 5] = [
        ("left alone", |_| {}, 0),
        (
            "suspended for an hour",
            |model| {
                model.edit(&json!({"suspend": true}));
                model.pass(3600);
                model.edit(&json!({"suspend": false}));
            },
            3600,
        ),
        (
            "not accepted for an hour",
            |model| {
                model.edit(&json!({"trialTemplate": {"primaryContainer": "tarin"}}));
                model.pass(3600);
                model.edit(&json!({"trialTemplate": {"primaryContainer": "train"}}));
            },
            3600,
        ),
        (
            "the machine was down for an hour",
            |model| {
                let from = model.now;
                model.now += SignedDuration::from_hours(1);
                model.settings.away = Some((from, model.now));
            },
            3600,
        ),
        ("its memory was lost", Model::restart, 0),
    ];
    for (name, story, stood_still) in table {
        let spec = json!({"limits": {"maxTrials": 500, "maxDuration": "100s"}});
        let mut model = Model::new(spec, |trial| if x(trial) < 0.8 { Play::Endless(1.0) } else { good(trial) });
        let begin = model.now;
        model.pass(40);
        story(&mut model);
        while model.condition(types::COMPLETE).0 != "True" && model.now.duration_since(begin).as_secs() < 9000 {
            model.pass(1);
        }
        assert_end(&model, types::COMPLETE, "MaxDurationReached", name);
        let took = model.now.duration_since(begin).as_secs() - stood_still;
        assert!((100..=105).contains(&took), "{name}: {took} s");
    }
}

#[test]
fn an_experiment_that_ended_in_time_can_be_resumed_after_its_time() {
    let mut model = Model::new(json!({"limits": {"maxTrials": 4, "maxDuration": "60s"}}), good);
    model.run();
    assert_end(&model, types::COMPLETE, "MaxTrialsReached", "first");
    model.edit(&json!({"limits": {"maxTrials": 8}}));
    model.run();
    assert_end(&model, types::COMPLETE, "MaxTrialsReached", "resumed");
    assert_eq!(model.trials.len(), 8);
}

#[test]
fn max_trial_duration_counts_from_when_the_trial_runs_and_can_be_changed() {
    let table: [(&str, fn(&crate::api::Trial) -> Play, Option<Ending>, &str); 4] = [
        ("it waits for a node", |_| Play::Pending, None, "Pending"),
        ("it reports", |_| Play::Endless(0.5), Some(Ending::EarlyStopped), "MaxTrialDurationReached"),
        ("it says nothing", |_| Play::Forever, Some(Ending::Failed), "MaxTrialDurationReached"),
        ("it stalls", |_| Play::Stalls, Some(Ending::Failed), "MaxTrialDurationReached"),
    ];
    for (name, play, expected, reason) in table {
        for edited in [false, true] {
            let limit = if edited { "24h" } else { "30s" };
            let spec = json!({"limits": {"maxTrials": 1, "parallelTrials": 1, "maxTrialDuration": limit}});
            let mut model = Model::new(spec, play);
            model.pass(60);
            if edited {
                assert_eq!(ending(&model.trials["e-00000"]), None, "{name}");
                model.edit(&json!({"limits": {"maxTrialDuration": "30s"}}));
                model.pass(10);
            }
            let (_, found, message) = model.trial_condition("e-00000", types::COMPLETE);
            assert_eq!((ending(&model.trials["e-00000"]), found.as_str()), (expected, reason), "{name}: {message}");
            if expected.is_some() {
                assert!(model.jobs.values().all(|job| job.active == 0), "{name}: its Job is gone");
            }
        }
    }
}

#[test]
fn an_end_stands_until_a_limit_that_made_it_is_changed() {
    let minimum = json!({"objectives": [{"metric": "accuracy", "direction": "Maximize", "goal": 0.0}]});
    let table: [(&str, Value, fn(&crate::api::Trial) -> Play, Value, bool); 10] = [
        ("retain", json!({}), good, json!({"trialTemplate": {"retain": "Always"}}), true),
        ("fewer trials", json!({}), good, json!({"limits": {"maxTrials": 5}}), true),
        ("more trials", json!({}), good, json!({"limits": {"maxTrials": 8}}), false),
        ("the template breaks", json!({}), good, json!({"trialTemplate": {"primaryContainer": "tarin"}}), true),
        (
            "more trials, but the template breaks",
            json!({}),
            good,
            json!({"limits": {"maxTrials": 8}, "trialTemplate": {"primaryContainer": "tarin"}}),
            true,
        ),
        ("the goal is reached", minimum, good, json!({"limits": {"maxTrials": 8}}), true),
        (
            "too many failures",
            json!({"limits": {"maxFailedTrials": 1}}),
            |_| Play::Fail,
            json!({"limits": {"maxTrials": 8}}),
            true,
        ),
        (
            "more failures allowed",
            json!({"limits": {"maxFailedTrials": 1}}),
            |_| Play::Fail,
            json!({"limits": {"maxFailedTrials": 3}}),
            false,
        ),
        (
            "time is up",
            json!({"limits": {"maxDuration": "20s"}}),
            |_| Play::Endless(0.5),
            json!({"limits": {"maxDuration": "1h"}}),
            false,
        ),
        (
            "the space is used up",
            json!({"parameters": [{"name": "x", "int": {"min": 1, "max": 3}}], "algorithm": {"name": "Grid"}}),
            good,
            json!({"limits": {"maxTrials": 8}}),
            true,
        ),
    ];
    for (name, spec, play, edit, stands) in table {
        let mut model = Model::new(spec, play);
        model.run();
        let before = model.experiment.status.clone().unwrap();
        model.edit(&edit);
        let mut changed = false;
        for _ in 0..1000 {
            let actions = model.plan().actions;
            if actions.is_empty() {
                break;
            }
            model.settle(&mut 1);
            let now = model.experiment.status.as_ref().unwrap();
            let ends = |status: &crate::api::ExperimentStatus| {
                let ends = status.conditions.iter().filter(|c| c.r#type == "Complete" || c.r#type == "Failed");
                ends.map(|c| (c.status.clone(), c.reason.clone(), c.last_transition_time)).collect::<Vec<_>>()
            };
            changed |= ends(now) != ends(&before) || now.completion_time != before.completion_time;
        }
        assert_eq!(changed, !stands, "{name}");
    }
}

#[test]
fn an_end_is_not_taken_back_before_the_new_template_is_tried_out() {
    let mut model = Model::new(json!({}), good);
    model.run();
    model.refuse_template = Some("no".into());
    model.edit(&json!({"limits": {"maxTrials": 8}}));
    model.run();
    assert_end(&model, types::COMPLETE, "MaxTrialsReached", "it stands");
    assert_eq!(model.condition(types::ACCEPTED).0, "False");
    model.refuse_template = None;
    model.restart();
    model.run();
    assert_end(&model, types::COMPLETE, "MaxTrialsReached", "resumed");
    assert_eq!(model.trials.len(), 8);
}

#[test]
fn a_suspended_experiment_ends_when_all_its_trials_have() {
    let mut model = Model::new(json!({}), good);
    while model.trials.len() < 6 {
        model.pass(1);
    }
    model.edit(&json!({"suspend": true}));
    model.run();
    assert_end(&model, types::COMPLETE, "MaxTrialsReached", "nothing is left to do");
}

#[test]
fn goal_and_time_hold_while_the_spec_cannot_be_run() {
    let broken = json!({"trialTemplate": {"primaryContainer": "tarin"}});
    let mut model = Model::new(
        json!({"objectives": [{"metric": "accuracy", "direction": "Maximize", "goal": 0.0}], "limits": {"maxTrials": 2}}),
        good,
    );
    model.settle(&mut usize::MAX.clone());
    model.edit(&broken);
    model.restart();
    model.run();
    assert!(model.trials.values().all(ended), "what ran is judged");
    assert_end(&model, types::COMPLETE, "GoalReached", "the goal");
    let best = model.experiment.status.as_ref().unwrap().best.clone().unwrap();
    assert_eq!(best.value, model.trials.values().map(x).fold(f64::MIN, f64::max));
}

#[test]
fn what_starts_while_the_spec_cannot_be_run_says_why_it_does_not() {
    let mut model = Model::new(json!({"trialTemplate": {"primaryContainer": "tarin"}}), good);
    model.add(by_hand("mine", &json!({"x": 0.5})));
    model.run();
    let (status, reason, message) = model.trial_condition("mine", types::COMPLETE);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "ExperimentNotAccepted"));
    assert!(message.contains("there is no container"), "{message}");
    assert!(model.plan().actions.is_empty(), "said once");
}

#[test]
fn deleting_ended_trials_changes_neither_the_budget_nor_the_incumbent() {
    let play = |trial: &crate::api::Trial| if x(trial) < 0.5 { Play::Fail } else { good(trial) };
    let mut model = Model::new(json!({"limits": {"maxTrials": 40, "maxFailedTrials": 4, "parallelTrials": 1}}), play);
    let mut best = f64::MIN;
    for _ in 0..200 {
        let gone: Vec<String> =
            model.trials.iter().filter(|(_, trial)| ended(trial)).map(|(name, _)| name.clone()).collect();
        // Until it is stored that they have ended.
        model.pass(2);
        for name in gone {
            best = best.max(model.trials[&name].status.as_ref().unwrap().objective.unwrap_or(f64::MIN));
            if ending(&model.trials[&name]) != Some(Ending::Failed) {
                model.remove(&name);
            }
        }
    }
    assert_end(&model, types::FAILED, "MaxFailedTrialsExceeded", "five have failed");
    let failed: Vec<String> = model.trials.keys().cloned().collect();
    failed.iter().for_each(|name| model.remove(name));
    model.edit(&json!({"limits": {"maxTrials": 39}}));
    model.run();
    assert_end(&model, types::FAILED, "MaxFailedTrialsExceeded", "they still have");
    assert_eq!(model.experiment.status.as_ref().unwrap().best.as_ref().unwrap().value, best);
}

#[test]
fn lowering_max_trials_makes_no_failure_of_what_was_none() {
    let play = |trial: &crate::api::Trial| {
        if trial.spec.index.is_some_and(|index| index < 5) { Play::Fail } else { good(trial) }
    };
    let mut model = Model::new(json!({"limits": {"maxTrials": 100, "parallelTrials": 5}}), play);
    while model.trials.len() < 10 {
        model.pass(1);
    }
    model.edit(&json!({"limits": {"maxTrials": 20}}));
    model.run();
    assert_end(&model, types::COMPLETE, "MaxTrialsReached", "five of a hundred may fail");
}

#[test]
fn gpu_hours_are_counted_while_trials_run() {
    // Two trials with a GPU each: 36 GPU seconds are used up after 18 seconds; of what was retried every attempt counts.
    let gpu = json!({"trialTemplate": {"manifest": {"spec": {"template": {"spec": {
        "containers": [{"name": "train", "image": "i", "command": ["train"], "resources": {"limits": {"nvidia.com/gpu": 1}}}],
    }}}}}});
    let table: [(fn(&crate::api::Trial) -> Play, _); 2] =
        [(|_| Play::Endless(0.5), 18..=20), (|_| Play::Lost(99, 0.5), 30..=45)];
    for (play, expected) in table {
        let mut spec = json!({"limits": {"maxTrials": 500, "maxGpuHours": 0.01}, "failurePolicy": {"retries": 50}});
        json_patch::merge(&mut spec, &gpu);
        let mut model = Model::new(spec, play);
        let begin = model.now;
        let open = |model: &Model| {
            let status = model.experiment.status.clone().unwrap_or_default();
            !crate::api::conditions::has_ended(&status.conditions)
        };
        while open(&model) && model.now.duration_since(begin).as_secs() < 200 {
            model.pass(1);
        }
        let (took, usage) = (model.now.duration_since(begin).as_secs(), model.experiment.status.clone().unwrap().usage);
        assert!(expected.contains(&took), "{took}: {usage:?}");
        assert!((36..=38).contains(&usage.gpu_seconds), "{usage:?}");
        model.edit(&json!({"limits": {"maxGpuHours": 1.0}}));
        model.pass(1);
        assert!(open(&model), "more is allowed: it goes on");
    }
}

#[test]
fn an_end_by_gpu_hours_is_not_taken_back() {
    let spec = json!({
        "limits": {"maxTrials": 500, "maxGpuHours": 0.01},
        "trialTemplate": {"manifest": {"spec": {"template": {"spec": {"containers": [{
            "name": "train", "image": "i", "command": ["train"], "resources": {"limits": {"nvidia.com/gpu": 1}},
        }]}}}}},
    });
    let mut model = Model::new(spec, |_| Play::Endless(0.5));
    let announced = |model: &Model| {
        let conditions = model.experiment.status.clone().unwrap_or_default().conditions;
        find(&conditions, types::COMPLETE).is_some_and(|condition| condition.reason == "MaxGpuHoursReached")
    };
    // One action at a time, until 36 GPU seconds are used up and that is stored.
    while !announced(&model) {
        assert!(!model.trials.values().any(ended), "none is stopped before it is stored why");
        if model.plan().actions.is_empty() {
            model.tick();
        }
        model.settle(&mut 1);
    }
    let (status, _, message) = model.condition(types::COMPLETE);
    assert_eq!((status.as_str(), message.as_str()), ("False", "limits.maxGpuHours are used up; stopping 2 trials"));
    assert!(!model.trials.values().any(ended));
    // Their programs turn out to have ended some seconds ago.
    model.restart();
    let past = model.now - SignedDuration::from_secs(10);
    for job in model.jobs.values_mut() {
        (job.active, job.ready, job.ended) = (0, 0, Some(past));
        let complete = JobCondition { r#type: "Complete".into(), reason: String::new(), message: String::new() };
        job.conditions.push(complete);
    }
    model.run();
    assert_end(&model, types::COMPLETE, "MaxGpuHoursReached", "less than it seemed");
    let status = model.experiment.status.as_ref().unwrap();
    assert!(status.usage.gpu_seconds < 36, "{:?}", status.usage);
    assert_eq!((model.trials.len(), status.trials.succeeded), (2, 2), "no further trial was made");
}
