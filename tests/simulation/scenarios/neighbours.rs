//! Others in the same namespace: objects that are in the way, and an API server that does not allow everything.

use super::super::experiments::experiment;
use super::super::script::plain;
use super::super::world::World;
use super::{Scenario, merged, one_at_a_time, scenario, standard, two_at_a_time};
use automl_operator::api::conditions::types;
use automl_operator::api::{Trial, TrialSpec};
use automl_operator::local::apiserver::{Fault, RequestInfo, Verb};
use automl_operator::space::Value;
use futures::FutureExt;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// All of them.
pub fn all() -> Vec<Scenario> {
    vec![
        scenario("a Trial's name is taken", standard, |world| {
            async move {
                // Worse than all others: it is deleted, and the incumbent stays whoever made it.
                make(world, by_hand("e-00001", 0.0)).await;
                world.create(&experiment("e", one_at_a_time(3))).await;
                world.until("told", |world| world.condition("e", types::COMPLETE).1 == "NameTaken").await;
                let (_, _, message) = world.condition("e", types::COMPLETE);
                assert!(message.starts_with("cannot create Trial e-00001: a Trial of this name exists"), "{message}");
                world.rests("while the name is taken").await;
                world.trials().delete("e-00001", &DeleteParams::background()).await.unwrap();
                world.until("ended", |world| world.ended("e")).await;
            }
            .boxed()
        }),
        scenario("a claim's name is taken", standard, |world| {
            async move {
                let claims: Api<PersistentVolumeClaim> = Api::namespaced(world.user.clone(), "default");
                let theirs = serde_json::from_value(json!({"metadata": {"name": "e-checkpoints"}})).unwrap();
                claims.create(&PostParams::default(), &theirs).await.unwrap();
                let spec = json!({"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}});
                let own = json!({"checkpoint": {"volumeClaimTemplate": {"spec": spec}}});
                world.create(&experiment("e", merged(one_at_a_time(2), own))).await;
                world.until("told", |world| world.condition("e", types::COMPLETE).1 == "NameTaken").await;
                let (_, _, message) = world.condition("e", types::COMPLETE);
                let sentence =
                    "cannot create PersistentVolumeClaim e-checkpoints: a PersistentVolumeClaim of this name exists";
                assert!(message.starts_with(sentence), "{message}");
                world.rests("while the name is taken").await;
                assert!(world.stored_trials().is_empty(), "a trial was made before its claim");
                claims.delete("e-checkpoints", &DeleteParams::background()).await.unwrap();
                world.until("ended", |world| world.ended("e")).await;
            }
            .boxed()
        }),
        scenario("a Trial has another controller", standard, |world| {
            async move {
                let owners: Api<ConfigMap> = Api::namespaced(world.user.clone(), "default");
                let owner = serde_json::from_value(json!({"metadata": {"name": "theirs"}})).unwrap();
                let owner = owners.create(&PostParams::default(), &owner).await.unwrap();
                let mut trial = by_hand("mine", 0.5);
                let reference = json!([{
                    "apiVersion": "v1", "kind": "ConfigMap", "name": "theirs", "uid": owner.uid(), "controller": true,
                }]);
                trial.metadata.owner_references = serde_json::from_value(reference).unwrap();
                make(world, trial).await;
                world.create(&experiment("e", two_at_a_time(3))).await;
                world.until("ended", |world| world.ended("e")).await;
                assert!(world.waits("mine", "NotAdopted"));
            }
            .boxed()
        }),
        scenario("deleted without its Trials and made anew", standard, |world| {
            async move {
                let small = experiment("e", one_at_a_time(2));
                world.create(&small).await;
                world.until("ended", |world| world.ended("e")).await;
                sleep(Duration::from_secs(60)).await;
                let orphan = DeleteParams {
                    propagation_policy: Some(kube::api::PropagationPolicy::Orphan),
                    ..DeleteParams::default()
                };
                world.experiments("default").delete("e", &orphan).await.unwrap();
                world.until("gone", |world| world.experiment("e").is_none()).await;
                sleep(Duration::from_secs(5)).await;
                world.create(&small).await;
                world.until("told", |world| world.condition("e", types::COMPLETE).1 == "NameTaken").await;
                assert_eq!(world.condition("e", types::ACCEPTED).0, "True");
                sleep(Duration::from_secs(60)).await;
                for trial in ["e-00000", "e-00001"] {
                    world.trials().delete(trial, &DeleteParams::background()).await.unwrap();
                }
                world.until("ended", |world| world.ended("e")).await;
            }
            .boxed()
        }),
    ]
}

fn by_hand(name: &str, x: f64) -> Trial {
    let assignments = [("x".to_owned(), Value::Double(x))].into();
    Trial::new(name, TrialSpec { experiment: "e".into(), assignments, ..TrialSpec::default() })
}

async fn make(world: &World, trial: Trial) {
    world.trials().create(&PostParams::default(), &trial).await.unwrap();
}

/// From now on these requests of the operator are refused with this code.
fn refuse(world: &World, code: u16, reason: &'static str, which: fn(&RequestInfo) -> bool) {
    world.server.set_faults(Some(Arc::new(move |request: &RequestInfo| {
        match request.user_agent.starts_with("operator") && which(request) {
            true => Fault::Answer { code, reason: reason.into(), retry_after: None },
            false => Fault::None,
        }
    })));
}

/// What the API server keeps refusing is told, holds up nothing else, and is done once it is allowed.
#[tokio::test(start_paused = true)]
async fn what_is_refused_again_and_again_is_told() {
    type Case = (&'static str, u16, &'static str, fn(&RequestInfo) -> bool, &'static str);
    let table: [Case; 4] = [
        (
            "a quota of Trials",
            403,
            "Forbidden",
            |r| r.resource == "trials" && r.verb == Verb::Create,
            "cannot create Trial e-00000:",
        ),
        (
            "a policy",
            422,
            "Invalid",
            |r| r.resource == "trials" && r.verb == Verb::Create,
            "cannot create Trial e-00000:",
        ),
        (
            "a webhook that fails",
            500,
            "InternalError",
            |r| r.resource == "trials" && r.name == "mine",
            "cannot adopt Trial mine:",
        ),
        (
            "no right to adopt",
            403,
            "Forbidden",
            |r| r.resource == "trials" && r.name == "mine",
            "cannot adopt Trial mine:",
        ),
    ];
    for (name, code, reason, which, sentence) in table {
        let world = World::new(plain());
        refuse(&world, code, reason, which);
        let life = world.start("operator");
        make(&world, by_hand("mine", 0.5)).await;
        world.create(&experiment("e", json!({"limits": {"maxTrials": 60, "parallelTrials": 1}}))).await;
        world.until("told", |world| world.condition("e", types::COMPLETE).1 == "ApiRefused").await;
        let (_, _, message) = world.condition("e", types::COMPLETE);
        assert!(message.starts_with(sentence), "{name}: {message}");
        let others = if sentence.contains("mine") { "e-00000" } else { "mine" };
        let other_ended = |world: &World| {
            let status = |trial: &Trial| trial.status.clone().unwrap_or_default();
            world.stored_trials().iter().any(|t| t.name_any() == others && status(t).completion_time.is_some())
        };
        world.until("another trial has ended", other_ended).await;
        world.server.set_faults(None);
        world.until("ended", |world| world.ended("e")).await;
        assert_eq!(world.condition("e", types::COMPLETE).1, "MaxTrialsReached", "{name}");
        drop(life);
    }
}
