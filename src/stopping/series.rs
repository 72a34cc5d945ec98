//! A trial's curve as rules see it: losses at rising steps, with what is known between them.

use crate::metrics::{Curve, Direction};

/// Losses beyond are taken for this, so that sums stay finite.
const LARGEST: f64 = 1e300;

/// A curve as losses (lower is better) at rising steps. Of several values at one step the last counts; where the steps go
/// back, as in a second fold, the values count from the step on that is new. Values that are not finite are left out,
/// but it is known since when there was no other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    points: Vec<Sample>,
    /// The last step, its value finite or not.
    last_step: Option<u64>,
    /// Since this step no value was finite.
    diverged: Option<u64>,
}

/// A finite loss, and what came before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The step.
    pub step: u64,
    /// The loss at it.
    pub loss: f64,
    /// Mean of the losses up to it, each by the steps it stands for.
    pub average: f64,
    /// The best loss up to it.
    pub best: f64,
}

impl Series {
    /// Of a metric's curve.
    pub fn new(curve: &Curve, direction: Direction) -> Self {
        let mut series = Series::default();
        let mut behind = false;
        for point in &curve.points {
            behind = series.last_step.is_some_and(|last| point.step < last || behind && point.step == last);
            if behind {
                continue;
            }
            series.forget(point.step);
            series.last_step = Some(point.step);
            let value = point.number();
            if value.is_finite() {
                let loss = match direction {
                    Direction::Minimize => value,
                    Direction::Maximize => -value,
                };
                series.points.push(Sample { step: point.step, loss: bounded(loss), average: 0.0, best: 0.0 });
                series.diverged = None;
            } else {
                series.diverged = series.diverged.or(Some(point.step));
            }
        }
        series.sum_up();
        series
    }

    fn forget(&mut self, step: u64) {
        if self.points.last().is_some_and(|point| point.step == step) {
            self.points.pop();
        }
        if self.diverged == Some(step) {
            self.diverged = None;
        }
    }

    fn sum_up(&mut self) {
        let first_gap = self.first_gap();
        let (mut before, mut weight, mut average, mut best) = (None, 0.0, 0.0, f64::INFINITY);
        for point in &mut self.points {
            let gap = before.map_or(first_gap, |before| point.step - before) as f64;
            weight += gap;
            average += (point.loss - average) * (gap / weight);
            best = point.loss.min(best);
            (point.average, point.best) = (average, best);
            before = Some(point.step);
        }
    }

    /// The first value stands for as many steps as the second, since it is not known when the trial began.
    fn first_gap(&self) -> u64 {
        match self.points.as_slice() {
            [first, second, ..] => second.step - first.step,
            _ => 1,
        }
    }

    /// The step before the first value: where the trial began, or began anew.
    pub fn begun(&self) -> Option<f64> {
        let first = self.points.first()?;
        Some(first.step as f64 - self.first_gap() as f64)
    }

    /// Finite losses, by step.
    pub fn points(&self) -> &[Sample] {
        &self.points
    }

    /// The last step, its value finite or not.
    pub fn last_step(&self) -> Option<u64> {
        self.last_step
    }

    /// The first step that has a finite value.
    pub fn first_step(&self) -> Option<u64> {
        self.points.first().map(|point| point.step)
    }

    /// Since this step no value was finite.
    pub fn diverged(&self) -> Option<u64> {
        self.diverged
    }

    /// What is known at a step: between two points linear, infinite loss where no value is finite any more; `None` before
    /// the first point and beyond the last.
    pub fn at(&self, step: u64) -> Option<Sample> {
        let after = self.points.partition_point(|point| point.step <= step);
        let before = *self.points.get(after.checked_sub(1)?)?;
        if self.diverged.is_some_and(|diverged| step >= diverged) {
            let reached = self.last_step.is_some_and(|last| step <= last);
            return reached.then_some(Sample { step, loss: f64::INFINITY, ..before });
        }
        if before.step == step {
            return Some(before);
        }
        let Some(next) = self.points.get(after) else {
            // Between the last finite value and the first of those that were not.
            return self.diverged.map(|_| Sample { step, ..before });
        };
        let part = (step - before.step) as f64 / (next.step - before.step) as f64;
        let between = |from: f64, to: f64| from + (to - from) * part;
        let loss = between(before.loss, next.loss);
        Some(Sample { step, loss, average: between(before.average, next.average), best: before.best.min(loss) })
    }
}

fn bounded(loss: f64) -> f64 {
    // -0 and 0 are one loss.
    loss.clamp(-LARGEST, LARGEST) + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Point;
    use proptest::prelude::*;

    fn series(points: &[(u64, f64)]) -> Series {
        let mut curve = Curve::default();
        points.iter().for_each(|(step, value)| curve.push(Point::new(*step, *value)));
        Series::new(&curve, Direction::Minimize)
    }

    #[test]
    fn what_is_known_at_a_step() {
        let nan = f64::NAN;
        // Points, step; then loss, average, best.
        type Row<'a> = (&'a [(u64, f64)], u64, Option<(f64, f64, f64)>);
        let table: [Row; 15] = [
            (&[], 1, None),
            (&[(1, 4.0), (2, 2.0), (3, 3.0)], 3, Some((3.0, 3.0, 2.0))),
            (&[(1, 4.0), (2, 2.0), (3, 3.0)], 4, None),
            (&[(1, 4.0), (2, 2.0), (3, 3.0)], 0, None),
            (&[(10, 4.0), (20, 2.0)], 15, Some((3.0, 3.5, 3.0))),
            (&[(10, 4.0), (20, 2.0), (50, 1.0)], 50, Some((1.0, 1.8, 1.0))),
            (&[(1, 4.0), (1, 2.0)], 1, Some((2.0, 2.0, 2.0))),
            (&[(1, 4.0), (2, 2.0), (1, 9.0), (2, 8.0), (3, 1.0)], 2, Some((2.0, 3.0, 2.0))),
            (&[(1, 4.0), (2, nan), (3, 2.0)], 2, Some((3.0, 3.5, 3.0))),
            (&[(1, nan), (2, 2.0)], 1, None),
            (&[(1, 4.0), (2, nan)], 1, Some((4.0, 4.0, 4.0))),
            (&[(1, 4.0), (3, nan)], 2, Some((4.0, 4.0, 4.0))),
            (&[(1, 4.0), (2, nan), (3, nan)], 2, Some((f64::INFINITY, 4.0, 4.0))),
            (&[(1, 4.0), (2, nan), (3, nan)], 4, None),
            (&[(1, 4.0), (2, nan), (2, 1.0)], 2, Some((1.0, 2.5, 1.0))),
        ];
        for (points, step, known) in table {
            let found = series(points).at(step).map(|sample| (sample.loss, sample.average, sample.best));
            match (found, known) {
                (Some(found), Some(known)) => {
                    let close = |one: f64, other: f64| one == other || (one - other).abs() < 1e-9;
                    assert!(
                        close(found.0, known.0) && close(found.1, known.1) && close(found.2, known.2),
                        "{points:?} at {step}: {found:?}"
                    );
                }
                _ => assert_eq!(found, known, "{points:?} at {step}"),
            }
        }
    }

    #[test]
    fn higher_is_better_where_that_is_the_direction() {
        let mut curve = Curve::default();
        curve.push(Point::new(1, 0.5));
        curve.push(Point::new(2, 0.25));
        assert_eq!(Series::new(&curve, Direction::Maximize).at(2).map(|sample| sample.best), Some(-0.5));
    }

    proptest! {
        #[test]
        fn any_curve_can_be_read(points in prop::collection::vec((0_u64..100, any::<f64>()), 0..40), steps in prop::collection::vec(any::<u64>(), 5)) {
            let series = series(&points);
            prop_assert!(series.points().windows(2).all(|pair| pair[0].step < pair[1].step));
            let mut size = f64::MIN_POSITIVE;
            for sample in series.points() {
                size = sample.loss.abs().max(size);
                prop_assert!(sample.best <= sample.average + 1e-9 * size, "{:?}", sample);
            }
            for step in (0..110).chain(steps) {
                if let Some(sample) = series.at(step) {
                    prop_assert!(!sample.loss.is_nan() && sample.average.is_finite() && sample.best.is_finite());
                    prop_assert!(sample.best <= sample.loss);
                }
            }
        }
    }
}
