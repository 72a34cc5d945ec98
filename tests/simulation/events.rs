//! Kubernetes Events: what a person would want to know, on the object that it regards, and once.

use super::experiments::experiment;
use super::script::{End, Play, Program, Script, improving, plain};
use super::world::World;
use automl_operator::api::{Trial, TrialSpec};
use automl_operator::local::apiserver::{Fault, RequestInfo, Verb};
use automl_operator::space::Value;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, PostParams};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// `Warning e-00001 ProgramFailed: exit code 1`, in the order of their times.
fn told(world: &World) -> Vec<String> {
    let mut events: Vec<(u64, String)> = world.server.dump("events").iter().map(|event| line(event)).collect();
    events.sort();
    events.into_iter().map(|(_, line)| line).collect()
}

fn line(event: &Json) -> (u64, String) {
    let text = |pointer: &str| event.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned();
    let regarding = if event["regarding"].is_null() { "/involvedObject" } else { "/regarding" };
    let of = |field: &str| text(&format!("{regarding}/{field}"));
    assert_eq!(of("apiVersion"), "automl.dev/v1alpha1");
    assert!(!of("uid").is_empty() && !text("/eventTime").is_empty(), "{event}");
    let note = format!("{}{}", text("/note"), text("/message"));
    let line = format!("{} {} {} {}: {note}", text("/type"), of("kind"), of("name"), text("/reason"));
    (text("/metadata/resourceVersion").parse().unwrap(), line)
}

fn play(play: impl Fn(&Program) -> Script + Send + Sync + 'static) -> Play {
    Arc::new(play)
}

fn standard(program: &Program) -> Script {
    plain()(program)
}

fn second(end: End) -> Play {
    play(move |program| match (program.index, program.attempt) {
        (Some(1), 0) => Script { end: end.clone(), ..standard(program) },
        _ => standard(program),
    })
}

fn trials(count: u32, change: Json) -> Json {
    let mut spec = json!({"limits": {"maxTrials": count, "parallelTrials": 1}});
    json_patch::merge(&mut spec, &change);
    experiment("e", spec)
}

/// The Events of an experiment that is left alone, an hour after it came to rest.
async fn of(world: &World, experiment: &Json) -> Vec<String> {
    let _life = world.start("operator");
    world.create(experiment).await;
    sleep(Duration::from_secs(1800)).await;
    let events = told(world);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(told(world), events, "nothing happens, and nothing is told");
    events
}

#[tokio::test(start_paused = true)]
async fn each_thing_is_told_once_on_the_object_that_it_regards() {
    let complete = "Normal Experiment e MaxTrialsReached: all 2 trials have ended";
    let unschedulable = "Normal Trial e-00001 Pending: pod e-00001-pod is not scheduled (Unschedulable): 0/1 nodes are \
                         available: 1 Insufficient nvidia.com/gpu.";
    let table: Vec<(&str, Play, Json, Vec<&str>)> = vec![
        ("all is well", play(standard), trials(2, json!({})), vec![complete]),
        (
            "a program fails",
            second(End::Exit(3)),
            trials(2, json!({})),
            vec!["Warning Trial e-00001 ProgramFailed: exit code 3; its last line: the last line", complete],
        ),
        (
            "a pod is taken away",
            second(End::Evicted),
            trials(2, json!({})),
            vec![
                "Warning Trial e-00001 Retrying: attempt 2: Pod p failed matching FailJob rule: condition \
                 DisruptionTarget (1 of 3 retries used)",
                complete,
            ],
        ),
        ("no node fits", second(End::Unschedulable), trials(2, json!({})), vec![unschedulable]),
        (
            "every program fails",
            play(|program| Script { end: End::Exit(1), ..standard(program) }),
            trials(1, json!({"limits": {"maxFailedTrials": 0}})),
            vec![
                "Warning Trial e-00000 ProgramFailed: exit code 1; its last line: the last line",
                "Warning Experiment e MaxFailedTrialsExceeded: 1 trial failed, more than limits.maxFailedTrials (0) \
                 allows; see the failed trials' messages",
            ],
        ),
        (
            "it is suspended",
            play(standard),
            trials(2, json!({"suspend": true})),
            vec!["Normal Experiment e Suspended: "],
        ),
        (
            "the metric is missing",
            play(|program| improving("accuracy", program.number("x"), 3)),
            trials(1, json!({"limits": {"maxFailedTrials": 0}})),
            vec!["Warning Trial e-00000 MetricNotFound", "Warning Experiment e MaxFailedTrialsExceeded"],
        ),
        (
            "the template cannot be run",
            play(standard),
            trials(2, json!({"trialTemplate": {"primaryContainer": "tarin"}})),
            vec!["Warning Experiment e InvalidTemplate: "],
        ),
    ];
    for (what, play, experiment, expected) in table {
        let world = World::new(play);
        let events = of(&world, &experiment).await;
        assert_eq!(events.len(), expected.len(), "{what}: {events:#?}");
        for (event, expected) in events.iter().zip(expected) {
            assert!(event.starts_with(expected), "{what}: {event:?}, not {expected:?}");
        }
    }
    let world = World::new(play(standard));
    let jobs = AtomicUsize::new(0);
    world.server.set_faults(Some(Arc::new(move |request: &RequestInfo| {
        let job = request.resource == "jobs" && request.verb == Verb::Create && !request.dry_run;
        match job && jobs.fetch_add(1, Ordering::Relaxed) > 0 {
            true => Fault::Answer { code: 403, reason: "Forbidden".into(), retry_after: None },
            false => Fault::None,
        }
    })));
    let events = of(&world, &trials(2, json!({}))).await;
    assert_eq!(events.len(), 1, "{events:#?}");
    assert!(events[0].starts_with("Warning Trial e-00001 JobRefused: "), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_and_an_experiment_that_is_missing_are_told() {
    let world = World::new(play(standard));
    let jobs: Api<Job> = Api::namespaced(world.user.clone(), "default");
    let stranger = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "e-00000"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
    });
    jobs.create(&PostParams::default(), &serde_json::from_value(stranger).unwrap()).await.unwrap();
    let spec = TrialSpec {
        experiment: "another".into(),
        assignments: [("x".to_owned(), Value::Double(0.5))].into(),
        ..TrialSpec::default()
    };
    world.trials().create(&PostParams::default(), &Trial::new("mine", spec)).await.unwrap();
    let mut events = of(&world, &trials(2, json!({}))).await;
    events.sort();
    let expected = [
        "Warning Trial e-00000 NameTaken: a Job e-00000 exists that is not this trial's; delete it",
        "Warning Trial mine ExperimentNotFound: there is no Experiment \"another\" in this namespace; the trial starts \
         once there is",
    ];
    assert_eq!(events, expected);
}
