//! The real agent around real programs, against a small HTTP server.

use automl_operator::report::{Answer, Batch, Body, Stop};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn agent(script: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_automl-agent"));
    command.args(["exec", "--", "sh", "-c", script]).env("AUTOML_GRACE_SECONDS", "1").stdin(Stdio::null());
    command
}

fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// An operator that stores what comes, as its script says.
#[derive(Default)]
struct Operator {
    /// Session -> number -> what was said.
    stored: BTreeMap<u64, Body>,
    tokens: Vec<String>,
    /// How many requests are answered 503 (before anything is stored), then how many lose their answer.
    unavailable: usize,
    deaf: usize,
    refuse: bool,
    stop: bool,
}

fn operator(operator: Operator) -> (String, Arc<Mutex<Operator>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let shared = Arc::new(Mutex::new(operator));
    let state = Arc::clone(&shared);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = Arc::clone(&state);
            std::thread::spawn(move || serve(stream, &state));
        }
    });
    (url, shared)
}

fn serve(stream: std::net::TcpStream, state: &Mutex<Operator>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let (mut length, mut token, mut line) = (0, String::new(), String::new());
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        assert_eq!(line.trim_end(), "POST /v1/report HTTP/1.1");
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name.to_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "authorization" => token = value.to_owned(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let batch: Batch = serde_json::from_slice(&body).unwrap();
        let mut operator = state.lock().unwrap();
        operator.tokens.push(token);
        let (code, text) = if operator.unavailable > 0 {
            operator.unavailable -= 1;
            (503, String::new())
        } else if operator.refuse {
            (403, "this token is another trial's".to_owned())
        } else {
            for record in batch.records {
                operator.stored.insert(record.sequence, record.body);
            }
            if operator.deaf > 0 {
                operator.deaf -= 1;
                return;
            }
            let stored = operator.stored.keys().max().copied().unwrap_or(0);
            let stop = operator.stop.then(|| Stop { reason: "EarlyStopped".into(), message: "enough".into() });
            (200, serde_json::to_string(&Answer { stored, stop }).unwrap())
        };
        drop(operator);
        let answer = format!("HTTP/1.1 {code} x\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn reporting(script: &str, url: &str) -> Command {
    let mut command = agent(script);
    command.env("AUTOML_REPORT_URL", url).env("AUTOML_METRICS", r#"["accuracy"]"#).env("AUTOML_TRIAL", "t");
    command
}

fn values(operator: &Mutex<Operator>) -> Vec<f64> {
    let operator = operator.lock().unwrap();
    let value = |body: &Body| match body {
        Body::Observation(observation) => Some(observation.value),
        _ => None,
    };
    operator.stored.values().filter_map(value).collect()
}

fn ended(operator: &Mutex<Operator>) -> Option<(Option<i32>, Option<i32>, String)> {
    let operator = operator.lock().unwrap();
    operator.stored.values().find_map(|body| match body {
        Body::Ended { exit_code, signal, tail } => Some((*exit_code, *signal, tail.clone())),
        _ => None,
    })
}

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
fn what_was_measured_is_reported_once() {
    let (url, state) = operator(Operator { unavailable: 2, deaf: 2, ..Operator::default() });
    let script = "for i in 1 2 3; do echo epoch=$i accuracy=0.$i loss=1; done; echo last words >&2; exit 3";
    let status = reporting(script, &url).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(3));
    assert_eq!(values(&state), [0.1, 0.2, 0.3]);
    let (code, signal, tail) = ended(&state).unwrap();
    assert!((code, signal) == (Some(3), None) && tail.contains("last words"), "{tail}");
    let seen = state.lock().unwrap().stored.values().any(|body| *body == Body::Seen(vec!["loss".into()]));
    assert!(seen, "names of other metrics are told");
}

#[test]
fn an_operator_that_comes_late_hears_all() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut child = reporting("echo accuracy=1; echo accuracy=2", &format!("http://{address}")).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    let heard = Arc::new(Mutex::new(Operator::default()));
    let (listener, state) = (TcpListener::bind(address).unwrap(), Arc::clone(&heard));
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| serve(stream, &state)));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(values(&heard), [1.0, 2.0]);
}

#[test]
fn a_refused_agent_lets_its_program_run_on() {
    let (url, _) = operator(Operator { refuse: true, ..Operator::default() });
    let output = reporting("echo accuracy=1; sleep 2; echo done", &url).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).contains("done")), (Some(0), true));
    assert!(String::from_utf8_lossy(&output.stderr).contains("another trial's"));
}

#[test]
fn the_token_is_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    let (url, state) = operator(Operator::default());
    let mut child =
        reporting("echo accuracy=1; sleep 3; echo accuracy=2", &url).env("AUTOML_TOKEN_FILE", &file).spawn().unwrap();
    wait_for("the first report", || (!state.lock().unwrap().tokens.is_empty()).then_some(()));
    std::fs::write(&file, "second").unwrap();
    child.wait().unwrap();
    let tokens = state.lock().unwrap().tokens.clone();
    assert_eq!(
        (tokens.first().map(String::as_str), tokens.last().map(String::as_str)),
        (Some("Bearer first"), Some("Bearer second"))
    );
}

#[test]
fn a_stop_ends_the_program_and_keeps_its_results() {
    let (url, state) = operator(Operator { stop: true, ..Operator::default() });
    let status = reporting("trap 'echo accuracy=9; exit 0' TERM; echo accuracy=1; while :; do sleep 0.1; done", &url)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(values(&state), [1.0, 9.0]);
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

fn ready(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap().success());
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

#[test]
fn parameters_are_in_a_file() {
    let output = agent("cat $AUTOML_PARAMETERS_FILE; echo $AUTOML_PARAMETERS_FILE >&2")
        .env("AUTOML_PARAMETERS", r#"{"lr":0.1}"#)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), r#"{"lr":0.1}"#);
    assert!(!std::path::Path::new(String::from_utf8_lossy(&output.stderr).trim()).exists());
}
