//! Several objectives, and outcome constraints.

use super::super::hypervolume::hypervolume;
use super::super::streams::uniform_of;
use super::*;
use proptest::prelude::*;

/// Algorithms that can search for so many objectives under constraints, or without.
fn able_to(objectives: usize, constraints: usize) -> Vec<&'static str> {
    names().filter(|name| check_goals(name, objectives, constraints).is_ok()).collect()
}

#[test]
fn who_can_what() {
    let several = ["Auto", "Random", "Grid", "Sobol", "TPE", "GP", "GeneticNSGA2"];
    assert_eq!(able_to(1, 0), names().collect::<Vec<_>>());
    assert_eq!(able_to(3, 0), several);
    assert_eq!(able_to(2, 1), several);
    // Those that hand out a resource are none of `names`.
    for (name, may) in
        [("SuccessiveHalving", true), ("Hyperband", true), ("BOHB", true), ("ASHA", true), ("PBT", false)]
    {
        assert_eq!((check_goals(name, 3, 1).is_ok(), check_goals(name, 1, 1).is_ok()), (may, may), "{name}");
    }
    let constrained = able_to(1, 1);
    assert!(several.iter().chain(&["Evolution", "Anneal"]).all(|name| constrained.contains(name)));
    assert_eq!(constrained.len(), several.len() + 2);
    let message = |name, objectives, constraints| check_goals(name, objectives, constraints).unwrap_err().to_string();
    assert_eq!(
        message("Forest", 2, 0),
        "algorithm.name: Forest knows nothing of several objectives; write one of Auto, Random, Grid, Sobol, TPE, GP, GeneticNSGA2, \
         SuccessiveHalving, Hyperband, BOHB, ASHA"
    );
    assert!(message("CMA-ES", 1, 1).starts_with("algorithm.name: CMA-ES knows nothing of outcome constraints; write"));
    assert_eq!(message("TPE", 4, 0), "algorithm.name: there are 4 objectives; no algorithm takes more than 3");
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => -5.0_f64..5.0,
        3 => prop::sample::select(vec![0.0, 1.0, -1.0]),
        1 => prop::sample::select(vec![1e300, -1e300, f64::MAX, f64::MIN, 1e-300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever came out: a valid suggestion that replays, or a finite space is used up.
    #[test]
    fn suggestions_are_valid_and_replay(
        which in any::<prop::sample::Index>(),
        objectives in 1_usize..4,
        ended in prop::collection::vec((prop::collection::vec(any_number(), 3), prop::collection::vec(any_number(), 2), 0_u8..8), 0..30),
        pending in 0_u64..4,
        constraints in 0_usize..3,
    ) {
        let mut spaces = spaces();
        let (label, space) = spaces.swap_remove(which.index(spaces.len()));
        let mut history = History::new(&space).with_objectives(objectives);
        let place = |index: u64| {
            let point: Vec<f64> = (0..space.parameters().len()).map(|at| uniform_of(1, index / 2, at as u64)).collect();
            space.decode(&point)
        };
        for (index, (losses, excesses, kind)) in (0..).zip(&ended) {
            let losses = losses[..objectives].to_vec();
            let outcome = match kind {
                0 => Outcome::Failed,
                1 => Outcome::EarlyStopped { losses },
                2 => Outcome::Complete { losses: losses[1..].to_vec() },
                _ => Outcome::Complete { losses },
            };
            history.insert(Finished::new(index, place(index), outcome).constrained(excesses[..constraints].to_vec()));
        }
        let pending: Vec<Pending> = (0..pending).map(|at| Pending::new(100 + at, place(200 + at))).collect();
        for name in able_to(objectives, constraints).into_iter().filter(|name| build(name, &BTreeMap::new(), &space, None).is_ok()) {
            for index in [103, 104, 111] {
                let request = Request { space: &space, history: &history, pending: &pending, seed: 3, index };
                let answer = tuner(name, &space).suggest(&request);
                prop_assert_eq!(&answer, &tuner(name, &space).suggest(&request), "{}", name);
                match answer {
                    Ok(Suggestion { assignment, .. }) => {
                        prop_assert_eq!(space.check(&assignment), Ok(assignment.clone()), "{} {}", name, label);
                    }
                    Err(none) => prop_assert!(space.cardinality().is_some(), "{} {}: {}", name, label, none),
                }
            }
        }
    }
}

/// Runs trials one after the other, and gives their losses and excesses.
fn search(
    name: &str,
    space: &SearchSpace,
    seed: u64,
    trials: u64,
    outcome: impl Fn(&Assignment) -> (Vec<f64>, Vec<f64>),
) -> History {
    let tuner = tuner(name, space);
    let objectives = outcome(&space.decode(&vec![0.5; space.parameters().len()])).0.len();
    let mut history = History::new(space).with_objectives(objectives);
    for index in 0..trials {
        let request = Request { space, history: &history, pending: &[], seed, index };
        let assignment = tuner.suggest(&request).unwrap().assignment;
        let (losses, excesses) = outcome(&assignment);
        history.insert(Finished::new(index, assignment, Outcome::Complete { losses }).constrained(excesses));
    }
    history
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn number(assignment: &Assignment, name: &str) -> f64 {
    assignment.get(name).and_then(crate::space::Value::as_f64).unwrap_or(0.0)
}

/// Size against error, with branches: a front that crosses from one to the other.
fn trade_off(a: &Assignment) -> (Vec<f64>, Vec<f64>) {
    let size = number(a, "width").log2() / 9.0;
    let lr = (number(a, "lr").log10() + 3.0).abs() / 3.0;
    let branch = if a.contains_key("momentum") { (number(a, "momentum") - 0.9).abs() } else { 0.3 * size };
    (vec![(-2.0 * size).exp() + 0.3 * lr + 0.2 * branch, size], vec![])
}

fn trade_off_space() -> SearchSpace {
    let parameters = vec![
        choice("optimizer", &["sgd", "adam"]),
        double("lr", 1e-6, 1.0, Scale::Log),
        parameter("width", Domain::Int { min: 1, max: 512, scale: Scale::Log, step: None }),
        when(double("momentum", 0.0, 1.0, Scale::Linear), "optimizer", "sgd"),
    ];
    SearchSpace::new(parameters, &[]).unwrap()
}

#[test]
fn fronts_are_better_than_those_of_random_search() {
    let space = trade_off_space();
    let volume = |name: &str, seed| {
        let history = search(name, &space, seed, 60, trade_off);
        let front: Vec<Vec<f64>> = history.front().map(|one| one.outcome.losses().to_vec()).collect();
        hypervolume(&front, &[1.5, 1.1])
    };
    let random = median((0..15).map(|seed| volume("Random", seed)).collect());
    for (name, seeds, gain) in [("GeneticNSGA2", 11, 0.0), ("TPE", 11, 0.01), ("GP", 3, 0.03), ("Auto", 3, 0.02)] {
        let found = median((0..seeds).map(|seed| volume(name, seed)).collect());
        println!("{name}: {found:.4}, random {random:.4}");
        assert!(found > random + gain, "{name} {found}, random {random}");
    }
}

/// Losses fall with what is spent, and those of large networks fall more slowly.
fn learning(assignment: &Assignment, fidelity: f64) -> Vec<f64> {
    let (mut losses, _) = trade_off(assignment);
    losses[0] += 0.5 * losses[1] / fidelity;
    losses
}

/// The volume that the front dominates once as much has been spent as so many whole trials take, and how many trials have come
/// to the highest fidelity.
fn volume_at(name: &str, space: &SearchSpace, seed: u64, whole: f64) -> (f64, usize) {
    let resource = Fidelity { min: 1.0, max: 27.0, eta: 3.0 };
    let tuner = build(name, &BTreeMap::new(), space, Some(resource)).unwrap();
    let mut history = History::new(space).with_objectives(2);
    let mut spent = 0.0;
    for index in 0.. {
        let request = Request { space, history: &history, pending: &[], seed, index };
        let suggestion = tuner.suggest(&request).unwrap();
        let stage = resource.stage(suggestion.stage);
        let before = stage.parent.map_or(0.0, |parent| history.get(parent).unwrap().stage.unwrap().fidelity);
        spent += (stage.fidelity - before) / resource.max;
        if spent > whole {
            break;
        }
        let losses = learning(&suggestion.assignment, stage.fidelity);
        let outcome = Outcome::Complete { losses };
        history.insert(Finished::new(index, suggestion.assignment, outcome).at(Some(stage)));
    }
    let front: Vec<&Finished> = history.front().collect();
    assert!(front.iter().all(|one| one.stage.unwrap().fidelity == resource.max), "{name}: a trial that was cut short");
    let losses: Vec<Vec<f64>> = front.iter().map(|one| one.outcome.losses().to_vec()).collect();
    let whole = history.iter().filter(|one| one.stage.unwrap().fidelity == resource.max).count();
    (hypervolume(&losses, &[1.5, 1.1]), whole)
}

#[test]
fn halving_finds_fronts_with_less_than_whole_trials() {
    let space = trade_off_space();
    let random = |whole: f64| median((0..15).map(|seed| volume_at("Random", &space, seed, whole).0).collect());
    for name in ["SuccessiveHalving", "Hyperband", "BOHB", "ASHA"] {
        let runs: Vec<(f64, usize)> = (0..15).map(|seed| volume_at(name, &space, seed, 20.0)).collect();
        let whole = runs.iter().map(|(_, whole)| *whole).max().unwrap();
        let (found, as_many) = (median(runs.into_iter().map(|(volume, _)| volume).collect()), random(whole as f64));
        println!("{name}: {found:.4}, {whole} whole trials {as_many:.4}");
        assert!(found > as_many, "{name} {found}, {whole} whole trials {as_many}");
        // Without rounds more come to the end, and nothing is wasted on an end of the front.
        assert!(name != "ASHA" || found > random(20.0), "{name} {found}");
    }
}

/// What violates a constraint goes on only where nothing else is left.
#[test]
fn halving_promotes_what_holds() {
    let space = SearchSpace::new(vec![double("x", 0.0, 1.0, Scale::Linear)], &[]).unwrap();
    let resource = Fidelity { min: 1.0, max: 9.0, eta: 3.0 };
    for name in ["SuccessiveHalving", "ASHA"] {
        let tuner = build(name, &BTreeMap::new(), &space, Some(resource)).unwrap();
        let mut history = History::new(&space);
        for index in 0..13 {
            let request = Request { space: &space, history: &history, pending: &[], seed: 1, index };
            let Suggestion { assignment, stage } = tuner.suggest(&request).unwrap();
            // The lower the better, and what is below one half does not hold.
            let x = number(&assignment, "x");
            let outcome = Outcome::Complete { losses: vec![x] };
            history.insert(Finished::new(index, assignment, outcome).constrained(vec![0.5 - x]).at(stage));
        }
        let promoted = history.iter().filter(|one| one.stage.unwrap().parent.is_some());
        let promoted: Vec<f64> = promoted.map(|one| one.outcome.loss()).collect();
        assert!(promoted.len() >= 3 && promoted.iter().all(|x| *x >= 0.5), "{name}: {promoted:?}");
    }
}

/// The lowest loss lies where a constraint does not hold.
#[test]
fn constraints_are_kept() {
    let space = SearchSpace::new(
        vec![double("x", 0.0, 1.0, Scale::Linear), double("y", 0.0, 1.0, Scale::Linear), int("n", 0, 3)],
        &[],
    )
    .unwrap();
    let outcome = |a: &Assignment| {
        let (x, y, n) = (number(a, "x"), number(a, "y"), number(a, "n"));
        (vec![x + y + 0.1 * n], vec![0.6 - x * y - 0.05 * n])
    };
    let best = |name: &str, seed| {
        let history = search(name, &space, seed, 40, outcome);
        let best = history.ranked().next().unwrap();
        if best.violation() > 0.0 { 3.0 } else { best.outcome.loss() }
    };
    let random = median((0..15).map(|seed| best("Random", seed)).collect());
    // 2 * sqrt(0.45) + 0.3 with n = 3, or 2 * sqrt(0.6) with 0: the latter is 1.549.
    for (name, seeds, loss) in [("TPE", 11, random), ("Evolution", 11, random), ("GP", 3, 1.60), ("Auto", 3, 1.62)] {
        let found = median((0..seeds).map(|seed| best(name, seed)).collect());
        println!("{name}: {found:.4}, random {random:.4}");
        assert!(found < loss, "{name} {found}, random {random}");
    }
}

/// What violates a constraint is never before what does not, whatever its loss.
#[test]
fn a_history_ranks_what_holds_first() {
    let space = SearchSpace::new(vec![int("a", 0, 9)], &[]).unwrap();
    let mut history = History::new(&space);
    for (index, loss, excess) in
        [(0, -9.0, 1.0), (1, 2.0, 0.0), (2, 1.0, -5.0), (3, -9.0, f64::NAN), (4, 0.0, 0.5), (5, f64::NAN, 0.0)]
    {
        let outcome = Outcome::Complete { losses: vec![loss] };
        history.insert(Finished::new(index, Assignment::new(), outcome).constrained(vec![excess, -1.0]));
    }
    let ranked: Vec<u64> = history.ranked().map(|finished| finished.index).collect();
    assert_eq!(ranked, [2, 1, 4, 0, 3]);
}
