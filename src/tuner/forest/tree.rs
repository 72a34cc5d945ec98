//! Extremely randomised trees for regression (Geurts, Ernst and Wehenkel, 2006,
//! <https://doi.org/10.1007/s10994-006-6226-1>), with predictive variance (Hutter et al., 2014,
//! <https://arxiv.org/abs/1211.0906>).

use crate::space::{Domain, Parameter};
use rand::{Rng, RngExt};

/// Of the features that vary in a node, the share that is tried for its split.
const TRIED: f64 = 5.0 / 6.0;
/// Nodes this deep are not split.
const DEEPEST: usize = 64;
/// Fewest samples of a node that is split.
const FEWEST: usize = 3;

/// What a feature's numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feature {
    /// Ordered.
    Number,
    /// Names of categories, without order.
    Category,
}

impl Feature {
    /// That of a parameter.
    pub fn of(parameter: &Parameter) -> Self {
        match parameter.domain {
            Domain::Categorical { .. } => Feature::Category,
            _ => Feature::Number,
        }
    }
}

/// The numbers of one feature that lead to a leaf.
#[derive(Clone, Debug)]
pub(super) struct Region {
    /// The lowest.
    pub low: f64,
    /// The first above all.
    pub high: f64,
    /// Lists, each ascending, and whether the number is in it.
    lists: Vec<(Vec<f64>, bool)>,
}

impl Region {
    pub fn holds(&self, number: f64) -> bool {
        let is_in = |list: &[f64]| list.binary_search_by(|one| one.total_cmp(&number)).is_ok();
        self.low <= number && number < self.high && self.lists.iter().all(|(list, wanted)| is_in(list) == *wanted)
    }
}

/// A leaf, and what leads to it.
pub(super) struct Leaf {
    /// One a feature.
    pub regions: Vec<Region>,
    /// Mean of its samples.
    pub mean: f64,
}

/// A point and its target.
pub(super) struct Sample {
    /// One number a feature.
    pub point: Vec<f64>,
    /// Finite.
    pub target: f64,
}

/// One tree.
pub(super) struct Tree {
    nodes: Vec<Node>,
}

enum Node {
    Leaf { mean: f64, variance: f64 },
    Split { feature: usize, rule: Rule, left: usize, right: usize },
}

/// Which points go to the left.
enum Rule {
    Below(f64),
    /// Ascending.
    OneOf(Vec<f64>),
}

impl Rule {
    fn is_left(&self, value: f64) -> bool {
        match self {
            Rule::Below(threshold) => value < *threshold,
            Rule::OneOf(names) => names.binary_search_by(|name| name.total_cmp(&value)).is_ok(),
        }
    }
}

impl Tree {
    /// Of at least one sample.
    pub fn grow(samples: &[Sample], features: &[Feature], rng: &mut impl Rng) -> Self {
        let mut members: Vec<usize> = (0..samples.len()).collect();
        let mut tree = Tree { nodes: Vec::new() };
        tree.split(samples, features, &mut members, 0, rng);
        tree
    }

    /// Mean and variance of the leaf's samples.
    pub fn leaf(&self, point: &[f64]) -> (f64, f64) {
        let mut at = 0;
        loop {
            match &self.nodes[at] {
                Node::Leaf { mean, variance } => return (*mean, *variance),
                Node::Split { feature, rule, left, right } => {
                    at = if rule.is_left(point[*feature]) { *left } else { *right };
                }
            }
        }
    }

    /// All leaves. Together they hold every point once.
    pub fn regions(&self, features: usize) -> Vec<Leaf> {
        let everywhere = Region { low: f64::NEG_INFINITY, high: f64::INFINITY, lists: Vec::new() };
        let (mut leaves, mut open) = (Vec::new(), vec![(0, vec![everywhere; features])]);
        while let Some((at, regions)) = open.pop() {
            match &self.nodes[at] {
                Node::Leaf { mean, .. } => leaves.push(Leaf { regions, mean: *mean }),
                Node::Split { feature, rule, left, right } => {
                    let (mut inside, mut outside) = (regions.clone(), regions);
                    let (within, without) = (&mut inside[*feature], &mut outside[*feature]);
                    match rule {
                        Rule::Below(threshold) => {
                            within.high = within.high.min(*threshold);
                            without.low = without.low.max(*threshold);
                        }
                        Rule::OneOf(names) => {
                            within.lists.push((names.clone(), true));
                            without.lists.push((names.clone(), false));
                        }
                    }
                    open.extend([(*left, inside), (*right, outside)]);
                }
            }
        }
        leaves
    }

    /// Makes the node of these samples, and all below it.
    fn split(
        &mut self,
        samples: &[Sample],
        features: &[Feature],
        members: &mut [usize],
        depth: usize,
        rng: &mut impl Rng,
    ) -> usize {
        let at = self.nodes.len();
        let (mean, variance) = moments(members.iter().map(|member| samples[*member].target));
        self.nodes.push(Node::Leaf { mean, variance });
        if members.len() < FEWEST || depth == DEEPEST || variance <= 0.0 {
            return at;
        }
        let Some((feature, rule)) = best_split(samples, features, members, rng) else { return at };
        let middle = partition(members, |member| rule.is_left(samples[*member].point[feature]));
        let (below, others) = members.split_at_mut(middle);
        let left = self.split(samples, features, below, depth + 1, rng);
        let right = self.split(samples, features, others, depth + 1, rng);
        self.nodes[at] = Node::Split { feature, rule, left, right };
        at
    }
}

/// Of one random split for each of some features the one that leaves the least variance; `None` when all points are alike.
fn best_split(
    samples: &[Sample],
    features: &[Feature],
    members: &[usize],
    rng: &mut impl Rng,
) -> Option<(usize, Rule)> {
    let mut wanted = (features.len() as f64 * TRIED).ceil() as usize;
    let mut order: Vec<usize> = (0..features.len()).collect();
    let mut best: Option<(f64, usize, Rule)> = None;
    for next in 0..order.len() {
        if wanted == 0 {
            break;
        }
        order.swap(next, rng.random_range(next..features.len()));
        let feature = order[next];
        let rule = match features[feature] {
            Feature::Number => cut(samples, feature, members, rng),
            Feature::Category => group(samples, feature, members, rng),
        };
        let Some(rule) = rule else { continue };
        wanted -= 1;
        let rest = rest(samples, members, |point| rule.is_left(point[feature]));
        if best.as_ref().is_none_or(|(least, _, _)| rest < *least) {
            best = Some((rest, feature, rule));
        }
    }
    best.map(|(_, feature, rule)| (feature, rule))
}

/// A threshold, uniform between the lowest and the highest value.
fn cut(samples: &[Sample], feature: usize, members: &[usize], rng: &mut impl Rng) -> Option<Rule> {
    let values = members.iter().map(|member| samples[*member].point[feature]);
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    let threshold = low + (1.0 - rng.random::<f64>()) * (high - low);
    // Neighbouring numbers may have none between them.
    (low < high).then_some(Rule::Below(if threshold > low { threshold } else { high }))
}

/// Categories in the order of their mean targets (Fisher, 1958), cut at random.
fn group(samples: &[Sample], feature: usize, members: &[usize], rng: &mut impl Rng) -> Option<Rule> {
    let mut by_name: Vec<(f64, f64)> =
        members.iter().map(|member| (samples[*member].point[feature], samples[*member].target)).collect();
    by_name.sort_by(|a, b| a.0.total_cmp(&b.0));
    let alike = by_name.chunk_by(|a, b| a.0 == b.0);
    let mut groups: Vec<(f64, f64)> =
        alike.map(|of| (of.iter().map(|(_, target)| target).sum::<f64>() / of.len() as f64, of[0].0)).collect();
    if groups.len() < 2 {
        return None;
    }
    groups.sort_by(|a, b| a.0.total_cmp(&b.0));
    groups.truncate(rng.random_range(1..groups.len()));
    let mut names: Vec<f64> = groups.into_iter().map(|(_, name)| name).collect();
    names.sort_by(f64::total_cmp);
    Some(Rule::OneOf(names))
}

/// Sum of squares about the means of the two sides.
fn rest(samples: &[Sample], members: &[usize], is_left: impl Fn(&[f64]) -> bool) -> f64 {
    let mut sides = [(0.0, 0.0, 0.0); 2];
    for member in members {
        let sample = &samples[*member];
        let side = &mut sides[usize::from(is_left(&sample.point))];
        *side = (side.0 + 1.0, side.1 + sample.target, side.2 + sample.target * sample.target);
    }
    sides.iter().map(|(count, sum, squares)| squares - sum * sum / f64::max(*count, 1.0)).sum()
}

/// Mean and variance.
pub(super) fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = (values.clone().count() as f64).max(1.0);
    let mean = values.clone().sum::<f64>() / count;
    (mean, values.map(|value| (value - mean).powi(2)).sum::<f64>() / count)
}

/// Brings those that are wanted to the front, and says how many they are.
fn partition(members: &mut [usize], wanted: impl Fn(&usize) -> bool) -> usize {
    let mut front = 0;
    for at in 0..members.len() {
        if wanted(&members[at]) {
            members.swap(front, at);
            front += 1;
        }
    }
    front
}
