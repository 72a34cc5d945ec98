//! The rest of a cluster, as far as a trial needs one: Jobs get pods, pods run programs.

use super::agent::Agent;
use super::door::Door;
use super::invariants::Eyes;
use super::script::{End, Play, Program, Script};
use automl_operator::local::apiserver::{ApiServer, Write};
use automl_operator::report;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Plays Jobs for as long as it lives.
pub struct Cluster {
    _tasks: JoinSet<()>,
}

impl Cluster {
    pub fn start(server: &ApiServer, door: Door, eyes: Eyes, play: Play) -> Self {
        let (sender, seen) = mpsc::unbounded_channel();
        let tokens = Tokens::default();
        let issued = tokens.clone();
        server.add_observer(Arc::new(move |write: &Write| match write.resource.as_str() {
            "jobs" => drop(sender.send(write.clone())),
            "pods" => issue(&issued, write),
            _ => {}
        }));
        server.set_token_reviewer(Arc::new(move |spec| review(&tokens, spec)));
        let client = server.client_as("default", "kubelet");
        let node = Node { client, door, eyes, play, start: Instant::now() };
        let mut tasks = JoinSet::new();
        tasks.spawn(control(node, seen));
        Cluster { _tasks: tasks }
    }
}

/// Token -> namespace and name of the pod.
type Tokens = Arc<Mutex<HashMap<String, (String, String)>>>;

/// A pod's token is its UID.
fn issue(tokens: &Tokens, write: &Write) {
    let uid = |object: &Value| object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    match (&write.before, &write.after) {
        (_, Some(pod)) => drop(tokens.lock().unwrap().insert(uid(pod), (write.namespace.clone(), write.name.clone()))),
        (Some(pod), None) => drop(tokens.lock().unwrap().remove(&uid(pod))),
        (None, None) => {}
    }
}

fn review(tokens: &Tokens, spec: &Value) -> Value {
    let token = spec["token"].as_str().unwrap_or_default();
    match tokens.lock().unwrap().get(token) {
        Some((namespace, name)) => json!({
            "authenticated": true,
            "audiences": spec["audiences"],
            "user": {
                "username": format!("system:serviceaccount:{namespace}:default"),
                "extra": {
                    "authentication.kubernetes.io/pod-name": [name],
                    "authentication.kubernetes.io/pod-uid": [token],
                },
            },
        }),
        None => json!({"authenticated": false, "error": "no such pod"}),
    }
}

/// Where programs run.
#[derive(Clone)]
struct Node {
    client: Client,
    door: Door,
    eyes: Eyes,
    play: Play,
    start: Instant,
}

impl Node {
    /// As the cluster's clock has it.
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_second(1_767_225_600).unwrap() + self.start.elapsed()
    }
}

async fn control(node: Node, mut seen: mpsc::UnboundedReceiver<Write>) {
    let mut running: HashMap<String, JoinSet<()>> = HashMap::new();
    while let Some(write) = seen.recv().await {
        let uid = |object: &Arc<Value>| object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let lives = write.after.as_ref().filter(|job| job["metadata"]["deletionTimestamp"].is_null());
        match (lives, &write.before) {
            // Dropping the tasks is the SIGKILL.
            (None, Some(job)) => drop(running.remove(&uid(job))),
            (Some(job), _) if job["spec"]["suspend"] != true && !running.contains_key(&uid(job)) => {
                let mut task = JoinSet::new();
                task.spawn(run(node.clone(), serde_json::from_value((**job).clone()).unwrap()));
                running.insert(uid(job), task);
            }
            _ => {}
        }
    }
}

/// The life of a Job.
async fn run(node: Node, job: Job) {
    let environment = environment(&job);
    let variable = |name: &str| environment.get(name).cloned().unwrap_or_default();
    let trial = variable(report::env::TRIAL);
    let program = Program {
        index: trial.rsplit_once('-').and_then(|(_, digits)| digits.parse().ok()).filter(|_| trial.len() > 6),
        attempt: variable(report::env::ATTEMPT).parse().unwrap_or(0),
        parameters: serde_json::from_str(&variable(report::env::PARAMETERS)).unwrap_or_default(),
        trial,
    };
    let script = (node.play)(&program);
    let jobs: Api<Job> = Api::namespaced(node.client.clone(), &job.namespace().unwrap());
    let name = job.name_any();
    let created = job.creation_timestamp().unwrap().0;
    let started = json!({"startTime": created.to_string(), "active": 1, "ready": 0});
    set_status(&jobs, &name, started.clone()).await;
    let pod = create_pod(&node.client, &job, script.end == End::Unschedulable).await;
    if script.end == End::Unschedulable {
        return;
    }
    sleep(script.pending).await;
    let mut ready = started;
    ready["ready"] = json!(1);
    set_status(&jobs, &name, ready).await;
    let deadline = job.spec.as_ref().and_then(|spec| spec.active_deadline_seconds);
    let limit = deadline.map_or(Duration::MAX, |seconds| Duration::from_secs(seconds.unsigned_abs()));
    let mut ended = json!({"active": 0, "ready": 0});
    ended["conditions"] = match timeout(limit, containers(&node, &environment, &pod, &script)).await {
        Err(_) => failed("DeadlineExceeded", "Job was active longer than specified deadline"),
        Ok(End::Exit(0)) => {
            ended["completionTime"] = json!(node.now());
            json!([{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}])
        }
        Ok(End::Exit(_)) => failed("BackoffLimitExceeded", "Job has reached the specified backoff limit"),
        Ok(_) => failed("PodFailurePolicy", "Pod p failed matching FailJob rule: condition DisruptionTarget"),
    };
    set_status(&jobs, &name, ended).await;
}

/// The containers of a pod, one after the other, each with an agent of its own.
async fn containers(node: &Node, environment: &HashMap<String, String>, pod: &str, script: &Script) -> End {
    let agent = || {
        let clock = node.now().as_microsecond() + script.clock_ahead * 1_000_000;
        Agent::new(node.door.clone(), node.eyes.clone(), environment, pod, clock)
    };
    if let Some(lines) = script.restart_after
        && let Some(end) = agent().run(script, lines, true).await
    {
        return end;
    }
    if script.restart_after.is_some() {
        sleep(Duration::from_secs(10)).await;
    }
    agent().run(script, script.lines.len(), false).await.unwrap()
}

fn failed(reason: &str, message: &str) -> Value {
    let condition = |r#type: &str| json!({"type": r#type, "status": "True", "reason": reason, "message": message});
    json!([condition("FailureTarget"), condition("Failed")])
}

fn environment(job: &Job) -> HashMap<String, String> {
    let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()).unwrap();
    let variables = pod.containers.iter().flat_map(|container| container.env.iter().flatten());
    variables.map(|variable| (variable.name.clone(), variable.value.clone().unwrap_or_default())).collect()
}

async fn set_status(jobs: &Api<Job>, name: &str, status: Value) {
    let patch = json!({"status": status});
    // The Job may be gone by now.
    let _ = jobs.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
}

/// UID of the pod.
async fn create_pod(client: &Client, job: &Job, unschedulable: bool) -> String {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &job.namespace().unwrap());
    let name = format!("{}-pod", job.name_any());
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"batch.kubernetes.io/job-name": job.name_any()},
            "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "Job", "name": job.name_any(), "uid": job.uid(), "controller": true,
            }],
        },
        "spec": {"containers": [{"name": "train", "image": "x"}]},
    });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let Ok(pod) = pods.create(&PostParams::default(), &pod).await else { return String::new() };
    if unschedulable {
        let condition = json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
        });
        let patch = json!({"status": {"phase": "Pending", "conditions": [condition]}});
        let _ = pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    }
    pod.uid().unwrap_or_default()
}
