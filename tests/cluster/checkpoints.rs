//! Checkpoints on a volume of the cluster: what trials go on from.

use super::bench::Bench;
use super::manifests::{busybox, experiment, trials};
use super::space::Space;
use automl_operator::api::{Experiment, Trial};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Trains until so many epochs, from the last that was saved on. `$$` is Kubernetes' `$`.
const PROGRAM: &str = r#"
d=$$AUTOML_CHECKPOINT_DIR; e=0; test -f $$d/epoch && e=$$(cat $$d/epoch)
test "$$d" = "${trial.checkpointDir}" || exit 3
while [ $$e -lt ${params.epochs} ]; do
  e=$$((e+1)); echo $$e > $$d/new; mv $$d/new $$d/epoch; echo epoch=$$e accuracy=0.$$e; sleep PAUSE
done
"#;

/// A volume for this claim of this namespace: a folder of the node that any user may write to.
async fn volume(space: &Space, folder: &Path, claim: &str) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let volumes: Api<PersistentVolume> = Api::all(space.client.clone());
    let volume = json!({
        "metadata": {"name": format!("{}-{claim}", space.namespace)},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"], "storageClassName": "",
            "hostPath": {"path": folder}, "claimRef": {"namespace": space.namespace, "name": claim},
        },
    });
    volumes.create(&PostParams::default(), &serde_json::from_value(volume).unwrap()).await.unwrap();
}

/// What a claim for such a volume says.
fn claim_spec(space: &Space, claim: &str) -> Value {
    json!({
        "accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": format!("{}-{claim}", space.namespace),
        "resources": {"requests": {"storage": "1Gi"}},
    })
}

/// Ends the namespace, and the volume of this claim.
async fn end(space: Space, claim: &str) {
    let volumes: Api<PersistentVolume> = Api::all(space.client.clone());
    let volume = format!("{}-{claim}", space.namespace);
    space.end().await;
    volumes.delete(&volume, &DeleteParams::default()).await.unwrap();
}

fn with_checkpoints(name: &str, pause: &str, limits: Value, change: Value) -> Value {
    let mut of = experiment(name, limits, busybox(&PROGRAM.replace("PAUSE", pause)));
    let spec = json!({"checkpoint": {"volume": {"persistentVolumeClaim": {"claimName": "checkpoints"}}}});
    json_patch::merge(&mut of["spec"], &spec);
    json_patch::merge(&mut of["spec"], &change);
    of
}

fn steps(status: &automl_operator::api::TrialStatus) -> Vec<u64> {
    let summary = status.metrics.iter().find(|summary| summary.name == "accuracy").unwrap();
    summary.curve.points.iter().map(|point| point.step).collect()
}

#[tokio::test]
async fn trials_go_on_from_checkpoints_of_their_own_and_of_their_parents() {
    let Some(bench) = Bench::on_bench() else { return };
    let Some(space) = Space::new("checkpoints").await else { return };
    let folder = bench.run.join("checkpoints");
    volume(&space, &folder, "checkpoints").await;
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "checkpoints"},
        "spec": claim_spec(&space, "checkpoints"),
    });
    space.create(&claim).await;

    let halving = json!({
        "algorithm": {"name": "SuccessiveHalving", "settings": {"trials": 3}},
        "fidelity": {"parameter": "epochs", "min": 2, "max": 6, "eta": 3},
    });
    let limits = json!({"maxTrials": 4, "parallelTrials": 3, "maxFailedTrials": 0});
    space.create(&with_checkpoints("rungs", "0.1", limits, halving)).await;
    // One that is interrupted: its pod is deleted while it trains.
    let whole = json!({"fidelity": {"parameter": "epochs", "min": 1, "max": 9, "eta": 3}});
    space.create(&with_checkpoints("interrupted", "1", trials(1), whole)).await;
    space.until_running("interrupted", 1).await;
    let owner = space.api::<Experiment>().get("interrupted").await.unwrap().metadata.uid.unwrap();
    let epoch = folder.join(format!("interrupted-{owner}/interrupted-00000/epoch"));
    let saved = |_| async { std::fs::read_to_string(&epoch).is_ok_and(|text| text.trim() == "3").then_some(()) };
    space.until("three epochs are saved", saved).await;
    let pod = space.pod_of("interrupted-00000").await.metadata.name.unwrap();
    space.api::<Pod>().delete(&pod, &DeleteParams::default()).await.unwrap();

    let status = space.complete("rungs").await;
    assert_eq!(status.best.as_ref().and_then(|best| best.fidelity), Some(6.0), "{status:?}");
    let all = space.trials_of("rungs").await;
    for (trial, status) in &all[..3] {
        assert_eq!((trial.spec.fidelity, steps(status)), (Some(2.0), vec![1, 2]), "{:?}", trial.metadata.name);
    }
    let (last, status) = &all[3];
    let parent = last.spec.parent.as_ref().unwrap();
    assert_eq!((last.spec.fidelity, steps(status)), (Some(6.0), vec![3, 4, 5, 6]), "it goes on from {parent:?}");
    let owner = last.metadata.owner_references.as_ref().unwrap().first().unwrap();
    let saved =
        |trial: &str| std::fs::read_to_string(folder.join(format!("rungs-{}/{trial}/epoch", owner.uid))).unwrap();
    assert_eq!((saved(&parent.name).trim(), saved("rungs-00003").trim()), ("2", "6"), "the parent's stays as it was");

    let status = space.complete("interrupted").await;
    assert_eq!(status.trials.failed, 0);
    let (_, status) = space.trials_of("interrupted").await.remove(0);
    assert_eq!(status.attempt, 1, "{status:?}");
    let seen = steps(&status);
    // Each epoch once; the one that was saved and not printed before the end may be missing.
    assert!(seen.windows(2).all(|two| two[0] < two[1]) && seen.len() >= 8, "{seen:?}");
    assert_eq!((seen.first(), seen.last()), (Some(&1), Some(&9)), "{seen:?}");
    end(space, "checkpoints").await;
}

/// Adds its parameter to a sum in each epoch. The smaller the parameter, the slower: whoever is bad ends late.
const ADDS: &str = r#"
d=$$AUTOML_CHECKPOINT_DIR; e=0; s=0; test -f $$d/state && read e s < $$d/state
while [ $$e -lt ${params.epochs} ]; do
  e=$$((e+1)); s=$$(echo "$$s ${params.x}" | awk '{print $$1 + $$2}')
  echo "$$e $$s" > $$d/new; mv $$d/new $$d/state; echo epoch=$$e accuracy=$$s
  sleep $$(echo ${params.x} | awk '{print 0.5 + 2 * (1 - $$1)}')
done
"#;

#[tokio::test]
async fn a_population_of_four_pods_shares_a_claim_that_the_operator_makes() {
    let Some(bench) = Bench::on_bench() else { return };
    let Some(space) = Space::new("population").await else { return };
    let claim = "pbt-checkpoints";
    volume(&space, &bench.run.join("population"), claim).await;
    let limits = json!({"maxTrials": 12, "parallelTrials": 4, "maxFailedTrials": 0});
    let mut pbt = experiment("pbt", limits, busybox(ADDS));
    let spec = json!({
        "algorithm": {"name": "PBT", "seed": 3, "settings": {"population": 4, "truncation": 0.5}},
        "fidelity": {"parameter": "epochs", "min": 2, "max": 6},
        "checkpoint": {"volumeClaimTemplate": {
            "metadata": {"labels": {"team": "a"}}, "spec": claim_spec(&space, claim),
        }},
    });
    json_patch::merge(&mut pbt["spec"], &spec);
    space.create(&pbt).await;
    space.until_running("pbt", 4).await;
    let status = space.complete("pbt").await;
    assert_eq!((status.trials.succeeded, status.trials.failed), (12, 0), "{status:?}");

    let all = space.trials_of("pbt").await;
    let find = |name: &str| all.iter().find(|(trial, _)| trial.metadata.name.as_deref() == Some(name)).unwrap();
    let x = |trial: &Trial| trial.spec.assignments["x"].as_f64().unwrap();
    let mut copied = 0;
    for (trial, status) in &all {
        let epochs = trial.spec.fidelity.unwrap() as u64;
        assert_eq!(steps(status), [epochs - 1, epochs], "{:?} trains two epochs more", trial.metadata.name);
        let before = match &trial.spec.parent {
            None => 0.0,
            Some(parent) => {
                let (parent, status) = find(&parent.name);
                copied += usize::from(parent.spec.assignments != trial.spec.assignments);
                status.objective.unwrap()
            }
        };
        let sum = status.objective.unwrap();
        let expected = before + 2.0 * x(trial);
        assert!((sum - expected).abs() < 1e-3, "{:?}: {sum}, not {expected}", trial.metadata.name);
    }
    // Where one is far ahead of the others, a fifth begins in its place.
    assert!(all.iter().filter(|(trial, _)| trial.spec.parent.is_none()).count() >= 4);
    assert!(copied > 0, "nobody has gone on as a copy of a better one with other parameters");

    let found = space.api::<PersistentVolumeClaim>().get(claim).await.unwrap().metadata;
    let owner = space.experiment().await.metadata.uid;
    assert_eq!(found.owner_references.map(|owners| owners[0].uid.clone()), owner);
    assert_eq!(found.labels.unwrap()["team"], "a");
    let made = |request: &&Value| {
        let object = &request["objectRef"];
        let asked = request["requestURI"].as_str().unwrap().contains("dryRun");
        request["verb"] == "create"
            && object["resource"] == "persistentvolumeclaims"
            && !asked
            && object["namespace"] == space.namespace
    };
    assert_eq!(bench.requests(&space).iter().filter(made).count(), 1);
    space.delete("pbt", DeleteParams::background()).await;
    let gone = |space: Space| async move {
        space.api::<PersistentVolumeClaim>().get_opt(claim).await.unwrap().is_none().then_some(())
    };
    space.until("the claim goes with its experiment", gone).await;
    end(space, claim).await;
}
