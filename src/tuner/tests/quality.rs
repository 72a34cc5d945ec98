//! That tuners are worth their names. Seeds are fixed, margins wide.

use super::*;

fn number(assignment: &Assignment, name: &str) -> Option<f64> {
    assignment.get(name).and_then(crate::space::Value::as_f64)
}

/// Branin's function; its minimum is 0.397887.
fn branin(a: &Assignment) -> f64 {
    let (x, y) = (number(a, "x").unwrap(), number(a, "y").unwrap());
    let pi = std::f64::consts::PI;
    let valley = y - 5.1 / (4.0 * pi * pi) * x * x + 5.0 / pi * x - 6.0;
    valley * valley + 10.0 * (1.0 - 1.0 / (8.0 * pi)) * x.cos() + 10.0 - 0.397_887
}

/// Branches of different kinds, the best one narrow.
fn branches(a: &Assignment) -> f64 {
    let width = (number(a, "width").unwrap().log2() - 6.0) / 4.0;
    let branch = match (number(a, "momentum"), number(a, "decay")) {
        (Some(momentum), _) => 0.05 + (momentum - 0.9).abs(),
        (_, Some(decay)) => (decay.log10() + 4.0).abs() / 4.0,
        _ => 0.5,
    };
    branch + width * width + (number(a, "lr").unwrap().log10() + 2.5).powi(2) / 4.0
}

fn sphere(a: &Assignment) -> f64 {
    a.values().filter_map(crate::space::Value::as_f64).map(|x| (x - 0.6) * (x - 0.6)).sum()
}

pub(super) type Loss = fn(&Assignment) -> f64;

/// Problems with a label, a space and a loss: smooth, conditional, of many parameters.
pub(super) fn problems() -> [(&'static str, SearchSpace, Loss); 3] {
    let space = |parameters| SearchSpace::new(parameters, &[]).unwrap();
    let plane = space(vec![double("x", -5.0, 10.0, Scale::Linear), double("y", 0.0, 15.0, Scale::Linear)]);
    let conditional = space(vec![
        choice("optimizer", &["sgd", "adam", "none"]),
        double("lr", 1e-5, 1.0, Scale::Log),
        parameter("width", Domain::Int { min: 4, max: 512, scale: Scale::Log, step: None }),
        when(double("momentum", 0.0, 1.0, Scale::Linear), "optimizer", "sgd"),
        when(double("decay", 1e-8, 1.0, Scale::Log), "optimizer", "adam"),
    ]);
    let ten = space((0..10).map(|at| double(&format!("p{at}"), -1.0, 1.0, Scale::Linear)).collect());
    [("branin", plane, branin), ("branches", conditional, branches), ("sphere", ten, sphere)]
}

/// The median over seeds of the best loss.
pub(super) fn median(name: &str, space: &SearchSpace, loss: Loss, trials: u64, seeds: u64) -> f64 {
    let best = |seed| {
        let (history, _) = run(name, space, seed, trials, loss);
        history.ranked().next().unwrap().outcome.loss()
    };
    let mut best: Vec<f64> = (0..seeds).map(best).collect();
    best.sort_by(f64::total_cmp);
    best[best.len() / 2]
}

#[test]
fn tuners_find_better_than_random() {
    // Trials, seeds, and how much lower than random search's the median must be.
    let table = [("TPE", 60, 21, 0.7), ("GP", 30, 5, 0.4), ("Auto", 30, 5, 0.5)];
    for (name, trials, seeds, share) in table {
        for (label, space, loss) in problems() {
            let (found, random) =
                (median(name, &space, loss, trials, seeds), median("Random", &space, loss, trials, 21));
            println!("{label}: {name} {found:.4}, random {random:.4}");
            assert!(found < share * random, "{label}: {name} {found}, random {random}");
        }
    }
}

/// Failed trials are never taken for good ones, however few others there are.
#[test]
fn tpe_keeps_away_from_failures() {
    let space = SearchSpace::new(vec![double("x", 0.0, 1.0, Scale::Linear)], &[]).unwrap();
    let mut history = History::new(&space);
    for index in 0..100_u64 {
        let spread = index as f64 * 1e-4;
        let (x, outcome) = match index {
            0..10 => (0.2 + spread, Outcome::Failed),
            10..95 => (0.5 + spread, Outcome::Failed),
            _ => (0.8 + spread, Outcome::Complete { losses: vec![1.0] }),
        };
        history.insert(Finished::new(index, [("x".to_owned(), crate::space::Value::Double(x))].into(), outcome));
    }
    let near = |seed| {
        let request = Request { space: &space, history: &history, pending: &[], seed, index: 100 };
        (tuner("TPE", &space).suggest(&request).unwrap().assignment["x"].as_f64().unwrap() - 0.8).abs() < 0.2
    };
    let count = (0..40).filter(|seed| near(*seed)).count();
    assert!(count >= 36, "{count} of 40 suggestions are near the trials that did not fail");
}

/// However long the history, the best trials are among the good ones, though they are long past.
#[test]
fn tpe_remembers_the_best() {
    let space = SearchSpace::new(vec![double("x", 0.0, 1.0, Scale::Linear)], &[]).unwrap();
    let mut history = History::new(&space);
    for index in 0..5_000_u64 {
        let (x, loss) = if index < 25 { (0.9, 0.0) } else { (0.6 * (index as f64 * 0.618).fract(), 1.0) };
        let outcome = Outcome::Complete { losses: vec![loss] };
        history.insert(Finished::new(index, [("x".to_owned(), crate::space::Value::Double(x))].into(), outcome));
    }
    let request = Request { space: &space, history: &history, pending: &[], seed: 1, index: 5_000 };
    let x = tuner("TPE", &space).suggest(&request).unwrap().assignment["x"].as_f64().unwrap();
    assert!((x - 0.9).abs() < 0.1, "{x}");
}
