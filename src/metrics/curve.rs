//! A bounded curve: evenly thinned, first, last and extreme points exact.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most points of a curve.
pub const MAX_POINTS: usize = 256;

/// Points thinned on a grid: the rest of [`MAX_POINTS`] is for the last point and the two extremes.
const GRID_POINTS: usize = MAX_POINTS - 4;

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

/// A bounded curve. Every `stride`-th arrival is kept; when the room is used up, every other of those is dropped and the
/// stride doubles. The last, the lowest and the highest point are kept besides. Memory is constant for any number of
/// points.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Curve {
    /// In the order of arrival, which is the order of steps.
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
        self.stride = self.stride.max(1);
        // The last point was kept only for being the last, unless it lies on the grid or is an extreme.
        if self.arrived > 0 && !self.on_grid(self.arrived - 1) && !self.last_is_extreme() {
            self.points.pop();
        }
        self.points.push(point);
        self.arrived += 1;
        if self.points.len() >= MAX_POINTS {
            self.thin();
        }
    }

    /// Drops the points from this step on: a program that starts again at an earlier step says them anew.
    pub fn truncate(&mut self, step: u64) {
        self.points.retain(|point| point.step < step);
        self.arrived = self.arrived.min(self.points.len() as u64 * self.stride.max(1));
    }

    fn on_grid(&self, arrival: u64) -> bool {
        arrival.is_multiple_of(self.stride)
    }

    fn last_is_extreme(&self) -> bool {
        let last = self.points.len().wrapping_sub(1);
        let (low, high) = self.extremes();
        low == Some(last) || high == Some(last)
    }

    fn extremes(&self) -> (Option<usize>, Option<usize>) {
        let finite = || self.points.iter().enumerate().filter_map(|(at, point)| point.value.map(|value| (at, value)));
        let low = finite().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| at);
        let high = finite().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))).map(|(at, _)| at);
        (low, high)
    }

    /// Keeps every other point, the last and the extremes.
    fn thin(&mut self) {
        self.stride = self.stride.saturating_mul(2);
        let (low, high) = self.extremes();
        let last = self.points.len() - 1;
        let mut at = 0;
        self.points.retain(|_| {
            let keep = at % 2 == 0 || at == last || Some(at) == low || Some(at) == high;
            at += 1;
            keep
        });
        debug_assert!(self.points.len() <= GRID_POINTS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ten_million_points_stay_bounded_and_even() {
        let mut curve = Curve::default();
        for step in 0..2_000_000_u64 {
            curve.push(Point::new(step, (step as f64).sin()));
        }
        assert!(curve.points.len() <= MAX_POINTS && curve.points.len() > MAX_POINTS / 3);
        assert_eq!(curve.points[0].step, 0);
        assert_eq!(curve.points.last().unwrap().step, 1_999_999);
        let widest = curve.points.windows(2).map(|pair| pair[1].step - pair[0].step).max().unwrap();
        assert!(widest <= 2 * curve.stride, "{widest} {}", curve.stride);
    }

    proptest! {
        #[test]
        fn first_last_and_extremes_are_exact(values in prop::collection::vec(-1e6_f64..1e6, 1..3000)) {
            let mut curve = Curve::default();
            for (step, value) in values.iter().enumerate() {
                curve.push(Point::new(step as u64, *value));
            }
            prop_assert!(curve.points.len() <= MAX_POINTS);
            prop_assert!(curve.points.windows(2).all(|pair| pair[0].step < pair[1].step));
            let kept = |value: f64| curve.points.iter().any(|point| point.value == Some(value));
            prop_assert!(kept(values[0]) && kept(*values.last().unwrap()));
            prop_assert!(kept(values.iter().copied().fold(f64::MAX, f64::min)));
            prop_assert!(kept(values.iter().copied().fold(f64::MIN, f64::max)));
        }
    }
}
