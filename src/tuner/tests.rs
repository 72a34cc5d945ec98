use super::*;
use crate::space::{Condition, Domain, Parameter, Scale};
use proptest::prelude::*;
use serde_json::json;

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

fn spaces() -> Vec<(&'static str, SearchSpace)> {
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

fn tuner(name: &str, space: &SearchSpace) -> Box<dyn Tuner> {
    let settings = if name == "TPE" { [("startupTrials".to_owned(), json!(4))].into() } else { BTreeMap::new() };
    build(name, &settings, space).unwrap_or_else(|errors| panic!("{}", errors[0]))
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
            Ok(assignment) => {
                let outcome = Outcome::Complete { losses: vec![loss(&assignment)] };
                history.insert(Finished { index, assignment, outcome });
            }
            Err(none) => return (history, Some(none)),
        }
    }
    (history, None)
}

fn outcome(kind: u8, value: f64) -> Outcome {
    match kind {
        0 => Outcome::Failed,
        1 => Outcome::Complete { losses: vec![f64::NAN] },
        2 => Outcome::EarlyStopped { losses: vec![value] },
        3 => Outcome::Complete { losses: vec![1.0] },
        4 => Outcome::Complete { losses: vec![1e300 * value.signum()] },
        _ => Outcome::Complete { losses: vec![value] },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Every algorithm, every space, every kind of history: a valid suggestion, or a reason; twice the same.
    #[test]
    fn suggestions_are_valid_and_replay(
        outcomes in prop::collection::vec((0_u8..8, -1e3_f64..1e3), 0..30),
        seed in any::<u64>(),
        parallel in 0_usize..5,
    ) {
        for (label, space) in spaces() {
            for (name, _) in ALGORITHMS {
                if *name == "Grid" && label == "many" {
                    continue;
                }
                let tuner = tuner(name, &space);
                let mut history = History::new(&space);
                let mut pending = Vec::new();
                for (index, (kind, value)) in outcomes.iter().enumerate() {
                    let index = index as u64;
                    let request = Request { space: &space, history: &history, pending: &pending, seed, index };
                    let suggestion = tuner.suggest(&request);
                    prop_assert_eq!(&suggestion, &tuner.suggest(&request));
                    let Ok(assignment) = suggestion else { break };
                    prop_assert_eq!(space.check(&assignment), Ok(assignment.clone()), "{} {}", name, label);
                    if space.cardinality().is_some() {
                        prop_assert!(!history.contains(space.key(&assignment)) && !pending.contains(&assignment), "{} {}", name, label);
                    }
                    if pending.len() < parallel {
                        pending.push(assignment);
                    } else {
                        history.insert(Finished { index, assignment, outcome: outcome(*kind, *value) });
                    }
                }
            }
        }
    }
}

#[test]
fn finite_spaces_are_used_up_exactly() {
    for (label, space) in spaces() {
        let Some(all) = space.cardinality() else { continue };
        let valid = (0..all).filter(|rank| space.satisfies(&space.configuration(*rank).unwrap())).count();
        for (name, _) in ALGORITHMS {
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
    let tuner = build("Grid", &settings, &space).unwrap_or_else(|errors| panic!("{}", errors[0]));
    let history = History::new(&space);
    let suggest = |index| tuner.suggest(&Request { space: &space, history: &history, pending: &[], seed: 0, index });
    let mut values: Vec<f64> = (0..5).map(|index| suggest(index).unwrap()["x"].as_f64().unwrap()).collect();
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
        ("Bayes", json!({}), "algorithm.name: \"Bayes\" is no algorithm; there are Random, Grid, Sobol, TPE"),
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
        ("Random", json!({"allowRepeats": 1}), "algorithm.settings.allowRepeats: is 1; write true or false"),
    ];
    for (name, settings, message) in table {
        let settings = serde_json::from_value(settings).unwrap();
        let errors = build(name, &settings, &space).err().unwrap();
        assert_eq!(errors[0].to_string(), message);
    }
}

#[test]
fn repeats_may_be_asked_for() {
    let space = SearchSpace::new(vec![choice("c", &["u", "v"])], &[]).unwrap();
    for (name, _) in ALGORITHMS {
        let settings = [("allowRepeats".to_owned(), json!(true))].into();
        let tuner = build(name, &settings, &space).unwrap_or_else(|errors| panic!("{}", errors[0]));
        let mut history = History::new(&space);
        for index in 0..20 {
            let assignment =
                tuner.suggest(&Request { space: &space, history: &history, pending: &[], seed: 1, index }).unwrap();
            history.insert(Finished { index, assignment, outcome: Outcome::Complete { losses: vec![0.0] } });
        }
        assert_eq!((history.len(), history.distinct()), (20, 2), "{name}");
    }
}

/// Two functions with one good region, one of them over mixed and conditional parameters.
#[test]
fn tpe_finds_better_than_random() {
    let smooth =
        SearchSpace::new(vec![double("x", -5.0, 5.0, Scale::Linear), double("y", 1e-5, 1.0, Scale::Log)], &[]).unwrap();
    let mixed = SearchSpace::new(
        vec![choice("c", &["u", "v", "w"]), int("a", 0, 50), when(double("x", 0.0, 1.0, Scale::Linear), "c", "v")],
        &[],
    )
    .unwrap();
    let number = |a: &Assignment, name: &str| a.get(name).and_then(crate::space::Value::as_f64);
    let bowl =
        |a: &Assignment| (number(a, "x").unwrap() - 2.0).powi(2) + (number(a, "y").unwrap().log10() + 3.0).powi(2);
    let branch = |a: &Assignment| {
        let x = number(a, "x").map_or(1.0, |x| (x - 0.3).powi(2));
        x + ((number(a, "a").unwrap() - 37.0) / 50.0).powi(2)
    };
    let mean_best = |name: &str, space: &SearchSpace, loss: &dyn Fn(&Assignment) -> f64| -> f64 {
        let best = |seed| {
            let (history, _) = run(name, space, seed, 60, loss);
            history.iter().map(|finished| finished.outcome.loss()).fold(f64::INFINITY, f64::min)
        };
        (0..10).map(best).sum::<f64>() / 10.0
    };
    let results: [(&str, f64, f64); 2] = [
        ("bowl", mean_best("TPE", &smooth, &bowl), mean_best("Random", &smooth, &bowl)),
        ("branch", mean_best("TPE", &mixed, &branch), mean_best("Random", &mixed, &branch)),
    ];
    for (label, tpe, random) in results {
        assert!(tpe < 0.6 * random, "{label}: TPE {tpe}, random {random}");
    }
}

#[test]
fn parallel_trials_spread() {
    let (_, space) = spaces().swap_remove(0);
    let (history, _) = run("TPE", &space, 1, 30, |a| a["x"].as_f64().unwrap().powi(2));
    let tuner = tuner("TPE", &space);
    let mut pending: Vec<Assignment> = Vec::new();
    for index in 30..46 {
        let next =
            tuner.suggest(&Request { space: &space, history: &history, pending: &pending, seed: 1, index }).unwrap();
        assert!(!pending.contains(&next));
        pending.push(next);
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
