//! Auto: what is known to save most at little loss, without a setting.
//!
//! A trial is held against the others by its place while it has too few values for a curve, and by where its curve is going
//! from then on. Of those that start slowly both spare what may still come: the first whoever climbs among the others, the
//! second whoever falls steeply enough to arrive.

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
        diverged(question).or_else(|| self.left_behind(question)).or_else(|| self.0.judge(question))
    }
}

impl Auto {
    /// It has a few values, is in the worse half, and does not climb.
    fn left_behind(&self, question: &Question<'_>) -> Option<String> {
        self.0.end(question)?;
        let points = question.series.points();
        let ([first, _, ..], [.., last]) = (points, points) else { return None };
        if points.len() >= FEWEST {
            return None;
        }
        let (step, place, trials, own, median) = standing(question, last.step)?;
        let (_, place_before, trials_before, ..) = standing(question, first.step)?;
        // As shares of the trials: place / trials < place_before / trials_before.
        let climbs = place * trials_before < place_before * trials;
        (trials >= MIN_TRIALS && own > median && !climbs).then(|| {
            let (own, median, worse) =
                (number(question.curves, own), number(question.curves, median), question.curves.worse());
            format!("step {step}: {own} is {worse} the median {median} of {trials} trials, and does not catch up")
        })
    }
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
