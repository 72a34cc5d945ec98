//! Programs that behave badly: nothing that was measured is lost, and each is told what went wrong.

use super::operator::{Operator, ended, operator, reporting, values, values_of};
use super::{agent, ready, signal, wait_for};
use std::process::{Command, Stdio};

#[test]
fn much_output_passes_and_a_closed_reader_does_not_stop_the_program() {
    let (url, state) = operator(Operator::default());
    let mut child =
        reporting("head -c 200000000 /dev/zero; echo; echo accuracy=1", &url).stdout(Stdio::piped()).spawn().unwrap();
    let copied = std::io::copy(child.stdout.as_mut().unwrap(), &mut std::io::sink()).unwrap();
    assert_eq!(copied, 200_000_000 + "\naccuracy=1\n".len() as u64);
    child.wait().unwrap();
    let mut closed = reporting("yes x | head -n 100000; echo accuracy=2", &url).stdout(Stdio::piped()).spawn().unwrap();
    drop(closed.stdout.take());
    assert_eq!(closed.wait().unwrap().code(), Some(0));
    assert!(values(&state).contains(&2.0));
}

/// The most memory that the agent has had, in KiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn memory_does_not_grow_with_the_output() {
    let folder = tempfile::tempdir().unwrap();
    let done = folder.path().join("done");
    // One line without an end, many lines, values faster than anybody takes them; nobody is there to take them.
    let script = "head -c 300000000 /dev/zero; echo; yes 'loading shard 17 of 100, this takes a while' | head -c 300000000; \
                  echo; seq -f 'epoch=%.0f accuracy=0.5 loss=1' 100000; : > $DONE; sleep 300";
    let mut command = reporting(script, "http://127.0.0.1:1");
    let mut child = command.env("DONE", &done).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !done.exists() {
        assert_eq!(child.try_wait().unwrap(), None);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let peak = peak(child.id());
    signal(&child, "KILL");
    child.wait().unwrap();
    assert!(peak < 8 << 10, "{peak} KiB");
}

#[test]
fn a_program_that_prints_nothing_or_binary() {
    let noise = "head -c 3000000 /dev/urandom | tr -d '=\\n\\r'";
    let table = [
        (":".to_owned(), 0, vec![]),
        (format!("{noise} | head -c 100000; printf '\\naccuracy=1'"), 100_011, vec![1.0]),
        ("printf 'accuracy\\0=1\\n\\377\\376accuracy=0.5\\377\\n\\r\\n'".to_owned(), 30, vec![0.5]),
    ];
    for (script, length, expected) in table {
        let (url, state) = operator(Operator::default());
        let output = reporting(&script, &url).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(0), length), "{script}");
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(values(&state), expected, "{script}");
        let (code, signal, tail) = ended(&state).unwrap();
        assert_eq!((code, signal, tail.is_empty()), (Some(0), None, length == 0));
    }
}

#[test]
fn metrics_are_named_in_any_script() {
    let names = ["точность", "精度", "शुद्धता", "précision", "🎯"];
    let (url, state) = operator(Operator::default());
    let script: String =
        names.iter().map(|name| format!("echo 'epoch=1 {name}=0.5'; echo '{{\"{name}\": 1}}';")).collect();
    let metrics = serde_json::to_string(&names).unwrap();
    let output = reporting(&script, &url).env("AUTOML_METRICS", metrics).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2 * names.len());
    for name in names {
        assert_eq!(values_of(&state, name), [0.5, 1.0], "{name}");
    }
}

#[test]
fn a_program_that_forks_and_ends_is_told_that_the_rest_is_stopped() {
    for new_session in ["", "setsid "] {
        let (url, state) = operator(Operator::default());
        let folder = tempfile::tempdir().unwrap();
        let ready = folder.path().join("ready");
        // What the daemon has printed counts, and what it prints until it is stopped.
        let daemon =
            r#"trap "echo accuracy=0.7; exit" TERM; echo accuracy=0.5; : > $READY; while :; do sleep 0.05; done"#;
        let script = format!(
            "{new_session}sh -c '{daemon}' & while [ ! -e $READY ]; do sleep 0.05; done; echo accuracy=0.6; exit 4"
        );
        let output = reporting(&script, &url).env("READY", &ready).env("AUTOML_GRACE_SECONDS", "30").output().unwrap();
        assert_eq!(output.status.code(), Some(4), "the program's own");
        assert_eq!(values(&state), [0.5, 0.6, 0.7]);
        assert_eq!(ended(&state).unwrap().0, Some(4));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("of the processes it has started: they are stopped now"), "{said}");
    }
}

#[test]
fn a_program_that_ignores_sigterm_is_killed_and_keeps_its_values() {
    let (url, state) = operator(Operator::default());
    let script = "trap 'echo accuracy=2' TERM; echo accuracy=1; while :; do sleep 0.05; done";
    let mut child = reporting(script, &url).stdout(Stdio::piped()).spawn().unwrap();
    ready(&mut child);
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(137));
    assert_eq!(values(&state), [1.0, 2.0]);
    let (code, signal, _) = ended(&state).unwrap();
    assert_eq!((code, signal), (None, Some(9)));
}

#[test]
fn a_full_disk_ends_no_trial_and_is_said() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (url, state) = operator(Operator::default());
    let output = reporting("echo accuracy=1; echo; echo accuracy=2; exit 3", &url).stdout(full()).output().unwrap();
    assert_eq!((output.status.code(), values(&state)), (Some(3), vec![1.0, 2.0]));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("23 bytes of the program's output could not be passed on: No space left"), "{said}");
    // The agent's own words have no room either.
    let missing = Command::new(env!("CARGO_BIN_EXE_automl-agent"))
        .args(["exec", "--", "no-such-program"])
        .stderr(full())
        .status()
        .unwrap();
    assert_eq!(missing.code(), Some(127));
}

#[test]
fn orphans_that_end_leave_no_zombies() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let script =
        "for i in $(seq 30); do (sh -c 'echo orphan >> $LOG' &); done; echo ready; while :; do sleep 0.1; done";
    let mut child = agent(script).env("LOG", &log).stdout(Stdio::piped()).spawn().unwrap();
    ready(&mut child);
    let agent = child.id();
    wait_for("all orphans", || (std::fs::read_to_string(&log).unwrap_or_default().lines().count() == 30).then_some(()));
    // They have said their last word. The list names those that have ended as well, until they are waited for.
    let children = || std::fs::read_to_string(format!("/proc/{agent}/task/{agent}/children")).unwrap();
    wait_for("one child", || (children().split_whitespace().count() == 1).then_some(()));
    signal(&child, "KILL");
    child.wait().unwrap();
}
