//! The life of a trial: waiting, its Job, running, its verdict; tried again when it was taken away.

use super::action::{Action, Event, TrialPatch};
use super::checkpoint::{Checkpoints, kept};
use super::claim::volume;
use super::compile::{Accepted, Compiled};
use super::ending::Ending;
use super::experiment::End;
use super::goals::{self, Reached};
use super::inject;
use super::job::{JobEnd, JobView};
use super::manifest::{Injection, Owner};
use super::membership::{adopt, by_hand, index_of, joined, not_adoptable};
use super::record::{patch_of, same_complete, write, write_waiting};
use super::result::{Verdict, ended_by_itself, judged, not_finite, stopped, unexplained, verdict, without};
use super::snapshot::{Fate, Snapshot};
use super::source::filled_in;
use super::stage::misfit;
use super::standing::{current_job, own_job, started, takes_slot};
use super::status::{later, set, stored};
use super::template::{Names, render};
use crate::api::conditions::{reasons, types};
use crate::api::{NonFinitePolicy, Objective, Trial, TrialStatus, Usage};
use crate::space::Assignment;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::Value;

/// How soon a waiting Job's pods are looked at again, and what was refused is tried again; then after as long again as it
/// has waited, up to the longest time. What is found may change each time, and each change is a write.
pub(super) const RECHECK: SignedDuration = SignedDuration::from_secs(15);
pub(super) const LONGEST_LOOK: SignedDuration = SignedDuration::from_mins(10);
const LONGEST_REFUSAL: SignedDuration = SignedDuration::from_mins(1);

/// Highest `status.attempt` that the schema allows.
const MAX_ATTEMPT: u32 = 1000;

/// What one trial does next.
#[derive(Default)]
pub(super) struct Step {
    pub actions: Vec<Action>,
    pub wake_at: Option<Timestamp>,
    /// Why it does not run, when it does not.
    pub waiting: Option<(&'static str, String)>,
}

impl Step {
    pub fn of(action: Action) -> Self {
        Step { actions: vec![action], ..Step::default() }
    }
}

/// What the step of a trial depends on besides the trial.
pub(super) struct Context<'a> {
    pub snapshot: &'a Snapshot<'a>,
    /// Whether the spec can be run.
    pub accepted: &'a Accepted<'a>,
    /// The experiment has ended or is about to.
    pub end: Option<&'a End>,
    /// There is room for one more running trial.
    pub free_slot: bool,
    pub now: Timestamp,
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
    if let Some(sentences) = step.misfit() {
        return step.conclude(Verdict::failed(reasons::INVALID_ASSIGNMENT, sentences, None), None);
    }
    if !trial.spec.result.is_empty() {
        return step.known();
    }
    let job = context.snapshot.ledger.job(&current_job(trial));
    let own = own_job(trial, context.snapshot.ledger);
    if let (Some(job), Some(objective)) = (own, step.objective())
        && let Some(end) = job.end()
    {
        return step.after_job(job, &end, objective);
    }
    if let Some(end) = context.end {
        return step.cut_short(end);
    }
    match (job, own) {
        (None, _) if started(trial) => step.job_vanished(),
        (None, _) => step.start(),
        (Some(_), None) => step.name_taken(),
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
    render(&compiled.manifest, &Names { experiment, trial, index, assignment, space: &compiled.space })
}

/// The Job of a trial, which need not exist yet.
pub(super) fn job_of(
    snapshot: &Snapshot<'_>,
    compiled: &Compiled,
    trial: (&str, &str, Option<u32>, u32),
    manifest: &Value,
    assignment: &Assignment,
    parent: Option<&str>,
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
    let source = filled_in(
        &compiled.source,
        &Names { experiment: owner.experiment, trial: name, index, assignment, space: &compiled.space },
    );
    let spec = &experiment.spec;
    let checkpoints = volume(snapshot).map(|volume| Checkpoints {
        volume,
        parent,
        keep: kept(compiled, snapshot.ledger, spec.algorithm.seed.unsigned_abs()),
    });
    let injection = Injection {
        checkpoints,
        primary_container: &experiment.spec.trial_template.primary_container,
        metrics: &compiled.metrics,
        source: &source,
        query_seconds: experiment.spec.metrics.source.prometheus_query.as_ref().map(|asked| asked.interval_seconds),
        settings: snapshot.settings,
    };
    inject::job(manifest, &owner, assignment, &injection)
}

pub(super) struct TrialStep<'a> {
    pub trial: &'a Trial,
    pub status: TrialStatus,
    pub context: &'a Context<'a>,
}

impl<'a> TrialStep<'a> {
    /// What the trial is judged by. It cannot be changed, so it holds even while the spec cannot be run.
    pub(super) fn objective(&self) -> Option<&'a Objective> {
        self.context.snapshot.experiment.spec.objectives.first()
    }

    /// The verdict on a trial that has reported what is no number, where that fails it.
    pub(super) fn not_finite(&self) -> Option<Verdict> {
        let spec = &self.context.snapshot.experiment.spec;
        match spec.failure_policy.non_finite {
            NonFinitePolicy::Ignore => None,
            NonFinitePolicy::Fail => spec.objectives.iter().find_map(|objective| not_finite(&self.status, objective)),
        }
    }

    /// Its pod's containers are started again where they fail, and such a pod does not stay once the Job has failed.
    pub(super) fn restarts(&self) -> bool {
        self.manifest().is_some_and(inject::restarts)
    }

    /// What its Job is made from.
    pub(super) fn manifest(&self) -> Option<&'a Value> {
        let compiled = self.context.snapshot.compiled.as_ref().ok().map(|compiled| &compiled.manifest);
        self.trial.spec.manifest.as_ref().or(compiled)
    }

    /// What of a Trial made by hand does not fit the search space.
    fn misfit(&self) -> Option<String> {
        let compiled = self.context.snapshot.compiled.as_ref().ok().filter(|_| by_hand(self.trial))?;
        let errors = compiled.space.check(&self.trial.spec.assignments).err().unwrap_or_default();
        let errors = errors.iter().map(ToString::to_string).chain(misfit(self.trial, compiled));
        Some(errors.collect::<Vec<_>>().join("; ")).filter(|sentences| !sentences.is_empty())
    }

    /// What comes out stands in its spec.
    fn known(&self) -> Step {
        let Some(objective) = self.objective() else { return Step::default() };
        let verdict = match self.trial.spec.result.get(&objective.metric).filter(|value| value.is_finite()) {
            Some(value) => Verdict {
                ending: Ending::Succeeded,
                reason: reasons::SUCCEEDED,
                message: "its result was known beforehand".into(),
                objective: Some(*value),
            },
            None => {
                let message = format!("spec.result has no value of {}, which is the objective", objective.metric);
                Verdict::failed(reasons::INVALID_ASSIGNMENT, message, None)
            }
        };
        self.conclude(verdict, None)
    }

    fn after_job(self, job: &JobView, end: &JobEnd, objective: &Objective) -> Step {
        let pods = self.context.snapshot.facts.pods.get(&job.name);
        if pods.is_none() && (matches!(end, JobEnd::Failed(_)) || unexplained(&self.status)) {
            return Step::of(Action::InspectPods { job: job.name.clone() });
        }
        let end = &judged(end, pods, &self.status, self.restarts() && ended_by_itself(&self.status));
        let seen = pods.map(|pods| self.seen(pods)).unwrap_or_default();
        if let (JobEnd::Complete, Some(verdict)) = (end, self.not_finite()) {
            return self.conclude(verdict, Some(job));
        }
        match (verdict(&self.status, end, &seen, objective), end, self.context.end) {
            (Some(verdict), ..) => self.conclude(verdict, Some(job)),
            (None, _, Some(end)) => self.cut_short(end),
            (None, JobEnd::Disrupted(message), None) => match pods {
                None => Step::of(Action::InspectPods { job: job.name.clone() }),
                Some(pods) => {
                    let why = if pods.why.is_empty() { message } else { &pods.why };
                    self.retry(why, pods.fate != Fate::Disrupted { machine_stopped: true })
                }
            },
            (None, _, None) => Step::default(),
        }
    }

    /// The experiment has ended: a trial that runs is stopped with what it has, one that never started is left waiting.
    fn cut_short(self, end: &End) -> Step {
        if !takes_slot(self.trial, self.context.snapshot.ledger) {
            let message = "the experiment has ended; raise limits.maxTrials to resume it";
            return self.wait(reasons::EXPERIMENT_ENDED, message.into());
        }
        let verdict = stopped(&self.status, reasons::EARLY_STOPPED, &end.message, self.objective());
        self.conclude(verdict, None)
    }

    fn start(self) -> Step {
        let (spec, snapshot) = (&self.trial.spec, self.context.snapshot);
        let not_accepted = match self.context.accepted {
            Accepted::No(problem) => Some(&problem.message),
            Accepted::Refused(sentence) if by_hand(self.trial) => Some(sentence),
            Accepted::Asking if by_hand(self.trial) => return Step::default(),
            _ => None,
        };
        if let Some(why) = not_accepted {
            return self.wait(reasons::EXPERIMENT_NOT_ACCEPTED, format!("the Experiment is not accepted: {why}"));
        }
        let Ok(compiled) = snapshot.compiled else { return Step::default() };
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
            let made = self.trial.metadata.creation_timestamp.as_ref().map_or(refusal.at, |time| time.0);
            let again = later(refusal.at, refusal.at.duration_since(made).clamp(RECHECK, LONGEST_REFUSAL));
            if self.context.now < again {
                let mut step = self.wait(reasons::JOB_REFUSED, refusal.message.clone());
                step.wake_at = Some(again);
                return step;
            }
        }
        // What was said last stands until the API server has answered again.
        let waiting = snapshot.facts.refused.get(&job).map(|refusal| (reasons::JOB_REFUSED, refusal.message.clone()));
        let (name, uid, index) = (self.trial.name_any(), self.trial.uid().unwrap_or_default(), index_of(self.trial));
        let told = compiled.told(&spec.assignments, spec.fidelity);
        let by_hand = spec.manifest.is_none().then(|| rendered(compiled, &spec.experiment, &name, index, &told));
        let Some(manifest) = by_hand.as_ref().or(spec.manifest.as_ref()) else { return Step::default() };
        let parent = spec.parent.as_ref().map(|parent| parent.name.as_str());
        let trial = (name.as_str(), uid.as_str(), index, self.status.attempt);
        let job = job_of(snapshot, compiled, trial, manifest, &told, parent);
        Step { waiting, ..Step::of(Action::CreateJob { trial: name, job: Box::new(job) }) }
    }

    fn job_vanished(self) -> Step {
        let job = current_job(self.trial);
        if self.context.snapshot.facts.jobs_gone.contains(&job) {
            return self.retry("its Job was deleted", true);
        }
        Step::of(Action::ConfirmJob { name: job })
    }

    /// A Job of the present attempt's name exists that is not the trial's.
    fn name_taken(self) -> Step {
        let job = current_job(self.trial);
        if started(self.trial) {
            return self.retry("its Job was replaced by another of its name", true);
        }
        if (1..MAX_ATTEMPT).contains(&self.status.attempt) {
            // Any further number will do.
            return self.again(&format!("a Job {job} exists that is not this trial's"));
        }
        self.wait(reasons::NAME_TAKEN, format!("a Job {job} exists that is not this trial's; delete it"))
    }

    /// Starts again after a failure that is not the trial's own. `counted`: it uses up one of the retries.
    fn retry(mut self, why: &str, counted: bool) -> Step {
        let retries = self.context.snapshot.experiment.spec.failure_policy.retries;
        let interruptions = self.status.interruptions.saturating_add(u32::from(counted));
        if interruptions > retries || self.status.attempt >= MAX_ATTEMPT {
            let message = format!(
                "interrupted {interruptions} times, the last time: {why}; failurePolicy.retries allows {retries}"
            );
            return self.conclude(Verdict::failed(reasons::RETRIES_EXHAUSTED, message, None), None);
        }
        self.status.interruptions = interruptions;
        self.again(why)
    }

    fn again(self, why: &str) -> Step {
        let retries = self.context.snapshot.experiment.spec.failure_policy.retries;
        let mut patch = self.patch();
        patch.usage = self.usage();
        patch.attempt = patch.attempt.saturating_add(1);
        patch.start_time = None;
        let (attempt, used) = (u64::from(patch.attempt) + 1, patch.interruptions);
        let message = format!("attempt {attempt}: {why} ({used} of {retries} retries used)");
        set(&mut patch.conditions, types::COMPLETE, false, reasons::RETRYING, message.clone(), None, self.context.now);
        let event = Event { warning: true, reason: reasons::RETRYING, note: message };
        Step::of(self.write(patch, Some(event)))
    }

    pub(super) fn conclude(&self, verdict: Verdict, job: Option<&JobView>) -> Step {
        self.conclude_saving(verdict, job, Usage::default())
    }

    /// What it has reached, where it has a value of the first objective: each other objective and constraint needs one, too.
    fn reached(&self, verdict: Verdict) -> (Verdict, Reached) {
        let spec = &self.context.snapshot.experiment.spec;
        if verdict.objective.is_none() || verdict.ending == Ending::Failed {
            return (verdict, Reached::default());
        }
        let result = &self.trial.spec.result;
        let reached = if result.is_empty() { goals::reached(spec, &self.status) } else { goals::known(spec, result) };
        match (reached, verdict.ending) {
            (Ok(reached), _) => (verdict, reached),
            (Err(missing), _) if !result.is_empty() => {
                let message =
                    format!("spec.result has no value of {}, which {} names", missing.wanted.metric, missing.field);
                (Verdict::failed(reasons::INVALID_ASSIGNMENT, message, None), Reached::default())
            }
            (Err(missing), Ending::Succeeded) => {
                let (reason, why) = without(&self.status, &missing.wanted.metric, &missing.field);
                let message = format!("the program ended well, but {why}");
                (Verdict::failed(reason, message, None), Reached::default())
            }
            // Stopped before it had said all: it counts as stopped, without a result.
            (Err(_), _) => (Verdict { objective: None, ..verdict }, Reached::default()),
        }
    }

    /// `saved`: what ending it now rather than later saves.
    pub(super) fn conclude_saving(&self, verdict: Verdict, job: Option<&JobView>, saved: Usage) -> Step {
        let now = self.context.now;
        let (verdict, reached) = self.reached(verdict);
        let mut patch = self.patch();
        patch.start_time = patch.start_time.or_else(|| job.and_then(|job| job.start_time).map(stored));
        patch.usage = self.usage().plus(saved);
        patch.completion_time = Some(stored(now));
        patch.objective = verdict.objective;
        patch.objectives = if reached.values.len() > 1 { reached.values } else { Vec::new() };
        patch.excesses = reached.excesses;
        let failed = verdict.ending == Ending::Failed;
        set(&mut patch.conditions, types::COMPLETE, !failed, verdict.reason, verdict.message.clone(), None, now);
        if failed {
            set(&mut patch.conditions, types::FAILED, true, verdict.reason, verdict.message.clone(), None, now);
        }
        let event = failed.then_some(Event { warning: true, reason: verdict.reason, note: verdict.message });
        Step::of(self.write(patch, event))
    }

    pub(super) fn wait(&self, reason: &'static str, message: String) -> Step {
        let write = write_waiting(self.trial, &self.status, reason, &message, self.context.now);
        Step { actions: write.into_iter().collect(), wake_at: None, waiting: Some((reason, message)) }
    }

    pub(super) fn patch(&self) -> TrialPatch {
        patch_of(&self.status)
    }

    /// The stored status says so already.
    pub(super) fn says(&self, patch: &TrialPatch) -> bool {
        self.status.start_time == patch.start_time && same_complete(&self.status.conditions, &patch.conditions)
    }

    pub(super) fn write(&self, patch: TrialPatch, event: Option<Event>) -> Action {
        write(self.trial, patch, event)
    }
}
