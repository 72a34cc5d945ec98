//! Our own node (tests/cluster/up.sh), whose parts can be killed and frozen.

use super::space::Space;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub struct Bench {
    /// The folder of its run.
    pub run: PathBuf,
}

impl Bench {
    /// `None`: the cluster is not ours, and a line says so. With CI=true that is an error.
    pub fn find() -> Option<Self> {
        super::space::kubeconfig()?;
        let run = std::env::var_os("RUN").map(PathBuf::from);
        let found = run.filter(|run| std::fs::read_to_string(run.join("level")).is_ok_and(|level| level == "node\n"));
        if found.is_none() {
            let why = "RUN names no node of tests/cluster/up.sh, and this test kills or freezes parts of one";
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
            eprintln!("skipped: {why}");
        }
        found.map(|run| Bench { run })
    }

    /// The same for tests that do something else on other clusters.
    pub fn on_bench() -> Option<Self> {
        std::env::var_os("RUN").and_then(|_| Self::find())
    }

    /// Such as `part("pause", "etcd")`.
    pub fn part(&self, action: &str, part: &str) -> String {
        output(script("part.sh").arg(&self.run).args([action, part]))
    }

    /// Starts a part, if it does not run.
    pub fn restart(&self, part: &str) {
        let runs = script("part.sh").arg(&self.run).args(["pid", part]).stderr(Stdio::null()).output().unwrap();
        if !runs.status.success() {
            self.part("start", part);
        }
    }

    /// Runs a command in the node's network.
    pub fn inside(&self, command: &[&str]) -> String {
        output(script("in.sh").arg(&self.run).args(command))
    }

    /// Makes an image and gives it to the node.
    pub fn image(&self, tag: &str, arguments: &[&str]) {
        let tar = self.run.join("images").join(tag.replace(['/', ':'], "-"));
        output(script("image.py").args(["--tag", tag, "--out"]).arg(&tar).args(arguments));
        output(script("load.sh").args([&self.run, &tar]));
    }

    /// What the API server has answered since this namespace was made, a line each.
    pub fn requests(&self, space: &Space) -> Vec<Value> {
        let text = std::fs::read_to_string(self.run.join("log/audit.log")).unwrap();
        // The last line may be about to be written.
        let all = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let since =
            |request: &Value| request["stageTimestamp"].as_str().unwrap().parse::<Timestamp>().unwrap() >= space.since;
        all.filter(since).collect()
    }

    /// No name of a Job was used twice.
    pub fn assert_each_job_was_made_once(&self, space: &Space) {
        let mut times = BTreeMap::new();
        for request in self.requests(space) {
            let object = &request["objectRef"];
            let asked = request["requestURI"].as_str().unwrap().contains("dryRun");
            let made = request["verb"] == "create" && request["responseStatus"]["code"] == 201 && !asked;
            if made && object["resource"] == "jobs" && object["namespace"] == space.namespace {
                *times.entry(object["name"].as_str().unwrap().to_owned()).or_insert(0) += 1;
            }
        }
        assert!(!times.is_empty(), "the audit log tells of them");
        times.retain(|_, times| *times > 1);
        assert!(times.is_empty(), "{times:?}");
    }

    /// The processes of a container.
    pub fn processes(&self, container: &str) -> Vec<u32> {
        let numbers = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let entry = entry.unwrap();
            let number = entry.file_name().to_str()?.parse().ok()?;
            let groups = std::fs::read_to_string(entry.path().join("cgroup")).ok()?;
            groups.contains(container).then_some(number)
        });
        numbers.collect()
    }

    /// Kills all that runs in pods, as the end of their machine does.
    pub fn end_all_containers(&self) {
        // The control group of this run: see lib/run.sh.
        let sum = output(Command::new("sh").args(["-c", "printf %s \"$0\" | sha256sum"]).arg(&self.run));
        self.signal(&format!("automl-{}", &sum[..8]), "KILL");
    }

    /// Sends a signal, such as `KILL`, to all processes of a container.
    pub fn signal(&self, container: &str, signal: &str) {
        let processes: Vec<String> = self.processes(container).iter().map(u32::to_string).collect();
        assert!(!processes.is_empty(), "container {container} has no process");
        // One may have ended since.
        let _ = Command::new("kill").arg(format!("-{signal}")).args(processes).stderr(Stdio::null()).status();
    }
}

fn script(name: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster").join(name))
}

/// What a command prints. It must succeed.
pub fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}
