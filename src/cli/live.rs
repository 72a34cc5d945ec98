//! The view of a terminal: a bar, what is best and how long it takes, and a row for each trial that runs.

use super::echo::Silence;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// More trials than these are only counted: they would not fit on a screen.
const ROWS: usize = 12;
const TICK: Duration = Duration::from_millis(250);
/// The last line.
const FOOT: &str = "Ctrl-C stops; run again to go on";

/// See the module. Every line is cut where the terminal ends.
pub struct Live {
    all: MultiProgress,
    total: ProgressBar,
    /// The line below it.
    below: ProgressBar,
    rows: BTreeMap<String, Row>,
    /// Trials that run and have no row, with their parameters.
    hidden: BTreeMap<String, String>,
    /// How many these are.
    more: Option<ProgressBar>,
    foot: ProgressBar,
    _silence: Option<Silence>,
}

struct Row {
    bar: ProgressBar,
    parameters: String,
}

impl Live {
    /// On standard error.
    pub fn on_stderr() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8));
        let total = styled(all.add(ProgressBar::new(1)), "{bar:20} {pos}/{len} trials, {elapsed}");
        total.enable_steady_tick(TICK);
        let below = styled(all.add(ProgressBar::new_spinner()), "{wide_msg}");
        let foot = styled(all.add(ProgressBar::new_spinner()), "{msg}").with_message(FOOT);
        foot.tick();
        Live {
            all,
            total,
            below,
            rows: BTreeMap::new(),
            hidden: BTreeMap::new(),
            more: None,
            foot,
            _silence: Silence::begin(),
        }
    }

    /// A line above the view, to stay.
    pub fn print(&self, line: &str) {
        let _ = self.all.println(line);
    }

    /// How many trials of how many have ended.
    pub fn ended(&self, trials: u32, of: u32) {
        self.total.set_length(of.into());
        self.total.set_position(trials.into());
    }

    /// The line below the bar.
    pub fn below(&self, line: String) {
        self.below.set_message(line);
    }

    /// These trials run now.
    pub fn run(&mut self, trial: &str, parameters: String) {
        if self.rows.contains_key(trial) {
            return;
        }
        self.hidden.insert(trial.to_owned(), parameters);
        self.fill();
    }

    /// This one does not (any more).
    pub fn end(&mut self, trial: &str) {
        self.hidden.remove(trial);
        if let Some(row) = self.rows.remove(trial) {
            row.bar.finish_and_clear();
        }
        self.fill();
    }

    /// What a trial has said last; empty: nothing yet.
    pub fn latest(&self, trial: &str, values: &str) {
        if let Some(Row { bar, parameters }) = self.rows.get(trial) {
            let values = if values.is_empty() { "no metric yet" } else { values };
            bar.set_message(format!("{values}  {parameters}"));
        }
    }

    /// Takes the view away, so that what follows stands alone.
    pub fn clear(&mut self) {
        let running: BTreeSet<String> = self.rows.keys().chain(self.hidden.keys()).cloned().collect();
        self.hidden.clear();
        running.iter().for_each(|trial| self.end(trial));
        self.foot.finish_and_clear();
        self.below.finish_and_clear();
        self.total.finish_and_clear();
        let _ = self.all.clear();
    }

    /// Gives rows to those that have none, as far as there is room.
    fn fill(&mut self) {
        while self.rows.len() < ROWS
            && let Some((trial, parameters)) = self.hidden.pop_first()
        {
            let bar = ProgressBar::new_spinner();
            let bar = self.all.insert_before(self.more.as_ref().unwrap_or(&self.foot), bar);
            let bar = styled(bar, "  {spinner} {prefix}  {wide_msg}");
            bar.set_prefix(trial.clone());
            bar.enable_steady_tick(TICK);
            self.rows.insert(trial.clone(), Row { bar, parameters });
            self.latest(&trial, "");
        }
        match (self.hidden.len(), &self.more) {
            (0, None) => {}
            (0, Some(more)) => {
                more.finish_and_clear();
                self.more = None;
            }
            (hidden, more) => {
                let add = || styled(self.all.insert_before(&self.foot, ProgressBar::new_spinner()), "    {wide_msg}");
                let more = more.clone().unwrap_or_else(add);
                more.set_message(format!("and {hidden} more"));
                self.more = Some(more);
            }
        }
    }
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
