//! `automl operator`: the controllers against a real cluster.

use super::OperatorArguments;
use super::exit::{ExitCode, Failure, Outcome};
use super::print;
use crate::controller::{Clock, Config, Ended, Finding, LeaseName, Mutation, Operator, Plans, Timing, checkup};
use crate::engine::{AgentContainer, Settings};
use crate::local::runner::Quantity;
use crate::server::{Intake, LogLevel, Observed, Pace, Passing, router, serve};
use axum::Router;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const USER_AGENT: &str = concat!("automl-operator/", env!("CARGO_PKG_VERSION"));

/// A client that says each thing once: kube's own layer repeats a POST, too, and what may be repeated is known where the
/// call is made.
fn client(mut config: kube::Config) -> Result<kube::Client, Failure> {
    config.default_retry = false;
    // By this name the API server's audit log knows us.
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(USER_AGENT)));
    kube::Client::try_from(config).map_err(Failure::other)
}

async fn listen(address: SocketAddr, argument: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::usage(format!("{address} cannot be listened on: {error}; choose another with {argument}"))
    })
}

/// Serves metrics, where they have a port of their own; pending where they have none.
async fn serve_metrics(listener: Option<TcpListener>, routes: Router) -> std::io::Result<()> {
    match listener {
        Some(listener) => serve(listener, routes).await,
        None => std::future::pending().await,
    }
}

/// What the operator may and may not do.
async fn check(config: kube::Config, arguments: OperatorArguments) -> Outcome {
    let timing = Timing::of(Duration::from_secs(arguments.lease_duration));
    let lease = |namespace| LeaseName { namespace, name: arguments.lease_name, own_url: None, timing };
    let plans = Plans {
        namespace: arguments.namespace,
        lease: arguments.lease_namespace.map(lease),
        metrics_authentication: arguments.metrics_authentication,
    };
    let mut found = checkup(&client(config)?, &plans).await;
    if let Some(queries) = arguments.prometheus.queries()? {
        found.push(match queries.reach().await {
            Ok(()) => Finding { good: true, sentence: "Prometheus answers queries".into() },
            Err(why) => Finding { good: false, sentence: format!("Prometheus: {why}; look at --prometheus-url") },
        });
    }
    let lines =
        found.iter().map(|finding| format!("{} {}\n", if finding.good { "ok  " } else { "FAIL" }, finding.sentence));
    print::text(&lines.collect::<String>())?;
    Ok(if found.iter().all(|finding| finding.good) { ExitCode::Done } else { ExitCode::Failed })
}

/// A quantity of Kubernetes, as it was written.
pub fn quantity(text: &str) -> Result<String, String> {
    match Quantity::parse(&text.into()) {
        Some(parsed) if parsed > Quantity::default() => Ok(text.to_owned()),
        _ => Err("it must be a quantity of Kubernetes above zero, such as 100m or 32Mi".into()),
    }
}

/// Runs until told to stop, or until another replica has taken over.
pub async fn operator(arguments: OperatorArguments, log_level: LogLevel) -> Outcome {
    let config = kube::Config::infer()
        .await
        .map_err(|error| Failure::usage(format!("there is no cluster to work with: {error}; set KUBECONFIG")))?;
    if arguments.check {
        return check(config, arguments).await;
    }
    // From here on, so that whoever can reach the port can also end this process in order.
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt()).map_err(Failure::other)?,
        signal(SignalKind::terminate()).map_err(Failure::other)?,
    );
    let client = client(config)?;
    let queries = arguments.prometheus.queries()?;
    let listener = listen(arguments.listen, "--listen").await?;
    let address = listener.local_addr().map_err(Failure::other)?;
    let metrics_listener = match arguments.metrics_address {
        Some(address) => Some(listen(address, "--metrics-address").await?),
        None => None,
    };
    let metrics_address = metrics_listener.as_ref().map_or(Ok(address), TcpListener::local_addr);
    let metrics_address = metrics_address.map_err(Failure::other)?;
    let agent = arguments.agent_image.map(|image| AgentContainer {
        image,
        pull_policy: arguments.agent_image_pull_policy,
        cpu: arguments.agent_cpu,
        memory: arguments.agent_memory,
    });
    if agent.is_some() && arguments.report_url.is_none() {
        return Err(Failure::usage("--agent-image needs --report-url: the URL at which pods reach this operator"));
    }
    let report_url = arguments.report_url.unwrap_or_else(|| format!("http://{address}"));
    let own_url = arguments.replica_ip.map(|ip| format!("http://{}", SocketAddr::new(ip, address.port())));
    let identity =
        format!("{}_{}", std::env::var("HOSTNAME").unwrap_or_else(|_| "automl".into()), uuid::Uuid::new_v4());
    let mut operator = Operator::start(
        client,
        Config {
            namespace: arguments.namespace,
            only: None,
            identity,
            settings: Settings {
                report_url,
                agent,
                otlp_endpoint: arguments.observing.otlp_endpoint.clone(),
                prometheus: arguments.prometheus.settings(Some("namespace")),
                ..Settings::default()
            },
            lease: arguments.lease_namespace.map(|namespace| LeaseName {
                namespace,
                name: arguments.lease_name,
                own_url,
                timing: Timing::of(Duration::from_secs(arguments.lease_duration)),
            }),
            concurrency: 16,
            clock: Clock::system(),
            mutation: Mutation::default(),
        },
    )
    .map_err(Failure::other)?;
    arguments.observing.tell_prices(&operator);
    let intake = Intake::new(operator.reports(), Pace::CLUSTER);
    let mut storing = tokio::spawn(Arc::clone(&intake).run());
    let observed = Observed {
        visitors: arguments.metrics_authentication.then(|| operator.visitors()),
        // Whoever can change it can fill a disk with it.
        log_level: (arguments.metrics_authentication || metrics_address.ip().is_loopback()).then_some(log_level),
    };
    let metrics = observed.router(Arc::clone(&intake));
    let routes = router(Arc::clone(&intake), Some(Passing::new(operator.leader())), queries);
    let routes = if metrics_listener.is_some() { routes } else { routes.merge(metrics.clone()) };
    let mut serving = tokio::spawn(serve(listener, routes));
    let mut observing = tokio::spawn(serve_metrics(metrics_listener, metrics));
    tracing::info!(%address, %metrics_address, "operator started");
    let outcome = tokio::select! {
        _ = interrupt.recv() => Ok(ExitCode::Done),
        _ = terminate.recv() => Ok(ExitCode::Done),
        ended = operator.lost() => Err(Failure::other(ended)),
        _ = &mut storing => Err(Failure::other(Ended::Part("storing of reports"))),
        _ = &mut serving => Err(Failure::other(Ended::Part("report endpoint"))),
        _ = &mut observing => Err(Failure::other(Ended::Part("metrics endpoint"))),
    };
    serving.abort();
    observing.abort();
    intake.flush(Duration::from_secs(10)).await;
    operator.shutdown().await;
    storing.abort();
    outcome
}

#[cfg(test)]
mod tests {
    use super::client;
    use axum::http::{Method, StatusCode};
    use k8s_openapi::api::batch::v1::Job;
    use kube::api::{Api, PostParams};
    use std::sync::{Arc, Mutex};

    #[tokio::test]
    async fn a_post_is_sent_once_whatever_the_answer() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        // What goes wrong once goes well the second time, so a client that repeats would not even notice.
        let server = axum::Router::new().fallback(move |method: Method| async move {
            let mut log = log.lock().unwrap();
            log.push(method);
            let status = if log.len() == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::CREATED };
            (status, [("retry-after", "0")], r#"{"metadata": {"name": "a"}}"#)
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(axum::serve(listener, server).into_future());
        let client = client(kube::Config::new(url.parse().unwrap())).unwrap_or_else(|_| panic!("a client"));
        let jobs: Api<Job> = Api::namespaced(client, "default");
        let answer = jobs.create(&PostParams::default(), &Job::default()).await;
        assert!(answer.is_err(), "{answer:?}");
        assert_eq!(*seen.lock().unwrap(), [Method::POST]);
        serving.abort();
    }
}
