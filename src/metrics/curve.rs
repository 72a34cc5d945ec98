//! A bounded curve: evenly thinned, first and last point exact.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most points of a curve.
pub const MAX_POINTS: usize = 256;

/// Integers that every JSON reader keeps exactly.
const MAX_STRIDE: u64 = 1 << 53;

/// One point of a curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// The step, or the arrival number where the program says none.
    pub step: u64,
    /// The value; absent when it is not finite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// What it is instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub non_finite: Option<NonFinite>,
}

/// A value that is no finite number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NonFinite {
    /// Not a number.
    NaN,
    /// Positive infinity.
    Infinity,
    /// Negative infinity.
    #[serde(rename = "-Infinity")]
    NegativeInfinity,
}

impl NonFinite {
    /// The kind of a value that is not finite.
    pub fn of(value: f64) -> Option<Self> {
        match value {
            value if value.is_finite() => None,
            value if value.is_nan() => Some(NonFinite::NaN),
            value if value > 0.0 => Some(NonFinite::Infinity),
            _ => Some(NonFinite::NegativeInfinity),
        }
    }

    /// The value of this kind.
    pub fn value(self) -> f64 {
        match self {
            NonFinite::NaN => f64::NAN,
            NonFinite::Infinity => f64::INFINITY,
            NonFinite::NegativeInfinity => f64::NEG_INFINITY,
        }
    }
}

impl Point {
    /// A point of any value.
    pub fn new(step: u64, value: f64) -> Self {
        let non_finite = NonFinite::of(value);
        Point { step, value: non_finite.is_none().then_some(value), non_finite }
    }

    /// The value, NaN and infinities included.
    pub fn number(&self) -> f64 {
        self.value.or(self.non_finite.map(NonFinite::value)).unwrap_or(f64::NAN)
    }
}

/// A bounded curve. Every `stride`-th arrival is kept, from the first on; when the room is used up, every other of those
/// is dropped and the stride doubles. The last arrival is kept besides. Memory is constant for any number of points.
/// Extremes have their place in [`super::MetricSummary`]: kept here, those of a rising metric would crowd out the rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Curve {
    /// In the order of arrival.
    #[schemars(length(max = 256))]
    pub points: Vec<Point>,
    /// Every how many arrivals are kept.
    #[serde(default = "one")]
    pub stride: u64,
    /// How many points have arrived.
    #[serde(default)]
    pub arrived: u64,
}

fn one() -> u64 {
    1
}

impl Curve {
    /// Adds the next point.
    pub fn push(&mut self, point: Point) {
        self.push_within(point, MAX_POINTS);
    }

    /// Adds the next point, of at most so many: two at least, [`MAX_POINTS`] at most.
    pub fn push_within(&mut self, point: Point, most: usize) {
        self.stride = self.stride.clamp(1, MAX_STRIDE);
        // The last point was kept only for being the last, unless it lies on the grid.
        if self.arrived > 0 && !(self.arrived - 1).is_multiple_of(self.stride) {
            self.points.pop();
        }
        self.points.push(point);
        self.arrived = self.arrived.saturating_add(1);
        while self.points.len() > most.clamp(2, MAX_POINTS) {
            self.thin();
        }
    }

    /// Drops the first point of this step or a later one, and all that came after it: a program that starts again there
    /// says them anew.
    pub fn truncate(&mut self, step: u64) {
        let Some(kept) = self.points.iter().position(|point| point.step >= step) else { return };
        self.points.truncate(kept);
        // What is left lies on the grid, so the last of it is taken for the last that arrived.
        let strides = (kept as u64).saturating_sub(1).saturating_mul(self.stride.clamp(1, MAX_STRIDE));
        self.arrived = if kept == 0 { 0 } else { strides.saturating_add(1) };
        if kept == 0 {
            self.stride = 1;
        }
    }

    /// Keeps every other point of the grid, and the last.
    fn thin(&mut self) {
        self.stride = self.stride.saturating_mul(2).min(MAX_STRIDE);
        let last = self.points.len() - 1;
        let mut at = 0;
        self.points.retain(|_| {
            let keep = at % 2 == 0 || at == last;
            at += 1;
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_curve_may_have_to_be_shorter() {
        let mut curve = Curve::default();
        for step in 0..200 {
            curve.push(Point::new(step, 1.0));
        }
        for step in 200..1000 {
            curve.push_within(Point::new(step, 1.0), 51);
            assert!(curve.points.len() <= 51 && curve.points.last().unwrap().step == step);
        }
        assert!(curve.points.len() > 20 && curve.points[0].step == 0);
    }

    fn check(curve: &Curve, arrived: u64) {
        assert!(curve.points.len() <= MAX_POINTS, "{}", curve.points.len());
        assert_eq!((curve.arrived, curve.points[0].step, curve.points.last().unwrap().step), (arrived, 0, arrived - 1));
        let widest = curve.points.windows(2).map(|pair| pair[1].step - pair[0].step).max().unwrap_or(0);
        assert!(widest <= curve.stride, "a gap of {widest} at a stride of {}", curve.stride);
        let most = (arrived / (MAX_POINTS as u64 / 2 - 1)).max(1);
        assert!(curve.stride <= most, "a stride of {} after {arrived} points", curve.stride);
    }

    #[test]
    fn millions_of_points_stay_bounded_and_even() {
        let shapes: [fn(u64) -> f64; 4] =
            [|step| (step as f64).sin(), |step| step as f64, |step| -(step as f64), |_| f64::NAN];
        for shape in shapes {
            let mut curve = Curve::default();
            for step in 0..500_000 {
                curve.push(Point::new(step, shape(step)));
            }
            check(&curve, 500_000);
            assert!(curve.points.len() > MAX_POINTS / 3);
        }
    }

    #[test]
    fn a_curve_that_was_damaged_is_no_reason_to_panic() {
        for (stride, arrived) in [(0, 0), (u64::MAX, u64::MAX), (u64::MAX, 5), (0, u64::MAX)] {
            let mut curve = Curve { points: vec![Point::new(7, 1.0); 400], stride, arrived };
            for step in 0..1000 {
                curve.push(Point::new(step, 0.0));
            }
            curve.truncate(3);
            assert!(curve.points.len() <= MAX_POINTS && curve.stride <= MAX_STRIDE);
        }
    }

    proptest! {
        #[test]
        fn any_curve_is_even_and_bounded(values in prop::collection::vec(-1e6_f64..1e6, 1..3000), rising in any::<bool>()) {
            let mut values = values;
            if rising {
                values.sort_by(f64::total_cmp);
            }
            let mut curve = Curve::default();
            for (step, value) in values.iter().enumerate() {
                curve.push(Point::new(step as u64, *value));
            }
            check(&curve, values.len() as u64);
        }

        #[test]
        fn a_curve_goes_on_evenly_where_it_was_cut(before in 1_u64..3000, cut in 0_u64..3000, after in 1_u64..3000) {
            let mut curve = Curve::default();
            for step in 0..before {
                curve.push(Point::new(step, 0.0));
            }
            curve.truncate(cut);
            let from = cut.min(before);
            prop_assert!(curve.points.iter().all(|point| point.step < cut));
            prop_assert!(curve.arrived <= from && from - curve.arrived < curve.stride);
            for step in from..from + after {
                curve.push(Point::new(step, 0.0));
            }
            let widest = curve.points.windows(2).map(|pair| pair[1].step - pair[0].step).max().unwrap_or(0);
            // Where it was cut, up to a stride of what came last is missing.
            prop_assert!(widest <= 2 * curve.stride, "{} {}", widest, curve.stride);
        }
    }
}
