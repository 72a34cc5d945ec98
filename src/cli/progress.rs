//! What is shown while an experiment runs: on a terminal a live view, otherwise plain lines. Always on standard error.

use crate::api::conditions::{find, reasons, types};
use crate::api::{Experiment, Trial};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use kube::ResourceExt;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// Latest values of running trials: trial -> (metric, step, value).
pub type Latest = BTreeMap<String, Vec<(String, Option<u64>, f64)>>;

/// Shows progress on standard error.
pub struct Progress {
    view: View,
    /// What was last said of each trial: the reason of its condition.
    said: HashMap<String, String>,
    best: Option<f64>,
    started: Instant,
    /// Trials that had ended when this run began; they say nothing about its pace.
    ended_before: Option<u32>,
}

enum View {
    Quiet,
    Lines,
    Live { all: MultiProgress, total: ProgressBar, running: BTreeMap<String, ProgressBar> },
}

impl Progress {
    /// Nothing at all.
    pub fn quiet() -> Self {
        Self::with(View::Quiet)
    }

    /// A live view where standard error is a terminal, plain lines elsewhere.
    pub fn on_stderr() -> Self {
        if !std::io::IsTerminal::is_terminal(&std::io::stderr()) {
            return Self::with(View::Lines);
        }
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8));
        let total = all.add(ProgressBar::new(1));
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} trials, {elapsed} {msg}") {
            total.set_style(style);
        }
        Self::with(View::Live { all, total, running: BTreeMap::new() })
    }

    fn with(view: View) -> Self {
        Progress { view, said: HashMap::new(), best: None, started: Instant::now(), ended_before: None }
    }

    /// A sentence.
    pub fn say(&self, line: &str) {
        match &self.view {
            View::Quiet => {}
            View::Lines => eprintln!("{line}"),
            View::Live { all, .. } => {
                let _ = all.println(line);
            }
        }
    }

    /// A sentence that somebody must see, also who wants no progress.
    pub fn warn(&self, line: &str) {
        match &self.view {
            View::Quiet => eprintln!("automl: {line}"),
            View::Lines | View::Live { .. } => self.say(line),
        }
    }

    /// The experiment as it stands.
    pub fn experiment(&mut self, experiment: &Experiment) {
        let Some(status) = &experiment.status else { return };
        let counts = status.trials;
        let ended = counts.succeeded + counts.failed + counts.early_stopped;
        let before = *self.ended_before.get_or_insert(ended);
        let left = self.time_left(ended - before.min(ended), experiment.spec.limits.max_trials.saturating_sub(ended));
        let metric = experiment.spec.objectives.first().map_or("objective", |objective| objective.metric.as_str());
        if let View::Live { total, .. } = &self.view {
            total.set_length(u64::from(experiment.spec.limits.max_trials));
            total.set_position(u64::from(ended));
            let best =
                status.best.as_ref().map(|best| format!(", best {metric} {} ({})", short(best.value), best.trial));
            let left = left.map(|left| format!(", about {} left", human(left)));
            total.set_message(format!("{}{}", best.unwrap_or_default(), left.unwrap_or_default()));
        }
        if let Some(best) = &status.best
            && self.best != Some(best.value)
        {
            self.best = Some(best.value);
            self.say(&format!("best so far: {metric} {} by {}", short(best.value), best.trial));
        }
        if let Some(waiting) = find(&status.conditions, types::COMPLETE).filter(|c| c.reason == reasons::PENDING) {
            self.once("", &waiting.message, |message| format!("waiting: {message}"));
        }
    }

    /// A trial as it stands.
    pub fn trial(&mut self, trial: &Trial) {
        let name = trial.name_any();
        let Some(status) = &trial.status else { return };
        let Some(condition) = find(&status.conditions, types::COMPLETE) else { return };
        let runs = condition.reason == reasons::RUNNING;
        if let View::Live { all, running, .. } = &mut self.view {
            if runs && !running.contains_key(&name) {
                let bar = all.add(ProgressBar::new_spinner());
                if let Ok(style) = ProgressStyle::with_template("  {spinner} {prefix}  {msg}") {
                    bar.set_style(style);
                }
                bar.set_prefix(name.clone());
                bar.enable_steady_tick(Duration::from_millis(250));
                running.insert(name.clone(), bar);
            } else if !runs && let Some(bar) = running.remove(&name) {
                bar.finish_and_clear();
            }
        }
        let (reason, message) = (condition.reason.clone(), condition.message.clone());
        let parameters = trial.spec.assignments.iter().map(|(name, value)| format!("{name}={value}"));
        let parameters = parameters.collect::<Vec<_>>().join(" ");
        self.once(&name, &reason, |reason| match reason {
            reasons::RUNNING => format!("{name} runs: {parameters}"),
            reasons::SUCCEEDED => format!("{name} succeeded: {message}"),
            _ => format!("{name} {reason}: {message}"),
        });
    }

    /// A trial was deleted.
    pub fn gone(&mut self, name: &str) {
        if let View::Live { running, .. } = &mut self.view
            && let Some(bar) = running.remove(name)
        {
            bar.finish_and_clear();
        }
    }

    /// The latest values of the trials that run.
    pub fn latest(&self, latest: &Latest) {
        let View::Live { running, .. } = &self.view else { return };
        for (trial, bar) in running {
            let Some(values) = latest.get(trial) else { continue };
            let shown = values.iter().map(|(metric, step, value)| match step {
                Some(step) => format!("{metric} {} (step {step})", short(*value)),
                None => format!("{metric} {}", short(*value)),
            });
            bar.set_message(shown.collect::<Vec<_>>().join(", "));
        }
    }

    /// Takes the live view away, so that what follows stands alone.
    pub fn finish(&mut self) {
        if let View::Live { all, total, running } = &mut self.view {
            running.values().for_each(ProgressBar::finish_and_clear);
            running.clear();
            total.finish_and_clear();
            let _ = all.clear();
        }
    }

    /// Says something about `key` unless `what` was the last that was said of it.
    fn once(&mut self, key: &str, what: &str, line: impl FnOnce(&str) -> String) {
        if self.said.get(key).map(String::as_str) != Some(what) {
            self.said.insert(key.to_owned(), what.to_owned());
            self.say(&line(what));
        }
    }

    fn time_left(&self, ended: u32, left: u32) -> Option<Duration> {
        (ended >= 2).then(|| self.started.elapsed() / ended * left)
    }
}

/// Six significant digits.
fn short(value: f64) -> String {
    let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(value);
    rounded.to_string()
}

fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_for_people() {
        assert_eq!(short(0.123_456_789), "0.123457");
        assert_eq!(short(1.0), "1");
        assert_eq!(short(f64::NAN), "NaN");
        for (seconds, text) in [(5, "5s"), (65, "1m05s"), (7260, "2h01m")] {
            assert_eq!(human(Duration::from_secs(seconds)), text);
        }
    }
}
