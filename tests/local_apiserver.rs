//! The behaviours of the embedded API server: in process, and, where there is one, of a real cluster.

mod apiserver_support;
#[macro_use]
mod behaviours;

use automl_operator::local::apiserver::{ApiServer, TokioClock};

#[tokio::test(start_paused = true)]
async fn the_embedded_server_behaves_like_kubernetes() {
    let clock = TokioClock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let server = ApiServer::builder().clock(clock).seed(1).build().unwrap();
    let behaviours = behaviours::all();
    assert!(behaviours.len() >= 40);
    let failed = behaviours::run(&server.client("default"), behaviours).await;
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The same list against a real one. It leaves namespaces behind.
#[tokio::test]
async fn a_real_cluster_behaves_like_kubernetes() {
    let Some(client) = apiserver_support::real().await else { return };
    let failed = behaviours::run(&client, behaviours::all()).await;
    assert!(failed.is_empty(), "{failed:#?}");
}
