//! Deliberate faults, so that the tests can prove that they would notice them.

use super::act::Learnt;
use super::desk::Desk;
use super::index::Change;
use crate::api::Experiment;
use crate::engine::{Action, Plan, job_name};
use kube::ResourceExt;
use serde_json::Value;

/// A fault built into the operator. Never set outside tests.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mutation {
    /// None: as it is meant to be.
    #[default]
    None,
    /// Jobs are deleted by name alone.
    DropUidPrecondition,
    /// Status writes win over whatever was written in between.
    DropResourceVersion,
    /// Any object of the right name is taken for our own.
    SkipOwnerCheck,
    /// A Job that the watch does not show is taken for gone.
    ForgetConfirm,
    /// A Job is deleted before its trial's result is written.
    DeleteFirst,
    /// Trials are counted in the Experiment's status before they are made.
    StatusFirst,
    /// Jobs are not deleted.
    NeverDelete,
    /// Plans are made before all kinds were listed.
    PlanUnsynced,
    /// What a write answered is not taken into account.
    ForgetAnswers,
    /// That a Trial is gone is not told to the tuner.
    ForgetDeletions,
    /// Reports are acknowledged before they are stored.
    AcknowledgeEarly,
    /// What an agent has left out of its reports, since another process held it, is taken for held.
    IgnoreGaps,
    /// Reports are added up without looking at what is stored already.
    StoreBlindly,
    /// The lease is ignored.
    IgnoreGate,
    /// The status is written in each pass.
    WriteAlways,
}

impl Mutation {
    /// The plan with the fault in it.
    pub(super) fn plan(self, mut plan: Plan, experiment: &Experiment, desk: &Desk) -> Plan {
        let deletes = |action: &Action| matches!(action, Action::DeleteJob { .. });
        match self {
            Mutation::DeleteFirst => delete_first(plan, desk),
            Mutation::StatusFirst => status_first(plan, experiment),
            Mutation::NeverDelete => {
                plan.actions.retain(|action| !deletes(action));
                plan
            }
            Mutation::WriteAlways => {
                if !plan.actions.iter().any(writes_status) {
                    plan.actions.push(status_of(experiment));
                }
                plan
            }
            _ => plan,
        }
    }

    /// What a desk is told.
    pub(super) fn changes(self, mut changes: Vec<Change>) -> Vec<Change> {
        if self == Mutation::ForgetDeletions {
            changes.retain(|change| !matches!(change, Change::TrialGone(_)));
        }
        changes
    }

    /// The Job that was found under the name of the one that was to be made.
    pub(super) fn found(self, mut found: Learnt, wanted: &Value) -> Learnt {
        if self == Mutation::SkipOwnerCheck
            && let Learnt::Job(job) = &mut found
        {
            let theirs = |field: &str| wanted.pointer(&format!("/metadata/{field}")).cloned().unwrap_or_default();
            job.metadata.owner_references = serde_json::from_value(theirs("ownerReferences")).unwrap_or_default();
            job.metadata.labels = serde_json::from_value(theirs("labels")).unwrap_or_default();
        }
        found
    }
}

fn writes_status(action: &Action) -> bool {
    matches!(action, Action::WriteExperimentStatus { .. })
}

fn status_of(experiment: &Experiment) -> Action {
    Action::WriteExperimentStatus {
        resource_version: experiment.resource_version().unwrap_or_default(),
        status: Box::new(experiment.status.clone().unwrap_or_default()),
        events: Vec::new(),
    }
}

fn delete_first(mut plan: Plan, desk: &Desk) -> Plan {
    let mut actions = Vec::new();
    for action in plan.actions {
        if let Action::WriteTrialStatus { name, patch, .. } = &action
            && patch.completion_time.is_some()
            && let Some(job) = desk.job(&job_name(name, patch.attempt))
        {
            let (name, uid, trial) = (job.name.clone(), job.uid.clone(), name.clone());
            actions.push(Action::DeleteJob { name, uid, trial });
        }
        actions.push(action);
    }
    plan.actions = actions;
    plan
}

fn status_first(mut plan: Plan, experiment: &Experiment) -> Plan {
    let made = plan.actions.iter().filter(|action| matches!(action, Action::CreateTrial { .. })).count();
    if made > 0 {
        let at = plan.actions.iter().position(writes_status);
        let mut first = at.map_or_else(|| status_of(experiment), |at| plan.actions.remove(at));
        if let Action::WriteExperimentStatus { status, .. } = &mut first {
            status.trials.created += u32::try_from(made).unwrap_or(0);
        }
        plan.actions.insert(0, first);
    }
    plan
}
