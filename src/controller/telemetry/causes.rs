//! What a stored sentence says in one word, for labels.

use crate::api::conditions::reasons;

/// What [`interruption`] can say.
pub const ALL: [&str; 7] = ["preempted", "evicted", "node_lost", "job_deleted", "pod_deleted", "suspended", "other"];

/// Why an attempt at a trial was interrupted, of its condition; `None`: it was not.
pub fn interruption(reason: &str, message: &str) -> Option<&'static str> {
    const CAUSES: [(&str, &str); 10] = [
        ("(PreemptionByScheduler)", "preempted"),
        ("(EvictionByEvictionAPI)", "evicted"),
        ("(DeletionByTaintManager)", "node_lost"),
        ("(DeletionByPodGC)", "node_lost"),
        ("(TerminationByKubelet)", "evicted"),
        ("(NodeShutdown)", "node_lost"),
        ("(NodeRestarted)", "node_lost"),
        ("its node went down or started anew", "node_lost"),
        ("its Job was ", "job_deleted"),
        ("its pod was deleted", "pod_deleted"),
    ];
    match reason {
        reasons::RETRYING => {
            let cause = CAUSES.iter().find(|(part, _)| message.contains(part));
            Some(cause.map_or("other", |(_, cause)| cause))
        }
        reasons::PENDING if message.contains(crate::engine::PUT_OUT) => Some("suspended"),
        _ => None,
    }
}

/// Which of the rules has stopped a trial early, of its condition's sentence; `None`: none of them, but the end of its
/// experiment.
pub fn rule(message: &str) -> Option<&'static str> {
    let (name, _) = message.strip_prefix("stopped: ")?.split_once(": ")?;
    crate::engine::STOPPING_RULES.iter().map(|(rule, _)| *rule).find(|rule| *rule == name)
}

#[cfg(test)]
mod tests {
    use super::super::super::pods::disruption;
    use super::*;
    use crate::api::disruptions;
    use crate::engine::SIDECAR;
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    /// Of the sentences that `pods::disruption` makes of what real pods say.
    #[test]
    fn why_a_pod_was_taken_away() {
        let cause = |pod: Value| {
            let pod: Pod = serde_json::from_value(pod).unwrap();
            let (message, _) = disruption(&[pod]).expect("it was taken away");
            interruption(reasons::RETRYING, &format!("attempt 2: {message} (1 of 3 retries used)"))
        };
        for (reason, expected) in [
            ("PreemptionByScheduler", "preempted"),
            ("EvictionByEvictionAPI", "evicted"),
            ("TerminationByKubelet", "evicted"),
            ("DeletionByTaintManager", "node_lost"),
            ("DeletionByPodGC", "node_lost"),
            (disruptions::NODE_SHUTDOWN, "node_lost"),
            (disruptions::NODE_RESTARTED, "node_lost"),
            ("SomethingNew", "other"),
        ] {
            let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": reason});
            let pod = json!({"metadata": {"name": "p"}, "status": {"conditions": [condition]}});
            assert_eq!(cause(pod), Some(expected), "{reason}");
        }
        let killed = |name: &str| {
            json!({"name": name, "ready": false, "image": "", "imageID": "", "restartCount": 0,
            "state": {"terminated": {"exitCode": 137}}})
        };
        let status = json!({"phase": "Failed", "initContainerStatuses": [killed(SIDECAR)],
            "containerStatuses": [killed("t")]});
        assert_eq!(cause(json!({"metadata": {"name": "p"}, "status": status})), Some("node_lost"));
    }

    /// The engine's own sentences are tied to these words by its tests, which look for the same.
    #[test]
    fn what_the_engine_says() {
        for (reason, message, expected) in [
            (reasons::RETRYING, "attempt 2: its Job was deleted (1 of 3 retries used)", Some("job_deleted")),
            (reasons::RETRYING, "attempt 2: its Job was replaced by another of its name", Some("job_deleted")),
            (reasons::RETRYING, "attempt 2: its pod was deleted (1 of 3 retries used)", Some("pod_deleted")),
            (reasons::PENDING, "Job e-00000 was suspended while it ran; it begins anew", Some("suspended")),
            (reasons::PENDING, "its pod was deleted", None),
            (reasons::RUNNING, "", None),
        ] {
            assert_eq!(interruption(reason, message), expected, "{message}");
            assert!(expected.is_none_or(|cause| ALL.contains(&cause)));
        }
    }

    #[test]
    fn the_rule_that_has_stopped_a_trial() {
        // As `tests/observability/live.py` sees it of a real one.
        assert_eq!(rule("stopped: Median: step 3: 0.7 is below the median 0.8 of 5 trials"), Some("Median"));
        for other in ["stopped: the experiment has ended", "stopped: Nobody: step 3", "score = 0.5", ""] {
            assert_eq!(rule(other), None, "{other}");
        }
    }
}
