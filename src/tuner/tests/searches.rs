//! That each further algorithm is worth its name, on problems of its kind. Seeds are fixed, margins wide.

use super::quality::{Loss, median, problems};
use super::*;
use crate::space::Value;

/// What an architecture is worth: each choice by itself, and each with the next.
fn architecture(a: &Assignment) -> f64 {
    let level = |value: &Value| value.to_string().bytes().map(u64::from).sum::<u64>();
    let levels: Vec<u64> = a.values().map(level).collect();
    let spread = |word: u64| (word as f64 * 0.618_033_988_749_895).fract();
    let one: f64 = (0..).zip(&levels).map(|(at, level)| spread(level * 31 + at * 7)).sum();
    let two: f64 = levels.windows(2).map(|pair| spread(pair[0] * 17 + pair[1] * 5)).sum();
    one + two / 2.0
}

fn space(parameters: Vec<Parameter>) -> SearchSpace {
    SearchSpace::new(parameters, &[]).unwrap()
}

fn cells() -> SearchSpace {
    space((0..8).map(|at| choice(&format!("c{at}"), &["a", "b", "c", "d", "e"])).collect())
}

#[test]
fn searches_find_better_than_random() {
    let [plane, branches, ten] = problems();
    let problems: [(&str, SearchSpace, Loss); 4] = [plane, branches, ten, ("architecture", cells(), architecture)];
    // Seeds, and at most so much of random search's loss, for each problem; none where it is not of the algorithm's kind.
    let table: [(&str, u64, [Option<f64>; 4]); 6] = [
        ("Evolution", 11, [Some(0.7), Some(0.7), Some(0.7), Some(0.8)]),
        ("Anneal", 11, [Some(0.7), Some(0.7), Some(0.7), Some(0.8)]),
        ("CMA-ES", 11, [Some(0.7), Some(0.7), Some(0.7), Some(0.8)]),
        ("Forest", 3, [Some(0.1), Some(0.5), Some(0.5), Some(0.8)]),
        ("Gradient", 11, [None, None, Some(0.7), None]),
        ("TuRBO", 3, [Some(0.5), Some(0.7), Some(0.3), Some(0.8)]),
    ];
    let random = problems.each_ref().map(|(_, space, loss)| median("Random", space, *loss, 60, 21));
    for (name, seeds, shares) in table {
        for (((label, space, loss), random), share) in problems.iter().zip(random).zip(shares) {
            let Some(share) = share else { continue };
            let found = median(name, space, *loss, 60, seeds);
            println!("{name} {label}: {found:.4}, random {random:.4}");
            assert!(found < share * random, "{name} {label}: {found}, random {random}");
        }
    }
}

/// A child of a population differs from a member of it in one parameter.
#[test]
fn evolution_changes_one_parameter() {
    let space = cells();
    let (history, _) = run("Evolution", &space, 3, 60, architecture);
    for finished in history.iter().skip(20) {
        let differences = |other: &Finished| {
            other.assignment.iter().filter(|(name, value)| finished.assignment[*name] != **value).count()
        };
        let parents = history.before(finished.index).rev().take(20);
        assert_eq!(parents.map(differences).min(), Some(1), "{:?}", finished.assignment);
    }
}

/// The neighbourhood shrinks with the number of trials, around the best ones, wherever the others are.
#[test]
fn annealing_draws_ever_nearer() {
    let space = space(vec![double("x", 0.0, 1.0, Scale::Linear)]);
    let farthest = |trials: u64| {
        let mut history = History::new(&space);
        for index in 0..trials {
            let (place, loss) = if index % 2 == 0 { (0.7, 0.0) } else { (0.2, 1.0 + index as f64) };
            history.insert(Finished::new(index, space.decode(&[place]), Outcome::Complete { losses: vec![loss] }));
        }
        let far = |seed| {
            let request = Request { space: &space, history: &history, pending: &[], seed, index: trials };
            let settings = [("meanRank".to_owned(), json!(1))].into();
            let tuner = build("Anneal", &settings, &space, None).unwrap_or_else(|errors| panic!("{}", errors[0]));
            (tuner.suggest(&request).unwrap().assignment["x"].as_f64().unwrap() - 0.7).abs()
        };
        (0..200).map(far).fold(0.0, f64::max)
    };
    // Half of 1 / (1 + n / 10).
    for (trials, radius) in [(10, 0.25), (90, 0.05), (990, 0.005)] {
        let farthest = farthest(trials);
        assert!(farthest < radius + 1e-9 && farthest > 0.9 * radius, "{trials}: {farthest}");
    }
}

/// Numbers of few and of very many levels take steps, and stay within their ranges.
#[test]
fn mutations_change_the_value() {
    let table = [
        Domain::Int { min: 1, max: 2, scale: Scale::Linear, step: None },
        Domain::Int { min: 1, max: i64::MAX, scale: Scale::Log, step: None },
        Domain::Discrete { values: vec![-1.0, 0.5, 64.0] },
        Domain::Double { min: -1e300, max: 1e300, scale: Scale::Linear, step: None },
        Domain::Double { min: 0.1, max: 0.5, scale: Scale::Linear, step: Some(0.1) },
        Domain::Categorical { choices: vec!["a".into(), "b".into()] },
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for domain in table {
        let space = space(vec![parameter("p", domain.clone())]);
        for place in [0.0, 0.3, 0.7, 1.0] {
            let parent = space.decode(&[place]);
            let child = neighbour::mutated(&space, &parent, 0.001, &mut rng);
            assert_ne!(child, parent, "{domain:?}");
            assert_eq!(space.check(&child), Ok(child.clone()), "{domain:?}");
        }
    }
}
