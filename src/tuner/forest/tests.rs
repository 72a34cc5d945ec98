use super::tree::{Feature, Sample, Tree, moments};
use super::*;
use crate::space::{Domain, Value};
use crate::tuner::{History, Outcome};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn predict(trees: &[Tree], point: &[f64]) -> f64 {
    moments(trees.iter().map(|tree| tree.leaf(point).0)).0
}

fn grow(samples: &[Sample], features: &[Feature], count: u64) -> Vec<Tree> {
    (0..count).map(|seed| Tree::grow(samples, features, &mut ChaCha8Rng::seed_from_u64(seed))).collect()
}

/// A function of two numbers and a category, of no order, is learned from samples; and where there are none between two
/// values the trees disagree.
#[test]
fn trees_learn() {
    let target = |point: &[f64]| (point[0] - 0.3).abs() + if [1.0, 4.0].contains(&point[2]) { 1.0 } else { 0.0 };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut points = |count: usize| -> Vec<Vec<f64>> {
        (0..count).map(|_| vec![rng.random(), rng.random(), f64::from(rng.random_range(0..6_u8))]).collect()
    };
    let sample = |point: Vec<f64>| Sample { target: target(&point), point };
    let samples: Vec<Sample> = points(400).into_iter().map(sample).collect();
    let trees = grow(&samples, &[Feature::Number, Feature::Number, Feature::Category], 20);
    let others = points(200);
    let error = others.iter().map(|point| (predict(&trees, point) - target(point)).powi(2)).sum::<f64>() / 200.0;
    let (_, variance) = moments(others.iter().map(|point| target(point)));
    assert!(error < 0.02 * variance, "{error} of {variance}");
}

#[test]
fn trees_disagree_where_they_know_little() {
    let sample = |x: f64| Sample { point: vec![x], target: x };
    let samples: Vec<Sample> =
        (0..20).map(|at| sample(0.2 * f64::from(at) / 20.0 + if at < 10 { 0.0 } else { 0.8 })).collect();
    let trees = grow(&samples, &[Feature::Number], 100);
    let variance = |x: f64| moments(trees.iter().map(|tree| tree.leaf(&[x]).0)).1;
    assert!(variance(0.5) > 100.0 * variance(0.05), "{} {}", variance(0.5), variance(0.05));
}

proptest! {
    /// Whatever the samples: a tree ends, and says nothing beyond what it was told.
    #[test]
    fn trees_stay_within_their_samples(
        samples in prop::collection::vec((prop::collection::vec(0_u8..4, 3), -3.0_f64..3.0), 1..60),
        close in any::<bool>(),
        seed in any::<u64>(),
    ) {
        // Numbers so close to each other that there is none between them.
        let number = |x: u8| if close { f64::from_bits(1.0_f64.to_bits() + u64::from(x)) } else { f64::from(x) };
        let sample = |(point, target): &(Vec<u8>, f64)| {
            Sample { point: vec![number(point[0]), number(point[1]), f64::from(point[2])], target: *target }
        };
        let samples: Vec<Sample> = samples.iter().map(sample).collect();
        let features = [Feature::Number, Feature::Number, Feature::Category];
        let tree = Tree::grow(&samples, &features, &mut ChaCha8Rng::seed_from_u64(seed));
        let targets = || samples.iter().map(|sample| sample.target);
        let (low, high) = (targets().fold(3.0, f64::min), targets().fold(-3.0, f64::max));
        for sample in &samples {
            let (mean, variance) = tree.leaf(&sample.point);
            prop_assert!(mean >= low - 1e-9 && mean <= high + 1e-9 && variance >= 0.0 && variance.is_finite());
        }
        prop_assert!(tree.leaf(&[0.5, -7.0, 9.0]).0.is_finite());
    }
}

/// Scores are those of the ranks, whatever the scale of the losses, and equal losses share one.
#[test]
fn losses_become_normal_scores() {
    let domain = Domain::Double { min: 0.0, max: 1.0, scale: crate::space::Scale::Linear, step: None };
    let space = crate::space::Parameter { name: "x".into(), domain, when: vec![] };
    let space = SearchSpace::new(vec![space], &[]).unwrap();
    let losses = [-1e300, 1.0, 1.0, 1e300, f64::INFINITY, f64::INFINITY];
    let trial = |(index, loss): (u64, &f64)| {
        let outcome = if loss.is_finite() { Outcome::Complete { losses: vec![*loss] } } else { Outcome::Failed };
        Finished::new(index, [("x".to_owned(), Value::Double(0.5))].into(), outcome)
    };
    let trials: Vec<Finished> = (0..).zip(&losses).map(trial).collect();
    let samples = scored(&space, &trials.iter().collect::<Vec<_>>());
    let unit = Normal::new(0.0, 1.0).unwrap();
    let expected = [0.5, 2.0, 2.0, 3.5, 5.0, 5.0].map(|rank| unit.inverse_cdf(rank / 6.0));
    for (sample, expected) in samples.iter().zip(expected) {
        assert!((sample.target - expected).abs() < 1e-12, "{} {expected}", sample.target);
    }
}

/// Parallel trials do not all go to one place.
#[test]
fn pending_trials_are_kept_away_from() {
    let domain = Domain::Double { min: 0.0, max: 1.0, scale: crate::space::Scale::Linear, step: None };
    let space = crate::space::Parameter { name: "x".into(), domain, when: vec![] };
    let space = SearchSpace::new(vec![space], &[]).unwrap();
    let mut history = History::new(&space);
    for index in 0..20 {
        let x = index as f64 / 19.0;
        history.insert(Finished::new(index, space.decode(&[x]), Outcome::Complete { losses: vec![(x - 0.5).abs()] }));
    }
    let forest = Forest { allow_repeats: false, startup_trials: 4, trees: 30, candidates: 500, random_share: 0.0 };
    let spread = |waits: bool| {
        let mut pending: Vec<Pending> = Vec::new();
        let mut places = Vec::new();
        for index in 20..36 {
            let none = if waits { &[] } else { &pending[..] };
            let request = Request { space: &space, history: &history, pending: none, seed: 1, index };
            let assignment = forest.suggest(&request).unwrap().assignment;
            places.push(assignment["x"].as_f64().unwrap());
            pending.push(Pending::new(index, assignment));
        }
        moments(places.iter().copied()).1.sqrt()
    };
    let (unaware, aware) = (spread(true), spread(false));
    println!("{unaware} {aware}");
    assert!(aware > 3.0 * unaware, "{unaware} {aware}");
}
