//! What goes wrong for people, through the built program: each has a clear message, and what was measured is kept.
//!
//! Files that are wrong are in `bad_experiments`, and how trials fail is in `run`; a full disk is in `full_disk`.

mod run_support;

use automl_operator::local::apiserver::{ApiServer, kubeconfig};
use run_support::{FINISHED, Run, STARTED, automl, show, signal, text};
use serde_json::Value;
use std::net::TcpListener;
use std::path::Path;

const ONE: &str = "{maxTrials: 1}";

/// The trials as they are stored.
fn stored_trials(state: &Path) -> Vec<Value> {
    let server = ApiServer::builder().state_directory(state).build().unwrap();
    server.dump("trials").iter().map(|trial| (**trial).clone()).collect()
}

#[test]
fn lists_that_are_much_too_long() {
    let run = Run::new(ONE, "true");
    let good = std::fs::read_to_string(run.file()).unwrap();
    let parameters = |count: usize| {
        let one = |index| format!("  - {{name: p{index}, double: {{min: 0, max: 1}}}}\n");
        good.replace("  - {name: x, double: {min: 0, max: 1}}\n", &(0..count).map(one).collect::<String>())
    };
    let choices = |count: usize, name: fn(usize) -> String| {
        good.replace("[u, v]", &format!("[{}]", (0..count).map(name).collect::<Vec<_>>().join(", ")))
    };
    let table = [
        (parameters(10_000), "spec.parameters: Too many: 10001: must have at most 300 items"),
        (parameters(100_000), "holds more than is read of an experiment (up to line"),
        (choices(100_000, |index| format!("c{index}")), "Too many: 100000: must have at most 2000 items"),
        (choices(50_000, |_| "same".into()), "more"),
        (good.clone() + &"#".repeat(9 << 20), "is larger than 8 MiB"),
    ];
    for (given, message) in table {
        run.write(&given);
        let output = run.command().output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}: {said:.2000}");
        assert!(said.contains(message) && said.len() < 40_000, "{message}: {said:.2000}");
        assert!(run.lines(STARTED).is_empty());
    }
}

#[test]
fn files_that_are_none() {
    let run = Run::new(ONE, "true");
    let folder = run.folder.path().to_owned();
    std::fs::write(run.file(), b"apiVersion: \xff\xfe\n").unwrap();
    let table = [
        (run.file(), "experiment.yaml is not UTF-8 text"),
        (folder.clone(), "cannot be read: Is a directory"),
        (folder.join("none.yaml"), "none.yaml cannot be read: No such file"),
    ];
    for (path, message) in table {
        for subcommand in ["run", "validate"] {
            let output = automl().args([subcommand, "-f"]).arg(&path).output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{message}: {}", show(&output));
            assert!(text(&output.stderr).contains(message), "{message}: {}", show(&output));
        }
    }
}

#[test]
fn a_command_that_does_not_exist() {
    for command in ["no-such-trainer", "/no/such/trainer", "./train.sh"] {
        let run = Run::new("{maxTrials: 1, maxFailedTrials: 0}", "true");
        // There, but nobody may run it.
        std::fs::write(run.folder.path().join("train.sh"), "true").unwrap();
        run.edit("command: [sh, -c]", &format!("command: [{command}]"));
        let output = run.command().output().unwrap();
        let out = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{command}: {}", show(&output));
        assert!(out.contains("ProgramFailed") && out.contains(command), "{command}: {out}");
        let why = if command.starts_with("./") { "ermission denied" } else { "not found" };
        assert!(out.contains(why) || out.contains("o such file"), "{command}: {out}");
    }
}

#[test]
fn unicode_in_choices_reaches_the_program() {
    let run = Run::new(ONE, "test \"$C\" = 'größe 日本 📈' && echo accuracy=0.5");
    run.edit("choices: [u, v]", "choices: [größe 日本 📈]");
    let output = run.command().output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    assert!(text(&output.stdout).contains("  c: größe 日本 📈\n"), "{}", show(&output));
}

/// What `automl run` takes beside its Experiment, `automl validate` takes, too, and both say the same of it.
#[test]
fn what_goes_with_an_experiment_is_judged_alike() {
    let run = Run::new(ONE, "echo accuracy=0.5");
    let good = std::fs::read_to_string(run.file()).unwrap();
    let map = |text: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: conf}}\n{text}\n---\n{good}");
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {token: t}\n---\n";
    let table = [
        (map("data: {a: b}"), Ok("configmap/conf is valid\nexperiment/run is valid\n")),
        (format!("{secret}{good}"), Ok("secret/key is valid\nexperiment/run is valid\n")),
        (map("data: {a: 1}"), Err("ConfigMap in version \"v1\" cannot be handled as a ConfigMap: ")),
        (map("dota: {a: b}"), Err("strict decoding error: unknown field \"dota\"")),
        (map("data: {}").replace("name: conf", "name: Conf_1"), Err("metadata.name: Invalid value: \"Conf_1\": ")),
        (good.replace("v1alpha1", "v1"), Err("Experiment (automl.dev/v1)")),
    ];
    for (given, expected) in table {
        run.write(&given);
        let mut validate = automl();
        let validate = validate.args(["validate", "-f"]).arg(run.file()).output().unwrap();
        let output = run.command().output().unwrap();
        match expected {
            Ok(lines) => {
                assert_eq!((validate.status.code(), text(&validate.stdout)), (Some(0), lines.to_owned()));
                assert_eq!(output.status.code(), Some(0), "{}", show(&output));
            }
            Err(sentence) => {
                for output in [validate, output] {
                    assert_eq!(output.status.code(), Some(2), "{sentence}: {}", show(&output));
                    assert!(text(&output.stderr).contains(sentence), "{sentence}: {}", show(&output));
                }
            }
        }
    }
    // What only a cluster runs is what only a cluster can judge, and `automl run` has no use for it.
    run.write(&format!("apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\n---\n{good}"));
    let mut validate = automl();
    let validate = validate.args(["validate", "-f"]).arg(run.file()).output().unwrap();
    let lines = "deployment/web is not checked: only a cluster knows its kind\nexperiment/run is valid\n";
    assert_eq!((validate.status.code(), text(&validate.stdout)), (Some(0), lines.to_owned()));
    let output = run.command().output().unwrap();
    assert!(
        output.status.code() == Some(2) && text(&output.stderr).contains("not Deployment (apps/v1)"),
        "{}",
        show(&output)
    );
}

#[test]
fn values_that_are_no_numbers_do_not_hide_those_that_are() {
    let table = [
        ("accuracy=0.25; echo accuracy=inf", Some(0.25)),
        ("accuracy=NaN; echo accuracy=0.25; echo accuracy=-Infinity", Some(0.25)),
        ("accuracy=1e999", None),
        ("accuracy=inf", None),
    ];
    for (print, value) in table {
        let run = Run::new(ONE, &format!("echo {print}"));
        let output = run.command().output().unwrap();
        let out = text(&output.stdout);
        match value {
            Some(value) => {
                assert_eq!(output.status.code(), Some(0), "{print}: {}", show(&output));
                assert!(out.contains(&format!("Best trial: run-00000 with accuracy = {value}\n")), "{print}: {out}");
            }
            None => {
                assert_eq!(output.status.code(), Some(1), "{print}: {}", show(&output));
                assert!(out.contains("MetricNotFinite") && out.contains("NaN or infinite each time"), "{print}: {out}");
            }
        }
    }
}

/// A gigabyte between two values: both are kept, and the disk is not filled.
#[test]
fn a_trial_prints_a_gigabyte() {
    let print = "echo epoch=1 accuracy=0.25; yes \"$(printf %01000d 0)\" | head -c 1000000000; \
                 echo; echo epoch=2 accuracy=0.75";
    let run = Run::new(ONE, print);
    let output = run.command().args(["-o", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    let metric = &Run::items(&output)[1]["status"]["metrics"][0];
    assert_eq!((&metric["min"], &metric["max"], &metric["count"]), (&0.25.into(), &0.75.into(), &2.into()));
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    let logs: Vec<_> =
        std::fs::read_dir(run.state.join("logs/default")).unwrap().map(|it| it.unwrap().path()).collect();
    let (all, largest) = (logs.iter().map(|log| size(log)).sum::<u64>(), logs.iter().map(|log| size(log)).max());
    assert!(all < 32 << 20 && largest > Some(1 << 20), "{all} bytes in {logs:?}");
    let of = |ending: &str| {
        let log = logs.iter().find(|log| log.to_str().unwrap().ends_with(ending)).unwrap();
        text(&std::fs::read(log).unwrap())
    };
    assert!(of(".log.0").starts_with("epoch=1 accuracy=0.25\n") && of(".log").ends_with("epoch=2 accuracy=0.75\n"));
}

#[test]
fn unicode_in_output_and_in_names_of_metrics() {
    let print = "echo 'größe=1 日本語 précision=0.5 📈'; echo '精度=0.75 ✓'; printf '\\377\\n'; echo '{\"精度\": 0.5}'";
    let run = Run::new(ONE, print);
    run.edit("metric: accuracy", "metric: 精度");
    let output = run.command().output().unwrap();
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    assert!(out.contains("with 精度 = 0.75\n") && out.contains("  精度: latest 0.5, min 0.5, max 0.75"), "{out}");
    // And where it is missing.
    let run = Run::new(ONE, "echo 'genauigkeit=1 größe=2'");
    run.edit("metric: accuracy", "metric: Genauigkeit·é");
    let output = run.command().output().unwrap();
    let out = text(&output.stdout);
    assert!(output.status.code() == Some(1) && out.contains("never printed Genauigkeit·é; it printed"), "{out}");
    assert!(out.contains("genauigkeit") && out.contains("größe"), "{out}");
}

/// The program that was started ends and leaves others running: the trial has ended, and they end with it.
#[test]
fn a_trial_forks_and_exits() {
    let fork = |setsid: &str| {
        format!(
            "{setsid} sh -c 'echo $AUTOML_TRIAL fork $$ >> {STARTED}; exec sleep 1000' & while [ $(wc -l < {STARTED}) -lt N ]; do sleep 0.02; done"
        )
    };
    let forks = format!("{}; {}", fork("").replace('N', "2"), fork("setsid").replace('N', "3"));
    let table = [
        (format!("echo epoch=1 accuracy=0.5; {forks}; echo epoch=2 accuracy=0.75"), 0, "with accuracy = 0.75\n"),
        (forks.clone(), 1, "MetricNotFound, such as run-00000: the program ended well, but it printed no metric"),
        (format!("{forks}; exit 3"), 1, "exit code 3"),
    ];
    for (script, code, message) in table {
        let run = Run::new(ONE, &script);
        let output = run.command().output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", show(&output));
        assert!(text(&output.stdout).contains(message), "{message}: {}", show(&output));
        assert_eq!(run.lines(STARTED).len(), 3);
        run.nobody_is_left();
    }
}

const DEAF: &str = "trap '' TERM; echo epoch=1 accuracy=0.25; touch said; while [ ! -e go ]; do sleep 0.05; done; \
                    echo epoch=2 accuracy=0.75";

#[test]
fn a_trial_that_ignores_sigterm_is_killed_on_ctrl_c_and_its_values_are_kept() {
    let run = Run::new(ONE, DEAF);
    // Time for the agent to say what it has, while the program does not listen.
    run.edit("terminationGracePeriodSeconds: 1", "terminationGracePeriodSeconds: 5");
    let child = run.spawn();
    run_support::wait_for("the first value", || run.folder.path().join("said").exists());
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", show(&output));
    assert!(text(&output.stderr).contains("stopping the trials, each has up to 30 s"), "{}", show(&output));
    run.nobody_is_left();
    let trials = stored_trials(&run.state);
    assert_eq!(trials[0]["status"]["metrics"][0]["latest"], 0.25, "{trials:#?}");
    run.go();
    let output = run.command().args(["-o", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    let metric = &Run::items(&output)[1]["status"]["metrics"][0];
    assert_eq!((&metric["max"], &metric["count"]), (&0.75.into(), &2.into()));
    assert_eq!(run.lines(FINISHED).len(), 1);
}

#[test]
fn a_trial_that_ignores_sigterm_is_killed_at_its_time_limit_and_its_values_are_kept() {
    let run = Run::new("{maxTrials: 1, maxTrialDuration: 2s}", DEAF);
    let output = run.command().output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    let out = text(&output.stdout);
    assert!(out.contains("1 stopped early") && out.contains("Best trial: run-00000 with accuracy = 0.25\n"), "{out}");
    assert!(
        text(&output.stderr).contains("stopped at limits.maxTrialDuration with accuracy = 0.25"),
        "{}",
        show(&output)
    );
    run.nobody_is_left();
    assert!(run.lines(FINISHED).is_empty());
}

/// It does not hear, and a person has no patience.
#[test]
fn ctrl_c_twice_ends_at_once() {
    let run = Run::new(ONE, DEAF);
    run.edit("terminationGracePeriodSeconds: 1", "terminationGracePeriodSeconds: 60");
    let said = run.folder.path().join("said.txt");
    let mut child = run.command().stderr(std::fs::File::create(&said).unwrap()).spawn().unwrap();
    run.wait_for_lines("said.txt", 1);
    run_support::wait_for("the first value", || run.folder.path().join("said").exists());
    signal(&child, "INT");
    let says = |words: &str| std::fs::read_to_string(&said).unwrap().contains(words);
    run_support::wait_for("the first answer", || says("Ctrl-C again ends at once"));
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(says("ended at once; ") && says("the same command goes on where this one stopped"));
    run.go();
    let output = run.command().output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    run.nobody_is_left();
    run.no_attempt_twice();
}

#[test]
fn a_state_folder_of_a_newer_version_is_left_alone() {
    let run = Run::new(ONE, "echo accuracy=0.5");
    assert_eq!(run.command().output().unwrap().status.code(), Some(0));
    let refused = |message: &str| {
        let output = run.command().output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", show(&output));
        let said = text(&output.stderr);
        assert!(said.contains(message) && said.contains("--state-dir"), "{message}: {said}");
    };
    let identity = run.state.join("runner.json");
    let ours = std::fs::read_to_string(&identity).unwrap();
    std::fs::write(&identity, ours.replace("\"version\":1", "\"version\":99")).unwrap();
    refused("was made by a newer automl (layout 99, this one knows 1); update automl");
    std::fs::write(&identity, ours).unwrap();
    let set_format = |format: u64| {
        let database = redb::Database::open(run.state.join("state.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        let numbers = redb::TableDefinition::<&str, u64>::new("numbers");
        transaction.open_table(numbers).unwrap().insert("format", format).unwrap();
        transaction.commit().unwrap();
    };
    set_format(99);
    refused("was written by a newer version of this program (format 99, this one knows 1); use that version");
    set_format(1);
    let output = run.command().output().unwrap();
    assert!(text(&output.stdout).contains("Best trial: run-00000 with accuracy = 0.5"), "{}", show(&output));
    assert_eq!(run.lines(FINISHED).len(), 1, "nothing was lost");
}

#[test]
fn one_state_folder_serves_one_run_at_a_time() {
    let run = Run::new(ONE, "echo accuracy=1; while [ ! -e go ]; do sleep 0.05; done");
    let first = run.spawn();
    run.wait_for_lines(STARTED, 1);
    for mut second in [run.command(), automl()] {
        if second.get_args().count() == 0 {
            second.arg("local").arg("--state-dir").arg(&run.state);
        }
        let second = second.output().unwrap();
        assert_eq!(second.status.code(), Some(2), "{}", show(&second));
        let said = text(&second.stderr);
        assert!(said.contains("is used by another process") && said.contains("--state-dir"), "{said}");
    }
    run.go();
    assert_eq!(first.wait_with_output().unwrap().status.code(), Some(0));
    assert_eq!(run.lines(FINISHED).len(), 1);
}

#[test]
fn a_used_port() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("kubeconfig");
    std::fs::write(&config, kubeconfig("http://127.0.0.1:9", "none")).unwrap();
    let port = address.port().to_string();
    let mut local = automl();
    local.args(["local", "--port", &port, "--state-dir"]).arg(folder.path().join("state"));
    let mut operator = automl();
    operator.args(["operator", "--listen", &address.to_string()]).env("KUBECONFIG", &config);
    for (mut command, what, option) in [
        (local, format!("port {port} on 127.0.0.1 cannot be had"), "--port"),
        (operator, format!("{address} cannot be listened on"), "--listen"),
    ] {
        let output = command.output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{}", show(&output));
        assert!(said.contains(&what) && said.contains(&format!("choose another with {option}")), "{said}");
    }
    assert!(!folder.path().join("state").exists(), "nothing was begun");
}
