//! Every example runs: `automl run` on the file as it lies there, with its own program on its own data.
//!
//! With CI set the examples run whole; otherwise with fewer trials, so that a plain test run stays short.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The `List` that `automl run -o json` prints, and how many trials of how many epochs it was to have.
fn digits() -> (Value, usize, usize) {
    let example = Path::new(ROOT).join("examples/digits");
    let whole = std::env::var_os("CI").is_some();
    let text = std::fs::read_to_string(example.join("experiment.yaml")).unwrap();
    let (text, trials, epochs) = match whole {
        true => (text, 30, 40),
        false => {
            (text.replace("maxTrials: 30", "maxTrials: 14").replace("train.py]", "train.py, --epochs=12]"), 14, 12)
        }
    };
    (list(&example, &text), trials, epochs)
}

/// What `automl run` prints of this Experiment.
fn list(example: &Path, text: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    // Trials run in the folder of the file, so a changed one lies where its program is.
    let mut run = Command::new(env!("CARGO_BIN_EXE_automl"))
        .args(["run", "-f", "-", "-o", "json", "--state-dir"])
        .arg(folder.path().join("state"))
        .current_dir(example)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut run.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn digits_ends_with_good_parameters() {
    let (list, wanted, epochs) = digits();
    let items = list["items"].as_array().unwrap();
    let (experiment, trials) = (&items[0], &items[1..]);
    assert_eq!(trials.len(), wanted);
    let mut spans = Vec::new();
    for trial in trials {
        let (assignments, status) = (&trial["spec"]["assignments"], &trial["status"]);
        assert!(status["objective"].is_f64(), "{trial}");
        for metric in ["accuracy", "loss"] {
            let summaries = status["metrics"].as_array().unwrap();
            let summary = summaries.iter().find(|summary| summary["name"] == metric).unwrap();
            let steps: Vec<u64> = summary["curve"]["points"]
                .as_array()
                .unwrap()
                .iter()
                .map(|point| point["step"].as_u64().unwrap())
                .collect();
            assert_eq!(steps, (1..=epochs as u64).collect::<Vec<_>>(), "each epoch's line was read: {trial}");
        }
        let number = |name: &str| assignments[name].as_f64().unwrap();
        assert!(number("layers") * number("width") <= 256.0, "the constraint holds: {assignments}");
        assert!((1e-4..=0.1).contains(&number("lr")), "{assignments}");
        assert_eq!(assignments["momentum"].is_number(), assignments["optimizer"] == "sgd", "{assignments}");
        let time = |field: &str| status[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        spans.push((time("startTime"), time("completionTime")));
    }
    for (start, _) in &spans {
        // Times are whole seconds for Jobs, so one that ended in this very second may still be counted.
        let running = spans.iter().filter(|(from, to)| from <= start && start.duration_until(*to).as_secs() >= 1);
        assert!(running.count() <= 2, "two at a time: {spans:?}");
    }
    let status = &experiment["status"];
    assert_eq!(status["trials"]["succeeded"].as_u64(), Some(wanted as u64), "{status}");
    let best = status["best"]["value"].as_f64().unwrap();
    let highest = trials.iter().map(|trial| trial["status"]["objective"].as_f64().unwrap()).fold(f64::MIN, f64::max);
    assert_eq!(best, highest);
    assert!(best > 0.95, "a good network was found: {status}");
}

#[test]
fn parabola_finds_the_bottom() {
    let example = Path::new(ROOT).join("examples/parabola");
    let list = list(&example, &std::fs::read_to_string(example.join("experiment.yaml")).unwrap());
    let status = &list["items"][0]["status"];
    assert_eq!(status["trials"]["succeeded"], 15, "{status}");
    // The middle of the box has 5.04.
    assert!(status["best"]["value"].as_f64().unwrap() < 4.0, "{status}");
}

#[test]
fn pareto_shows_what_accuracy_costs() {
    let example = Path::new(ROOT).join("examples/pareto");
    let text = std::fs::read_to_string(example.join("experiment.yaml")).unwrap();
    let list = list(&example, &text.replace("maxTrials: 30", "maxTrials: 16"));
    let (status, trials) = (&list["items"][0]["status"], &list["items"].as_array().unwrap()[1..]);
    let front = status["paretoFront"].as_array().unwrap();
    assert!(front.len() >= 2, "{status}");
    let values = |one: &Value, field: &str| (one[field][0].as_f64().unwrap(), one[field][1].as_f64().unwrap());
    let front: Vec<(f64, f64)> = front.iter().map(|one| values(one, "values")).collect();
    assert!(
        front.windows(2).all(|pair| pair[0].0 > pair[1].0 && pair[0].1 > pair[1].1 || pair[0] == pair[1]),
        "{front:?}"
    );
    assert_eq!(status["best"]["value"].as_f64(), Some(front[0].0), "{status}");
    for trial in trials.iter().filter(|trial| trial["status"]["excesses"][0].as_f64().unwrap() <= 0.0) {
        let (accuracy, weights) = values(&trial["status"], "objectives");
        assert!(front.iter().any(|(a, w)| *a >= accuracy && *w <= weights), "{trial} is beaten by none of {front:?}");
    }
}

#[test]
fn early_stopping_saves_what_promises_nothing() {
    let example = Path::new(ROOT).join("examples/early-stopping");
    let text = std::fs::read_to_string(example.join("experiment.yaml")).unwrap();
    let (text, wanted) = match std::env::var_os("CI").is_some() {
        true => (text, 20),
        false => (text.replace("maxTrials: 20", "maxTrials: 10").replace("epochs=120", "epochs=60"), 10),
    };
    let list = list(&example, &text);
    let items = list["items"].as_array().unwrap();
    let (status, trials) = (&items[0]["status"], &items[1..]);
    let count = |ending: &str| status["trials"][ending].as_u64().unwrap_or(0);
    assert_eq!((count("succeeded") + count("earlyStopped"), trials.len()), (wanted, wanted as usize), "{status}");
    assert!(count("earlyStopped") >= wanted / 4, "{status}");
    for trial in trials {
        let status = &trial["status"];
        assert!(status["objective"].is_f64(), "what a stopped trial had counts: {status}");
        let complete = status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Complete").unwrap();
        let message = complete["message"].as_str().unwrap();
        let by_rule = ["Threshold", "Median", "Patience"]
            .iter()
            .any(|rule| message.starts_with(&format!("stopped: {rule}: step ")));
        assert_eq!(by_rule, complete["reason"] == "EarlyStopped", "{message}");
    }
    assert!(status["usage"]["savedSeconds"].as_u64().unwrap() > 0, "{status}");
    assert!(status["best"]["value"].as_f64().unwrap() > 0.9, "{status}");
}

#[test]
fn hyperband_goes_on_from_checkpoints() {
    let example = Path::new(ROOT).join("examples/hyperband");
    let text = std::fs::read_to_string(example.join("experiment.yaml")).unwrap();
    let (text, [low, middle, high]) = match std::env::var_os("CI").is_some() {
        true => (text, [3, 9, 27]),
        false => (text.replace("min: 3, max: 27", "min: 1, max: 9"), [1, 3, 9]),
    };
    let list = list(&example, &text);
    let items = list["items"].as_array().unwrap();
    let (status, trials) = (&items[0]["status"], &items[1..]);
    assert_eq!(status["trials"]["succeeded"], 22, "{status}");
    let fidelity = |trial: &Value| trial["spec"]["fidelity"].as_f64().unwrap() as u64;
    let named = |name: &Value| trials.iter().find(|trial| trial["metadata"]["name"] == *name).unwrap();
    let mut counts = std::collections::BTreeMap::new();
    for trial in trials {
        let parent = trial["spec"].get("parent").map(|parent| named(&parent["name"]));
        *counts.entry((fidelity(trial), parent.is_some())).or_insert(0) += 1;
        let before = parent.map_or(0, fidelity);
        let points = trial["status"]["metrics"][0]["curve"]["points"].as_array().unwrap();
        let steps: Vec<u64> = points.iter().map(|point| point["step"].as_u64().unwrap()).collect();
        assert_eq!(
            steps,
            (before + 1..=fidelity(trial)).collect::<Vec<_>>(),
            "it goes on where its parent ended: {trial}"
        );
        if let Some(parent) = parent {
            assert_eq!(trial["spec"]["assignments"], parent["spec"]["assignments"]);
        }
    }
    let expected =
        [((low, false), 9), ((middle, false), 5), ((middle, true), 3), ((high, false), 3), ((high, true), 2)];
    assert_eq!(counts, expected.into());
    assert_eq!(status["best"]["fidelity"].as_f64(), Some(high as f64), "{status}");
    assert!(status["best"]["value"].as_f64().unwrap() > 0.9, "{status}");
}

#[test]
fn a_population_finds_a_schedule() {
    let example = Path::new(ROOT).join("examples/pbt");
    let text = std::fs::read_to_string(example.join("experiment.yaml")).unwrap();
    let (text, wanted) = match std::env::var_os("CI").is_some() {
        true => (text, 24),
        false => (text.replace("maxTrials: 24", "maxTrials: 12").replace("min: 4, max: 16", "min: 3, max: 6"), 12),
    };
    let list = list(&example, &text);
    let items = list["items"].as_array().unwrap();
    let (status, trials) = (&items[0]["status"], &items[1..]);
    assert_eq!(status["trials"]["succeeded"], wanted, "{status}");
    let named = |name: &Value| trials.iter().find(|trial| trial["metadata"]["name"] == *name).unwrap();
    let (mut continued, mut replaced) = (0, 0);
    for trial in trials {
        let Some(parent) = trial["spec"].get("parent") else { continue };
        let parent = named(&parent["name"]);
        let points = trial["status"]["metrics"][0]["curve"]["points"].as_array().unwrap();
        let first = points.first().unwrap()["step"].as_f64().unwrap();
        assert_eq!(first, parent["spec"]["fidelity"].as_f64().unwrap() + 1.0, "from its parent's checkpoint: {trial}");
        match trial["spec"]["assignments"] == parent["spec"]["assignments"] {
            true => continued += 1,
            false => replaced += 1,
        }
    }
    assert_eq!(continued + replaced, wanted - 6, "six members");
    assert!(replaced >= wanted / 12 && continued > replaced, "{continued} went on, {replaced} were replaced");
    assert!(status["best"]["value"].as_f64().unwrap() > 0.9, "{status}");
}

#[test]
fn metrics_come_from_where_the_program_says_them() {
    let example = Path::new(ROOT).join("examples/metrics");
    for name in ["filter", "csv", "jsonl", "prometheus", "push", "nni"] {
        let text = std::fs::read_to_string(example.join(format!("{name}.yaml"))).unwrap();
        let list = list(&example, &text);
        let items = list["items"].as_array().unwrap();
        assert_eq!(items[0]["status"]["trials"]["succeeded"], 4, "{name}: {}", items[0]["status"]);
        for trial in &items[1..] {
            let steps: Vec<u64> = trial["status"]["metrics"][0]["curve"]["points"]
                .as_array()
                .unwrap()
                .iter()
                .map(|point| point["step"].as_u64().unwrap())
                .collect();
            // A scrape may miss some, but not the last.
            assert_eq!(steps.last(), Some(&20), "{name}: {trial}");
            assert!(name == "prometheus" || steps == (1..=20).collect::<Vec<_>>(), "{name}: {trial}");
        }
    }
}

/// Whoever adds an example adds its test here.
#[test]
fn every_example_has_a_test() {
    let folders = std::fs::read_dir(Path::new(ROOT).join("examples")).unwrap();
    let mut names: Vec<String> = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["digits", "early-stopping", "hyperband", "metrics", "parabola", "pareto", "pbt"]);
}
