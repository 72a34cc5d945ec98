//! The curves of an experiment's trials, kept up to date trial by trial, so that a decision does not walk through them.

use super::levels::{Level, level_of, step_of};
use super::ranks::Ranks;
use super::series::{Sample, Series};
use crate::metrics::{Curve, Direction, Statistic};
use std::collections::{BTreeMap, BTreeSet};

/// Most trials that have ended whose curves are kept: those with the highest keys. What a decision costs, and what is
/// remembered, is bounded by this and by the trials that run.
pub const KEPT: usize = 1000;

/// How far a trial's curve has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It may go on.
    Running,
    /// The trial ran to its end.
    Complete,
    /// The trial was stopped before its end.
    Stopped,
}

/// The objective's curves of the trials of one experiment. Trials are known by a key that rises with their index.
pub struct Curves {
    direction: Direction,
    statistic: Statistic,
    /// As a loss.
    goal: Option<f64>,
    running: BTreeMap<u64, Series>,
    rows: BTreeMap<u64, Row>,
    levels: Vec<Table>,
    /// Keys of trials that have ended and whose rows are kept.
    ended: BTreeSet<u64>,
    /// The loss that counts of each trial that has one for good.
    results: BTreeMap<u64, f64>,
    ranked: BTreeSet<(i64, u64)>,
    /// Last steps of the complete trials that are kept.
    lengths: Ranks,
    complete: BTreeMap<u64, u64>,
}

/// The trials that have reached a step, by their losses there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// By the loss that counts there: the last one or the best so far, as the objective's statistic says.
    pub counted: Ranks,
    /// By the mean of the losses up to there.
    pub averages: Ranks,
}

/// What a trial has in the tables: from one level on, one entry a level.
#[derive(Default, PartialEq)]
struct Row {
    first: Level,
    /// The loss that counts, and the mean up to there.
    entries: Vec<(f64, f64)>,
}

impl Row {
    fn get(&self, level: Level) -> Option<(f64, f64)> {
        self.entries.get(level.checked_sub(self.first)?).copied()
    }

    fn end(&self) -> Level {
        self.first + self.entries.len()
    }
}

impl Curves {
    /// No trial is known. `statistic`: which of a trial's values counts.
    pub fn new(direction: Direction, statistic: Statistic) -> Self {
        Curves {
            direction,
            statistic,
            goal: None,
            running: BTreeMap::new(),
            rows: BTreeMap::new(),
            levels: Vec::new(),
            ended: BTreeSet::new(),
            results: BTreeMap::new(),
            ranked: BTreeSet::new(),
            lengths: Ranks::default(),
            complete: BTreeMap::new(),
        }
    }

    /// The same with the value that is to be reached.
    #[must_use]
    pub fn with_goal(self, goal: Option<f64>) -> Self {
        // A loss and its value are each other's.
        Curves { goal: goal.map(|goal| self.value(goal)), ..self }
    }

    /// The loss that is to be reached.
    pub fn goal(&self) -> Option<f64> {
        self.goal
    }

    /// Adds a trial, in place of the one of the same key. A trial that has failed is none: [`Curves::remove`] it.
    pub fn insert(&mut self, key: u64, curve: &Curve, course: Course) {
        let series = Series::new(curve, self.direction);
        self.set_row(key, self.row(&series));
        self.forget(key);
        let result = series.points().last().map(|last| self.counted(last));
        if let Some(result) = result.filter(|_| course != Course::Running || self.best_counts()) {
            self.results.insert(key, result);
            self.ranked.insert((ordered(result), key));
        }
        if course == Course::Running {
            self.running.insert(key, series);
            return;
        }
        if let Some(length) = series.last_step().filter(|_| course == Course::Complete) {
            self.lengths.insert(length as f64, key);
            self.complete.insert(key, length);
        }
        self.ended.insert(key);
        if self.ended.len() > KEPT
            && let Some(oldest) = self.ended.pop_first()
        {
            self.forget_length(oldest);
            self.set_row(oldest, Row::default());
        }
    }

    /// Forgets a trial.
    pub fn remove(&mut self, key: u64) {
        self.forget(key);
        self.set_row(key, Row::default());
    }

    /// The curve of a trial that runs.
    pub fn running(&self, key: u64) -> Option<&Series> {
        self.running.get(&key)
    }

    /// The trials that have reached this step, compared at the last level that is not beyond it. The level's step comes
    /// along.
    pub fn at(&self, step: u64) -> Option<(u64, &Table)> {
        let level = level_of(step);
        self.levels.get(level).map(|table| (step_of(level), table))
    }

    /// The best result among the other trials: of those that have ended, and of those that run where a trial's best value
    /// counts, since they have it already.
    pub fn best_but(&self, trial: u64) -> Option<f64> {
        let (_, key) = self.ranked.iter().find(|(_, key)| *key != trial)?;
        self.results.get(key).copied()
    }

    /// How many steps a trial takes that nobody stops: the median of those that ran to their end.
    pub fn typical(&self) -> Option<u64> {
        self.lengths.quantile(0.5, None).map(|steps| steps as u64)
    }

    /// The loss that counts at a point of a curve. A trial whose values are no longer finite is worse than any other.
    pub fn counted(&self, sample: &Sample) -> f64 {
        if sample.loss.is_finite() && self.best_counts() { sample.best } else { sample.loss }
    }

    /// The best value of a trial counts, not its last.
    pub fn best_counts(&self) -> bool {
        matches!(
            (self.statistic, self.direction),
            (Statistic::Best, _) | (Statistic::Min, Direction::Minimize) | (Statistic::Max, Direction::Maximize)
        )
    }

    /// Which way is up.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// A loss as the value that the program printed.
    pub fn value(&self, loss: f64) -> f64 {
        match self.direction {
            Direction::Minimize => loss,
            // No -0.
            Direction::Maximize => 0.0 - loss,
        }
    }

    /// How a worse value lies to a better one.
    pub fn worse(&self) -> &'static str {
        match self.direction {
            Direction::Minimize => "above",
            Direction::Maximize => "below",
        }
    }

    fn row(&self, series: &Series) -> Row {
        let (Some(from), Some(to)) = (series.first_step(), series.last_step()) else { return Row::default() };
        let first = level_of(from) + usize::from(step_of(level_of(from)) < from);
        let samples = (first..=level_of(to)).map_while(|level| series.at(step_of(level)));
        Row { first, entries: samples.map(|sample| (self.counted(&sample), sample.average)).collect() }
    }

    /// Puts a trial's entries into the tables, in place of those it has there. What has not changed is left alone.
    fn set_row(&mut self, key: u64, row: Row) {
        let old = self.rows.remove(&key).unwrap_or_default();
        for level in old.first.min(row.first)..old.end().max(row.end()) {
            let (before, after) = (old.get(level), row.get(level));
            if before == after {
                continue;
            }
            if self.levels.len() <= level {
                self.levels.resize_with(level + 1, Table::default);
            }
            let Some(table) = self.levels.get_mut(level) else { continue };
            if let Some((counted, average)) = before {
                table.counted.remove(counted, key);
                table.averages.remove(average, key);
            }
            if let Some((counted, average)) = after {
                table.counted.insert(counted, key);
                table.averages.insert(average, key);
            }
        }
        if !row.entries.is_empty() {
            self.rows.insert(key, row);
        }
    }

    /// Forgets all of a trial but its row.
    fn forget(&mut self, key: u64) {
        self.running.remove(&key);
        self.ended.remove(&key);
        self.forget_length(key);
        if let Some(result) = self.results.remove(&key) {
            self.ranked.remove(&(ordered(result), key));
        }
    }

    fn forget_length(&mut self, key: u64) {
        if let Some(length) = self.complete.remove(&key) {
            self.lengths.remove(length as f64, key);
        }
    }
}

/// A number for each loss, in the order of the losses.
fn ordered(loss: f64) -> i64 {
    let bits = loss.to_bits().cast_signed();
    if bits < 0 { i64::MIN - bits } else { bits }
}
