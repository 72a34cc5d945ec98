use super::*;

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn program(&self, argv: &[&str]) -> Program {
        Program {
            argv: argv.iter().map(OsString::from).collect(),
            env: BTreeMap::from([(POD_VARIABLE.to_owned(), self.uid())]),
            working_dir: self.folder.path().to_owned(),
            log: self.path("logs/ns/p.log"),
            lifeline: false,
        }
    }

    fn uid(&self) -> String {
        self.folder.path().display().to_string()
    }

    fn shell(&self, script: &str) -> Program {
        self.program(&["sh", "-c", script])
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("logs/ns/p.log")).unwrap()
    }

    async fn appears(&self, name: &str) {
        while !self.path(name).exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn run(bench: &Bench, program: &Program) -> Exit {
    supervise(spawn(program).unwrap(), &bench.uid()).1.await.0
}

const LONG: Duration = Duration::from_secs(1000);

#[tokio::test]
async fn exit_codes_signals_output_and_environment() {
    for (script, code, signal, output) in [
        ("true", 0, None, ""),
        ("echo out; echo err >&2; exit 7", 7, None, "out\nerr\n"),
        ("kill -TERM $$", 143, Some(15), ""),
        ("kill -KILL $$", 137, Some(9), ""),
        ("read line; echo \"$? [$line]\"", 0, None, "1 []\n"),
    ] {
        let bench = Bench::new();
        let exit = run(&bench, &bench.shell(script)).await;
        assert_eq!((exit, bench.log().as_str()), (Exit { code, signal }, output), "{script}");
    }
    let bench = Bench::new();
    let mut program = bench.shell("echo $MINE $0 ${HOME:+home}; pwd");
    program.env.insert("MINE".into(), "größe".into());
    run(&bench, &program).await;
    let here = bench.folder.path().canonicalize().unwrap();
    assert_eq!(bench.log(), format!("größe sh home\n{}\n", here.display()));
    run(&bench, &program).await;
    assert_eq!(bench.log().lines().count(), 4, "a restart appends");
}

#[tokio::test]
async fn a_program_that_cannot_start_says_why() {
    let bench = Bench::new();
    fs::write(bench.path("script"), "no program").unwrap();
    for (argv, expected) in [
        (&["no-such-program"][..], "failed to start \"no-such-program\": executable file not found in PATH"),
        (&["./missing"], "failed to start \"./missing\": No such file or directory (os error 2)"),
        (&["./script"], "failed to start \"./script\": Permission denied (os error 13)"),
        (&["/"], "failed to start \"/\": Permission denied (os error 13)"),
    ] {
        assert_eq!(spawn(&bench.program(argv)).map(drop).unwrap_err(), StartError::Pod(expected.into()));
    }
    let mut lost = bench.shell("true");
    lost.working_dir = bench.path("nowhere");
    assert!(spawn(&lost).unwrap_err().to_string().ends_with("nowhere does not exist"));
    let mut own_path = bench.program(&["sh"]);
    own_path.env.insert("PATH".into(), "/nowhere".into());
    assert!(spawn(&own_path).unwrap_err().to_string().contains("not found in PATH"));
}

#[tokio::test]
async fn stopping_is_gentle_first() {
    let bench = Bench::new();
    let started =
        spawn(&bench.shell("trap 'echo bye; exit 3' TERM; touch ready; while :; do sleep 0.01; done")).unwrap();
    let (stopper, end) = supervise(started, &bench.uid());
    let end = tokio::spawn(end);
    bench.appears("ready").await;
    stopper.stop(LONG);
    assert_eq!(end.await.unwrap().0, Exit { code: 3, signal: None });
    // The shell may also tell that its own child was terminated.
    assert!(bench.log().ends_with("bye\n"));
}

#[tokio::test]
async fn what_ignores_sigterm_is_killed_and_asking_again_makes_it_sooner() {
    let bench = Bench::new();
    let started = spawn(&bench.shell("trap '' TERM; touch ready; while :; do sleep 0.01; done")).unwrap();
    let (stopper, end) = supervise(started, &bench.uid());
    let end = tokio::spawn(end);
    bench.appears("ready").await;
    stopper.stop(LONG);
    stopper.stop(Duration::from_millis(50));
    stopper.stop(LONG);
    assert_eq!(end.await.unwrap().0, Exit { code: 137, signal: Some(9) });
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn nothing_outlives_the_first_process() {
    let bench = Bench::new();
    // One child in the same group, one in a session of its own, and one that the group's end would not reach.
    let script = "sleep 1000 & echo $! > same; setsid sh -c 'echo $$ > other; touch ready; exec sleep 1000' & \
                  while ! test -e ready; do sleep 0.01; done";
    assert_eq!(run(&bench, &bench.shell(script)).await.code, 0);
    for name in ["same", "other"] {
        let pid: i32 = fs::read_to_string(bench.path(name)).unwrap().trim().parse().unwrap();
        while sweep::start_ticks(pid).is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn the_lifeline_is_open_while_the_runner_lives() {
    let bench = Bench::new();
    let mut program = bench.shell("echo $AUTOML_LIFELINE; touch ready; cat; echo closed");
    program.lifeline = true;
    let Started { mut child, last_output } = spawn(&program).unwrap();
    bench.appears("ready").await;
    assert!(child.try_wait().unwrap().is_none(), "it waits at its lifeline");
    // What the kernel does when the runner dies.
    drop(child.stdin.take());
    child.wait().await.unwrap();
    assert_eq!(last_output.await.unwrap(), "0\nclosed");
    assert_eq!(bench.log(), "0\nclosed\n");
}

#[test]
fn files_are_private_and_replaced() {
    use super::super::admit::{Mode, NewFile};
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    let path = bench.path("volumes/v/deep/key").display().to_string();
    let host = |kind: &str, name: &str| HostPath { path: bench.path(name).display().to_string(), kind: kind.into() };
    for content in [b"one", b"two"] {
        let launch = Launch {
            folders: vec![bench.path("volumes/v").display().to_string()],
            files: vec![NewFile { path: path.clone(), bytes: content.to_vec(), mode: Mode(0o400) }],
            termination_message: bench.path("words").display().to_string(),
            host_paths: vec![host("DirectoryOrCreate", "made"), host("Directory", "made"), host("", "whatever")],
            ..Launch::default()
        };
        prepare(&launch).unwrap();
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
    assert_eq!(fs::metadata(bench.path("volumes")).unwrap().permissions().mode() & 0o777, 0o700);
    let launch = Launch { host_paths: vec![host("Directory", "absent")], ..Launch::default() };
    assert!(matches!(prepare(&launch), Err(StartError::Pod(why)) if why.contains("is not a Directory")));
    let launch = Launch { folders: vec!["/proc/no/room".into()], ..Launch::default() };
    assert!(matches!(prepare(&launch), Err(StartError::Machine(why)) if why.starts_with("/proc/no/room: ")));
}

#[tokio::test]
async fn last_words_come_from_the_file_else_from_the_output() {
    let bench = Bench::new();
    run(&bench, &bench.shell("echo earlier run")).await;
    let print = "head -c 5000 /dev/zero | tr '\\0' x; printf '\\377 end\n'";
    let (_, end) = supervise(spawn(&bench.shell(print)).unwrap(), &bench.uid());
    let (_, output) = end.await;
    assert!(output.ends_with("x\u{fffd} end") && output.len() < 2100, "{output}");
    let (_, end) = supervise(spawn(&bench.shell("echo traceback; echo boom >&2")).unwrap(), &bench.uid());
    let (_, output) = end.await;
    let file = bench.path("words").display().to_string();
    assert_eq!(last_words(&file, None), "");
    assert_eq!(last_words(&file, Some(output.clone())), "traceback\nboom");
    fs::write(&file, "mine").unwrap();
    assert_eq!(last_words(&file, Some(output)), "mine");
}
