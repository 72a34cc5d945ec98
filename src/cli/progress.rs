//! What is shown while an experiment runs: on a terminal a live view, otherwise plain lines. Always on standard error.

use super::live::Live;
use super::print;
use crate::api::conditions::{find, reasons, types};
use crate::api::{Experiment, Trial};
use crate::space::Value;
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
    /// Trials that have ended since, and that are still to come.
    pace: (u32, u32),
    /// What is best, in words.
    best_words: String,
}

enum View {
    Quiet,
    Lines,
    Live(Live),
}

/// What it spends and goes on from, where the experiment has a fidelity.
fn stage(trial: &Trial) -> String {
    let from = trial.spec.parent.as_ref().map(|parent| format!(", goes on from {}", parent.name));
    let fidelity = trial.spec.fidelity.map(|fidelity| format!(" (fidelity {fidelity}{})", from.unwrap_or_default()));
    fidelity.unwrap_or_default()
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
        Self::with(View::Live(Live::on_stderr()))
    }

    fn with(view: View) -> Self {
        Progress {
            view,
            said: HashMap::new(),
            best: None,
            started: Instant::now(),
            ended_before: None,
            pace: (0, 0),
            best_words: String::new(),
        }
    }

    /// A sentence.
    pub fn say(&self, line: &str) {
        match &self.view {
            View::Quiet => {}
            View::Lines => print::note(line),
            View::Live(live) => live.print(line),
        }
    }

    /// A sentence that somebody must see, also who wants no progress.
    pub fn warn(&self, line: &str) {
        match &self.view {
            View::Quiet => print::note(&format!("automl: {line}")),
            View::Lines | View::Live(_) => self.say(line),
        }
    }

    /// The experiment as it stands.
    pub fn experiment(&mut self, experiment: &Experiment) {
        let Some(status) = &experiment.status else { return };
        let counts = status.trials;
        let ended = counts.ended();
        let before = *self.ended_before.get_or_insert(ended);
        let max = experiment.spec.limits.max_trials;
        self.pace = (ended - before.min(ended), max.saturating_sub(ended));
        let metric = experiment.spec.objectives.first().map_or("objective", |objective| objective.metric.as_str());
        if let Some(best) = &status.best {
            self.best_words = format!("best {metric} {} ({})", short(best.value), best.trial);
        }
        if let View::Live(live) = &self.view {
            live.ended(ended, max);
        }
        if let Some(best) = &status.best
            && self.best != Some(best.value)
        {
            self.best = Some(best.value);
            self.say(&format!("best so far: {metric} {} by {}", short(best.value), best.trial));
        }
        const WAITS: [&str; 4] =
            [reasons::PENDING, reasons::WARM_START_WAITS, reasons::NAME_TAKEN, reasons::API_REFUSED];
        let complete = find(&status.conditions, types::COMPLETE);
        if let Some(waiting) = complete.filter(|condition| WAITS.contains(&condition.reason.as_str())) {
            self.once("", &waiting.message, |message| format!("waiting: {message}"));
        }
    }

    /// A trial as it stands.
    pub fn trial(&mut self, trial: &Trial) {
        let name = trial.name_any();
        // What was known is told at the end, by its number.
        let Some(status) = trial.status.as_ref().filter(|_| trial.spec.result.is_empty()) else { return };
        let Some(condition) = find(&status.conditions, types::COMPLETE) else { return };
        let runs = condition.reason == reasons::RUNNING;
        let parameters = || trial.spec.assignments.iter().map(|(name, value)| format!("{name}={}", shown(value)));
        let parameters = parameters().collect::<Vec<_>>().join(" ") + &stage(trial);
        let mut rows = false;
        if let View::Live(live) = &mut self.view {
            rows = true;
            if runs { live.run(&name, parameters.clone()) } else { live.end(&name) }
        }
        // Its row says as much; and why nothing at all runs is said of the experiment.
        if (rows && runs) || condition.reason == reasons::PENDING {
            return;
        }
        let (reason, message) = (condition.reason.clone(), condition.message.clone());
        self.once(&name, &reason, |reason| match reason {
            reasons::RUNNING => format!("{name} runs: {parameters}"),
            reasons::SUCCEEDED => format!("{name} succeeded: {message}"),
            _ => format!("{name} {reason}: {message}"),
        });
    }

    /// A trial was deleted.
    pub fn gone(&mut self, name: &str) {
        if let View::Live(live) = &mut self.view {
            live.end(name);
        }
    }

    /// The latest values of the trials that run.
    pub fn latest(&self, latest: &Latest) {
        let View::Live(live) = &self.view else { return };
        for (trial, values) in latest {
            let shown = values.iter().map(|(metric, step, value)| match step {
                Some(step) => format!("{metric} {} (step {step})", short(*value)),
                None => format!("{metric} {}", short(*value)),
            });
            live.latest(trial, &shown.collect::<Vec<_>>().join(", "));
        }
        let left = self.time_left().map(|left| format!("about {} left", human(left)));
        let best = Some(self.best_words.clone()).filter(|best| !best.is_empty());
        let words = [left, best].into_iter().flatten().collect::<Vec<_>>().join(", ");
        live.below(if words.is_empty() { "no trial has ended yet".to_owned() } else { words });
    }

    /// Takes the live view away, so that what follows stands alone.
    pub fn finish(&mut self) {
        if let View::Live(live) = &mut self.view {
            live.clear();
            // Another line above the view would draw it once more.
            self.view = View::Lines;
        }
    }

    /// Says something about `key` unless `what` was the last that was said of it.
    fn once(&mut self, key: &str, what: &str, line: impl FnOnce(&str) -> String) {
        if self.said.get(key).map(String::as_str) != Some(what) {
            self.said.insert(key.to_owned(), what.to_owned());
            self.say(&line(what));
        }
    }

    /// Known once two trials have ended.
    fn time_left(&self) -> Option<Duration> {
        let (ended, left) = self.pace;
        (ended >= 2 && left > 0).then(|| self.started.elapsed() / ended * left)
    }
}

/// Six significant digits.
pub fn short(value: f64) -> String {
    let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(value);
    rounded.to_string()
}

pub fn shown(value: &Value) -> String {
    match value {
        Value::Double(number) => short(*number),
        value => value.to_string(),
    }
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
