//! Two agents in one pod: one around the program, one beside it, which says on what the first one reads.

use super::operator::{Operator, ended, operator, values};
use super::{agent, signal, wait_for};
use automl_operator::report::Batch;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use tempfile::TempDir;

/// The container beside the program's.
pub struct Sidecar {
    child: Child,
    folder: TempDir,
    url: String,
}

impl Sidecar {
    pub fn start(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = run(folder.path(), url, 20);
        Sidecar { child, folder, url: url.to_owned() }
    }

    /// As the kubelet does when it dies.
    fn restart(&mut self) {
        signal(&self.child, "KILL");
        self.child.wait().unwrap();
        self.child = run(self.folder.path(), &self.url, 20);
    }

    /// All of it is frozen, or goes on.
    pub fn freeze(&self, frozen: bool) {
        signal(&self.child, if frozen { "STOP" } else { "CONT" });
    }

    /// The program's container.
    pub fn program(&self, script: &str) -> Command {
        let mut command = agent(script);
        command.env("AUTOML_SOCKET", self.folder.path().join("agent.sock"));
        command.env("AUTOML_METRICS", r#"["accuracy"]"#).env("AUTOML_TRIAL", "t").env("AUTOML_FLUSH_SECONDS", "10");
        command
    }

    /// All containers but this one have ended. Gives the termination message.
    pub fn end(mut self) -> Option<Batch> {
        signal(&self.child, "TERM");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        let text = std::fs::read_to_string(self.folder.path().join("last-words")).ok()?;
        Some(serde_json::from_str(&text).unwrap())
    }
}

fn run(folder: &Path, url: &str, patience: u64) -> Child {
    let socket = folder.join("agent.sock");
    let _ = std::fs::remove_file(&socket);
    let mut command = Command::new(env!("CARGO_BIN_EXE_automl-agent"));
    command.arg("relay").env("AUTOML_REPORT_URL", url).env("AUTOML_TRIAL", "t").env("AUTOML_SOCKET", &socket);
    command.env("AUTOML_LAST_WORDS_FILE", folder.join("last-words")).env("AUTOML_FLUSH_SECONDS", patience.to_string());
    let child = command.stdin(Stdio::null()).spawn().unwrap();
    wait_for("the socket", || socket.exists().then_some(()));
    child
}

fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn has_ended(state: &Mutex<Operator>) -> bool {
    ended(state).is_some()
}

#[test]
fn what_the_program_prints_reaches_the_operator_through_both() {
    let (url, state) = operator(Operator { unavailable: 2, deaf: 2, ..Operator::default() });
    let sidecar = Sidecar::start(&url);
    let script = "for i in 1 2 3; do echo epoch=$i accuracy=0.$i loss=1; sleep 0.2; done; echo bye; exit 3";
    let output = sidecar.program(script).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(3), 0), "{output:?}");
    wait_for("the end", || has_ended(&state).then_some(()));
    assert_eq!(values(&state), [0.1, 0.2, 0.3]);
    assert_eq!(sidecar.end(), None, "all was said");
    let (code, _, tail) = ended(&state).unwrap();
    assert!(code == Some(3) && tail.contains("bye"), "{tail}");
}

#[test]
fn a_program_killed_with_its_agent_loses_nothing() {
    let (url, state) = operator(Operator::default());
    let sidecar = Sidecar::start(&url);
    let mut child =
        sidecar.program("echo accuracy=0.5; echo ready; exec sleep 60").stdout(Stdio::piped()).spawn().unwrap();
    super::ready(&mut child);
    std::thread::sleep(std::time::Duration::from_millis(200));
    signal(&child, "KILL");
    child.wait().unwrap();
    assert_eq!(sidecar.end(), None);
    assert_eq!(values(&state), [0.5]);
}

#[test]
fn an_operator_that_is_away_for_the_whole_trial_finds_the_last_words() {
    let (folder, url) = (tempfile::tempdir().unwrap(), nobody());
    let sidecar = Sidecar { child: run(folder.path(), &url, 1), folder, url };
    let script = "i=0; while [ $i -lt 500 ]; do i=$((i+1)); echo epoch=$i accuracy=$i; done; exit 4";
    assert_eq!(sidecar.program(script).stdout(Stdio::null()).status().unwrap().code(), Some(4));
    let words = sidecar.end().expect("last words");
    assert!(words.end && words.trial == "t" && words.records.len() > 3, "{words:?}");
    let said =
        Mutex::new(Operator { stored: words.records.into_iter().map(|r| r.body).collect(), ..Operator::default() });
    let values = values(&said);
    assert_eq!((values.first(), values.last()), (Some(&1.0), Some(&500.0)), "{values:?}");
    assert_eq!(ended(&said).unwrap().0, Some(4));
}

#[test]
fn a_sidecar_that_dies_is_told_again_what_was_not_stored() {
    let (url, state) = operator(Operator { unavailable: 3, ..Operator::default() });
    let mut sidecar = Sidecar::start(&url);
    let script = "i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo epoch=$i accuracy=$i; sleep 0.05; done";
    let mut child = sidecar.program(script).stdout(Stdio::null()).spawn().unwrap();
    for _ in 0..3 {
        std::thread::sleep(std::time::Duration::from_millis(400));
        sidecar.restart();
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    wait_for("the end", || has_ended(&state).then_some(()));
    assert_eq!(values(&state), (1..=40).map(f64::from).collect::<Vec<_>>());
    assert_eq!(sidecar.end(), None);
}

#[test]
fn a_stop_reaches_the_program() {
    let (url, state) = operator(Operator { stop: true, ..Operator::default() });
    let sidecar = Sidecar::start(&url);
    let output =
        sidecar.program("trap 'echo accuracy=0.9; exit 0' TERM; while :; do sleep 0.1; done").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("stopping: enough"), "{output:?}");
    wait_for("the end", || has_ended(&state).then_some(()));
    assert_eq!(values(&state), [0.9], "what it says when it is stopped counts");
    assert_eq!(sidecar.end(), None);
}

#[test]
fn a_container_that_begins_anew_says_its_own() {
    let (url, state) = operator(Operator { unavailable: 4, ..Operator::default() });
    let sidecar = Sidecar::start(&url);
    assert_eq!(sidecar.program("echo epoch=1 accuracy=0.1; exit 1").output().unwrap().status.code(), Some(1));
    assert_eq!(sidecar.program("echo epoch=1 accuracy=0.2").output().unwrap().status.code(), Some(0));
    wait_for("both ends", || (state.lock().unwrap().progress.sequence == 2 && values(&state).len() == 2).then_some(()));
    assert_eq!(values(&state), [0.1, 0.2]);
    assert_eq!(sidecar.end(), None);
}

#[test]
fn the_agent_is_installed_with_the_parameters_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("automl-agent");
    let install = |target: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_automl-agent"));
        command.args(["install", "--"]).arg(target).env("AUTOML_PARAMETERS", r#"{"x":1}"#).output().unwrap()
    };
    assert_eq!(install(&target).status.code(), Some(0));
    let output = Command::new(&target).args(["exec", "--", "echo", "hello"]).output().unwrap();
    assert_eq!(output.stdout, b"hello\n");
    assert_eq!(std::fs::read_to_string(folder.path().join("parameters.json")).unwrap(), r#"{"x":1}"#);
    let refused = install(&folder.path().join("none/automl-agent"));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot be written"), "{refused:?}");
    assert_eq!(refused.status.code(), Some(1));
}
