//! Why a Job cannot make its pod: a quota, a LimitRange or a policy. Kubernetes says so in Events of the Job alone.

use super::job::SlimJob;
use super::wire::timed;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

/// The latest sentence that the Job controller has said of pods that it could not make; `None`: it has said nothing, or
/// Events may not be read here.
pub async fn refusal(client: &Client, namespace: &str, job: &SlimJob) -> Option<String> {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let selector = format!("regarding.uid={},reason=FailedCreate", job.uid()?);
    let params = ListParams::default().fields(&selector).limit(20);
    let what = format!("list Events of Job {namespace}/{}", job.name_any());
    let events = match timed(what, api.list(&params)).await {
        Ok(events) => events.items,
        Err(failure) => {
            tracing::debug!(namespace, job = job.name_any(), error = failure.message, "no Events");
            return None;
        }
    };
    let latest = events.into_iter().max_by_key(|event| {
        let series = event.series.as_ref().map(|series| series.last_observed_time.0);
        let last = event.deprecated_last_timestamp.as_ref().map(|time| time.0);
        series.or(last).or(event.event_time.as_ref().map(|time| time.0))
    })?;
    latest.note.as_deref().map(sentence)
}

/// Without the pod's name, which is another one in each attempt.
fn sentence(note: &str) -> String {
    let what = note.split_once("is forbidden: ").map_or(note, |(_, what)| what);
    let what = what.strip_prefix("Error creating: ").unwrap_or(what).trim();
    let agent = match what.contains("per Container") || what.contains("per Pod") {
        true => " (a container of a pod is the agent's, of the size that agentResources of the operator's chart says)",
        false => "",
    };
    format!("its Job cannot make a pod: {what}{agent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_said_without_the_name_of_a_pod() {
        let table = [
            (
                "Error creating: pods \"t-1-x7k2p\" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, \
                 used: requests.nvidia.com/gpu=4, limited: requests.nvidia.com/gpu=4",
                "its Job cannot make a pod: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, used: \
                 requests.nvidia.com/gpu=4, limited: requests.nvidia.com/gpu=4",
            ),
            (
                "Error creating: pods \"t-1-x7k2p\" is forbidden: minimum memory usage per Container is 64Mi, but request is 32Mi",
                "its Job cannot make a pod: minimum memory usage per Container is 64Mi, but request is 32Mi (a container of a \
                 pod is the agent's, of the size that agentResources of the operator's chart says)",
            ),
            (
                "Error creating: Internal error occurred: failed calling webhook \"pods.example.com\": no answer",
                "its Job cannot make a pod: Internal error occurred: failed calling webhook \"pods.example.com\": no answer",
            ),
        ];
        for (note, said) in table {
            assert_eq!(sentence(note), said);
        }
    }
}
