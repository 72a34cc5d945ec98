//! What trials use: time, and GPUs times time. What a rule that stops a trial early saves is estimated.

use super::snapshot::Snapshot;
use super::standing::{own_job, started};
use super::status::later;
use super::trial::TrialStep;
use crate::api::{ExperimentSpec, ExperimentStatus, Trial, Usage};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// How many GPUs the pods of a Job take: whatever their vendor calls them.
pub(super) fn gpus(manifest: &Value) -> u64 {
    let containers = manifest.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    let of_a_pod = containers.into_iter().flatten().map(of_a_container).fold(0, u64::saturating_add);
    let pods = manifest.pointer("/spec/parallelism").and_then(Value::as_u64).unwrap_or(1);
    of_a_pod.saturating_mul(pods)
}

fn of_a_container(container: &Value) -> u64 {
    let of = |kind: &str| {
        let resources = container.pointer(kind).and_then(Value::as_object).into_iter().flatten();
        resources.filter(|(name, _)| is_gpu(name)).map(|(_, quantity)| whole(quantity)).fold(0, u64::saturating_add)
    };
    // Kubernetes takes a limit for a request where there is none; for such devices the two are the same.
    of("/resources/limits").max(of("/resources/requests"))
}

/// `nvidia.com/gpu`, `amd.com/gpu`, `gpu.intel.com/i915`, `nvidia.com/mig-1g.5gb`.
fn is_gpu(resource: &str) -> bool {
    match resource.split_once('/') {
        Some((domain, name)) => name == "gpu" || name.starts_with("mig-") || domain.starts_with("gpu."),
        None => false,
    }
}

/// Devices are whole: `2` or `"2"`.
fn whole(quantity: &Value) -> u64 {
    quantity.as_u64().or_else(|| quantity.as_str()?.parse().ok()).unwrap_or(0)
}

/// The usage and so much more.
fn longer(before: Usage, run: SignedDuration, gpus: u64) -> Usage {
    // Rounded, so that many short runs are not all of no length.
    let seconds = u64::try_from((run.as_millis() + 500) / 1000).unwrap_or(0);
    Usage { seconds, gpu_seconds: seconds.saturating_mul(gpus), ..Usage::default() }.plus(before)
}

/// What all attempts of a trial that has not ended have used until now. It never goes down.
fn used(trial: &Trial, snapshot: &Snapshot<'_>, now: Timestamp) -> Usage {
    let status = trial.status.as_ref();
    let before = status.map_or_else(Usage::default, |status| status.usage);
    let ended = own_job(trial, snapshot.ledger).filter(|job| job.has_ended());
    let start = status.and_then(|status| status.start_time).or_else(|| ended.and_then(|job| job.start_time));
    let end = ended.and_then(|job| job.ended).unwrap_or(now);
    let run = start.map_or(SignedDuration::ZERO, |start| end.duration_since(start));
    longer(before, run, gpus(manifest(trial, snapshot)))
}

fn manifest<'a>(trial: &'a Trial, snapshot: &'a Snapshot<'_>) -> &'a Value {
    trial.spec.manifest.as_ref().unwrap_or(&snapshot.experiment.spec.trial_template.manifest)
}

impl TrialStep<'_> {
    /// What all its attempts have used until now.
    pub(super) fn usage(&self) -> Usage {
        used(self.trial, self.context.snapshot, self.context.now)
    }

    /// How much longer the present attempt would take, if its further steps took as long as those before, and if it took as
    /// many as other trials do.
    pub(super) fn saved(&self) -> Usage {
        let steps = self.objective().and_then(|objective| {
            let summary = self.status.metrics.iter().find(|summary| summary.name == objective.metric)?;
            summary.latest_step.filter(|steps| *steps > 0)
        });
        let (Some(steps), Some(whole)) = (steps, self.context.snapshot.ledger.jury().whole()) else {
            return Usage::default();
        };
        let left = whole.saturating_sub(steps) as f64 / steps as f64;
        let run = self.usage().minus(self.status.usage);
        Usage {
            saved_seconds: (run.seconds as f64 * left) as u64,
            saved_gpu_seconds: (run.gpu_seconds as f64 * left) as u64,
            ..Usage::default()
        }
    }
}

/// Whether `limits.maxGpuHours` is no more than this.
pub(super) fn reaches(gpu_seconds: u64, spec: &ExperimentSpec) -> bool {
    most(spec).is_some_and(|most| gpu_seconds as f64 >= most)
}

/// `limits.maxGpuHours`, in GPU seconds.
fn most(spec: &ExperimentSpec) -> Option<f64> {
    spec.limits.max_gpu_hours.map(|hours| hours * 3600.0)
}

/// Whether `limits.maxGpuHours` is used up.
pub(super) fn used_up(snapshot: &Snapshot<'_>, status: &ExperimentStatus, now: Timestamp) -> bool {
    most(&snapshot.experiment.spec).is_some_and(|most| spent(snapshot, status, now) as f64 >= most)
}

/// The GPU seconds of all trials until now.
fn spent(snapshot: &Snapshot<'_>, status: &ExperimentStatus, now: Timestamp) -> u64 {
    let active = snapshot.ledger.active().map(|trial| used(trial, snapshot, now).gpu_seconds);
    active.fold(status.usage.gpu_seconds, u64::saturating_add)
}

/// When `limits.maxGpuHours` will be used up by the trials that run; `None`: never.
pub(super) fn used_up_at(snapshot: &Snapshot<'_>, status: &ExperimentStatus, now: Timestamp) -> Option<Timestamp> {
    let most = most(&snapshot.experiment.spec)?;
    let runs = snapshot.ledger.active().filter(|trial| started(trial));
    let running = runs.map(|trial| gpus(manifest(trial, snapshot))).fold(0, u64::saturating_add);
    let left = (most - spent(snapshot, status, now) as f64) / running as f64;
    if !left.is_finite() || left <= 0.0 {
        return None;
    }
    // Whole seconds are counted, of each trial from its own start.
    let left = SignedDuration::try_from_secs_f64(left.ceil()).unwrap_or(SignedDuration::MAX);
    Some(later(now, left.max(SignedDuration::from_secs(1))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn gpus_of_a_job() {
        let job = |containers: Value, parallelism: Value| json!({"spec": {"parallelism": parallelism, "template": {"spec": {"containers": containers}}}});
        let limits = |limits: Value| json!([{"name": "a", "resources": {"limits": limits}}]);
        let table = [
            (json!({}), 0),
            (job(json!([{"name": "a"}]), json!(null)), 0),
            (job(limits(json!({"cpu": "2", "memory": "4Gi"})), json!(null)), 0),
            (job(limits(json!({"nvidia.com/gpu": 1})), json!(null)), 1),
            (job(limits(json!({"amd.com/gpu": "2"})), json!(3)), 6),
            (job(limits(json!({"gpu.intel.com/i915": "1", "nvidia.com/mig-1g.5gb": 2})), json!(null)), 3),
            (job(json!([{"resources": {"requests": {"nvidia.com/gpu": 4}}}, {"name": "b"}]), json!(null)), 4),
            (job(limits(json!({"nvidia.com/gpu": "many"})), json!(null)), 0),
            (job(limits(json!({"nvidia.com/gpu": u64::MAX})), json!(7)), u64::MAX),
        ];
        for (manifest, expected) in table {
            assert_eq!(gpus(&manifest), expected, "{manifest}");
        }
    }

    #[test]
    fn adds_up_attempts() {
        let first = longer(Usage::default(), SignedDuration::from_secs(10), 2);
        let second = longer(first, SignedDuration::from_millis(5_900), 2);
        assert_eq!((second.seconds, second.gpu_seconds), (16, 32), "rounded");
        assert_eq!(longer(second, SignedDuration::from_secs(-5), 2), second, "a clock that went back");
        let most = longer(second, SignedDuration::MAX, u64::MAX);
        assert_eq!(most.gpu_seconds, (1 << 53) - 1, "the largest that is stored");
    }
}
