//! Which trials are modelled, so that the work is bounded however long the history.

use crate::tuner::{Finished, History};
use std::collections::HashSet;

/// Most trials in the model, and in the fit of its parameters.
const MODELLED: usize = 300;
const FITTED: usize = 128;
/// Most trials that failed; the latest.
const FAILED: usize = 64;
/// Numbers that the fit may keep: a pair of trials has one a parameter.
const PAIRS: usize = 1 << 20;
/// Up to so many trials the fit takes all of them; then it takes more only when a tenth more have ended.
const EVERY: usize = 32;

/// The trials that a model is made of.
pub(super) struct Trials<'a> {
    /// Those with a finite loss: all, or the best, the latest, and some between. In the order of their indices.
    pub modelled: Vec<&'a Finished>,
    /// Those to fit the model's parameters to: they change more seldom than the others.
    pub fitted: Vec<&'a Finished>,
    /// Those without a finite loss.
    pub failed: Vec<&'a Finished>,
}

impl<'a> Trials<'a> {
    pub fn new(history: &'a History, parameters: usize) -> Self {
        if history.objectives() == 1 {
            return Trials::of(history.iter(), parameters);
        }
        let front: HashSet<u64> = history.front().map(|finished| finished.index).collect();
        let badness = |finished: &Finished| if front.contains(&finished.index) { 0.0 } else { 1.0 };
        Trials::by(history.iter(), parameters, &badness)
    }

    /// Of these trials only, given in the order of their indices.
    pub fn of(trials: impl Iterator<Item = &'a Finished>, parameters: usize) -> Self {
        let badness =
            |finished: &Finished| if finished.violation() > 0.0 { f64::INFINITY } else { finished.outcome.loss() };
        Trials::by(trials, parameters, &badness)
    }

    fn by(trials: impl Iterator<Item = &'a Finished>, parameters: usize, badness: &dyn Fn(&Finished) -> f64) -> Self {
        let (finite, failed): (Vec<&Finished>, Vec<&Finished>) =
            trials.partition(|finished| finished.outcome.loss().is_finite());
        let most = (2 * PAIRS / parameters.max(1)).isqrt();
        let checkpoint = finite.get(..checkpoint(finite.len())).unwrap_or_default();
        Trials {
            modelled: some(&finite, MODELLED.min(most), badness),
            fitted: some(checkpoint, FITTED.min(most), badness),
            failed: failed.into_iter().rev().take(FAILED).collect(),
        }
    }
}

/// Their losses, of one objective.
pub(super) fn losses(trials: &[&Finished], objective: usize) -> Vec<f64> {
    let loss = |finished: &&Finished| finished.outcome.losses().get(objective).copied();
    trials.iter().map(|finished| loss(finished).unwrap_or_default()).collect()
}

/// By how much one outcome constraint does not hold, made ready for a model: drawn in where it is far out, standardised.
/// Beside that the number at which it just holds. What is not a number is as bad as the worst.
pub(super) fn excesses(trials: &[&Finished], constraint: usize) -> (Vec<f64>, f64) {
    let raw: Vec<f64> =
        trials.iter().map(|finished| finished.excesses.get(constraint).copied().unwrap_or(f64::NAN)).collect();
    let finite = || raw.iter().copied().filter(|excess| excess.is_finite());
    let worst = finite().fold(f64::MIN_POSITIVE, f64::max);
    let mut sizes: Vec<f64> = finite().map(f64::abs).filter(|size| *size > 0.0).collect();
    sizes.sort_by(f64::total_cmp);
    let unit = sizes.get(sizes.len() / 2).copied().unwrap_or(1.0);
    let drawn: Vec<f64> = raw
        .iter()
        .map(|excess| if excess.is_finite() || *excess == f64::NEG_INFINITY { *excess } else { worst })
        .map(|excess| (excess / unit).clamp(-1e6, 1e6).asinh())
        .collect();
    let count = drawn.len().max(1) as f64;
    let mean = drawn.iter().sum::<f64>() / count;
    let variance = drawn.iter().map(|excess| (excess - mean) * (excess - mean)).sum::<f64>() / count;
    let deviation = if variance > 1e-20 { variance.sqrt() } else { 1.0 };
    (drawn.iter().map(|excess| (excess - mean) / deviation).collect(), -mean / deviation)
}

/// The largest number of trials, not above this one, at which parameters are fitted.
fn checkpoint(trials: usize) -> usize {
    let mut last = EVERY;
    while last + last / 10 <= trials {
        last += last / 10;
    }
    last.min(trials)
}

/// At most so many: a third the best, a third the latest, the rest evenly from what is left.
fn some<'a>(trials: &[&'a Finished], most: usize, badness: &dyn Fn(&Finished) -> f64) -> Vec<&'a Finished> {
    if trials.len() <= most {
        return trials.to_vec();
    }
    let mut order: Vec<usize> = (0..trials.len()).collect();
    order.sort_by(|a, b| {
        let loss = |at: &usize| trials.get(*at).map_or(f64::INFINITY, |finished| badness(finished));
        loss(a).total_cmp(&loss(b))
    });
    let mut chosen: HashSet<usize> = order.into_iter().take(most / 3).collect();
    chosen.extend((0..trials.len()).rev().take(most / 3));
    let rest: Vec<usize> = (0..trials.len()).filter(|at| !chosen.contains(at)).collect();
    let wanted = most.saturating_sub(chosen.len());
    chosen.extend((0..wanted).filter_map(|at| rest.get(at * rest.len() / wanted)));
    trials.iter().enumerate().filter(|(at, _)| chosen.contains(at)).map(|(_, finished)| *finished).collect()
}
