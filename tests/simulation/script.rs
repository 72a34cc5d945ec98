//! What a trial's program does.

use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

/// Which program it is.
pub struct Program {
    /// Name of the Trial.
    pub trial: String,
    /// The number at the end of its name; `None` for a Trial made by hand.
    pub index: Option<u32>,
    /// How many attempts came before.
    pub attempt: u32,
    /// Its parameters.
    pub parameters: Map<String, Value>,
}

impl Program {
    /// A numeric parameter.
    pub fn number(&self, name: &str) -> f64 {
        self.parameters.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN)
    }
}

/// A program's life.
#[derive(Clone, Debug)]
pub struct Script {
    /// Until its pod runs.
    pub pending: Duration,
    /// What it prints.
    pub lines: Vec<Line>,
    /// After so many lines its container dies and starts again, within the same attempt.
    pub restart_after: Option<usize>,
    /// How far the clock of its node is ahead, in seconds.
    pub clock_ahead: i64,
    /// How it ends.
    pub end: End,
}

/// A value that a program prints.
#[derive(Clone, Debug)]
pub struct Line {
    /// How long after the one before.
    pub pause: Duration,
    /// Name of the metric.
    pub metric: String,
    /// The step that it says, if it does.
    pub step: Option<u64>,
    /// The value.
    pub value: f64,
}

/// How a program ends.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// With this exit code.
    Exit(i32),
    /// Its pod is taken away.
    Evicted,
    /// Not by itself.
    Never,
    /// It never starts: no node fits.
    Unschedulable,
}

/// Chooses a script for each program.
pub type Play = Arc<dyn Fn(&Program) -> Script + Send + Sync>;

/// Prints these values, one a step and a pause apart, and ends well.
pub fn printing(metric: &str, pause: Duration, values: impl IntoIterator<Item = f64>) -> Script {
    let line = |(at, value): (usize, f64)| Line { pause, metric: metric.to_owned(), step: Some(at as u64 + 1), value };
    let lines = values.into_iter().enumerate().map(line).collect();
    Script { pending: Duration::from_millis(300), lines, restart_after: None, clock_ahead: 0, end: End::Exit(0) }
}

/// The same without a word about steps.
pub fn without_steps(mut script: Script) -> Script {
    script.lines.iter_mut().for_each(|line| line.step = None);
    script
}

/// Prints the metric once a second, each time a little nearer to `value`, and ends well.
pub fn improving(metric: &str, value: f64, epochs: u32) -> Script {
    let share = |epoch: u32| value * f64::from(epoch) / f64::from(epochs);
    printing(metric, Duration::from_secs(1), (1..=epochs).map(share))
}

/// All trials do the same: `score` rises in three epochs to the value of parameter `x`.
pub fn plain() -> Play {
    Arc::new(|program| improving("score", program.number("x"), 3))
}
