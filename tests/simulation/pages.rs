//! Lists of several pages, while the API server forgets.

use super::experiments::experiment;
use super::faults::touch;
use super::script::plain;
use super::world::World;
use automl_operator::api::{Trial, TrialSpec};
use automl_operator::local::apiserver::{Fault, Verb};
use automl_operator::space::Value;
use futures::FutureExt;
use kube::api::PostParams;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// More than a page.
const MANY: usize = 620;

/// Between two pages an object of the first goes, and what was so when the list began is forgotten.
#[tokio::test(start_paused = true)]
async fn a_list_whose_token_expires_in_the_middle_is_begun_anew() {
    let world = World::new(plain());
    for number in 0..MANY {
        let assignments = [("x".to_owned(), Value::Double(0.5))].into();
        let spec = TrialSpec { experiment: "another".into(), assignments, ..TrialSpec::default() };
        world.trials().create(&PostParams::default(), &Trial::new(&format!("t{number:03}"), spec)).await.unwrap();
    }
    let expired = Arc::new(AtomicUsize::new(0));
    let count = expired.clone();
    world.chaos.set_trouble(Some(Arc::new(move |asked| {
        let next_page =
            asked.info.resource == "trials" && asked.info.verb == Verb::List && asked.info.path.contains("continue=");
        let seen = if next_page { count.fetch_add(1, Ordering::Relaxed) } else { 2 };
        if seen < 2 {
            let gone = http::Request::delete("/apis/automl.dev/v1alpha1/namespaces/default/trials/t001").body(());
            let (parts, ()) = gone.unwrap().into_parts();
            // The second time it is not there any more.
            asked.server.serve_request(&parts, bytes::Bytes::new()).now_or_never().unwrap().unwrap();
            let mut other = asked.info.clone();
            other.path = "/apis/automl.dev/v1alpha1/namespaces/default/trials/t000".into();
            touch(asked.server, &other, u32::try_from(seen).unwrap());
            asked.server.compact();
        }
        Fault::None
    })));
    let _life = world.start("operator");
    world.create(&experiment("e", json!({"limits": {"maxTrials": 2, "parallelTrials": 1}}))).await;
    world.until("ended", |world| world.ended("e")).await;
    let told = |world: &World| {
        let missing = |trial: &Trial| trial.conditions().iter().any(|c| c.reason == "ExperimentNotFound");
        world.stored_trials().iter().filter(|trial| missing(trial)).count() == MANY - 1
    };
    world.until("each trial that is left is told", told).await;
    let log = world.server.audit_log();
    let refused = log.iter().filter(|line| line.code == 410 && line.request.path.contains("continue="));
    assert_eq!(refused.count(), 2);
    assert!(expired.load(Ordering::Relaxed) >= 3, "the third attempt has come to its end");
}
