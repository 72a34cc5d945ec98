//! One experiment whose trials are shell scripts, run by the built program.

// Each file of tests uses its own part.
#![allow(dead_code)]

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// An experiment in a folder of its own. Each start and each end of a trial is a line of a file.
pub struct Run {
    pub folder: TempDir,
    pub state: PathBuf,
}

pub const STARTED: &str = "started";
pub const FINISHED: &str = "finished";

impl Run {
    /// `script` runs in the folder of the file, after the line that says that it has started.
    pub fn new(limits: &str, script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = Run { state: folder.path().join("state"), folder };
        let script =
            format!("echo $AUTOML_TRIAL $AUTOML_ATTEMPT $$ >> {STARTED}; {script}; echo $AUTOML_TRIAL >> {FINISHED}");
        // Kubernetes makes one dollar of two.
        let script = script.replace("$$", "$$$$");
        run.write(&format!(
            r#"
apiVersion: automl.dev/v1alpha1
kind: Experiment
metadata: {{name: run}}
spec:
  objectives: [{{metric: accuracy, direction: Maximize}}]
  parameters:
  - {{name: x, double: {{min: 0, max: 1}}}}
  - {{name: c, categorical: {{choices: [u, v]}}}}
  algorithm: {{name: Random, seed: 3}}
  limits: {limits}
  failurePolicy: {{retries: 0}}
  trialTemplate:
    primaryContainer: main
    manifest:
      apiVersion: batch/v1
      kind: Job
      spec:
        template:
          spec:
            restartPolicy: Never
            terminationGracePeriodSeconds: 1
            containers:
            - name: main
              image: none
              command: [sh, -c]
              args: [{script:?}]
"#
        ));
        run
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("experiment.yaml")
    }

    pub fn write(&self, text: &str) {
        std::fs::write(self.file(), text).unwrap();
    }

    /// Replaces a part of the file.
    pub fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.file()).unwrap();
        assert!(text.contains(from), "{from}");
        self.write(&text.replace(from, to));
    }

    pub fn command(&self) -> Command {
        let mut command = automl();
        command.args(["run", "-f"]).arg(self.file()).arg("--state-dir").arg(&self.state);
        command
    }

    /// Lets the trials that wait for it go on.
    pub fn go(&self) {
        std::fs::write(self.folder.path().join("go"), "").unwrap();
    }

    /// The Experiment and its Trials, as the program prints them at the end.
    pub fn items(output: &Output) -> Vec<Value> {
        let list: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", show(output)));
        list["items"].as_array().unwrap().clone()
    }

    pub fn spawn(&self) -> Child {
        self.command().spawn().unwrap()
    }

    pub fn lines(&self, file: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub fn wait_for_lines(&self, file: &str, count: usize) {
        wait_for(&format!("{count} lines in {file}"), || self.lines(file).len() >= count);
    }

    /// No process of any trial is left.
    pub fn nobody_is_left(&self) {
        for line in self.lines(STARTED) {
            let pid = line.split(' ').nth(2).unwrap().to_owned();
            assert!(pid.parse::<u32>().is_ok(), "{line}");
            wait_for(&format!("the end of {line}"), || !runs_in(&pid, self.folder.path()));
        }
    }

    /// No attempt was started twice.
    pub fn no_attempt_twice(&self) {
        let started = self.lines(STARTED);
        let attempts: BTreeSet<String> =
            started.iter().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect();
        assert_eq!(attempts.len(), started.len(), "{started:?}");
    }
}

/// The built program.
pub fn automl() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_automl"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn wait_for(what: &str, ready: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !ready() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The process is alive and is the trial's, not another one that got its number.
pub fn runs_in(pid: &str, folder: &Path) -> bool {
    let at_home = std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder);
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    at_home && stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

pub fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap().success());
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn show(output: &Output) -> String {
    format!("exit {:?}\n{}\n{}", output.status.code(), text(&output.stdout), text(&output.stderr))
}
