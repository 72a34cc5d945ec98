//! `automl run` as people use it: the built program, real processes, interrupted in every way.

mod otlp_support;
mod run_support;

use otlp_support::Receiver;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use run_support::{FINISHED, Run, STARTED, automl, show, signal, text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

const QUICK: &str = "{maxTrials: 6, parallelTrials: 2}";

#[test]
fn from_a_file_to_the_best_parameters() {
    let run = Run::new(QUICK, "for e in 1 2 3; do echo epoch=$e accuracy=$X loss=1; done");
    let output = run.command().output().unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    assert!(out.contains("Experiment run is complete (MaxTrialsReached)"), "{out}");
    assert!(out.contains("Trials: 6 made, 6 succeeded, 0 stopped early, 0 failed"), "{out}");
    assert!(
        out.contains("Best trial: run-0000") && out.contains("\nparameters:\n  c: ") && out.contains("\nNext:\n"),
        "{out}"
    );
    assert!(err.contains("run-00000 succeeded"), "{err}");
    assert_eq!(run.lines(FINISHED).len(), 6);
    // Again: nothing is repeated, the result is printed once more, as kubectl would print it.
    let again = run.command().args(["-o", "json", "--quiet"]).output().unwrap();
    assert_eq!((again.status.code(), text(&again.stderr)), (Some(0), String::new()));
    let list: Value = serde_json::from_slice(&again.stdout).unwrap();
    let kinds: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|item| item["kind"].as_str().unwrap()).collect();
    assert_eq!((list["kind"].as_str(), kinds[0], kinds.len()), (Some("List"), "Experiment", 7));
    let best = &list["items"][0]["status"]["best"];
    let trial =
        list["items"].as_array().unwrap().iter().find(|item| item["metadata"]["name"] == best["trial"]).unwrap();
    assert_eq!(trial["status"]["metrics"][0]["curve"]["points"].as_array().unwrap().len(), 3);
    assert_eq!(
        trial["spec"]["assignments"]["x"], best["value"],
        "the value printed is the parameter, to the last digit"
    );
    assert_eq!(run.lines(FINISHED).len(), 6);
    run.no_attempt_twice();
}

#[test]
fn how_trials_fail_is_said() {
    let table = [
        ("echo cannot find data >&2; exit 3", "ProgramFailed", "exit code 3; its last line: cannot find data"),
        ("exit 1", "ProgramFailed", "exit code 1; it printed nothing"),
        ("kill -9 $$", "ProgramFailed", "ended by signal 9"),
        ("echo acc=0.5", "MetricNotFound", "never printed accuracy; it printed acc"),
        ("true", "MetricNotFound", "printed no metric"),
        ("echo accuracy=nan", "MetricNotFinite", "NaN or infinite"),
        ("exec /no/such/program", "ProgramFailed", "exit code 127"),
        ("head -c 3000000 /dev/urandom", "MetricNotFound", "the program ended well, but"),
    ];
    for (script, reason, message) in table {
        let run = Run::new("{maxTrials: 2, maxFailedTrials: 0}", script);
        let output = run.command().output().unwrap();
        let out = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{script}: {}", show(&output));
        assert!(out.contains("is failed (MaxFailedTrialsExceeded)"), "{script}: {out}");
        assert!(out.contains(reason) && out.contains(message), "{script}: {out}");
        run.nobody_is_left();
    }
}

/// What a pod has and a process cannot have is refused with a sentence, once.
#[test]
fn what_cannot_be_run_here_is_refused() {
    let probe = "image: none\n              livenessProbe: {exec: {command: [\"true\"]}}";
    let first = "initContainers: [{name: first, image: none, command: [\"true\"]}]\n            containers:";
    for (from, to, message) in [
        ("image: none", probe, "livenessProbe: a local process is not probed"),
        ("containers:", first, "initContainers: only one container can be a"),
    ] {
        let run = Run::new("{maxTrials: 1, maxFailedTrials: 0}", "echo accuracy=$X");
        run.edit(from, to);
        run.edit("retries: 0", "retries: 3");
        let output = run.command().output().unwrap();
        let out = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{}", show(&output));
        assert!(out.contains(message) && !out.contains("interrupted"), "{out}");
    }
}

/// An interrupted experiment is gone on with by its own command, and by no other of the same state folder.
#[test]
fn another_experiment_of_the_folder_is_left_alone() {
    let run =
        Run::new("{maxTrials: 2, parallelTrials: 2}", "echo accuracy=0.5; while [ ! -e go ]; do sleep 0.05; done");
    let child = run.spawn();
    run.wait_for_lines(STARTED, 2);
    signal(&child, "INT");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    let first = std::fs::read_to_string(run.file()).unwrap();
    run.edit("{name: run}", "{name: other}");
    run.edit("while [ ! -e go ]; do sleep 0.05; done", "true");
    let output = run.command().output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    let started = run.lines(STARTED);
    assert_eq!(started.len(), 4, "two of each: {started:?}");
    run.write(&first);
    run.go();
    let output = run.command().output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    assert_eq!(run.lines(STARTED).len(), 6, "the first begins anew: {:?}", run.lines(STARTED));
}

#[test]
fn bad_files_and_bad_usage() {
    let run = Run::new(QUICK, "true");
    let good = std::fs::read_to_string(run.file()).unwrap();
    let table = [
        ("a: [".to_owned(), "is no valid YAML"),
        (String::new(), "is empty; it should hold an Experiment"),
        ("apiVersion: v1\nkind: Pod\n".into(), "takes one Experiment"),
        (good.replace("maxTrials: 6", "maxTrials: 0"), "should be greater than or equal to 1"),
        (good.replace("limits:", "limit:"), "unknown field \"spec.limit\""),
        (good.replace("maxTrials: 6", "maxTrials: many"), "must be of type integer"),
        (good.replace("name: Random", "name: Rando"), "Unsupported value: \"Rando\""),
        (good.replace("primaryContainer: main", "primaryContainer: mein"), "there is no container \"mein\""),
        (good.replace("image: none", "image: none\n              ports: [{containerPort: x}]"), ""),
        (format!("{good}\n---\n{good}"), "holds 2 Experiments"),
    ];
    let spec = good.find("spec:").unwrap();
    let table = table.into_iter().chain([
        (format!("{}spec: hello\n", &good[..spec]), "spec"),
        (good.replacen("{name: run}", "{generateName: run-}", 1), "write metadata.name"),
        (
            good.replacen("metadata: {", "metadata: {labels: {v: 1}, ", 1),
            "metadata.labels.v: invalid type: integer `1`",
        ),
    ]);
    for (text_given, message) in table {
        run.write(&text_given);
        let output = run.command().args(["--parallel", "1"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}: {}", show(&output));
        assert!(text(&output.stderr).contains(message), "{message}: {}", show(&output));
        assert!(run.lines(STARTED).is_empty());
    }
    let mut missing = Command::new(env!("CARGO_BIN_EXE_automl"));
    let output = missing.args(["run", "-f", "no-such-file.yaml"]).output().unwrap();
    assert!(
        output.status.code() == Some(2) && text(&output.stderr).contains("no-such-file.yaml cannot be read"),
        "{}",
        show(&output)
    );
}

#[test]
fn interrupted_and_gone_on_with() {
    let run =
        Run::new("{maxTrials: 4, parallelTrials: 2}", "echo accuracy=0.5; while [ ! -e go ]; do sleep 0.05; done");
    let child = run.spawn();
    run.wait_for_lines(STARTED, 2);
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", show(&output));
    assert!(text(&output.stderr).contains("the same command goes on where this one stopped"), "{}", show(&output));
    run.nobody_is_left();
    run.go();
    let output = run.command().output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    assert_eq!(run.lines(FINISHED).len(), 4, "{}", show(&output));
    run.no_attempt_twice();
}

/// As with `2>&1 | head`: the run goes on, and nothing is lost.
#[test]
fn as_yaml_and_with_so_many_at_a_time() {
    let script = "echo on >> running; sleep 0.2; wc -l < running > count; echo accuracy=0.5";
    let run = Run::new("{maxTrials: 4, parallelTrials: 1}", script);
    let output = run.command().args(["-o", "yaml", "--quiet", "--parallel", "4"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    let list: Value = serde_saphyr::from_str(&text(&output.stdout)).unwrap();
    assert_eq!((list["kind"].as_str(), list["items"].as_array().unwrap().len()), (Some("List"), 5));
    assert_eq!(list["items"][0]["spec"]["limits"]["parallelTrials"], 4);
    let most = std::fs::read_to_string(run.folder.path().join("count")).unwrap();
    assert_eq!(most.trim(), "4", "all four ran at once");
}

#[test]
fn the_definitions_are_printed_as_they_are_committed() {
    let output = automl().arg("crd").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    let printed = text(&output.stdout);
    for file in ["crds/experiments.yaml", "crds/trials.yaml"] {
        let committed = std::fs::read_to_string(file).unwrap();
        let body = committed.split_once("apiVersion: apiextensions").unwrap().1;
        assert!(printed.contains(body.trim_end()), "{file}");
    }
}

#[test]
fn nobody_reads_what_it_says() {
    let run = Run::new(QUICK, "echo accuracy=0.5");
    for arguments in [&[][..], &["-o", "yaml"], &["--quiet"]] {
        let mut child = run.command().args(arguments).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}");
    }
    assert_eq!(run.lines(FINISHED).len(), 6);
}

#[test]
fn wrong_usage_says_what_to_type() {
    let table = [
        (&["run"][..], "required arguments were not provided:\n  --filename <FILE>"),
        (&["run", "a.yaml"], "A file is named with -f, such as: automl run -f a.yaml"),
        (&["run", "-f", "a.yaml", "--parallel", "0"], "0 is not in 1..=1000"),
        (&["run", "-f", "a.yaml", "--gpus", "-1"], "invalid value '-1' for '--gpus <N>'"),
        (&["run", "-f", "a.yaml", "-o", "xml"], "[possible values: json, yaml]"),
        (&["operator", "--listen", "here"], "invalid value 'here' for '--listen <IP:PORT>'"),
        (&["rum"], "a similar subcommand exists: 'run'"),
    ];
    for (arguments, message) in table {
        let output = automl().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", show(&output));
        assert!(text(&output.stderr).contains(message), "{message}: {}", show(&output));
    }
    let run = Run::new(QUICK, "true");
    let mut command = automl();
    command.args(["run", "-f"]).arg(run.file()).arg("--state-dir").arg(run.file());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", show(&output));
    assert!(text(&output.stderr).contains("experiment.yaml cannot be used: it is a file"), "{}", show(&output));
}

/// Killed ten times in one run, at random moments: nothing is lost, repeated or left running. `AUTOML_TEST_SEED` plays
/// the moments of an earlier run, which says its own where it fails.
#[test]
fn killed_ten_times_in_one_run() {
    let given = std::env::var("AUTOML_TEST_SEED").ok().map(|text| text.parse::<u64>().unwrap());
    let seed = given.unwrap_or_else(|| rand::rng().random());
    println!("the same moments once more: AUTOML_TEST_SEED={seed}");
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let run = Run::new(
        "{maxTrials: 12, parallelTrials: 3}",
        "for e in 1 2 3 4; do echo epoch=$e accuracy=$X; sleep 0.1; done",
    );
    for _ in 0..10 {
        let mut child = run.spawn();
        // From before anything has begun to the end of the first trials.
        std::thread::sleep(Duration::from_millis(dice.random_range(0..800)));
        let _ = child.kill();
        child.wait().unwrap();
        // Before the next run begins, or while it does: whoever was left is ended.
    }
    let output = run.command().args(["-o", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    run.nobody_is_left();
    run.no_attempt_twice();
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 13);
    for trial in &items[1..] {
        let status = &trial["status"];
        assert_eq!(status["objective"], trial["spec"]["assignments"]["x"], "{trial}");
        assert_eq!(status["metrics"][0]["count"], 4, "{trial}");
    }
}

#[test]
fn gpus_are_slots() {
    let run =
        Run::new("{maxTrials: 4, parallelTrials: 4}", "echo $CUDA_VISIBLE_DEVICES >> gpus; echo accuracy=1; sleep 0.3");
    let good = std::fs::read_to_string(run.file()).unwrap();
    run.write(&good.replace("image: none", "image: none\n              resources: {limits: {nvidia.com/gpu: 1}}"));
    let output = run.command().args(["--gpus", "2"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    let used: BTreeSet<String> = run.lines("gpus").into_iter().collect();
    assert_eq!(used, BTreeSet::from(["0".to_owned(), "1".to_owned()]));
}

/// Traces are a courtesy: a receiver that is not there holds nothing up, and is told of.
#[test]
fn a_receiver_of_traces_that_is_not_there_is_told_of() {
    let run = Run::new("{maxTrials: 1}", "echo accuracy=$X");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = run.command();
    command.args(["--quiet", "--otlp-endpoint", &format!("http://{nobody}")]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    let said = text(&output.stderr);
    assert!(said.contains("not all traces could be exported") && said.contains("--otlp-endpoint"), "{said}");
}

/// What an operator tells of its work, a laptop tells: traces, a line of the log for each decision, metrics with prices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_laptop_is_watched_as_an_operator_is() {
    let run = Run::new("{maxTrials: 2, parallelTrials: 1}", "echo accuracy=$X; while [ ! -e go ]; do sleep 0.05; done");
    let receiver = Receiver::start().await;
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut command = run.command();
    command.args(["--quiet", "--log-json", "--gpu-price", "any=2.5", "--metrics", &address]);
    command.args(["--otlp-endpoint", &receiver.endpoint]);
    let program = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    run.wait_for_lines(STARTED, 1);
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let agent = ureq::Agent::new_with_config(config);
    let page = agent.get(format!("http://{address}/metrics")).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(page.contains("automl_gpu_price_dollars_per_hour{model=\"any\"} 2.5\n"), "{page}");
    let put = |body: &str| agent.put(format!("http://{address}/log-level")).send(body).unwrap().status().as_u16();
    assert_eq!((put("louder"), put("info")), (400, 200));
    run.go();
    let output = program.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    let log = text(&output.stderr);
    let decisions: Vec<Value> =
        log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line)["fields"].clone()).collect();
    let told = |message: &str| decisions.iter().filter(|fields| fields["message"] == message).count();
    let counts = ["experiment accepted", "trial created", "Job created", "trial ended", "experiment ended"].map(told);
    assert_eq!(counts, [1, 2, 2, 2, 1], "{log}");
    // Nothing that has ended is left untold when the program ends.
    let spans = ["experiment", "trial", "running"].map(|name| receiver.named(name).len());
    assert_eq!(spans, [1, 2, 2], "{:#?}", receiver.all());
}
