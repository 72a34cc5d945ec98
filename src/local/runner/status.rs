//! A pod's status, from where it stands on this machine. PURE.

use super::admit::RestartPolicy;
use super::object::{Pod, seconds};
use super::process::Exit;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Where a pod stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// No slot is free: why.
    Unscheduled(String),
    /// It has a slot, and its process is not started yet: a reason and a sentence.
    Waiting(&'static str, String),
    /// Its process runs.
    Running(Running),
    /// Its process has ended and will be started again.
    Restarting {
        /// How often it was started again so far.
        restarts: u32,
        /// How it ended last.
        last: Ended,
    },
    /// It has ended for good.
    Ended {
        /// How often its process was started again.
        restarts: u32,
        /// How its process ended; `None`: it never ran, or nobody saw it end.
        last: Option<Ended>,
        /// Why.
        outcome: Outcome,
    },
}

/// A process that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// Since when.
    pub started_at: Timestamp,
    /// How often it was started again.
    pub restarts: u32,
    /// How it ended before that.
    pub last: Option<Ended>,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Exit code and signal.
    pub exit: Exit,
    /// Such as `Completed`, `Error` or `StartError`.
    pub reason: &'static str,
    /// Its last words.
    pub message: String,
    /// When it was started; `None`: it could not be.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// Why a pod has ended for good.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Its process decides: exit code 0 is success.
    Exited,
    /// It failed for another reason: reason and message.
    Failed(&'static str, String),
    /// It was taken away from a program that was not at fault: reason and message of condition `DisruptionTarget`.
    Disrupted(&'static str, String),
}

impl Ended {
    /// A process that was started and ended.
    pub fn after(exit: Exit, message: String, started_at: Timestamp, finished_at: Timestamp) -> Self {
        let reason = if exit.code == 0 { "Completed" } else { "Error" };
        Self { exit, reason, message, started_at: Some(started_at), finished_at }
    }

    /// A process that could not be started, with the exit code of container runtimes.
    pub fn start_error(message: String, at: Timestamp) -> Self {
        let exit = Exit { code: 128, signal: None };
        Self { exit, reason: "StartError", message, started_at: None, finished_at: at }
    }

    /// Whether the container is started again.
    pub fn restarts_under(&self, policy: RestartPolicy) -> bool {
        match policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => self.exit.code != 0,
            RestartPolicy::Never => false,
        }
    }

    fn to_json(&self) -> Value {
        let mut terminated = json!({
            "exitCode": self.exit.code,
            "reason": self.reason,
            "finishedAt": seconds(self.finished_at),
            "startedAt": self.started_at.map_or(Timestamp::UNIX_EPOCH, seconds),
        });
        if let Some(signal) = self.exit.signal {
            terminated["signal"] = signal.into();
        }
        if !self.message.is_empty() {
            terminated["message"] = self.message.clone().into();
        }
        json!({"terminated": terminated})
    }
}

impl Standing {
    /// The phase that Kubernetes calls it.
    pub fn phase(&self) -> &'static str {
        match self {
            Standing::Unscheduled(_) | Standing::Waiting(..) => "Pending",
            Standing::Running(_) | Standing::Restarting { .. } => "Running",
            Standing::Ended { last: Some(last), outcome: Outcome::Exited, .. } if last.exit.code == 0 => "Succeeded",
            Standing::Ended { .. } => "Failed",
        }
    }

    /// A merge patch for the pod's status. What does not hold any more is set to null.
    pub fn patch(&self, pod: &Pod, now: Timestamp) -> Value {
        let (reason, message) = match self {
            Standing::Ended {
                outcome: Outcome::Failed(reason, message) | Outcome::Disrupted(reason, message), ..
            } => (Some(*reason), Some(message)),
            _ => (None, None),
        };
        let scheduled = !matches!(self, Standing::Unscheduled(_));
        json!({
            "phase": self.phase(),
            "reason": reason,
            "message": message,
            "startTime": scheduled.then(|| pod.status.start_time.unwrap_or_else(|| seconds(now))),
            "hostIP": scheduled.then_some("127.0.0.1"),
            "podIP": matches!(self, Standing::Running(_)).then_some("127.0.0.1"),
            "conditions": self.conditions(pod, now),
            "containerStatuses": scheduled.then(|| vec![self.container(&pod.spec)]),
        })
    }

    fn conditions(&self, pod: &Pod, now: Timestamp) -> Value {
        let condition = |r#type: &str, status: bool, reason: Option<&str>, message: Option<&str>| {
            let status = if status { "True" } else { "False" };
            let known = pod.status.conditions.iter().find(|it| it.r#type == r#type && it.status == status);
            let since = known.and_then(|it| it.last_transition_time).unwrap_or_else(|| seconds(now));
            let mut condition =
                json!({"type": r#type, "status": status, "lastProbeTime": null, "lastTransitionTime": since});
            for (key, value) in [("reason", reason), ("message", message)] {
                if let Some(value) = value {
                    condition[key] = value.into();
                }
            }
            condition
        };
        if let Standing::Unscheduled(message) = self {
            return json!([condition("PodScheduled", false, Some("Unschedulable"), Some(message))]);
        }
        let running = matches!(self, Standing::Running(_));
        let (completed, unready) = (Some("PodCompleted"), Some("ContainersNotReady"));
        let why = match (running, self.phase()) {
            (true, _) => None,
            (_, "Succeeded") => completed,
            (_, "Failed") => Some("PodFailed"),
            _ => unready,
        };
        let mut all = vec![
            condition("PodScheduled", true, None, None),
            condition("Initialized", true, None, None),
            condition("ContainersReady", running, why, None),
            condition("Ready", running, why, None),
        ];
        if let Standing::Ended { outcome: Outcome::Disrupted(reason, message), .. } = self {
            all.push(condition("DisruptionTarget", true, Some(reason), Some(message)));
        }
        all.into()
    }

    fn container(&self, spec: &Value) -> Value {
        let container = spec.pointer("/containers/0").unwrap_or(&Value::Null);
        let text = |field: &str| container.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let waiting = |reason: &str, message: &str| match message {
            "" => json!({"waiting": {"reason": reason}}),
            _ => json!({"waiting": {"reason": reason, "message": message}}),
        };
        let none = || json!({});
        let (restarts, state, last) = match self {
            Standing::Unscheduled(_) => (0, none(), none()),
            Standing::Waiting(reason, message) => (0, waiting(reason, message), none()),
            Standing::Running(Running { started_at, restarts, last }) => {
                let state = json!({"running": {"startedAt": seconds(*started_at)}});
                (*restarts, state, last.as_ref().map_or_else(none, Ended::to_json))
            }
            Standing::Restarting { restarts, last } => {
                let message = "the container is started again after a pause that doubles each time";
                (*restarts, waiting("CrashLoopBackOff", message), last.to_json())
            }
            Standing::Ended { restarts, last: Some(last), .. } => (*restarts, last.to_json(), none()),
            // No exit code: what nobody saw end must not look like a failure of the program.
            Standing::Ended { restarts, last: None, outcome } => {
                let reason = match outcome {
                    Outcome::Exited => "ContainerCreating",
                    Outcome::Failed(reason, _) => reason,
                    Outcome::Disrupted(..) => "ContainerStatusUnknown",
                };
                (*restarts, waiting(reason, ""), none())
            }
        };
        let running = matches!(self, Standing::Running(_));
        json!({
            "name": text("name"), "image": text("image"), "imageID": "", "ready": running, "started": running,
            "restartCount": restarts, "state": state, "lastState": last,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn pod() -> Pod {
        Pod::read(&json!({
            "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "train", "image": "i"}]},
            "status": {"conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "1970-01-01T00:00:01Z"}]},
        }))
    }

    fn ended(code: i32) -> Ended {
        Ended::after(Exit { code, signal: None }, "words".into(), at(5), at(9))
    }

    #[test]
    fn phases_and_states() {
        let end = |last, outcome| Standing::Ended { restarts: 0, last, outcome };
        let running = Standing::Running(Running { started_at: at(5), restarts: 2, last: Some(ended(1)) });
        let disrupted = || Outcome::Disrupted("NodeRestarted", "gone".into());
        for (standing, phase, state) in [
            (Standing::Waiting("ContainerCreating", String::new()), "Pending", "waiting"),
            (running, "Running", "running"),
            (Standing::Restarting { restarts: 1, last: ended(1) }, "Running", "waiting"),
            (end(Some(ended(0)), Outcome::Exited), "Succeeded", "terminated"),
            (end(Some(ended(3)), Outcome::Exited), "Failed", "terminated"),
            (end(Some(ended(0)), disrupted()), "Failed", "terminated"),
            (end(None, disrupted()), "Failed", "waiting"),
            (end(None, Outcome::Failed("Unsupported", "no".into())), "Failed", "waiting"),
            (end(Some(Ended::start_error("no".into(), at(9))), Outcome::Exited), "Failed", "terminated"),
        ] {
            let patch = standing.patch(&pod(), at(10));
            assert_eq!(patch["phase"], phase);
            assert!(patch["containerStatuses"][0]["state"].get(state).is_some(), "{patch}");
            let disruption = patch["conditions"].as_array().unwrap().iter().any(|it| it["type"] == "DisruptionTarget");
            assert_eq!(disruption, patch["reason"] == "NodeRestarted");
        }
    }

    #[test]
    fn a_condition_keeps_the_time_since_when_it_holds() {
        let patch = Standing::Waiting("ContainerCreating", String::new()).patch(&pod(), at(10));
        assert_eq!(patch["conditions"][0]["lastTransitionTime"], "1970-01-01T00:00:01Z");
        assert_eq!(patch["conditions"][3]["lastTransitionTime"], "1970-01-01T00:00:10Z");
        let patch = Standing::Unscheduled("why".into()).patch(&pod(), at(10));
        assert_eq!(
            patch["conditions"],
            json!([{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "why",
                "lastProbeTime": null, "lastTransitionTime": "1970-01-01T00:00:10Z",
            }])
        );
        assert_eq!(patch["containerStatuses"], Value::Null);
    }

    #[test]
    fn a_failed_process_tells_how() {
        let mut last = ended(143);
        last.exit.signal = Some(15);
        let standing = Standing::Ended { restarts: 1, last: Some(last), outcome: Outcome::Exited };
        let container = &standing.patch(&pod(), at(10))["containerStatuses"][0];
        assert_eq!(
            container["state"]["terminated"],
            json!({
                "exitCode": 143, "signal": 15, "reason": "Error", "message": "words",
                "startedAt": "1970-01-01T00:00:05Z", "finishedAt": "1970-01-01T00:00:09Z",
            })
        );
        assert_eq!((&container["name"], &container["restartCount"]), (&json!("train"), &json!(1)));
    }

    #[test]
    fn restart_policies() {
        for (policy, after_success, after_failure) in [
            (RestartPolicy::Always, true, true),
            (RestartPolicy::OnFailure, false, true),
            (RestartPolicy::Never, false, false),
        ] {
            assert_eq!(ended(0).restarts_under(policy), after_success);
            assert_eq!(ended(1).restarts_under(policy), after_failure);
        }
    }
}
