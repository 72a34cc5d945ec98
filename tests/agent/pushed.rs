//! Programs that say by themselves what they have measured.

use super::operator::{Operator, operator, reporting, values, values_of};
use automl_operator::report::Body;
use std::path::Path;
use std::process::Command;

/// As `docs/metrics.md` has it.
const REPORT: &str = r#"
import json, os, urllib.request

def report(**observation):
    with open(os.environ["AUTOML_TOKEN_FILE"]) as file:
        head = {"Authorization": "Bearer " + file.read().strip()}
    post = urllib.request.Request(os.environ["AUTOML_PUSH_URL"], json.dumps(observation).encode(), head)
    with urllib.request.urlopen(post, timeout=30) as answer:
        return json.load(answer)["stop"]
"#;

fn python(source: &str, program: &str, folder: &Path, url: &str) -> Command {
    std::fs::write(folder.join("program.py"), program).unwrap();
    let mut command = reporting("exec python3 program.py", url);
    std::fs::write(folder.join("token"), "mine.1").unwrap();
    command.env("AUTOML_SOURCE", source).env("AUTOML_TOKEN_FILE", folder.join("token")).current_dir(folder);
    // Of the machine that the test runs on; the agent says for which hosts it is not asked.
    command.env("HTTP_PROXY", "http://127.0.0.1:1").env("http_proxy", "http://127.0.0.1:1");
    command
}

fn run(command: &mut Command) -> String {
    let (printed, said) = run_and_hear(command);
    assert!(!said.contains("automl"), "{said}");
    printed
}

/// What it printed, and what was said besides.
fn run_and_hear(command: &mut Command) -> (String, String) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    (String::from_utf8(output.stdout).unwrap(), said)
}

/// Steps of the accuracy.
fn steps(state: &std::sync::Mutex<Operator>) -> Vec<Option<u64>> {
    let step = |body: &Body| match body {
        Body::Observation(observation) if observation.metric == "accuracy" => Some(observation.step),
        _ => None,
    };
    state.lock().unwrap().stored.iter().filter_map(step).collect()
}

#[test]
fn one_or_many_observations_are_pushed_and_answered() {
    let folder = tempfile::tempdir().unwrap();
    let (url, state) = operator(Operator::default());
    let program = format!(
        r#"{REPORT}
import urllib.error
def post(body, url=os.environ["AUTOML_PUSH_URL"], method="POST", token="Bearer mine.1"):
    try:
        head = {{"Authorization": token}} if token else {{}}
        return json.load(urllib.request.urlopen(urllib.request.Request(url, body.encode(), head, method=method)))
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()[:38]
print("accuracy=9")
print(report(step=1, accuracy=0.1, loss=3))
print(post('[{{"step": 2, "accuracy": 0.2}}, {{"step": 3, "accuracy": NaN}}]'))
print(post('{{"step": 4, "accuracy": 0.4}}\n{{"step": 5, "accuracy": 0.5}}'))
print(post("accuracy=1"))
try:
    print("too much" if post(" " * (5 << 20))[0] == 413 else "taken")
except OSError:
    print("too much")
print(post('{{"accuracy": 7}}', os.environ["AUTOML_PUSH_URL"][:-1])[0])
print(post("", method="PUT")[0])
print(post('{{"accuracy": 7}}', token=None))
print(post('{{"accuracy": 7}}', token="Bearer of.another.trial"))
def rotate(token):
    with open("next", "w") as file:
        file.write(token)
    os.rename("next", "token")
rotate("mine.2")
print(report(step=6, accuracy=0.6))
print(post('{{"step": 7, "accuracy": 0.7}}'))
rotate("mine.3")
print(post('{{"accuracy": 7}}')[0], report(step=8, accuracy=0.8))
os.remove("token")
print(post('{{"accuracy": 7}}')[0])
"#
    );
    // Images without a shell have no folder for temporary files.
    let mut command = python(r#"{"push": {}}"#, &program, folder.path(), &url);
    let (printed, said) = run_and_hear(command.env("TMPDIR", "/no/such/folder"));
    assert_eq!(said, "automl-agent: 1 line looks like a metric and could not be read: accuracy=1\n");
    let expected = "accuracy=9\nFalse\n{'stop': False, 'taken': 2}\n{'stop': False, 'taken': 2}\n\
                    (400, '{\"error\":\"byte 0 begins no JSON object')\ntoo much\n404\n405\n\
                    (401, '{\"error\":\"say which trial this is, wit')\n(401, '{\"error\":\"this is not the token of thi')\n\
                    False\n{'stop': False, 'taken': 1}\n401 False\n503\n";
    assert_eq!(printed, expected);
    let values = values(&state);
    assert!(values[2].is_nan());
    assert_eq!((values[0], values[1], &values[3..]), (0.1, 0.2, [0.4, 0.5, 0.6, 0.7, 0.8].as_slice()));
    assert_eq!(steps(&state), (1..=8).map(Some).collect::<Vec<_>>());
    let seen = |body: &Body| matches!(body, Body::Seen(names) if names == &["loss"]);
    assert!(state.lock().unwrap().stored.iter().any(seen));
}

#[test]
fn a_program_that_is_to_stop_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let (url, state) = operator(Operator { stop: true, ..Operator::default() });
    let program = format!(
        "{REPORT}\nimport signal, time\nsignal.signal(signal.SIGTERM, lambda *_: None)\n\
         while not report(accuracy=0.5): time.sleep(0.05)\nreport(accuracy=0.75)\n"
    );
    let mut command = python(r#"{"push": {}}"#, &program, folder.path(), &url);
    let output = command.env("AUTOML_GRACE_SECONDS", "60").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(values(&state).last(), Some(&0.75));
}

/// The requests of transformers 5.24's `KubeflowCallback`, which it sends by itself where the environment has these variables;
/// `tests/programs.rs` has the callback itself.
#[test]
fn progress_as_hugging_faces_trainer_posts_it() {
    let folder = tempfile::tempdir().unwrap();
    let (url, state) = operator(Operator::default());
    let program = r#"
import json, os, urllib.request
from datetime import datetime, timezone
with open(os.environ["KUBEFLOW_TRAINER_SERVER_TOKEN"], encoding="utf-8") as file:
    token = file.read().strip()
assert token == 'mine.1'
def update(metrics, percent=3):
    status = {"lastUpdatedTime": datetime.now(timezone.utc).isoformat(), "progressPercentage": percent,
              "estimatedRemainingSeconds": 5, "metrics": [{"name": str(k), "value": str(v)} for k, v in metrics.items()]}
    data = json.dumps({"trainerStatus": status}).encode("utf-8")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(os.environ["KUBEFLOW_TRAINER_SERVER_URL"], data=data, headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=5, context=None) as answer:
        assert answer.status == 200
update({"total_steps": 30})
update({"loss": 1.5, "epoch": 0.5, "current_step": 5, "total_steps": 30, "current_epoch": 0.5})
update({"loss": 1.5, "accuracy": 0.25, "epoch": 1.0, "current_step": 10, "total_steps": 30, "current_epoch": 1.0})
update({"loss": 1.5, "accuracy": 0.5, "epoch": 2.0, "current_step": 20, "total_steps": 30, "current_epoch": 2.0})
update({"loss": 1.5, "accuracy": 0.75, "epoch": 3.0, "train_runtime": 9.5}, 100)
"#;
    run(python(r#"{"push": {}}"#, program, folder.path(), &url).env("AUTOML_METRICS", r#"["accuracy", "loss"]"#));
    assert_eq!((values(&state), values_of(&state, "loss")), (vec![0.25, 0.5, 0.75], vec![1.5]));
    assert_eq!(steps(&state), [Some(10), Some(20), Some(20)]);
}

/// A trial as NNI's examples are written.
const TRIAL: &str = r#"
import argparse, os, nni
from nni.utils import merge_parameter

parameters = nni.get_next_parameter()
assert parameters == nni.get_current_parameter() and nni.get_current_parameter("lr") == 0.5
layer = parameters["layer"]
arguments = vars(merge_parameter(argparse.Namespace(lr=0.1, layer=None, batch=32), parameters))
print(arguments["lr"], arguments["batch"], layer["_name"], layer["size"])
print(nni.get_experiment_id(), nni.get_trial_id(), nni.get_sequence_id(), os.path.isdir(os.environ["NNI_OUTPUT_DIR"]))
class Tensor:
    def item(self):
        return 0.25
nni.report_intermediate_result(0.125)
nni.report_intermediate_result({"default": Tensor(), "loss": 2.0, "lr": 1})
nni.report_intermediate_result(float("nan"))
nni.report_final_result({"default": 0.5, "loss": 1.0})
nni.report_final_result(0.75)
print(nni.get_next_parameter())
"#;

const NNI: &str = r#"{"nni": {"experiment": "digits", "index": 7, "nested": ["layer"]}}"#;

fn nni(program: &str, folder: &Path, url: &str) -> Command {
    let mut command = python(NNI, program, folder, url);
    command.env("AUTOML_METRICS", r#"["accuracy", "loss"]"#);
    command.env("AUTOML_PARAMETERS", r#"{"lr": 0.5, "layer": "conv", "layer__size": 3, "batch": 64}"#);
    command.env_remove("NNI_OUTPUT_DIR");
    command
}

#[test]
fn trial_code_of_nni_runs_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (url, state) = operator(Operator::default());
    // A virtual environment of the machine may well have NNI's own.
    let said = run(nni(TRIAL, folder.path(), &url).env("PYTHONNOUSERSITE", "1"));
    assert_eq!(said, "0.5 64 conv 3\ndigits t 7 True\nNone\n");
    let values = values(&state);
    assert!(values[2].is_nan());
    assert_eq!((values[0], values[1], &values[3..]), (0.125, 0.25, [0.5].as_slice()));
    assert_eq!((values_of(&state, "loss"), steps(&state)), (vec![2.0, 1.0], (1..=4).map(Some).collect()));
}

#[test]
fn the_stand_in_gives_way_to_nni_where_that_is_installed_and_works() {
    let folder = tempfile::tempdir().unwrap();
    let (url, _) = operator(Operator::default());
    let package = folder.path().join("site/nni");
    std::fs::create_dir_all(&package).unwrap();
    let program =
        "import sys\nsys.path.append('site')\nimport nni, nni.utils\nprint(nni.__version__, nni.utils.__file__)";
    std::fs::write(package.join("__init__.py"), "__version__ = '2.10'\nfrom . import utils").unwrap();
    std::fs::write(package.join("utils.py"), "").unwrap();
    let said = run(&mut nni(program, folder.path(), &url));
    assert!(said.starts_with("2.10 ") && said.trim_end().ends_with("site/nni/utils.py"), "{said}");
    std::fs::write(package.join("utils.py"), "import no_such_module").unwrap();
    let output = nni(program, folder.path(), &url).output().unwrap();
    let (said, noted) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with("3.0 ") && said.contains("/python/nni/utils.py"), "{said} {noted}");
    assert!(noted.contains("the installed nni cannot be imported (No module named 'no_such_module')"), "{noted}");
    let lacking = "import nni\nassert not hasattr(nni, 'trace')\nnni.choice";
    let output = nni(lacking, tempfile::tempdir().unwrap().path(), &url).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("this stand-in for the package nni has no 'choice'"));
}

/// What the packages before 3.0 print, which read their parameters from a file.
#[test]
fn older_packages_of_nni_print_what_they_report() {
    let folder = tempfile::tempdir().unwrap();
    let (url, state) = operator(Operator::default());
    let program = r#"
import json, os
with open(os.path.join(os.environ["NNI_SYS_DIR"], "parameter.cfg")) as file:
    record = json.load(file)
assert record["parameters"]["layer"] == {"_name": "conv", "size": 3}
assert os.environ["NNI_PLATFORM"] == "kubeflow" and os.environ["MULTI_PHASE"] == "false"
for kind, sequence, value in [("PERIODICAL", 0, "0.1"), ("PERIODICAL", 1, "0.2"), ("FINAL", 0, '{"default": 0.3}')]:
    metric = json.dumps({"parameter_id": record["parameter_id"], "trial_job_id": os.environ["NNI_TRIAL_JOB_ID"],
                         "type": kind, "sequence": sequence, "value": value})
    print("NNISDK_MEb'%s'" % metric, flush=True)
print("accuracy=9")
"#;
    run(&mut nni(program, folder.path(), &url));
    assert_eq!((values(&state), steps(&state)), (vec![0.1, 0.2, 0.3], (1..=3).map(Some).collect()));
}
