//! `automl tuner`: the tuners without an experiment.

use super::TunerCommand;
use super::exit::{ExitCode, Failure, Outcome};
use super::print;
use super::serve::Dialogue;
use super::translate;
use crate::stopping::RULES;
use crate::tuner::{ALGORITHMS, Algorithm, Goals, MAX_OBJECTIVES, Setting};
use std::io::BufRead;

/// Runs one of its subcommands.
pub fn run(command: &TunerCommand) -> Outcome {
    match command {
        TunerCommand::Serve => serve(),
        TunerCommand::List => print::text(&list()).map(|()| ExitCode::Done),
        TunerCommand::Translate(arguments) => {
            let text = translate::translated(arguments.from, &arguments.name, &arguments.settings)?;
            print::text(&text).map(|()| ExitCode::Done)
        }
    }
}

/// Answers line by line until standard input ends.
fn serve() -> Outcome {
    let mut dialogue = Dialogue::default();
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| Failure::other(format!("standard input cannot be read: {error}")))?;
        if let Some(answer) = dialogue.line(&line) {
            print::text(&(answer + "\n"))?;
        }
    }
    Ok(ExitCode::Done)
}

/// Each algorithm with its paper and its settings, then the stopping rules.
fn list() -> String {
    let algorithms = ALGORITHMS.iter().map(describe).collect::<Vec<_>>().join("\n");
    let rules: String = RULES.iter().map(|(name, summary)| format!("    {name:16} {summary}\n")).collect();
    format!(
        "{algorithms}\nRules that stop running trials early; their settings are in docs/early-stopping.md:\n{rules}"
    )
}

fn describe(algorithm: &Algorithm) -> String {
    let mut lines = format!("{}\n    {}\n", algorithm.name, algorithm.summary);
    if !algorithm.paper.is_empty() {
        lines += &format!("    {}\n", algorithm.paper);
    }
    match algorithm.goals {
        Goals::One => {}
        Goals::Constrained => lines += "    takes outcome constraints\n",
        Goals::Several => lines += &format!("    takes up to {MAX_OBJECTIVES} objectives, and outcome constraints\n"),
    }
    for Setting { name, default, values } in algorithm.settings() {
        lines += &format!("    {name:16} {default:8} {values}\n");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_listed() {
        let list = list();
        for line in [
            "TPE\n    multivariate",
            "    Bergstra et al., 2011",
            "    takes up to 3 objectives, and outcome constraints\n",
            "    startupTrials    10       a whole number from 0 to 10000\n",
            "    allowRepeats     false    true or false\n",
            "    Patience         the best value",
        ] {
            assert!(list.contains(line), "{line:?} is not in {list}");
        }
    }
}
