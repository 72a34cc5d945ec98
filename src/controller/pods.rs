//! Why a Job's pods do not run, in a sentence.

use crate::api::disruptions;
use crate::engine::{Fate, SIDECAR};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use kube::ResourceExt;
use std::collections::BTreeMap;

/// Label by which Kueue's users name the queue of a Job.
const QUEUE: &str = "kueue.x-k8s.io/queue-name";

/// Why none of these pods of a Job runs; empty when they do not say.
pub fn why(job: &str, suspended: bool, job_labels: &BTreeMap<String, String>, pods: &[Pod]) -> String {
    if suspended {
        return match job_labels.get(QUEUE) {
            Some(queue) => format!("its Job is suspended until queue {queue} lets it in"),
            None => "its Job is suspended; whoever suspended it must let it run (spec.suspend: false)".into(),
        };
    }
    if pods.is_empty() {
        return format!(
            "its Job has no pod yet; `kubectl describe job {job}` tells whether a quota, a LimitRange or a policy is in the \
             way (a container of a pod is the agent's, of the size that agentResources of the operator's chart says)"
        );
    }
    pods.iter().find_map(of_pod).unwrap_or_default()
}

/// Those before it were replaced.
fn latest(pods: &[Pod]) -> Option<&Pod> {
    pods.iter().max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

/// Names of the latest pod's containers that run on, or are to be started (again), although another of them has ended.
pub fn running(pods: &[Pod]) -> Vec<String> {
    let Some(pod) = latest(pods).filter(|pod| containers(pod).iter().any(has_ended)) else { return Vec::new() };
    let runs = |container: &&ContainerStatus| {
        let code = end(container).map(|ended| ended.exit_code);
        code.is_none_or(|code| code != 0 && restarts(pod, &container.name))
    };
    containers(pod).iter().filter(runs).map(|container| container.name.clone()).collect()
}

/// Names and exit codes of the latest pod's containers that have failed and are not started again.
pub fn failed(pods: &[Pod]) -> BTreeMap<String, i32> {
    let Some(pod) = latest(pods) else { return BTreeMap::new() };
    let for_good = containers(pod).iter().filter(|container| !restarts(pod, &container.name));
    let failed = for_good.filter_map(|container| {
        let code = end(container)?.exit_code;
        (code != 0).then(|| (container.name.clone(), code))
    });
    failed.collect()
}

fn containers(pod: &Pod) -> &[ContainerStatus] {
    pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default()
}

/// This container is started again where it fails.
fn restarts(pod: &Pod, container: &str) -> bool {
    let Some(spec) = pod.spec.as_ref() else { return false };
    let own =
        spec.containers.iter().find(|found| found.name == container).and_then(|found| found.restart_policy.as_ref());
    own.or(spec.restart_policy.as_ref()).is_some_and(|policy| policy != "Never")
}

fn end(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    container.state.as_ref()?.terminated.as_ref()
}

fn has_ended(container: &ContainerStatus) -> bool {
    end(container).is_some()
}

/// Why the latest of these pods was taken away; `None`: it was not.
pub fn disruption(pods: &[Pod]) -> Option<(String, Fate)> {
    let pod = latest(pods)?;
    marked(pod).or_else(|| went_down(pod))
}

fn marked(pod: &Pod) -> Option<(String, Fate)> {
    let mut conditions = pod.status.as_ref()?.conditions.iter().flatten();
    let found = conditions.find(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True")?;
    let reason = found.reason.as_deref().unwrap_or("no reason given");
    let message = found.message.as_deref().unwrap_or_default();
    let machine_stopped = matches!(reason, disruptions::NODE_SHUTDOWN | disruptions::NODE_RESTARTED);
    Some((format!("pod {} was taken away ({reason}): {message}", pod.name_any()), Fate::Disrupted { machine_stopped }))
}

/// The machine went down under all of the pod, and Kubernetes says no more than that its containers were killed. The agent
/// beside the program is never killed otherwise: once the program has ended it is told to end, and does.
fn went_down(pod: &Pod) -> Option<(String, Fate)> {
    let status = pod.status.as_ref().filter(|status| status.phase.as_deref() == Some("Failed"))?;
    let agent = status.init_container_statuses.iter().flatten().find(|container| container.name == SIDECAR)?;
    let program = status.container_statuses.iter().flatten().find(|container| was_killed(container))?;
    was_killed(agent).then(|| {
        let (name, program) = (pod.name_any(), &program.name);
        let message =
            format!("pod {name}: container {program} and its agent were killed: its node went down or started anew");
        (message, Fate::Disrupted { machine_stopped: false })
    })
}

/// By a signal, or while nobody looked. Not for its memory: that is a fault of its own.
fn was_killed(container: &ContainerStatus) -> bool {
    const KILLED: i32 = 128 + 9;
    let ended = container.state.as_ref().and_then(|state| state.terminated.as_ref());
    ended.is_some_and(|ended| match ended.reason.as_deref() {
        Some("Unknown" | "ContainerStatusUnknown") => true,
        Some("OOMKilled") => false,
        _ => ended.exit_code == KILLED,
    })
}

fn of_pod(pod: &Pod) -> Option<String> {
    let (name, status) = (pod.name_any(), pod.status.as_ref()?);
    let unschedulable = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unschedulable {
        let reason = condition.reason.as_deref().unwrap_or("Unschedulable");
        let message = condition.message.as_deref().unwrap_or("the scheduler found no node");
        return Some(format!("pod {name} is not scheduled ({reason}): {message}"));
    }
    let all_ended = status.container_statuses.as_ref().is_some_and(|all| all.iter().all(has_ended));
    // Its sidecars go on for a while.
    if status.phase.as_deref() == Some("Running") && all_ended {
        return Some(format!("pod {name}: its containers have ended, and the pod is about to"));
    }
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    containers.into_iter().find_map(of_container).map(|why| format!("pod {name}: {why}"))
}

fn of_container(container: &ContainerStatus) -> Option<String> {
    if let Some(ended) = container.state.as_ref()?.terminated.as_ref() {
        let (name, message) = (&container.name, ended.message.as_deref().unwrap_or_default());
        return match ended.reason.as_deref() {
            Some("OOMKilled") => {
                Some(format!("container {name} used more memory than its limit allows and was killed (OOMKilled)"))
            }
            Some(reason @ ("StartError" | "ContainerCannotRun")) => {
                Some(format!("container {name} could not be started ({reason}): {message}"))
            }
            _ => None,
        };
    }
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    // These pass by themselves.
    if matches!(reason, "ContainerCreating" | "PodInitializing") {
        return None;
    }
    let (name, message) = (&container.name, waiting.message.as_deref().unwrap_or_default());
    Some(match reason {
        "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" => {
            format!("the image {} of container {name} cannot be pulled ({reason}): {message}", container.image)
        }
        _ => format!("container {name} waits ({reason}): {message}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn names_what_is_in_the_way() {
        let pod = |status: Value| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap()
        };
        let waiting = |reason: &str, message: &str| {
            pod(json!({"containerStatuses": [{
                "name": "train", "image": "tarin:1", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": reason, "message": message}},
            }]}))
        };
        let unschedulable = pod(json!({"conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
        }]}));
        let queue = BTreeMap::from([(QUEUE.to_owned(), "team-a".to_owned())]);
        let none = BTreeMap::new();
        let table: &[(bool, &BTreeMap<String, String>, &[Pod], &str)] = &[
            (true, &queue, &[], "its Job is suspended until queue team-a lets it in"),
            (true, &none, &[], "its Job is suspended; whoever suspended it must let it run (spec.suspend: false)"),
            (
                false,
                &none,
                &[unschedulable],
                "pod p is not scheduled (Unschedulable): 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
            ),
            (
                false,
                &none,
                &[waiting("ImagePullBackOff", "not found")],
                "pod p: the image tarin:1 of container train cannot be pulled (ImagePullBackOff): not found",
            ),
            (
                false,
                &none,
                &[waiting("CreateContainerConfigError", "configmap \"x\" not found")],
                "pod p: container train waits (CreateContainerConfigError): configmap \"x\" not found",
            ),
            (false, &none, &[waiting("ContainerCreating", "")], ""),
            (
                false,
                &none,
                &[pod(json!({"initContainerStatuses": [{
                    "name": "data", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"terminated": {"exitCode": 128, "reason": "StartError", "message": "no such file"}},
                }]}))],
                "pod p: container data could not be started (StartError): no such file",
            ),
            (
                false,
                &none,
                &[pod(json!({"containerStatuses": [{
                    "name": "train", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
                }]}))],
                "pod p: container train used more memory than its limit allows and was killed (OOMKilled)",
            ),
            (false, &none, &[pod(json!({}))], ""),
            (
                false,
                &none,
                &[pod(json!({"phase": "Running", "containerStatuses": [{
                    "name": "train", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"terminated": {"exitCode": 0}},
                }]}))],
                "pod p: its containers have ended, and the pod is about to",
            ),
        ];
        for (suspended, labels, pods, expected) in table {
            assert_eq!(why("t-1", *suspended, labels, pods), *expected);
        }
        assert!(why("t-1", false, &none, &[]).contains("no pod yet; `kubectl describe job t-1` tells"));
    }

    #[test]
    fn a_container_that_fails_has_failed_for_good_or_is_started_again() {
        let runs = json!({"running": {"startedAt": "2024-01-01T00:00:00Z"}});
        let ended = |code: i32| json!({"terminated": {"exitCode": code}});
        let waits = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let pod =
            |policy: &str, states: [&Value; 3]| -> Pod {
                let names = ["train", "uploader", "proxy"];
                let statuses: Vec<Value> = names.into_iter().zip(states).map(|(name, state)| json!({
                "name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state,
            })).collect();
                let containers: Vec<Value> =
                    names.into_iter().map(|name| json!({"name": name, "image": "i"})).collect();
                serde_json::from_value(json!({
                    "metadata": {"name": "p"}, "spec": {"restartPolicy": policy, "containers": containers},
                    "status": {"containerStatuses": statuses},
                }))
                .unwrap()
            };
        let none: [(&str, i32); 0] = [];
        let table: [(Pod, &[&str], &[(&str, i32)]); 5] = [
            (pod("Never", [&runs, &runs, &runs]), &[], &none),
            (pod("Never", [&ended(0), &ended(3), &runs]), &["proxy"], &[("uploader", 3)]),
            (pod("Never", [&ended(0), &ended(0), &ended(0)]), &[], &none),
            (pod("OnFailure", [&ended(0), &ended(3), &runs]), &["uploader", "proxy"], &none),
            (pod("OnFailure", [&ended(0), &waits, &runs]), &["uploader", "proxy"], &none),
        ];
        for (pod, run_on, have_failed) in table {
            let pods = std::slice::from_ref(&pod);
            assert_eq!(running(pods), run_on, "{pod:?}");
            let found = failed(pods);
            assert_eq!(
                found.iter().map(|(name, code)| (name.as_str(), *code)).collect::<Vec<_>>(),
                have_failed,
                "{pod:?}"
            );
        }
        let mut own = pod("Never", [&ended(0), &ended(3), &runs]);
        own.spec.as_mut().unwrap().containers[1].restart_policy = Some("Always".into());
        assert_eq!((running(&[own.clone()]).len(), failed(&[own]).len()), (2, 0), "a container's own policy wins");
    }

    #[test]
    fn a_pod_that_is_killed_with_its_agent_was_on_a_machine_that_went_down() {
        let pod = |phase: &str, agent: (i32, &str), program: (i32, &str)| -> Pod {
            let container = |name: &str, (code, reason): (i32, &str)| {
                json!({
                    "name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"terminated": {"exitCode": code, "reason": reason}},
                })
            };
            serde_json::from_value(json!({"metadata": {"name": "p"}, "status": {
                "phase": phase, "initContainerStatuses": [container("data", (0, "Completed")), container(SIDECAR, agent)],
                "containerStatuses": [container("other", (0, "Completed")), container("train", program)],
            }}))
            .unwrap()
        };
        let (killed, unknown) = ((137, "Error"), (255, "Unknown"));
        let table = [
            (pod("Failed", killed, killed), true),
            (pod("Failed", unknown, (137, "ContainerStatusUnknown")), true),
            (pod("Failed", (0, "Completed"), killed), false),
            (pod("Failed", killed, (137, "OOMKilled")), false),
            (pod("Failed", (137, "OOMKilled"), killed), false),
            (pod("Failed", killed, (1, "Error")), false),
            (pod("Failed", killed, (255, "Error")), false),
            (pod("Running", killed, killed), false),
        ];
        for (pod, expected) in table {
            let found = disruption(std::slice::from_ref(&pod));
            assert_eq!(found.is_some(), expected, "{pod:?}");
            if let Some((message, fate)) = found {
                assert!(message.starts_with("pod p: container train and its agent were killed"), "{message}");
                assert_eq!(fate, Fate::Disrupted { machine_stopped: false });
            }
        }
    }
}
