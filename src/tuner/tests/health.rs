//! Histories that are hard on numbers: whatever they hold, a valid suggestion comes out, and the same one again.

use super::*;
use proptest::prelude::*;

/// Losses from all over the range of numbers, many of them alike.
fn any_loss() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => prop::sample::select(vec![0.0, -0.0, 1.0, 1.0 + f64::EPSILON]),
        2 => -10.0_f64..10.0,
        2 => prop::sample::select(vec![1e300, -1e300, 1e-300, -1e-300, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 1e12]),
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
        1 => any::<f64>(),
    ]
}

/// Few places, so that there are duplicates.
fn place(space: &SearchSpace, number: u8) -> Assignment {
    let point: Vec<f64> =
        (1..=space.parameters().len()).map(|at| (f64::from(number) * 0.618 * at as f64).fract()).collect();
    space.decode(&point)
}

/// What comes out, twice, of tuners that know nothing of each other.
fn answer(name: &str, space: &SearchSpace, history: &History, pending: &[Pending]) -> Result<Suggestion, NoSuggestion> {
    let request = Request { space, history, pending, seed: 3, index: 1000 };
    let answer = tuner(name, space).suggest(&request);
    assert_eq!(answer, tuner(name, space).suggest(&request), "{name}");
    if let Ok(Suggestion { assignment, .. }) = &answer {
        assert_eq!(space.check(assignment), Ok(assignment.clone()), "{name}");
    }
    answer
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_numbers_will_do(
        which in any::<prop::sample::Index>(),
        ended in prop::collection::vec((0_u8..12, any_loss()), 2..40),
        pending in prop::collection::vec(0_u8..12, 0..24),
    ) {
        let mut spaces = spaces();
        let (label, space) = spaces.swap_remove(which.index(spaces.len()));
        let mut history = History::new(&space);
        for (index, (number, loss)) in (0..).zip(&ended) {
            history.insert(Finished::new(index, place(&space, *number), Outcome::Complete { losses: vec![*loss] }));
        }
        let pending: Vec<Pending> = (100..).zip(&pending).map(|(i, number)| Pending::new(i, place(&space, *number))).collect();
        for name in able(&space) {
            if let Err(none) = answer(name, &space, &history, &pending) {
                prop_assert!(space.cardinality().is_some(), "{} {}: {}", name, label, none);
            }
        }
    }
}

/// Losses of one kind each, in a space of numbers and in one that is conditional.
#[test]
fn histories_of_a_kind() {
    let table: [(&str, fn(u32) -> f64); 6] = [
        ("constant", |_| 7.0),
        ("tiny", |at| 1e-300 * f64::from(at)),
        ("huge", |at| 1e300 * (f64::from(at) - 10.0) / 20.0),
        ("one outlier", |at| if at == 5 { 1e300 } else { f64::from(at) }),
        ("one outlier below", |at| if at == 5 { -1e300 } else { f64::from(at) }),
        ("two values", |at| f64::from(at % 2)),
    ];
    for (label, space) in spaces().into_iter().filter(|(label, _)| matches!(*label, "real" | "conditional")) {
        for (kind, loss) in table {
            for trials in [2, 24] {
                let mut history = History::new(&space);
                for at in 0..trials {
                    let outcome = Outcome::Complete { losses: vec![loss(at)] };
                    history.insert(Finished::new(u64::from(at), place(&space, at as u8), outcome));
                }
                for name in able(&space) {
                    answer(name, &space, &history, &[]).unwrap_or_else(|none| panic!("{name} {label} {kind}: {none}"));
                }
            }
        }
    }
}

/// As many trials as may run at once, beside a history.
#[test]
fn many_trials_are_pending() {
    let (_, space) = spaces().swap_remove(0);
    let mut history = History::new(&space);
    for at in 0..20_u8 {
        history.insert(Finished::new(
            u64::from(at),
            place(&space, at),
            Outcome::Complete { losses: vec![f64::from(at)] },
        ));
    }
    let pending: Vec<Pending> =
        (100..356).map(|index| Pending::new(index, place(&space, (index % 256) as u8))).collect();
    for name in able(&space) {
        let Ok(Suggestion { assignment, .. }) = answer(name, &space, &history, &pending) else { panic!("{name}") };
        let fresh = pending.iter().all(|pending| space.key(&pending.assignment) != space.key(&assignment));
        assert!(fresh || name == "Grid", "{name} repeats what is running");
    }
}
