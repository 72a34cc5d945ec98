//! Programs that report by themselves, with the real packages that they were written for: trial code of NNI with `nni`, and the
//! callbacks of Hugging Face's `Trainer`.

use super::{FOLDER, python, with_python};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// Runs an experiment whose trials run this program in that folder. The trials.
fn trials(python: &Path, folder: &Path, program: &str, spec: Value) -> Vec<Value> {
    std::fs::copy(format!("{FOLDER}/{program}"), folder.join(program)).unwrap();
    let command = ["sh", "-c", &format!("exec python3 {program} >$AUTOML_TRIAL.out")];
    let container = json!({"name": "train", "image": "none", "command": command});
    let mut experiment = json!({
        "apiVersion": "automl.dev/v1alpha1", "kind": "Experiment", "metadata": {"name": "reported"},
        "spec": {"algorithm": {"name": "Random", "seed": 5}, "trialTemplate": {"primaryContainer": "train", "manifest": {
            "apiVersion": "batch/v1", "kind": "Job",
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
        }}},
    });
    let all = experiment["spec"].as_object_mut().unwrap();
    all.extend(spec.as_object().unwrap().clone());
    std::fs::write(folder.join("experiment.json"), experiment.to_string()).unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_automl"));
    let output = with_python(run.args(["run", "-f", "experiment.json", "-o", "json"]), python)
        .current_dir(folder)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    list["items"].as_array().unwrap()[1..].to_vec()
}

/// Steps and values of a metric.
fn points(trial: &Value, metric: &str) -> Vec<(u64, f64)> {
    let metrics = trial["status"]["metrics"].as_array().unwrap_or_else(|| panic!("{trial}"));
    let found = metrics.iter().find(|summary| summary["name"] == metric).unwrap_or_else(|| panic!("{metric}: {trial}"));
    let points = found["curve"]["points"].as_array().unwrap().iter();
    points.map(|point| (point["step"].as_u64().unwrap(), point["value"].as_f64().unwrap())).collect()
}

/// NNI's own package is used, not the stand-in, and the trial's code is none the wiser.
#[test]
fn trial_code_of_nni_runs_with_the_package_of_nni() {
    let Some(python) = python() else { return };
    if !cfg!(target_arch = "x86_64") {
        eprintln!("skipped: there is no nni for this processor");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let spec = json!({
        "objectives": [{"metric": "accuracy", "direction": "Maximize", "statistic": "Latest"}],
        "additionalMetrics": ["train"],
        "metrics": {"source": {"nni": {}}},
        "parameters": [
            {"name": "alpha", "double": {"min": 1e-5, "max": 1e-2, "scale": "Log"}},
            {"name": "loss", "categorical": {"choices": ["hinge", "log_loss"]}},
            {"name": "loss__penalty", "categorical": {"choices": ["l1", "l2"]}, "when": [{"parameter": "loss", "in": ["hinge"]}]},
        ],
        "limits": {"maxTrials": 3, "parallelTrials": 2},
    });
    let trials = trials(&python, folder.path(), "nni_trial.py", spec);
    assert_eq!(trials.len(), 3);
    let mut nested = 0;
    for trial in trials {
        let (name, values) = (trial["metadata"]["name"].as_str().unwrap(), points(&trial, "accuracy"));
        let said = std::fs::read_to_string(folder.path().join(format!("{name}.out"))).unwrap();
        let said: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap_or_else(|_| panic!("{said}"));
        let package = python.with_file_name("..").canonicalize().unwrap().join("lib");
        assert!(Path::new(said["package"].as_str().unwrap()).starts_with(&package), "{said}");
        let spec = &trial["spec"];
        assert_eq!((&said["experiment"], &said["trial"]), (&json!("reported"), &json!(name)));
        assert_eq!((&said["sequence"], &said["next"]), (&spec["index"], &Value::Null));
        let mut received =
            json!({"alpha": spec["assignments"]["alpha"], "loss": {"_name": spec["assignments"]["loss"]}});
        if let Some(penalty) = spec["assignments"].get("loss__penalty") {
            received["loss"]["penalty"] = penalty.clone();
            nested += 1;
        }
        assert_eq!(said["received"], received);
        assert_eq!(values.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6], "{trial}");
        assert!(
            values.iter().all(|(_, value)| (0.5..=1.0).contains(value)) && values[4].1 == values[5].1,
            "{values:?}"
        );
        assert_eq!(trial["status"]["objective"], json!(values[5].1), "{trial}");
        assert_eq!(points(&trial, "train").len(), 1, "what the final result says besides");
    }
    assert!((1..3).contains(&nested), "{nested}: some with the nested parameter, some without");
}

/// `TrainingArguments` finds the integration by its environment, and the callback posts what is logged. Only the training is
/// left out: for that `Trainer` wants torch, whose packages for this processor come with all of CUDA.
#[test]
fn the_callback_of_hugging_faces_trainer_reports_with_no_code() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let spec = json!({
        "objectives": [{"metric": "eval_accuracy", "direction": "Maximize"}],
        "additionalMetrics": ["eval_loss"],
        "metrics": {"source": {"push": {}}},
        "parameters": [{"name": "lr", "double": {"min": 0, "max": 1}}],
        "limits": {"maxTrials": 1, "parallelTrials": 1},
    });
    let trials = trials(&python, folder.path(), "trainer.py", spec);
    // What was logged after an epoch is said with the first step of the next one, and the last of it at the end.
    let steps = [6, 11, 11];
    let expected = |values: [f64; 3]| steps.into_iter().zip(values).collect::<Vec<_>>();
    assert_eq!(points(&trials[0], "eval_accuracy"), expected([1.0 - 1.0 / 2.0, 1.0 - 1.0 / 3.0, 1.0 - 1.0 / 4.0]));
    assert_eq!(points(&trials[0], "eval_loss"), expected([1.0, 1.0 / 2.0, 1.0 / 3.0]));
    let other = &trials[0]["status"]["otherMetrics"];
    assert!(
        ["loss", "learning_rate", "train_loss"].iter().all(|name| json!(other).to_string().contains(name)),
        "{other}"
    );
}
