//! Which Trials belong to an Experiment, and how one that was made by hand joins.

use super::action::Action;
use super::ending::ending;
use super::record::write_waiting;
use crate::api::conditions::reasons;
use crate::api::{Experiment, GROUP, Trial, VERSION, labels};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

/// Names are functions of experiment and index.
pub(super) fn name_of(experiment: &str, index: u32) -> String {
    format!("{experiment}-{index:05}")
}

/// The index that a name is of; `None`: it is no name of the operator's own.
pub(super) fn index_in(experiment: &str, name: &str) -> Option<u32> {
    let index = name.strip_prefix(experiment)?.strip_prefix('-')?.parse().ok()?;
    (name_of(experiment, index) == name).then_some(index)
}

/// Position in the sequence of suggestions; `None` for a Trial that the operator did not make, which may be a
/// copy of another.
pub(super) fn index_of(trial: &Trial) -> Option<u32> {
    named_index(trial).filter(|_| joined(trial))
}

fn named_index(trial: &Trial) -> Option<u32> {
    trial.spec.index.filter(|index| trial.name_any() == name_of(&trial.spec.experiment, *index))
}

/// The Trial was made by a person.
pub(super) fn by_hand(trial: &Trial) -> bool {
    index_of(trial).is_none()
}

/// The Trial belongs to the experiment.
pub(super) fn joined(trial: &Trial) -> bool {
    owner(trial).is_some()
}

/// The Trial belongs to the experiment, or is about to.
pub(super) fn joins(trial: &Trial) -> bool {
    joined(trial) || not_adoptable(trial).is_none()
}

/// The condition of a Trial made by hand whose Experiment does not exist; `None` when it stands there already.
pub fn orphan(trial: &Trial, now: Timestamp) -> Option<Action> {
    if owner(trial).is_some() || trial.metadata.deletion_timestamp.is_some() || ending(trial).is_some() {
        return None;
    }
    let status = trial.status.clone().unwrap_or_default();
    if let Some(why) = not_adoptable(trial) {
        return write_waiting(trial, &status, reasons::NOT_ADOPTED, &why, now);
    }
    let message =
        format!("there is no Experiment {:?} in this namespace; the trial starts once there is", trial.spec.experiment);
    write_waiting(trial, &status, reasons::EXPERIMENT_NOT_FOUND, &message, now)
}

/// UID of the Experiment of ours that controls the Trial: Katib's kind is called so, too.
pub fn owner(trial: &Trial) -> Option<&str> {
    let references = trial.metadata.owner_references.as_deref().unwrap_or_default();
    let controller = references.iter().find(|reference| reference.controller == Some(true))?;
    let group = controller.api_version.split_once('/').map(|(group, _)| group);
    (controller.kind == "Experiment" && group == Some(GROUP)).then_some(&controller.uid)
}

/// Why the Trial, which no Experiment controls, cannot be taken into its own; `None` when it can.
pub(super) fn not_adoptable(trial: &Trial) -> Option<String> {
    if let Some(other) = trial.owner_references().iter().find(|reference| reference.controller == Some(true)) {
        let (kind, name) = (&other.kind, &other.name);
        return Some(format!(
            "{kind} {name} controls this Trial (metadata.ownerReferences), and an object has one controller"
        ));
    }
    let message = "it is called as one of the operator's own (spec.index), but is none of this Experiment's, perhaps one of \
                   an earlier Experiment's; delete it, or make it anew under another name and without spec.index";
    named_index(trial).map(|_| message.into())
}

pub(super) fn adopt(trial: &Trial, experiment: &Experiment) -> Action {
    let mut references: Vec<Value> = trial.owner_references().iter().map(|reference| json!(reference)).collect();
    references.push(experiment_reference(experiment));
    Action::AdoptTrial {
        name: trial.name_any(),
        patch: Box::new(json!({"metadata": {
            "resourceVersion": trial.resource_version(),
            "uid": trial.uid(),
            "ownerReferences": references,
            "labels": {
                labels::EXPERIMENT: experiment.name_any(),
                labels::EXPERIMENT_UID: experiment.uid().unwrap_or_default(),
            },
        }})),
    }
}

/// The owner reference to an Experiment.
pub(super) fn experiment_reference(experiment: &Experiment) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "Experiment", "name": experiment.name_any(),
        "uid": experiment.uid().unwrap_or_default(), "controller": true, "blockOwnerDeletion": true,
    })
}
