//! How a Trial stands that has not ended: its Job, whether it runs, whether it takes a slot.

use super::job::{JobView, job_name};
use super::ledger::Ledger;
use super::membership::{by_hand, joined};
use crate::api::Trial;
use crate::api::conditions::{find, reasons, types};
use kube::ResourceExt;

/// The Trial takes one of `limits.parallelTrials`: all of the operator's own do, those made by hand once started.
pub(super) fn takes_slot(trial: &Trial, ledger: &Ledger) -> bool {
    joined(trial) && (!by_hand(trial) || started(trial) || own_job(trial, ledger).is_some())
}

/// The Job of the present attempt, if it is the Trial's.
pub(super) fn own_job<'a>(trial: &Trial, ledger: &'a Ledger) -> Option<&'a JobView> {
    ledger.job(&current_job(trial)).filter(|job| Some(&job.owner_uid) == trial.uid().as_ref())
}

/// The present attempt has been seen running.
pub(super) fn started(trial: &Trial) -> bool {
    trial.status.as_ref().is_some_and(|status| status.start_time.is_some())
}

/// It has been seen running, and nothing says that it stalls.
pub(super) fn runs(trial: &Trial) -> bool {
    started(trial)
        && find(trial.conditions(), types::COMPLETE).is_none_or(|condition| condition.reason != reasons::PENDING)
}

/// Name of the Job of the present attempt.
pub(super) fn current_job(trial: &Trial) -> String {
    job_name(&trial.name_any(), trial.status.as_ref().map_or(0, |status| status.attempt))
}
