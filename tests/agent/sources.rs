//! Metrics that a program writes elsewhere than to its output.

use super::operator::{Operator, operator, reporting, values, values_of};
use std::process::Command;

fn from(source: &str, script: &str, url: &str) -> Command {
    let mut command = reporting(script, url);
    command.env("AUTOML_SOURCE", source);
    command
}

#[test]
fn a_file_is_read_while_it_grows_and_to_its_very_end() {
    let folder = tempfile::tempdir().unwrap();
    // (source, script) with the same values: what is printed does not count then.
    let table = [
        (
            r#"{"file": {"path": "log.csv", "format": "Csv", "filters": []}}"#,
            "echo epoch,accuracy > log.csv; for i in 1 2 3; do echo $i,0.$i >> log.csv; sleep 0.4; done; printf 4,0.4 >> log.csv",
        ),
        (
            r#"{"file": {"path": "log.jsonl", "format": "JsonLines", "filters": []}}"#,
            r#"for i in 1 2 3 4; do echo "{\"step\": $i, \"accuracy\": 0.$i}" >> log.jsonl; done"#,
        ),
        (
            r#"{"file": {"path": "log.txt", "format": "Text", "filters": []}}"#,
            "for i in 1 2; do echo accuracy=0.$i >> log.txt; done; sleep 0.8; mv log.txt old; \
             for i in 3 4; do echo accuracy=0.$i >> log.txt; done",
        ),
        (
            r#"{"file": {"path": "log.txt", "format": "Text", "filters": ["(accuracy) is ([0-9.]+)"]}}"#,
            "for i in 1 2 3 4; do echo accuracy is 0.$i, accuracy=7 >> log.txt; done",
        ),
    ];
    for (at, (source, script)) in table.iter().enumerate() {
        let (url, state) = operator(Operator::default());
        let working = folder.path().join(at.to_string());
        std::fs::create_dir(&working).unwrap();
        let script = format!("echo accuracy=9; {script}");
        let output = from(source, &script, &url).current_dir(&working).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(values(&state), [0.1, 0.2, 0.3, 0.4], "{source}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn event_files_of_tensorboard_are_read() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/metrics/torch.tfevents");
    let folder = tempfile::tempdir().unwrap();
    let (url, state) = operator(Operator::default());
    let metric = {
        use automl_operator::metrics::{EventFile, TensorBoard};
        let bytes = std::fs::read(data).unwrap();
        let found = TensorBoard::all().feed(&mut EventFile::new(""), &bytes, jiff::Timestamp::now());
        found[0].observation.metric.clone()
    };
    let script = format!("mkdir -p runs/a; sleep 0.7; cp {data} runs/a/events.out.tfevents.1.host");
    let source = r#"{"tensorboard": {"path": "runs"}}"#;
    let status = from(source, &script, &url)
        .env("AUTOML_METRICS", serde_json::json!([metric]).to_string())
        .current_dir(folder.path())
        .status()
        .unwrap();
    assert!(status.success());
    assert!(!values_of(&state, &metric).is_empty());
}

#[test]
fn what_a_program_offers_to_prometheus_is_scraped() {
    let (url, state) = operator(Operator::default());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let program = format!(
        r#"
import http.server, threading, time
value = [0.1]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(f'# TYPE accuracy gauge\naccuracy{{{{split="validation"}}}} {{value[0]}}\n'.encode())
        value[0] = round(value[0] + 0.1, 1)
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", {port}), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
while value[0] < 0.35: time.sleep(0.1)
"#
    );
    let source = format!(r#"{{"prometheus": {{"port": {port}, "path": "/metrics", "intervalSeconds": 1}}}}"#);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("serve.py");
    std::fs::write(&file, program).unwrap();
    let status = from(&source, &format!("exec python3 {}", file.display()), &url).status().unwrap();
    assert!(status.success());
    assert_eq!(values(&state)[..3], [0.1, 0.2, 0.3]);
}

#[test]
fn what_cannot_be_read_is_said_in_the_programs_log() {
    let folder = tempfile::tempdir().unwrap();
    let table = [
        (
            r#"{"file": {"path": "log.csv", "format": "Csv", "filters": []}}"#,
            "log.csv, where metrics were to be read, was never there",
        ),
        (r#"{"tensorboard": {"path": "runs"}}"#, "runs has no event files of TensorBoard"),
        (
            r#"{"prometheus": {"port": 1, "path": "/metrics", "intervalSeconds": 1}}"#,
            "http://127.0.0.1:1/metrics was never scraped",
        ),
    ];
    for (source, expected) in table {
        let (url, _) = operator(Operator::default());
        let output = from(source, "true", &url).current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(expected), "{said}");
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn runs_of_mlflow_are_read_from_its_file_store() {
    let folder = tempfile::tempdir().unwrap();
    let (url, state) = operator(Operator::default());
    // As mlflow 3.17 writes them: one of this program, and one of another that shares the store.
    let program = r#"
import json, os, pathlib, time
tags = json.loads(os.environ["MLFLOW_RUN_CONTEXT"])
assert tags["mlflow.runName"] == "t" and tags["mine"] == "yes", tags
assert os.environ["MLFLOW_EXPERIMENT_NAME"] == "digits" and os.environ["MLFLOW_ALLOW_FILE_STORE"] == "true"
store = pathlib.Path(os.environ["MLFLOW_TRACKING_URI"])
assert store.is_absolute()
# Two programs may start at the same moment: the experiment is there by now, as MLflow would have made it.
metas = {meta.parent.name: meta.read_text() for meta in store.glob("*/meta.yaml")}
assert len(metas) == 2 and 'name: "Default"' in metas["0"], metas
assert sum('name: "digits"' in meta for meta in metas.values()) == 1, metas
for name, tags, value in [("other", {**tags, "automl.trial": "x"}, 9), ("own", tags, 0)]:
    run = store / "4377" / name
    (run / "tags").mkdir(parents=True)
    for tag, text in tags.items():
        (run / "tags" / tag).write_text(text)
    (run / "metrics" / "val").mkdir(parents=True)
    for step in 1, 2, 3:
        with open(run / "metrics" / "val" / "accuracy", "a") as file:
            file.write(f"1795808059029 {value + step / 10} {step}\n")
        time.sleep(0.3)
"#;
    std::fs::write(folder.path().join("program.py"), program).unwrap();
    let source = r#"{"mlflow": {"path": "runs", "experiment": "digits"}}"#;
    let output = from(source, "exec python3 program.py", &url)
        .env("AUTOML_METRICS", r#"["val/accuracy"]"#)
        .env("MLFLOW_RUN_CONTEXT", r#"{"mine": "yes"}"#)
        .env_remove("MLFLOW_TRACKING_URI")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(values_of(&state, "val/accuracy"), [0.1, 0.2, 0.3]);
}
