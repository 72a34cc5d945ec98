//! What holds for every algorithm, in arbitrary spaces.

use super::*;
use crate::space::arbitrary::{any_domain, any_space, finite_domain};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// One trial, as a scheduler sees it: how many may run beside it, which of those ends next, and how.
type Event = (usize, usize, u8, f64);

fn events(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec((0_usize..5, any::<usize>(), 0_u8..8, -1e3_f64..1e3), count)
}

/// Ends pending trials until no more than so many are left.
fn end(history: &mut History, pending: &mut Vec<Pending>, event: &Event) {
    let (parallel, which, kind, value) = *event;
    while pending.len() > parallel {
        let Pending { index, assignment, .. } = pending.swap_remove(which % pending.len());
        history.insert(Finished::new(index, assignment, outcome(kind, value)));
    }
}

/// The same question, asked of a tuner that was made anew, of one that has answered others, and with the pending trials in
/// another order.
fn ask(name: &str, used: &dyn Tuner, request: &Request<'_>) -> Result<Result<Suggestion, NoSuggestion>, TestCaseError> {
    let answer = used.suggest(request);
    let mut reversed = request.pending.to_vec();
    reversed.reverse();
    let again = Request { pending: &reversed, ..*request };
    prop_assert_eq!(&answer, &tuner(name, request.space).suggest(&again), "{}", name);
    Ok(answer)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Fixed spaces that are hard in some way, every kind of history: a valid suggestion, or a reason.
    #[test]
    fn suggestions_are_valid_and_replay(events in events(0..30), seed in any::<u64>()) {
        for (label, space) in spaces() {
            for name in able(&space).filter(|name| !spared(name, seed)) {
                let tuner = tuner(name, &space);
                let mut history = History::new(&space);
                let mut pending = Vec::new();
                // A wide space takes long, and shows what it has to show early.
                let most = if label == "many" { 10 } else { usize::MAX };
                for (index, event) in (0..).zip(events.iter().take(most)) {
                    let request = Request { space: &space, history: &history, pending: &pending, seed, index };
                    let Ok(Suggestion { assignment, .. }) = ask(name, &*tuner, &request)? else { break };
                    prop_assert_eq!(space.check(&assignment), Ok(assignment.clone()), "{} {}", name, label);
                    pending.push(Pending::new(index, assignment));
                    end(&mut history, &mut pending, event);
                }
            }
        }
    }

    /// Arbitrary spaces with arbitrary conditions and constraints.
    #[test]
    fn conditions_and_constraints_hold(drawn in any_space(any_domain(), 6), events in events(1..20), seed in any::<u64>()) {
        let space = drawn.space();
        for name in able(&space).filter(|name| !spared(name, seed)) {
            let tuner = build(name, &[("allowRepeats".to_owned(), json!(seed % 4 == 0))].into(), &space, None);
            let tuner = tuner.unwrap_or_else(|errors| panic!("{}", errors[0]));
            let mut history = History::new(&space);
            let mut pending = Vec::new();
            for (index, event) in (0..).zip(&events) {
                let request = Request { space: &space, history: &history, pending: &pending, seed, index };
                let answer = tuner.suggest(&request);
                prop_assert_eq!(&answer, &tuner.suggest(&request));
                let Ok(Suggestion { assignment, .. }) = answer else { break };
                prop_assert_eq!(space.check(&assignment), Ok(assignment.clone()), "{}", name);
                prop_assert!(drawn.holds(&assignment), "{} {:?}", name, assignment);
                pending.push(Pending::new(index, assignment));
                end(&mut history, &mut pending, event);
            }
        }
    }

    /// In a finite space each configuration that satisfies the constraints is tried exactly once, whatever else runs,
    /// whatever came out, and whatever points were given; then, and only then, the space is exhausted.
    #[test]
    fn finite_spaces_are_exhausted_exactly(
        drawn in any_space(finite_domain(), 4),
        given in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        events in events(8..9),
        seed in any::<u64>(),
    ) {
        let valid = drawn.valid(120);
        prop_assume!(valid.is_some());
        let valid = valid.unwrap();
        let space = drawn.space();
        let all = space.cardinality().unwrap();
        for name in able(&space).filter(|name| !spared(name, seed)) {
            let tuner = tuner(name, &space);
            let mut history = History::new(&space);
            let mut pending: Vec<Pending> = Vec::new();
            let mut tried = BTreeSet::new();
            let mut index = 0;
            if !valid.is_empty() {
                for given in &given {
                    let assignment = valid[given.index(valid.len())].clone();
                    tried.insert(space.key(&assignment));
                    pending.push(Pending::new(index, assignment));
                    index += 1;
                }
            }
            let last = loop {
                let request = Request { space: &space, history: &history, pending: &pending, seed, index };
                match ask(name, &*tuner, &request)? {
                    Ok(Suggestion { assignment, .. }) => {
                        prop_assert!(drawn.holds(&assignment), "{} {:?}", name, assignment);
                        prop_assert!(tried.insert(space.key(&assignment)), "{} repeats {:?}", name, assignment);
                        pending.push(Pending::new(index, assignment));
                    }
                    Err(none) => break none,
                }
                index += 1;
                end(&mut history, &mut pending, &events[index as usize % events.len()]);
            };
            prop_assert_eq!(tried.len(), valid.len(), "{}", name);
            let expected = match valid.is_empty() {
                true => NoSuggestion::Unsatisfiable(Unsatisfiable::Never(all as u64)),
                false => NoSuggestion::Exhausted,
            };
            prop_assert_eq!(last, expected, "{}", name);
            // A trial that is deleted frees its configuration again.
            if let Some(pending) = pending.pop() {
                let again = tried.len() > history.distinct();
                let request = Request { space: &space, history: &history, pending: &[], seed, index };
                prop_assert_eq!(tuner.suggest(&request).is_ok(), again, "{} {:?}", name, pending);
            }
        }
    }
}

/// Histories without a single number to learn from.
#[test]
fn histories_without_a_finite_loss() {
    let outcomes = [
        Outcome::Failed,
        Outcome::Complete { losses: vec![] },
        Outcome::Complete { losses: vec![f64::NAN] },
        Outcome::Complete { losses: vec![f64::INFINITY] },
        Outcome::EarlyStopped { losses: vec![f64::NEG_INFINITY] },
    ];
    for (label, space) in spaces() {
        for name in names() {
            let Ok(tuner) = build(name, &BTreeMap::new(), &space, None) else { continue };
            let mut history = History::new(&space);
            for index in 0..40 {
                let request = Request { space: &space, history: &history, pending: &[], seed: 5, index };
                match tuner.suggest(&request) {
                    Ok(Suggestion { assignment, .. }) => {
                        assert_eq!(space.check(&assignment), Ok(assignment.clone()), "{name} {label}");
                        let outcome = outcomes[index as usize % outcomes.len()].clone();
                        history.insert(Finished::new(index, assignment, outcome));
                    }
                    Err(none) => {
                        assert_eq!(none, NoSuggestion::Exhausted, "{name} {label}");
                        break;
                    }
                }
            }
        }
    }
}
