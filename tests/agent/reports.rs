//! What is reported, to whom, and what is heard.

use super::operator::{Operator, ended, operator, reporting, serve, values, values_of};
use super::{signal, wait_for};
use automl_operator::api::TrialStatus;
use automl_operator::engine::fold;
use automl_operator::report::{Body, Progress, Session};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn what_was_measured_is_reported_once() {
    let (url, state) = operator(Operator { unavailable: 2, deaf: 2, ..Operator::default() });
    let script = "for i in 1 2 3; do echo epoch=$i accuracy=0.$i loss=1; done; echo last words >&2; exit 3";
    let status = reporting(script, &url).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(3));
    assert_eq!(values(&state), [0.1, 0.2, 0.3]);
    let (code, signal, tail) = ended(&state).unwrap();
    assert!((code, signal) == (Some(3), None) && tail.contains("last words"), "{tail}");
    let seen = state.lock().unwrap().stored.iter().any(|body| *body == Body::Seen(vec!["loss".into()]));
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
fn what_the_operator_holds_is_said_again_only_when_it_holds_it_no_more() {
    let (url, state) = operator(Operator { holds: true, ..Operator::default() });
    let folder = tempfile::tempdir().unwrap();
    let script = "for i in 1 2 3; do echo epoch=$i accuracy=0.$i; until [ -e heard$i ]; do sleep 0.05; done; done";
    let mut child = reporting(script, &url).current_dir(folder.path()).stdout(Stdio::null()).spawn().unwrap();
    for value in 1..=3 {
        wait_for("the value", || (state.lock().unwrap().held.len() == value).then_some(()));
        // The last time it is started anew meanwhile.
        if value == 3 {
            let mut operator = state.lock().unwrap();
            let said = operator.batches.iter().flat_map(|batch| batch.records.iter().map(|record| record.sequence));
            assert_eq!(said.collect::<Vec<_>>(), [1, 2, 3], "each once");
            (operator.held, operator.holds) = (Vec::new(), false);
        }
        std::fs::write(folder.path().join(format!("heard{value}")), "").unwrap();
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(values(&state), [0.1, 0.2, 0.3]);
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
fn proxies_of_the_program_are_not_the_agent_s() {
    let (url, state) = operator(Operator::default());
    let mut command = reporting("echo $HTTP_PROXY; echo accuracy=1", &url);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(name, "http://127.0.0.1:1");
    }
    let output =
        command.env_remove("NO_PROXY").env_remove("no_proxy").env("AUTOML_FLUSH_SECONDS", "5").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("127.0.0.1:1"), "the program keeps its own");
    assert_eq!(values(&state), [1.0]);
}

#[test]
fn only_the_operator_refuses_for_good() {
    let (url, state) = operator(Operator { strange: 2, ..Operator::default() });
    let output = reporting("echo accuracy=1", &url).output().unwrap();
    assert_eq!(values(&state), [1.0]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.matches("no report reaches the operator").count(), 1, "{said}");
    assert!(said.contains("answered 404: <html>nothing here"), "{said}");
}

#[test]
fn a_program_that_is_faster_than_the_operator_keeps_its_extremes() {
    let (url, state) = operator(Operator { unavailable: 1, ..Operator::default() });
    let script = r#"awk 'BEGIN { for (i = 0; i < 20001; i++) {
        print "accuracy=" (i == 7777 ? 0.99 : i % 10 / 100) " loss=" (i == 5000 ? -5 : i) } }'"#;
    let output = reporting(script, &url).env("AUTOML_METRICS", r#"["accuracy", "loss"]"#).output().unwrap();
    let (accuracy, loss) = (values(&state), values_of(&state, "loss"));
    assert_eq!(accuracy.iter().copied().fold(0.0, f64::max), 0.99);
    assert_eq!((loss.iter().copied().fold(0.0, f64::min), loss.last()), (-5.0, Some(&20_000.0)));
    assert!(accuracy.len() > 500 && loss.len() > 500, "{} {}", accuracy.len(), loss.len());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let dropped = 2 * 20_001 - accuracy.len() - loss.len();
    assert!(said.contains("not every value is reported"), "{said}");
    assert!(said.contains(&format!("{dropped} values were not reported")), "{dropped}: {said}");
}

#[test]
fn a_clock_that_is_behind_loses_nothing() {
    let ahead = u64::MAX / 2;
    // The attempt that was heard before, the agent's, and what is stored of it.
    let table: [(u32, &str, &[f64]); 3] = [(0, "1", &[1.0]), (1, "1", &[1.0]), (2, "1", &[])];
    for (before, attempt, stored) in table {
        let progress = Progress { session: Session::new(before, ahead, 1).to_string(), sequence: 9 };
        let (url, state) = operator(Operator { progress: progress.clone(), ..Operator::default() });
        let status = reporting("echo accuracy=1", &url).env("AUTOML_ATTEMPT", attempt).status().unwrap();
        assert_eq!((status.code(), values(&state).as_slice()), (Some(0), stored), "{before}");
        assert!(state.lock().unwrap().progress.session >= progress.session, "{before}");
    }
}

#[test]
fn a_second_attempt_replaces_what_the_first_said_without_steps() {
    let (url, state) = operator(Operator::default());
    let mut first = reporting("echo accuracy=0.9; echo accuracy=0.8; sleep 300", &url);
    let mut first = first.stdout(Stdio::null()).spawn().unwrap();
    wait_for("the first values", || (values(&state).len() == 2).then_some(()));
    signal(&first, "KILL");
    first.wait().unwrap();
    let mut second = reporting("echo accuracy=0.1; echo accuracy=0.2; echo accuracy=0.3", &url);
    second.env("AUTOML_ATTEMPT", "1").status().unwrap();
    let status = fold(&TrialStatus::default(), &state.lock().unwrap().batches, None, jiff::Timestamp::now());
    let summary = &status.metrics[0];
    assert_eq!((summary.count, summary.min, summary.max), (3, Some(0.1), Some(0.3)));
}

#[test]
fn a_stop_holds_up_neither_reports_nor_the_end() {
    let (url, state) = operator(Operator { stop: true, ..Operator::default() });
    // Ignores the stop for a while, and ends long before it would be killed.
    let script = "trap '' TERM; echo accuracy=1; for i in $(seq 40); do sleep 0.1; echo accuracy=$i; done";
    let mut command = reporting(script, &url);
    command.env("AUTOML_GRACE_SECONDS", "600").env("AUTOML_FLUSH_SECONDS", "600").stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    wait_for("the end", || child.try_wait().unwrap());
    assert_eq!(values(&state).len(), 41);
    let operator = state.lock().unwrap();
    let meanwhile = operator.batches.iter().skip(1).filter(|batch| !batch.end && !batch.records.is_empty());
    assert!(meanwhile.count() > 0, "what was said after the stop was reported while the program ran");
}

/// What looks like a metric and is no number is counted, and told where nothing was read.
#[test]
fn lines_that_cannot_be_read_are_counted() {
    let table = [
        ("echo epoch=1 accuracy=abc; echo 'accuracy: --' >&2; echo loss=x", 2, true),
        ("echo accuracy=0.5; echo accuracy=abc", 1, false),
        ("echo accuracy=0.5", 0, false),
    ];
    for (script, lines, told) in table {
        let (url, state) = operator(Operator::default());
        let output = reporting(script, &url).output().unwrap();
        let operator = state.lock().unwrap();
        let misses = operator.stored.iter().find_map(|body| match body {
            Body::Ended { parse_misses, .. } => Some(*parse_misses),
            _ => None,
        });
        assert_eq!(misses, Some(lines), "{script}");
        let why = operator.stored.iter().find_map(|body| match body {
            Body::Trouble(why) => Some(why.as_str()),
            _ => None,
        });
        assert_eq!(why.is_some(), told, "{script}: {why:?}");
        assert!(why.is_none_or(|why| why.starts_with("2 lines look like metrics and could not be read, the first: ")));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.contains("could not be read"), lines > 0, "{script}: {said}");
    }
}
