//! Losses as the model sees them: standardised, with what is far out drawn in.

/// Transforms losses, all finite, so that they are roughly normal: a power transform (Box and Cox, 1964; Yeo and Johnson,
/// 2000) whose exponent is the most likely one, as in HEBO (Cowen-Rivers et al., 2022,
/// <https://arxiv.org/abs/2012.03826>); then mean 0 and variance 1. The order is kept. All 0 when they are all alike.
pub(super) fn standardised(losses: &[f64]) -> Vec<f64> {
    let scaled = scaled(losses);
    let candidates = (-8..=8).map(|eighth| f64::from(eighth) / 4.0);
    let likelihood = |exponent: f64| {
        let transformed: Vec<f64> = scaled.iter().map(|value| power(*value, exponent)).collect();
        let jacobian: f64 = scaled.iter().map(|value| (exponent - 1.0) * value.ln_1p()).sum();
        jacobian - 0.5 * scaled.len() as f64 * moments(&transformed).1.max(1e-300).ln()
    };
    let exponent = candidates.max_by(|a, b| likelihood(*a).total_cmp(&likelihood(*b))).unwrap_or(1.0);
    let transformed: Vec<f64> = scaled.iter().map(|value| power(*value, exponent)).collect();
    let (mean, variance) = moments(&transformed);
    let deviation = if variance > 1e-20 { variance.sqrt() } else { 1.0 };
    transformed.iter().map(|value| (value - mean) / deviation).collect()
}

/// From 0 for the lowest on, with 1 at the median of the others; very high ones are cut.
fn scaled(losses: &[f64]) -> Vec<f64> {
    // Divided first, so that no difference overflows.
    let largest = losses.iter().fold(0.0_f64, |largest, loss| largest.max(loss.abs()));
    let divided: Vec<f64> = losses.iter().map(|loss| if largest > 0.0 { loss / largest } else { 0.0 }).collect();
    let lowest = divided.iter().copied().fold(f64::INFINITY, f64::min);
    let mut above: Vec<f64> = divided.iter().map(|loss| loss - lowest).filter(|above| *above > 0.0).collect();
    above.sort_by(f64::total_cmp);
    let unit = above.get(above.len() / 2).copied().unwrap_or(1.0);
    divided.iter().map(|loss| ((loss - lowest) / unit).clamp(0.0, HIGHEST)).collect()
}

/// In medians.
const HIGHEST: f64 = 1e3;

/// Box and Cox's transform of `1 + value`, for values from 0 on.
fn power(value: f64, exponent: f64) -> f64 {
    if exponent.abs() < 1e-9 { value.ln_1p() } else { ((exponent * value.ln_1p()).exp_m1()) / exponent }
}

/// Mean and variance.
fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    (mean, values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_standardised_and_keep_their_order() {
        let table: [&[f64]; 6] = [
            &[1.0, 2.0, 3.0, 4.0],
            &[0.1, 0.2, 0.1, 1e6, 0.3],
            &[-1e300, 1e300, 0.0],
            &[1e-300, 2e-300, 5e-300],
            &[f64::MAX, f64::MIN, 1.0, 1.0],
            &[-3.0, 7.0],
        ];
        for losses in table {
            let targets = standardised(losses);
            let (mean, variance) = moments(&targets);
            assert!(mean.abs() < 1e-9 && (variance - 1.0).abs() < 1e-9, "{losses:?}: {targets:?}");
            for (a, b) in losses.iter().zip(&targets) {
                for (c, d) in losses.iter().zip(&targets) {
                    assert!((a < c) <= (b <= d), "{losses:?}: {targets:?}");
                }
            }
        }
        assert_eq!(standardised(&[7.0, 7.0, 7.0]), [0.0; 3]);
        assert_eq!(standardised(&[]), [0.0; 0]);
    }
}
