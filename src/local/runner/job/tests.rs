use super::*;
use serde_json::json;

/// A Job, its pods, and what an API server and a kubelet would do with them.
struct World {
    job: Job,
    pods: Vec<Pod>,
    now: Timestamp,
    made: u32,
    log: Vec<String>,
    /// Actions left before everything stops.
    budget: usize,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

impl World {
    fn new(spec: Value) -> Self {
        let mut full = json!({
            "backoffLimit": 0,
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "command": ["true"]}]}},
        });
        for (key, value) in spec.as_object().unwrap() {
            full[key] = value.clone();
        }
        let job = json!({"metadata": {"name": "j", "namespace": "ns", "uid": "job"}, "spec": full});
        Self { job: Job::read(&job), pods: vec![], now: at(0), made: 0, log: vec![], budget: usize::MAX }
    }

    fn step(&self) -> Step {
        let pods: Vec<&Pod> = self.pods.iter().collect();
        let made = self.made;
        let mut suffix = move || format!("{made:05}");
        sync(&self.job, &pods, &mut Context { now: self.now, backoff: Backoff::JOB, suffix: &mut suffix })
    }

    /// Carries out steps until there is nothing to do.
    fn settle(&mut self) -> &mut Self {
        for _ in 0..50 {
            let step = self.step();
            if step.actions.is_empty() {
                return self;
            }
            for action in step.actions {
                if self.budget == 0 {
                    return self;
                }
                self.budget -= 1;
                self.apply(action);
            }
        }
        panic!("no rest: {:#?}", self.log);
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::CreatePod(pod) => {
                let mut pod = Pod::read(&pod);
                self.made += 1;
                pod.meta.uid = format!("pod-{}", self.made);
                pod.meta.creation_timestamp = Some(self.now);
                self.pods.push(pod);
            }
            Action::WriteStatus(status) => {
                let types: Vec<&str> = status.conditions.iter().map(|it| it.r#type.as_str()).collect();
                self.log.push(format!("{} {}", status.active, types.join(",")));
                self.job.status = *status;
            }
            Action::DeletePod { name, .. } => {
                for pod in self.pods.iter_mut().filter(|pod| pod.meta.name == name && !pod.meta.deleting()) {
                    pod.meta.deletion_timestamp = Some(self.now);
                }
            }
            Action::RemoveFinalizer { name, keep, .. } => {
                for pod in self.pods.iter_mut().filter(|pod| pod.meta.name == name) {
                    pod.meta.finalizers = keep.clone();
                }
            }
            Action::DeleteJob => self.log.push("deleted".into()),
            Action::Event(event) => self.log.push(event.reason),
        }
        self.collect();
    }

    /// Pods that have ended are gone once they are deleted and have no finalizer.
    fn collect(&mut self) {
        self.pods.retain(|pod| !(pod.meta.deleting() && pod.is_terminal() && pod.meta.finalizers.is_empty()));
    }

    fn status_of_last(&mut self, status: Value) -> &mut Self {
        let pod = self.pods.iter_mut().rev().find(|pod| !pod.is_terminal()).expect("a pod that runs");
        pod.status = serde_json::from_value(status).unwrap();
        self.collect();
        self.settle()
    }

    fn run(&mut self) -> &mut Self {
        self.status_of_last(json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}))
    }

    fn exit(&mut self, code: i32) -> &mut Self {
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        let terminated = json!({"exitCode": code, "finishedAt": self.now.to_string()});
        self.status_of_last(json!({
            "phase": phase, "containerStatuses": [{"name": "main", "state": {"terminated": terminated}}],
        }))
    }

    fn disrupt(&mut self) -> &mut Self {
        self.status_of_last(json!({
            "phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True"}],
        }))
    }

    fn wait(&mut self, seconds: i64) -> &mut Self {
        self.now = self.now.saturating_add(SignedDuration::from_secs(seconds)).unwrap();
        self.settle()
    }

    fn end(&self) -> String {
        let counts = format!("{}/{}", self.job.status.succeeded, self.job.status.failed);
        match self.job.status.finished() {
            Some(end) => format!("{} {}: {} {counts}", end.r#type, end.reason, end.message),
            None => format!("open {counts} with {} active", self.job.status.active),
        }
    }
}

#[test]
fn a_job_that_succeeds() {
    let mut world = World::new(json!({"completions": 1, "parallelism": 1}));
    world.settle();
    let pod = &world.pods[0];
    assert_eq!(pod.meta.name, "j-00000");
    assert_eq!(pod.meta.finalizers, [FINALIZER]);
    assert_eq!(pod.meta.labels["batch.kubernetes.io/job-name"], "j");
    assert_eq!(pod.meta.labels["controller-uid"], "job");
    assert_eq!(pod.meta.job_owner().map(|owner| owner.uid.as_str()), Some("job"));
    assert_eq!(world.job.status.start_time, Some(at(0)));
    world.run();
    assert_eq!((world.job.status.active, world.job.status.ready), (1, Some(1)));
    world.wait(5).exit(0);
    assert_eq!(world.end(), "Complete CompletionsReached: Reached expected number of succeeded pods 1/0");
    assert_eq!(world.job.status.completion_time, Some(at(5)));
    assert_eq!(world.job.status.ready, Some(0));
    assert_eq!(world.job.status.uncounted_terminated_pods, Uncounted::default());
    assert!(world.pods[0].meta.finalizers.is_empty());
    assert_eq!(
        world.log,
        ["1 ", "1 ", "0 SuccessCriteriaMet", "0 SuccessCriteriaMet,Complete", "Completed"],
        "the order in which Kubernetes shows it"
    );
}

#[test]
fn how_jobs_end() {
    let policy = json!([
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42], "containerName": "main"}},
        {"action": "Ignore", "onExitCodes": {"operator": "NotIn", "values": [1, 2, 42]}},
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget"}]},
        {"action": "Count", "onExitCodes": {"operator": "In", "values": [1]}},
    ]);
    let policy = json!({"podFailurePolicy": {"rules": policy}, "backoffLimit": 1});
    let backoff = "Failed BackoffLimitExceeded: Job has reached the specified backoff limit";
    type Play = fn(&mut World) -> &mut World;
    let table: &[(Value, Play, &str)] = &[
        (json!({}), |w| w.settle().exit(1), &format!("{backoff} 0/1")),
        (json!({"backoffLimit": 1}), |w| w.settle().exit(1), "open 0/1 with 0 active"),
        (json!({"backoffLimit": 1}), |w| w.settle().exit(1).wait(9), "open 0/1 with 0 active"),
        (json!({"backoffLimit": 1}), |w| w.settle().exit(1).wait(10), "open 0/1 with 1 active"),
        (json!({"backoffLimit": 1}), |w| w.settle().exit(1).wait(10).exit(1), &format!("{backoff} 0/2")),
        (
            json!({"backoffLimit": 1}),
            |w| w.settle().exit(1).wait(10).exit(0),
            "Complete CompletionsReached: Reached expected number of succeeded pods 1/1",
        ),
        (json!({"backoffLimit": 2}), |w| w.settle().exit(1).wait(10).exit(1).wait(19), "open 0/2 with 0 active"),
        (json!({"backoffLimit": 2}), |w| w.settle().exit(1).wait(10).exit(1).wait(20), "open 0/2 with 1 active"),
        (
            policy.clone(),
            |w| w.settle().exit(42),
            "Failed PodFailurePolicy: Container main for pod ns/j-00000 failed with exit code 42 matching FailJob rule at index 0 0/1",
        ),
        (
            policy.clone(),
            |w| w.settle().disrupt(),
            "Failed PodFailurePolicy: Pod ns/j-00000 has condition DisruptionTarget matching FailJob rule at index 2 0/1",
        ),
        (policy.clone(), |w| w.settle().exit(7).wait(60).exit(9).wait(60), "open 0/0 with 1 active"),
        (policy.clone(), |w| w.settle().exit(1).wait(60).exit(2), &format!("{backoff} 0/2")),
        (
            json!({"activeDeadlineSeconds": 30}),
            |w| w.settle().run().wait(30).exit(143),
            "Failed DeadlineExceeded: Job was active longer than specified deadline 0/1",
        ),
        (json!({"activeDeadlineSeconds": 30}), |w| w.settle().run().wait(29), "open 0/0 with 1 active"),
        (json!({"activeDeadlineSeconds": 30}), |w| w.settle().run().wait(30), "open 0/1 with 0 active"),
        (json!({"suspend": true}), |w| w.settle().wait(60), "open 0/0 with 0 active"),
        (json!({"parallelism": 0}), |w| w.settle(), "open 0/0 with 0 active"),
        (
            json!({"completions": 0}),
            |w| w.settle(),
            "Complete CompletionsReached: Reached expected number of succeeded pods 0/0",
        ),
        (json!({"managedBy": "example.com/other"}), |w| w.settle(), "open 0/0 with 0 active"),
    ];
    for (spec, play, expected) in table {
        let mut world = World::new(spec.clone());
        play(&mut world);
        assert_eq!(&world.end(), expected, "{spec}");
    }
}

#[test]
fn what_one_machine_cannot_do_fails_the_job_at_once() {
    let template = |spec: Value| json!({"template": {"spec": spec}});
    let container = json!([{"name": "main", "command": ["true"]}]);
    for (spec, reason, message) in [
        (json!({"parallelism": 2}), "NotSupportedLocally", "spec.parallelism: a local Job has one pod"),
        (json!({"completions": 3}), "NotSupportedLocally", "spec.completions: a local Job has one pod"),
        (json!({"completionMode": "Indexed"}), "NotSupportedLocally", "spec.completionMode: only NonIndexed"),
        (template(json!({})), "NotSupportedLocally", "spec.template.spec.containers: must hold one container"),
        (
            template(json!({"containers": container})),
            "NotSupportedLocally",
            "spec.template.spec.restartPolicy: must be Never or OnFailure",
        ),
        (
            template(json!({"restartPolicy": "Never", "containers": [{"name": "main", "image": "train:1"}]})),
            "NotSupportedLocally",
            "spec.template.spec.containers[0].command: must name the program",
        ),
        (json!({"backoffLimit": "many"}), "Invalid", "spec: invalid type: string \"many\""),
    ] {
        let mut world = World::new(spec.clone());
        world.settle();
        let end = world.job.status.finished().unwrap_or_else(|| panic!("{spec} goes on"));
        assert_eq!((end.r#type.as_str(), end.reason.as_str()), ("Failed", reason));
        assert!(end.message.starts_with(message), "{}", end.message);
        assert_eq!(world.made, 0);
    }
}

#[test]
fn suspending_deletes_the_pod_uncounted_and_resuming_starts_the_clock_anew() {
    let mut world = World::new(json!({"activeDeadlineSeconds": 30}));
    world.settle().run();
    let suspend = |world: &mut World, suspend| {
        let mut spec = (**world.job.spec.as_ref().unwrap()).clone();
        spec.suspend = suspend;
        world.job.spec = Ok(std::sync::Arc::new(spec));
        world.settle();
    };
    suspend(&mut world, true);
    assert!(world.pods[0].meta.deleting());
    assert_eq!((world.job.status.active, world.job.status.terminating), (0, Some(1)));
    assert!(world.job.status.condition("Suspended").is_some());
    world.exit(143).wait(100);
    assert_eq!(world.end(), "open 0/0 with 0 active");
    suspend(&mut world, false);
    assert_eq!(world.end(), "open 0/0 with 1 active");
    assert_eq!(world.job.status.start_time, Some(at(100)));
    assert!(world.job.status.condition("Suspended").is_none());
    assert_eq!(world.log.iter().filter(|line| ["Suspended", "Resumed"].contains(&line.as_str())).count(), 2);
}

#[test]
fn a_deleted_pod_is_replaced_at_once_or_when_it_has_ended() {
    for (policy, made_before, made_after) in [("TerminatingOrFailed", 2, 2), ("Failed", 1, 2)] {
        let mut world = World::new(json!({"backoffLimit": 3, "podReplacementPolicy": policy}));
        world.settle().run();
        world.pods[0].meta.deletion_timestamp = Some(world.now);
        world.settle().wait(60);
        assert_eq!(world.made, made_before, "{policy}: while it ends");
        if policy == "Failed" {
            world.exit(143).wait(60);
        }
        assert_eq!(world.made, made_after, "{policy}: when it has ended");
        assert_eq!(world.end(), "open 0/1 with 1 active");
    }
}

#[test]
fn restarts_count_where_the_container_is_restarted() {
    let template = json!({"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "main", "command": ["x"]}]}});
    let mut world = World::new(json!({"backoffLimit": 2, "template": template}));
    world.settle();
    let running =
        |restarts: u32| json!({"phase": "Running", "containerStatuses": [{"name": "main", "restartCount": restarts}]});
    world.status_of_last(running(1));
    assert_eq!(world.end(), "open 0/0 with 1 active");
    world.status_of_last(running(2)).exit(1);
    assert!(world.end().starts_with("Failed BackoffLimitExceeded"), "{}", world.end());
}

#[test]
fn a_finished_job_lives_as_long_as_it_says() {
    let mut world = World::new(json!({"ttlSecondsAfterFinished": 60}));
    world.settle().exit(0);
    assert_eq!(world.step().wake_at, Some(at(60)));
    world.now = at(60);
    assert_eq!(world.step().actions, [Action::DeleteJob]);
}

#[test]
fn pods_of_a_deleted_job_are_let_go() {
    let mut world = World::new(json!({}));
    world.settle().run();
    world.job.meta.deletion_timestamp = Some(world.now);
    world.settle();
    assert!(world.pods[0].meta.finalizers.is_empty());
    assert_eq!(world.made, 1);
}

/// Whatever is cut off after any action, the next steps reach the same end.
#[test]
fn every_prefix_of_the_actions_leads_to_the_same_end() {
    type Play = fn(&mut World);
    let plays: &[(Value, Play)] = &[
        (json!({}), |w| {
            w.settle().run().exit(0);
        }),
        (json!({"backoffLimit": 1}), |w| {
            w.settle().exit(1).wait(10).run().exit(1);
        }),
        (json!({"backoffLimit": 1}), |w| {
            w.settle().exit(1).wait(10).run().exit(0);
        }),
        (json!({"activeDeadlineSeconds": 5}), |w| {
            w.settle().run().wait(5).exit(143);
        }),
    ];
    for (spec, play) in plays {
        let mut whole = World::new(spec.clone());
        play(&mut whole);
        for cut in 0..40 {
            let mut world = World::new(spec.clone());
            world.budget = cut;
            world.settle();
            if world.budget > 0 {
                break;
            }
            // From here on undisturbed: the play begins with a step, which must take up where this one broke off.
            world.budget = usize::MAX;
            play(&mut world);
            assert_eq!((world.end(), world.made), (whole.end(), whole.made), "{spec} cut after {cut}");
        }
        for cut in 0..40 {
            let mut world = World::new(spec.clone());
            world.settle();
            // The pod ends while nobody acts; then the steps break off after `cut` actions.
            world.budget = cut;
            let code = if whole.made == 1 && whole.job.status.succeeded == 1 { 0 } else { 1 };
            world.exit(code);
            let done = world.budget > 0;
            world.budget = usize::MAX;
            world.settle();
            let mut smooth = World::new(spec.clone());
            smooth.settle().exit(code);
            assert_eq!(world.end(), smooth.end(), "{spec} cut after {cut}");
            if done {
                break;
            }
        }
    }
}
