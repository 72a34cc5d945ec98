//! One algorithm with one feature.

use super::super::super::streams::uniform_of;
use super::super::*;

/// What is asked of an algorithm.
pub(super) struct Cell<'a> {
    pub label: &'a str,
    pub space: SearchSpace,
    pub objectives: usize,
    pub constraints: usize,
    /// What trials may spend, for those that hand it out.
    pub fidelity: Option<Fidelity>,
    pub trials: u64,
    pub parallel: usize,
    /// Points that come first.
    pub given: Vec<Assignment>,
    /// Results that are known before the first trial.
    pub known: Vec<(Assignment, Outcome)>,
    /// What comes out of a trial, by its index: its outcome, and by how much constraints do not hold.
    pub outcome: &'a dyn Fn(u64, &Assignment) -> (Outcome, Vec<f64>),
}

impl<'a> Cell<'a> {
    /// One objective that is the sum of the numbers, one trial after the other.
    pub fn new(label: &'a str, space: SearchSpace) -> Self {
        Cell {
            label,
            space,
            objectives: 1,
            constraints: 0,
            fidelity: Some(Fidelity { min: 1.0, max: 9.0, eta: 3.0 }),
            trials: 20,
            parallel: 1,
            given: Vec::new(),
            known: Vec::new(),
            outcome: &|_, assignment| (complete(vec![sum(assignment)]), Vec::new()),
        }
    }
}

/// Indices from here on are those of results that were known.
const KNOWN: u64 = 1 << 63;

/// What came out of a cell.
pub(super) struct Run {
    pub suggested: Vec<Suggestion>,
    pub history: History,
    /// Why there was no further trial.
    pub none: Option<NoSuggestion>,
}

pub(super) fn complete(losses: Vec<f64>) -> Outcome {
    Outcome::Complete { losses }
}

pub(super) fn sum(assignment: &Assignment) -> f64 {
    assignment.values().filter_map(crate::space::Value::as_f64).sum()
}

/// The tuner, or why there is none, as an Experiment is told.
pub(super) fn admit(algorithm: &Algorithm, cell: &Cell<'_>) -> Result<Box<dyn Tuner>, String> {
    check_goals(algorithm.name, cell.objectives, cell.constraints).map_err(|error| error.to_string())?;
    let settings = quick(algorithm.name);
    build(algorithm.name, &settings, &cell.space, cell.fidelity).map_err(|errors| errors[0].to_string())
}

/// Runs a cell, and asks each question of the tuner again: of one that knows nothing of what was, with the pending trials in
/// another order. `restarted`: the tuner is made anew for each trial.
pub(super) fn run(algorithm: &Algorithm, cell: &Cell<'_>, seed: u64, restarted: bool) -> Run {
    let what = format!("{} with {}", algorithm.name, cell.label);
    let make = || admit(algorithm, cell).unwrap_or_else(|error| panic!("{what}: {error}"));
    let (space, tuner) = (&cell.space, make());
    let mut history = History::new(space).with_objectives(cell.objectives);
    for (at, (assignment, outcome)) in (0..).zip(&cell.known) {
        let excesses = vec![0.0; cell.constraints];
        history.insert(Finished::new(KNOWN | at, assignment.clone(), outcome.clone()).constrained(excesses));
    }
    let mut pending: Vec<Pending> = Vec::new();
    let (mut suggested, mut none, mut index) = (Vec::new(), None, 0);
    loop {
        while index < cell.trials && pending.len() < cell.parallel && none.is_none_or(|n| n == NoSuggestion::Waiting) {
            let request = Request { space, history: &history, pending: &pending, seed, index };
            let answer = if restarted { make().suggest(&request) } else { tuner.suggest(&request) };
            if index.is_power_of_two() {
                let reversed: Vec<Pending> = pending.iter().rev().cloned().collect();
                assert_eq!(answer, make().suggest(&Request { pending: &reversed, ..request }), "{what} replays");
            }
            let suggestion = match (cell.given.get(index as usize), answer) {
                (Some(given), answer) => {
                    let said = answer.ok().map(|suggestion| suggestion.stage);
                    let stage = cell.fidelity.filter(|_| algorithm.hands_out_fidelity);
                    Suggestion { assignment: given.clone(), stage: stage.map(|fidelity| fidelity.first_stage(said)) }
                }
                (None, Ok(suggestion)) => suggestion,
                (None, Err(why)) => {
                    assert!(why != NoSuggestion::Waiting || !pending.is_empty(), "{what} waits for nothing");
                    none = Some(why);
                    break;
                }
            };
            assert_eq!(space.check(&suggestion.assignment), Ok(suggestion.assignment.clone()), "{what}");
            assert_eq!(suggestion.stage.is_some(), algorithm.hands_out_fidelity, "{what}");
            pending.push(Pending::new(index, suggestion.assignment.clone()).at(suggestion.stage));
            suggested.push(suggestion);
            (index, none) = (index + 1, None);
        }
        if pending.is_empty() {
            return Run { suggested, history, none };
        }
        let at = (uniform_of(seed, index, pending.len() as u64) * pending.len() as f64) as usize;
        let Pending { index: ended, assignment, stage } = pending.swap_remove(at);
        let (outcome, excesses) = (cell.outcome)(ended, &assignment);
        history.insert(Finished::new(ended, assignment, outcome).at(stage).constrained(excesses));
        none = none.filter(|none| *none != NoSuggestion::Waiting);
    }
}
