//! Fidelity: how much of its resource a trial spends, how its program is told, and which trial it goes on from.

use super::compile::Compiled;
use super::ledger::{self, Ledger};
use super::membership::name_of;
use crate::api::{self, Parent, Trial};
use crate::space::{Assignment, Value as ParameterValue};
use crate::tuner::{self, Stage};
use kube::ResourceExt;
use std::borrow::Cow;

/// `spec.fidelity`, made ready.
pub(super) struct Resource {
    /// What tuners are told of it.
    pub fidelity: tuner::Fidelity,
    parameter: String,
}

impl Resource {
    pub(super) fn new(spec: &api::Fidelity) -> Self {
        let fidelity = tuner::Fidelity { min: spec.min, max: spec.max, eta: spec.eta };
        Resource { fidelity, parameter: spec.parameter.clone() }
    }

    /// The assignment with the fidelity; absent, it is the highest.
    pub(super) fn told(&self, assignment: &Assignment, fidelity: Option<f64>) -> Assignment {
        let mut told = assignment.clone();
        told.insert(self.parameter.clone(), self.value(self.fidelity.within(fidelity.unwrap_or(f64::NAN))));
        told
    }

    /// The parameter's value: a whole number where only such are handed out.
    fn value(&self, fidelity: f64) -> ParameterValue {
        match self.fidelity.is_whole() {
            // The schema bounds it.
            true => ParameterValue::Int(fidelity.round() as i64),
            false => ParameterValue::Double(fidelity),
        }
    }
}

impl Compiled {
    /// What the program is told: the assignment, and the fidelity where there is one; absent, it is the highest.
    pub(super) fn told<'a>(&self, assignment: &'a Assignment, fidelity: Option<f64>) -> Cow<'a, Assignment> {
        let resource = self.resource.as_ref();
        resource.map_or(Cow::Borrowed(assignment), |resource| Cow::Owned(resource.told(assignment, fidelity)))
    }

    /// The stage of a new trial, by what the tuner says; `None` where there is no fidelity.
    pub(super) fn stage(&self, said: Option<Stage>) -> Option<Stage> {
        Some(self.resource.as_ref()?.fidelity.stage(said))
    }
}

/// The stage of a Trial; `most`: the highest fidelity, `None` where there is none.
pub(super) fn stage_of(trial: &Trial, most: Option<f64>) -> Option<Stage> {
    let (most, spec) = (most?, &trial.spec);
    let parent = spec.parent.as_ref().map(|parent| order_of(&spec.experiment, parent));
    Some(Stage { fidelity: spec.fidelity.unwrap_or(most), parent })
}

/// What of a Trial's fidelity and parent does not fit.
pub(super) fn misfit(trial: &Trial, compiled: &Compiled) -> Option<String> {
    let spec = &trial.spec;
    let most = compiled.resource.as_ref().map(|resource| &resource.fidelity);
    match (spec.fidelity, most) {
        (Some(_), None) => Some("fidelity: the Experiment has no spec.fidelity; leave it out".into()),
        (Some(given), Some(tuner::Fidelity { min, max, .. })) if !(*min..=*max).contains(&given) => {
            Some(format!("fidelity: {given} is outside {min} to {max}"))
        }
        _ if spec.parent.as_ref().is_some_and(|parent| parent.name == trial.name_any()) => {
            Some("parent: a Trial cannot go on from itself; name another one".into())
        }
        _ => None,
    }
}

/// The parent's position in the tuner's history.
fn order_of(experiment: &str, parent: &Parent) -> u64 {
    let index = parent.name.strip_prefix(experiment).and_then(|rest| rest.strip_prefix('-')?.parse::<u32>().ok());
    match index.filter(|index| name_of(experiment, *index) == parent.name) {
        Some(index) => u64::from(index),
        None => ledger::order_by(if parent.uid.is_empty() { &parent.name } else { &parent.uid }),
    }
}

/// The Trial at this position of the history, as a parent; `None` when it is gone.
pub(super) fn parent(ledger: &Ledger, order: u64) -> Option<Parent> {
    let name = ledger.name_at(order)?;
    let ended = ledger.ended(&name)?;
    // Of what was known beforehand the position is one of its name.
    let uid = if ended.known { String::new() } else { ended.uid.clone() };
    Some(Parent { name, uid })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn whole_numbers_stay_whole() {
        let table = [
            (json!({"parameter": "e", "min": 1, "max": 27}), 9.0, json!(9)),
            (json!({"parameter": "e", "min": 1, "max": 27}), 100.0, json!(27)),
            (json!({"parameter": "e", "min": 1, "max": 27}), f64::NAN, json!(27)),
            (json!({"parameter": "e", "min": 1, "max": 27}), f64::NEG_INFINITY, json!(1)),
            (json!({"parameter": "e", "min": 0.1, "max": 1}), 0.3, json!(0.3)),
        ];
        for (spec, said, expected) in table {
            let resource = Resource::new(&serde_json::from_value(spec.clone()).unwrap());
            assert_eq!(json!(resource.value(resource.fidelity.within(said))), expected, "{spec} {said}");
        }
    }

    #[test]
    fn a_parent_has_the_place_that_it_has_in_the_history() {
        let parent = |name: &str, uid: &str| order_of("e", &Parent { name: name.into(), uid: uid.into() });
        assert_eq!(parent("e-00007", "u"), 7);
        // Called so by a person.
        assert_eq!(parent("e-7", "u"), ledger::order_by("u"));
        assert_eq!(parent("mine", "u"), ledger::order_by("u"));
        assert_eq!(parent("e-known-0", ""), ledger::order_by("e-known-0"));
    }
}
