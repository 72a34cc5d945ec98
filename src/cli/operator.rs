//! `automl operator`: the controllers against a real cluster.

use super::OperatorArguments;
use super::exit::{ExitCode, Failure, Outcome};
use crate::controller::{Clock, Config, LeaseName, Mutation, Operator};
use crate::engine::Settings;
use crate::server::{INTERVAL, Intake, router};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Name of the Lease.
const LEASE: &str = "automl-operator";

const USER_AGENT: &str = concat!("automl-operator/", env!("CARGO_PKG_VERSION"));

/// Runs until told to stop, or until another replica has taken over.
pub async fn operator(arguments: OperatorArguments) -> Outcome {
    let mut config = kube::Config::infer()
        .await
        .map_err(|error| Failure::usage(format!("there is no cluster to work with: {error}; set KUBECONFIG")))?;
    // The default layer repeats POST; what may be repeated is known where the call is made.
    config.default_retry = false;
    // By this name the API server's audit log knows us.
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(USER_AGENT)));
    // From here on, so that whoever can reach the port can also end this process in order.
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt()).map_err(Failure::other)?,
        signal(SignalKind::terminate()).map_err(Failure::other)?,
    );
    let client = kube::Client::try_from(config).map_err(Failure::other)?;
    let listener = TcpListener::bind(arguments.listen).await.map_err(|error| {
        Failure::usage(format!("{} cannot be listened on: {error}; choose another with --listen", arguments.listen))
    })?;
    let address = listener.local_addr().map_err(Failure::other)?;
    let report_url = arguments.report_url.unwrap_or_else(|| format!("http://{address}"));
    let identity =
        format!("{}_{}", std::env::var("HOSTNAME").unwrap_or_else(|_| "automl".into()), uuid::Uuid::new_v4());
    let mut operator = Operator::start(
        client,
        Config {
            namespace: arguments.namespace,
            identity,
            settings: Settings { report_url, ..Settings::default() },
            lease: arguments.lease_namespace.map(|namespace| LeaseName { namespace, name: LEASE.into() }),
            concurrency: 16,
            clock: Clock::system(),
            mutation: Mutation::default(),
        },
    )
    .map_err(Failure::other)?;
    let intake = Intake::new(operator.reports(), INTERVAL);
    let storing = tokio::spawn(Arc::clone(&intake).run());
    let serving = tokio::spawn(axum::serve(listener, router(Arc::clone(&intake))).into_future());
    tracing::info!(%address, "operator started");
    let outcome = tokio::select! {
        _ = interrupt.recv() => Ok(ExitCode::Done),
        _ = terminate.recv() => Ok(ExitCode::Done),
        () = operator.lost() => Err(Failure::other("another replica leads now; this one ends and starts afresh")),
    };
    serving.abort();
    intake.flush(Duration::from_secs(10)).await;
    operator.shutdown().await;
    storing.abort();
    outcome
}
