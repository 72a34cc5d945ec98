//! What Prometheus knows of a trial: the agent asks its operator for it, by itself or through the one beside it.

use super::operator::{Operator, ended, operator, reporting, values};
use super::relay::Sidecar;
use super::wait_for;
use automl_operator::report::Body;
use std::process::Command;
use std::sync::Mutex;

const HALF: &str =
    r#"{"observations": [{"metric": "accuracy", "step": 1, "value": 0.5, "time": "2026-01-01T00:00:00Z"}]}"#;
const DOUBTFUL: &str = r#"{"observations": [{"metric": "accuracy", "step": 2, "value": 0.75, "time": "2026-01-01T00:00:01Z"}],
                           "trouble": "a store is down"}"#;

fn troubles(operator: &Mutex<Operator>) -> Vec<String> {
    let said = |body: &Body| match body {
        Body::Trouble(why) => Some(why.clone()),
        _ => None,
    };
    operator.lock().unwrap().stored.iter().filter_map(said).collect()
}

/// The program goes on until the operator was asked three times.
fn run(program: impl Fn(&str) -> Command, state: &Mutex<Operator>) {
    let folder = tempfile::tempdir().unwrap();
    let over = folder.path().join("over");
    let mut command = program(&format!("while [ ! -f {} ]; do sleep 0.1; done", over.display()));
    let mut child = command.env("AUTOML_QUERY_SECONDS", "1").spawn().unwrap();
    wait_for("three questions", || (state.lock().unwrap().queried.len() <= 2).then_some(()));
    std::fs::write(over, "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

fn check(state: &Mutex<Operator>) {
    assert_eq!(values(state), [0.5, 0.75], "what is the same as before is no news");
    assert!(ended(state).is_some());
    let troubles = troubles(state);
    assert!(troubles.iter().any(|why| why == "a store is down"), "{troubles:?}");
}

/// The operator is away at first; and once more when the program has ended.
fn answers() -> Operator {
    let not_now = (503, r#"{"error": "not yet the one that leads"}"#);
    Operator { queried: [not_now, (200, HALF), (200, HALF), not_now, (200, DOUBTFUL)].into(), ..Operator::default() }
}

#[test]
fn the_operator_is_asked_while_the_program_runs_and_once_more_at_its_end() {
    let (url, state) = operator(answers());
    run(|script| reporting(script, &url), &state);
    check(&state);
}

#[test]
fn through_the_agent_beside_the_program_which_has_the_token() {
    let (url, state) = operator(answers());
    let sidecar = Sidecar::start(&url);
    run(|script| sidecar.program(script), &state);
    assert!(sidecar.end().is_none(), "all was said");
    check(&state);
}

#[test]
fn an_operator_that_has_no_such_thing_costs_a_sentence() {
    let (url, state) = operator(Operator { queried: [(404, "<html>"); 99].into(), ..Operator::default() });
    let mut command = reporting("echo accuracy=0.5", &url);
    assert_eq!(command.env("AUTOML_QUERY_SECONDS", "1").status().unwrap().code(), Some(0));
    assert_eq!(values(&state), [0.5], "what the program prints is read all the same");
    assert!(troubles(&state)[0].ends_with("/v1/query answered 404"), "{:?}", troubles(&state));
}
