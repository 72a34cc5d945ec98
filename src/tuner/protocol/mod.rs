//! Asking a tuner from outside, a line of JSON at a time.
//!
//! `init` starts, `ask` gives the next trial, `tell` says what came out of one. The tuner is the one that an Experiment's
//! `spec.algorithm` names, and is asked in the same way. What a line may hold:
//!
//! ```text
//! {"op":"init","space":{"lr":{"type":"double","min":1e-5,"max":1,"scale":"log"},"opt":{"type":"categorical",
//!   "choices":["sgd","adam"]},"mom":{"type":"double","min":0,"max":0.99,"when":{"opt":"sgd"}}},
//!   "direction":"minimize","algorithm":"tpe","settings":{"budget":100},"seed":1,"initial":[{"lr":0.1}]}
//! {"op":"ask"}                          {"id":1,"params":{"lr":0.01,"opt":"adam"}}
//! {"op":"ask","parallel":2}             {"trials":[{"id":2,"params":{...}},{"id":3,"params":{...}}]}
//! {"op":"tell","id":1,"value":0.3}
//! {"op":"tell","id":2,"failed":true}
//! {"op":"tell","params":{"lr":0.1,"opt":"adam"},"value":0.2}
//! ```
//!
//! The last one is a result that was known before.
//!
//! Several objectives are a list of directions, and a list of values each time; outcome constraints are a number of them, and
//! one number each: 0 or less where it holds, else by how much it does not.
//!
//! ```text
//! {"op":"init","space":{...},"direction":["maximize","minimize"],"constraints":1,"algorithm":"auto"}
//! {"op":"tell","id":1,"value":[0.93,120],"constraints":[-0.2]}
//! ```
//!
//! Gradient with `"settings":{"derivatives":"Reported"}` goes by derivatives of the value, one a parameter:
//!
//! ```text
//! {"op":"tell","id":1,"value":0.3,"derivatives":{"lr":-0.7}}
//! ```
//!
//! Algorithms that hand out a resource need `"fidelity":{"min":1,"max":27,"eta":3}` in `init` (`eta` is 3 where it is left out).
//! Each answer to `ask` then has the `fidelity` that the trial has spent when it ends, and where it goes on from the checkpoint
//! of another the id of that one as its `parent`; `tell` gives the value at that fidelity. Without an algorithm that hands it
//! out every trial spends `max`. When the next trial depends on what comes out of those that run, `ask` is answered with
//! `{"wait":true}`, or `parallel` with fewer trials; ask again after a `tell`.
//!
//! ```text
//! {"op":"ask"}                          {"id":9,"params":{"lr":0.01,"opt":"adam"},"fidelity":3,"parent":4}
//! ```
//!
//! What goes wrong is answered with `{"error":"..."}`.

mod wire;

use super::{
    ALGORITHMS, Fidelity, Finished, History, NoSuggestion, Outcome, Pending, Request, Stage, Suggestion, Tuner, build,
    check_goals,
};
use crate::space::Assignment;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, VecDeque};
use wire::{Line, Space, joined};

/// Trials that one line may ask for.
const MOST: u64 = 1000;
/// Outcome constraints of a search.
const MOST_CONSTRAINTS: usize = 16;
/// Indices from here on are those of results that were known before.
const KNOWN: u64 = 1 << 63;

/// One search, from its `init` on.
#[derive(Default)]
pub struct Session {
    search: Option<Search>,
}

struct Search {
    space: Space,
    tuner: Box<dyn Tuner>,
    history: History,
    pending: Vec<Pending>,
    /// Given trials that come first.
    initial: VecDeque<Assignment>,
    seed: u64,
    next: u64,
    known: u64,
    /// By objective.
    maximise: Vec<bool>,
    constraints: usize,
    /// What there is to spend.
    fidelity: Option<Fidelity>,
}

impl Session {
    /// Takes a line, and gives the answer where there is one; without a line's end.
    pub fn line(&mut self, line: &str) -> Option<String> {
        if line.trim().is_empty() {
            return None;
        }
        let answer = match serde_json::from_str::<Line>(line) {
            Ok(line) => self.take(line),
            Err(error) => Err(format!("this line is not understood: {error}")),
        };
        answer.unwrap_or_else(|error| Some(json!({ "error": error }))).map(|answer| answer.to_string())
    }

    fn take(&mut self, line: Line) -> Result<Option<Json>, String> {
        let op = line.op.clone();
        match (op.as_str(), &mut self.search) {
            ("init", None) => {
                self.search = Some(Search::new(line)?);
                Ok(None)
            }
            ("init", Some(_)) => Err("init comes once, as the first line".into()),
            ("ask", Some(search)) => match line.parallel {
                None => Ok(Some(search.ask()?.unwrap_or_else(|| json!({ "wait": true })))),
                Some(count @ 1..=MOST) => {
                    let trials = (0..count).map_while(|_| search.ask().transpose());
                    let trials: Vec<Json> = trials.collect::<Result<_, _>>()?;
                    Ok(Some(json!({ "trials": trials })))
                }
                Some(count) => Err(format!("parallel is {count}; write a whole number from 1 to {MOST}")),
            },
            ("tell", Some(search)) => search.tell(&line).map(|()| None),
            ("report", Some(_)) => Err("no stopping rule was asked for, so reports are of no use".into()),
            ("ask" | "tell" | "report", None) => Err(format!("{op} comes after init")),
            _ => Err(format!("op is {op:?}; write init, ask, tell or report")),
        }
    }
}

impl Search {
    fn new(line: Line) -> Result<Self, String> {
        let space = Space::new(line.space.ok_or("init needs a space")?)?;
        let maximise = match &line.direction {
            None => vec![false],
            Some(directions) => directions.list().iter().map(|text| maximised(text)).collect::<Result<_, _>>()?,
        };
        if maximise.is_empty() {
            return Err("direction is an empty list; write minimize or maximize, one an objective".into());
        }
        let constraints = match &line.constraints {
            None => 0,
            Some(count) => count
                .as_u64()
                .and_then(|count| usize::try_from(count).ok())
                .filter(|count| *count <= MOST_CONSTRAINTS)
                .ok_or_else(|| {
                    format!("constraints is {count}; write how many there are, from 0 to {MOST_CONSTRAINTS}")
                })?,
        };
        let asked = line.algorithm.ok_or("init needs an algorithm")?;
        let named = ALGORITHMS.iter().find(|algorithm| algorithm.name.eq_ignore_ascii_case(&asked));
        let mut settings = line.settings;
        if let Some(budget) = settings.remove("budget")
            && budget.as_u64().is_none()
        {
            return Err(format!("settings.budget is {budget}; write the number of trials"));
        }
        let name = named.map_or(asked.as_str(), |algorithm| algorithm.name);
        check_goals(name, maximise.len(), constraints).map_err(|error| error.to_string())?;
        let fidelity = line.fidelity.map(|given| Fidelity { min: given.min, max: given.max, eta: given.eta });
        let tuner = build(name, &settings, &space.space, fidelity).map_err(|errors| joined(&errors))?;
        let mut initial = VecDeque::new();
        for (at, given) in line.initial.iter().enumerate() {
            let given = space.read(given);
            let wrong = |errors: Vec<_>| format!("initial[{at}]: {}", joined(&errors));
            space.space.check_partial(&given).map_err(wrong)?;
            let middle = space.space.decode_around(&given, &[]);
            initial.push_back(space.space.check(&middle).map_err(wrong)?);
        }
        let mut history = History::new(&space.space).with_objectives(maximise.len());
        history.keep(tuner.digest());
        let (pending, seed) = (Vec::new(), line.seed);
        let (next, known) = (0, KNOWN);
        Ok(Search { space, tuner, history, pending, initial, seed, next, known, maximise, constraints, fidelity })
    }

    /// The next trial; `None` while it depends on those that run.
    fn ask(&mut self) -> Result<Option<Json>, String> {
        let request = Request {
            space: &self.space.space,
            history: &self.history,
            pending: &self.pending,
            seed: self.seed,
            index: self.next,
        };
        let (Suggestion { assignment, stage }, note) = match self.initial.pop_front() {
            Some(given) => {
                let said = || self.tuner.suggest(&request).ok().map(|suggestion| suggestion.stage);
                let stage = self.fidelity.map(|fidelity| fidelity.first_stage(said()));
                (Suggestion { assignment: given, stage }, None)
            }
            None => match self.tuner.suggest(&request) {
                Ok(suggestion) => (suggestion, self.tuner.note(&request)),
                Err(NoSuggestion::Waiting) => return Ok(None),
                Err(none) => return Err(none.to_string()),
            },
        };
        let stage = self.fidelity.map(|fidelity| fidelity.stage(stage));
        self.next += 1;
        let mut answer = json!({ "id": self.next, "params": self.space.write(&assignment) });
        if let Some(answer) = answer.as_object_mut() {
            answer.extend(note.map(|note| ("note".into(), note.into())));
            if let Some(Stage { fidelity, parent }) = stage {
                answer.insert("fidelity".into(), plain(fidelity));
                // Ids count from 1.
                answer.extend(parent.map(|index| ("parent".into(), (index + 1).into())));
            }
        }
        self.pending.push(Pending::new(self.next - 1, assignment).at(stage));
        Ok(Some(answer))
    }

    fn tell(&mut self, line: &Line) -> Result<(), String> {
        let outcome = match (&line.value, line.failed) {
            (_, true) => Outcome::Failed,
            (Some(value), false) => Outcome::Complete { losses: self.losses(value)? },
            (None, false) => return Err("tell needs a value, or failed: true".into()),
        };
        let excesses = match (&line.constraints, line.failed) {
            (_, true) => Vec::new(),
            (None, false) if self.constraints == 0 => Vec::new(),
            (Some(Json::Array(list)), false) if list.len() == self.constraints => list.iter().map(number).collect(),
            _ => return Err(format!("constraints is no list of {} numbers, as many as init said", self.constraints)),
        };
        let derivatives = self.derivatives(&line.derivatives)?;
        let (index, assignment, stage) = match (line.id, &line.params) {
            (Some(id), _) => {
                let at = self.pending.iter().position(|pending| pending.index.checked_add(1) == Some(id));
                let pending = self.pending.swap_remove(at.ok_or_else(|| format!("no trial {id} is running"))?);
                (pending.index, pending.assignment, pending.stage)
            }
            (None, Some(params)) => {
                let assignment = self.space.read(params);
                let checked = self.space.space.check(&assignment);
                self.known += 1;
                let checked = checked.map_err(|errors| format!("params: {}", joined(&errors)))?;
                (self.known - 1, checked, None)
            }
            (None, None) => return Err("tell needs the id of a trial, or params".into()),
        };
        let finished = Finished::new(index, assignment, outcome).at(stage).constrained(excesses);
        self.history.insert(finished.with_derivatives(derivatives));
        Ok(())
    }

    /// Those of the first loss.
    fn derivatives(&self, given: &BTreeMap<String, Json>) -> Result<BTreeMap<String, f64>, String> {
        let sign = if self.maximise.first() == Some(&true) { -1.0 } else { 1.0 };
        let read = |(name, value): (&String, &Json)| match self.space.space.parameter(name) {
            Some(_) => Ok((name.clone(), sign * number(value))),
            None => Err(format!("derivatives has {name:?}, which is no parameter; leave it out")),
        };
        given.iter().map(read).collect()
    }

    /// One an objective.
    fn losses(&self, value: &Json) -> Result<Vec<f64>, String> {
        let values = match value {
            Json::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        if values.len() != self.maximise.len() {
            return Err(format!("value has {} numbers; write {}, one an objective", values.len(), self.maximise.len()));
        }
        let signs = self.maximise.iter().map(|maximise| if *maximise { -1.0 } else { 1.0 });
        Ok(values.iter().zip(signs).map(|(value, sign)| sign * number(value)).collect())
    }
}

fn maximised(direction: &str) -> Result<bool, String> {
    match direction.to_ascii_lowercase().as_str() {
        "minimize" => Ok(false),
        "maximize" => Ok(true),
        _ => Err(format!("direction is {direction:?}; write minimize or maximize")),
    }
}

/// What is not a number in JSON is none: a program's NaN may come as null or as text.
fn number(value: &Json) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// A whole number as such.
fn plain(number: f64) -> Json {
    if number.fract() == 0.0 && number.abs() < 9e15 { Json::from(number as i64) } else { Json::from(number) }
}

#[cfg(test)]
mod tests;
