//! Pod failure policy: which rule says what about a failed pod.

use crate::local::runner::object::{FailureRule, OnExitCodes, Pod, PodFailurePolicy};

/// What a policy says about a failed pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts towards the backoff limit: by a rule, or because none matches.
    Count,
    /// It does not count.
    Ignore,
    /// The Job fails, with this message.
    FailJob(String),
}

/// The verdict of the first rule that matches.
pub fn judge(policy: Option<&PodFailurePolicy>, pod: &Pod) -> Verdict {
    let rules = policy.map(|policy| policy.rules.as_slice()).unwrap_or_default();
    for (index, rule) in rules.iter().enumerate() {
        let Some(what) = matching(rule, pod) else { continue };
        return match rule.action.as_str() {
            "FailJob" => Verdict::FailJob(format!("{what} matching FailJob rule at index {index}")),
            "Ignore" => Verdict::Ignore,
            _ => Verdict::Count,
        };
    }
    Verdict::Count
}

/// What of the pod matches the rule, in Kubernetes' words.
fn matching(rule: &FailureRule, pod: &Pod) -> Option<String> {
    let of = format!("{}/{}", pod.meta.namespace, pod.meta.name);
    if let Some(codes) = &rule.on_exit_codes {
        return pod.status.container_statuses.iter().find_map(|container| {
            let code = container.state.terminated.as_ref()?.exit_code;
            let named = codes.container_name.as_ref().is_none_or(|name| *name == container.name);
            (named && code != 0 && holds(codes, code))
                .then(|| format!("Container {} for pod {of} failed with exit code {code}", container.name))
        });
    }
    let patterns = rule.on_pod_conditions.as_deref().unwrap_or_default();
    let condition = pod.status.conditions.iter().find(|condition| {
        let status = |pattern: &Option<String>| pattern.as_deref().unwrap_or("True") == condition.status;
        patterns.iter().any(|pattern| pattern.r#type == condition.r#type && status(&pattern.status))
    })?;
    Some(format!("Pod {of} has condition {}", condition.r#type))
}

fn holds(codes: &OnExitCodes, code: i32) -> bool {
    match codes.operator.as_str() {
        "In" => codes.values.contains(&code),
        "NotIn" => !codes.values.contains(&code),
        _ => false,
    }
}
