//! A stock kubectl drives `automl local`: the judge of our embedded API server that knows nothing of us.
//!
//! `make test` builds kubectl and names it in AUTOML_TEST_KUBECTL; without it these tests are skipped.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const AUTOML: &str = env!("CARGO_BIN_EXE_automl");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// `automl local` in a folder of its own, and the kubectl to drive it with.
struct Local {
    kubectl: PathBuf,
    folder: TempDir,
    server: Child,
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.server.id().to_string()).status();
        let _ = self.server.wait();
    }
}

impl Local {
    /// `None`: there is no kubectl, and these tests are skipped. `base`: where trials run.
    fn start(base: &Path) -> Option<Self> {
        let Some(kubectl) = std::env::var_os("AUTOML_TEST_KUBECTL") else {
            assert!(std::env::var_os("CI").is_none(), "AUTOML_TEST_KUBECTL is not set; run the tests by make test");
            eprintln!("skipped: AUTOML_TEST_KUBECTL names no kubectl; make test builds one");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let mut server = Command::new(AUTOML)
            .args(["local", "--base-dir"])
            .arg(base)
            .arg("--state-dir")
            .arg(folder.path().join("state"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It says where its kubeconfig is once that can be used.
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let expected = format!("export KUBECONFIG={}\n", folder.path().join("state/kubeconfig").display());
        assert_eq!(line, expected);
        Some(Local { kubectl: kubectl.into(), folder, server })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.args(arguments).env("KUBECONFIG", self.folder.path().join("state/kubeconfig"));
        // kubectl keeps what it discovers below its home.
        command.env("HOME", self.folder.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What it prints; it must succeed.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "kubectl {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["-o", "json"]].concat())).unwrap()
    }

    /// What it says when it fails; it must fail.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "kubectl {arguments:?} succeeded: {}", text(&output.stdout));
        text(&output.stderr)
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !holds() {
            assert!(Instant::now() < deadline, "waited in vain for {what}: {}", self.ok(&["get", "exp,trials,jobs"]));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The cells of a table, without those that hold an age.
fn cells(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// An experiment of small shell trials.
fn shell(name: &str, trials: u32, script: &str) -> String {
    let container = json!({"name": "main", "image": "none", "command": ["sh", "-c", script]});
    json!({
        "apiVersion": "automl.dev/v1alpha1", "kind": "Experiment", "metadata": {"name": name},
        "spec": {
            "objectives": [{"metric": "score", "direction": "Maximize"}],
            "parameters": [{"name": "x", "double": {"min": 0, "max": 1}}],
            "algorithm": {"name": "Random", "seed": 3},
            "limits": {"maxTrials": trials},
            "trialTemplate": {"primaryContainer": "main", "manifest": {
                "apiVersion": "batch/v1", "kind": "Job",
                "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
            }},
        },
    })
    .to_string()
}

/// The example as it lies in the repository, with fewer trials of fewer epochs.
#[test]
fn the_digits_example_from_apply_to_delete() {
    let example = Path::new(ROOT).join("examples/digits");
    let Some(local) = Local::start(&example) else { return };
    let whole = std::fs::read_to_string(example.join("experiment.yaml")).unwrap();
    let small = whole.replace("maxTrials: 30", "maxTrials: 4").replace("train.py]", "train.py, --epochs=3]");
    assert!(small.contains("maxTrials: 4,") && small.contains("--epochs=3]"), "the example has changed:\n{small}");
    let file = local.write("experiment.yaml", &small);

    let mut watch = local
        .command(&["get", "trials", "-w", "--no-headers"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(local.ok(&["apply", "-f", &file]), "experiment.automl.dev/digits created\n");
    let waited = local.ok(&["wait", "--for=condition=Complete", "experiment/digits", "--timeout=180s"]);
    assert_eq!(waited, "experiment.automl.dev/digits condition met\n");
    watch.kill().unwrap();
    let seen = text(&watch.wait_with_output().unwrap().stdout);
    for status in ["Running", "Succeeded"] {
        let rows = seen.lines().filter(|line| cells(line)[..] >= ["digits-00000"][..] && line.contains(status));
        assert!(rows.count() >= 4, "a watch shows each trial {status}:\n{seen}");
    }

    let table = local.ok(&["get", "exp,trials"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(cells(lines[0]), ["NAME", "STATUS", "TRIALS", "RUNNING", "SUCCEEDED", "FAILED", "BEST", "AGE"]);
    let experiment = cells(lines[1]);
    assert_eq!(experiment[..6], ["experiment.automl.dev/digits", "MaxTrialsReached", "4", "0", "4", "0"], "{table}");
    assert_eq!(cells(lines[3]), ["NAME", "EXPERIMENT", "STATUS", "OBJECTIVE", "AGE"]);
    let trials: Vec<Vec<&str>> = lines[4..].iter().map(|line| cells(line)).collect();
    assert!(trials.len() == 4 && trials.iter().all(|trial| trial[1..3] == ["digits", "Succeeded"]), "{table}");
    let best = trials.iter().map(|trial| trial[3].parse::<f64>().unwrap()).fold(f64::MIN, f64::max);
    assert_eq!(experiment[6].parse::<f64>().unwrap(), best, "{table}");

    let wide = local.ok(&["get", "automl", "-o", "wide"]);
    for column in ["BEST-TRIAL", "OBJECTIVE", "ALGORITHM", "ATTEMPT", "MESSAGE"] {
        assert!(wide.contains(column), "{column}: {wide}");
    }
    let described = local.ok(&["describe", "experiment", "digits"]);
    for part in
        ["Parameter Constraints:", "Best:", "Optimizer:", "MaxTrialsReached", "all 4 trials have ended", "Events:"]
    {
        assert!(described.contains(part), "{part}: {described}");
    }
    assert!(local.ok(&["describe", "trial", "digits-00000"]).contains("Curve:"));
    assert_eq!(local.ok(&["get", "jobs", "-o", "name"]), "", "Jobs go once their results are stored");

    assert_eq!(
        local.ok(&["delete", "exp", "digits"]),
        "experiment.automl.dev \"digits\" deleted from default namespace\n"
    );
    local.until("the trials went with it", || local.ok(&["get", "exp,trials,jobs,pods", "-o", "name"]).is_empty());
}

#[test]
fn explained_field_by_field() {
    let Some(local) = Local::start(Path::new(ROOT)) else { return };
    let table = [
        (
            "experiment.spec.parameters",
            &["FIELD: parameters <[]Object>", "name\t<string> -required-", "Names without an order."][..],
        ),
        ("exp.spec.limits.parallelTrials", &["<integer>", "How many run at a time."]),
        ("experiments.spec.trialTemplate", &["manifest\t<Object> -required-", "primaryContainer"]),
        ("trial.status", &["conditions\t<[]Object>", "metrics\t<[]Object>", "objective\t<number>"]),
    ];
    for (path, parts) in table {
        let said = local.ok(&["explain", path]);
        for part in parts {
            assert!(said.contains(part), "{path}: {part}: {said}");
        }
    }
    let recursive = local.ok(&["explain", "experiment", "--recursive"]);
    assert!(recursive.contains("algorithm\t<Object>") && recursive.contains("enum: Auto, Random"), "{recursive}");
}

/// Limits and suspension are edited while it runs; every way of writing that kubectl has is used.
#[test]
fn edited_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let Some(local) = Local::start(folder.path()) else { return };
    let script = "echo score=$X; while ! test -e go; do sleep 0.05; done";
    let file = local.write("e.json", &shell("e", 3, script));
    assert_eq!(local.ok(&["apply", "--server-side", "-f", &file]), "experiment.automl.dev/e serverside-applied\n");
    assert_eq!(local.ok(&["apply", "--server-side", "-f", &file]), "experiment.automl.dev/e serverside-applied\n");
    assert_eq!(local.run(&["diff", "--server-side", "-f", &file]).status.code(), Some(0));
    local.until("one runs", || local.ok(&["get", "trials"]).contains("Running"));

    let conflict = local.refused(&[
        "apply",
        "--server-side",
        "--field-manager=other",
        "-f",
        &local.write("f.json", &shell("e", 5, script)),
    ]);
    assert!(conflict.contains("conflict with \"kubectl\": .spec.limits.maxTrials"), "{conflict}");
    local.ok(&["patch", "exp", "e", "--type=merge", "-p", r#"{"spec": {"suspend": true}}"#]);
    local.ok(&["wait", "--for=condition=Suspended", "exp/e", "--timeout=30s"]);
    std::fs::write(folder.path().join("go"), "").unwrap();
    local.until("the first ended", || local.ok(&["get", "trials"]).contains("Succeeded"));
    let raised = r#"[{"op": "replace", "path": "/spec/suspend", "value": false}, {"op": "replace", "path": "/spec/limits/maxTrials", "value": 4}]"#;
    local.ok(&["patch", "exp", "e", "--type=json", "-p", raised]);
    local.ok(&["label", "exp", "e", "team=vision"]);
    local.ok(&["annotate", "exp", "e", "note=first"]);
    local.ok(&["wait", "--for=condition=Complete", "exp/e", "--timeout=60s"]);
    let experiment = local.json(&["get", "exp", "e"]);
    assert_eq!(experiment["status"]["trials"]["succeeded"], 4, "{experiment}");
    assert_eq!(
        (&experiment["metadata"]["labels"]["team"], &experiment["metadata"]["annotations"]["note"]),
        (&json!("vision"), &json!("first"))
    );
    assert_eq!(local.ok(&["get", "exp", "-l", "team=vision", "-o", "name"]), "experiment.automl.dev/e\n");

    let frozen = local.refused(&[
        "patch",
        "exp",
        "e",
        "--type=json",
        "-p",
        r#"[{"op": "replace", "path": "/spec/objectives/0/metric", "value": "loss"}]"#,
    ]);
    assert!(
        frozen.contains("objectives cannot be changed: results under another objective would not be comparable"),
        "{frozen}"
    );
    assert!(local.refused(&["get", "exp", "nothing"]).contains("experiments.automl.dev \"nothing\" not found"));
}

/// A Trial made by hand joins its Experiment, and `kubectl delete` stops what runs.
#[test]
fn a_trial_by_hand_and_a_deletion() {
    let folder = tempfile::tempdir().unwrap();
    let Some(local) = Local::start(folder.path()) else { return };
    let script = "echo $$ >> pids; echo score=$X; exec sleep 600";
    local.ok(&["create", "-f", &local.write("e.json", &shell("e", 1, &script.replace("$$", "$$$$")))]);
    local.until("one runs", || local.ok(&["get", "trials"]).contains("Running"));
    let mine = json!({
        "apiVersion": "automl.dev/v1alpha1", "kind": "Trial", "metadata": {"name": "mine"},
        "spec": {"experiment": "e", "assignments": {"x": 0.75}},
    });
    local.ok(&["apply", "-f", &local.write("mine.json", &mine.to_string())]);
    local.until("it is told why it waits", || local.ok(&["get", "trial", "mine"]).contains("WaitingForSlot"));
    local.ok(&[
        "patch",
        "exp",
        "e",
        "--type=merge",
        "-p",
        r#"{"spec": {"limits": {"maxTrials": 2, "parallelTrials": 2}}}"#,
    ]);
    local.until("both run", || {
        local.json(&["get", "trials"])["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|trial| trial["status"]["startTime"].is_string())
            .count()
            == 2
    });
    local.ok(&["delete", "exp", "e", "--cascade=foreground", "--timeout=60s"]);
    assert_eq!(local.ok(&["get", "exp,trials,jobs,pods", "-o", "name"]), "");
    for pid in std::fs::read_to_string(folder.path().join("pids")).unwrap().lines() {
        local.until("its process is gone", || !Path::new("/proc").join(pid).exists());
    }
}

/// `automl validate` says offline, word for word, what kubectl says of a refused file.
#[test]
fn validate_says_what_kubectl_says() {
    let Some(local) = Local::start(Path::new(ROOT)) else { return };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(Path::new(ROOT).join("tests/bad")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() > 60);
    let mut wrong = String::new();
    for file in files {
        let file = file.display().to_string();
        let kubectl = local.refused(&["create", "-f", &file]);
        // In front of what is no list of fields, kubectl says which file it is about.
        let kubectl = kubectl
            .rsplit_once(&format!("error when creating \"{file}\": "))
            .map_or(kubectl.as_str(), |(_, said)| said);
        let validate = Command::new(AUTOML).args(["validate", "-f", &file]).output().unwrap();
        assert_eq!(validate.status.code(), Some(2), "{file}");
        let said = text(&validate.stderr);
        if said.strip_prefix("automl: ") != Some(kubectl) {
            wrong.push_str(&format!("== {file}\nkubectl:  {kubectl}\nvalidate: {said}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
