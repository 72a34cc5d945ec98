//! How the agent starts, signals and ends a program.

use super::{agent, alive, ready, signal, wait_for};
use std::process::{Command, Stdio};

#[test]
fn argv_output_and_exit_code_are_kept() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_automl-agent"));
    let arguments = ["a b", "", "$HOME", "'\"", "--", "é\n", "*"];
    let output = command.args(["exec", "--", "printf", "<%s>"]).args(arguments).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), arguments.map(|a| format!("<{a}>")).concat());
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143)] {
        assert_eq!(agent(script).status().unwrap().code(), Some(code), "{script}");
    }
    let output = agent("printf 'out\\0\\377'; printf err >&2").output().unwrap();
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\0\xff"[..], &b"err"[..]));
}

#[test]
fn a_command_that_cannot_be_started_is_named() {
    for (program, code, says) in
        [("no-such-program", 127, "command not found"), ("/etc/passwd", 126, "cannot be started")]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_automl-agent"));
        let output = command.args(["exec", "--", program]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(code) && said.contains(program) && said.contains(says), "{said}");
    }
    let usage = Command::new(env!("CARGO_BIN_EXE_automl-agent")).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn signals_are_forwarded_and_sigterm_is_not_ignored_for_ever() {
    let mut polite =
        agent("trap 'exit 5' USR1; echo ready; while :; do sleep 0.1; done").stdout(Stdio::piped()).spawn().unwrap();
    ready(&mut polite);
    signal(&polite, "USR1");
    assert_eq!(polite.wait().unwrap().code(), Some(5));
    let mut deaf =
        agent("trap '' TERM; echo ready; while :; do sleep 0.1; done").stdout(Stdio::piped()).spawn().unwrap();
    ready(&mut deaf);
    signal(&deaf, "TERM");
    assert_eq!(deaf.wait().unwrap().code(), Some(137));
}

#[test]
fn nobody_is_left_behind() {
    // In the background, in a session of its own, and ignoring SIGTERM.
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let script = format!(
        "p={}; sleep 300 & echo $! >> $p; setsid sh -c 'trap \"\" TERM; echo $$ >> '$p'; while :; do sleep 1; done' & \
         while [ $(wc -l < $p) -lt 2 ]; do sleep 0.05; done; exit 0",
        pids.display()
    );
    assert_eq!(agent(&script).status().unwrap().code(), Some(0));
    let pids = std::fs::read_to_string(pids).unwrap();
    assert_eq!(pids.lines().filter(|pid| alive(pid)).count(), 0);
}

#[test]
fn the_program_dies_with_the_agent() {
    for how in ["KILL", "lifeline"] {
        let mut command = agent("echo $$; while :; do sleep 0.1; done");
        command.stdout(Stdio::piped()).stdin(Stdio::piped()).env("AUTOML_LIFELINE", "0");
        let mut child = command.spawn().unwrap();
        let pid = ready(&mut child).trim().to_owned();
        match how {
            "KILL" => signal(&child, "KILL"),
            _ => drop(child.stdin.take()),
        }
        child.wait().unwrap();
        wait_for(how, || (!alive(&pid)).then_some(()));
    }
}

#[test]
fn parameters_are_in_a_file() {
    let output = agent("cat $AUTOML_PARAMETERS_FILE; echo $AUTOML_PARAMETERS_FILE >&2")
        .env("AUTOML_PARAMETERS", r#"{"lr":0.1}"#)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), r#"{"lr":0.1}"#);
    assert!(!std::path::Path::new(String::from_utf8_lossy(&output.stderr).trim()).exists());
}

#[test]
fn nobody_else_can_read_or_foresee_the_file_of_parameters() {
    let script = "stat -c %a $(dirname $AUTOML_PARAMETERS_FILE) $AUTOML_PARAMETERS_FILE; echo $AUTOML_PARAMETERS_FILE";
    let said = || {
        let output = agent(script).env("AUTOML_PARAMETERS", "{}").output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(String::from).collect::<Vec<_>>()
    };
    let (first, second) = (said(), said());
    assert_eq!(first[..2], ["700", "600"]);
    assert_ne!(first[2], second[2]);
    assert!(first[2].split('/').any(|part| part.len() >= "automl-".len() + 32), "{}: too short to be random", first[2]);
}
