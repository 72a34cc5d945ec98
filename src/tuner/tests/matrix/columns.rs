//! The columns.

use super::cell::{complete, sum};
use super::*;

fn space(parameters: Vec<Parameter>, constraints: &[&str]) -> SearchSpace {
    let constraints: Vec<String> = constraints.iter().map(|text| (*text).to_owned()).collect();
    SearchSpace::new(parameters, &constraints).unwrap()
}

/// Numbers of every kind.
fn numbers() -> Vec<Parameter> {
    let double = |scale, step| Domain::Double { min: 0.5, max: 4.5, scale, step };
    let int = |scale, step| Domain::Int { min: 1, max: 40, scale, step };
    [
        double(Scale::Linear, None),
        double(Scale::Log, None),
        double(Scale::Linear, Some(0.25)),
        int(Scale::Linear, None),
        int(Scale::Log, None),
        int(Scale::Linear, Some(3)),
        Domain::Discrete { values: vec![-1.5, 0.0, 64.0] },
    ]
    .into_iter()
    .enumerate()
    .map(|(at, domain)| parameter(&format!("n{at}"), domain))
    .collect()
}

fn plane() -> SearchSpace {
    space(vec![double("x", -5.0, 5.0, Scale::Linear), double("y", 1e-5, 1.0, Scale::Log)], &[])
}

/// All trials that were wanted were made, or a finite grid was used up.
fn whole(cell: &Cell<'_>) -> impl Fn(&'static str, &Run) {
    let (label, trials) = (cell.label.to_owned(), cell.trials as usize);
    move |name, run| assert_eq!(run.suggested.len(), trials, "{name} with {label}: {:?}", run.none)
}

#[test]
fn numbers_of_every_kind() {
    let cell = Cell::new("real, whole, discrete and logarithmic numbers", space(numbers(), &[]));
    every(&cell, &[], whole(&cell));
}

#[test]
fn categories() {
    let parameters = numbers().into_iter().chain([choice("c", &["u", "v", "w"])]).collect();
    let cell = Cell::new("a categorical parameter", space(parameters, &[]));
    every(&cell, &["Gradient"], whole(&cell));
}

#[test]
fn conditional_parameters() {
    let parameters = vec![
        choice("c", &["u", "v", "w"]),
        when(int("n", 1, 9), "c", "u"),
        when(double("x", 0.0, 1.0, Scale::Linear), "c", "v"),
        when(choice("d", &["s", "t"]), "c", "v"),
        when(double("deep", 1e-3, 1.0, Scale::Log), "d", "s"),
    ];
    let cell = Cell { trials: 30, ..Cell::new("nested conditions", space(parameters, &[])) };
    every(&cell, &["Gradient"], whole(&cell));
    let parameters = vec![int("layers", 1, 3), when(double("second", 0.0, 1.0, Scale::Linear), "layers", "2")];
    // A grid has so many.
    let cell = Cell { trials: 12, ..Cell::new("a number under a condition", space(parameters, &[])) };
    every(&cell, &["Gradient"], whole(&cell));
}

#[test]
fn parameter_constraints() {
    let constraints = ["n0 + n1 < 5.0", "n3 % 2 == 0", "n6 != 0.0 || n4 > 3"];
    let cell = Cell::new("parameter constraints", space(numbers(), &constraints));
    every(&cell, &[], |name, run| {
        whole(&cell)(name, run);
        for suggestion in &run.suggested {
            let value = |name: &str| suggestion.assignment[name].as_f64().unwrap();
            assert!(value("n0") + value("n1") < 5.0 && value("n3") % 2.0 == 0.0, "{name}: {suggestion:?}");
        }
    });
}

/// From 1 to 256 at a time, in a space of so many that each can have its own.
#[test]
fn parallel_trials() {
    for (parallel, trials) in [(2, 24), (16, 48)] {
        let finite = space(vec![int("a", 0, 29), int("b", 0, 29)], &[]);
        let cell = Cell { parallel, trials, ..Cell::new("parallel trials", finite) };
        every(&cell, &[], |name, run| {
            whole(&cell)(name, run);
            let begun = run.suggested.iter().filter(|one| one.stage.is_none_or(|stage| stage.parent.is_none()));
            let keys: std::collections::HashSet<_> = begun.clone().map(|one| cell.space.key(&one.assignment)).collect();
            assert_eq!(keys.len(), begun.count(), "{name} repeats what runs, {parallel} at a time");
        });
    }
}

#[test]
fn up_to_256_trials_are_pending() {
    let finite = space(vec![int("a", 0, 29), int("b", 0, 29)], &[]);
    let cell = Cell::new("256 pending trials", finite);
    every(&cell, &[], |name, run| {
        let algorithm = ALGORITHMS.iter().find(|algorithm| algorithm.name == name).unwrap();
        let tuner = admit(algorithm, &cell).unwrap_or_else(|error| panic!("{error}"));
        let random =
            build("Random", &BTreeMap::new(), &cell.space, None).unwrap_or_else(|errors| panic!("{}", errors[0]));
        let mut pending: Vec<Pending> = Vec::new();
        for index in cell.trials..cell.trials + 256 {
            let request = Request { space: &cell.space, history: &run.history, pending: &pending, seed: 3, index };
            let asked = (pending.len() + 1).is_power_of_two();
            let suggestion = match if asked { tuner.suggest(&request) } else { random.suggest(&request) } {
                Ok(suggestion) => suggestion,
                Err(none) => {
                    assert!(none == NoSuggestion::Waiting && algorithm.hands_out_fidelity, "{name}: {none}");
                    random.suggest(&request).unwrap()
                }
            };
            let key = cell.space.key(&suggestion.assignment);
            let begins = suggestion.stage.is_none_or(|stage| stage.parent.is_none());
            let fresh = pending.iter().all(|pending| cell.space.key(&pending.assignment) != key);
            assert!(fresh || !begins, "{name} repeats what runs: {} do", pending.len());
            let stage = cell.fidelity.filter(|_| algorithm.hands_out_fidelity);
            let stage =
                stage.map(|fidelity| suggestion.stage.unwrap_or(Stage { fidelity: fidelity.min, parent: None }));
            pending.push(Pending::new(index, suggestion.assignment).at(stage));
        }
    });
}

#[test]
fn failed_trials_and_such_without_a_number() {
    let outcome = |index: u64, assignment: &Assignment| {
        let outcome = match index % 6 {
            0 => Outcome::Failed,
            1 => complete(vec![f64::NAN]),
            2 => complete(vec![f64::INFINITY]),
            3 => complete(vec![]),
            _ => complete(vec![sum(assignment)]),
        };
        (outcome, vec![])
    };
    for (label, parallel) in [("failed trials", 1), ("failed trials, four at a time", 4)] {
        let cell = Cell { parallel, trials: 30, outcome: &outcome, ..Cell::new(label, space(numbers(), &[])) };
        every(&cell, &[], whole(&cell));
    }
    let failed = |_: u64, _: &Assignment| (Outcome::Failed, vec![]);
    let cell = Cell { outcome: &failed, ..Cell::new("nothing but failed trials", plane()) };
    every(&cell, &[], whole(&cell));
}

/// Given points first; results of another space that overlaps with this one, among them such that are no point of this one:
/// they do no harm, though they are better than all others.
#[test]
fn given_points_and_known_results() {
    let read = |text: &str| serde_json::from_str::<Assignment>(text).unwrap();
    let given = vec![read(r#"{"x": 1.5, "y": 0.5}"#), read(r#"{"x": -1.5, "y": 1e-4}"#)];
    let known = [
        (r#"{"x": 2.0, "y": 0.001}"#, complete(vec![2.0])),
        (r#"{"x": -4.0, "y": 0.1}"#, complete(vec![-4.0])),
        (r#"{"x": -3.5, "y": 0.01}"#, Outcome::EarlyStopped { losses: vec![-3.5] }),
        // Out of range, a parameter too few, one too many, another type.
        (r#"{"x": -50.0, "y": 0.1}"#, complete(vec![-50.0])),
        (r#"{"x": -4.5}"#, complete(vec![-60.0])),
        (r#"{"x": -4.5, "y": 0.1, "z": 1}"#, complete(vec![-70.0])),
        (r#"{"x": "low", "y": 0.1}"#, complete(vec![-80.0])),
        (r#"{"other": 1}"#, Outcome::Failed),
    ];
    let known = known.map(|(text, outcome)| (read(text), outcome)).to_vec();
    let cell = Cell { given: given.clone(), known, trials: 24, ..Cell::new("known results", plane()) };
    every(&cell, &[], |name, run| {
        whole(&cell)(name, run);
        let first: Vec<&Assignment> = run.suggested.iter().take(2).map(|suggestion| &suggestion.assignment).collect();
        assert_eq!(first, given.iter().collect::<Vec<_>>(), "{name}");
        // What a fixed sequence gives is known; a model, or a region around the best, moves on.
        let late: std::collections::HashSet<_> =
            run.suggested.iter().skip(14).map(|one| cell.space.key(&one.assignment)).collect();
        assert!(late.len() > 1, "{name} stands still");
    });
}

const SEVERAL: [&str; 11] =
    ["Auto", "Random", "Grid", "Sobol", "TPE", "GP", "GeneticNSGA2", "SuccessiveHalving", "Hyperband", "BOHB", "ASHA"];

/// All algorithms but these.
fn others(able: &[&str]) -> Vec<&'static str> {
    ALGORITHMS.iter().map(|algorithm| algorithm.name).filter(|name| !able.contains(name)).collect()
}

#[test]
fn outcome_constraints() {
    let able: Vec<&str> = SEVERAL.into_iter().chain(["Evolution", "Anneal"]).collect();
    let outcome = |index: u64, assignment: &Assignment| {
        let x = assignment["x"].as_f64().unwrap();
        (complete(vec![x]), vec![-x, if index % 5 == 4 { f64::NAN } else { 0.5 - x }])
    };
    let cell = Cell { constraints: 2, outcome: &outcome, ..Cell::new("two outcome constraints", plane()) };
    every(&cell, &others(&able), whole(&cell));
    // None ever holds.
    let outcome = |_: u64, assignment: &Assignment| (complete(vec![sum(assignment)]), vec![1e300]);
    let cell = Cell { constraints: 1, outcome: &outcome, ..Cell::new("an outcome constraint in vain", plane()) };
    every(&cell, &others(&able), whole(&cell));
}

#[test]
fn several_objectives() {
    let objectives = |count: usize| {
        move |index: u64, assignment: &Assignment| {
            let x = sum(assignment);
            // Every seventh lacks one.
            let losses = [x, (x - 1.0).powi(2), -x.abs()];
            (complete(losses[..count - usize::from(index % 7 == 6)].to_vec()), vec![x])
        }
    };
    for (label, count, constraints) in
        [("two objectives", 2, 0), ("three objectives", 3, 0), ("two objectives and a constraint", 2, 1)]
    {
        let objectives = objectives(count);
        let outcome = |index: u64, assignment: &Assignment| {
            let (outcome, excesses) = objectives(index, assignment);
            (outcome, excesses[..constraints].to_vec())
        };
        let cell = Cell { objectives: count, constraints, outcome: &outcome, ..Cell::new(label, plane()) };
        every(&cell, &others(&SEVERAL), |name, run| {
            whole(&cell)(name, run);
            assert!(run.history.front().count() > 0 || constraints > 0, "{name}");
        });
    }
}

#[test]
fn no_resource_to_hand_out() {
    let cell = Cell { fidelity: None, ..Cell::new("no fidelity", plane()) };
    let handing_out: Vec<&str> =
        ALGORITHMS.iter().filter(|algorithm| algorithm.hands_out_fidelity).map(|algorithm| algorithm.name).collect();
    every(&cell, &handing_out, whole(&cell));
}

/// A space that no grid can count.
#[test]
fn very_many_configurations() {
    let parameters = (0..40).map(|at| int(&format!("n{at}"), 0, 1_000_000)).collect();
    let cell = Cell { trials: 8, ..Cell::new("more configurations than can be counted", space(parameters, &[])) };
    every(&cell, &["Grid"], whole(&cell));
}

/// The same seed gives the same trials to the bit, also of a tuner that is made anew each time; another one gives others.
#[test]
fn seeds() {
    let cell = Cell { parallel: 3, trials: 24, ..Cell::new("seeds", plane()) };
    every(&cell, &[], |name, first| {
        let algorithm = ALGORITHMS.iter().find(|algorithm| algorithm.name == name).unwrap();
        assert_eq!(first.suggested, run(algorithm, &cell, 3, true).suggested, "{name} forgets");
        assert_ne!(first.suggested, run(algorithm, &cell, 4, false).suggested, "{name} knows no seed");
    });
}

/// Whoever learns from losses learns from the last one of a trial that was stopped early.
#[test]
fn trials_that_were_stopped_early() {
    let with = |outcome: &dyn Fn(f64) -> Outcome, algorithm: &'static Algorithm| {
        let outcome = |index: u64, assignment: &Assignment| {
            let loss = sum(assignment);
            (if index.is_multiple_of(2) { complete(vec![loss]) } else { outcome(loss) }, vec![])
        };
        run(algorithm, &Cell { outcome: &outcome, trials: 30, ..Cell::new("stopped trials", plane()) }, 3, false)
            .suggested
    };
    for algorithm in ALGORITHMS {
        let complete = with(&|loss| complete(vec![loss]), algorithm);
        let failed = with(&|_| Outcome::Failed, algorithm);
        let stopped = with(&|loss| Outcome::EarlyStopped { losses: vec![loss] }, algorithm);
        assert_eq!(stopped, complete, "{} learns something else", algorithm.name);
        let learns = !["Random", "Grid", "Sobol"].contains(&algorithm.name);
        assert_eq!(stopped != failed, learns, "{}", algorithm.name);
    }
}

/// Over the protocol: to maximise is to minimise what has the other sign.
#[test]
fn directions() {
    let search = |algorithm: &Algorithm, direction: &str, sign: f64| {
        let mut session = Session::default();
        let init = json!({
            "op": "init", "algorithm": algorithm.name, "settings": quick(algorithm.name), "direction": direction, "seed": 5,
            "space": {"x": {"type": "double", "min": -5, "max": 5}, "n": {"type": "int", "min": 1, "max": 99}},
            "fidelity": {"min": 1, "max": 9},
        });
        assert_eq!(session.line(&init.to_string()), None, "{}", algorithm.name);
        let mut asked = Vec::new();
        for _ in 0..20 {
            let answer = session.line(r#"{"op": "ask"}"#).unwrap();
            let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
            let params = &answer["params"];
            let value = sign * (params["x"].as_f64().unwrap() + params["n"].as_f64().unwrap() / 50.0);
            session.line(&json!({"op": "tell", "id": answer["id"], "value": value}).to_string());
            asked.push(answer);
        }
        asked
    };
    for algorithm in ALGORITHMS {
        assert_eq!(search(algorithm, "minimize", 1.0), search(algorithm, "maximize", -1.0), "{}", algorithm.name);
    }
}

#[test]
fn many_parameters_and_many_choices() {
    let parameters = (0..300).map(|at| double(&format!("p{at}"), 0.0, 1.0, Scale::Linear)).collect();
    let cell = Cell { trials: 12, ..Cell::new("300 parameters", space(parameters, &[])) };
    every(&cell, &["Grid"], whole(&cell));
    let choices: Vec<String> = (0..10_000).map(|at| format!("c{at}")).collect();
    let parameters = vec![parameter("c", Domain::Categorical { choices }), double("x", 0.0, 1.0, Scale::Linear)];
    let cell = Cell { trials: 16, ..Cell::new("10,000 choices", space(parameters, &[])) };
    every(&cell, &["Gradient"], whole(&cell));
}
