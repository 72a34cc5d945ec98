//! What the trials so far say about the search space: which parameters matter, and what to expect at a point.
//!
//! Importance is functional analysis of variance on a forest (Hutter, Hoos and Leyton-Brown, 2014,
//! <https://proceedings.mlr.press/v32/hutter14.html>): the share of the loss's variance over the whole space that one
//! parameter explains by itself, all others averaged over. A conditional parameter has one more place, where it is not
//! active, which weighs as much as the share of uniform draws in which it is not.

use super::tree::{self, Feature, Region, Sample, Tree};
use super::{INACTIVE, point};
use crate::space::{Assignment, Domain, SearchSpace, Value};
use crate::tuner::Finished;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const TREES: usize = 64;
/// Most trials that are modelled: the latest.
const MAX_TRIALS: usize = 2000;
/// Fewest trials with a loss of which anything can be said.
const FEWEST: usize = 4;
/// Uniform draws by which it is known how often a parameter is active.
const DRAWS: usize = 512;

/// A forest of what the trials gave.
pub struct Surrogate<'a> {
    space: &'a SearchSpace,
    trees: Vec<Tree>,
    /// What each parameter's places weigh.
    measures: Vec<Measure>,
    scale: Scale,
    trials: usize,
}

/// Losses as the trees have them: from 0 to 1.
struct Scale {
    lowest: f64,
    range: f64,
}

impl Scale {
    /// Of ascending finite losses; `None` when there are none. An outlier says where to go or not to go; how far away it is
    /// would drown all else.
    fn of(losses: &[f64]) -> Option<Self> {
        let at = |quarter: usize| losses.get(losses.len() * quarter / 4).copied();
        let (first, third) = (at(1)?, at(3)?);
        let reach = 3.0 * (third - first);
        let (mut lowest, mut highest) = (*losses.first()?, *losses.last()?);
        if reach > 0.0 && reach.is_finite() {
            (lowest, highest) = (lowest.max(first - reach), highest.min(third + reach));
        }
        // What is added up must not overflow.
        const MOST: f64 = 1e300;
        (lowest, highest) = (lowest.clamp(-MOST, MOST), highest.clamp(-MOST, MOST));
        Some(Scale { lowest, range: highest - lowest })
    }

    fn target(&self, loss: f64) -> f64 {
        if self.range > 0.0 { ((loss - self.lowest) / self.range).clamp(0.0, 1.0) } else { 0.0 }
    }

    fn loss(&self, target: f64) -> f64 {
        self.lowest + target * self.range
    }
}

/// How much of the loss's variance is a parameter's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Importance {
    /// Its name.
    pub parameter: String,
    /// From 0 to 1; those of all parameters add up to 1 at most, the rest is what they do together.
    pub share: f64,
}

/// A loss that is expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// Its mean.
    pub loss: f64,
    /// Its standard deviation: what the trees disagree about, and what varies within their leaves.
    pub deviation: f64,
}

/// How the places of a parameter are distributed in uniform draws.
enum Measure {
    /// Uniform from 0 to 1.
    Uniform { inactive: f64 },
    /// All of these alike.
    Places { places: Vec<f64>, inactive: f64 },
}

impl Measure {
    /// What a region weighs of it.
    fn of(&self, region: &Region) -> f64 {
        let (inactive, active) = match self {
            Measure::Uniform { inactive } => (inactive, (region.high.min(1.0) - region.low.max(0.0)).max(0.0)),
            Measure::Places { places, inactive } => {
                (inactive, places.iter().filter(|place| region.holds(**place)).count() as f64 / places.len() as f64)
            }
        };
        (1.0 - inactive) * active + if region.holds(INACTIVE) { *inactive } else { 0.0 }
    }

    /// A place in each cell that no region of these cuts, and what the cell weighs.
    fn cells(&self, regions: &[&Region]) -> Vec<(f64, f64)> {
        let mut cells = Vec::new();
        let inactive = match self {
            Measure::Uniform { inactive } => {
                let mut bounds: Vec<f64> = regions.iter().flat_map(|region| [region.low, region.high]).collect();
                bounds.retain(|bound| (0.0..1.0).contains(bound));
                bounds.push(0.0);
                bounds.sort_by(f64::total_cmp);
                bounds.dedup();
                let ends = bounds.iter().skip(1).chain([&1.0]);
                cells.extend(bounds.iter().zip(ends).map(|(low, high)| (*low, (1.0 - inactive) * (high - low))));
                *inactive
            }
            Measure::Places { places, inactive } => {
                let weight = (1.0 - inactive) / places.len() as f64;
                cells.extend(places.iter().map(|place| (*place, weight)));
                *inactive
            }
        };
        cells.push((INACTIVE, inactive));
        cells.retain(|(_, weight)| *weight > 0.0);
        cells
    }
}

impl<'a> Surrogate<'a> {
    /// Of the trials with a finite loss; `None` when these are too few to say anything.
    pub fn new(space: &'a SearchSpace, finished: &[Finished]) -> Option<Self> {
        let mut losses: Vec<f64> =
            finished.iter().map(|one| one.outcome.loss()).filter(|loss| loss.is_finite()).collect();
        losses.sort_by(f64::total_cmp);
        let scale = Scale::of(&losses)?;
        let sample = |one: &Finished| {
            let loss = one.outcome.loss();
            loss.is_finite().then(|| Sample { point: point(space, &one.assignment), target: scale.target(loss) })
        };
        let samples: Vec<Sample> = finished.iter().rev().filter_map(sample).take(MAX_TRIALS).collect();
        if samples.len() < FEWEST {
            return None;
        }
        // The same trials give the same answer.
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let features: Vec<Feature> = space.parameters().iter().map(Feature::of).collect();
        let trees = (0..TREES).map(|_| Tree::grow(&samples, &features, &mut rng)).collect();
        Some(Surrogate { space, trees, measures: measures(space, &mut rng), scale, trials: samples.len() })
    }

    /// How many trials it is made from.
    pub fn trials(&self) -> usize {
        self.trials
    }

    /// What to expect of an assignment.
    pub fn predict(&self, assignment: &Assignment) -> Prediction {
        let point = point(self.space, assignment);
        let leaves: Vec<(f64, f64)> = self.trees.iter().map(|tree| tree.leaf(&point)).collect();
        let (loss, between) = tree::moments(leaves.iter().map(|(mean, _)| *mean));
        let (within, _) = tree::moments(leaves.iter().map(|(_, variance)| *variance));
        Prediction { loss: self.scale.loss(loss), deviation: (between + within).sqrt() * self.scale.range }
    }

    /// Of every parameter, the most important first; empty when the loss is the same everywhere.
    pub fn importances(&self) -> Vec<Importance> {
        let shares: Vec<Vec<f64>> = self.trees.iter().filter_map(|tree| self.shares(tree)).collect();
        if shares.is_empty() {
            return Vec::new();
        }
        let mean = |at: usize| shares.iter().map(|of| of[at]).sum::<f64>() / shares.len() as f64;
        let parameters = self.space.parameters().iter().enumerate();
        let mut all: Vec<Importance> = parameters
            .map(|(at, parameter)| Importance { parameter: parameter.name.clone(), share: mean(at) })
            .collect();
        all.sort_by(|a, b| b.share.total_cmp(&a.share));
        all
    }

    /// The loss to expect at places of one parameter, from its lowest to its highest (at most `most`), all others averaged
    /// over; empty for a name that is none.
    pub fn effect(&self, parameter: &str, most: usize) -> Vec<(Value, f64)> {
        let Some(at) = self.space.parameters().iter().position(|known| known.name == parameter) else {
            return Vec::new();
        };
        let domain = &self.space.parameters()[at].domain;
        let values: Vec<Value> = match domain.levels() {
            Some(levels) if levels <= most as u64 || matches!(domain, Domain::Categorical { .. }) => {
                (0..levels.min(most as u64)).map(|level| domain.at(level)).collect()
            }
            _ => {
                let place = |step: usize| step as f64 / (most.max(2) - 1) as f64;
                let mut values: Vec<Value> = (0..most).map(|step| domain.at_place(place(step))).collect();
                values.dedup();
                values
            }
        };
        let of = |value: &Value| {
            let place = domain.encode(value)?;
            let mut sum = 0.0;
            for tree in &self.trees {
                let held = tree.regions(self.measures.len()).into_iter().filter(|leaf| leaf.regions[at].holds(place));
                sum += held.map(|leaf| self.weights(&leaf.regions)[at] * leaf.mean).sum::<f64>();
            }
            Some(self.scale.loss(sum / self.trees.len() as f64))
        };
        values.into_iter().filter_map(|value| of(&value).map(|loss| (value, loss))).collect()
    }

    /// What a leaf weighs, each parameter left out in turn; then with none left out.
    fn weights(&self, regions: &[Region]) -> Vec<f64> {
        let own: Vec<f64> = self.measures.iter().zip(regions).map(|(measure, region)| measure.of(region)).collect();
        let mut without = vec![1.0; own.len() + 1];
        let (mut before, mut after) = (1.0, 1.0);
        for (at, weight) in own.iter().enumerate() {
            without[at] *= before;
            before *= weight;
        }
        for (at, weight) in own.iter().enumerate().rev() {
            without[at] *= after;
            after *= weight;
        }
        without[own.len()] = before;
        without
    }

    /// Each parameter's share of a tree's variance; `None` when it has none.
    fn shares(&self, tree: &Tree) -> Option<Vec<f64>> {
        let leaves = tree.regions(self.measures.len());
        let weights: Vec<Vec<f64>> = leaves.iter().map(|leaf| self.weights(&leaf.regions)).collect();
        let parameters = self.measures.len();
        let moment = |power: i32| -> f64 {
            leaves.iter().zip(&weights).map(|(leaf, weights)| weights[parameters] * leaf.mean.powi(power)).sum()
        };
        let (mean, second) = (moment(1), moment(2));
        let variance = second - mean * mean;
        if variance <= 1e-12 * second {
            return None;
        }
        let own = |at: usize| {
            let regions: Vec<&Region> = leaves.iter().map(|leaf| &leaf.regions[at]).collect();
            let marginal = |place: f64| -> f64 {
                let held = leaves.iter().zip(&weights).filter(|(leaf, _)| leaf.regions[at].holds(place));
                held.map(|(leaf, weights)| weights[at] * leaf.mean).sum()
            };
            let cells = self.measures[at].cells(&regions);
            let second: f64 = cells.iter().map(|(place, weight)| weight * marginal(*place).powi(2)).sum();
            ((second - mean * mean) / variance).clamp(0.0, 1.0)
        };
        Some((0..parameters).map(own).collect())
    }
}

/// One a parameter.
fn measures(space: &SearchSpace, rng: &mut ChaCha8Rng) -> Vec<Measure> {
    let mut inactive = vec![0.0; space.parameters().len()];
    for _ in 0..DRAWS {
        let draw: Vec<f64> = space.parameters().iter().map(|_| rng.random()).collect();
        let drawn = space.decode(&draw);
        for (parameter, inactive) in space.parameters().iter().zip(&mut inactive) {
            *inactive += if drawn.contains_key(&parameter.name) { 0.0 } else { 1.0 / DRAWS as f64 };
        }
    }
    let measure =
        |(parameter, inactive): (&crate::space::Parameter, f64)| match (&parameter.domain, parameter.domain.levels()) {
            (Domain::Categorical { .. }, Some(levels)) => {
                let places =
                    (0..levels).filter_map(|level| parameter.domain.encode(&parameter.domain.at(level))).collect();
                Measure::Places { places, inactive }
            }
            _ => Measure::Uniform { inactive },
        };
    space.parameters().iter().zip(inactive).map(measure).collect()
}

#[cfg(test)]
mod tests;
