//! Whoever takes reports slowly, or not at all, holds up no line of the program.

use super::operator::{Operator, operator, reporting, values};
use super::relay::Sidecar;
use super::wait_for;
use automl_operator::report::Body;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// Many times what a pipe holds, and more values than an agent keeps.
const LINES: usize = 20_000;

/// A value; once that is being said, all the others; then the end.
fn script() -> String {
    format!(
        "echo epoch=0 accuracy=0; until [ -e hanging ]; do sleep 0.02; done
         awk 'BEGIN {{ for (i = 1; i <= {LINES}; i++) print \"epoch=\" i \" accuracy=\" i }}'
         touch printed; until [ -e answered ]; do sleep 0.02; done"
    )
}

/// Runs the program and has it print while nothing is answered. `hangs`: somebody waits for an answer. `go_on`: there is one.
/// What the agents have said besides.
fn printed_while_nothing_is_answered(
    mut command: Command,
    folder: &Path,
    hangs: impl FnMut() -> bool,
    go_on: impl FnOnce(),
) -> String {
    let mut hangs = hangs;
    command.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    wait_for("a report that is not answered", || hangs().then_some(()));
    std::fs::write(folder.join("hanging"), "").unwrap();
    wait_for("the last line", || folder.join("printed").exists().then_some(()));
    go_on();
    std::fs::write(folder.join("answered"), "").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// What was left out is counted, and is neither the first nor the last, which are the extremes. How many came and how many not.
fn rest_is_left_out(state: &Mutex<Operator>) -> (usize, usize) {
    let values = values(state);
    assert_eq!((values.first(), values.last()), (Some(&0.0), Some(&(LINES as f64))));
    let left_out = state.lock().unwrap().stored.iter().find_map(|body| match body {
        Body::Ended { left_out, .. } => Some(*left_out),
        _ => None,
    });
    let left_out = usize::try_from(left_out.expect("the end is said")).unwrap();
    assert!(left_out > LINES / 2, "{left_out}: else this shows nothing");
    // One that was on its way when it was dropped for want of room may be counted and have come.
    assert!(values.len() + left_out > LINES, "{} and {left_out}", values.len());
    (values.len(), left_out)
}

#[test]
fn an_operator_that_hangs_holds_up_no_line() {
    let (url, state) = operator(Operator { hangs: true, ..Operator::default() });
    let folder = tempfile::tempdir().unwrap();
    let said = printed_while_nothing_is_answered(
        reporting(&script(), &url),
        folder.path(),
        || state.lock().unwrap().asked == 1,
        || {
            let mut operator = state.lock().unwrap();
            // Not even the first request was given up: printing has waited for none.
            assert_eq!((operator.asked, operator.batches.len()), (1, 0));
            operator.hangs = false;
        },
    );
    let (came, left_out) = rest_is_left_out(&state);
    assert_eq!(came + left_out, LINES + 1);
    assert!(said.contains("metrics are printed faster than the operator stores them"), "{said}");
    assert!(said.contains(&format!("{left_out} values were not reported")), "{left_out}: {said}");
}

#[test]
fn a_sidecar_whose_operator_hangs_holds_up_no_line() {
    let (url, state) = operator(Operator { hangs: true, ..Operator::default() });
    let (folder, sidecar) = (tempfile::tempdir().unwrap(), Sidecar::start(&url));
    printed_while_nothing_is_answered(
        sidecar.program(&script()),
        folder.path(),
        || state.lock().unwrap().asked == 1,
        || {
            let mut operator = state.lock().unwrap();
            assert_eq!((operator.asked, operator.batches.len()), (1, 0));
            operator.hangs = false;
        },
    );
    assert_eq!(sidecar.end(), None);
    rest_is_left_out(&state);
}

#[test]
fn a_sidecar_that_is_frozen_holds_up_no_line() {
    let (url, state) = operator(Operator::default());
    let (folder, sidecar) = (tempfile::tempdir().unwrap(), Sidecar::start(&url));
    let mut frozen = false;
    printed_while_nothing_is_answered(
        sidecar.program(&script()),
        folder.path(),
        || {
            // The first value has come; from now on nothing does.
            frozen = frozen || state.lock().unwrap().asked > 0;
            if frozen {
                sidecar.freeze(true);
            }
            frozen
        },
        || sidecar.freeze(false),
    );
    assert_eq!(sidecar.end(), None);
    rest_is_left_out(&state);
}
