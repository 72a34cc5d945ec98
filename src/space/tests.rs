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

fn choices(names: &[&str]) -> Domain {
    Domain::Categorical { choices: names.iter().map(|name| (*name).to_owned()).collect() }
}

fn network() -> Vec<Parameter> {
    vec![
        parameter("lr", Domain::Double { min: 1e-5, max: 0.1, scale: Scale::Log, step: None }),
        parameter("layers", int(1, 8)),
        parameter("optimizer", choices(&["sgd", "adam"])),
        when(parameter("momentum", double(0.0, 0.99)), "optimizer", &["sgd"]),
        when(parameter("nesterov", choices(&["yes", "no"])), "momentum", &["0.5"]),
    ]
}

#[test]
fn what_is_wrong_with_a_space() {
    let table: [(Vec<Parameter>, &[&str], &str); 14] = [
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
        (vec![parameter("a", int(1, 2))], &["a < 'x'"], "parameterConstraints[0]: cannot be evaluated"),
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
        ]
    };
    let assignment: Assignment = [
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
    let space = SearchSpace::new(vec![parameter("a", int(1, 5))], &["a > 9".to_owned()]).unwrap();
    let error = space.sample(&mut ChaCha8Rng::seed_from_u64(1)).unwrap_err();
    assert!(error.to_string().starts_with("none of 10000 configurations"), "{error}");
}

fn any_domain() -> impl Strategy<Value = Domain> {
    let scale = prop::sample::select(vec![Scale::Linear, Scale::Log]);
    prop_oneof![
        (1e-6_f64..1.0, 1.0_f64..1e6, scale.clone()).prop_map(|(min, width, scale)| Domain::Double {
            min,
            max: min + width,
            scale,
            step: None
        }),
        (0.5_f64..2.0, 2_u32..9, 0.01_f64..0.5, scale.clone()).prop_map(|(min, levels, step, scale)| Domain::Double {
            min,
            max: min + f64::from(levels) * step,
            scale,
            step: Some(step)
        }),
        finite_domain(),
        (1_i64..1000, 1_i64..1_000_000, scale).prop_map(|(min, width, scale)| Domain::Int {
            min,
            max: min + width,
            scale,
            step: None
        }),
    ]
}

fn finite_domain() -> impl Strategy<Value = Domain> {
    prop_oneof![
        (-3_i64..3, 1_i64..6, 1_i64..3).prop_map(|(min, width, step)| Domain::Int {
            min,
            max: min + width.max(step),
            scale: Scale::Linear,
            step: Some(step)
        }),
        prop::sample::subsequence(vec!["a", "b", "c", "d"], 1..4).prop_map(|names| choices(&names)),
        prop::sample::subsequence(vec![-1.5, 0.0, 1.0, 2.0, 64.0], 1..5).prop_map(|values| Domain::Discrete { values }),
    ]
}

/// A space whose parameters may depend on earlier ones.
fn any_space(domain: impl Strategy<Value = Domain>) -> impl Strategy<Value = SearchSpace> {
    prop::collection::vec((domain, any::<prop::sample::Index>(), 0_u8..3, any::<u8>()), 1..6).prop_map(|drawn| {
        let mut parameters: Vec<Parameter> = Vec::new();
        for (at, (domain, parent, kind, level)) in drawn.into_iter().enumerate() {
            let mut new = parameter(&format!("p{at}"), domain);
            if kind == 0 && !parameters.is_empty() {
                let parent = &parameters[parent.index(parameters.len())];
                if let Some(levels) = parent.domain.levels() {
                    let value = parent.domain.at(u64::from(level) % levels);
                    new = when(new, &parent.name.clone(), &[&value.to_string()]);
                }
            }
            parameters.push(new);
        }
        SearchSpace::new(parameters, &[]).unwrap_or_else(|errors| panic!("{}", errors[0]))
    })
}

proptest! {
    #[test]
    fn every_sample_is_valid_and_round_trips(space in any_space(any_domain()), seed in any::<u64>()) {
        let assignment = space.sample(&mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
        prop_assert_eq!(space.check(&assignment), Ok(assignment.clone()));
        for parameter in space.parameters() {
            prop_assert_eq!(space.active(parameter, &assignment), assignment.contains_key(&parameter.name));
        }
        let point = space.encode(&assignment);
        prop_assert!(point.iter().all(|x| (0.0..=1.0).contains(x)));
        let back = space.decode(&point);
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
    fn any_point_decodes(space in any_space(any_domain()), point in prop::collection::vec(any::<f64>(), 0..8)) {
        let assignment = space.decode(&point);
        prop_assert!(space.check(&assignment).is_ok());
    }

    #[test]
    fn configurations_are_counted_exactly(space in any_space(finite_domain())) {
        let count = space.cardinality().unwrap();
        prop_assume!(count < 5000);
        let keys: BTreeSet<Key> = (0..count).map(|rank| {
            let configuration = space.configuration(rank).unwrap();
            assert!(space.check(&configuration).is_ok());
            space.key(&configuration)
        }).collect();
        prop_assert_eq!(keys.len() as u128, count);
        prop_assert!(space.configuration(count).is_none());
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..50 {
            let sampled = space.sample(&mut rng).unwrap();
            prop_assert!(keys.contains(&space.key(&sampled)), "{:?}", sampled);
        }
    }

    #[test]
    fn constraints_hold(seed in any::<u64>()) {
        let space = SearchSpace::new(network(), &["lr * layers < 0.1".to_owned(), "momentum < 0.5 || layers > 2".to_owned()]).unwrap();
        let assignment = space.sample(&mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
        let number = |name: &str| assignment.get(name).and_then(Value::as_f64);
        prop_assert!(number("lr").unwrap() * number("layers").unwrap() < 0.1);
        prop_assert!(number("momentum").is_none_or(|m| m < 0.5) || number("layers").unwrap() > 2.0);
    }
}
