//! Real programs print, and every value that they print is read: xgboost, lightgbm, scikit-learn, a loop with tqdm. And MLflow,
//! which writes into a folder or talks to its server, and tensorboardX, and what reports by itself (`reported`).
//!
//! They run with the packages of `tests/programs/requirements.txt`, which `scripts/test.sh` installs with CI set; without them
//! there is nothing to test.

#[path = "programs_support/reported.rs"]
mod reported;

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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

/// What it starts finds this interpreter.
fn with_python<'a>(command: &'a mut Command, python: &Path) -> &'a mut Command {
    let path = std::env::var_os("PATH").unwrap();
    let folders = std::iter::once(python.parent().unwrap().to_owned()).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(folders).unwrap())
}

/// Runs an example of `examples/metrics` with this changed: the trials, whose curves are whole.
fn example(python: &Path, name: &str, said: &str, instead: &str) -> Vec<Value> {
    let (folder, example) = (tempfile::tempdir().unwrap(), concat!(env!("CARGO_MANIFEST_DIR"), "/examples/metrics"));
    let experiment = std::fs::read_to_string(format!("{example}/{name}")).unwrap();
    assert!(experiment.contains(said) && experiment.contains("parallelTrials: 2"));
    std::fs::write(folder.path().join(name), experiment.replace(said, instead)).unwrap();
    std::fs::copy(format!("{example}/train.py"), folder.path().join("train.py")).unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_automl"));
    let output =
        with_python(run.args(["run", "-f", name, "-o", "json"]), python).current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let trials = list["items"].as_array().unwrap()[1..].to_vec();
    assert_eq!(trials.len(), 4);
    for trial in &trials {
        let points = trial["status"]["metrics"][0]["curve"]["points"].as_array();
        let points = points.unwrap_or_else(|| panic!("{trial}: {}", String::from_utf8_lossy(&output.stderr)));
        let steps: Vec<u64> = points.iter().map(|point| point["step"].as_u64().unwrap()).collect();
        assert_eq!(steps, (1..=20).collect::<Vec<_>>(), "{trial}");
        assert_eq!(trial["status"]["objective"], points[19]["value"], "{trial}");
    }
    trials
}

/// Where the example of MLflow has its runs.
const FOLDER_STORE: &str = "mlflow: {path: mlruns}";

/// Event files of TensorBoard, as tensorboardX writes them.
#[test]
fn event_files_of_tensorboard_are_read() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    example(&python, "tensorboard.yaml", "/tmp/automl-runs", folder.path().to_str().unwrap());
}

/// MLflow writes its runs itself, into a folder that trials share, two at a time.
#[test]
fn runs_of_mlflow_are_read_from_a_folder() {
    let Some(python) = python() else { return };
    example(&python, "mlflow.yaml", FOLDER_STORE, FOLDER_STORE);
}

/// A tracking server that is ended with the test.
struct Tracking(Child, String);

impl Tracking {
    fn start(python: &Path, folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let store = format!("sqlite:///{}", folder.join("mlflow.db").display());
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let server = Command::new(python.with_file_name("mlflow"))
            .args(["server", "--workers=1", "--host=127.0.0.1", &format!("--port={port}")])
            .args(["--backend-store-uri", &store, "--artifacts-destination"])
            .arg(folder.join("artifacts"))
            .current_dir(folder)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let tracking = Tracking(server, format!("http://127.0.0.1:{port}"));
        let deadline = Instant::now() + Duration::from_secs(120);
        while tracking.ask("GET", "/health", "").is_none() {
            let log = || std::fs::read_to_string(folder.join("log")).unwrap();
            assert!(Instant::now() < deadline, "MLflow's server does not start: {}", log());
            std::thread::sleep(Duration::from_millis(200));
        }
        tracking
    }

    /// What it answers; `None`: nothing, or no success.
    fn ask(&self, method: &str, path: &str, body: &str) -> Option<String> {
        let address = self.1.strip_prefix("http://").unwrap();
        let mut stream = std::net::TcpStream::connect(address).ok()?;
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.lines().next()?.contains(" 200 ").then(|| body.to_owned())
    }
}

impl Drop for Tracking {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}

/// The real server, with its own database: the program logs there, and the agent asks it.
#[test]
fn runs_of_mlflow_are_read_from_a_tracking_server() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let tracking = Tracking::start(&python, folder.path());
    let instead = format!("mlflow: {{server: '{}'}}", tracking.1);
    let trials = example(&python, "mlflow.yaml", FOLDER_STORE, &instead);
    // Each trial is a run of its name, under one experiment of MLflow.
    let found = tracking.ask("GET", "/api/2.0/mlflow/experiments/get-by-name?experiment_name=metrics-mlflow", "");
    let found: Value = serde_json::from_str(&found.unwrap()).unwrap();
    let search = serde_json::json!({"experiment_ids": [found["experiment"]["experiment_id"]]}).to_string();
    let runs = tracking.ask("POST", "/api/2.0/mlflow/runs/search", &search).unwrap();
    let runs: Value = serde_json::from_str(&runs).unwrap();
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    let runs = runs["runs"].as_array().unwrap().iter().map(|run| run["info"]["run_name"].as_str().unwrap().to_owned());
    let names = trials.iter().map(|trial| trial["metadata"]["name"].as_str().unwrap().to_owned());
    assert_eq!(sorted(runs.collect()), sorted(names.collect()));
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
