use super::arbitrary::{Drawn, any_domain, any_space, choices, finite_domain};
use super::*;
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

fn parameter(name: &str, domain: Domain) -> Parameter {
    Parameter { name: name.into(), domain, when: vec![] }
}

fn when(mut parameter: Parameter, parent: &str, values: &[&str]) -> Parameter {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    parameter.when.push(Condition { parameter: parent.into(), values });
    parameter
}

fn double(min: f64, max: f64) -> Domain {
    Domain::Double { min, max, scale: Scale::Linear, step: None }
}

fn int(min: i64, max: i64) -> Domain {
    Domain::Int { min, max, scale: Scale::Linear, step: None }
}

fn network() -> Vec<Parameter> {
    vec![
        parameter("lr", Domain::Double { min: 1e-5, max: 0.1, scale: Scale::Log, step: None }),
        parameter("layers", int(1, 8)),
        parameter("optimizer", choices(&["sgd", "adam"])),
        when(parameter("momentum", double(0.0, 0.99)), "optimizer", &["sgd"]),
        when(parameter("nesterov", choices(&["yes", "no"])), "layers", &["3", "4"]),
    ]
}

#[test]
fn what_is_wrong_with_a_space() {
    let table: [(Vec<Parameter>, &[&str], &str); 20] = [
        (vec![], &[], "parameters: is empty; give at least one"),
        (vec![parameter("a", double(1.0, 1.0))], &[], "parameters[0].double: min (1) must be less than max (1)"),
        (vec![parameter("a", double(f64::NAN, 1.0))], &[], "parameters[0].double: min and max must be finite"),
        (vec![parameter("a", double(-1.7e308, 1.7e308))], &[], "parameters[0].double: max - min is too large a number"),
        (
            vec![parameter("a", Domain::Int { min: 0, max: 5, scale: Scale::Log, step: None })],
            &[],
            "parameters[0].int: scale Log needs min greater than 0, not 0",
        ),
        (vec![parameter("a", choices(&["x", "x"]))], &[], "parameters[0].categorical.choices: holds a choice twice"),
        (
            vec![parameter("a", Domain::Discrete { values: vec![1.0, 1.0] })],
            &[],
            "parameters[0].discrete.values: must be finite, no two alike",
        ),
        (vec![parameter("a", int(1, 2)), parameter("a", int(1, 2))], &[], "parameters[1].name: \"a\" is used twice"),
        (
            vec![when(parameter("a", int(1, 2)), "b", &["1"]), parameter("b", int(1, 2))],
            &[],
            "parameters[0].when[0].parameter: \"b\" is no parameter that stands earlier in the list",
        ),
        (
            vec![parameter("o", choices(&["x"])), when(parameter("a", int(1, 2)), "o", &["y"])],
            &[],
            "parameters[1].when[0].in: \"y\" is no value of \"o\"",
        ),
        (
            vec![parameter("a", int(1, 2))],
            &["b < 1"],
            "parameterConstraints[0]: names \"b\", which is no parameter; there are a",
        ),
        (vec![parameter("a", int(1, 2))], &["a +"], "parameterConstraints[0]: is no CEL expression"),
        (
            vec![parameter("a", int(1, 2))],
            &["a + 1"],
            "parameterConstraints[0]: gives no true or false; compare something, as in lr * layers < 0.2",
        ),
        (
            vec![parameter("a", int(1, 2))],
            &["a < 'x'"],
            "parameterConstraints[0]: cannot be evaluated: 1 and the text \"x\" cannot be compared",
        ),
        (
            vec![parameter("a", int(0, 2))],
            &["6 / a > 1"],
            "parameterConstraints[0]: cannot be evaluated: a whole number is divided by zero",
        ),
        (
            vec![parameter("a", double(0.0, 2.0))],
            &["a % 2 == 0"],
            "parameterConstraints[0]: cannot be evaluated: % goes with whole numbers only",
        ),
        (
            vec![parameter("a", int(1, 2))],
            &["[1, 2].all(x, [1, 2].all(y, x + y > a))"],
            "parameterConstraints[0]: uses a macro such as all, exists or map, which can take very long; write each case out",
        ),
        (
            vec![parameter("a", choices(&["x"]))],
            &["a.matches('(x{999}){999}')"],
            "parameterConstraints[0]: uses \"matches\"; there are the functions contains, double, endsWith, int, max, min, size, startsWith",
        ),
        (
            vec![parameter("a", int(1, 2))],
            &["{'x': a}.x == 1"],
            "parameterConstraints[0]: uses fields or maps; parameters are numbers and texts",
        ),
        (
            vec![parameter("m", double(0.0, 1.0)), when(parameter("a", int(1, 2)), "m", &["0.5"])],
            &[],
            "parameters[1].when[0].parameter: \"m\" has no values to compare with, it is continuous; give it a step, or make it discrete",
        ),
    ];
    for (parameters, constraints, message) in table {
        let constraints: Vec<String> = constraints.iter().map(|c| (*c).to_owned()).collect();
        let errors = SearchSpace::new(parameters, &constraints).err().unwrap();
        assert!(errors[0].to_string().starts_with(message), "{} / {message}", errors[0]);
    }
}

#[test]
fn constraints_mix_whole_and_real_numbers() {
    let parameters = || {
        vec![
            parameter("lr", double(0.0, 1.0)),
            parameter("layers", int(1, 8)),
            parameter("units", Domain::Int { min: 16, max: 256, scale: Scale::Linear, step: None }),
            parameter("optimizer", choices(&["sgd", "adam"])),
            parameter("factor", Domain::Discrete { values: vec![0.5, 1.0] }),
        ]
    };
    let assignment: Assignment = [
        ("factor".to_owned(), Value::Int(1)),
        ("lr".to_owned(), Value::Double(0.05)),
        ("layers".to_owned(), Value::Int(3)),
        ("units".to_owned(), Value::Int(64)),
        ("optimizer".to_owned(), Value::Text("sgd".into())),
    ]
    .into();
    let table = [
        ("lr * layers < 0.2", true),
        ("lr * layers < 0.1", false),
        ("layers <= 4", true),
        ("layers * 2 + 1 == 7", true),
        ("units % 32 == 0", true),
        ("units % 48 == 0", false),
        ("lr < 1", true),
        ("lr * 2 < 1", true),
        ("optimizer == 'adam' || lr < 0.1", true),
        ("optimizer in ['adam', 'rmsprop']", false),
        // Whole numbers stay whole where no real number comes in.
        ("units % 32 == 0 && lr * units < 4", true),
        ("units % 48 == 0 || lr * units < 3", false),
        ("layers / 2 == 1", true),
        ("factor / 2 == 0.5", true),
        ("layers in [1.0, 3.0]", true),
        ("max(lr, layers, 2) == 3 && min([lr, layers]) < 1", true),
        ("size(optimizer) == 3 && optimizer.startsWith('s') && !optimizer.contains('x')", true),
        ("(layers > 2 ? lr : 1.0) < 0.1 && -layers < 0 && double(layers) / 2 > 1.4 && int(lr) == 0", true),
        // One side that decides is enough, even if the other one fails here.
        ("layers - 3 == 0 || 6 / (layers - 3) > 1", true),
    ];
    for (constraint, holds) in table {
        let space = SearchSpace::new(parameters(), &[constraint.to_owned()]).unwrap_or_else(|e| panic!("{}", e[0]));
        assert_eq!(space.satisfies(&assignment), holds, "{constraint}");
    }
}

#[test]
fn what_is_wrong_with_an_assignment() {
    let space = SearchSpace::new(network(), &["lr * layers < 0.2".to_owned()]).unwrap();
    let table = [
        (r#"{"lr": 0.01, "layers": 2, "optimizer": "adam"}"#, ""),
        (r#"{"lr": 0.01, "layers": 2.0, "optimizer": "adam"}"#, ""),
        (r#"{"lr": 0.01, "layers": 2, "optimizer": "sgd", "momentum": 0}"#, ""),
        (r#"{"lr": 0.01, "layers": 2}"#, "optimizer: has no value"),
        (r#"{"lr": 0.01, "layers": 2, "optimizer": "sgd"}"#, "momentum: has no value"),
        (
            r#"{"lr": 0.01, "layers": 2, "optimizer": "adam", "momentum": 0.5}"#,
            "momentum: is given, but its conditions do not hold; leave it out",
        ),
        (r#"{"lr": 2, "layers": 2, "optimizer": "adam"}"#, "lr: 2 is outside 0.00001 to 0.1"),
        (r#"{"lr": 0.01, "layers": 2.5, "optimizer": "adam"}"#, "layers: 2.5 is no whole number"),
        (r#"{"lr": "x", "layers": 2, "optimizer": "adam"}"#, "lr: x is text; write a number"),
        (r#"{"lr": 0.01, "layers": 2, "optimizer": "adamw"}"#, "optimizer: adamw is no choice; write one of sgd, adam"),
        (
            r#"{"lr": 0.01, "layers": 2, "optimizer": "adam", "x": 1}"#,
            "x: is no parameter; there are lr, layers, optimizer, momentum, nesterov",
        ),
        (r#"{"lr": 0.1, "layers": 8, "optimizer": "adam"}"#, "lr * layers < 0.2: does not hold"),
    ];
    for (json, message) in table {
        let assignment: Assignment = serde_json::from_str(json).unwrap();
        let said = space.check(&assignment).err().map(|errors| errors[0].to_string()).unwrap_or_default();
        assert_eq!(said, message, "{json}");
    }
    let checked = space
        .check(&serde_json::from_str(r#"{"lr": 0.01, "layers": 2.0, "optimizer": "sgd", "momentum": 0}"#).unwrap());
    let checked = checked.unwrap();
    assert_eq!((&checked["layers"], &checked["momentum"]), (&Value::Int(2), &Value::Double(0.0)));
}

#[test]
fn large_spaces_work() {
    let many: Vec<Parameter> = (0..300).map(|at| parameter(&format!("p{at}"), double(0.0, 1.0))).collect();
    let space = SearchSpace::new(many, &[]).unwrap();
    assert_eq!(space.sample(&mut ChaCha8Rng::seed_from_u64(1)).unwrap().len(), 300);
    let names: Vec<String> = (0..10_000).map(|at| format!("é{at}")).collect();
    let space = SearchSpace::new(vec![parameter("ä", Domain::Categorical { choices: names })], &[]).unwrap();
    assert_eq!(space.cardinality(), Some(10_000));
    assert_eq!(space.configuration(9_999).unwrap()["ä"], Value::Text("é9999".into()));
    assert_eq!(space.configuration(10_000), None);
}

#[test]
fn unsatisfiable_constraints_are_said() {
    let table: [(Vec<Parameter>, &[&str], &str); 3] = [
        (vec![parameter("a", int(1, 5))], &["a > 9"], "none of the 5 configurations of the search space satisfies"),
        (
            vec![parameter("a", double(0.0, 1.0))],
            &["a > 9"],
            "none of 10000 configurations that were looked at satisfies",
        ),
        (
            (0..8).map(|at| parameter(&format!("p{at}"), int(1, 100))).collect(),
            &["p0 + p1 > 500"],
            "none of 10000 configurations that were looked at satisfies",
        ),
    ];
    for (parameters, constraints, message) in table {
        let constraints: Vec<String> = constraints.iter().map(|c| (*c).to_owned()).collect();
        let space = SearchSpace::new(parameters, &constraints).unwrap();
        let error = space.sample(&mut ChaCha8Rng::seed_from_u64(1)).unwrap_err();
        assert!(error.to_string().starts_with(message), "{error}");
    }
}

/// One configuration of 40,000: drawing at random misses it more often than not.
#[test]
fn the_only_configuration_of_a_finite_space_is_found() {
    let parameters = vec![parameter("a", int(1, 200)), parameter("b", int(1, 200))];
    let space = SearchSpace::new(parameters, &["a == 17 && b == 119".to_owned()]).unwrap();
    for seed in 0..20 {
        let found = space.sample(&mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
        assert_eq!((&found["a"], &found["b"]), (&Value::Int(17), &Value::Int(119)));
    }
    assert_eq!(space.valid_count(), Some(1));
}

/// A condition names a value as people write it, and so is it written.
#[test]
fn stepped_doubles_are_decimal() {
    let stepped = |min, max, step| Domain::Double { min, max, scale: Scale::Linear, step: Some(step) };
    let table: [(Domain, u64, f64, &[&str]); 5] = [
        (stepped(0.0, 1.0, 0.1), 3, 0.3, &["0.3", "0.30", ".3"]),
        (stepped(0.1, 1.0, 0.2), 1, 0.3, &["0.3"]),
        (stepped(-1.0, 1.0, 0.05), 7, -0.65, &["-0.65"]),
        (stepped(1e-5, 1e-3, 1e-5), 6, 7e-5, &["0.00007", "7e-5"]),
        (stepped(0.0, 3.0, 1.0 / 3.0), 3, 1.0, &["1"]),
    ];
    for (domain, level, value, texts) in table {
        assert_eq!(domain.at(level), Value::Double(value));
        for text in texts {
            let parameters = vec![parameter("d", domain.clone()), when(parameter("a", int(1, 2)), "d", &[text])];
            let space = SearchSpace::new(parameters, &[]).unwrap();
            let place = domain.encode(&domain.at(level)).unwrap();
            assert!(space.decode(&[place]).contains_key("a"), "{text} of {domain:?}");
            // As the trials of an earlier release have it.
            let unrounded: Assignment = [("d".to_owned(), Value::Double(value * (1.0 + 2e-16)))].into();
            assert!(space.active(&space.parameters()[1], &unrounded), "{text} of {domain:?}");
            assert_eq!(space.cardinality(), domain.levels().map(|levels| u128::from(levels) + 1));
        }
    }
}

#[test]
fn the_widest_whole_numbers_work() {
    let domain = int(i64::MIN, i64::MAX);
    assert_eq!(domain.levels(), Some(u64::MAX));
    assert_eq!((domain.at(0), domain.at_place(0.0)), (Value::Int(i64::MIN), Value::Int(i64::MIN)));
    let space = SearchSpace::new(vec![parameter("a", domain)], &[]).unwrap();
    let sample = space.sample(&mut ChaCha8Rng::seed_from_u64(1)).unwrap();
    assert_eq!(space.check(&sample), Ok(sample.clone()));
}

/// Conditions that tie many parameters together are counted in time: a chain, a tree, and one that is too entangled.
#[test]
fn entangled_spaces_are_counted() {
    let four = || choices(&["a", "b", "c", "d"]);
    let mut chain = vec![parameter("p0", four())];
    let mut tree = vec![parameter("p0", four())];
    for at in 1..30 {
        chain.push(when(parameter(&format!("p{at}"), four()), &format!("p{}", at - 1), &["a", "c"]));
        tree.push(when(parameter(&format!("p{at}"), int(1, 2)), "p0", &[["a", "b", "c", "d"][at % 4]]));
    }
    let mut knot: Vec<Parameter> = (0..30).map(|at| parameter(&format!("p{at}"), four())).collect();
    let mut last = parameter("last", int(1, 2));
    for at in 0..30 {
        last = when(last, &format!("p{at}"), &["a"]);
        knot.push(when(parameter(&format!("q{at}"), int(1, 2)), &format!("p{}", (at * 7) % 30), &["b"]));
    }
    knot.push(last);
    // c(n) = 2 + 2 c(n - 1) for the chain; 2^7 or 2^8 below each of the tree's choices.
    let expected = [Some(6 * (1_u128 << 29) - 2), Some(3 * (1 << 7) + (1 << 8)), None];
    for (parameters, expected) in [chain, tree, knot].into_iter().zip(expected) {
        let space = SearchSpace::new(parameters, &[]).unwrap();
        assert_eq!(space.cardinality(), expected);
        for rank in expected.into_iter().flat_map(|count| [0, 1, count / 3, count - 1]) {
            assert_eq!(space.rank(&space.configuration(rank).unwrap()), Some(rank));
        }
    }
}

/// However many parameters and constraints there are, what one suggestion looks at is bounded.
#[test]
fn effort_is_bounded() {
    let parameters: Vec<Parameter> = (0..300).map(|at| parameter(&format!("p{at}"), double(0.0, 1.0))).collect();
    let long = (0..120).map(|at| format!("p{at}")).collect::<Vec<_>>().join(" + ") + " < 1000";
    let space = SearchSpace::new(parameters, &vec![long; 32]).unwrap();
    assert!((1..=200).contains(&space.effort()), "{}", space.effort());
    let small = SearchSpace::new(vec![parameter("a", int(1, 5))], &[]).unwrap();
    assert_eq!(small.effort(), 1 << 20);
}

proptest! {
    #[test]
    fn every_sample_is_valid_and_round_trips(drawn in any_space(any_domain(), 6), seed in any::<u64>()) {
        let space = drawn.space();
        let sample = space.sample(&mut ChaCha8Rng::seed_from_u64(seed));
        if sample.is_err() {
            // In a space that can be looked through there is none, then.
            if let Some(valid) = drawn.valid(2_000) {
                prop_assert_eq!(valid, Vec::new());
            }
            return Ok(());
        }
        let assignment = sample.unwrap();
        prop_assert_eq!(space.check(&assignment), Ok(assignment.clone()));
        prop_assert!(drawn.holds(&assignment), "{:?}", assignment);
        for parameter in space.parameters() {
            prop_assert_eq!(Drawn::active(parameter, &assignment), assignment.contains_key(&parameter.name));
        }
        let point = space.encode(&assignment);
        prop_assert!(point.iter().all(|x| (0.0..=1.0).contains(x)));
        let back = space.decode(&point);
        prop_assert_eq!(back.len(), assignment.len());
        for (name, value) in &assignment {
            match (value, &back[name]) {
                (Value::Double(a), Value::Double(b)) => prop_assert!((a - b).abs() <= 1e-9 * a.abs().max(1.0), "{} {}", a, b),
                (a, b) => prop_assert_eq!(a, b),
            }
        }
        let json = serde_json::to_string(&assignment).unwrap();
        let read: Assignment = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(space.key(&read), space.key(&assignment), "as it comes back from the API server");
        prop_assert_eq!(space.check(&read).unwrap(), assignment);
    }

    #[test]
    fn any_point_decodes(drawn in any_space(any_domain(), 6), point in prop::collection::vec(any::<f64>(), 0..8)) {
        let space = SearchSpace::unconstrained(drawn.parameters);
        let assignment = space.decode(&point);
        prop_assert!(space.check(&assignment).is_ok());
    }

    /// Each level, at the ends too, comes back from its place; places keep the order; shares cover the interval.
    #[test]
    fn levels_round_trip(domain in any_domain(), level in any::<u64>(), place in 0.0_f64..=1.0) {
        if let Some(levels) = domain.levels() {
            for level in [0, level % levels, levels - 1] {
                let value = domain.at(level);
                prop_assert_eq!(domain.level(&value), Some(level));
                prop_assert_eq!(domain.admit(&value), Ok(value.clone()));
                prop_assert_eq!(domain.at_place(domain.encode(&value).unwrap()), value.clone());
                prop_assert_eq!(domain.level_of_text(&value.to_string()), Some(level), "as people write it");
            }
            prop_assert_eq!((domain.at_place(0.0), domain.at_place(1.0)), (domain.at(0), domain.at(levels - 1)));
        }
        let value = domain.at_place(place);
        prop_assert_eq!(domain.admit(&value), Ok(value.clone()));
        let back = domain.encode(&value).unwrap();
        let share = domain.levels().map_or(1e-9, |levels| match &domain {
            // On a logarithmic scale the first level has the largest share.
            Domain::Double { scale: Scale::Log, .. } | Domain::Int { scale: Scale::Log, .. } => 1.0,
            _ => 0.5 / levels as f64 + 1e-9,
        });
        prop_assert!((back - place).abs() <= share, "{} {} {}", place, value, back);
    }

    #[test]
    fn configurations_are_counted_exactly(drawn in any_space(finite_domain(), 6)) {
        let space = drawn.space();
        let all = drawn.all(1_500);
        prop_assume!(all.is_some());
        let all = all.unwrap();
        prop_assert_eq!(space.cardinality(), Some(all.len() as u128));
        let key = |assignment: &Assignment| serde_json::to_string(assignment).unwrap();
        let expected: BTreeSet<String> = all.iter().map(key).collect();
        let counted: BTreeSet<String> = (0..all.len()).map(|rank| key(&space.configuration(rank as u128).unwrap())).collect();
        prop_assert_eq!(&counted, &expected);
        prop_assert_eq!(space.configuration(all.len() as u128), None);
        let keys: BTreeSet<Key> = all.iter().map(|assignment| space.key(assignment)).collect();
        prop_assert_eq!(keys.len(), all.len(), "keys tell configurations apart");
        for assignment in &all {
            let rank = space.rank(assignment).unwrap();
            prop_assert_eq!(&space.configuration(rank).unwrap(), assignment);
            prop_assert_eq!(space.satisfies(assignment), drawn.holds(assignment), "{:?}", assignment);
        }
        let valid: BTreeSet<String> = all.iter().filter(|assignment| drawn.holds(assignment)).map(key).collect();
        prop_assert_eq!(space.valid_count(), Some(valid.len() as u128));
        let found: BTreeSet<String> = (0..valid.len()).map(|nth| key(&space.valid_configuration(nth as u128).unwrap())).collect();
        prop_assert_eq!(found, valid);
        prop_assert_eq!(space.valid_configuration(all.len() as u128), None);
    }
}
