//! A trial whose Job is there: it runs, stalls, is put out by a queue, or has run for as long as it may.

use super::action::Action;
use super::compile::length;
use super::job::{JobEnd, JobView};
use super::result::{Verdict, has_failed, out_of_time, stopped, verdict};
use super::snapshot::Pods;
use super::standing::started;
use super::status::{later, set, stored};
use super::trial::{LONGEST_LOOK, RECHECK, Step, TrialStep};
use crate::api::conditions::{reasons, types};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::Value;

/// Said of a Job that a queue has put out.
pub const PUT_OUT: &str = "was suspended while it ran";
/// How long a Job may take to get a running pod before its pods are looked at: most have one by then, and what is seen of
/// the others costs a write.
const PATIENCE: SignedDuration = SignedDuration::from_secs(10);
/// How long pods that say nothing (their images are pulled, their containers made) may take before that is told.
const SILENCE: SignedDuration = SignedDuration::from_secs(30);
/// How long a program that has ended may take to end its Job, before what else runs in its pod is looked at.
const LINGER: SignedDuration = SignedDuration::from_secs(3);

impl TrialStep<'_> {
    pub(super) fn with_job(self, job: &JobView) -> Step {
        let (now, facts) = (self.context.now, &self.context.snapshot.facts);
        if let Some(verdict) = self.out_of_time() {
            return self.conclude(verdict, Some(job));
        }
        if let Some(step) = self.diverged(job).or_else(|| self.hopeless(job)) {
            return step;
        }
        if job.deleting {
            return self.wait(reasons::PENDING, format!("Job {} is being deleted", job.name));
        }
        if job.suspended && started(self.trial) {
            return self.put_out(job);
        }
        if job.active > 0 && job.ready > 0 {
            return self.running();
        }
        let since = match started(self.trial) {
            // Between two pods of one Job.
            true => facts.unready.get(&job.name).copied(),
            false => job.created,
        };
        let since = since.unwrap_or(now);
        let mut step = self.look_at_pods(job, since);
        step.wake_at = step.wake_at.into_iter().chain(self.deadline()).min();
        step
    }

    /// No pod of the Job runs, since then.
    fn look_at_pods(&self, job: &JobView, since: Timestamp) -> Step {
        let (now, inspect) = (self.context.now, Action::InspectPods { job: job.name.clone() });
        let patient_until = later(since, if self.has_exited() { LINGER } else { PATIENCE });
        if now < patient_until {
            return Step { wake_at: Some(patient_until), ..Step::default() };
        }
        let Some(pods) = self.context.snapshot.facts.pods.get(&job.name) else { return Step::of(inspect) };
        let again = later(pods.at, pods.at.duration_since(since).clamp(RECHECK, LONGEST_LOOK));
        let others = self.others(pods);
        if others.is_empty()
            && let Some(verdict) = self.left_behind(pods)
        {
            return self.conclude(verdict, Some(job));
        }
        // What was seen last stands until the pods have been looked at again.
        let mut step = match (pods.why.as_str(), started(self.trial)) {
            _ if !others.is_empty() => self.wait(reasons::PENDING, helpers(&others)),
            // They run, or are about to end; or they may run any moment.
            ("", true) => Step::default(),
            ("", false) if now < later(since, SILENCE) => Step::default(),
            ("", false) => self.wait(reasons::PENDING, not_yet(&job.name)),
            (why, _) => self.wait(reasons::PENDING, why.to_owned()),
        };
        if now < again {
            step.wake_at = Some(again);
        } else {
            step.actions.push(inspect);
        }
        step
    }

    /// Containers that run on although the program has ended, and that the template names: they are waited for.
    fn others<'p>(&self, pods: &'p Pods) -> Vec<&'p str> {
        if !self.has_exited() {
            return Vec::new();
        }
        pods.running.iter().map(String::as_str).filter(|name| self.is_helper(name)).collect()
    }

    /// The template has a container of this name, which is not the program's.
    fn is_helper(&self, name: &str) -> bool {
        let all = self.manifest().and_then(|manifest| manifest.pointer("/spec/template/spec/containers"));
        name != self.primary() && all.and_then(Value::as_array).into_iter().flatten().any(|c| c["name"] == name)
    }

    /// Where none of the template's own runs on: the program has ended, and nothing runs but what somebody has put into its
    /// pod, such as the proxy of a service mesh. That may never end, so the end of the template's own is the trial's.
    fn left_behind(&self, pods: &Pods) -> Option<Verdict> {
        // What was seen may be older than the program's end.
        let left = !pods.running.is_empty() && !pods.running.iter().any(|name| name == self.primary());
        if !self.has_exited() || !left {
            return None;
        }
        let exit = self.status.exit.as_ref()?;
        let helper = pods.failed.iter().find(|(name, _)| self.is_helper(name));
        let (end, seen) = match (exit.code, helper) {
            (Some(0), None) => (JobEnd::Complete, pods.why.clone()),
            (Some(0), Some((name, code))) => (JobEnd::Failed(String::new()), has_failed(name, *code)),
            _ => (JobEnd::Failed(String::new()), pods.why.clone()),
        };
        let mut verdict = verdict(&self.status, &end, &seen, self.objective()?)?;
        let more_pods = self.manifest().and_then(|manifest| manifest.pointer("/spec/backoffLimit")?.as_u64()) > Some(0);
        if end != JobEnd::Complete && more_pods {
            let (message, names) = (&mut verdict.message, pods.running.join(", "));
            message.push_str(&format!(
                "; its Job's backoffLimit allows another pod, but {names} keeps this one from ending"
            ));
        }
        Some(verdict)
    }

    /// What the pods of a Job that has ended say of it: beside the program another container may have failed, or the program
    /// with its agent.
    pub(super) fn seen(&self, pods: &Pods) -> String {
        if !pods.why.is_empty() {
            return pods.why.clone();
        }
        let told = self.status.exit.as_ref().is_some_and(|exit| exit.attempt == self.status.attempt);
        let helper = pods.failed.iter().find(|(name, _)| *name != self.primary());
        let failed = helper.or_else(|| pods.failed.get_key_value(self.primary()).filter(|_| !told));
        failed.map_or_else(String::new, |(name, code)| has_failed(name, *code))
    }

    /// Name of the container with the program.
    fn primary(&self) -> &str {
        &self.context.snapshot.experiment.spec.trial_template.primary_container
    }

    /// The present attempt's program has ended and is not started again.
    fn has_exited(&self) -> bool {
        let exit = self.status.exit.as_ref().filter(|exit| exit.attempt == self.status.attempt);
        exit.is_some_and(|exit| exit.code == Some(0) || !self.restarts())
    }

    /// A pod of the Job is ready.
    fn running(self) -> Step {
        let (mut patch, now) = (self.patch(), self.context.now);
        patch.start_time = patch.start_time.or(Some(stored(now)));
        set(&mut patch.conditions, types::COMPLETE, false, reasons::RUNNING, "", None, now);
        let write = (!self.says(&patch)).then(|| self.write(patch, None));
        Step { actions: write.into_iter().collect(), wake_at: self.deadline(), waiting: None }
    }

    /// A queue has put the Job out (preempted by Kueue): it will begin anew when it is let in again.
    fn put_out(self, job: &JobView) -> Step {
        let (mut patch, now) = (self.patch(), self.context.now);
        patch.usage = self.usage();
        patch.start_time = None;
        let message = format!("Job {} {PUT_OUT}; it begins anew once it is let in again", job.name);
        set(&mut patch.conditions, types::COMPLETE, false, reasons::PENDING, message.clone(), None, now);
        Step { actions: vec![self.write(patch, None)], wake_at: None, waiting: Some((reasons::PENDING, message)) }
    }

    /// A value of an objective that is no number fails the trial, where that is wanted. What has ended by itself is left to
    /// its end.
    fn diverged(&self, job: &JobView) -> Option<Step> {
        let verdict = self.not_finite().filter(|_| !self.has_exited())?;
        Some(self.conclude(verdict, Some(job)))
    }

    /// A rule wants it stopped. What has ended by itself is left to its end.
    fn hopeless(&self, job: &JobView) -> Option<Step> {
        let decision = self.context.snapshot.ledger.jury().decision(&self.trial.name_any())?;
        if !started(self.trial) || self.has_exited() {
            return None;
        }
        let why = format!("{}: {}", decision.rule, decision.reason);
        let stopped = stopped(&self.status, reasons::EARLY_STOPPED, &why, self.objective());
        let verdict = match stopped.objective {
            Some(_) => stopped,
            None => Verdict::failed(reasons::METRIC_NOT_FINITE, stopped.message, None),
        };
        Some(self.conclude_saving(verdict, Some(job), self.saved()))
    }

    /// When the present attempt has run for as long as it may.
    fn deadline(&self) -> Option<Timestamp> {
        let most = self.context.snapshot.experiment.spec.limits.max_trial_duration.as_ref().and_then(length)?;
        self.status.start_time.map(|start| later(start, most))
    }

    fn out_of_time(&self) -> Option<Verdict> {
        let objective = self.objective()?;
        let passed = self.deadline()? <= self.context.now;
        passed.then(|| {
            out_of_time(&self.status, reasons::MAX_TRIAL_DURATION_REACHED, "limits.maxTrialDuration", objective)
        })
    }
}

/// Such as a volume's Secret that does not exist: only Kubernetes' Events tell.
fn not_yet(job: &str) -> String {
    format!("no pod of its Job runs yet; `kubectl describe pod --selector job-name={job}` tells more")
}

fn helpers(names: &[&str]) -> String {
    format!(
        "the program has ended; its Job ends when {} also ends (what only helps the program belongs into initContainers, with \
         restartPolicy: Always)",
        names.join(", ")
    )
}
