//! Losses of many trials in their order, kept so as they come and go.

use std::cmp::Ordering;

/// Losses of trials, the best first; of equals the lower key first. None is NaN. A change takes a binary search and the
/// move of what lies behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranks(Vec<(f64, u64)>);

impl Ranks {
    pub(super) fn insert(&mut self, loss: f64, key: u64) {
        if let Err(at) = self.find(loss, key) {
            self.0.insert(at, (loss, key));
        }
    }

    pub(super) fn remove(&mut self, loss: f64, key: u64) {
        if let Ok(at) = self.find(loss, key) {
            self.0.remove(at);
        }
    }

    fn find(&self, loss: f64, key: u64) -> Result<usize, usize> {
        self.0.binary_search_by(|entry| order(entry, &(loss, key)))
    }

    /// How many trials there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The best loss.
    pub fn best(&self) -> Option<f64> {
        self.0.first().map(|(loss, _)| *loss)
    }

    /// How many trials are better than this loss.
    pub fn better_than(&self, loss: f64) -> usize {
        self.0.partition_point(|(other, _)| *other < loss)
    }

    /// The loss that a share of the trials (0 to 1) is not worse than, linear between two of them (Hyndman and Fan's
    /// seventh definition, as numpy's). `without`: a trial that does not count. `None` when there is none.
    pub fn quantile(&self, share: f64, without: Option<(f64, u64)>) -> Option<f64> {
        let skipped = without.and_then(|(loss, key)| self.find(loss, key).ok());
        let last = self.len().checked_sub(1 + usize::from(skipped.is_some()))?;
        let loss = |rank: usize| {
            let at = rank + usize::from(skipped.is_some_and(|skipped| rank >= skipped));
            self.0.get(at).map(|(loss, _)| *loss)
        };
        let at = share.clamp(0.0, 1.0) * last as f64;
        let (low, part) = (at.floor() as usize, at.fract());
        let (below, above) = (loss(low)?, loss((low + 1).min(last))?);
        Some(if part == 0.0 || below == above { below } else { below + (above - below) * part })
    }
}

fn order(one: &(f64, u64), other: &(f64, u64)) -> Ordering {
    one.0.total_cmp(&other.0).then(one.1.cmp(&other.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranks(losses: &[f64]) -> Ranks {
        let mut ranks = Ranks::default();
        for (key, loss) in losses.iter().enumerate() {
            ranks.insert(*loss, key as u64);
        }
        ranks
    }

    #[test]
    fn quantiles() {
        let infinite = f64::INFINITY;
        let table: [(&[f64], f64, Option<f64>); 8] = [
            (&[], 0.5, None),
            (&[3.0], 0.5, Some(3.0)),
            (&[3.0, 1.0], 0.5, Some(2.0)),
            (&[3.0, 1.0, 2.0], 0.5, Some(2.0)),
            (&[4.0, 1.0, 2.0, 3.0], 0.25, Some(1.75)),
            (&[4.0, 1.0, 2.0, 3.0], 1.0, Some(4.0)),
            (&[1.0, infinite, infinite], 0.5, Some(infinite)),
            (&[1.0, infinite], 0.5, Some(infinite)),
        ];
        for (losses, share, quantile) in table {
            assert_eq!(ranks(losses).quantile(share, None), quantile, "{losses:?} {share}");
        }
        assert_eq!(ranks(&[3.0, 1.0, 2.0, 2.0]).quantile(0.5, Some((2.0, 2))), Some(2.0));
        assert_eq!(ranks(&[3.0]).quantile(0.5, Some((3.0, 0))), None);
    }

    proptest! {
        #[test]
        fn is_what_sorting_gives(losses in prop::collection::vec(-5_i32..5, 1..30), gone in prop::collection::vec(0_usize..30, 0..10), share in 0.0..1.0) {
            let losses: Vec<f64> = losses.into_iter().map(f64::from).collect();
            let mut kept = ranks(&losses);
            for key in &gone {
                kept.remove(losses.get(*key).copied().unwrap_or(0.0), *key as u64);
            }
            let mut left: Vec<f64> =
                losses.iter().enumerate().filter(|(key, _)| !gone.contains(key)).map(|(_, loss)| *loss).collect();
            left.sort_by(f64::total_cmp);
            prop_assert_eq!(kept.len(), left.len());
            prop_assert_eq!(kept.best(), left.first().copied());
            let at: f64 = share * left.len().saturating_sub(1) as f64;
            let naive = left.get(at.floor() as usize).zip(left.get(at.ceil() as usize));
            let naive = naive.map(|(below, above)| below + (above - below) * at.fract());
            prop_assert_eq!(kept.quantile(share, None), naive);
        }
    }
}
