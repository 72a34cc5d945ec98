//! Numbers of few levels: the margin that keeps the search from freezing at one of them (Hamano et al., 2022,
//! <https://arxiv.org/abs/2205.13482>), and what a trial does not tell about where it was drawn.

use super::distribution::Distribution;
use statrs::distribution::{ContinuousCDF, Normal};

/// Corrects one coordinate so that a level beside that of the mean keeps at least a probability of `least`.
///
/// `share` is the share of the line whose places have the mean's level, infinite at the ends of the range.
pub(super) fn keep(distribution: &mut Distribution, at: usize, share: (f64, f64), least: f64) {
    let Ok(unit) = Normal::new(0.0, 1.0) else { return };
    let (mean, deviation) = (distribution.mean[at], distribution.deviation(at));
    let below = unit.cdf((share.0 - mean) / deviation);
    let above = unit.cdf((mean - share.1) / deviation);
    let reach = -unit.inverse_cdf(least);
    match (share.0.is_finite(), share.1.is_finite()) {
        (true, true) if below.min(above) < least / 2.0 => {
            let within = 1.0 - below - above;
            let (raised_below, raised_above) = (below.max(least / 2.0), above.max(least / 2.0));
            // What was added is taken from the two that have more than they need.
            let surplus = 1.0 - raised_below - raised_above - within;
            let spare = raised_below + raised_above + within - 1.5 * least;
            let trimmed = |raised: f64| raised + surplus / spare * (raised - least / 2.0);
            let (left, right) = (-unit.inverse_cdf(trimmed(raised_below)), -unit.inverse_cdf(trimmed(raised_above)));
            let width = share.1 - share.0;
            distribution.set_marginal(at, share.0 + width * left / (left + right), width / (left + right));
        }
        (true, false) if below < least => distribution.set_marginal(at, share.0 + reach * deviation, deviation),
        (false, true) if above < least => distribution.set_marginal(at, share.1 - reach * deviation, deviation),
        _ => {}
    }
}

/// The place within a share where a trial was drawn, of which its level is all that is known: drawn again from the
/// marginal, by `uniform`.
pub(super) fn within(distribution: &Distribution, at: usize, share: (f64, f64), uniform: f64) -> f64 {
    let mean = distribution.mean[at];
    let Ok(normal) = Normal::new(mean, distribution.deviation(at)) else { return mean };
    let (low, high) = (normal.cdf(share.0), normal.cdf(share.1));
    // Far out in a tail only the nearer end is known.
    normal.inverse_cdf((low + uniform * (high - low)).clamp(1e-15, 1.0 - 1e-15)).clamp(share.0, share.1)
}
