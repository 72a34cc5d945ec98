//! What people do to an Experiment while it runs.

use super::manifests::{busybox, experiment, of_pod, trials};
use super::space::Space;
use automl_operator::api::Experiment;
use automl_operator::api::conditions::is_true;
use kube::api::DeleteParams;
use serde_json::json;

#[tokio::test]
async fn a_suspended_experiment_starts_nothing_until_it_is_resumed() {
    let Some(space) = Space::new("suspend").await else { return };
    space.create(&experiment("e", trials(4), busybox("sleep 3; echo accuracy=1"))).await;
    space.until_running("e", 1).await;
    space.edit("e", json!({"suspend": true})).await;
    let at_rest = |space: Space| async move {
        let status = space.status("e").await;
        let rest = (status.trials.running, status.trials.pending) == (0, 0);
        (rest && is_true(&status.conditions, "Suspended")).then_some(status.trials)
    };
    let before = space.until("what ran has ended", at_rest).await;
    assert!((1..4).contains(&before.succeeded), "{before:?}");
    // As long as another takes from its beginning to its end.
    space.create(&experiment("other", trials(1), busybox("echo accuracy=1"))).await;
    space.complete("other").await;
    assert_eq!(space.status("e").await.trials, before);
    assert_eq!(space.trials_of("e").await.len(), usize::try_from(before.created).unwrap());
    space.edit("e", json!({"suspend": false})).await;
    assert_eq!(space.complete("e").await.trials.succeeded, 4);
    space.end().await;
}

#[tokio::test]
async fn limits_are_raised_and_lowered_while_it_runs_and_after() {
    let Some(space) = Space::new("limits").await else { return };
    space.create(&experiment("raised", trials(1), busybox("echo accuracy=1"))).await;
    let many = json!({"maxTrials": 50, "parallelTrials": 3, "maxFailedTrials": 0});
    space.create(&experiment("lowered", many, busybox("sleep 5; echo accuracy=1"))).await;
    assert_eq!(space.complete("raised").await.trials.succeeded, 1);
    space.edit("raised", json!({"limits": {"maxTrials": 3, "parallelTrials": 2}})).await;
    space.until_running("lowered", 3).await;
    space.edit("lowered", json!({"limits": {"maxTrials": 3, "parallelTrials": 1}})).await;
    let three = |space: Space| async move { (space.status("raised").await.trials.succeeded == 3).then_some(()) };
    space.until("raised goes on", three).await;
    assert_eq!(space.complete("raised").await.trials.created, 3);
    let status = space.complete("lowered").await;
    // Those that ran when it was lowered go on to their end, and none begins after them.
    let counts = (status.trials.succeeded, status.trials.failed, status.trials.early_stopped);
    assert_eq!(counts, (status.trials.created, 0, 0), "{:?}", status.trials);
    assert!(status.trials.created < 10, "{:?}", status.trials);
    space.end().await;
}

#[tokio::test]
async fn a_deleted_experiment_leaves_nothing() {
    let Some(space) = Space::new("deleted").await else { return };
    let limits = json!({"maxTrials": 4, "parallelTrials": 2});
    let pod = json!({"containers": [busybox("echo accuracy=1; sleep 600")], "terminationGracePeriodSeconds": 4});
    for name in ["foreground", "background"] {
        space.create(&of_pod(name, limits.clone(), pod.clone())).await;
    }
    for name in ["foreground", "background"] {
        space.until_running(name, 2).await;
    }
    space.delete("foreground", DeleteParams::foreground()).await;
    space.delete("background", DeleteParams::background()).await;
    let nothing = |space: Space| async move {
        let left = space.pods().await.len() + space.jobs().await.len() + space.trials().await.len();
        (left == 0 && space.list::<Experiment>().await.is_empty()).then_some(())
    };
    space.until("nothing is left", nothing).await;
    space.end().await;
}

#[tokio::test]
async fn a_trial_that_is_made_by_hand_joins_its_experiment() {
    let Some(space) = Space::new("hand").await else { return };
    // It cannot end before the Trial is there.
    let mut object = experiment("e", trials(2), busybox("echo accuracy=${params.x}"));
    object["spec"]["suspend"] = json!(true);
    space.create(&object).await;
    let trial = "
apiVersion: automl.dev/v1alpha1
kind: Trial
metadata: {name: mine}
spec: {experiment: e, assignments: {x: 1.0}}";
    space.apply(trial);
    space.apply(&trial.replace("mine", "wrong").replace("1.0", "2.0"));
    let says = |name: &'static str, reason: &'static str| {
        let space = space.clone();
        async move {
            let look = |space: Space| async move {
                let (_, status) = space
                    .trials_of("e")
                    .await
                    .into_iter()
                    .find(|(trial, _)| trial.metadata.name.as_deref() == Some(name))?;
                status.conditions.into_iter().find(|condition| condition.reason == reason)
            };
            space.until(reason, look).await
        }
    };
    let said = says("mine", "Suspended").await;
    assert_eq!(said.status, "False", "{said:?}");
    let said = says("wrong", "InvalidAssignment").await;
    assert!(said.message.contains('x'), "{said:?}");
    space.edit("e", json!({"suspend": false})).await;
    let status = space.complete("e").await;
    let trials = (status.trials.created, status.trials.succeeded, status.trials.failed, status.trials.excused);
    assert_eq!(trials, (2, 3, 1, 1));
    let best = status.best.unwrap();
    assert_eq!((best.trial.as_str(), best.value), ("mine", 1.0));
    space.end().await;
}
