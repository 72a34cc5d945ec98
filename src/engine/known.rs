//! Results that are known before any trial: those that a person gives, and those of other experiments. Each becomes a
//! Trial with a result, so that what the tuner has learnt from stands where all of it stands.

use super::action::Action;
use super::goals;
use super::plan::Planner;
use super::result::loss;
use super::snapshot::{Finding, Known};
use super::status::later;
use super::trial::RECHECK;
use crate::api::conditions::reasons;
use crate::api::{ExperimentSpec, Trial, TrialSpec, WarmStart, labels};
use crate::space::{Assignment, SearchSpace};
use crate::tuner::{Finished, Outcome, best_first};
use kube::{Resource, ResourceExt};
use serde_json::json;
use std::collections::BTreeMap;

/// A result that is known beforehand.
pub(super) struct Given {
    /// What its Trial's name ends with.
    pub suffix: String,
    pub assignment: Assignment,
    /// By metric.
    pub result: BTreeMap<String, f64>,
}

/// The given point `at` of `spec.initialTrials`, whose result is given too.
///
/// # Errors
/// What does not fit, a sentence each.
pub(super) fn given(
    space: &SearchSpace,
    (at, assignment): (usize, &Assignment),
    result: &BTreeMap<String, f64>,
    metric: &str,
) -> Result<Given, Vec<String>> {
    let mut problems: Vec<String> = match space.check(assignment) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(|error| format!("initialTrials[{at}]: {error}")).collect(),
    };
    if !result.contains_key(metric) {
        problems.push(format!("initialTrials[{at}].result: there is no value of {metric}, which is the objective"));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Given { suffix: format!("known-{at}"), assignment: assignment.clone(), result: result.clone() })
}

impl Planner<'_> {
    /// Makes the Trials whose results are known. True: all of them are there, or there are none.
    pub(super) fn start_with_known(&mut self, given: &[Given], space: &SearchSpace) -> bool {
        let mut all = self.are_there(given);
        // Once the first trial is made, what it was chosen by is not added to.
        if self.created() > 0 {
            return all;
        }
        for (at, from) in self.snapshot.experiment.spec.warm_start_from.iter().enumerate() {
            let Some(found) = self.results_of(at, from, space) else { return false };
            all &= self.are_there(&found);
        }
        all && self.snapshot.ledger.active().all(|trial| trial.spec.result.is_empty())
    }

    /// What is known of another experiment; `None`: not yet.
    fn results_of(&mut self, at: usize, from: &WarmStart, space: &SearchSpace) -> Option<Vec<Given>> {
        let spec = &self.snapshot.experiment.spec;
        let wanted = goals::wanted(spec);
        let found = self.snapshot.facts.findings.get(&from.experiment);
        let lacks = |metrics: &[String]| wanted.iter().find(|wanted| !metrics.contains(&wanted.metric));
        let sentence = match found.map(|(_, finding)| finding) {
            Some(Finding::Results { metrics, results }) => match lacks(metrics) {
                Some(lacking) => format!("it does not read {}; leave it out", lacking.metric),
                None => {
                    let fitting = fitting(space, spec, results, from.max_trials as usize);
                    if !fitting.is_empty() {
                        let given = |Known { name, assignment, values: result }| Given {
                            suffix: format!("w{at}-{name}"),
                            assignment,
                            result,
                        };
                        return Some(fitting.into_iter().map(given).collect());
                    }
                    let count = results.len();
                    format!("{count} results, and none fits this search space; leave it out, or wait for more")
                }
            },
            Some(Finding::None) => "there is no such Experiment in this namespace; make it, or leave it out".into(),
            None => {
                self.push(Action::ReadResults { experiment: from.experiment.clone(), wanted });
                return None;
            }
        };
        let looked = found.map_or(self.now, |(at, _)| *at);
        if later(looked, RECHECK) <= self.now {
            self.push(Action::ReadResults { experiment: from.experiment.clone(), wanted });
        } else {
            self.wake(Some(later(looked, RECHECK)));
        }
        let message = format!("waits for warmStartFrom[{at}], experiment {:?}: {sentence}", from.experiment);
        self.blocked.get_or_insert((reasons::WARM_START_WAITS, message));
        None
    }

    /// Makes those that are missing.
    fn are_there(&mut self, all: &[Given]) -> bool {
        let (ledger, experiment) = (self.snapshot.ledger, self.snapshot.experiment.name_any());
        let mut missing = 0;
        for given in all {
            let name = format!("{experiment}-{}", given.suffix);
            if ledger.trial(&name).is_some() || ledger.ended(&name).is_some() {
                continue;
            }
            missing += 1;
            let (assignments, result) = (given.assignment.clone(), given.result.clone());
            let spec = TrialSpec { experiment: experiment.clone(), assignments, result, ..TrialSpec::default() };
            let trial = self.owned(Trial::new(&name, spec));
            self.push(Action::CreateTrial { trial: Box::new(trial) });
        }
        missing == 0
    }

    /// With the labels and the owner that every Trial of the operator has.
    pub(super) fn owned(&self, mut trial: Trial) -> Trial {
        let experiment = self.snapshot.experiment;
        let index = trial.spec.index.map(|index| (labels::INDEX, index.to_string()));
        let labels = [
            (labels::EXPERIMENT, experiment.name_any()),
            (labels::EXPERIMENT_UID, experiment.uid().unwrap_or_default()),
            (labels::MANAGED_BY, labels::MANAGER.to_owned()),
        ];
        let metadata = trial.meta_mut();
        metadata.namespace = experiment.namespace();
        metadata.labels = Some(labels.into_iter().chain(index).map(|(key, value)| (key.to_owned(), value)).collect());
        let owner = json!([super::membership::experiment_reference(experiment)]);
        metadata.owner_references = serde_json::from_value(owner).ok();
        trial
    }
}

/// At most `most` of these results, as points of this space: half of them the best, the others spread over the rest. Of several
/// objectives the best are front by front; under outcome constraints those that violate them come last.
fn fitting(space: &SearchSpace, spec: &ExperimentSpec, results: &[Known], most: usize) -> Vec<Known> {
    let mut all: Vec<(Known, Finished)> = results.iter().filter_map(|known| fits(space, spec, known)).collect();
    all.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    let order = best_first(&all.iter().map(|(_, finished)| finished).collect::<Vec<_>>());
    let mut all: Vec<Known> = order.into_iter().filter_map(|at| Some(all.get(at)?.0.clone())).collect();
    if all.len() <= most {
        return all;
    }
    let rest = all.split_off(most.div_ceil(2));
    let others = most - all.len();
    all.extend((0..others).filter_map(|at| rest.get(at * rest.len() / others).cloned()));
    all
}

/// A result as a point of this space, with how good it is; `None` where it does not fit, or a number is missing.
fn fits(space: &SearchSpace, spec: &ExperimentSpec, known: &Known) -> Option<(Known, Finished)> {
    let reached = goals::known(spec, &known.values).ok()?;
    let assignment = moved(space, &known.assignment)?;
    let losses = spec.objectives.iter().zip(reached.values).map(|(objective, value)| loss(value, objective.direction));
    let outcome = Outcome::Complete { losses: losses.collect() };
    let finished = Finished::new(0, assignment.clone(), outcome).constrained(reached.excesses);
    Some((Known { assignment, ..known.clone() }, finished))
}

/// The point of this space that is called as this assignment of another one; `None` when what both have does not fit.
fn moved(space: &SearchSpace, theirs: &Assignment) -> Option<Assignment> {
    let ours: Assignment = theirs
        .iter()
        .filter(|(name, _)| space.parameters().iter().any(|parameter| parameter.name == **name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if ours.is_empty() {
        return None;
    }
    space.check(&space.decode_around(&ours, &vec![0.5; space.parameters().len()])).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Parameter;
    use serde_json::Value;

    fn space(parameters: Value) -> SearchSpace {
        let parameters: Vec<Parameter> = serde_json::from_value(parameters).unwrap();
        SearchSpace::new(parameters.iter().map(|parameter| parameter.to_space().unwrap()).collect(), &[]).unwrap()
    }

    #[test]
    fn a_point_of_another_space_is_moved_into_this_one() {
        let space = space(json!([
            {"name": "lr", "double": {"min": 0, "max": 1}},
            {"name": "o", "categorical": {"choices": ["sgd", "adam"]}},
            {"name": "m", "double": {"min": 0, "max": 1}, "when": [{"parameter": "o", "in": ["sgd"]}]},
        ]));
        let table = [
            (json!({"lr": 0.25, "o": "adam"}), Some(json!({"lr": 0.25, "o": "adam"}))),
            (json!({"lr": 0.25, "o": "sgd"}), Some(json!({"lr": 0.25, "o": "sgd", "m": 0.5}))),
            (json!({"lr": 0.25, "o": "adam", "width": 3}), Some(json!({"lr": 0.25, "o": "adam"}))),
            // Out of range, no such choice, not active, nothing in common.
            (json!({"lr": 2, "o": "adam"}), None),
            (json!({"lr": 0.25, "o": "rmsprop"}), None),
            (json!({"lr": 0.25, "o": "adam", "m": 0.5}), None),
            (json!({"width": 3}), None),
        ];
        for (theirs, expected) in table {
            let theirs: Assignment = serde_json::from_value(theirs).unwrap();
            assert_eq!(moved(&space, &theirs).map(|ours| json!(ours)), expected, "{theirs:?}");
        }
    }

    #[test]
    fn the_best_half_comes_and_some_of_all_the_others() {
        let space = space(json!([{"name": "x", "double": {"min": 0, "max": 1}}]));
        let known = |at: u32| Known {
            name: format!("{at:02}"),
            assignment: serde_json::from_value(json!({"x": f64::from(at) / 100.0})).unwrap(),
            values: [("loss".to_owned(), f64::from(at))].into(),
        };
        let results: Vec<Known> = (0..100).map(known).collect();
        let names = |direction: &str, most| -> Vec<String> {
            let spec = json!({
                "objectives": [{"metric": "loss", "direction": direction}],
                "parameters": [],
                "limits": {"maxTrials": 1},
                "trialTemplate": {"primaryContainer": "train", "manifest": {}},
            });
            let spec: ExperimentSpec = serde_json::from_value(spec).unwrap();
            fitting(&space, &spec, &results, most).into_iter().map(|known| known.name).collect()
        };
        assert_eq!(names("Minimize", 6), ["00", "01", "02", "03", "35", "67"]);
        assert_eq!(names("Maximize", 3), ["99", "98", "97"]);
        assert_eq!(names("Maximize", 1), ["99"]);
        assert_eq!(names("Minimize", 1000).len(), 100);
    }
}
