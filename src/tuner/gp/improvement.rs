//! The logarithm of the expected improvement, exact far out in the tail (Ament et al., 2023, "Unexpected Improvements to
//! Expected Improvement for Bayesian Optimization", <https://arxiv.org/abs/2310.20708>).

use statrs::function::erf::erfc;
use std::f64::consts::{FRAC_1_SQRT_2, TAU};

/// Below this the tail's continued fraction is used.
const TAIL: f64 = -2.5;
/// Its terms, enough for 12 digits from there on.
const TERMS: u32 = 60;

/// `ln(phi(z) + z Phi(z))` and its derivative, for the standard normal density and distribution.
pub(super) fn log_improvement(z: f64) -> (f64, f64) {
    if z < TAIL {
        // Phi(z) = phi(z) / (t + c) with t = -z and the continued fraction c = 1/(t + 2/(t + 3/(t + ...))), so that
        // phi + z Phi = phi c / (t + c): nothing cancels.
        let t = -z;
        let c = (1..=TERMS).rev().fold(0.0, |rest, term| f64::from(term) / (t + rest));
        (-0.5 * z * z - 0.5 * TAU.ln() + (c / (t + c)).ln(), 1.0 / c)
    } else {
        let cumulative = 0.5 * erfc(-z * FRAC_1_SQRT_2);
        let improvement = (-0.5 * z * z).exp() / TAU.sqrt() + z * cumulative;
        (improvement.ln(), cumulative / improvement)
    }
}

/// `ln Phi(z)` and its derivative: the chance that a standard normal number is below.
pub(super) fn log_cumulative(z: f64) -> (f64, f64) {
    if z < TAIL {
        let t = -z;
        let c = (1..=TERMS).rev().fold(0.0, |rest, term| f64::from(term) / (t + rest));
        (-0.5 * z * z - 0.5 * TAU.ln() - (t + c).ln(), t + c)
    } else {
        let cumulative = 0.5 * erfc(-z * FRAC_1_SQRT_2);
        (cumulative.ln(), (-0.5 * z * z).exp() / TAU.sqrt() / cumulative)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against values computed by quadrature, and the two branches against each other.
    #[test]
    fn the_tail_is_exact() {
        let table = [
            (0.0, -0.918_938_533_204_672_7),
            (2.0, 0.697_383_545_788_228_3),
            (-1.0, -2.485_121_025_712_641),
            (-5.0, -16.744_301_162_660_99),
            (-40.0, -808.298_568_356_62),
        ];
        for (z, expected) in table {
            let (value, _) = log_improvement(z);
            assert!((value - expected).abs() < 1e-9 * (1.0 + expected.abs()), "{z}: {value} is not {expected}");
        }
        for z in [-1e5, -100.0, -2.500_001, -2.499_999, -1.0, 0.0, 3.0] {
            let step = 1e-5 * (1.0_f64).max(-z);
            let ((above, _), (below, _)) = (log_improvement(z + step), log_improvement(z - step));
            let ((_, slope), numeric) = (log_improvement(z), (above - below) / (2.0 * step));
            assert!((slope - numeric).abs() < 1e-4 * (1.0 + slope), "{z}: {slope} is not {numeric}");
        }
    }
    #[test]
    fn the_chance_is_exact() {
        let table = [(0.0, -std::f64::consts::LN_2), (-1.0, -1.841_021_645_009_264), (-5.0, -15.064_998_393_988_73)];
        for (z, expected) in table {
            let (value, _) = log_cumulative(z);
            assert!((value - expected).abs() < 1e-9 * (1.0 + expected.abs()), "{z}: {value} is not {expected}");
        }
        for z in [-1e5, -100.0, -2.500_001, -2.499_999, -1.0, 0.0, 3.0] {
            let step = 1e-5 * (1.0_f64).max(-z);
            let ((above, _), (below, _)) = (log_cumulative(z + step), log_cumulative(z - step));
            let ((_, slope), numeric) = (log_cumulative(z), (above - below) / (2.0 * step));
            assert!((slope - numeric).abs() < 1e-4 * (1.0 + slope), "{z}: {slope} is not {numeric}");
        }
    }
}
