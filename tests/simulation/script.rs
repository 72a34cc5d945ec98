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
    /// What it prints: after how long, which metric, which value.
    pub lines: Vec<(Duration, String, f64)>,
    /// How it ends.
    pub end: End,
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

/// Prints the metric once a second, each time a little nearer to `value`, and ends well.
pub fn improving(metric: &str, value: f64, epochs: u32) -> Script {
    let line = |epoch: u32| {
        let share = f64::from(epoch) / f64::from(epochs);
        (Duration::from_secs(1), metric.to_owned(), value * share)
    };
    Script { pending: Duration::from_millis(300), lines: (1..=epochs).map(line).collect(), end: End::Exit(0) }
}

/// All trials do the same: `score` rises in three epochs to the value of parameter `x`.
pub fn plain() -> Play {
    Arc::new(|program| improving("score", program.number("x"), 3))
}
