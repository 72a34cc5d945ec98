//! The rest of a cluster, as far as a trial needs one: Jobs get pods, pods run programs, agents report.

use super::script::{End, Play, Program, Script};
use automl_operator::local::apiserver::{ApiServer, Write};
use automl_operator::metrics::Observation;
use automl_operator::report::{self, Answer, Batch, Body, Outbox};
use axum::Router;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;

/// How often a running program's agent reports, and how soon it repeats what was not answered.
const REPORT: Duration = Duration::from_secs(1);
/// How long an agent goes on after the end of its program.
const FLUSH: Duration = Duration::from_secs(600);

/// Where agents find the operator; nobody there while it is down.
#[derive(Clone, Default)]
pub struct Door(Arc<Mutex<Option<(Router, watch::Receiver<bool>)>>>);

impl Door {
    /// From now on reports go there, until `closed` becomes true: then even a request under way is cut off.
    pub fn open(&self, router: Router, closed: watch::Receiver<bool>) {
        *self.0.lock().unwrap() = Some((router, closed));
    }

    /// One request; `None` when there is no answer.
    pub async fn send(&self, request: http::Request<axum::body::Body>) -> Option<http::Response<axum::body::Body>> {
        let (router, mut closed) = self.0.lock().unwrap().clone()?;
        if *closed.borrow() {
            return None;
        }
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => None,
            answer = timeout(Duration::from_secs(30), router.oneshot(request)) => answer.ok()?.ok(),
        }
    }
}

/// Plays Jobs for as long as it lives.
pub struct Cluster {
    _tasks: JoinSet<()>,
}

impl Cluster {
    pub fn start(server: &ApiServer, door: Door, play: Play) -> Self {
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
        let mut tasks = JoinSet::new();
        tasks.spawn(control(client, door, play, seen));
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

async fn control(client: Client, door: Door, play: Play, mut seen: mpsc::UnboundedReceiver<Write>) {
    let mut running: HashMap<String, JoinSet<()>> = HashMap::new();
    while let Some(write) = seen.recv().await {
        let uid = |object: &Option<Arc<Value>>| {
            object.as_ref().and_then(|object| object["metadata"]["uid"].as_str()).map(str::to_owned)
        };
        let deleting = write.after.as_ref().is_none_or(|job| !job["metadata"]["deletionTimestamp"].is_null());
        if deleting {
            // Dropping the tasks is the SIGKILL.
            uid(&write.before).and_then(|uid| running.remove(&uid));
        } else if let (None, Some(job)) = (&write.before, &write.after) {
            let job: Job = serde_json::from_value((**job).clone()).unwrap();
            let mut task = JoinSet::new();
            task.spawn(run(client.clone(), door.clone(), play.clone(), job));
            running.insert(uid(&write.after).unwrap(), task);
        }
    }
}

/// The life of a Job.
async fn run(client: Client, door: Door, play: Play, job: Job) {
    let environment = environment(&job);
    let variable = |name: &str| environment.get(name).cloned().unwrap_or_default();
    let trial = variable(report::env::TRIAL);
    let program = Program {
        index: trial.rsplit_once('-').and_then(|(_, digits)| digits.parse().ok()).filter(|_| trial.len() > 6),
        attempt: variable(report::env::ATTEMPT).parse().unwrap_or(0),
        parameters: serde_json::from_str(&variable(report::env::PARAMETERS)).unwrap_or_default(),
        trial,
    };
    let script = play(&program);
    let jobs: Api<Job> = Api::namespaced(client.clone(), &job.namespace().unwrap());
    let name = job.name_any();
    let created = job.creation_timestamp().unwrap().0;
    let started = json!({"startTime": created.to_string(), "active": 1, "ready": 0});
    set_status(&jobs, &name, started.clone()).await;
    let pod = create_pod(&client, &job, script.end == End::Unschedulable).await;
    if script.end == End::Unschedulable {
        return;
    }
    sleep(script.pending).await;
    let mut ready = started;
    ready["ready"] = json!(1);
    set_status(&jobs, &name, ready).await;
    let agent = Agent::new(door, &environment, &pod);
    let deadline = job.spec.as_ref().and_then(|spec| spec.active_deadline_seconds);
    let limit = deadline.map_or(Duration::MAX, |seconds| Duration::from_secs(seconds.unsigned_abs()));
    let conditions = match timeout(limit, agent.run(&script)).await {
        Err(_) => failed("DeadlineExceeded", "Job was active longer than specified deadline"),
        Ok(End::Exit(0)) => {
            json!([{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}])
        }
        Ok(End::Exit(_)) => failed("BackoffLimitExceeded", "Job has reached the specified backoff limit"),
        Ok(_) => failed("PodFailurePolicy", "Pod p failed matching FailJob rule: condition DisruptionTarget"),
    };
    set_status(&jobs, &name, json!({"active": 0, "ready": 0, "conditions": conditions})).await;
}

fn failed(reason: &str, message: &str) -> Value {
    json!([{"type": "Failed", "status": "True", "reason": reason, "message": message}])
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

/// The in-pod program: runs the script and reports, with the real numbering.
struct Agent {
    door: Door,
    batch: Batch,
    token: String,
    outbox: Outbox,
    session: Instant,
}

impl Agent {
    fn new(door: Door, environment: &HashMap<String, String>, token: &str) -> Self {
        let variable = |name: &str| environment.get(name).cloned().unwrap_or_default();
        let attempt = variable(report::env::ATTEMPT).parse().unwrap_or(0);
        let batch = Batch {
            namespace: variable(report::env::NAMESPACE),
            trial: variable(report::env::TRIAL),
            trial_uid: variable(report::env::TRIAL_UID),
            attempt,
            session: format!("{attempt:05}"),
            records: Vec::new(),
            end: false,
        };
        Agent { door, batch, token: token.into(), outbox: Outbox::default(), session: Instant::now() }
    }

    async fn run(mut self, script: &Script) -> End {
        for (step, (pause, metric, value)) in script.lines.iter().enumerate() {
            if self.wait(*pause).await {
                return End::Exit(143);
            }
            self.outbox.push(Body::Observation(Observation {
                metric: metric.clone(),
                step: Some(step as u64 + 1),
                value: *value,
                time: jiff::Timestamp::UNIX_EPOCH,
            }));
        }
        match script.end {
            End::Never => {
                while !self.wait(REPORT).await {}
                End::Exit(143)
            }
            End::Exit(code) => {
                self.outbox.push(Body::Ended { exit_code: Some(code), signal: None, tail: "the last line".into() });
                let until = Instant::now() + FLUSH;
                while !self.outbox.is_empty() && Instant::now() < until {
                    if !self.report(true).await {
                        sleep(REPORT).await;
                    }
                }
                End::Exit(code)
            }
            // Taken away in the middle: nothing more is said.
            ref end => end.clone(),
        }
    }

    /// Lets time pass and reports now and then. True: the program is to be stopped.
    async fn wait(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            sleep(left.min(REPORT)).await;
            if self.session.elapsed() >= REPORT {
                self.session = Instant::now();
                if self.say(false).await.is_some_and(|answer| answer.stop.is_some()) {
                    return true;
                }
            }
        }
    }

    /// True: it was answered.
    async fn report(&mut self, end: bool) -> bool {
        self.say(end).await.is_some()
    }

    async fn say(&mut self, end: bool) -> Option<Answer> {
        let batch = Batch { records: self.outbox.batch(), end, ..self.batch.clone() };
        let request = http::Request::post(report::PATH)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(axum::body::Body::from(serde_json::to_vec(&batch).unwrap()))
            .unwrap();
        let response = self.door.send(request).await?;
        if response.status() != http::StatusCode::OK {
            return None;
        }
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.ok()?;
        let answer: Answer = serde_json::from_slice(&body).ok()?;
        self.outbox.acknowledge(answer.stored);
        Some(answer)
    }
}
