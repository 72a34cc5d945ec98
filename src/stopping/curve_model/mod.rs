//! CurveModel: a trial that is unlikely to become the best, by where its curve is going.
//!
//! After T. Domhan, J. T. Springenberg and F. Hutter, "Speeding up Automatic Hyperparameter Optimization of Deep Neural
//! Networks by Extrapolation of Learning Curves" (IJCAI 2015): an ensemble of parametric families, each with its
//! uncertainty. Here each family is a linear regression with a closed form instead of a sampled one, and families count by
//! how well they fit.

mod families;
mod fit;

use super::judged::{Judged, LAST_STEP};
use super::settings::Settings;
use super::{Question, Rule, Series, number};
use families::FAMILIES;
use fit::fit;

/// Fewest values that a curve is fitted to.
pub(super) const FEWEST: usize = 4;
/// Most of them; of more every second, third, ... is taken.
const MOST: usize = 64;
/// A family counts by its residual deviation to this power: much less than a likelihood would have it, since no family is
/// the true one and points of a curve are not independent.
const SHARPNESS: f64 = -3.0;
/// A trial is not judged before one of so many parts of its steps.
const EARLIEST: f64 = 32.0;

/// See the module.
pub(super) struct CurveModel {
    /// The step at which trials end; 0: where the complete ones did.
    max_steps: u64,
    /// A trial with less chance to become the best is stopped.
    min_chance: f64,
    judged: Judged,
}

impl CurveModel {
    pub fn new(settings: &mut Settings<'_>) -> Self {
        CurveModel {
            max_steps: settings.whole("maxSteps", 0, 0..=LAST_STEP),
            min_chance: settings.real("minChance", 0.15, 0.0..=1.0),
            judged: Judged::new(settings),
        }
    }

    /// The last step at which this trial is to be judged.
    pub fn judged_step(&self, question: &Question<'_>) -> Option<u64> {
        self.judged.step(question)
    }

    /// The step at which this trial ends, when it has come far enough towards it to be judged.
    pub fn end(&self, question: &Question<'_>) -> Option<u64> {
        let end = if self.max_steps == 0 { question.curves.typical()? } else { self.max_steps };
        let (begun, last) = (question.series.begun()?, question.series.last_step()?);
        (last < end && last as f64 - begun >= (end as f64 - begun) / EARLIEST).then_some(end)
    }
}

impl Rule for CurveModel {
    fn judge(&self, question: &Question<'_>) -> Option<String> {
        let end = self.end(question)?;
        let (curves, step) = (question.curves, self.judged.step(question)?);
        let best = curves.best_but(question.trial).or(curves.goal())?;
        let own = question.series.at(step)?;
        if curves.best_counts() && own.best < best {
            return None;
        }
        let chance = chance(question.series, step, end, best)?;
        (chance < self.min_chance).then(|| {
            let (own, best) = (number(curves, own.loss), number(curves, best));
            let percent = if chance < 0.01 { "below 1".into() } else { (chance * 100.0).round().to_string() };
            format!("step {step}: {own}; the chance to beat {best} by step {end} is {percent}%")
        })
    }
}

/// How likely the curve, as known at `step`, ends below `best` at `end`; `None` when it is too short or too even to tell.
fn chance(series: &Series, step: u64, end: u64, best: f64) -> Option<f64> {
    let begun = series.begun()?;
    let known = series.points().partition_point(|point| point.step <= step);
    let points = series.points().get(..known).filter(|points| points.len() >= FEWEST)?;
    let latest = points.last()?.loss;
    let (low, high) =
        points.iter().fold((latest, latest), |(low, high), point| (point.loss.min(low), point.loss.max(high)));
    if low == high {
        return Some(if latest < best { 1.0 } else { 0.0 });
    }
    // In units of the curve's own range, so that neither large nor small losses are beyond what numbers hold.
    let scaled = |loss: f64| (loss - latest) / (high - low);
    let every = points.len().div_ceil(MOST);
    let mut taken: Vec<(f64, f64)> =
        points.iter().rev().step_by(every).map(|point| (point.step as f64 - begun, scaled(point.loss))).collect();
    taken.reverse();
    let end = end as f64 - begun;
    let (mut chance, mut total) = (0.0, 0.0);
    for prediction in FAMILIES.iter().filter_map(|family| fit(*family, &taken, end)) {
        let weight = prediction.residual.sqrt().powf(SHARPNESS);
        chance += weight * prediction.below(scaled(best));
        total += weight;
    }
    (total > 0.0).then(|| chance / total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Curve, Direction, Point};

    fn series(loss: impl Fn(f64) -> f64, steps: u64) -> Series {
        let mut curve = Curve::default();
        (1..=steps).for_each(|step| curve.push(Point::new(step, loss(step as f64))));
        Series::new(&curve, Direction::Minimize)
    }

    #[test]
    fn chances() {
        // The curve, its steps so far of 100, the best so far; then the chance.
        type Row<'a> = (&'a str, Series, f64, std::ops::RangeInclusive<f64>);
        let wave = |step: f64| 0.01 * (step * 2.3).sin();
        let table: [Row; 8] = [
            ("has come to rest above", series(|step| 0.5 + 0.5 * (-step).exp() + wave(step), 20), 0.2, 0.0..=0.01),
            ("goes far below", series(|step| 1.0 - 0.009 * step + 0.1 * wave(step), 20), 0.3, 0.6..=1.0),
            ("starts slowly", series(|step| (-step / 50.0).exp(), 10), 0.2, 0.6..=1.0),
            ("rises", series(|step| 0.3 + 0.01 * step, 10), 0.25, 0.0..=0.01),
            ("comes about there", series(|step| 0.2 + step.powf(-0.5) + wave(step), 20), 0.3, 0.1..=0.9),
            ("is even above", series(|_| 0.5, 10), 0.4, 0.0..=0.0),
            ("is even below", series(|_| 0.3, 10), 0.4, 1.0..=1.0),
            ("is long", series(|step| 0.5 + 1.0 / step + wave(step), 90), 0.4, 0.0..=0.01),
        ];
        for (what, series, best, range) in table {
            let last = series.last_step().unwrap();
            let found = chance(&series, last, 100, best).unwrap();
            assert!(range.contains(&found), "a curve that {what}: {found}");
        }
        assert_eq!(chance(&series(|step| step, 3), 3, 100, 0.5), None, "too few values");
    }

    #[test]
    fn neither_the_unit_of_the_loss_nor_where_steps_begin_matters() {
        let plain = series(|step| 0.2 + step.powf(-0.5), 20);
        let found = chance(&plain, 20, 100, 0.29).unwrap();
        for unit in [1e-200, 1e-9, 1e6, 1e200] {
            let other = chance(&series(|step| unit * (0.2 + step.powf(-0.5)), 20), 20, 100, unit * 0.29).unwrap();
            assert!((other - found).abs() < 1e-6, "{unit}: {other} {found}");
        }
        let mut curve = Curve::default();
        plain.points().iter().for_each(|point| curve.push(Point::new(point.step + 1000, point.loss)));
        let moved = Series::new(&curve, Direction::Minimize);
        assert!((chance(&moved, 1020, 1100, 0.29).unwrap() - found).abs() < 1e-12);
    }
}
