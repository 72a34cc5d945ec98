//! Real programs print, and every value that they print is read: xgboost, lightgbm, scikit-learn, a loop with tqdm. And MLflow,
//! which writes into a folder.
//!
//! They run with the packages of `tests/programs/requirements.txt`, which `scripts/test.sh` installs with CI set; without them
//! there is nothing to test.

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs");

/// The interpreter with the packages, where it is.
fn python() -> Option<PathBuf> {
    let folder = Path::new(FOLDER);
    let read = |name: &str| std::fs::read(folder.join(name)).ok();
    // The copy says that it is made to its end, and of these requirements.
    let made = read("requirements.txt").is_some_and(|wanted| read(".venv/requirements.txt") == Some(wanted));
    if !made {
        assert!(std::env::var_os("CI").is_none(), "{FOLDER}/.venv is missing; scripts/venv.sh tests/programs makes it");
        eprintln!("skipped: scripts/venv.sh tests/programs makes what this needs");
        return None;
    }
    Some(folder.join(".venv/bin/python3"))
}

/// What the program has printed on both streams, and the truth that it has written down.
fn trained(python: &Path, library: &str) -> (Vec<u8>, BTreeMap<String, Vec<(u64, f64)>>) {
    let folder = tempfile::tempdir().unwrap();
    let truth = folder.path().join("truth.json");
    let run = Command::new(python).arg(format!("{FOLDER}/train.py")).arg(library).arg(&truth).output().unwrap();
    let said = [run.stdout, run.stderr].concat();
    assert!(run.status.success(), "{library}: {}", String::from_utf8_lossy(&said));
    (said, serde_json::from_slice(&std::fs::read(truth).unwrap()).unwrap())
}

/// Steps and values that `automl metrics parse` finds.
fn parsed(log: &[u8], metric: &str) -> Vec<(u64, f64)> {
    let mut parse = Command::new(env!("CARGO_BIN_EXE_automl"))
        .args(["metrics", "parse", "--metric", metric])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    parse.stdin.take().unwrap().write_all(log).unwrap();
    let output = parse.wait_with_output().unwrap();
    assert!(output.status.success(), "{metric}: {}", String::from_utf8_lossy(log));
    let lines = String::from_utf8(output.stdout).unwrap();
    let found = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    found.map(|found| (found["step"].as_u64().unwrap(), found["value"].as_f64().unwrap())).collect()
}

/// What is printed has so few digits.
fn alike(read: f64, truth: f64) -> bool {
    (read - truth).abs() <= 6e-4 * truth.abs().max(0.1)
}

#[test]
fn every_value_that_is_printed_is_read_with_its_step() {
    let Some(python) = python() else { return };
    for library in ["xgboost", "lightgbm", "sklearn"] {
        let (log, truth) = trained(&python, library);
        assert!(!truth.is_empty());
        for (metric, truth) in truth {
            let read = parsed(&log, &metric);
            let steps = |points: &[(u64, f64)]| points.iter().map(|(step, _)| *step).collect::<Vec<_>>();
            assert_eq!(steps(&read), steps(&truth), "{library}, {metric}: {}", String::from_utf8_lossy(&log));
            for ((step, read), (_, truth)) in read.into_iter().zip(truth) {
                assert!(alike(read, truth), "{library}, {metric} at {step}: {read} is not {truth}");
            }
        }
    }
}

/// MLflow writes its runs itself, into a folder that trials share. One after the other: where two make its experiment at the
/// same moment, MLflow lets one of them fail.
#[test]
fn runs_of_mlflow_are_read() {
    let Some(python) = python() else { return };
    let (folder, example) = (tempfile::tempdir().unwrap(), concat!(env!("CARGO_MANIFEST_DIR"), "/examples/metrics"));
    for name in ["mlflow.yaml", "train.py"] {
        std::fs::copy(format!("{example}/{name}"), folder.path().join(name)).unwrap();
    }
    let path = std::env::join_paths(
        std::iter::once(python.parent().unwrap().to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let output = Command::new(env!("CARGO_BIN_EXE_automl"))
        .args(["run", "-f", "mlflow.yaml", "-o", "json"])
        .env("PATH", path.unwrap())
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 5, "an Experiment and its trials");
    for trial in &items[1..] {
        let points = trial["status"]["metrics"][0]["curve"]["points"].as_array().unwrap();
        let steps: Vec<u64> = points.iter().map(|point| point["step"].as_u64().unwrap()).collect();
        assert_eq!(steps, (1..=20).collect::<Vec<_>>(), "{trial}");
        assert_eq!(trial["status"]["objective"], points[19]["value"], "{trial}");
    }
}

/// A bar is drawn several times for one step, with what is known by then.
#[test]
fn a_progress_bar_is_read() {
    let Some(python) = python() else { return };
    let (log, truth) = trained(&python, "tqdm");
    let (truth, read) = (&truth["accuracy"], parsed(&log, "accuracy"));
    let shown = String::from_utf8_lossy(&log);
    let ((step, last), (end, value)) = (*truth.last().unwrap(), *read.last().unwrap());
    assert!(step == end && alike(value, last), "{read:?}: {shown}");
    assert!(read.len() >= truth.len() / 2, "{read:?}: {shown}");
    for (step, value) in read {
        // It may be drawn with the number of the next step before that has its value.
        let known = truth.iter().filter(|(at, _)| at.abs_diff(step) <= 1).any(|(_, known)| alike(value, *known));
        assert!(known, "{value} at {step}: {truth:?}");
    }
}
