mod beside;
mod digests;
mod goals;
mod health;
mod matrix;
mod populations;
mod properties;
mod quality;
mod searches;

use super::*;
use crate::space::{Condition, Domain, Parameter, Scale};
use serde_json::json;
use std::collections::BTreeMap;

fn parameter(name: &str, domain: Domain) -> Parameter {
    Parameter { name: name.into(), domain, when: vec![] }
}

fn double(name: &str, min: f64, max: f64, scale: Scale) -> Parameter {
    parameter(name, Domain::Double { min, max, scale, step: None })
}

fn int(name: &str, min: i64, max: i64) -> Parameter {
    parameter(name, Domain::Int { min, max, scale: Scale::Linear, step: None })
}

fn choice(name: &str, choices: &[&str]) -> Parameter {
    parameter(name, Domain::Categorical { choices: choices.iter().map(|c| (*c).to_owned()).collect() })
}

fn when(mut parameter: Parameter, parent: &str, value: &str) -> Parameter {
    parameter.when.push(Condition { parameter: parent.into(), values: vec![value.into()] });
    parameter
}

pub(super) fn spaces() -> Vec<(&'static str, SearchSpace)> {
    let space = |parameters, constraints: &[&str]| {
        let constraints: Vec<String> = constraints.iter().map(|c| (*c).to_owned()).collect();
        SearchSpace::new(parameters, &constraints).unwrap()
    };
    vec![
        ("real", space(vec![double("x", -5.0, 5.0, Scale::Linear), double("y", 1e-5, 1.0, Scale::Log)], &[])),
        ("finite", space(vec![int("a", 0, 4), choice("c", &["u", "v", "w"])], &[])),
        (
            "conditional",
            space(
                vec![
                    choice("c", &["u", "v"]),
                    when(int("a", 1, 5), "c", "u"),
                    when(double("x", 0.0, 1.0, Scale::Linear), "c", "v"),
                ],
                &[],
            ),
        ),
        (
            "constrained",
            space(vec![double("x", 0.0, 1.0, Scale::Linear), int("a", 1, 10)], &["x * a < 2", "a % 2 == 0"]),
        ),
        ("finite and constrained", space(vec![int("a", 0, 9), int("b", 0, 9)], &["a + b < 9"])),
        ("one value", space(vec![choice("c", &["only"])], &[])),
        ("many", space((0..300).map(|at| double(&format!("p{at}"), 0.0, 1.0, Scale::Linear)).collect(), &[])),
    ]
}

/// Of all algorithms that give each trial the whole of its resource: none goes on with what was tried.
fn names() -> impl Iterator<Item = &'static str> {
    ALGORITHMS.iter().filter(|algorithm| !algorithm.hands_out_fidelity).map(|algorithm| algorithm.name)
}

/// Those that fit a model for each suggestion are tried on a share of the cases.
fn spared(name: &str, seed: u64) -> bool {
    !seed.is_multiple_of(match name {
        "Auto" | "GP" | "TuRBO" => 8,
        "Forest" | "PolicyGradient" => 2,
        _ => 1,
    })
}

/// Of those that can search the space. A grid may be too large; a gradient needs numbers that are always active; nothing
/// else is refused.
fn able(space: &SearchSpace) -> impl Iterator<Item = &'static str> {
    let varies = |domain: &Domain| matches!(domain, Domain::Categorical { choices } if choices.len() > 1);
    let numbers = space.parameters().iter().all(|p| p.when.is_empty() && !varies(&p.domain));
    names().filter(move |name| {
        let able = build(name, &BTreeMap::new(), space, None).is_ok();
        let expected = match *name {
            "Grid" => able,
            "Gradient" => numbers,
            _ => true,
        };
        assert_eq!(able, expected, "{name}");
        able
    })
}

/// Settings with which a model is asked soon.
fn quick(name: &str) -> BTreeMap<String, serde_json::Value> {
    let settings = match name {
        "Auto" | "GP" | "TPE" | "TuRBO" => json!({"startupTrials": 4}),
        "Forest" => json!({"startupTrials": 4, "trees": 8, "candidates": 20}),
        _ => json!({}),
    };
    serde_json::from_value(settings).unwrap()
}

fn tuner(name: &str, space: &SearchSpace) -> Box<dyn Tuner> {
    build(name, &quick(name), space, None).unwrap_or_else(|errors| panic!("{}", errors[0]))
}

/// Runs trials one after the other; the loss is a function of the assignment.
fn run(
    name: &str,
    space: &SearchSpace,
    seed: u64,
    trials: u64,
    loss: impl Fn(&Assignment) -> f64,
) -> (History, Option<NoSuggestion>) {
    let tuner = tuner(name, space);
    let mut history = History::new(space);
    for index in 0..trials {
        match tuner.suggest(&Request { space, history: &history, pending: &[], seed, index }) {
            Ok(Suggestion { assignment, .. }) => {
                let outcome = Outcome::Complete { losses: vec![loss(&assignment)] };
                history.insert(Finished::new(index, assignment, outcome));
            }
            Err(none) => return (history, Some(none)),
        }
    }
    (history, None)
}

pub(super) fn outcome(kind: u8, value: f64) -> Outcome {
    match kind {
        0 => Outcome::Failed,
        1 => Outcome::Complete { losses: vec![f64::NAN] },
        2 => Outcome::EarlyStopped { losses: vec![value] },
        3 => Outcome::Complete { losses: vec![1.0] },
        4 => Outcome::Complete { losses: vec![1e300 * value.signum()] },
        _ => Outcome::Complete { losses: vec![value] },
    }
}

#[test]
fn finite_spaces_are_used_up_exactly() {
    for (label, space) in spaces() {
        let Some(all) = space.cardinality() else { continue };
        let valid = (0..all).filter(|rank| space.satisfies(&space.configuration(*rank).unwrap())).count();
        for name in able(&space) {
            let (history, end) = run(name, &space, 3, 10_000, |_| 1.0);
            assert_eq!(
                (history.len(), history.distinct(), end),
                (valid, valid, Some(NoSuggestion::Exhausted)),
                "{name} {label}"
            );
        }
    }
}

#[test]
fn a_grid_takes_doubles_at_levels_and_spreads() {
    let space = SearchSpace::new(vec![double("x", 1e-4, 1.0, Scale::Log)], &[]).unwrap();
    let settings = [("points".to_owned(), json!(5))].into();
    let tuner = build("Grid", &settings, &space, None).unwrap_or_else(|errors| panic!("{}", errors[0]));
    let history = History::new(&space);
    let mut pending: Vec<Pending> = Vec::new();
    for index in 0..5 {
        let request = Request { space: &space, history: &history, pending: &pending, seed: 0, index };
        let assignment = tuner.suggest(&request).unwrap().assignment;
        pending.push(Pending::new(index, assignment));
    }
    let mut values: Vec<f64> = pending.iter().map(|pending| pending.assignment["x"].as_f64().unwrap()).collect();
    assert!((values[1].log10() - values[0].log10()).abs() > 1.0, "the second is far from the first: {values:?}");
    values.sort_by(f64::total_cmp);
    for (value, expected) in values.iter().zip([1e-4, 1e-3, 1e-2, 1e-1, 1.0]) {
        assert!((value / expected - 1.0).abs() < 1e-9, "{values:?}");
    }
}

#[test]
fn settings_are_checked() {
    let (_, space) = spaces().swap_remove(0);
    let table = [
        ("Bayes", json!({}), "algorithm.name: \"Bayes\" is no algorithm; there are Auto, Random, Grid, "),
        (
            "TPE",
            json!({"startupTrials": -1}),
            "algorithm.settings.startupTrials: is -1; write a whole number from 0 to 10000",
        ),
        (
            "TPE",
            json!({"warmth": 1}),
            "algorithm.settings.warmth: is no setting of this algorithm; there are allowRepeats, startupTrials, candidates, priorWeight",
        ),
        (
            "TPE",
            json!({"priorWeight": "x"}),
            "algorithm.settings.priorWeight: is \"x\"; write a number from 0 to 1000000",
        ),
        ("Grid", json!({"points": 1}), "algorithm.settings.points: is 1; write a whole number from 2 to 1000"),
        (
            "Sobol",
            json!({"design": "Faure"}),
            "algorithm.settings.design: is \"Faure\"; write one of Sobol, LatinHypercube",
        ),
        ("Random", json!({"allowRepeats": 1}), "algorithm.settings.allowRepeats: is 1; write true or false"),
    ];
    for (name, settings, message) in table {
        let settings = serde_json::from_value(settings).unwrap();
        let errors = build(name, &settings, &space, None).err().unwrap();
        assert!(errors[0].to_string().starts_with(message), "{} is not {message}", errors[0]);
    }
}

#[test]
fn repeats_may_be_asked_for() {
    let space = SearchSpace::new(vec![int("a", 1, 2)], &[]).unwrap();
    for name in names() {
        let settings = [("allowRepeats".to_owned(), json!(true))].into();
        let tuner = build(name, &settings, &space, None).unwrap_or_else(|errors| panic!("{}", errors[0]));
        let mut history = History::new(&space);
        for index in 0..20 {
            let request = Request { space: &space, history: &history, pending: &[], seed: 1, index };
            let assignment = tuner.suggest(&request).unwrap().assignment;
            history.insert(Finished::new(index, assignment, Outcome::Complete { losses: vec![0.0] }));
        }
        assert_eq!((history.len(), history.distinct()), (20, 2), "{name}");
    }
}

#[test]
fn parallel_trials_spread() {
    let (_, space) = spaces().swap_remove(0);
    let (history, _) = run("TPE", &space, 1, 30, |a| a["x"].as_f64().unwrap().powi(2));
    let tuner = tuner("TPE", &space);
    let mut pending: Vec<Pending> = Vec::new();
    for index in 30..46 {
        let request = Request { space: &space, history: &history, pending: &pending, seed: 1, index };
        let next = tuner.suggest(&request).unwrap().assignment;
        assert!(pending.iter().all(|pending| pending.assignment != next));
        pending.push(Pending::new(index, next));
    }
}

#[test]
fn a_sobol_sequence_is_more_even_than_chance() {
    let space = SearchSpace::new(vec![double("x", 0.0, 1.0, Scale::Linear), double("y", 0.0, 1.0, Scale::Linear)], &[])
        .unwrap();
    let (history, _) = run("Sobol", &space, 9, 256, |_| 0.0);
    let mut cells = [[0_u32; 16]; 16];
    for finished in history.iter() {
        let cell = |name: &str| (finished.assignment[name].as_f64().unwrap() * 16.0) as usize;
        cells[cell("x").min(15)][cell("y").min(15)] += 1;
    }
    assert!(
        cells.iter().flatten().all(|count| *count == 1),
        "256 points of a (0, 2)-sequence: one in each of 16 x 16 cells"
    );
}

#[test]
fn a_latin_hypercube_has_one_in_each_part() {
    let space = SearchSpace::new(
        vec![double("x", 0.0, 1.0, Scale::Linear), double("y", 1e-4, 1.0, Scale::Log), int("a", 1, 10)],
        &[],
    )
    .unwrap();
    let settings = [("design".to_owned(), json!("LatinHypercube")), ("points".to_owned(), json!(20))].into();
    let tuner = build("Sobol", &settings, &space, None).unwrap_or_else(|errors| panic!("{}", errors[0]));
    let history = History::new(&space);
    let point = |index| {
        let request = Request { space: &space, history: &history, pending: &[], seed: 9, index };
        space.encode(&tuner.suggest(&request).unwrap().assignment)
    };
    for hypercube in 0..3 {
        let points: Vec<Vec<f64>> = (0..20).map(|at| point(hypercube * 20 + at)).collect();
        for (dimension, parts) in [(0, 20), (1, 20), (2, 10)] {
            let mut counts = vec![0; parts];
            points.iter().for_each(|point| counts[(point[dimension] * parts as f64) as usize] += 1);
            assert!(counts.iter().all(|count| *count == 20 / parts), "{counts:?}");
        }
    }
}

/// A grid goes on after its latest trial, however sparse what the constraints leave: a hundred of 90,000 here, more than
/// one suggestion may look at.
#[test]
fn a_grid_finds_the_few_that_a_constraint_leaves() {
    let constraints = ["a % 31 == 0".to_owned(), "b % 29 == 0".to_owned()];
    let space = SearchSpace::new(vec![int("a", 1, 310), int("b", 1, 290)], &constraints).unwrap();
    assert!(u128::from(space.effort()) < space.cardinality().unwrap());
    let (history, end) = run("Grid", &space, 7, 101, |_| 1.0);
    assert_eq!((history.len(), history.distinct()), (100, 100));
    assert_eq!(end, Some(NoSuggestion::NotFound(space.effort())));
}

/// The work of one suggestion is bounded: this ends, and says why nothing was found.
#[test]
fn spaces_that_cannot_be_looked_through_are_given_up() {
    let wide = |constraint: &str| {
        let parameters = (0..8).map(|at| int(&format!("p{at}"), 1, 100)).collect();
        SearchSpace::new(parameters, &[constraint.to_owned()]).unwrap()
    };
    let empty = SearchSpace::new(vec![int("a", 0, 9)], &["a > 20".to_owned()]).unwrap();
    for name in names() {
        for space in [wide("p0 + p1 > 500"), wide("p0 * p1 * p2 * p3 == 1 && p4 * p5 * p6 * p7 == 1")] {
            let (history, end) = run(name, &space, 3, 2, |_| 1.0);
            assert_eq!(history.len(), 0, "{name}");
            let looked_at = match end {
                Some(NoSuggestion::NotFound(count) | NoSuggestion::Unsatisfiable(Unsatisfiable::NotFound(count))) => {
                    count
                }
                other => panic!("{name}: {other:?}"),
            };
            assert!(looked_at <= space.effort() + 10_000, "{name}: {looked_at}");
        }
        let (_, end) = run(name, &empty, 3, 2, |_| 1.0);
        assert_eq!(end, Some(NoSuggestion::Unsatisfiable(Unsatisfiable::Never(10))), "{name}");
    }
}

/// A space of very many configurations is spread over like a small one.
#[test]
fn a_grid_of_very_many_configurations_spreads() {
    let parameters = (0..12).map(|at| int(&format!("p{at}"), 1, 999)).collect();
    let space = SearchSpace::new(parameters, &[]).unwrap();
    let (history, _) = run("Grid", &space, 0, 64, |_| 1.0);
    // The last parameter is the slowest one; 64 points of a golden section leave no gap of a sixteenth.
    let slowest = |finished: &Finished| finished.assignment["p11"].as_f64().unwrap() as usize;
    let sixteenths: std::collections::BTreeSet<usize> = history.iter().map(|f| (slowest(f) - 1) * 16 / 999).collect();
    assert_eq!((history.distinct(), sixteenths.len()), (64, 16));
}

/// What a person tried outside of the space stands for no configuration of it.
#[test]
fn trials_outside_of_the_space_use_up_nothing() {
    let space = SearchSpace::new(vec![parameter("d", Domain::Discrete { values: vec![1.0, 2.0] })], &[]).unwrap();
    let mut history = History::new(&space);
    for (index, text) in [(1 << 63, r#"{"d": 1.1}"#), (1 << 63 | 1, r#"{"d": "x"}"#), (1 << 63 | 2, r#"{"e": 2}"#)] {
        history.insert(Finished::new(index, serde_json::from_str(text).unwrap(), Outcome::Failed));
    }
    assert_eq!((history.len(), history.distinct()), (3, 0));
    for name in names() {
        let tuner = tuner(name, &space);
        let mut pending = vec![Pending::new(1 << 63 | 3, serde_json::from_str(r#"{"d": 1.9}"#).unwrap())];
        for index in 0..3 {
            let request = Request { space: &space, history: &history, pending: &pending, seed: 1, index };
            match tuner.suggest(&request) {
                Ok(suggestion) => pending.push(Pending::new(index, suggestion.assignment)),
                Err(none) => assert_eq!((index, none), (2, NoSuggestion::Exhausted), "{name}"),
            }
        }
        assert_eq!(pending.len(), 3, "{name}");
    }
}

#[test]
fn a_history_ranks_by_loss() {
    let space = SearchSpace::new(vec![int("a", 0, 9)], &[]).unwrap();
    let mut history = History::new(&space);
    let losses = [2.0, f64::NAN, -1.0, f64::INFINITY, 2.0, f64::NEG_INFINITY, 0.0, -0.0];
    for (index, loss) in (0..).zip(losses) {
        let outcome = Outcome::Complete { losses: vec![loss] };
        history.insert(Finished::new(index, [("a".to_owned(), crate::space::Value::Int(3))].into(), outcome));
    }
    let ranked = |history: &History| history.ranked().map(|finished| finished.index).collect::<Vec<_>>();
    assert_eq!(ranked(&history), [2, 6, 7, 0, 4]);
    history.remove(6);
    history.remove(1);
    history.insert(Finished::new(2, Assignment::new(), Outcome::Failed));
    assert_eq!((ranked(&history), history.len(), history.distinct()), (vec![7, 0, 4], 6, 1));
}
