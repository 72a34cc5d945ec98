use super::*;
use crate::space::{Condition, Parameter, Scale};
use crate::tuner::Outcome;

fn double(name: &str) -> Parameter {
    let domain = Domain::Double { min: 0.0, max: 1.0, scale: Scale::Linear, step: None };
    Parameter { name: name.into(), domain, when: vec![] }
}

/// Trials at uniform points.
fn trials(space: &SearchSpace, count: u64, loss: impl Fn(&Assignment) -> f64) -> Vec<Finished> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut one = |index: u64| {
        let point: Vec<f64> = space.parameters().iter().map(|_| rng.random()).collect();
        let assignment = space.decode(&point);
        let losses = vec![loss(&assignment)];
        Finished::new(index, assignment, Outcome::Complete { losses })
    };
    (0..count).map(&mut one).collect()
}

fn number(assignment: &Assignment, name: &str) -> f64 {
    assignment[name].as_f64().unwrap()
}

fn share(all: &[Importance], parameter: &str) -> f64 {
    all.iter().find(|one| one.parameter == parameter).unwrap().share
}

#[test]
fn shares_of_a_sum_are_those_of_its_variance() {
    let space = SearchSpace::unconstrained(["a", "b", "c"].map(double).into());
    // Variance of k times a uniform number: k^2 / 12.
    let found = trials(&space, 600, |one| 3.0 * number(one, "a") - number(one, "b"));
    let all = Surrogate::new(&space, &found).unwrap().importances();
    let names: Vec<&str> = all.iter().map(|one| one.parameter.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert!((share(&all, "a") - 0.9).abs() < 0.05, "{all:?}");
    assert!((share(&all, "b") - 0.1).abs() < 0.05, "{all:?}");
    assert!(share(&all, "c") < 0.01, "{all:?}");
}

#[test]
fn what_parameters_do_together_is_nobodys_own() {
    let space = SearchSpace::unconstrained(["a", "b"].map(double).into());
    let found = trials(&space, 800, |one| (2.0 * number(one, "a") - 1.0) * (2.0 * number(one, "b") - 1.0));
    let all = Surrogate::new(&space, &found).unwrap().importances();
    assert!(all.iter().map(|one| one.share).sum::<f64>() < 0.2, "{all:?}");
}

#[test]
fn categories_and_conditions_have_their_share() {
    let choices = ["sgd", "adam", "other"].map(String::from).to_vec();
    let optimizer = Parameter { name: "o".into(), domain: Domain::Categorical { choices }, when: vec![] };
    let when = vec![Condition { parameter: "o".into(), values: vec!["sgd".into()] }];
    let momentum = Parameter { when, ..double("m") };
    let space = SearchSpace::unconstrained(vec![optimizer, momentum, double("z")]);
    let loss = |one: &Assignment| match one.get("m") {
        Some(momentum) => 1.0 + momentum.as_f64().unwrap(),
        None => 0.0,
    };
    let found = trials(&space, 600, loss);
    let surrogate = Surrogate::new(&space, &found).unwrap();
    let all = surrogate.importances();
    assert!(share(&all, "z") < 0.02, "{all:?}");
    assert!(share(&all, "o") + share(&all, "m") > 0.3, "{all:?}");
    let effect = surrogate.effect("o", 10);
    assert_eq!(effect.len(), 3);
    let known = |text: &str| found.iter().find(|one| one.assignment["o"] == Value::Text(text.into())).unwrap();
    let (sgd, adam) = (surrogate.predict(&known("sgd").assignment), surrogate.predict(&known("adam").assignment));
    assert!(sgd.loss > 0.9 && adam.loss < 0.1, "{sgd:?} {adam:?}");
}

#[test]
fn an_effect_follows_the_loss_and_a_prediction_is_unsure_where_little_is_known() {
    let space = SearchSpace::unconstrained(["a", "b"].map(double).into());
    let mut found = trials(&space, 400, |one| (number(one, "a") - 0.25).powi(2));
    found.retain(|one| number(&one.assignment, "a") < 0.5 || one.index % 40 == 0);
    let surrogate = Surrogate::new(&space, &found).unwrap();
    let effect = surrogate.effect("a", 5);
    let losses: Vec<f64> = effect.iter().map(|(_, loss)| *loss).collect();
    assert_eq!(
        effect.iter().map(|(value, _)| value.as_f64().unwrap()).collect::<Vec<_>>(),
        [0.0, 0.25, 0.5, 0.75, 1.0]
    );
    assert!(losses[1] < losses[0] && losses[1] < losses[2] && losses[2] < losses[4], "{losses:?}");
    let at =
        |a: f64| surrogate.predict(&[("a".to_owned(), Value::Double(a)), ("b".to_owned(), Value::Double(0.5))].into());
    assert!((at(0.25).loss).abs() < 0.02, "{:?}", at(0.25));
    assert!(at(0.8).deviation > 4.0 * at(0.25).deviation, "{:?} {:?}", at(0.8), at(0.25));
    assert!(surrogate.effect("none", 5).is_empty());
}

#[test]
fn little_is_said_of_little() {
    let space = SearchSpace::unconstrained(vec![double("a")]);
    assert!(Surrogate::new(&space, &[]).is_none());
    assert!(Surrogate::new(&space, &trials(&space, 3, |_| 1.0)).is_none());
    let failed: Vec<Finished> =
        (0..9).map(|index| Finished::new(index, space.decode(&[0.5]), Outcome::Failed)).collect();
    assert!(Surrogate::new(&space, &failed).is_none());
    let constant = trials(&space, 9, |_| 1.0);
    let surrogate = Surrogate::new(&space, &constant).unwrap();
    assert!(surrogate.importances().is_empty());
    assert_eq!(surrogate.predict(&constant[0].assignment), Prediction { loss: 1.0, deviation: 0.0 });
}

#[test]
fn an_outlier_does_not_drown_the_rest() {
    let space = SearchSpace::unconstrained(["a", "b"].map(double).into());
    let mut found = trials(&space, 200, |one| number(one, "a"));
    found[0].outcome = Outcome::Complete { losses: vec![1e300] };
    found[1].outcome = Outcome::Complete { losses: vec![-1e300] };
    found[2].outcome = Outcome::Complete { losses: vec![f64::NAN] };
    let all = Surrogate::new(&space, &found).unwrap().importances();
    assert!(share(&all, "a").is_finite() && all.iter().all(|one| (0.0..=1.0).contains(&one.share)), "{all:?}");
}
