//! Jobs and their pods: what the Job controller makes of them. Somebody must run the pods: a runner, or who plays one.

use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{Behaviour, eventually, kubelet, object, objects};
use crate::behaviours;

pub fn list() -> Vec<Behaviour> {
    behaviours! {
        "a Job whose pod succeeds meets its criteria, then is complete",
            "https://kep.k8s.io/3998", completes;
        "a Job whose pod fails is told to fail, then has failed",
            "concepts/workloads/controllers/job/#terminal-job-conditions", fails;
        "a pod that has been counted is let go",
            "concepts/workloads/controllers/job/#job-tracking-with-finalizers", counted;
        "a running pod is active and ready",
            "https://kep.k8s.io/2879", ready;
        "a failure policy fails a Job at once and says by which rule",
            "concepts/workloads/controllers/job/#pod-failure-policy", policy;
        "a Job that takes too long fails, and its pod goes",
            "concepts/workloads/controllers/job/#job-termination-and-cleanup", deadline;
        "a failed pod is replaced as often as the backoff limit says",
            "concepts/workloads/controllers/job/#pod-backoff-failure-policy", retried;
        "a suspended Job has no pods until it is resumed",
            "concepts/workloads/controllers/job/#suspending-a-job", suspended;
        "a running Job that is suspended loses its pod",
            "concepts/workloads/controllers/job/#suspending-a-job", suspended_later;
        "a finished Job goes after its time to live, with its pods",
            "concepts/workloads/controllers/ttlafterfinished/", time_to_live;
        "a deleted Job takes its running pods along",
            "concepts/workloads/controllers/job/#job-termination-and-cleanup", deleted;
    }
}

/// A Job whose program ends so.
fn job(end: kubelet::End, change: Value) -> DynamicObject {
    let (annotation, script) = match end {
        Some(code) => (code.to_string(), format!("exit {code}")),
        None => ("never".to_owned(), "exec sleep 1000".to_owned()),
    };
    let container = json!({"name": "main", "image": "any", "command": ["sh", "-c", script]});
    let mut job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
        "spec": {"backoffLimit": 0, "template": {
            "metadata": {"labels": {kubelet::PLAYED: "yes"}, "annotations": {kubelet::END: annotation}},
            "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]},
        }},
    });
    json_patch::merge(&mut job["spec"], &change);
    object(job)
}

struct Bench {
    jobs: Api<DynamicObject>,
    pods: Api<DynamicObject>,
}

impl Bench {
    /// Creates the Job.
    async fn with(client: &Client, namespace: &str, job: DynamicObject) -> Self {
        let jobs = objects(client, namespace, "batch", "Job");
        jobs.create(&PostParams::default(), &job).await.unwrap();
        Self { jobs, pods: objects(client, namespace, "", "Pod") }
    }

    /// Waits for a state of the Job.
    async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool + Sync) -> Value {
        let found = std::sync::Mutex::new(Value::Null);
        eventually(what, || async {
            let status = self.jobs.get("j").await.unwrap().data["status"].take();
            let holds = holds(&status);
            *found.lock().unwrap() = status;
            holds
        })
        .await;
        found.into_inner().unwrap()
    }

    async fn until_ended(&self) -> Value {
        self.until("it has ended", |status| is(status, "Complete") || is(status, "Failed")).await
    }

    async fn pods(&self) -> Vec<DynamicObject> {
        self.pods.list(&ListParams::default().labels("batch.kubernetes.io/job-name=j")).await.unwrap().items
    }

    async fn until_no_pods(&self) {
        eventually("its pods are gone", || async { self.pods().await.is_empty() }).await;
    }
}

fn condition<'a>(status: &'a Value, r#type: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|condition| condition["type"] == r#type)
}

fn is(status: &Value, r#type: &str) -> bool {
    condition(status, r#type).is_some_and(|condition| condition["status"] == "True")
}

/// Type, reason and message of each condition.
fn told(status: &Value) -> Vec<[&str; 3]> {
    let conditions = status["conditions"].as_array().unwrap();
    conditions.iter().map(|c| ["type", "reason", "message"].map(|key| c[key].as_str().unwrap_or_default())).collect()
}

fn number(status: &Value, key: &str) -> i64 {
    status[key].as_i64().unwrap_or_default()
}

async fn completes(client: Client, namespace: String) {
    let bench = Bench::with(&client, &namespace, job(Some(0), json!({}))).await;
    let status = bench.until_ended().await;
    let message = "Reached expected number of succeeded pods";
    assert_eq!(
        told(&status),
        [["SuccessCriteriaMet", "CompletionsReached", message], ["Complete", "CompletionsReached", message]]
    );
    let counts = ["succeeded", "failed", "active", "ready", "terminating"].map(|key| number(&status, key));
    assert_eq!(counts, [1, 0, 0, 0, 0], "{status}");
    assert_eq!(status["uncountedTerminatedPods"], json!({}));
    assert!(status["startTime"].as_str() <= status["completionTime"].as_str() && status["startTime"].is_string());
}

async fn fails(client: Client, namespace: String) {
    let bench = Bench::with(&client, &namespace, job(Some(3), json!({}))).await;
    let status = bench.until_ended().await;
    let (reason, message) = ("BackoffLimitExceeded", "Job has reached the specified backoff limit");
    assert_eq!(told(&status), [["FailureTarget", reason, message], ["Failed", reason, message]]);
    let counts = ["succeeded", "failed", "active", "ready", "terminating"].map(|key| number(&status, key));
    assert_eq!(counts, [0, 1, 0, 0, 0], "{status}");
    assert!(status["completionTime"].is_null() && status["startTime"].is_string(), "{status}");
}

async fn counted(client: Client, namespace: String) {
    let bench = Bench::with(&client, &namespace, job(None, json!({}))).await;
    eventually("it has a pod", || async { bench.pods().await.len() == 1 }).await;
    let [pod] = &bench.pods().await[..] else { panic!("one pod") };
    let owner = bench.jobs.get("j").await.unwrap();
    assert_eq!(pod.metadata.finalizers, Some(vec!["batch.kubernetes.io/job-tracking".to_owned()]));
    assert_eq!(pod.metadata.generate_name.as_deref(), Some("j-"));
    let [reference] = &pod.metadata.owner_references.clone().unwrap()[..] else { panic!("one owner") };
    assert_eq!(Some(&reference.uid), owner.metadata.uid.as_ref());
    assert_eq!((reference.controller, reference.block_owner_deletion), (Some(true), Some(true)));
    let labels = pod.metadata.labels.clone().unwrap();
    for key in ["batch.kubernetes.io/controller-uid", "controller-uid"] {
        assert_eq!(labels.get(key), owner.metadata.uid.as_ref(), "{key}");
    }
    let _ = bench.jobs.delete("j", &DeleteParams::background()).await.unwrap();
    bench.until_no_pods().await;
    let bench = Bench::with(&client, &namespace, job(Some(0), json!({}))).await;
    bench.until_ended().await;
    let [pod] = &bench.pods().await[..] else { panic!("the pod stays") };
    assert_eq!((pod.metadata.finalizers.clone(), &pod.data["status"]["phase"]), (None, &json!("Succeeded")));
}

async fn ready(client: Client, namespace: String) {
    let bench = Bench::with(&client, &namespace, job(None, json!({}))).await;
    let status = bench.until("it runs", |status| number(status, "ready") == 1).await;
    assert_eq!(number(&status, "active"), 1);
    assert!(status["startTime"].is_string() && status["conditions"].as_array().is_none_or(Vec::is_empty), "{status}");
}

async fn policy(client: Client, namespace: String) {
    let exit_codes = json!({"operator": "In", "values": [3], "containerName": "main"});
    let rules = json!({"rules": [{"action": "FailJob", "onExitCodes": exit_codes}]});
    let change = json!({"backoffLimit": 4, "podFailurePolicy": rules});
    let bench = Bench::with(&client, &namespace, job(Some(3), change)).await;
    let status = bench.until_ended().await;
    let pod = bench.pods().await[0].metadata.name.clone().unwrap();
    let message =
        format!("Container main for pod {namespace}/{pod} failed with exit code 3 matching FailJob rule at index 0");
    let reason = "PodFailurePolicy";
    assert_eq!(told(&status), [["FailureTarget", reason, &message], ["Failed", reason, &message]]);
}

async fn deadline(client: Client, namespace: String) {
    let bench = Bench::with(&client, &namespace, job(None, json!({"activeDeadlineSeconds": 1}))).await;
    let status = bench.until_ended().await;
    let (reason, message) = ("DeadlineExceeded", "Job was active longer than specified deadline");
    assert_eq!(told(&status), [["FailureTarget", reason, message], ["Failed", reason, message]]);
    bench.until_no_pods().await;
}

async fn retried(client: Client, namespace: String) {
    let bench = Bench::with(&client, &namespace, job(Some(3), json!({"backoffLimit": 1}))).await;
    let status = bench.until_ended().await;
    assert_eq!((number(&status, "failed"), bench.pods().await.len()), (2, 2));
}

async fn suspended(client: Client, namespace: String) {
    let bench = Bench::with(&client, &namespace, job(Some(0), json!({"suspend": true}))).await;
    let status = bench.until("it is suspended", |status| is(status, "Suspended")).await;
    assert_eq!(told(&status), [["Suspended", "JobSuspended", "Job suspended"]]);
    assert!(status["startTime"].is_null() && bench.pods().await.is_empty());
    let resume = Patch::Merge(json!({"spec": {"suspend": false}}));
    bench.jobs.patch("j", &PatchParams::default(), &resume).await.unwrap();
    let status = bench.until_ended().await;
    assert_eq!(told(&status)[0], ["Suspended", "JobResumed", "Job resumed"]);
    assert!(is(&status, "Complete") && !is(&status, "Suspended"));
}

async fn suspended_later(client: Client, namespace: String) {
    let bench = Bench::with(&client, &namespace, job(None, json!({}))).await;
    bench.until("it runs", |status| number(status, "ready") == 1).await;
    let suspend = Patch::Merge(json!({"spec": {"suspend": true}}));
    bench.jobs.patch("j", &PatchParams::default(), &suspend).await.unwrap();
    let status = bench.until("it is suspended", |status| is(status, "Suspended")).await;
    assert_eq!((number(&status, "active"), number(&status, "failed")), (0, 0));
    bench.until_no_pods().await;
}

async fn time_to_live(client: Client, namespace: String) {
    let bench = Bench::with(&client, &namespace, job(Some(0), json!({"ttlSecondsAfterFinished": 0}))).await;
    eventually("the Job is gone", || async { bench.jobs.get_opt("j").await.unwrap().is_none() }).await;
    bench.until_no_pods().await;
}

async fn deleted(client: Client, namespace: String) {
    let bench = Bench::with(&client, &namespace, job(None, json!({}))).await;
    bench.until("it runs", |status| number(status, "ready") == 1).await;
    let _ = bench.jobs.delete("j", &DeleteParams::background()).await.unwrap();
    eventually("the Job is gone", || async { bench.jobs.get_opt("j").await.unwrap().is_none() }).await;
    bench.until_no_pods().await;
}
