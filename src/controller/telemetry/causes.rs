//! What a stored sentence says in one word, for labels.

/// Why an attempt at a trial was interrupted, of its condition's sentence: preempted, evicted, node_lost, job_deleted, other.
pub fn retry(message: &str) -> &'static str {
    const CAUSES: [(&str, &str); 9] = [
        ("(PreemptionByScheduler)", "preempted"),
        ("(EvictionByEvictionAPI)", "evicted"),
        ("(DeletionByTaintManager)", "node_lost"),
        ("(DeletionByPodGC)", "node_lost"),
        ("(TerminationByKubelet)", "evicted"),
        ("(NodeShutdown)", "node_lost"),
        ("(NodeRestarted)", "node_lost"),
        ("its node went down or started anew", "node_lost"),
        ("its Job was ", "job_deleted"),
    ];
    CAUSES.iter().find(|(part, _)| message.contains(part)).map_or("other", |(_, cause)| cause)
}

/// Which of the rules has stopped a trial early, of its condition's sentence; `None`: none of them, but the end of its
/// experiment.
pub fn rule(message: &str) -> Option<&'static str> {
    let (name, _) = message.strip_prefix("stopped: ")?.split_once(": ")?;
    crate::engine::STOPPING_RULES.iter().map(|(rule, _)| *rule).find(|rule| *rule == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_that_has_stopped_a_trial() {
        // As `tests/observability/live.py` sees it of a real one.
        assert_eq!(rule("stopped: Median: step 3: 0.7 is below the median 0.8 of 5 trials"), Some("Median"));
        for other in ["stopped: the experiment has ended", "stopped: Nobody: step 3", "score = 0.5", ""] {
            assert_eq!(rule(other), None, "{other}");
        }
    }
}
