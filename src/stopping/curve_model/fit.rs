//! What a family of curves says about a trial's last value.

use super::families::Family;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Recent steps tell more about the end: a point's weight grows with this power of its step.
const RECENT: i32 = 3;
/// A fit is never surer than this share of the range of the losses.
const SUREST: f64 = 1e-6;
/// With fewer degrees of freedom a prediction's tails would hide what is known.
const FEWEST_FREE: f64 = 3.0;

/// The distribution of the last value, by one family: Student's t, as Bayesian regression with a flat prior gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Prediction {
    /// Where its middle lies.
    pub middle: f64,
    /// How wide it is; above 0.
    pub scale: f64,
    /// Its degrees of freedom.
    pub free: f64,
    /// Variance of the points around the curve; above 0.
    pub residual: f64,
}

impl Prediction {
    /// How likely the last value lies below this one.
    pub fn below(&self, value: f64) -> f64 {
        let distance = ((value - self.middle) / self.scale).clamp(-1e6, 1e6);
        StudentsT::new(0.0, 1.0, self.free).map_or(0.0, |student| student.cdf(distance))
    }
}

/// Fits a family to points (step, loss), the last of them the latest, by weighted least squares. `None` when the points do
/// not tell its slope.
pub(super) fn fit(family: Family, points: &[(f64, f64)], end: f64) -> Option<Prediction> {
    let latest = points.last()?.0;
    let weighted = |(step, loss): &(f64, f64)| ((step / latest).powi(RECENT), family.at(*step, end), *loss);
    let mut sums = [0.0; 7];
    for (weight, x, y) in points.iter().map(weighted) {
        let terms = [weight, weight * weight, weight * x, weight * y, weight * x * x, weight * x * y, weight * y * y];
        sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
    }
    let [total, squares, x, y, xx, xy, yy] = sums;
    let (x, y) = (x / total, y / total);
    let (xx, xy, yy) = (xx - total * x * x, xy - total * x * y, yy - total * y * y);
    if xx.is_nan() || xx <= 1e-12 * total * x * x {
        return None;
    }
    let slope = xy / xx;
    let points = total * total / squares;
    let free = (points - 2.0).max(FEWEST_FREE);
    let residual = (yy - slope * xy).max(0.0) / total * points / free + SUREST * SUREST;
    let ahead = family.at(end, end) - x;
    let variance = residual * (1.0 + 1.0 / points + ahead * ahead / xx * total / points);
    let prediction = Prediction { middle: y + slope * ahead, scale: variance.sqrt(), free, residual };
    (prediction.middle.is_finite() && prediction.scale.is_finite()).then_some(prediction)
}

#[cfg(test)]
mod tests {
    use super::super::families::FAMILIES;
    use super::*;

    #[test]
    fn each_family_finds_its_own_curves_again() {
        for family in FAMILIES {
            let loss = |step: f64| 0.2 + 0.7 * family.at(step, 100.0);
            let points: Vec<(f64, f64)> = (1..=30).map(|step| (f64::from(step), loss(f64::from(step)))).collect();
            let found = fit(family, &points, 100.0).unwrap();
            assert!((found.middle - loss(100.0)).abs() < 1e-6, "{family:?}: {found:?}");
            assert!(found.scale < 1e-3, "{family:?}: {found:?}");
            assert!(found.below(loss(100.0) - 0.01) < 0.1 && found.below(loss(100.0) + 0.01) > 0.9, "{family:?}");
        }
    }

    #[test]
    fn points_that_tell_nothing_give_no_fit() {
        for family in FAMILIES {
            assert_eq!(fit(family, &[], 10.0), None);
            assert_eq!(fit(family, &[(1.0, 0.5)], 10.0), None);
            assert_eq!(fit(family, &[(3.0, 0.5), (3.0, 0.7)], 10.0), None);
        }
    }
}
