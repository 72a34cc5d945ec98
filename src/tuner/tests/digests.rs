//! What is kept trial by trial gives the same answers as reading the whole history again does.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// What happens: something begins, ends, is deleted, or is done by a person.
#[derive(Clone, Debug)]
enum Event {
    Begin(usize),
    End(usize, u8, f64),
    Delete(usize),
    ByHand {
        fidelity: f64,
        parent: Option<usize>,
        runs: bool,
        value: f64,
    },
    /// It is so no more: an update that changes the result.
    Change(usize, u8, f64),
}

fn event() -> impl Strategy<Value = Event> {
    let value = || (-20_i8..20).prop_map(f64::from);
    let fidelity = prop::sample::select(vec![1.0, 2.0, 3.0, 4.0, 5.0, 9.0, 0.5]);
    prop_oneof![
        4 => (1_usize..6).prop_map(Event::Begin),
        6 => (any::<usize>(), 0_u8..9, value()).prop_map(|(which, kind, value)| Event::End(which, kind, value)),
        1 => any::<usize>().prop_map(Event::Delete),
        1 => (fidelity, prop::option::of(any::<usize>()), any::<bool>(), value())
            .prop_map(|(fidelity, parent, runs, value)| Event::ByHand { fidelity, parent, runs, value }),
        1 => (any::<usize>(), 0_u8..9, value()).prop_map(|(which, kind, value)| Event::Change(which, kind, value)),
    ]
}

/// Of so many objectives.
fn outcome_of(kind: u8, value: f64, objectives: usize) -> Outcome {
    // Some fail, some are stopped.
    let losses = (0..objectives).map(|at| if at == 0 { value } else { (value * 7.0).rem_euclid(13.0) }).collect();
    match kind {
        0 => Outcome::Failed,
        1 => Outcome::EarlyStopped { losses },
        2 => Outcome::Complete { losses: vec![f64::NAN; objectives] },
        _ => Outcome::Complete { losses },
    }
}

fn searches() -> Vec<(&'static str, serde_json::Value, usize)> {
    vec![
        ("ASHA", json!({}), 1),
        ("ASHA", json!({"searcher": "TPE", "randomShare": 0.2}), 1),
        ("ASHA", json!({"brackets": 2}), 2),
        ("SuccessiveHalving", json!({"trials": 5}), 1),
        ("SuccessiveHalving", json!({"overlap": true}), 1),
        ("Hyperband", json!({}), 1),
        ("Hyperband", json!({"overlap": true}), 2),
        ("BOHB", json!({"randomShare": 0.2}), 1),
        ("PBT", json!({"population": 4}), 1),
        ("PB2", json!({"population": 3}), 1),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn what_is_kept_is_what_would_be_read(
        events in prop::collection::vec(event(), 1..120),
        seed in any::<u64>(),
        which_space in 0_usize..5,
        which in 0_usize..10,
    ) {
        let (_, space) = spaces().swap_remove(which_space);
        let (name, settings, objectives) = searches().swap_remove(which);
        let settings = serde_json::from_value(settings).unwrap();
        let fidelity = Some(Fidelity { min: 1.0, max: 9.0, eta: 3.0 });
        let tuner = build(name, &settings, &space, fidelity).unwrap_or_else(|errors| panic!("{}", errors[0]));
        let new = || History::new(&space).with_objectives(objectives);
        let (mut kept, mut plain, mut pending) = (new(), new(), Vec::<Pending>::new());
        kept.keep(tuner.digest());
        let (mut next, mut by_hand) = (0, 1 << 63);
        for event in events {
            match event {
                Event::Begin(count) => for _ in 0..count {
                    let asked = |history| Request { space: &space, history, pending: &pending, seed, index: next };
                    let suggestion = tuner.suggest(&asked(&kept));
                    prop_assert_eq!(&suggestion, &tuner.suggest(&asked(&plain)), "{}", name);
                    let Ok(Suggestion { assignment, stage }) = suggestion else { break };
                    pending.push(Pending::new(next, assignment).at(stage));
                    next += 1;
                },
                Event::End(which, kind, value) if !pending.is_empty() => {
                    let at = which % pending.len();
                    let Pending { index, assignment, stage } = pending.swap_remove(at);
                    // Now and then it is as if it had never been.
                    if kind == 8 {
                        continue;
                    }
                    let ended = Finished::new(index, assignment, outcome_of(kind, value, objectives)).at(stage);
                    kept.insert(ended.clone());
                    plain.insert(ended);
                }
                Event::Delete(which) if !plain.is_empty() => {
                    let gone = plain.iter().nth(which % plain.len()).unwrap().index;
                    kept.remove(gone);
                    plain.remove(gone);
                }
                Event::Change(which, kind, value) if !plain.is_empty() => {
                    let mut changed = plain.iter().nth(which % plain.len()).unwrap().clone();
                    changed.outcome = outcome_of(kind, value, objectives);
                    kept.insert(changed.clone());
                    plain.insert(changed);
                }
                Event::ByHand { fidelity, parent, runs, value } => {
                    let parent = parent.filter(|_| !plain.is_empty()).map(|which| plain.iter().nth(which % plain.len()).unwrap().index);
                    let stage = Some(Stage { fidelity, parent });
                    let assignment = space.decode(&vec![0.5; space.parameters().len()]);
                    if runs {
                        pending.push(Pending::new(by_hand, assignment).at(stage));
                    } else {
                        let ended = Finished::new(by_hand, assignment, outcome_of(9, value, objectives)).at(stage);
                        kept.insert(ended.clone());
                        plain.insert(ended);
                    }
                    by_hand += 1;
                }
                _ => {}
            }
            let asked = |history| Request { space: &space, history, pending: &pending, seed, index: next };
            let parents = tuner.parents(&asked(&kept), usize::MAX);
            prop_assert_eq!(&parents, &tuner.parents(&asked(&plain), usize::MAX), "{}", name);
            let all: BTreeSet<u64> = parents.iter().copied().collect();
            prop_assert_eq!(all.len(), parents.len(), "{}: one is named twice", name);
            for most in [parents.len(), parents.len().saturating_sub(1), parents.len() / 2, 0] {
                let some = tuner.parents(&asked(&kept), most);
                prop_assert_eq!(some.len(), most, "{}", name);
                prop_assert!(some.iter().all(|index| all.contains(index)), "{}", name);
            }
        }
    }
}

/// The whole history read anew each time, as simply as can be: what asynchronous halving is said to do.
fn promotion(space: &SearchSpace, levels: &[f64], history: &History, pending: &[Pending]) -> Option<(f64, u64)> {
    let parents: BTreeSet<u64> = (history.iter().map(|one| one.stage).chain(pending.iter().map(|one| one.stage)))
        .filter(|stage| levels.contains(&stage.unwrap().fidelity))
        .filter_map(|stage| stage.unwrap().parent)
        .collect();
    for pair in levels.windows(2).rev() {
        let mut ended: Vec<&Finished> = history.iter().filter(|one| one.stage.unwrap().fidelity == pair[0]).collect();
        let good = ended.len() / 3;
        ended.retain(|one| one.outcome.loss().is_finite());
        ended.sort_by(|a, b| a.outcome.loss().total_cmp(&b.outcome.loss()).then(a.index.cmp(&b.index)));
        let mut good = ended.into_iter().take(good).filter(|one| !parents.contains(&one.index));
        if let Some(next) = good.find(|one| space.check(&one.assignment).is_ok()) {
            return Some((pair[1], next.index));
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn asynchronous_halving_promotes_what_it_is_said_to(
        ends in prop::collection::vec((any::<usize>(), 0_u8..9, 0_u8..30), 1..150),
        parallel in 1_usize..10,
        seed in any::<u64>(),
    ) {
        let (_, space) = spaces().swap_remove(0);
        let fidelity = Some(Fidelity { min: 1.0, max: 27.0, eta: 3.0 });
        let tuner = build("ASHA", &BTreeMap::new(), &space, fidelity).unwrap_or_else(|errors| panic!("{}", errors[0]));
        let (mut history, mut pending, mut next) = (History::new(&space), Vec::<Pending>::new(), 0);
        history.keep(tuner.digest());
        for (which, kind, value) in ends {
            while pending.len() < parallel {
                let request = Request { space: &space, history: &history, pending: &pending, seed, index: next };
                let Suggestion { assignment, stage } = tuner.suggest(&request).unwrap();
                let said = stage.and_then(|stage| Some((stage.fidelity, stage.parent?)));
                prop_assert_eq!(said, promotion(&space, &[1.0, 3.0, 9.0, 27.0], &history, &pending));
                pending.push(Pending::new(next, assignment).at(stage));
                next += 1;
            }
            let Pending { index, assignment, stage } = pending.swap_remove(which % parallel);
            history.insert(Finished::new(index, assignment, outcome_of(kind, f64::from(value), 1)).at(stage));
        }
    }
}
