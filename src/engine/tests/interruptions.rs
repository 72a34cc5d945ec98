//! Failures that are not the trial's own, trials that stall, and names that are taken in between.

use super::model::{Model, Play};
use super::{by_hand, good, x};
use crate::api::conditions::types;
use crate::engine::Fate;
use crate::engine::ending::{Ending, ending};
use serde_json::json;

#[test]
fn lost_trials_never_use_up_the_budget_of_failures_and_still_there_is_an_end() {
    let mut model = Model::new(json!({"limits": {"maxTrials": 12, "maxFailedTrials": 0}}), |_| Play::Lost(99, 0.0));
    model.pass(600);
    let (status, reason, message) = model.condition(types::FAILED);
    assert_eq!((status.as_str(), reason.as_str()), ("True", "NoSuccessfulTrial"), "{message}");
    assert_eq!(model.trials.len(), 12);
    let trials = model.experiment.status.as_ref().unwrap().trials;
    assert_eq!((trials.failed, trials.excused), (12, 12));
    let (_, reason, message) = model.trial_condition("e-00000", types::FAILED);
    assert_eq!(reason, "RetriesExhausted");
    assert!(message.starts_with("interrupted 4 times, the last time: Pod has condition"), "{message}");
}

#[test]
fn stopping_the_machine_uses_up_no_retry() {
    let mut model = Model::new(json!({"limits": {"maxTrials": 1, "parallelTrials": 1}}), |t| Play::Lost(20, x(t)));
    model.fate = Fate::Disrupted { machine_stopped: true };
    model.pods_say = "pod p was taken away (NodeShutdown): the runner was stopped".into();
    model.run();
    let status = model.trials["e-00000"].status.clone().unwrap();
    assert_eq!((status.attempt, status.interruptions), (20, 0));
    assert_eq!(ending(&model.trials["e-00000"]), Some(Ending::Succeeded));
}

#[test]
fn what_is_wrong_with_a_trial_made_by_hand_does_not_end_the_experiment() {
    let mut model = Model::new(json!({"limits": {"maxFailedTrials": 0}}), good);
    model.settle(&mut usize::MAX.clone());
    model.add(by_hand("wrong", &json!({"x": 4})));
    model.run();
    assert_eq!(model.condition(types::COMPLETE).1, "MaxTrialsReached");
    let trials = model.experiment.status.as_ref().unwrap().trials;
    assert_eq!((trials.succeeded, trials.failed, trials.excused), (6, 1, 1));
    assert_eq!(model.trial_condition("wrong", types::FAILED).1, "InvalidAssignment");
}

#[test]
fn a_trial_of_an_earlier_experiment_that_does_not_fit_is_not_gone_on_with() {
    let mut model = Model::new(json!({}), |trial| if x(trial) > 1.0 { Play::Forever } else { good(trial) });
    let mut old = by_hand("old", &json!({"x": 4.0}));
    old.status = Some(crate::api::TrialStatus { start_time: Some(model.now), ..Default::default() });
    model.add(old);
    model.run();
    assert_eq!(model.trial_condition("old", types::FAILED).1, "InvalidAssignment");
    assert_eq!(model.condition(types::COMPLETE).1, "MaxTrialsReached");
}

#[test]
fn a_trial_that_stalls_after_its_start_says_why() {
    let mut model = Model::new(json!({"limits": {"maxTrials": 1, "parallelTrials": 1}}), |_| Play::Stalls);
    model.pods_say = "pod p is not scheduled (Unschedulable): 0/3 nodes are available".into();
    model.pass(3);
    assert_eq!(model.condition(types::COMPLETE).1, "Running", "a moment between two pods is nothing");
    model.pass(20);
    for (reason, message) in [
        {
            let c = model.trial_condition("e-00000", types::COMPLETE);
            (c.1, c.2)
        },
        {
            let c = model.condition(types::COMPLETE);
            (c.1, c.2)
        },
    ] {
        assert_eq!(reason, "Pending");
        assert!(message.ends_with("0/3 nodes are available"), "{message}");
    }
    model.play = good;
    model.jobs.get_mut("e-00000").unwrap().ready = 1;
    model.pass(0);
    assert_eq!(model.trial_condition("e-00000", types::COMPLETE).1, "Running");
    model.run();
    assert_eq!(model.condition(types::COMPLETE).1, "MaxTrialsReached");
}

#[test]
fn a_job_that_a_queue_puts_out_begins_anew() {
    let mut model = Model::new(json!({"limits": {"maxTrials": 1, "parallelTrials": 1}}), |_| Play::Forever);
    model.pass(5);
    assert!(model.trials["e-00000"].status.as_ref().unwrap().start_time.is_some());
    let job = model.jobs.get_mut("e-00000").unwrap();
    (job.suspended, job.active, job.ready) = (true, 0, 0);
    model.play = |_| Play::Pending;
    model.pods_say = "its Job is suspended until queue team-a lets it in".into();
    model.pass(10);
    assert!(model.trials["e-00000"].status.as_ref().unwrap().start_time.is_none(), "its time counts anew");
    let (_, reason, message) = model.condition(types::COMPLETE);
    assert_eq!((reason.as_str(), message.ends_with("queue team-a lets it in")), ("Pending", true), "{message}");
    model.play = good;
    model.jobs.get_mut("e-00000").unwrap().suspended = false;
    model.run();
    assert_eq!(model.condition(types::COMPLETE).1, "MaxTrialsReached");
}

#[test]
fn a_retry_whose_name_is_taken_takes_the_next_one() {
    let mut model = Model::new(json!({"limits": {"maxTrials": 2}, "trialTemplate": {"retain": "Always"}}), |trial| {
        match (trial.spec.index, trial.status.as_ref().map_or(0, |status| status.attempt)) {
            (Some(1), 0) => Play::Lost(1, x(trial)),
            (Some(_), _) => good(trial),
            (None, _) => Play::Value(0.0),
        }
    });
    model.add(by_hand("e-00001-1", &json!({"x": 0.5})));
    model.run();
    assert_eq!(model.condition(types::COMPLETE).1, "MaxTrialsReached");
    let status = model.trials["e-00001"].status.clone().unwrap();
    assert_eq!((status.attempt, status.interruptions), (2, 1));
    assert!(model.trials.keys().all(|name| ending(&model.trials[name]) == Some(Ending::Succeeded)));
}

#[test]
fn a_refusal_that_may_pass_is_no_fault_of_the_template() {
    let mut model = Model::new(json!({}), good);
    (model.refuse_template, model.may_pass) = (Some("exceeded quota: compute".into()), true);
    model.add(by_hand("mine", &json!({"x": 0.5})));
    model.run();
    assert!(model.jobs.is_empty());
    let (_, reason, message) = model.condition(types::COMPLETE);
    assert_eq!(reason, "ApiRefused", "{message}");
    assert_eq!(message, "cannot try out the template's Job: exceeded quota: compute");
    assert_eq!(model.condition(types::ACCEPTED).0, "", "nothing is known of the template");
    assert_eq!(model.trial_condition("mine", types::COMPLETE).1, "ExperimentNotAccepted");
    model.refuse_template = None;
    model.restart();
    model.run();
    assert_eq!(model.condition(types::COMPLETE).1, "MaxTrialsReached");
}

#[test]
fn the_template_is_tried_out_with_values_even_when_the_tuner_has_none() {
    let spec = json!({
        "parameters": [{"name": "x", "int": {"min": 1, "max": 2}}], "algorithm": {"name": "Grid"},
        "limits": {"maxTrials": 9},
    });
    let mut model = Model::new(spec, |trial| if x(trial) > 1.5 { Play::Forever } else { good(trial) });
    model.pass(10);
    model.edit(&json!({"trialTemplate": {"retain": "Always"}}));
    let plan = model.plan();
    let probe = plan.actions.iter().find_map(|action| match action {
        crate::engine::Action::ProbeTemplate { job, .. } => Some(job),
        _ => None,
    });
    let command = probe.unwrap().pointer("/spec/template/spec/containers/0/command").unwrap().clone();
    assert_eq!(command.as_array().unwrap().len(), 5, "{command}");
}

#[test]
fn a_pod_that_was_deleted_is_no_failure_of_its_program() {
    let mut model = Model::new(json!({"limits": {"maxTrials": 1}, "failurePolicy": {"retries": 2}}), |_| Play::Fail);
    model.fate = Fate::Deleted;
    model.run();
    let (_, reason, message) = model.trial_condition("e-00000", types::FAILED);
    assert_eq!(reason, "RetriesExhausted");
    assert!(message.contains("its pod was deleted"), "{message}");
    model.fate = Fate::Kept;
    model.edit(&json!({"limits": {"maxTrials": 2}}));
    model.run();
    assert_eq!(model.trial_condition("e-00001", types::FAILED).1, "ProgramFailed");
}

#[test]
fn where_containers_are_restarted_the_agent_tells_a_failed_program_from_a_pod_that_was_taken_away() {
    let spec = json!({"limits": {"maxTrials": 1}, "failurePolicy": {"retries": 0}, "trialTemplate": {"manifest": {"spec": {
        "template": {"spec": {"restartPolicy": "OnFailure"}}}}}});
    // The Job's own word is the same each time, and its last pod does not stay.
    for (play, fate, expected) in [
        (Play::Exit(1), Fate::Deleted, "ProgramFailed"),
        (Play::Exit(143), Fate::Deleted, "RetriesExhausted"),
        (Play::Fail, Fate::Deleted, "RetriesExhausted"),
        (Play::Exit(1), Fate::Disrupted { machine_stopped: false }, "RetriesExhausted"),
        (Play::Exit(1), Fate::Kept, "ProgramFailed"),
        // It had ended before its node was lost.
        (Play::Exit(0), Fate::Disrupted { machine_stopped: false }, "MetricNotFound"),
    ] {
        let mut model = Model::new(
            spec.clone(),
            match play {
                Play::Exit(0) => |_| Play::Exit(0),
                Play::Exit(1) => |_| Play::Exit(1),
                Play::Exit(_) => |_| Play::Exit(143),
                _ => |_| Play::Fail,
            },
        );
        model.fate = fate;
        model.run();
        assert_eq!(model.trial_condition("e-00000", types::FAILED).1, expected, "{play:?} {fate:?}");
    }
}

#[test]
fn a_container_that_runs_on_holds_a_trial_only_where_the_template_names_it() {
    let plays: [(fn(&crate::api::Trial) -> Play, _); 2] =
        [(|_| Play::Lingers(0), "Succeeded"), (|_| Play::Lingers(3), "ProgramFailed")];
    for (play, expected) in plays {
        let limits = json!({"limits": {"maxTrials": 1, "maxFailedTrials": 0}});
        let mut model = Model::new(limits.clone(), play);
        model.still_running = vec!["mesh-proxy".into()];
        model.run();
        assert_eq!(model.trial_condition("e-00000", types::COMPLETE).1, expected);
        assert!(model.jobs.is_empty(), "what runs on is stopped");

        let mut model = Model::new(limits, play);
        model.experiment.spec.trial_template.manifest["spec"]["template"]["spec"]["containers"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "uploader", "image": "i"}));
        model.still_running = vec!["uploader".into(), "mesh-proxy".into()];
        model.pass(60);
        let (status, reason, message) = model.trial_condition("e-00000", types::COMPLETE);
        assert_eq!((status.as_str(), reason.as_str()), ("False", "Pending"));
        assert!(message.starts_with("the program has ended; its Job ends when uploader also ends ("), "{message}");
        model.still_running.remove(0);
        model.run();
        assert_eq!(model.trial_condition("e-00000", types::COMPLETE).1, expected);
    }
    // One of the template's that has failed fails the Job, where nothing runs on.
    for (name, expected) in [("uploader", "ProgramFailed"), ("mesh-init", "Succeeded")] {
        let mut model = Model::new(json!({"limits": {"maxTrials": 1, "maxFailedTrials": 0}}), |_| Play::Lingers(0));
        model.experiment.spec.trial_template.manifest["spec"]["template"]["spec"]["containers"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "uploader", "image": "i"}));
        model.still_running = vec!["mesh-proxy".into()];
        model.have_failed = [(name.to_owned(), 5)].into();
        model.run();
        let (_, reason, message) = model.trial_condition("e-00000", types::COMPLETE);
        assert_eq!(reason, expected);
        let says = "the program ended well, but its Job did not: container uploader has failed (exit code 5)";
        assert_eq!(message == says, expected == "ProgramFailed", "{message}");
    }
    // What was seen of the pod is older than the program's end.
    let mut model = Model::new(json!({"limits": {"maxTrials": 1}}), |_| Play::Lingers(3));
    model.still_running = vec!["train".into()];
    model.pass(60);
    assert_eq!(model.trial_condition("e-00000", types::COMPLETE).0, "False");
    // The pod does not end, so there is no other one.
    let retried = json!({"limits": {"maxTrials": 1}, "trialTemplate": {"manifest": {"spec": {"backoffLimit": 2}}}});
    let mut model = Model::new(retried, |_| Play::Lingers(3));
    model.still_running = vec!["mesh-proxy".into()];
    model.run();
    let (_, reason, message) = model.trial_condition("e-00000", types::COMPLETE);
    let says = "; its Job's backoffLimit allows another pod, but mesh-proxy keeps this one from ending";
    assert!(reason == "ProgramFailed" && message.ends_with(says), "{reason}: {message}");
    // A program that its pod starts again has not ended.
    let restarts = json!({"limits": {"maxTrials": 1}, "trialTemplate": {"manifest": {"spec": {"template": {"spec": {
        "restartPolicy": "OnFailure"}}}}}});
    let mut model = Model::new(restarts, |_| Play::Lingers(3));
    model.still_running = vec!["mesh-proxy".into()];
    model.pass(60);
    assert_eq!(model.trial_condition("e-00000", types::COMPLETE).0, "False");
}
