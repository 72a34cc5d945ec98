//! Suggestions beside each other: what is kept from one to the next makes them sooner, never different.

use super::super::streams::uniform_of;
use super::*;

/// After so many trials of so many objectives and constraints; one in nine has failed.
fn history(space: &SearchSpace, ended: u64, objectives: usize, constraints: usize) -> History {
    let mut history = History::new(space).with_objectives(objectives);
    for index in 0..ended {
        let place = |at: usize| uniform_of(7, index, at as u64);
        let assignment = space.decode(&(0..space.parameters().len()).map(place).collect::<Vec<f64>>());
        let losses = (0..objectives).map(|at| place(at) + 0.3 * place(at + 1)).collect();
        let outcome = if index % 9 == 4 { Outcome::Failed } else { Outcome::Complete { losses } };
        let excesses = (0..constraints).map(|at| place(at) - 0.6).collect();
        history.insert(Finished::new(index, assignment, outcome).constrained(excesses));
    }
    history
}

/// A tuner that has answered before says what one says that knows nothing: beside ever more pending trials, beside fewer than
/// it has seen, in another history of as many trials, with another seed, and after it has forgotten.
#[test]
fn what_is_kept_changes_nothing() {
    for (label, space) in spaces().into_iter().filter(|(label, _)| !["many", "one value"].contains(label)) {
        for (name, objectives, constraints) in [("GP", 1, 0), ("Auto", 1, 1), ("GP", 2, 0), ("GP", 3, 2)] {
            let first = history(&space, 14, objectives, constraints);
            // Of as many trials, but others.
            let mut second = history(&space, 15, objectives, constraints);
            second.remove(2);
            let used = tuner(name, &space);
            let mut pending: Vec<Pending> = Vec::new();
            let mut asked = 0;
            let mut ask = |history: &History, pending: &[Pending], seed| {
                let request = Request { space: &space, history, pending, seed, index: 20 + pending.len() as u64 };
                let answer = used.suggest(&request);
                asked += 1;
                assert_eq!(answer, tuner(name, &space).suggest(&request), "{name} {label}, question {asked}");
                answer.ok().map(|suggestion| Pending::new(request.index, suggestion.assignment))
            };
            while let Some(next) = ask(&first, &pending, 3).filter(|_| pending.len() < 12) {
                pending.push(next);
            }
            ask(&second, &pending, 3);
            ask(&second, &pending, 4);
            ask(&second, &pending[..pending.len() / 2], 4);
            ask(&second, &pending[pending.len() / 2..], 4);
            ask(&second, &pending, 4);
            used.forget();
            ask(&second, &pending, 4);
        }
    }
}

/// A history's stamp stands for all that it says.
#[test]
fn a_stamp_is_of_one_state_of_one_history() {
    let (_, space) = spaces().remove(0);
    let mut one = history(&space, 3, 1, 0);
    let (before, other) = (one.stamp(), history(&space, 3, 1, 0).stamp());
    one.remove(1);
    let after = one.stamp();
    assert!(before != other && before != after && other != after);
    one.remove(1);
    assert_eq!(one.stamp(), after, "nothing has changed");
}
