//! What is said at the end of a run.

use crate::api::conditions::{is_true, types};
use crate::api::{Experiment, FrontTrial, Trial, Usage, conditions};
use crate::metrics::MetricSummary;
use kube::ResourceExt;
use std::fmt::Write;

/// The end of a run in words: the best trial, its parameters as YAML to paste, its metrics, how the trials ended, and
/// two commands to go on with.
pub fn summary(experiment: &Experiment, trials: &[Trial], (program, file, state_dir): (&str, &str, &str)) -> String {
    let mut text = String::new();
    let status = experiment.status.clone().unwrap_or_default();
    let name = experiment.name_any();
    let end = [types::COMPLETE, types::FAILED]
        .iter()
        .find(|r#type| is_true(&status.conditions, r#type))
        .and_then(|r#type| conditions::find(&status.conditions, r#type).map(|condition| (*r#type, condition)));
    match end {
        Some((r#type, condition)) => {
            let word = if r#type == types::COMPLETE { "complete" } else { "failed" };
            let _ = writeln!(text, "Experiment {name} is {word} ({}): {}", condition.reason, condition.message);
        }
        None => {
            let _ = writeln!(text, "Experiment {name} has not ended");
        }
    }
    let counts = status.trials;
    let _ = writeln!(
        text,
        "Trials: {} made, {} succeeded, {} stopped early, {} failed",
        counts.created, counts.succeeded, counts.early_stopped, counts.failed
    );
    if counts.known > 0 {
        let _ = writeln!(text, "  {} results were known beforehand", counts.known);
    }
    if let Some(saved) = saved(&status.usage) {
        let _ = writeln!(text, "  {saved}");
    }
    for reason in failure_reasons(trials) {
        let _ = writeln!(text, "  {reason}");
    }
    if let Some(best) = &status.best {
        let metric = experiment.spec.objectives.first().map_or("objective", |objective| objective.metric.as_str());
        let fidelity = experiment.spec.fidelity.as_ref().zip(best.fidelity);
        let fidelity = fidelity.map(|(spec, fidelity)| format!(" after {} = {fidelity}", spec.parameter));
        let fidelity = fidelity.unwrap_or_default();
        let _ = writeln!(text, "\nBest trial: {} with {metric} = {}{fidelity}", best.trial, best.value);
        let _ = writeln!(text, "\nparameters:");
        for (parameter, value) in &best.assignments {
            let value = serde_saphyr::to_string(value).unwrap_or_default();
            let _ = writeln!(text, "  {parameter}: {}", value.trim_end());
        }
        let metrics =
            trials.iter().find(|trial| trial.name_any() == best.trial).and_then(|trial| trial.status.as_ref());
        if let Some(status) = metrics.filter(|status| !status.metrics.is_empty()) {
            let _ = writeln!(text, "\nIts metrics:");
            for summary in &status.metrics {
                let _ = writeln!(text, "  {}", metric_line(summary));
            }
        }
    }
    if !status.pareto_front.is_empty() {
        text += &front(experiment, &status.pareto_front);
    }
    let _ = writeln!(text, "\nNext:");
    // What came from standard input is not there a second time.
    let again = file != "-";
    if status.best.is_some() {
        if again {
            let _ = writeln!(
                text,
                "  {program} run -f {file} -o yaml --state-dir {state_dir}   # every trial with its curve"
            );
        }
        let _ = writeln!(
            text,
            "  {program} local --state-dir {state_dir}   # then look around with kubectl get exp,trials"
        );
    } else {
        let _ = writeln!(text, "  ls {state_dir}/logs   # what the trials printed");
        if again {
            let _ =
                writeln!(text, "  {program} run -f {file} --state-dir {state_dir}-2   # start afresh after a change");
        }
    }
    text
}

/// A row for each trial of the front: its values, and its parameters.
fn front(experiment: &Experiment, front: &[FrontTrial]) -> String {
    let metrics = experiment.spec.objectives.iter().map(|objective| objective.metric.clone());
    let mut rows: Vec<Vec<String>> = vec![std::iter::once("TRIAL".to_owned()).chain(metrics).collect()];
    rows.extend(front.iter().map(|one| {
        let values = one.values.iter().map(ToString::to_string);
        std::iter::once(one.trial.clone()).chain(values).collect()
    }));
    let columns = rows.first().map_or(0, Vec::len);
    let width =
        |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = "\nTrials that no other one beats in all objectives:\n".to_owned();
    let parameters = front.iter().map(|one| {
        let each = one.assignments.iter();
        let each = each.map(|(name, value)| format!("{name}={}", serde_json::to_string(value).unwrap_or_default()));
        each.collect::<Vec<_>>().join(" ")
    });
    for (row, parameters) in rows.iter().zip(std::iter::once("PARAMETERS".to_owned()).chain(parameters)) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}  "));
        let _ = writeln!(text, "  {}{parameters}", cells.collect::<String>());
    }
    text
}

/// What rules have saved, in words; `None` where they have saved nothing. GPUs count where there are any.
fn saved(usage: &Usage) -> Option<String> {
    let (used, saved, what) = match usage.gpu_seconds {
        0 => (usage.seconds, usage.saved_seconds, "trial time"),
        used => (used, usage.saved_gpu_seconds, "GPU time"),
    };
    let whole = used.saturating_add(saved);
    let share = 100.0 * saved as f64 / whole as f64;
    (saved > 0).then(|| format!("earlyStopping saved about {share:.0} % of {} of {what}", span(whole)))
}

/// Such as `5 h 12 min`.
fn span(seconds: u64) -> String {
    let (hours, minutes) = (seconds / 3600, seconds % 3600 / 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

fn metric_line(summary: &MetricSummary) -> String {
    let number = |value: Option<f64>| value.map_or("-".into(), |value| value.to_string());
    format!(
        "{}: latest {}, min {}, max {} ({} values)",
        summary.name,
        number(summary.latest),
        number(summary.min),
        number(summary.max),
        summary.count
    )
}

/// Each kind of failure once, with an example.
fn failure_reasons(trials: &[Trial]) -> Vec<String> {
    let mut seen: Vec<(String, usize, String)> = Vec::new();
    for trial in trials {
        let Some(status) = &trial.status else { continue };
        let Some(failed) = conditions::find(&status.conditions, types::FAILED).filter(|failed| failed.status == "True")
        else {
            continue;
        };
        match seen.iter_mut().find(|(reason, ..)| *reason == failed.reason) {
            Some((_, count, _)) => *count += 1,
            None => seen.push((failed.reason.clone(), 1, format!("{}: {}", trial.name_any(), failed.message))),
        }
    }
    seen.into_iter().map(|(reason, count, example)| format!("{count} x {reason}, such as {example}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_in_words() {
        let usage = |seconds, gpu_seconds, saved_seconds, saved_gpu_seconds| Usage {
            seconds,
            gpu_seconds,
            saved_seconds,
            saved_gpu_seconds,
        };
        let table = [
            (usage(100, 0, 0, 0), None),
            (usage(40, 0, 10, 0), Some("earlyStopping saved about 20 % of 50 s of trial time")),
            (usage(60, 0, 65, 0), Some("earlyStopping saved about 52 % of 2 min 5 s of trial time")),
            (usage(1, 5054, 1, 13_666), Some("earlyStopping saved about 73 % of 5 h 12 min of GPU time")),
        ];
        for (usage, expected) in table {
            assert_eq!(saved(&usage).as_deref(), expected, "{usage:?}");
        }
    }
}
