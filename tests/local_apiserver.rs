//! The behaviours of the embedded API server: in process, and, where there is one, of a real cluster.

#[macro_use]
mod behaviours;

use automl_operator::local::apiserver::{ApiServer, TokioClock};
use behaviours::Needs;

#[tokio::test(start_paused = true)]
async fn the_embedded_server_behaves_like_kubernetes() {
    let clock = TokioClock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let server = ApiServer::builder().clock(clock).seed(1).build().unwrap();
    let behaviours = behaviours::all();
    assert!(behaviours.len() >= 40);
    let failed = behaviours::run(&server.client("default"), behaviours).await;
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The same list against the cluster of KUBECONFIG. It leaves namespaces behind, so the cluster should be one to
/// throw away. Set `BEHAVIOURS_WITHOUT_CONTROLLERS` where only an API server runs, and start that one with
/// `--disable-admission-plugins=ServiceAccount`: no controller makes the account that pods ask for.
#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_real_cluster_behaves_like_kubernetes() {
    let mut config = kube::Config::infer().await.unwrap();
    // A refusal is what some behaviours are about; it is not to be tried again.
    config.default_retry = false;
    let client = kube::Client::try_from(config).unwrap();
    let mut behaviours = behaviours::all();
    if std::env::var_os("BEHAVIOURS_WITHOUT_CONTROLLERS").is_some() {
        behaviours.retain(|behaviour| behaviour.needs == Needs::Nothing);
    }
    let failed = behaviours::run(&client, behaviours).await;
    assert!(failed.is_empty(), "{failed:#?}");
}
