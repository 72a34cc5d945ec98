//! A line of the log for each decision that was carried out: which object, and why. What programs print, what their environment
//! holds and what an API server quotes of a manifest stays out of it.

use crate::api::conditions::{find, has_ended, is_true, reasons, standing, types};
use crate::api::{Condition, Experiment, ExperimentStatus, Trial};
use crate::engine::{Action, TrialPatch};
use kube::ResourceExt;

/// Logs what was done for an Experiment; `trial`: the one that was written, as it is now.
pub fn log(action: &Action, experiment: &Experiment, trial: Option<&Trial>) {
    let (namespace, name) = (experiment.namespace().unwrap_or_default(), experiment.name_any());
    match (action, trial) {
        (Action::CreateTrial { .. }, Some(trial)) => {
            let reason = origin(trial, experiment);
            let (trial, uid) = about(trial);
            tracing::info!(namespace, experiment = name, trial, uid, reason, "trial created");
        }
        (Action::CreateClaim { claim }, _) => {
            let claim = claim.pointer("/metadata/name").and_then(serde_json::Value::as_str).unwrap_or_default();
            tracing::info!(namespace, experiment = name, claim, "PersistentVolumeClaim for checkpoints is there");
        }
        (Action::CreateJob { trial, job }, _) => {
            let text = |pointer: &str| job.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default();
            let (job, uid) = (text("/metadata/name"), text("/metadata/ownerReferences/0/uid"));
            let reason = if job == trial { "FirstAttempt" } else { reasons::RETRYING };
            tracing::info!(namespace, experiment = name, trial, uid, reason, job, "Job created");
        }
        // The UID is the Job's, by which it is deleted.
        (Action::DeleteJob { name: job, uid: job_uid, trial }, _) => {
            tracing::info!(namespace, experiment = name, trial, reason = "NotNeeded", job, job_uid, "Job deleted");
        }
        (Action::WriteTrialStatus { patch, .. }, Some(trial)) => log_status(patch, trial, (&namespace, &name)),
        (Action::WriteExperimentStatus { status, .. }, _) => log_experiment(status, experiment, (&namespace, &name)),
        _ => {}
    }
}

/// Where its values come from.
fn origin(trial: &Trial, experiment: &Experiment) -> &'static str {
    let given = experiment.spec.initial_trials.len();
    match (&trial.spec, trial.spec.index) {
        (spec, _) if !spec.result.is_empty() => "Known",
        (spec, _) if spec.parent.is_some() => "Continued",
        (_, Some(index)) if (index as usize) < given => "Given",
        _ => "Suggested",
    }
}

fn log_status(patch: &TrialPatch, trial: &Trial, (namespace, experiment): (&str, &str)) {
    let (trial, uid) = about(trial);
    let Some(complete) = find(&patch.conditions, types::COMPLETE) else { return };
    let (reason, message, attempt) = (complete.reason.as_str(), complete.message.as_str(), patch.attempt);
    match reason {
        reasons::EARLY_STOPPED if patch.completion_time.is_some() => {
            let objective = patch.objective;
            tracing::info!(namespace, experiment, trial, uid, reason, why = message, objective, "trial stopped");
        }
        // The sentence of a program's end has its last lines in it.
        _ if patch.completion_time.is_some() => {
            tracing::info!(namespace, experiment, trial, uid, reason, objective = patch.objective, "trial ended");
        }
        reasons::RETRYING => {
            tracing::info!(namespace, experiment, trial, uid, reason, why = message, attempt, "trial begins anew");
        }
        reasons::RUNNING => tracing::info!(namespace, experiment, trial, uid, reason, attempt, "trial runs"),
        _ => {}
    }
}

/// `before`: what was stored until now.
fn log_experiment(status: &ExperimentStatus, before: &Experiment, (namespace, experiment): (&str, &str)) {
    let uid = before.uid().unwrap_or_default();
    let (stored, now) = (before.conditions(), status.conditions.as_slice());
    let changed = |condition: &&Condition| {
        let before = find(stored, types::ACCEPTED);
        before.is_none_or(|before| (&before.status, &before.reason) != (&condition.status, &condition.reason))
    };
    if let Some(accepted) = find(now, types::ACCEPTED).filter(changed) {
        let message = if accepted.status == "True" { "experiment accepted" } else { "experiment rejected" };
        // Its sentence may quote the manifest.
        tracing::info!(namespace, experiment, uid, reason = accepted.reason, "{message}");
    }
    let suspended = is_true(now, types::SUSPENDED);
    if suspended != is_true(stored, types::SUSPENDED) {
        let reason = reason_of(find(now, types::SUSPENDED));
        let message = if suspended { "experiment suspended" } else { "experiment resumed" };
        tracing::info!(namespace, experiment, uid, reason, "{message}");
    }
    if has_ended(now) && !has_ended(stored) {
        let (reason, best) = (reason_of(standing(now)), status.best.as_ref().map(|best| best.value));
        tracing::info!(namespace, experiment, uid, reason, best, "experiment ended");
    }
}

fn reason_of(condition: Option<&Condition>) -> &str {
    condition.map_or("", |condition| condition.reason.as_str())
}

fn about(trial: &Trial) -> (String, String) {
    (trial.name_any(), trial.uid().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(act: impl FnOnce()) -> (Vec<Value>, String) {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, act);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let parsed = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"].clone()).collect();
        (parsed, text)
    }

    const SECRET: &str = "hunter2";

    fn experiment() -> Experiment {
        serde_json::from_value(json!({
            "apiVersion": "automl.dev/v1alpha1", "kind": "Experiment",
            "metadata": {"name": "e", "namespace": "team", "uid": "eu"},
            "spec": {
                "objectives": [{"metric": "accuracy", "direction": "Maximize"}],
                "parameters": [{"name": "lr", "double": {"min": 0.0, "max": 1.0}}],
                "limits": {"maxTrials": 1},
                "trialTemplate": {"primaryContainer": "t", "manifest": {"env": SECRET}},
            },
        }))
        .unwrap()
    }

    fn condition(status: &str, reason: &str, message: &str) -> Vec<Condition> {
        vec![condition_of("Complete", status, reason, message)]
    }

    fn condition_of(r#type: &str, status: &str, reason: &str, message: &str) -> Condition {
        serde_json::from_value(json!({"type": r#type, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z"}))
        .unwrap()
    }

    #[test]
    fn what_becomes_of_an_experiment_is_told_when_it_changes() {
        let mut experiment = experiment();
        let accepted = |status, reason| condition_of("Accepted", status, reason, SECRET);
        let suspended = |status, reason| condition_of("Suspended", status, reason, "");
        let steps = [
            (vec![accepted("False", "InvalidLimits")], vec![("experiment rejected", "InvalidLimits")]),
            (vec![accepted("False", "InvalidLimits")], vec![]),
            (vec![accepted("False", "InvalidAlgorithm")], vec![("experiment rejected", "InvalidAlgorithm")]),
            (
                vec![accepted("True", "Valid"), suspended("True", "Suspended")],
                vec![("experiment accepted", "Valid"), ("experiment suspended", "Suspended")],
            ),
            (vec![accepted("True", "Valid"), suspended("False", "Resumed")], vec![("experiment resumed", "Resumed")]),
        ];
        for (conditions, expected) in steps {
            let status = ExperimentStatus { conditions, ..ExperimentStatus::default() };
            let action = Action::WriteExperimentStatus {
                resource_version: "1".into(),
                status: Box::new(status.clone()),
                events: Vec::new(),
            };
            let (lines, text) = logged(|| log(&action, &experiment, None));
            let told: Vec<_> = lines.iter().map(|line| (line["message"].clone(), line["reason"].clone())).collect();
            assert_eq!(told, expected.iter().map(|(what, why)| (json!(what), json!(why))).collect::<Vec<_>>());
            assert!(lines.iter().all(|line| line["uid"] == "eu" && line["namespace"] == "team"), "{text}");
            assert!(!text.contains(SECRET), "{text}");
            experiment.status = Some(status);
        }
    }

    #[test]
    fn each_decision_is_one_line_with_its_objects_and_no_secret() {
        let experiment = experiment();
        let trial: Trial = serde_json::from_value(json!({
            "apiVersion": "automl.dev/v1alpha1", "kind": "Trial",
            "metadata": {"name": "e-00000", "namespace": "team", "uid": "tu"},
            "spec": {"experiment": "e", "index": 0, "assignments": {}, "manifest": {"env": SECRET}},
        }))
        .unwrap();
        let write = |patch: TrialPatch| Action::WriteTrialStatus {
            name: "e-00000".into(),
            resource_version: "1".into(),
            patch: Box::new(patch),
            event: None,
        };
        let end = "2026-01-01T00:01:00Z".parse().ok();
        let patch = |reason: &str, message: &str, ended: bool| TrialPatch {
            conditions: condition("False", reason, message),
            completion_time: end.filter(|_| ended),
            objective: Some(0.5),
            attempt: 1,
            ..TrialPatch::default()
        };
        let job = |name: &str| {
            Box::new(json!({"metadata": {"name": name, "ownerReferences": [{"uid": "tu"}]}, "spec": {"env": SECRET}}))
        };
        let create = |name: &str| Action::CreateJob { trial: "e-00000".into(), job: job(name) };
        let status =
            ExperimentStatus { conditions: condition("True", "GoalReached", ""), ..ExperimentStatus::default() };
        let actions = [
            (Action::CreateTrial { trial: Box::new(trial.clone()) }, "trial created", "Suggested"),
            (create("e-00000"), "Job created", "FirstAttempt"),
            (create("e-00000-1"), "Job created", "Retrying"),
            (write(patch("Running", "", false)), "trial runs", "Running"),
            (write(patch("Retrying", "attempt 2: its Job was deleted", false)), "trial begins anew", "Retrying"),
            (write(patch("EarlyStopped", "Median: step 3", true)), "trial stopped", "EarlyStopped"),
            (write(patch("ProgramFailed", SECRET, true)), "trial ended", "ProgramFailed"),
            (
                Action::WriteExperimentStatus {
                    resource_version: "1".into(),
                    status: Box::new(status),
                    events: Vec::new(),
                },
                "experiment ended",
                "GoalReached",
            ),
        ];
        for (action, message, reason) in &actions {
            let (lines, text) = logged(|| log(action, &experiment, Some(&trial)));
            let [line] = &lines[..] else { panic!("{message}: {text}") };
            assert_eq!(
                (&line["message"], &line["namespace"], &line["experiment"]),
                (&json!(message), &json!("team"), &json!("e"))
            );
            assert_eq!(line["reason"].as_str().unwrap_or_default(), *reason, "{text}");
            let (object, uid) =
                if *message == "experiment ended" { (Value::Null, "eu") } else { (json!("e-00000"), "tu") };
            assert_eq!((&line["trial"], &line["uid"]), (&object, &json!(uid)), "{text}");
            assert!(!text.contains(SECRET), "{text}");
        }
        let delete = Action::DeleteJob { name: "e-00000".into(), uid: "ju".into(), trial: "e-00000".into() };
        let (lines, text) = logged(|| log(&delete, &experiment, Some(&trial)));
        let expected = json!({"message": "Job deleted", "namespace": "team", "experiment": "e", "trial": "e-00000",
            "reason": "NotNeeded", "job": "e-00000", "job_uid": "ju"});
        assert_eq!(lines, [expected], "{text}");
        let (lines, _) = logged(|| log(&write(patch("Pending", "", false)), &experiment, Some(&trial)));
        assert!(lines.is_empty(), "waiting is no decision: {lines:?}");
    }
}
