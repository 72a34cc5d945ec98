//! The life of a trial: waiting, its Job, running, its verdict; tried again when it was taken away.

use super::action::{Action, Event, TrialPatch};
use super::compile::Compiled;
use super::experiment::End;
use super::inject::{self, Injection, Owner};
use super::job::{JobEnd, JobView, job_name};
use super::ledger::Ledger;
use super::membership::{adopt, by_hand, index_of, joined, not_adoptable};
use super::result::{Ending, Verdict, stopped, verdict};
use super::snapshot::Snapshot;
use super::status::{later, set, stored};
use super::template::{Names, render};
use crate::api::conditions::{find, reasons, types};
use crate::api::{Trial, TrialStatus};
use crate::space::Assignment;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::Value;

/// How long a Job may take to get a running pod before its pods are looked at.
const PATIENCE: SignedDuration = SignedDuration::from_secs(3);
/// How often a waiting Job's pods are looked at again, and what was refused is tried again.
pub(super) const RECHECK: SignedDuration = SignedDuration::from_secs(15);

/// What one trial does next.
#[derive(Default)]
pub(super) struct Step {
    pub actions: Vec<Action>,
    pub wake_at: Option<Timestamp>,
    /// Why it does not run, when it does not.
    pub waiting: Option<(&'static str, String)>,
}

/// What the step of a trial depends on besides the trial.
pub(super) struct Context<'a> {
    pub snapshot: &'a Snapshot<'a>,
    /// `None`: the spec cannot be run now.
    pub compiled: Option<&'a Compiled>,
    /// The experiment has ended or is about to.
    pub end: Option<&'a End>,
    /// There is room for one more running trial.
    pub free_slot: bool,
    pub now: Timestamp,
}

/// The Trial takes one of `limits.parallelTrials`: all of the operator's own do, those made by hand once started.
pub(super) fn takes_slot(trial: &Trial, ledger: &Ledger) -> bool {
    joined(trial) && (!by_hand(trial) || started(trial) || own_job(trial, ledger).is_some())
}

fn own_job<'a>(trial: &Trial, ledger: &'a Ledger) -> Option<&'a JobView> {
    ledger.job(&current_job(trial)).filter(|job| Some(&job.owner_uid) == trial.uid().as_ref())
}

/// The present attempt has been seen running.
pub(super) fn started(trial: &Trial) -> bool {
    trial.status.as_ref().is_some_and(|status| status.start_time.is_some())
}

fn current_job(trial: &Trial) -> String {
    job_name(&trial.name_any(), trial.status.as_ref().map_or(0, |status| status.attempt))
}

/// What this trial, which has not ended, does next.
pub(super) fn step(trial: &Trial, context: &Context<'_>) -> Step {
    if trial.metadata.deletion_timestamp.is_some() {
        return Step::default();
    }
    if !joined(trial) {
        let action = match not_adoptable(trial) {
            None => Some(adopt(trial, context.snapshot.experiment)),
            Some(why) => {
                let status = trial.status.clone().unwrap_or_default();
                write_waiting(trial, &status, reasons::NOT_ADOPTED, &why, context.now)
            }
        };
        return Step { actions: action.into_iter().collect(), ..Step::default() };
    }
    let step = TrialStep { trial, status: trial.status.clone().unwrap_or_default(), context };
    let job = context.snapshot.ledger.job(&current_job(trial));
    let own = job.filter(|job| Some(&job.owner_uid) == trial.uid().as_ref());
    if let (Some(job), Some(compiled)) = (own, context.compiled)
        && let Some(end) = job.end()
    {
        return step.after_job(job, &end, compiled);
    }
    if let Some(end) = context.end {
        return step.cut_short(end);
    }
    match (job, own) {
        (None, _) if started(trial) => step.job_vanished(),
        (None, _) => step.start(),
        (Some(_), None) => step.wait(
            reasons::NAME_TAKEN,
            format!("a Job {} exists that is not this trial's; delete it", current_job(trial)),
        ),
        (Some(_), Some(job)) => step.with_job(job),
    }
}

/// The manifest with this trial's values filled in.
pub(super) fn rendered(
    compiled: &Compiled,
    experiment: &str,
    trial: &str,
    index: Option<u32>,
    assignment: &Assignment,
) -> Value {
    render(&compiled.manifest, &Names { experiment, trial, index, assignment })
}

/// The Job of a trial, which need not exist yet.
pub(super) fn job_of(
    snapshot: &Snapshot<'_>,
    compiled: &Compiled,
    trial: (&str, &str, Option<u32>, u32),
    manifest: &Value,
    assignment: &Assignment,
) -> Value {
    let experiment = snapshot.experiment;
    let (name, uid, index, attempt) = trial;
    let owner = Owner {
        namespace: &experiment.namespace().unwrap_or_default(),
        experiment: &experiment.name_any(),
        experiment_uid: &experiment.uid().unwrap_or_default(),
        trial: name,
        trial_uid: uid,
        index,
        attempt,
    };
    let injection = Injection {
        primary_container: &experiment.spec.trial_template.primary_container,
        metrics: &compiled.metrics,
        max_trial_seconds: compiled.max_trial_seconds,
        settings: snapshot.settings,
    };
    inject::job(manifest, &owner, assignment, &injection)
}

struct TrialStep<'a> {
    trial: &'a Trial,
    status: TrialStatus,
    context: &'a Context<'a>,
}

impl TrialStep<'_> {
    fn after_job(self, job: &JobView, end: &JobEnd, compiled: &Compiled) -> Step {
        match (verdict(&self.status, end, compiled), end, self.context.end) {
            (Some(verdict), ..) => self.conclude(verdict, Some(job)),
            (None, _, Some(end)) => self.cut_short(end),
            (None, JobEnd::Disrupted(why), None) => self.retry(why),
            (None, _, None) => Step::default(),
        }
    }

    /// The experiment has ended: a trial that runs is stopped with what it has, one that never started is left waiting.
    fn cut_short(self, end: &End) -> Step {
        if !takes_slot(self.trial, self.context.snapshot.ledger) {
            let message = "the experiment has ended; raise limits.maxTrials to resume it";
            return self.wait(reasons::EXPERIMENT_ENDED, message.into());
        }
        let compiled = self.context.snapshot.compiled.as_ref().ok();
        let verdict = stopped(&self.status, reasons::EARLY_STOPPED, &end.message, compiled);
        self.conclude(verdict, None)
    }

    fn start(self) -> Step {
        let Some(compiled) = self.context.compiled else { return Step::default() };
        let (spec, snapshot) = (&self.trial.spec, self.context.snapshot);
        if by_hand(self.trial)
            && let Err(errors) = compiled.space.check(&spec.assignments)
        {
            let sentences = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            return self.conclude(Verdict::failed(reasons::INVALID_ASSIGNMENT, sentences, None), None);
        }
        if snapshot.experiment.spec.suspend {
            return self.wait(reasons::SUSPENDED, "the experiment is suspended".into());
        }
        if by_hand(self.trial) && !self.context.free_slot {
            return self.wait(reasons::WAITING_FOR_SLOT, "all of limits.parallelTrials are taken".into());
        }
        let job = current_job(self.trial);
        if let Some(refusal) = snapshot.facts.refused.get(&job) {
            if refusal.permanent {
                return self.conclude(Verdict::failed(reasons::JOB_REFUSED, refusal.message.clone(), None), None);
            }
            let again = later(refusal.at, RECHECK);
            if self.context.now < again {
                let mut step = self.wait(reasons::JOB_REFUSED, refusal.message.clone());
                step.wake_at = Some(again);
                return step;
            }
        }
        let (name, uid, index) = (self.trial.name_any(), self.trial.uid().unwrap_or_default(), index_of(self.trial));
        let by_hand =
            spec.manifest.is_none().then(|| rendered(compiled, &spec.experiment, &name, index, &spec.assignments));
        let Some(manifest) = by_hand.as_ref().or(spec.manifest.as_ref()) else { return Step::default() };
        let job = job_of(snapshot, compiled, (&name, &uid, index, self.status.attempt), manifest, &spec.assignments);
        Step { actions: vec![Action::CreateJob { trial: name, job: Box::new(job) }], ..Step::default() }
    }

    fn job_vanished(self) -> Step {
        let job = current_job(self.trial);
        if self.context.snapshot.facts.jobs_gone.contains(&job) {
            return self.retry("its Job was deleted");
        }
        Step { actions: vec![Action::ConfirmJob { name: job }], ..Step::default() }
    }

    fn with_job(self, job: &JobView) -> Step {
        let now = self.context.now;
        if job.deleting {
            return self.wait(reasons::PENDING, format!("Job {} is being deleted", job.name));
        }
        if job.active > 0 && job.ready > 0 {
            if started(self.trial) {
                return Step::default();
            }
            let mut patch = self.patch();
            patch.start_time = Some(stored(job.start_time.unwrap_or(now)));
            set(&mut patch.conditions, types::COMPLETE, false, reasons::RUNNING, "", None, now);
            return Step { actions: vec![self.write(patch, None)], ..Step::default() };
        }
        if started(self.trial) {
            // Between two pods of one Job.
            return Step::default();
        }
        let patient_until = later(job.created.unwrap_or(now), PATIENCE);
        if now < patient_until {
            return Step { wake_at: Some(patient_until), ..Step::default() };
        }
        match self.context.snapshot.facts.waiting.get(&job.name) {
            Some(waiting) if now < later(waiting.at, RECHECK) => {
                let why = if waiting.why.is_empty() { "no pod of its Job runs yet" } else { &waiting.why };
                let mut step = self.wait(reasons::PENDING, why.to_owned());
                step.wake_at = Some(later(waiting.at, RECHECK));
                step
            }
            _ => Step { actions: vec![Action::InspectPods { job: job.name.clone() }], ..Step::default() },
        }
    }

    /// Starts again after a failure that is not the trial's own.
    fn retry(self, why: &str) -> Step {
        let retries = self.context.snapshot.experiment.spec.failure_policy.retries;
        if self.status.attempt >= retries {
            let message = format!("interrupted {} times, the last time: {why}", self.status.attempt + 1);
            return self.conclude(Verdict::failed(reasons::RETRIES_EXHAUSTED, message, None), None);
        }
        let mut patch = self.patch();
        patch.attempt += 1;
        patch.start_time = None;
        let message = format!("attempt {} of {}: {why}", patch.attempt + 1, retries + 1);
        set(&mut patch.conditions, types::COMPLETE, false, reasons::RETRYING, message.clone(), None, self.context.now);
        let note = format!("Trial {}: {message}", self.trial.name_any());
        let event = Event { warning: true, reason: reasons::RETRYING, note };
        Step { actions: vec![self.write(patch, Some(event))], ..Step::default() }
    }

    fn conclude(self, verdict: Verdict, job: Option<&JobView>) -> Step {
        let now = self.context.now;
        let mut patch = self.patch();
        patch.start_time = patch.start_time.or_else(|| job.and_then(|job| job.start_time).map(stored));
        patch.completion_time = Some(stored(now));
        patch.objective = verdict.objective;
        let failed = verdict.ending == Ending::Failed;
        set(&mut patch.conditions, types::COMPLETE, !failed, verdict.reason, verdict.message.clone(), None, now);
        if failed {
            set(&mut patch.conditions, types::FAILED, true, verdict.reason, verdict.message.clone(), None, now);
        }
        let note = format!("Trial {}: {}", self.trial.name_any(), verdict.message);
        let event = failed.then_some(Event { warning: true, reason: verdict.reason, note });
        Step { actions: vec![self.write(patch, event)], ..Step::default() }
    }

    fn wait(self, reason: &'static str, message: String) -> Step {
        let write = write_waiting(self.trial, &self.status, reason, &message, self.context.now);
        Step { actions: write.into_iter().collect(), wake_at: None, waiting: Some((reason, message)) }
    }

    fn patch(&self) -> TrialPatch {
        patch_of(&self.status)
    }

    fn write(&self, patch: TrialPatch, event: Option<Event>) -> Action {
        write(self.trial, patch, event)
    }
}

fn patch_of(status: &TrialStatus) -> TrialPatch {
    TrialPatch {
        attempt: status.attempt,
        start_time: status.start_time,
        completion_time: status.completion_time,
        objective: status.objective,
        conditions: status.conditions.clone(),
    }
}

fn write(trial: &Trial, patch: TrialPatch, event: Option<Event>) -> Action {
    let resource_version = trial.resource_version().unwrap_or_default();
    Action::WriteTrialStatus { name: trial.name_any(), resource_version, patch: Box::new(patch), event }
}

/// Says why the trial waits; `None` when the condition says so already.
pub(super) fn write_waiting(
    trial: &Trial,
    status: &TrialStatus,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Option<Action> {
    let mut patch = patch_of(status);
    set(&mut patch.conditions, types::COMPLETE, false, reason, message, None, now);
    let same = match (find(&status.conditions, types::COMPLETE), find(&patch.conditions, types::COMPLETE)) {
        (Some(old), Some(new)) => old.reason == new.reason && old.message == new.message,
        _ => false,
    };
    (!same).then(|| write(trial, patch, None))
}
