use super::*;
use crate::space::{Domain, Parameter, Scale, SearchSpace};
use crate::tuner::streams::uniform_of;
use crate::tuner::tests::{outcome, spaces};
use crate::tuner::{Finished, History, NoSuggestion, Outcome, Pending, Request, Stage, Tuner, build};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const WHOLE: Fidelity = Fidelity { min: 1.0, max: 27.0, eta: 3.0 };

fn space(domain: Domain) -> SearchSpace {
    SearchSpace::unconstrained(vec![Parameter { name: "x".into(), domain, when: vec![] }])
}

fn real() -> SearchSpace {
    space(Domain::Double { min: 0.0, max: 1.0, scale: Scale::Linear, step: None })
}

fn tuner(name: &str, settings: serde_json::Value, space: &SearchSpace, fidelity: Fidelity) -> Box<dyn Tuner> {
    let settings = serde_json::from_value(settings).unwrap();
    build(name, &settings, space, Some(fidelity)).unwrap_or_else(|errors| panic!("{}", errors[0]))
}

/// A search whose trials end in any order.
struct Run {
    history: History,
    pending: Vec<Pending>,
    none: Option<NoSuggestion>,
}

/// So many trials, so many at a time; the shares fail. Each suggestion is asked for twice, with the pending ones in
/// another order: the answer must be the same.
fn run(tuner: &dyn Tuner, space: &SearchSpace, trials: u64, parallel: usize, failing: f64, seed: u64) -> Run {
    let mut run = Run { history: History::new(space), pending: Vec::new(), none: None };
    let mut kept: std::collections::HashSet<u64> = std::collections::HashSet::new();
    for index in 0.. {
        while index < trials
            && run.none.is_none_or(|none| none == NoSuggestion::Waiting)
            && run.pending.len() < parallel
        {
            let index = index + run.pending.len() as u64 + run.history.len() as u64 - index;
            if index >= trials {
                break;
            }
            let asked =
                |pending: &[Pending]| tuner.suggest(&Request { space, history: &run.history, pending, seed, index });
            let answer = asked(&run.pending);
            let reversed: Vec<Pending> = run.pending.iter().rev().cloned().collect();
            assert_eq!(answer, asked(&reversed));
            match answer {
                Ok(suggestion) => {
                    let stage = suggestion.stage.unwrap();
                    if let Some(parent) = stage.parent {
                        let parent = run.history.iter().find(|finished| finished.index == parent).unwrap();
                        assert!(parent.outcome.loss().is_finite());
                        assert!(parent.stage.unwrap().fidelity < stage.fidelity);
                        assert!(kept.contains(&parent.index), "its checkpoint was not kept");
                    }
                    run.pending.push(Pending::new(index, suggestion.assignment).at(Some(stage)));
                    run.none = None;
                }
                Err(none) => {
                    run.none = Some(none);
                    break;
                }
            }
        }
        if run.pending.is_empty() {
            return run;
        }
        let at = (uniform_of(seed, index, 1) * run.pending.len() as f64) as usize;
        let ended = run.pending.swap_remove(at);
        let x = ended.assignment["x"].as_f64().unwrap();
        let outcome = match uniform_of(seed, ended.index, 2) < failing {
            true => Outcome::Failed,
            false => Outcome::Complete { losses: vec![(x - 0.3).abs()] },
        };
        run.history.insert(Finished::new(ended.index, ended.assignment, outcome).at(ended.stage));
        let request = Request { space, history: &run.history, pending: &run.pending, seed, index };
        let parents = tuner.parents(&request, usize::MAX).into_iter().collect::<std::collections::HashSet<u64>>();
        let old = run.history.iter().map(|finished| finished.index).filter(|index| *index != ended.index);
        assert!(old.into_iter().all(|index| kept.contains(&index) || !parents.contains(&index)), "needed once more");
        kept = parents;
    }
    unreachable!("trials run out")
}

/// How many trials began or went on at each fidelity.
fn spent(run: &Run) -> Vec<(f64, usize)> {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for finished in run.history.iter() {
        *counts.entry(finished.stage.unwrap().fidelity.to_bits()).or_default() += 1;
    }
    counts.into_iter().map(|(bits, count)| (f64::from_bits(bits), count)).collect()
}

#[test]
fn rungs() {
    let table: [(f64, f64, f64, &[f64]); 8] = [
        (1.0, 27.0, 3.0, &[1.0, 3.0, 9.0, 27.0]),
        (1.0, 100.0, 3.0, &[1.0, 4.0, 11.0, 33.0, 100.0]),
        (1.0, 4.0, 1.2, &[1.0, 2.0, 3.0, 4.0]),
        (2.0, 100.0, 4.0, &[6.0, 25.0, 100.0]),
        (0.25, 1.0, 2.0, &[0.25, 0.5, 1.0]),
        (0.1, 0.9, 3.0, &[0.1, 0.3, 0.9]),
        (5.0, 9.0, 3.0, &[9.0]),
        (1.0, 1000.0, 10.0, &[1.0, 10.0, 100.0, 1000.0]),
    ];
    for (min, max, eta, expected) in table {
        let rungs = Rungs::new(Fidelity { min, max, eta });
        assert_eq!(rungs.levels.len(), expected.len(), "{min} {max} {eta}: {:?}", rungs.levels);
        for (rung, level) in expected.iter().enumerate() {
            assert!((rungs.levels[rung] - level).abs() < 1e-9, "{min} {max} {eta}: {:?}", rungs.levels);
            assert_eq!(rungs.of(Some(Stage { fidelity: *level, parent: None })), Some(rung));
        }
    }
}

#[test]
fn a_round_of_hyperband_is_that_of_the_paper() {
    // Li et al., 2018, table 1, for R = 27: (27, 9, 3, 1), (12, 4, 1), (6, 2), (4).
    let (space, all) = (real(), 27 + 9 + 3 + 1 + 12 + 4 + 1 + 6 + 2 + 4);
    for name in ["Hyperband", "BOHB"] {
        let tuner = tuner(name, json!({}), &space, WHOLE);
        for parallel in [1, 4, 64] {
            let run = run(tuner.as_ref(), &space, all, parallel, 0.0, parallel as u64);
            assert_eq!(spent(&run), [(1.0, 27), (3.0, 9 + 12), (9.0, 3 + 4 + 6), (27.0, 1 + 1 + 2 + 4)], "{name}");
        }
    }
}

#[test]
fn successive_halving_promotes_the_best() {
    let space = real();
    let tuner = tuner("SuccessiveHalving", json!({"trials": 9}), &space, Fidelity { min: 1.0, max: 9.0, eta: 3.0 });
    let run = run(tuner.as_ref(), &space, 13, 1, 0.0, 3);
    assert_eq!(spent(&run), [(1.0, 9), (3.0, 3), (9.0, 1)]);
    let losses = |fidelity: f64| -> Vec<f64> {
        let at = run.history.iter().filter(|finished| finished.stage.unwrap().fidelity == fidelity);
        let mut losses: Vec<f64> = at.map(|finished| finished.outcome.loss()).collect();
        losses.sort_by(f64::total_cmp);
        losses
    };
    assert_eq!(losses(3.0), losses(1.0)[..3]);
    assert_eq!(losses(9.0), losses(1.0)[..1]);
}

#[test]
fn a_round_ends_before_the_next_begins_unless_they_may_overlap() {
    let space = real();
    let fidelity = Fidelity { min: 1.0, max: 9.0, eta: 3.0 };
    for (name, round) in [("SuccessiveHalving", 13), ("Hyperband", 9 + 3 + 1 + 5 + 1 + 3)] {
        for parallel in [2, 5, 64] {
            for seed in 0..5 {
                let whole = tuner(name, json!({}), &space, fidelity);
                let whole = run(whole.as_ref(), &space, round, parallel, 0.0, seed);
                assert_eq!(spent(&whole).last(), Some(&(9.0, if round == 13 { 1 } else { 5 })), "{name} {parallel}");
            }
        }
        let overlapping = tuner(name, json!({"overlap": true}), &space, fidelity);
        let all = run(overlapping.as_ref(), &space, round, 64, 0.0, 1);
        assert_eq!(spent(&all)[0].1, if round == 13 { 13 } else { 9 + 5 }, "{name}");
    }
}

#[test]
fn asynchronous_halving_never_waits() {
    let space = real();
    for searcher in ["TPE", "Random"] {
        let tuner = tuner("ASHA", json!({"searcher": searcher}), &space, WHOLE);
        for parallel in [1, 4, 64] {
            let run = run(tuner.as_ref(), &space, 200, parallel, 0.0, 5);
            assert_eq!((run.history.len(), run.none), (200, None));
            let counts: Vec<usize> = spent(&run).into_iter().map(|(_, count)| count).collect();
            // A third of each rung, less those that were not known to be good in time.
            assert!(counts.len() >= 3 && counts.windows(2).all(|two| two[1] * 2 <= two[0]), "{parallel}: {counts:?}");
        }
    }
}

#[test]
fn no_failure_and_no_order_of_ends_stalls_a_search() {
    let space = real();
    for name in ["SuccessiveHalving", "Hyperband", "BOHB", "ASHA"] {
        let tuner = tuner(name, json!({}), &space, WHOLE);
        for seed in 0..12 {
            let (parallel, failing) = ([1, 3, 8, 64][seed as usize % 4], [0.0, 0.2, 0.9, 1.0][seed as usize / 3]);
            let run = run(tuner.as_ref(), &space, 150, parallel, failing, seed);
            assert_eq!((run.history.len(), run.none), (150, None), "{name} {seed}");
        }
    }
}

#[test]
fn a_finite_space_is_tried_out_and_its_best_go_on() {
    let space = space(Domain::Int { min: 0, max: 9, scale: Scale::Linear, step: None });
    for name in ["SuccessiveHalving", "Hyperband", "BOHB", "ASHA"] {
        let tuner = tuner(name, json!({}), &space, WHOLE);
        for parallel in [1, 4, 20] {
            let run = run(tuner.as_ref(), &space, 1000, parallel, 0.1, 7);
            assert_eq!(run.none, Some(NoSuggestion::Exhausted), "{name}");
            let begun = run.history.iter().filter(|finished| finished.stage.unwrap().parent.is_none());
            let mut values: Vec<String> = begun.map(|finished| format!("{:?}", finished.assignment)).collect();
            values.sort();
            values.dedup();
            assert_eq!(values.len(), 10, "{name}");
            let promoted = run.history.iter().filter(|finished| finished.stage.unwrap().parent.is_some()).count();
            assert!(promoted > 0, "{name}");
        }
    }
}

#[test]
fn trials_of_other_fidelities_and_without_a_parent_do_no_harm() {
    let space = real();
    for name in ["SuccessiveHalving", "Hyperband", "BOHB", "ASHA"] {
        let tuner = tuner(name, json!({}), &space, WHOLE);
        let mut run = run(tuner.as_ref(), &space, 60, 1, 0.0, 9);
        let some = run.history.iter().next().unwrap().assignment.clone();
        let stages = [
            Some(Stage { fidelity: 5.0, parent: None }),
            Some(Stage { fidelity: 9.0, parent: Some(77_777) }),
            Some(Stage { fidelity: 1.0, parent: Some(3) }),
            Some(Stage { fidelity: f64::NAN, parent: None }),
            None,
        ];
        for (at, stage) in stages.into_iter().enumerate() {
            let outcome = Outcome::Complete { losses: vec![-1.0] };
            run.history.insert(Finished::new((1 << 63) + at as u64, some.clone(), outcome).at(stage));
        }
        let request = Request { space: &space, history: &run.history, pending: &[], seed: 9, index: 60 };
        assert!(tuner.suggest(&request).unwrap().stage.is_some(), "{name}");
    }
}

#[test]
fn any_space_and_any_numbers_will_do() {
    for (label, space) in spaces() {
        for name in ["SuccessiveHalving", "Hyperband", "BOHB", "ASHA"] {
            let tuner = tuner(name, json!({"allowRepeats": true}), &space, Fidelity { min: 0.1, max: 1.0, eta: 2.5 });
            let (mut history, mut pending) = (History::new(&space), Vec::<Pending>::new());
            for index in 0..60 {
                let request = Request { space: &space, history: &history, pending: &pending, seed: 3, index };
                match tuner.suggest(&request) {
                    Ok(suggestion) => {
                        assert!(space.check(&suggestion.assignment).is_ok() && space.satisfies(&suggestion.assignment));
                        pending.push(Pending::new(index, suggestion.assignment).at(suggestion.stage));
                    }
                    Err(none) => assert_eq!(none, NoSuggestion::Waiting, "{label} {name}"),
                }
                if index % 3 != 0 {
                    let Some(ended) = pending.pop() else { continue };
                    let value = uniform_of(9, index, 3) * 2.0 - 1.0;
                    let outcome = outcome((index % 7) as u8, value);
                    history.insert(Finished::new(ended.index, ended.assignment, outcome).at(ended.stage));
                }
            }
            assert!(history.len() > 20, "{label} {name}");
        }
    }
}

#[test]
fn without_a_fidelity_a_sentence_says_what_to_write() {
    for name in ["SuccessiveHalving", "Hyperband", "BOHB", "ASHA"] {
        let errors = build(name, &BTreeMap::new(), &real(), None).err().unwrap();
        assert!(errors[0].to_string().contains("write spec.fidelity"), "{}", errors[0]);
    }
}

#[test]
fn a_child_at_the_first_rung_makes_a_bracket_no_larger() {
    let space = real();
    let tuner = tuner("SuccessiveHalving", json!({"trials": 5}), &space, Fidelity { min: 1.0, max: 9.0, eta: 3.0 });
    let at = |fidelity, parent| Some(Stage { fidelity, parent });
    let point = || space.decode(&[0.5]);
    let ended =
        |index, loss: f64, stage| Finished::new(index, point(), Outcome::Complete { losses: vec![loss] }).at(stage);
    let mut history = History::new(&space);
    (0..5).for_each(|index| history.insert(ended(index, f64::from(index as u8), at(1.0, None))));
    history.insert(ended(5, f64::NAN, at(3.0, Some(0))));
    // By hand: it goes on from the first one, without any more to spend.
    history.insert(ended(100, 9.0, at(1.0, Some(0))));
    let pending: Vec<Pending> = (6..11).map(|index| Pending::new(index, point()).at(at(1.0, None))).collect();
    let request = |pending| Request { space: &space, history: &history, pending, seed: 1, index: 11 };
    let begins = tuner.suggest(&request(&pending[..4])).unwrap().stage;
    assert_eq!(begins, at(1.0, None), "the next bracket has a place left");
    assert_eq!(tuner.suggest(&request(&pending)), Err(NoSuggestion::Waiting));
}

/// A volume that holds but few of the checkpoints that may be needed still holds nearly all that are.
#[test]
fn of_too_many_checkpoints_those_are_kept_that_are_needed_next() {
    let space = real();
    for (name, settings, most) in [("ASHA", json!({}), 60), ("SuccessiveHalving", json!({"trials": 243}), 100)] {
        let tuner = tuner(name, settings, &space, WHOLE);
        let (mut history, mut pending) = (History::new(&space), Vec::<Pending>::new());
        let (mut kept, mut gone_on, mut lost) = (BTreeSet::new(), 0, 0);
        let end = |history: &mut History, kept: &mut BTreeSet<u64>, ended: Pending| {
            let x = ended.assignment["x"].as_f64().unwrap();
            let outcome = Outcome::Complete { losses: vec![(x - 0.3).abs() + uniform_of(3, ended.index, 2)] };
            kept.insert(ended.index);
            history.insert(Finished::new(ended.index, ended.assignment, outcome).at(ended.stage));
        };
        let mut index = 0;
        while index < 900 {
            let request = Request { space: &space, history: &history, pending: &pending, seed: 3, index };
            match tuner.suggest(&request) {
                Ok(Suggestion { assignment, stage }) if pending.len() < 4 => {
                    if let Some(parent) = stage.and_then(|stage| stage.parent) {
                        gone_on += 1;
                        lost += usize::from(!kept.contains(&parent));
                    }
                    pending.push(Pending::new(index, assignment).at(stage));
                    index += 1;
                }
                _ => {
                    end(&mut history, &mut kept, pending.remove(0));
                    continue;
                }
            }
            // Each trial that begins has what is not needed deleted, and what is gone stays so.
            let request = Request { space: &space, history: &history, pending: &pending, seed: 3, index };
            let needed: BTreeSet<u64> = tuner.parents(&request, most).into_iter().collect();
            assert!(needed.len() <= most);
            kept.retain(|index| needed.contains(index));
        }
        assert!(gone_on >= 150, "{name}: {gone_on}");
        assert!(lost * 50 <= gone_on, "{name}: {lost} of {gone_on} began anew");
    }
}

/// With brackets some trials begin at later rungs, and what ends there is compared with what came up from below.
#[test]
fn trials_may_begin_at_later_rungs() {
    let space = real();
    for (brackets, expected) in [(1, [1.0, 0.0, 0.0, 0.0]), (3, [6.0 / 9.0, 2.0 / 9.0, 1.0 / 9.0, 0.0])] {
        let tuner = tuner("ASHA", json!({"brackets": brackets}), &space, WHOLE);
        let run = run(tuner.as_ref(), &space, 900, 4, 0.1, 3);
        let begun = |fidelity: f64| {
            let stages = run.history.iter().map(|one| one.stage.unwrap());
            stages.filter(|stage| stage.parent.is_none() && stage.fidelity == fidelity).count() as f64
        };
        let counts = [1.0, 3.0, 9.0, 27.0].map(begun);
        let all: f64 = counts.iter().sum();
        for (count, expected) in counts.iter().zip(expected) {
            assert!(
                (count / all - expected).abs() < 0.05 && (expected > 0.0 || *count == 0.0),
                "{brackets}: {counts:?}"
            );
        }
        // At each rung about one in three goes on, wherever it began.
        let at =
            |fidelity: f64| run.history.iter().filter(|one| one.stage.unwrap().fidelity == fidelity).count() as f64;
        for (low, high) in [(1.0, 3.0), (3.0, 9.0), (9.0, 27.0)] {
            let share = (at(high) - begun(high)) / at(low);
            assert!((0.2..=0.4).contains(&share), "{brackets}: {share} of {low} go on to {high}");
        }
    }
}
