//! Jobs and Pods as real local processes, against the embedded API server.

#![cfg(target_os = "linux")]

#[path = "runner_support/mod.rs"]
mod support;

use automl_operator::local::apiserver::{Fault, RequestInfo, Verb};
use automl_operator::local::runner::{Gpus, RunnerError, sweep};
use serde_json::{Value, json};
use std::time::Duration;
use support::{Bench, condition, crash, eventually, finished, shell_job, shell_pod};

#[tokio::test]
async fn a_job_runs_to_its_end() {
    let bench = Bench::start().await;
    bench.create("configmaps", json!({"metadata": {"name": "conf"}, "data": {"LR": "0.1", "blob": "x"}})).await;
    let script = "cat $(CONF)/blob; echo \" lr=$LR pod=$POD\" '$(EXTRA)'; pwd; ls $(CONF); touch /scratch/made; \
                  ls /scratch; echo done > /dev/termination-log";
    let mut job = shell_job("good", script);
    job["spec"]["template"]["spec"]["volumes"] = json!([
        {"name": "conf", "configMap": {"name": "conf"}}, {"name": "scratch", "emptyDir": {}},
    ]);
    let container = &mut job["spec"]["template"]["spec"]["containers"][0];
    container["volumeMounts"] =
        json!([{"name": "conf", "mountPath": "/etc/conf"}, {"name": "scratch", "mountPath": "/scratch"}]);
    container["env"] = json!([
        {"name": "CONF", "value": "/etc/conf"},
        {"name": "LR", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "LR"}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]);
    container["workingDir"] = "inner".into();
    std::fs::create_dir(bench.base().join("inner")).unwrap();
    bench.create("jobs", job).await;
    let job = bench.job_until("good", |job| finished(job).is_some()).await;
    assert_eq!(finished(&job), Some("Complete"), "{job:#}");
    let types: Vec<&str> =
        job["status"]["conditions"].as_array().unwrap().iter().map(|it| it["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["SuccessCriteriaMet", "Complete"]);
    assert_eq!((&job["status"]["succeeded"], &job["status"]["active"]), (&json!(1), &Value::Null));
    let pod = bench.pod_of("good").await;
    assert_eq!(pod["status"]["phase"], "Succeeded");
    assert_eq!(pod["spec"]["nodeName"], "local");
    let terminated = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(
        (&terminated["exitCode"], &terminated["reason"], &terminated["message"]),
        (&json!(0), &json!("Completed"), &json!("done"))
    );
    let name = pod["metadata"]["name"].as_str().unwrap();
    let inner = bench.base().canonicalize().unwrap().join("inner");
    let expected = format!("x lr=0.1 pod={name} $(EXTRA)\n{}\nLR\nblob\nmade\n", inner.display());
    assert_eq!(bench.log(name), expected);
    // Its folder goes, its log stays.
    eventually("the pod's folder is gone", || async { bench.pod_folders().is_empty().then_some(()) }).await;
    bench.delete("jobs", "good", None).await;
    bench.no_pods().await;
    assert_eq!(bench.log(name), expected);
    bench.stop().await;
}

#[tokio::test]
async fn failures_say_what_happened() {
    let bench = Bench::start().await;
    let mut fails = shell_job("fails", "echo 'Traceback: boom'; exit 7");
    fails["spec"]["template"]["spec"]["containers"][0]["terminationMessagePolicy"] = "FallbackToLogsOnError".into();
    fails["spec"]["podFailurePolicy"] = json!({"rules": [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [7]}},
    ]});
    let mut missing = shell_job("missing", "");
    missing["spec"]["template"]["spec"]["containers"][0]["command"] = json!(["no-such-trainer", "--lr", "1"]);
    let mut two = shell_job("two", "true");
    two["spec"]["template"]["spec"]["initContainers"] = json!([{"name": "first", "image": "i"}]);
    let mut late = shell_job("late", "trap 'exit 0' TERM; while :; do sleep 0.05; done");
    late["spec"]["activeDeadlineSeconds"] = json!(1);
    let killed = shell_job("killed", "kill -SEGV $$$$");
    for job in [fails, missing, two, late, killed] {
        bench.create("jobs", job).await;
    }
    let backoff = "Job has reached the specified backoff limit";
    for (name, reason, message, code, words) in [
        ("fails", "PodFailurePolicy", "failed with exit code 7 matching FailJob rule at index 0", 7, "Traceback: boom"),
        ("missing", "BackoffLimitExceeded", backoff, 128, "failed to start \"no-such-trainer\": executable file not"),
        ("killed", "BackoffLimitExceeded", backoff, 139, ""),
        ("two", "NotSupportedLocally", "spec.template.spec.initContainers: only one container can be a", 0, ""),
        ("late", "DeadlineExceeded", "Job was active longer than specified deadline", 0, ""),
    ] {
        let job = bench.job_until(name, |job| finished(job).is_some()).await;
        let failed = condition(&job, "Failed").unwrap_or_else(|| panic!("{job:#}"));
        assert_eq!(failed["reason"], reason, "{job:#}");
        assert!(failed["message"].as_str().unwrap().contains(message), "{failed}");
        if code != 0 {
            let terminated = bench.pod_of(name).await["status"]["containerStatuses"][0]["state"]["terminated"].clone();
            assert_eq!(terminated["exitCode"], code, "{terminated}");
            assert!(terminated["message"].as_str().unwrap_or_default().contains(words), "{terminated}");
        }
    }
    bench.stop().await;
}

#[tokio::test]
async fn gpus_are_slots() {
    let bench = Bench::start_with(|settings| settings.gpus = Gpus::Count(1)).await;
    for name in ["one", "other"] {
        let script = format!("echo gpu=$CUDA_VISIBLE_DEVICES; while ! test -e end-{name}; do sleep 0.02; done");
        let mut job = shell_job(name, &script);
        job["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"limits": {"nvidia.com/gpu": 1}});
        bench.create("jobs", job).await;
        if name == "one" {
            bench.job_until("one", |job| job["status"]["ready"] == 1).await;
        }
    }
    let unscheduled = bench.pod_until("other", |pod| pod["status"]["conditions"][0]["reason"] == "Unschedulable").await;
    let scheduled = condition(&unscheduled, "PodScheduled").unwrap();
    assert_eq!(scheduled["message"], "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.");
    assert_eq!((&unscheduled["status"]["phase"], &scheduled["status"]), (&json!("Pending"), &json!("False")));
    bench.create("jobs", shell_job("none", "echo gpu=[$CUDA_VISIBLE_DEVICES]")).await;
    bench.job_until("none", |job| finished(job) == Some("Complete")).await;
    std::fs::write(bench.base().join("end-one"), "").unwrap();
    bench.job_until("one", |job| finished(job) == Some("Complete")).await;
    std::fs::write(bench.base().join("end-other"), "").unwrap();
    bench.job_until("other", |job| finished(job) == Some("Complete")).await;
    for (job, expected) in [("one", "gpu=0\n"), ("other", "gpu=0\n"), ("none", "gpu=[]\n")] {
        let pod = bench.pod_of(job).await;
        assert_eq!(bench.log(pod["metadata"]["name"].as_str().unwrap()), expected);
    }
    bench.stop().await;
}

#[tokio::test]
async fn deleting_stops_the_process_and_all_below_it() {
    let bench = Bench::start().await;
    // `force` deletes the pod object at once; the process must go all the same.
    for (name, resource, grace) in [("job", "jobs", None), ("pod", "pods", Some(1)), ("force", "pods", Some(0))] {
        let script =
            format!("trap '' TERM; setsid sleep 1000 & echo $! > below-{name}; touch run-{name}; wait; sleep 1000");
        let mut job = shell_job(name, &script);
        job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(1);
        bench.create("jobs", job).await;
        let pid = bench.pid_of(&format!("run-{name}"), &format!("below-{name}")).await;
        let target = match resource {
            "jobs" => name.to_owned(),
            _ => bench.pod_of(name).await["metadata"]["name"].as_str().unwrap().to_owned(),
        };
        bench.delete(resource, &target, grace).await;
        eventually("the process below is gone", || async { sweep::start_ticks(pid).is_none().then_some(()) }).await;
        if resource == "jobs" {
            bench.no_pods().await;
        } else {
            let job = bench.job_until(name, |job| finished(job).is_some()).await;
            assert_eq!(condition(&job, "Failed").unwrap()["reason"], "BackoffLimitExceeded");
        }
    }
    eventually("no folder is left", || async { bench.pod_folders().is_empty().then_some(()) }).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_pod_waits_for_its_config_map() {
    let bench = Bench::start().await;
    let mut job = shell_job("waits", "echo $A");
    job["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "later"}}]);
    bench.create("jobs", job).await;
    let waiting = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"].clone();
    let pod = bench.pod_until("waits", |pod| waiting(pod)["reason"] == "CreateContainerConfigError").await;
    assert_eq!(waiting(&pod)["message"], "configmap \"later\" not found");
    bench.create("configmaps", json!({"metadata": {"name": "later"}, "data": {"A": "here"}})).await;
    bench.job_until("waits", |job| finished(job) == Some("Complete")).await;
    assert_eq!(bench.log(pod["metadata"]["name"].as_str().unwrap()), "here\n");
    bench.stop().await;
}

#[tokio::test]
async fn containers_are_restarted_where_they_should_be() {
    let bench = Bench::start().await;
    let mut job = shell_job("again", "echo x >> tries; test $(wc -l < tries) -ge 3");
    job["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure".into();
    job["spec"]["backoffLimit"] = json!(5);
    bench.create("jobs", job).await;
    bench.job_until("again", |job| finished(job) == Some("Complete")).await;
    let pod = bench.pod_of("again").await;
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 2);
    assert_eq!(std::fs::read_to_string(bench.base().join("tries")).unwrap(), "x\nx\nx\n");
    bench.stop().await;
}

#[tokio::test]
async fn a_suspended_job_stops_and_goes_on() {
    let bench = Bench::start().await;
    bench.create("jobs", shell_job("pause", "echo run; while ! test -e end; do sleep 0.02; done")).await;
    bench.job_until("pause", |job| job["status"]["ready"] == 1).await;
    bench.patch("jobs", "pause", json!({"spec": {"suspend": true}})).await;
    let job = bench.job_until("pause", |job| condition(job, "Suspended").is_some()).await;
    assert_eq!(condition(&job, "Suspended").unwrap()["status"], "True");
    bench.no_pods().await;
    bench.patch("jobs", "pause", json!({"spec": {"suspend": false}})).await;
    bench.job_until("pause", |job| job["status"]["ready"] == 1).await;
    std::fs::write(bench.base().join("end"), "").unwrap();
    let job = bench.job_until("pause", |job| finished(job).is_some()).await;
    assert_eq!((finished(&job), &job["status"]["failed"]), (Some("Complete"), &Value::Null));
    bench.stop().await;
}

#[tokio::test]
async fn a_pod_without_a_job_runs_too() {
    let bench = Bench::start().await;
    bench.create("pods", shell_pod("bare", "echo hello")).await;
    bench.until("pods", "bare", |pod| pod["status"]["phase"] == "Succeeded").await;
    assert_eq!(bench.log("bare"), "hello\n");
    let mut probed = json!({"name": "main", "image": "any", "command": ["true"]});
    probed["livenessProbe"] = json!({"exec": {"command": ["true"]}});
    bench.create("pods", json!({"metadata": {"name": "probed"}, "spec": {"containers": [probed]}})).await;
    let pod = bench.until("pods", "probed", |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(pod["status"]["reason"], "NotSupportedLocally");
    assert!(pod["status"]["message"].as_str().unwrap().starts_with("spec.containers[0].livenessProbe: "));
    bench.stop().await;
}

#[tokio::test]
async fn a_token_speaks_for_its_pod_while_it_runs() {
    let bench = Bench::start().await;
    let mut job = shell_job("token", "cp $(TOKEN_FILE) token; touch ready; while ! test -e end; do sleep 0.02; done");
    let pod = &mut job["spec"]["template"]["spec"];
    pod["volumes"] = json!([{"name": "t", "projected": {"sources": [
        {"serviceAccountToken": {"audience": "automl", "path": "token"}},
    ]}}]);
    pod["containers"][0]["volumeMounts"] = json!([{"name": "t", "mountPath": "/var/run/automl"}]);
    pod["containers"][0]["env"] = json!([{"name": "TOKEN_FILE", "value": "/var/run/automl/token"}]);
    bench.create("jobs", job).await;
    eventually("it runs", || async { bench.base().join("ready").exists().then_some(()) }).await;
    let token = std::fs::read_to_string(bench.base().join("token")).unwrap();
    let review = bench.token_review(&token).await;
    let pod = bench.pod_of("token").await;
    assert_eq!(review["user"]["username"], "system:serviceaccount:default:default", "{review}");
    assert_eq!(review["user"]["extra"]["authentication.kubernetes.io/pod-uid"][0], pod["metadata"]["uid"]);
    std::fs::write(bench.base().join("end"), "").unwrap();
    bench.job_until("token", |job| finished(job) == Some("Complete")).await;
    assert_ne!(bench.token_review(&token).await["authenticated"], true);
    bench.stop().await;
}

#[tokio::test]
async fn many_short_jobs_leave_nothing_behind() {
    let bench = Bench::start().await;
    const JOBS: usize = 40;
    for index in 0..JOBS {
        bench.create("jobs", shell_job(&format!("j{index}"), &format!("echo {index}"))).await;
    }
    for index in 0..JOBS {
        let job = bench.job_until(&format!("j{index}"), |job| finished(job).is_some()).await;
        assert_eq!((finished(&job), &job["status"]["failed"]), (Some("Complete"), &Value::Null), "{job:#}");
    }
    assert_eq!(bench.list("pods").await.len(), JOBS);
    eventually("no folder is left", || async { bench.pod_folders().is_empty().then_some(()) }).await;
    bench.stop().await;
}

#[tokio::test]
async fn two_runners_cannot_share_a_state_folder() {
    let bench = Bench::start().await;
    let error = bench.second_runner().await.unwrap_err();
    assert!(matches!(error, RunnerError::State(_)), "{error}");
    assert!(error.to_string().starts_with("another automl works in the state folder "), "{error}");
    bench.stop().await;
}

const FAIL_ON_DISRUPTION: &str = "DisruptionTarget";

fn long_job(name: &str, policy: bool) -> Value {
    let script =
        format!("echo run >> runs-{name}; echo $$$$ > pid-{name}.new; mv pid-{name}.new pid-{name}; exec sleep 1000");
    let mut job = shell_job(name, &script);
    job["spec"]["backoffLimit"] = json!(3);
    if policy {
        job["spec"]["podFailurePolicy"] =
            json!({"rules": [{"action": "FailJob", "onPodConditions": [{"type": FAIL_ON_DISRUPTION}]}]});
    }
    job
}

#[tokio::test]
async fn a_stopped_runner_marks_its_pods_and_the_next_goes_on() {
    let mut bench = Bench::start().await;
    bench.create("jobs", long_job("policy", true)).await;
    bench.create("jobs", long_job("plain", false)).await;
    let mut pids = Vec::new();
    for name in ["policy", "plain"] {
        pids.push(bench.pid_of(&format!("pid-{name}"), &format!("pid-{name}")).await);
        bench.job_until(name, |job| job["status"]["ready"] == 1).await;
    }
    bench.stop_runner().await;
    assert!(pids.iter().all(|pid| sweep::start_ticks(*pid).is_none()));
    for name in ["policy", "plain"] {
        let pod = bench.pod_of(name).await;
        assert_eq!(pod["status"]["phase"], "Failed");
        assert_eq!(condition(&pod, FAIL_ON_DISRUPTION).unwrap()["reason"], "NodeShutdown");
        let job = bench.get("jobs", name).await.unwrap();
        assert_eq!(finished(&job), None, "a Job stays as it is");
    }
    bench.start_runner().await;
    let job = bench.job_until("policy", |job| finished(job).is_some()).await;
    let failed = condition(&job, "Failed").unwrap();
    assert_eq!(failed["reason"], "PodFailurePolicy");
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("has condition DisruptionTarget matching FailJob rule at index 0"), "{message}");
    eventually("the other runs again", || async { (bench.lines("runs-plain") == 2).then_some(()) }).await;
    assert_eq!(bench.lines("runs-policy"), 1);
    bench.stop().await;
}

#[tokio::test]
async fn after_a_kill_nothing_is_orphaned_and_nothing_runs_twice() {
    let mut bench = Bench::without_runner().await;
    let child = crash::start(&bench).await;
    bench.create("jobs", long_job("policy", true)).await;
    let script = "echo $$$$ > pid-below.new; trap '' TERM; mv pid-below.new pid-below; while :; do sleep 0.05; done";
    let mut stubborn = shell_job("stubborn", &format!("setsid sh -c '{}' & wait", script.replace("''", "\"\"")));
    stubborn["spec"]["backoffLimit"] = json!(3);
    bench.create("jobs", stubborn).await;
    let mut pids = Vec::new();
    for name in ["policy", "below"] {
        pids.push(bench.pid_of(&format!("pid-{name}"), &format!("pid-{name}")).await);
    }
    child.kill();
    assert!(pids.iter().all(|pid| sweep::start_ticks(*pid).is_some()), "nobody has stopped them");
    std::fs::remove_file(bench.base().join("pid-below")).unwrap();
    bench.start_runner().await;
    assert!(pids.iter().all(|pid| sweep::start_ticks(*pid).is_none()), "they are gone before anything new runs");
    let job = bench.job_until("policy", |job| finished(job).is_some()).await;
    let message = condition(&job, "Failed").unwrap()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("has condition DisruptionTarget matching FailJob rule at index 0"), "{message}");
    let pod = bench.pod_of("policy").await;
    assert_eq!(condition(&pod, FAIL_ON_DISRUPTION).unwrap()["reason"], "NodeRestarted");
    assert_eq!(bench.lines("runs-policy"), 1);
    // Without a policy it is a failed pod like another: the Job makes a new one.
    bench.pid_of("pid-below", "pid-below").await;
    bench.stop().await;
}

#[tokio::test]
async fn kills_at_any_moment_lose_and_double_nothing() {
    const JOBS: usize = 30;
    let mut bench = Bench::without_runner().await;
    for index in 0..JOBS {
        // A second run of the same pod would make a second line of its name.
        let mut job = shell_job(&format!("j{index}"), "echo $HOSTNAME_OF_POD >> starts; sleep 0.05");
        job["spec"]["backoffLimit"] = json!(50);
        job["spec"]["template"]["spec"]["containers"][0]["env"] =
            json!([{"name": "HOSTNAME_OF_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
        job["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": 1}});
        bench.create("jobs", job).await;
    }
    for round in 0..6_u64 {
        let child = crash::start(&bench).await;
        // Not a wait for something: any moment will do, and these differ.
        tokio::time::sleep(Duration::from_millis(60 + 47 * round)).await;
        child.kill();
    }
    bench.start_runner().await;
    let mut failed = 0;
    for index in 0..JOBS {
        let job = bench.job_until(&format!("j{index}"), |job| finished(job).is_some()).await;
        assert_eq!(finished(&job), Some("Complete"), "{job:#}");
        assert_eq!(job["status"]["succeeded"], 1);
        failed += job["status"]["failed"].as_u64().unwrap_or_default();
    }
    let starts = std::fs::read_to_string(bench.base().join("starts")).unwrap();
    let distinct: std::collections::BTreeSet<&str> = starts.lines().collect();
    assert_eq!(distinct.len(), starts.lines().count(), "no pod runs twice");
    let pods = bench.list("pods").await;
    assert_eq!(pods.len() as u64, JOBS as u64 + failed, "each pod is counted once");
    let disrupted = pods.iter().filter(|pod| condition(pod, FAIL_ON_DISRUPTION).is_some()).count();
    assert_eq!(disrupted as u64, failed, "and none failed for another reason");
    bench.stop().await;
}

/// Not a test of its own: the process that the tests above kill.
#[tokio::test]
#[ignore = "started by the tests that kill it"]
async fn runner_to_be_killed() {
    crash::run().await;
}

/// A pod is deleted just when the runner has decided to start it: nothing is started for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_deleted_while_it_is_scheduled_is_not_started() {
    let bench = Bench::start().await;
    let (reached, scheduling) = std::sync::mpsc::channel();
    let (go, deleted) = std::sync::mpsc::channel::<()>();
    let deleted = std::sync::Mutex::new(deleted);
    let hold = move |request: &RequestInfo| {
        if request.verb == Verb::Patch && request.resource == "pods" && request.subresource.is_empty() {
            // A later one finds the other ends gone and passes.
            let _ = reached.send(());
            let _ = deleted.lock().unwrap().recv();
        }
        Fault::None
    };
    bench.server.set_faults(Some(std::sync::Arc::new(hold)));
    bench.create("pods", shell_pod("late", "touch started")).await;
    tokio::task::spawn_blocking(move || scheduling.recv().unwrap()).await.unwrap();
    bench.delete("pods", "late", Some(0)).await;
    drop(go);
    // Whatever comes later has been looked at after it.
    bench.create("pods", shell_pod("next", "touch next")).await;
    eventually("the next pod has ended", || async {
        let pod = bench.get("pods", "next").await?;
        (pod["status"]["phase"] == "Succeeded").then_some(())
    })
    .await;
    assert!(bench.base().join("next").exists() && !bench.base().join("started").exists());
    eventually("no folder is left", || async { bench.pod_folders().is_empty().then_some(()) }).await;
    bench.stop().await;
}
