//! Deliberate faults, so that the tests can prove that they would notice them.

use crate::engine::{Action, Plan};

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
    /// Jobs are deleted before anything else is written.
    DeleteFirst,
    /// The Experiment's status is written before what it tells of.
    StatusFirst,
    /// Jobs are not deleted.
    NeverDelete,
    /// Plans are made before all kinds were listed.
    PlanUnsynced,
    /// What a write answered is not taken into account.
    ForgetAnswers,
    /// Reports are acknowledged before they are stored.
    AcknowledgeEarly,
    /// Reports are added up without looking at what is stored already.
    StoreBlindly,
    /// The lease is ignored.
    IgnoreGate,
    /// The status is written in each pass.
    WriteAlways,
}

impl Mutation {
    /// The plan with the fault in it.
    pub(super) fn plan(self, mut plan: Plan) -> Plan {
        let delete = |action: &Action| matches!(action, Action::DeleteJob { .. });
        let status = |action: &Action| matches!(action, Action::WriteExperimentStatus { .. });
        match self {
            Mutation::DeleteFirst => plan.actions.sort_by_key(|action| !delete(action)),
            Mutation::StatusFirst => plan.actions.sort_by_key(|action| !status(action)),
            Mutation::NeverDelete => plan.actions.retain(|action| !delete(action)),
            _ => {}
        }
        plan
    }
}
