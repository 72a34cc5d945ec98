//! What the objects themselves say, read off them when somebody asks: a series goes with its object, and nothing is kept
//! twice. No I/O.

use super::catalogue::{self, Metric};
use crate::api::conditions::{has_ended, standing};
use crate::api::{Experiment, Objective, Trial, TrialCounts};
use crate::engine::job_name;
use jiff::Timestamp;
use kube::ResourceExt;
use prometheus::proto::MetricFamily;
use prometheus::{Error, GaugeVec, Opts, Registry};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Objects that have series of their own, at most.
const MOST_EXPERIMENTS: usize = 200;
const MOST_TRIALS: usize = 1000;

/// One number with its labels, under a metric of the catalogue.
struct Sheet {
    registry: Registry,
    gauges: BTreeMap<&'static str, GaugeVec>,
}

impl Sheet {
    fn set(&mut self, metric: &Metric, labels: &[&str], value: f64) -> Result<(), Error> {
        let gauges = match self.gauges.get(metric.name) {
            Some(gauges) => gauges,
            None => {
                let gauges = GaugeVec::new(Opts::new(metric.name, metric.help), metric.labels)?;
                self.registry.register(Box::new(gauges.clone()))?;
                self.gauges.entry(metric.name).or_insert(gauges)
            }
        };
        gauges.get_metric_with_label_values(labels)?.set(value);
        Ok(())
    }
}

/// What was received of a running trial, stored or not.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// When its latest value was.
    pub at: Option<Timestamp>,
    /// The latest step and value of its objective.
    pub latest: Option<(Option<u64>, f64)>,
}

/// What these Experiments, and these Trials that have not ended, say. `received`: what of a trial's metric was.
///
/// # Errors
/// When a metric is not as the catalogue has it, which a test excludes.
pub fn collect(
    mut experiments: Vec<Arc<Experiment>>,
    mut trials: Vec<Arc<Trial>>,
    received: &dyn Fn(&Trial, &str) -> Received,
) -> Result<Vec<MetricFamily>, Error> {
    let mut sheet = Sheet { registry: Registry::new(), gauges: BTreeMap::new() };
    summed_up(&mut sheet, &experiments)?;
    waiting(&mut sheet, &trials)?;
    // The same ones each time: those that have not ended, the youngest first.
    experiments.sort_by_cached_key(|one| {
        (has_ended(one.conditions()), Reverse(one.metadata.creation_timestamp.as_ref().map(|time| time.0)), one.uid())
    });
    for experiment in experiments.iter().take(MOST_EXPERIMENTS) {
        each_experiment(&mut sheet, experiment)?;
    }
    trials.retain(|trial| trial.status.as_ref().is_some_and(|status| status.start_time.is_some()));
    trials.sort_by_cached_key(|trial| {
        (Reverse(trial.metadata.creation_timestamp.as_ref().map(|time| time.0)), trial.namespace(), trial.name_any())
    });
    let objectives: BTreeMap<(Option<String>, String), &Objective> = experiments
        .iter()
        .filter_map(|one| Some(((one.namespace(), one.name_any()), one.spec.objectives.first()?)))
        .collect();
    for trial in trials.iter().take(MOST_TRIALS) {
        let objective = objectives.get(&(trial.namespace(), trial.spec.experiment.clone())).copied();
        let received = received(trial, objective.map_or("", |objective| &objective.metric));
        each_trial(&mut sheet, trial, objective, &received)?;
    }
    for (kind, all, most) in [("experiment", experiments.len(), MOST_EXPERIMENTS), ("trial", trials.len(), MOST_TRIALS)]
    {
        sheet.set(&catalogue::LEFT_OUT, &[kind], all.saturating_sub(most) as f64)?;
    }
    Ok(sheet.registry.gather())
}

fn reason(experiment: &Experiment) -> &str {
    standing(experiment.conditions()).map_or("New", |condition| condition.reason.as_str())
}

fn states(trials: &TrialCounts) -> [(&'static str, u32); 6] {
    [
        ("pending", trials.pending),
        ("running", trials.running),
        ("succeeded", trials.succeeded),
        ("failed", trials.failed),
        ("early_stopped", trials.early_stopped),
        ("known", trials.known),
    ]
}

fn summed_up(sheet: &mut Sheet, experiments: &[Arc<Experiment>]) -> Result<(), Error> {
    let (mut by_reason, mut by_state) = (BTreeMap::new(), BTreeMap::new());
    for experiment in experiments {
        let namespace = experiment.namespace().unwrap_or_default();
        *by_reason.entry((namespace.clone(), reason(experiment))).or_insert(0_u64) += 1;
        for (state, count) in states(&experiment.status.as_ref().map_or_else(TrialCounts::default, |one| one.trials)) {
            *by_state.entry((namespace.clone(), state)).or_insert(0_u64) += u64::from(count);
        }
    }
    for ((namespace, reason), count) in by_reason {
        sheet.set(&catalogue::EXPERIMENTS, &[&namespace, reason], count as f64)?;
    }
    for ((namespace, state), count) in by_state {
        sheet.set(&catalogue::TRIALS, &[&namespace, state], count as f64)?;
    }
    Ok(())
}

/// Why trials that are to start have not.
fn waiting(sheet: &mut Sheet, trials: &[Arc<Trial>]) -> Result<(), Error> {
    let mut by_reason = BTreeMap::new();
    for trial in trials {
        let started = trial.status.as_ref().is_some_and(|status| status.start_time.is_some());
        let conditions = trial.status.as_ref().map_or(&[][..], |status| &status.conditions);
        if !started && !has_ended(conditions) {
            let reason = standing(conditions).map_or("New", |condition| condition.reason.as_str());
            *by_reason.entry((trial.namespace().unwrap_or_default(), reason)).or_insert(0_u64) += 1;
        }
    }
    for ((namespace, reason), count) in by_reason {
        sheet.set(&catalogue::TRIALS_WAITING, &[&namespace, reason], count as f64)?;
    }
    Ok(())
}

fn each_experiment(sheet: &mut Sheet, experiment: &Experiment) -> Result<(), Error> {
    let (namespace, name) = (experiment.namespace().unwrap_or_default(), experiment.name_any());
    let (spec, status) = (&experiment.spec, experiment.status.clone().unwrap_or_default());
    let own = [namespace.as_str(), name.as_str()];
    if let Some(objective) = spec.objectives.first() {
        let direction = serde_json::json!(objective.direction);
        let direction = direction.as_str().unwrap_or_default();
        let about = [own[0], own[1], spec.algorithm.name.as_str(), objective.metric.as_str(), direction];
        sheet.set(&catalogue::EXPERIMENT_INFO, &about, 1.0)?;
    }
    sheet.set(&catalogue::EXPERIMENT_STATUS, &[own[0], own[1], reason(experiment)], 1.0)?;
    for (state, count) in states(&status.trials) {
        sheet.set(&catalogue::EXPERIMENT_TRIALS, &[own[0], own[1], state], f64::from(count))?;
    }
    let usage = status.usage;
    let numbers = [
        (&catalogue::EXPERIMENT_ENDED, Some(f64::from(u8::from(has_ended(experiment.conditions()))))),
        (&catalogue::EXPERIMENT_BEST, status.best.map(|best| best.value)),
        (&catalogue::EXPERIMENT_MAX_TRIALS, Some(f64::from(spec.limits.max_trials))),
        (&catalogue::EXPERIMENT_PARALLEL, Some(f64::from(spec.limits.parallel_trials))),
        (&catalogue::EXPERIMENT_SECONDS, Some(usage.seconds as f64)),
        (&catalogue::EXPERIMENT_SECONDS_SAVED, Some(usage.saved_seconds as f64)),
        (&catalogue::EXPERIMENT_GPU_SECONDS, Some(usage.gpu_seconds as f64)),
        (&catalogue::EXPERIMENT_GPU_SECONDS_SAVED, Some(usage.saved_gpu_seconds as f64)),
        (&catalogue::EXPERIMENT_MAX_GPU_SECONDS, spec.limits.max_gpu_hours.map(|hours| 3600.0 * hours)),
    ];
    for (metric, value) in numbers {
        if let Some(value) = value {
            sheet.set(metric, &own, value)?;
        }
    }
    Ok(())
}

fn each_trial(
    sheet: &mut Sheet,
    trial: &Trial,
    objective: Option<&Objective>,
    received: &Received,
) -> Result<(), Error> {
    let (namespace, name) = (trial.namespace().unwrap_or_default(), trial.name_any());
    let own = [namespace.as_str(), trial.spec.experiment.as_str(), name.as_str()];
    let Some(status) = &trial.status else { return Ok(()) };
    let job = job_name(&name, status.attempt);
    sheet.set(&catalogue::TRIAL_INFO, &[own[0], own[1], own[2], &job], 1.0)?;
    let summary = objective.and_then(|of| status.metrics.iter().find(|summary| summary.name == of.metric));
    let stored = summary.map(|summary| (summary.latest, summary.latest_step)).unwrap_or_default();
    // What was received after a trial began anew, or is not stored yet, is younger than what is.
    let (latest, step) = received.latest.map_or(stored, |(step, value)| (Some(value), step));
    let so_far = objective.and_then(|of| match (summary, received.latest) {
        (Some(summary), Some((_, next))) => summary.statistic_after(next, of.statistic, of.direction),
        (Some(summary), None) => summary.statistic(of.statistic, of.direction),
        (None, first) => first.map(|(_, value)| value).filter(|value| value.is_finite()),
    });
    let numbers = [
        (&catalogue::TRIAL_START, status.start_time.map(|start| start.as_second() as f64)),
        (&catalogue::TRIAL_HEARD, received.at.map(|at| at.as_second() as f64)),
        (&catalogue::TRIAL_LATEST, latest),
        (&catalogue::TRIAL_STEP, step.map(|step| step as f64)),
        (&catalogue::TRIAL_OBJECTIVE, so_far),
    ];
    for (metric, value) in numbers {
        if let Some(value) = value {
            sheet.set(metric, &own, value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use prometheus::{Encoder, TextEncoder};
    use serde_json::json;

    fn experiment(at: usize, ended: bool) -> Arc<Experiment> {
        let condition = json!({"type": "Complete", "status": if ended { "True" } else { "False" }, "message": "",
            "reason": if ended { "MaxTrialsReached" } else { "Running" }, "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let made = format!("2026-01-01T{:02}:{:02}:{:02}Z", at / 3600, at / 60 % 60, at % 60);
        let value = json!({
            "apiVersion": "automl.dev/v1alpha1", "kind": "Experiment",
            "metadata": {"name": format!("an-experiment-with-a-name-{at}"), "namespace": format!("team-{}", at % 20),
                "uid": format!("u{at}"), "creationTimestamp": made},
            "spec": {
                "objectives": [{"metric": "accuracy", "direction": "Maximize"}],
                "parameters": [{"name": "lr", "double": {"min": 0.0, "max": 1.0}}],
                "limits": {"maxTrials": 100, "maxGpuHours": 2.0},
                "trialTemplate": {"primaryContainer": "t", "manifest": {}},
            },
            "status": {"conditions": [condition], "best": {"trial": "t", "value": 0.5, "assignments": {}},
                "trials": {"created": 3, "running": 2, "succeeded": 1}, "usage": {"gpuSeconds": 60}},
        });
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn trial(at: usize) -> Arc<Trial> {
        let value = json!({
            "apiVersion": "automl.dev/v1alpha1", "kind": "Trial",
            "metadata": {"name": format!("an-experiment-with-a-name-1-{at:05}"), "namespace": "team-1"},
            "spec": {"experiment": "an-experiment-with-a-name-1", "index": at, "assignments": {}, "manifest": {}},
            "status": {"startTime": "2026-01-01T00:00:00Z", "attempt": 1,
                "metrics": [{"name": "accuracy", "count": 3, "latest": 0.25, "latestStep": 3, "max": 0.75, "min": 0.25}]},
        });
        Arc::new(serde_json::from_value(value).unwrap())
    }

    /// One that waits.
    fn waiting(at: usize, reason: &str) -> Arc<Trial> {
        let mut trial = (*trial(at)).clone();
        let conditions = json!([{"type": "Complete", "status": "False", "reason": reason, "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
        trial.status = serde_json::from_value(json!({"conditions": conditions})).unwrap();
        Arc::new(trial)
    }

    /// Those that have all there is to tell.
    pub fn examples() -> (Arc<Experiment>, Vec<Arc<Trial>>) {
        (experiment(1, false), vec![trial(1), waiting(2, "Pending")])
    }

    fn text(experiments: Vec<Arc<Experiment>>, trials: Vec<Arc<Trial>>) -> String {
        let at = Timestamp::from_second(1_767_225_700).ok();
        page(experiments, trials, &Received { at, latest: None })
    }

    fn page(experiments: Vec<Arc<Experiment>>, trials: Vec<Arc<Trial>>, received: &Received) -> String {
        let mut text = Vec::new();
        TextEncoder::new().encode(&collect(experiments, trials, &|_, _| received.clone()).unwrap(), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn objects_are_told_and_summed_up() {
        let text = text(vec![experiment(1, false), experiment(21, true)], vec![trial(7)]);
        let own = "experiment=\"an-experiment-with-a-name-1\",namespace=\"team-1\"";
        let of_it = format!("{own},trial=\"an-experiment-with-a-name-1-00007\"");
        for line in [
            "automl_experiments{namespace=\"team-1\",reason=\"MaxTrialsReached\"} 1".to_owned(),
            "automl_trials{namespace=\"team-1\",state=\"running\"} 4".to_owned(),
            format!("automl_experiment_best_objective{{{own}}} 0.5"),
            format!("automl_experiment_ended{{{own}}} 0"),
            format!("automl_experiment_max_gpu_seconds{{{own}}} 7200"),
            format!("automl_trial_latest_value{{{of_it}}} 0.25"),
            format!("automl_trial_step{{{of_it}}} 3"),
            format!("automl_trial_objective{{{of_it}}} 0.75"),
            format!("automl_trial_last_observation_timestamp_seconds{{{of_it}}} 1767225700"),
            "job_name=\"an-experiment-with-a-name-1-00007-1\"".to_owned(),
            "automl_series_left_out{kind=\"trial\"} 0".to_owned(),
        ] {
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn what_was_received_and_is_not_stored_is_told() {
        let told = |latest| page(vec![experiment(1, false)], vec![trial(7)], &Received { at: None, latest });
        let values = |text: &str| {
            ["latest_value", "step", "objective"].map(|what| {
                let of = format!("automl_trial_{what}{{");
                let line = text.lines().find(|line| line.starts_with(&of));
                line.and_then(|line| line.rsplit(' ').next().map(ToOwned::to_owned)).unwrap_or_default()
            })
        };
        assert_eq!(values(&told(None)), ["0.25", "3", "0.75"]);
        assert_eq!(values(&told(Some((Some(9), 0.5)))), ["0.5", "9", "0.75"]);
        assert_eq!(values(&told(Some((Some(9), 0.875)))), ["0.875", "9", "0.875"]);
        assert_eq!(values(&told(Some((None, f64::NAN)))), ["NaN", "", "0.75"]);
    }

    #[test]
    fn why_trials_wait_is_told() {
        let trials = vec![trial(1), waiting(2, "Pending"), waiting(3, "JobRefused"), waiting(4, "Pending")];
        let text = text(vec![experiment(1, false)], trials);
        for line in ["reason=\"Pending\"} 2", "reason=\"JobRefused\"} 1"] {
            assert!(text.contains(&format!("automl_trials_waiting{{namespace=\"team-1\",{line}")), "{text}");
        }
        assert_eq!(text.matches("\nautoml_trials_waiting{").count(), 2, "those that run do not wait: {text}");
    }

    #[test]
    fn the_page_is_bounded_and_the_same_objects_stay_on_it() {
        let all: Vec<Arc<Experiment>> = (0..10_000).map(|at| experiment(at, at % 100 != 0)).collect();
        let page = text(all.clone(), (0..3_000).map(trial).collect());
        assert!(page.len() < 5_000_000, "{} bytes", page.len());
        assert!(page.contains("automl_series_left_out{kind=\"experiment\"} 9800"), "{page}");
        assert!(page.contains("automl_series_left_out{kind=\"trial\"} 2000"), "{page}");
        assert_eq!(page.matches("\nautoml_experiment_ended{").count(), 200);
        assert_eq!(
            page.lines().filter(|line| line.starts_with("automl_experiment_ended") && line.ends_with(" 0")).count(),
            100
        );
        let backwards = text(all.into_iter().rev().collect(), (0..3_000).rev().map(trial).collect());
        assert_eq!(page, backwards);
    }
}
