//! The live view of `automl run`, on a terminal: what stands on the screen while trials run, and what is left of it.

#[path = "../run_support/mod.rs"]
mod run_support;
mod terminal;

use run_support::{FINISHED, Run};
use terminal::{Screen, Terminal};

/// Waits for a file of all, or of its own.
const WAITS: &str = "echo epoch=1 accuracy=0.25; while [ ! -e go ] && [ ! -e go-$AUTOML_TRIAL ]; do sleep 0.05; done; \
                     echo epoch=2 accuracy=0.75";
const FOOT: &str = "Ctrl-C stops; run again to go on";

fn let_go(run: &Run, trial: &str) {
    std::fs::write(run.folder.path().join(format!("go-{trial}")), "").unwrap();
}

/// The rows of running trials.
fn running(screen: &Screen) -> Vec<&str> {
    screen.rows().filter(|row| row.starts_with("  ") && row.contains(" run-0")).collect()
}

/// Nothing of the view stands there, and the cursor is where a prompt begins.
fn is_gone(screen: &Screen) -> bool {
    let of_the_view = |row: &str| row.contains(FOOT) || row.contains(['█', '░']) || row.contains("and 3 more");
    running(screen).is_empty() && !screen.rows().any(of_the_view) && screen.column() == 0
}

#[test]
fn what_runs_what_is_best_and_what_is_left() {
    let run = Run::new("{maxTrials: 5, parallelTrials: 2}", WAITS);
    let terminal = Terminal::start(run.command(), 120);
    terminal.until("two rows with their latest value", |screen| {
        let rows = running(screen);
        let row = |name: &str| {
            let row = rows.iter().find(|row| row.contains(name));
            row.is_some_and(|row| ["accuracy 0.25 (step 1)  ", " x=0.", "c="].iter().all(|part| row.contains(part)))
        };
        rows.len() == 2 && row("run-00000") && row("run-00001")
    });
    terminal.until("an empty bar, and nothing is best", |screen| {
        screen.has(&format!("{} 0/5 trials, ", "░".repeat(20)))
            && screen.rows().any(|row| row == "no trial has ended yet")
            && screen.last() == FOOT
    });
    let_go(&run, "run-00000");
    terminal.until("one has ended", |screen| {
        screen.has(&format!("{}{} 1/5 trials, ", "█".repeat(4), "░".repeat(16)))
            && screen.rows().any(|row| row == "best accuracy 0.75 (run-00000)")
    });
    let_go(&run, "run-00001");
    terminal.until("two have ended, and the pace is known", |screen| {
        let below = |row: &str| row.starts_with("about ") && row.ends_with("s left, best accuracy 0.75 (run-00000)");
        screen.has(&format!("{}{} 2/5 trials, ", "█".repeat(8), "░".repeat(12))) && screen.rows().any(below)
    });
    terminal.until("the next two have the rows", |screen| {
        let rows = running(screen);
        rows.len() == 2 && rows[0].contains("run-00002  ") && rows[1].contains("run-00003  ")
    });
    let above = |screen: &Screen, line: &str| screen.rows().filter(|row| row.starts_with(line)).count();
    terminal.until("what has happened is said above", |screen| {
        above(screen, "run-00000 succeeded: accuracy = 0.75") == 1
            && above(screen, "best so far: accuracy 0.75 by run-00000") == 1
    });
    run.go();
    let (code, screen) = terminal.end();
    assert_eq!(code, Some(0), "{screen}");
    assert!(is_gone(&screen), "{screen}");
    assert_eq!(above(&screen, "Experiment run is complete (MaxTrialsReached)"), 1, "{screen}");
    for trial in 0..5 {
        assert_eq!(above(&screen, &format!("run-0000{trial} succeeded: accuracy = 0.75")), 1, "{screen}");
    }
    assert_eq!(run.lines(FINISHED).len(), 5);
}

/// On a wide terminal, and on one where each line is too long.
#[test]
fn ctrl_c_leaves_nothing_of_the_view() {
    for columns in [120, 40] {
        let run = Run::new("{maxTrials: 3, parallelTrials: 2}", WAITS);
        let terminal = Terminal::start(run.command(), columns);
        terminal.until("two rows", |screen| running(screen).len() == 2 && screen.last() == FOOT);
        let_go(&run, "run-00000");
        terminal.until("another has its row", |screen| running(screen).iter().any(|row| row.contains("run-00002")));
        terminal.type_in("\u{3}");
        let (code, screen) = terminal.end();
        assert_eq!(code, Some(130), "{screen}");
        assert!(is_gone(&screen), "{screen}");
        let text = screen.unwrapped();
        assert!(!text.contains("^C"), "{screen}");
        assert!(text.contains("stopping the trials, each has up to 30 s; Ctrl-C again ends at once"), "{screen}");
        assert!(text.contains("the same command goes on where this one stopped"), "{screen}");
        run.nobody_is_left();
        // And it does, from where it stopped.
        run.go();
        let (code, screen) = Terminal::start(run.command(), columns).end();
        assert_eq!(code, Some(0), "{screen}");
        assert!(is_gone(&screen) && screen.unwrapped().contains("Best trial: run-0000"), "{screen}");
        assert_eq!(run.lines(FINISHED).len(), 3);
    }
}

#[test]
fn trials_for_which_there_is_no_room_are_counted() {
    let run = Run::new("{maxTrials: 15, parallelTrials: 15}", WAITS);
    let terminal = Terminal::start(run.command(), 100);
    terminal.until("twelve rows and three more", |screen| {
        running(screen).len() == 12 && screen.rows().any(|row| row == "    and 3 more")
    });
    let_go(&run, "run-00000");
    terminal.until("its row is another's", |screen| {
        running(screen).len() == 12 && screen.rows().any(|row| row == "    and 2 more")
    });
    run.go();
    let (code, screen) = terminal.end();
    assert_eq!(code, Some(0), "{screen}");
    assert!(is_gone(&screen), "{screen}");
}

#[test]
fn quiet_means_no_view() {
    let run = Run::new("{maxTrials: 2, parallelTrials: 2}", "echo accuracy=0.5");
    let mut command = run.command();
    command.arg("--quiet");
    let (code, screen) = Terminal::start(command, 100).end();
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.rows().next().is_some_and(|row| row.starts_with("Experiment run is complete")), "{screen}");
}
