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
    let (name, _) = message.split_once(": ")?;
    crate::engine::STOPPING_RULES.iter().map(|(rule, _)| *rule).find(|rule| *rule == name)
}
