//! A full disk, through the built program: it is said, what was measured is kept, and with room the run goes on.

#![cfg(target_os = "linux")]

mod run_support;

use run_support::{FINISHED, Run, show, signal, text, wait_for};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

const SCRIPT: &str = "echo epoch=1 accuracy=0.25; touch said; while [ ! -e go ]; do sleep 0.05; done; \
                      echo epoch=2 accuracy=0.75";
const FULL: &str = "is full: nothing more can be stored. Make room, and the run goes on by itself";

/// Where there is no room left at some point.
trait Room {
    /// Takes all of it away from a program that runs.
    fn fill(&self, program: &Child);
    /// Gives it back.
    fn free(&self, program: &Child);
}

/// A small file system of its own. Only root can make one.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(path: &Path) -> Option<Self> {
        std::fs::create_dir(path).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=64m", "none"]).arg(path).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success()).then(|| Tmpfs(path.to_owned()))
    }

    fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).unwrap();
        while file.write(&[0; 4096]).is_ok_and(|count| count > 0) {}
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Room for Tmpfs {
    fn fill(&self, _: &Child) {
        self.fill();
    }

    fn free(&self, _: &Child) {
        self.free();
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// A limit on the size of files, which anybody can set: a write fails as it does under a quota.
struct Limit;

impl Limit {
    fn set(program: &Child, bytes: &str) {
        let mut command = Command::new("prlimit");
        command.args(["--pid", &program.id().to_string(), &format!("--fsize={bytes}:unlimited")]);
        assert!(command.status().unwrap().success());
    }
}

impl Room for Limit {
    fn fill(&self, program: &Child) {
        Self::set(program, "1");
    }

    fn free(&self, program: &Child) {
        Self::set(program, "unlimited");
    }
}

/// The program, and what it says meanwhile. It does not outlive a test that fails.
struct Program {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    fn spawn(run: &Run) -> Self {
        let command = run.command();
        // A write beyond the limit is to fail, not to end the program.
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
        shell.args(["-o", "json"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = shell.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (from, to) = (child.stderr.take().unwrap(), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines() {
                to.lock().unwrap().push_str(&(line.unwrap() + "\n"));
            }
        });
        Program { child, said }
    }

    fn wait_until_said(&self, words: &str) {
        wait_for(words, || self.said.lock().unwrap().contains(words));
    }

    fn end(mut self) -> (Output, String) {
        let mut stdout = Vec::new();
        self.child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
        let status = self.child.wait().unwrap();
        let said = self.said.lock().unwrap().clone();
        (Output { status, stdout, stderr: Vec::new() }, said)
    }
}

fn goes_on(run: &Run, room: &dyn Room, trials: usize) {
    let program = Program::spawn(run);
    wait_for("the first value", || run.folder.path().join("said").exists());
    room.fill(&program.child);
    run.go();
    program.wait_until_said(FULL);
    room.free(&program.child);
    program.wait_until_said("the state can be stored again");
    let (output, said) = program.end();
    assert_eq!(output.status.code(), Some(0), "{said}");
    all_was_measured(&output, run, trials);
    assert_eq!(run.lines(FINISHED).len(), trials, "nothing was repeated");
}

fn ends_and_goes_on_later(run: &Run, room: &dyn Room) {
    let program = Program::spawn(run);
    wait_for("the first value", || run.folder.path().join("said").exists());
    room.fill(&program.child);
    run.go();
    program.wait_until_said(FULL);
    signal(&program.child, "INT");
    program.wait_until_said("Ctrl-C again ends at once");
    signal(&program.child, "INT");
    program.wait_until_said("the same command goes on where this one stopped");
    let (output, said) = program.end();
    assert_eq!(output.status.code(), Some(130), "{said}");
}

fn all_was_measured(output: &Output, run: &Run, trials: usize) {
    let items = Run::items(output);
    assert_eq!(items.len(), 1 + trials);
    for trial in &items[1..] {
        let metric = &trial["status"]["metrics"][0];
        let values = (&metric["min"], &metric["max"], &metric["count"]);
        assert_eq!(values, (&0.25.into(), &0.75.into(), &2.into()), "{trial:#}");
    }
    run.no_attempt_twice();
    run.nobody_is_left();
}

#[test]
fn a_file_system_without_room() {
    let mut run = Run::new("{maxTrials: 30, parallelTrials: 4}", SCRIPT);
    // The file of the state has room in itself. What the trials need is more than it can have when the first one runs.
    let note = format!("template:\n          metadata: {{annotations: {{note: {}}}}}\n", "x".repeat(100_000));
    run.edit("template:\n", &note);
    let Some(disk) = Tmpfs::mount(&run.folder.path().join("disk")) else {
        eprintln!("skipped: only root can mount a file system");
        return;
    };
    run.state = disk.0.join("state");
    goes_on(&run, &disk, 30);
    // Nothing can be begun, and nothing is damaged by the attempt.
    disk.fill();
    run.state = disk.0.join("other");
    let output = run.command().output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", show(&output));
    assert!(
        text(&output.stderr).contains("No space left") || text(&output.stderr).contains("full"),
        "{}",
        show(&output)
    );
    disk.free();
    let output = run.command().args(["-o", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
}

#[test]
fn a_quota_without_room() {
    let run = Run::new("{maxTrials: 2, parallelTrials: 1}", SCRIPT);
    goes_on(&run, &Limit, 2);
}

#[test]
fn ended_without_room_and_gone_on_with_later() {
    let run = Run::new("{maxTrials: 2, parallelTrials: 1}", SCRIPT);
    ends_and_goes_on_later(&run, &Limit);
    let output = run.command().args(["-o", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    all_was_measured(&output, &run, 2);
}
