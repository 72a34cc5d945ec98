//! A whole control plane for benches, in process.

use automl_operator::controller::{Clock, Config, Mutation};
use automl_operator::engine::Settings;
use automl_operator::local::apiserver::ApiServer;

/// The embedded API server with our kinds, in memory; it counts what it is asked.
pub fn server() -> ApiServer {
    let crds = automl_operator::api::crds().expect("CRDs");
    let builder = crds.into_iter().fold(ApiServer::builder(), |builder, crd| builder.custom_resource_definition(crd));
    builder.audit_log().build().expect("a server")
}

/// Of an operator for it.
pub fn config() -> Config {
    Config {
        namespace: None,
        only: None,
        identity: "bench".into(),
        settings: Settings { report_url: "http://127.0.0.1:1".into(), ..Settings::default() },
        lease: None,
        concurrency: 16,
        clock: Clock::system(),
        mutation: Mutation::default(),
    }
}
