//! Auto: what is known to save most at little loss, without a setting.
//!
//! A trial with too few values for a curve is judged by its place among the others, and by where its curve is going from
//! then on. Until the first trial is complete there is nothing to arrive at: the place decides at rungs a factor of 2 apart.
//! Slow starters are spared either way: by place whoever climbs among the others, by curve whoever is steep enough.

use super::curve_model::{CurveModel, FEWEST};
use super::settings::Settings;
use super::{Question, Rule, number};

/// A trial's place tells something among so many.
const MIN_TRIALS: usize = 8;

/// See the module.
pub(super) struct Auto(CurveModel);

impl Auto {
    pub fn new(settings: &mut Settings<'_>) -> Self {
        Auto(CurveModel::new(settings))
    }
}

impl Rule for Auto {
    fn judge(&self, question: &Question<'_>) -> Option<String> {
        if let Some(reason) = diverged(question) {
            return Some(reason);
        }
        let (first, last) = (question.series.first_step()?, self.0.judged_step(question)?);
        let is_curve = question.series.points().len() >= FEWEST;
        // What a stopped trial has is too easily beaten, so a curve is judged once a trial is complete.
        match question.curves.typical() {
            Some(_) if is_curve => self.0.judge(question),
            Some(_) => self.0.end(question).and_then(|_| left_behind(question, first, last)),
            None if is_curve => {
                let rung = rung(first.max(1), last)?;
                left_behind(question, first.max(rung / 2), rung)
            }
            None => None,
        }
    }
}

/// The last step that doubling leads to from the first.
fn rung(first: u64, last: u64) -> Option<u64> {
    Some(first << (last / first).checked_ilog2()?)
}

/// At a step it is in the worse half, and has not climbed since an earlier one.
fn left_behind(question: &Question<'_>, since: u64, step: u64) -> Option<String> {
    if since >= step {
        return None;
    }
    let (step, place, trials, own, median) = standing(question, step)?;
    let (_, place_before, trials_before, ..) = standing(question, since)?;
    // As shares of the trials: place / trials < place_before / trials_before.
    let climbs = place * trials_before < place_before * trials;
    (trials >= MIN_TRIALS && own > median && !climbs).then(|| {
        let (own, median, worse) =
            (number(question.curves, own), number(question.curves, median), question.curves.worse());
        format!("step {step}: {own} is {worse} the median {median} of {trials} trials, and does not catch up")
    })
}

/// At a step: how many trials are better, of how many, the trial's own loss and the median.
fn standing(question: &Question<'_>, step: u64) -> Option<(u64, usize, usize, f64, f64)> {
    let (step, table) = question.curves.at(step)?;
    let own = question.curves.counted(&question.series.at(step)?);
    Some((step, table.counted.better_than(own), table.counted.len(), own, table.counted.quantile(0.5, None)?))
}

/// Its last values, two at least, were no finite numbers.
fn diverged(question: &Question<'_>) -> Option<String> {
    let (since, last) = (question.series.diverged()?, question.series.last_step()?);
    (since < last).then(|| format!("step {last}: no finite value since step {since}"))
}
