//! The behaviours of the embedded API server, in process.

mod behaviours;

use automl_operator::local::apiserver::{ApiServer, TokioClock};

#[tokio::test(start_paused = true)]
async fn behaves_like_kubernetes() {
    let clock = TokioClock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let server =
        ApiServer::builder().clock(clock).seed(1).custom_resource_definition(behaviours::definition()).build().unwrap();
    let mut failed = Vec::new();
    for (at, behaviour) in behaviours::all().into_iter().enumerate() {
        let namespace = format!("behaviour-{at}");
        let check = (behaviour.check)(server.client(&namespace), namespace.clone());
        if tokio::spawn(check).await.is_err() {
            failed.push(format!("{} ({})", behaviour.claim, behaviour.page));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
