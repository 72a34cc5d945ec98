//! What is said at the end of a run.

use crate::api::conditions::{is_true, types};
use crate::api::{Experiment, Trial, conditions};
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
    for reason in failure_reasons(trials) {
        let _ = writeln!(text, "  {reason}");
    }
    if let Some(best) = &status.best {
        let metric = experiment.spec.objectives.first().map_or("objective", |objective| objective.metric.as_str());
        let _ = writeln!(text, "\nBest trial: {} with {metric} = {}", best.trial, best.value);
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
    let _ = writeln!(text, "\nNext:");
    if status.best.is_some() {
        let _ =
            writeln!(text, "  {program} run -f {file} -o yaml --state-dir {state_dir}   # every trial with its curve");
        let _ = writeln!(
            text,
            "  {program} local --state-dir {state_dir}   # then look around with kubectl get exp,trials"
        );
    } else {
        let _ = writeln!(text, "  ls {state_dir}/logs   # what the trials printed");
        let _ = writeln!(text, "  {program} run -f {file} --state-dir {state_dir}-2   # start afresh after a change");
    }
    text
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
