use super::covariance::Covariance;
use super::*;
use crate::space::{Parameter, Scale, Value};
use crate::tuner::{History, Outcome};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{ContinuousCDF, Normal};

fn reals(count: usize) -> SearchSpace {
    let domain = Domain::Double { min: 0.0, max: 1.0, scale: Scale::Linear, step: None };
    let parameter = |at| Parameter { name: format!("p{at}"), domain: domain.clone(), when: vec![] };
    SearchSpace::new((0..count).map(parameter).collect(), &[]).unwrap()
}

/// Best loss after so many trials, `parallel` at a time.
fn best(space: &SearchSpace, restarts: Policy, trials: u64, parallel: u64, loss: impl Fn(&[f64]) -> f64) -> f64 {
    let tuner = CmaEs { allow_repeats: false, population: None, step: 0.2, restarts };
    let mut history = History::new(space);
    for first in (0..trials).step_by(parallel as usize) {
        let asked = (first..first + parallel).map(|index| {
            let request = Request { space, history: &history, pending: &[], seed: 5, index };
            let assignment = tuner.suggest(&request).unwrap().assignment;
            let values: Vec<f64> = assignment.values().filter_map(Value::as_f64).collect();
            Finished::new(index, assignment, Outcome::Complete { losses: vec![loss(&values)] })
        });
        asked.collect::<Vec<_>>().into_iter().for_each(|finished| history.insert(finished));
    }
    history.ranked().next().unwrap().outcome.loss()
}

proptest! {
    /// What is coloured and whitened comes back, after whatever adaptations.
    #[test]
    fn covariances_stay_sound(
        full in any::<bool>(),
        directions in prop::collection::vec((-0.5_f64..1.0, prop::collection::vec(-3.0_f64..3.0, 4)), 1..30),
        vector in prop::collection::vec(-2.0_f64..2.0, 4),
    ) {
        let mut covariance = Covariance::unit(4, full);
        for direction in directions {
            covariance.adapt(0.8, &[direction]);
        }
        let back = covariance.whiten(&covariance.colour(&vector));
        prop_assert!((0..4).all(|at| covariance.deviation(at) > 0.0));
        prop_assert!(back.iter().zip(&vector).all(|(a, b)| (a - b).abs() < 1e-6), "{back:?} {vector:?}");
    }

    /// However narrow a coordinate has become, and wherever its mean stands, another level stays within reach.
    #[test]
    fn a_level_beside_stays_likely(mean in 0.0_f64..1.0, step in 1e-6_f64..0.5, levels in 2_i64..9, least in 0.01_f64..0.2) {
        let domain = Domain::Int { min: 1, max: levels, scale: Scale::Log, step: None };
        let mut distribution = Distribution::new(vec![mean], &[], step, 6);
        let share = domain.share(&domain.at_place(mean)).unwrap();
        margin::keep(&mut distribution, 0, share, least);
        let normal = Normal::new(distribution.mean[0], distribution.deviation(0)).unwrap();
        let beside = normal.cdf(share.0) + 1.0 - normal.cdf(share.1);
        prop_assert!(beside > 0.9 * least, "{beside} of {least}");
        prop_assert!(share.0 <= distribution.mean[0] && distribution.mean[0] <= share.1);
    }

    /// The place that is drawn again lies where the level does.
    #[test]
    fn places_drawn_again_are_of_the_level(mean in 0.0_f64..1.0, step in 1e-9_f64..0.5, place in 0.0_f64..1.0, uniform in 0.0_f64..1.0) {
        let domain = Domain::Int { min: 0, max: 9, scale: Scale::Linear, step: None };
        let value = domain.at_place(place);
        let distribution = Distribution::new(vec![mean], &[], step, 6);
        let again = margin::within(&distribution, 0, domain.share(&value).unwrap(), uniform);
        let near = |offset: f64| domain.at_place(again + offset) == value;
        prop_assert!(near(0.0) || near(1e-9) || near(-1e-9), "{again} for {value}");
    }
}

/// A valley that is ten times as long as wide, along no axis.
fn valley(x: &[f64]) -> f64 {
    let sum: f64 = x.iter().map(|x| x - 0.7).sum();
    x.iter().map(|x| (x - 0.7).powi(2)).sum::<f64>() + 100.0 * sum * sum
}

#[test]
fn it_takes_the_shape_of_a_valley() {
    // Fifty at a time are six generations that know nothing of each other.
    for (parallel, least) in [(1, 1e-6), (10, 1e-6), (50, 0.05)] {
        let found = best(&reals(5), Policy::Never, 1000, parallel, valley);
        println!("{parallel} at a time: {found:e}");
        assert!(found < least, "{parallel} at a time: {found}");
    }
}

#[test]
fn losses_that_are_all_alike_change_nothing() {
    let space = reals(3);
    let tuner = CmaEs { allow_repeats: false, population: None, step: 0.2, restarts: Policy::Bipop };
    let axes = Axes::new(&space);
    let mut history = History::new(&space);
    for index in 0..70 {
        let assignment = space.decode(&[0.1, 0.2, 0.3]);
        history.insert(Finished::new(index, assignment, if index < 35 { Outcome::Failed } else { loss(1.0) }));
    }
    let distribution =
        tuner.replay(&Request { space: &space, history: &history, pending: &[], seed: 1, index: 70 }, &axes);
    assert_eq!(distribution.mean, [0.5; 3]);
}

fn loss(value: f64) -> Outcome {
    Outcome::Complete { losses: vec![value] }
}

/// A run that has come to rest begins again somewhere else, with the population that its policy says.
#[test]
fn runs_restart() {
    let populations = |policy| {
        let mut distribution = Distribution::new(vec![0.5; 2], &[3], 0.2, 6);
        let mut restarts = Restarts::new(policy, 3, 6, 0.2);
        let mut populations = Vec::new();
        for _ in 0..200 {
            if let Some(next) = restarts.next(&distribution, (1.0, 1.0), &[0, 1]) {
                assert_ne!(next.mean, distribution.mean);
                populations.push(next.population);
                distribution = next;
            }
        }
        populations
    };
    assert!(populations(Policy::Never).is_empty());
    assert_eq!(populations(Policy::Ipop)[..5], [12, 24, 48, 96, 192]);
    let bipop = populations(Policy::Bipop);
    assert!(
        bipop.contains(&12) && bipop.contains(&24) && bipop.iter().filter(|size| **size < 24).count() > 3,
        "{bipop:?}"
    );
}

/// Categories that are often among the better ones become likely, and none becomes impossible.
#[test]
fn choices_of_the_better_become_likely() {
    let mut distribution = Distribution::new(vec![], &[4, 2], 0.2, 8);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..30 {
        let member = |_| {
            let (numbers, choices) = distribution.draw(&mut rng);
            let loss = if choices[0] == 2 { 0.0 } else { 1.0 } + choices[1] as f64;
            Member { loss, numbers, choices: choices.into_iter().map(Some).collect() }
        };
        let generation = (0..8).map(member).collect();
        distribution.adapt(generation);
    }
    let [first, second] = &distribution.probabilities[..] else { panic!() };
    assert!(first[2] > 0.9 && second[0] > 0.9, "{first:?} {second:?}");
    assert!(first.iter().chain(second).all(|probability| *probability > 0.005), "{first:?} {second:?}");
}

/// A history of any length is gone through in bounded work, from a place that does not move with each trial.
#[test]
fn long_histories_are_entered_midway() {
    let space = reals(3);
    let history = |early: f64| {
        let mut history = History::new(&space);
        for index in 0..20_000_u64 {
            let place = (index as f64 * 0.618).fract();
            let point = if index < 8_000 && index != 5 { [early; 3] } else { [place, 0.4, 1.0 - place] };
            let value = if index == 5 { -1.0 } else { place };
            history.insert(Finished::new(index, space.decode(&point), loss(value)));
        }
        history
    };
    let tuner = CmaEs { allow_repeats: false, population: None, step: 0.2, restarts: Policy::Bipop };
    let (one, other) = (history(0.1), history(0.9));
    let suggest = |history| tuner.suggest(&Request { space: &space, history, pending: &[], seed: 1, index: 20_000 });
    assert_eq!(suggest(&one), suggest(&other));
}
