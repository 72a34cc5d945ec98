//! Built-in kinds: Jobs, pods, Secrets, Leases, Events, TokenReviews.

use kube::{
    Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{Behaviour, object, objects, refused, request, sentence};
use crate::behaviours;

pub fn list() -> Vec<Behaviour> {
    behaviours! {
        "a Job gets its defaults and a selector of its own",
            "concepts/workloads/controllers/job/#job-labels", job_defaults;
        "a Job says how its pods restart",
            "concepts/workloads/controllers/job/#pod-template", job_restart_policy;
        "a container has a name and an image",
            "concepts/workloads/pods/", container_fields;
        "the pod template of a Job is immutable",
            "concepts/workloads/controllers/job/#mutable-scheduling-directives", job_template;
        "a Job can be suspended and resumed",
            "concepts/workloads/controllers/job/#suspending-a-job", job_suspend;
        "the generation of a Job counts its spec, not its status",
            "concepts/workloads/controllers/job/", job_generation;
        "a field of a wrong type is refused",
            "reference/using-api/api-concepts/", wrong_type;
        "strict validation knows the fields of Jobs",
            "reference/using-api/api-concepts/#validation-for-unrecognized-or-duplicate-fields", strict_job;
        "a new pod is pending",
            "concepts/workloads/pods/pod-lifecycle/#pod-phase", pod_pending;
        "stringData of a Secret becomes data",
            "concepts/configuration/secret/#restriction-names-data", secret;
        "a Lease is taken over by its version",
            "concepts/architecture/leases/", lease;
        "a Lease's times keep their microseconds",
            "reference/kubernetes-api/cluster-resources/lease-v1/", lease_times;
        "a Lease lasts longer than nothing",
            "reference/kubernetes-api/cluster-resources/lease-v1/", lease_fields;
        "the end of a Job needs its conditions, its times and its pods to agree",
            "https://kep.k8s.io/4368", job_end;
        "a Job that has ended does not go back",
            "https://kep.k8s.io/4368", job_no_return;
        "an Event has two faces",
            "reference/kubernetes-api/cluster-resources/event-v1/", event;
        "an unknown token is nobody's",
            "reference/access-authn-authz/authentication/", token;
        "a resource that is not served is not found",
            "reference/using-api/api-concepts/", unserved;
    }
}

fn job(name: &str, pod: Value) -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": {"spec": pod}}})
}

fn pod() -> Value {
    json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": 1}}}]})
}

async fn job_defaults(client: Client, namespace: String) {
    let api = objects(&client, &namespace, "batch", "Job");
    let created = api.create(&PostParams::default(), &object(job("j", pod()))).await.unwrap();
    let spec = &created.data["spec"];
    for (field, value) in [
        ("parallelism", json!(1)),
        ("completions", json!(1)),
        ("backoffLimit", json!(6)),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        ("podReplacementPolicy", json!("TerminatingOrFailed")),
        ("manualSelector", json!(false)),
    ] {
        assert_eq!(spec[field], value, "{field}");
    }
    let uid = created.metadata.uid.unwrap();
    assert_eq!(spec["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}));
    let labels = json!({
        "batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": "j", "controller-uid": uid, "job-name": "j",
    });
    assert_eq!(spec["template"]["metadata"]["labels"], labels);
    let pod = &spec["template"]["spec"];
    assert_eq!((&pod["dnsPolicy"], &pod["terminationGracePeriodSeconds"]), (&json!("ClusterFirst"), &json!(30)));
    let container = &pod["containers"][0];
    assert_eq!(container["imagePullPolicy"], "Always");
    assert_eq!(container["resources"]["limits"], json!({"cpu": "1"}), "quantities are text");
    assert_eq!(created.data["status"], json!({}));
}

async fn job_restart_policy(client: Client, namespace: String) {
    let api = objects(&client, &namespace, "batch", "Job");
    let mut pod = pod();
    pod.as_object_mut().unwrap().remove("restartPolicy");
    let result = api.create(&PostParams::default(), &object(job("j", pod))).await;
    assert_eq!(
        sentence(result, 422, "Invalid"),
        "Job.batch \"j\" is invalid: spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""
    );
}

async fn container_fields(client: Client, namespace: String) {
    let api = objects(&client, &namespace, "batch", "Job");
    for (containers, expected) in [
        (json!([]), "spec.template.spec.containers: Required value"),
        (json!([{"name": "c"}]), "spec.template.spec.containers[0].image: Required value"),
        (
            json!([{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]),
            "spec.template.spec.containers[1].name: Duplicate value: \"c\"",
        ),
        (
            json!([{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]),
            "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
        ),
        (
            json!([{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}]),
            "spec.template.spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ),
    ] {
        let pod = json!({"restartPolicy": "Never", "containers": containers});
        let result = api.create(&PostParams::default(), &object(job("j", pod))).await;
        assert_eq!(sentence(result, 422, "Invalid"), format!("Job.batch \"j\" is invalid: {expected}"));
    }
}

async fn job_template(client: Client, namespace: String) {
    let api = objects(&client, &namespace, "batch", "Job");
    api.create(&PostParams::default(), &object(job("j", pod()))).await.unwrap();
    let patch =
        Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "other"}]}}}}));
    let message = sentence(api.patch("j", &PatchParams::default(), &patch).await, 422, "Invalid");
    assert!(message.starts_with("Job.batch \"j\" is invalid: spec.template: Invalid value: {"), "{message}");
    assert!(message.ends_with(": field is immutable"), "{message}");
}

async fn job_suspend(client: Client, namespace: String) {
    let api = objects(&client, &namespace, "batch", "Job");
    api.create(&PostParams::default(), &object(job("j", pod()))).await.unwrap();
    for suspend in [true, false] {
        let patch = Patch::Merge(json!({"spec": {"suspend": suspend}}));
        let patched = api.patch("j", &PatchParams::default(), &patch).await.unwrap();
        assert_eq!(patched.data["spec"]["suspend"], suspend);
    }
}

async fn job_generation(client: Client, namespace: String) {
    let api = objects(&client, &namespace, "batch", "Job");
    api.create(&PostParams::default(), &object(job("j", pod()))).await.unwrap();
    let patch = Patch::Merge(json!({"spec": {"suspend": true}, "status": {"active": 4}}));
    let patched = api.patch("j", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!((patched.metadata.generation, &patched.data["status"]), (Some(2), &json!({})));
    let patch = Patch::Merge(json!({"spec": {"suspend": false}, "status": {"terminating": 0, "ready": 0}}));
    let patched = api.patch_status("j", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.metadata.generation, Some(2));
    assert_eq!((&patched.data["spec"]["suspend"], &patched.data["status"]["ready"]), (&json!(true), &json!(0)));
}

async fn wrong_type(client: Client, namespace: String) {
    let api = objects(&client, &namespace, "batch", "Job");
    let mut body = job("j", pod());
    body["spec"]["backoffLimit"] = json!("many");
    let message = sentence(api.create(&PostParams::default(), &object(body)).await, 400, "BadRequest");
    assert!(message.starts_with("Job in version \"v1\" cannot be handled as a Job: "), "{message}");
}

async fn strict_job(client: Client, namespace: String) {
    let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs?fieldValidation=Strict");
    let mut body = job("j", pod());
    body["spec"]["template"]["spec"]["containers"][0]["colour"] = json!("red");
    let result = request::<Value>(&client, "POST", &path, &[], Some(&body)).await;
    assert_eq!(
        sentence(result, 400, "BadRequest"),
        "Job in version \"v1\" cannot be handled as a Job: strict decoding error: unknown field \
         \"spec.template.spec.containers[0].colour\""
    );
}

async fn pod_pending(client: Client, namespace: String) {
    let api = objects(&client, &namespace, "", "Pod");
    let mut spec = pod();
    spec["automountServiceAccountToken"] = json!(false);
    let body = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec, "status": {"phase": "Running"}});
    let created = api.create(&PostParams::default(), &object(body)).await.unwrap();
    assert_eq!(created.data["status"]["phase"], "Pending");
    assert_eq!(created.data["status"]["qosClass"], "Burstable");
}

async fn secret(client: Client, namespace: String) {
    let api = objects(&client, &namespace, "", "Secret");
    let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"key": "value"}});
    let created = api.create(&PostParams::default(), &object(body)).await.unwrap();
    assert_eq!(created.data["data"], json!({"key": "dmFsdWU="}));
    assert_eq!(created.data["type"], "Opaque");
    assert_eq!(created.data.get("stringData"), None);
}

async fn lease(client: Client, namespace: String) {
    let api = objects(&client, &namespace, "coordination.k8s.io", "Lease");
    let body = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
        "spec": {"holderIdentity": "one", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"},
    });
    let created = api.create(&PostParams::default(), &object(body)).await.unwrap();
    let (mut one, mut two) = (created.clone(), created);
    one.data["spec"]["holderIdentity"] = json!("two");
    two.data["spec"]["holderIdentity"] = json!("three");
    api.replace("l", &PostParams::default(), &one).await.unwrap();
    assert_eq!(refused(api.replace("l", &PostParams::default(), &two).await).code, 409);
}

async fn event(client: Client, namespace: String) {
    let modern = objects(&client, &namespace, "events.k8s.io", "Event");
    let body = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e", "namespace": namespace},
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "behaviours.test/controller",
        "reportingInstance": "one", "action": "Testing", "reason": "Tested", "type": "Normal", "note": "a note",
        "regarding": {"apiVersion": "v1", "kind": "Pod", "name": "p", "namespace": namespace},
    });
    let created = modern.create(&PostParams::default(), &object(body)).await.unwrap();
    assert_eq!(created.data["note"], "a note");
    let core = objects(&client, &namespace, "", "Event").get("e").await.unwrap();
    assert_eq!((&core.data["message"], &core.data["involvedObject"]["name"]), (&json!("a note"), &json!("p")));
    assert_eq!(core.data["reportingComponent"], "behaviours.test/controller");
    let selected = kube::api::ListParams::default().fields("regarding.name=p,reason=Tested");
    assert_eq!(modern.list(&selected).await.unwrap().items.len(), 1);
    let selected = kube::api::ListParams::default().fields("involvedObject.name=q");
    assert_eq!(objects(&client, &namespace, "", "Event").list(&selected).await.unwrap().items.len(), 0);
    let series = json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:10.000000Z"}});
    let patched = modern.patch("e", &PatchParams::default(), &Patch::Merge(series)).await.unwrap();
    assert_eq!(patched.data["series"]["count"], 2);
}

async fn token(client: Client, _: String) {
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "nonsense"}});
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let answer: Value = request(&client, "POST", path, &[], Some(&body)).await.unwrap();
    assert!(!answer["status"]["authenticated"].as_bool().unwrap_or(false));
    assert_eq!(answer["status"]["user"].get("username"), None);
}

async fn unserved(client: Client, namespace: String) {
    let path = format!("/apis/behaviours.test/v1/namespaces/{namespace}/gadgets");
    assert_eq!(refused(request::<Value>(&client, "GET", &path, &[], None).await).code, 404);
}

fn lease_with(spec: Value) -> Value {
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": spec})
}

async fn lease_times(client: Client, namespace: String) {
    let api = objects(&client, &namespace, "coordination.k8s.io", "Lease");
    let time = "2026-01-01T00:00:00.123456Z";
    let body = lease_with(json!({"holderIdentity": "one", "renewTime": time, "acquireTime": time}));
    let created = api.create(&PostParams::default(), &object(body)).await.unwrap();
    assert_eq!(
        (&created.data["spec"]["renewTime"], &created.data["spec"]["acquireTime"]),
        (&json!(time), &json!(time))
    );
}

async fn lease_fields(client: Client, namespace: String) {
    let api = objects(&client, &namespace, "coordination.k8s.io", "Lease");
    let body = lease_with(json!({"holderIdentity": "one", "leaseDurationSeconds": 0, "leaseTransitions": -1}));
    let message = sentence(api.create(&PostParams::default(), &object(body)).await, 422, "Invalid");
    assert_eq!(
        message,
        "Lease.coordination.k8s.io \"l\" is invalid: [spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0, spec.leaseTransitions: Invalid value: -1: \
         must be greater than or equal to 0]"
    );
}

/// A Job that no controller looks at.
async fn unmanaged(client: &Client, namespace: &str) -> kube::Api<kube::api::DynamicObject> {
    let api = objects(client, namespace, "batch", "Job");
    let mut body = job("j", pod());
    body["spec"]["managedBy"] = json!("behaviours.test/nobody");
    api.create(&PostParams::default(), &object(body)).await.unwrap();
    api
}

const SOON: &str = "2026-01-01T00:00:00Z";
const LATER: &str = "2026-01-01T00:00:09Z";

async fn job_end(client: Client, namespace: String) {
    let api = unmanaged(&client, &namespace).await;
    let yes = |types: &[&str]| -> Vec<Value> {
        types.iter().map(|r#type| json!({"type": r#type, "status": "True", "lastTransitionTime": SOON})).collect()
    };
    let (succeeded, failed) = (yes(&["SuccessCriteriaMet", "Complete"]), yes(&["FailureTarget", "Failed"]));
    let table = [
        (
            json!({"startTime": SOON, "completionTime": LATER, "conditions": yes(&["Complete"])}),
            "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ),
        (
            json!({"startTime": SOON, "conditions": yes(&["Failed"])}),
            "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
        ),
        (
            json!({"conditions": succeeded}),
            "[status.completionTime: Required value: completionTime is required for Complete jobs, status.startTime: \
             Required value: startTime is required for finished job]",
        ),
        (
            json!({"startTime": LATER, "completionTime": SOON, "conditions": succeeded}),
            "status.completionTime: Invalid value: \"2026-01-01T00:00:00Z\": must be equal to or after `startTime`",
        ),
        (
            json!({"startTime": SOON, "conditions": failed, "active": 1}),
            "status.active: Invalid value: 1: active>0 is invalid for finished job",
        ),
        (
            json!({"startTime": SOON, "conditions": failed, "completionTime": LATER}),
            "status.completionTime: Invalid value: \"2026-01-01T00:00:09Z\": cannot set completionTime when there is no \
             Complete=True condition",
        ),
        (json!({"active": 1, "ready": 2}), "status.ready: Invalid value: 2: cannot set more ready pods than active"),
        (
            json!({"conditions": yes(&["SuccessCriteriaMet", "FailureTarget"])}),
            "status.conditions: Invalid value: cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
        ),
    ];
    for (status, expected) in table {
        let patch = Patch::Merge(json!({"status": status}));
        let message = sentence(api.patch_status("j", &PatchParams::default(), &patch).await, 422, "Invalid");
        assert_eq!(message, format!("Job.batch \"j\" is invalid: {expected}"), "{status}");
    }
    let patch = Patch::Merge(json!({"status": {"startTime": SOON, "completionTime": LATER, "conditions": succeeded}}));
    api.patch_status("j", &PatchParams::default(), &patch).await.unwrap();
}

async fn job_no_return(client: Client, namespace: String) {
    let api = unmanaged(&client, &namespace).await;
    let patch = |status: Value| Patch::Merge(json!({"status": status}));
    let conditions: Vec<Value> = ["SuccessCriteriaMet", "Complete"]
        .iter()
        .map(|r#type| json!({"type": r#type, "status": "True", "lastTransitionTime": SOON}))
        .collect();
    let ended = json!({"startTime": SOON, "completionTime": LATER, "succeeded": 1, "conditions": conditions});
    api.patch_status("j", &PatchParams::default(), &patch(ended)).await.unwrap();
    let table = [
        (
            json!({"conditions": [], "completionTime": null}),
            "[status.conditions: Invalid value: cannot disable the terminal Complete=True condition, status.conditions: \
             Invalid value: cannot disable the SuccessCriteriaMet=True condition]",
        ),
        (json!({"succeeded": 0}), "status.succeeded: Invalid value: 0: cannot decrease the succeeded counter"),
        (
            json!({"startTime": LATER}),
            "status.startTime: Invalid value: \"2026-01-01T00:00:09Z\": field is immutable for unsuspended job once set",
        ),
    ];
    for (status, expected) in table {
        let result = api.patch_status("j", &PatchParams::default(), &patch(status)).await;
        assert_eq!(sentence(result, 422, "Invalid"), format!("Job.batch \"j\" is invalid: {expected}"));
    }
}
