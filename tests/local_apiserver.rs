//! The behaviours of the embedded control plane: of itself, and, where there is one, of a real one.

mod apiserver_support;
#[macro_use]
mod behaviours;

use automl_operator::local::apiserver::{ApiServer, TokioClock};
use behaviours::Behaviour;
use std::collections::BTreeSet;

#[test]
fn each_claim_is_made_once_and_has_its_page() {
    let behaviours: Vec<Behaviour> = behaviours::all().into_iter().chain(behaviours::with_pods()).collect();
    assert!(behaviours.len() >= 60, "{}", behaviours.len());
    let claims: BTreeSet<&str> = behaviours.iter().map(|behaviour| behaviour.claim).collect();
    assert_eq!(claims.len(), behaviours.len());
    for behaviour in behaviours {
        let address = behaviour.address();
        let path = address.strip_prefix("https://kubernetes.io/docs/").or(address.strip_prefix("https://kep.k8s.io/"));
        assert!(path.is_some_and(|path| path.len() > 3 && !path.contains(' ')), "{}: {address}", behaviour.claim);
    }
}

#[tokio::test(start_paused = true)]
async fn the_embedded_server_behaves_like_kubernetes() {
    let clock = TokioClock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let server = ApiServer::builder().clock(clock).seed(1).build().unwrap();
    let failed = behaviours::run(&server.client("default"), "behaviour", behaviours::all()).await;
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The same list against a real one. It leaves namespaces behind.
#[tokio::test]
async fn a_real_cluster_behaves_like_kubernetes() {
    let Some(client) = apiserver_support::real().await else { return };
    let failed = behaviours::run(&client, "behaviour", behaviours::all()).await;
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Jobs, whose pods are processes here.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_runner_behaves_like_kubernetes() {
    use automl_operator::local::runner::{Runner, Settings};

    let folder = tempfile::tempdir().unwrap();
    let server = ApiServer::builder().build().unwrap();
    let client = server.client("default");
    let settings = Settings::new(folder.path().join("state"), folder.path().to_owned());
    let runner = Runner::start(client.clone(), settings).await.unwrap();
    let failed = behaviours::run(&client, "job", behaviours::with_pods()).await;
    runner.stop(std::time::Duration::from_secs(5)).await.unwrap();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Jobs again, on a control plane without nodes: their pods are played.
#[tokio::test]
async fn a_real_job_controller_behaves_like_kubernetes() {
    let Some(client) = apiserver_support::real().await else { return };
    let kubelet = tokio::spawn(behaviours::kubelet::play(client.clone()));
    let failed = behaviours::run(&client, "job", behaviours::with_pods()).await;
    kubelet.abort();
    assert!(failed.is_empty(), "{failed:#?}");
}
