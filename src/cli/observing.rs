//! How the controllers are watched, as arguments say: alike on a cluster and on a laptop.

use super::price::GpuPrice;
use crate::controller::Operator;
use clap::Args;

/// Logs, traces, and prices for the dashboards.
#[derive(Clone, Debug, Default, Args)]
pub struct ObservingArguments {
    /// What a GPU costs, in US dollars an hour, by the model that the DCGM exporter names: told as a metric, for the dashboard
    /// of costs; `any` stands for all models that are not named; may be repeated
    #[arg(long = "gpu-price", value_name = "MODEL=DOLLARS")]
    gpu_prices: Vec<GpuPrice>,
    /// Where traces go, as OTLP over HTTP: the spans of each trial and experiment that has ended; trials are told their place in
    /// them by TRACEPARENT
    #[arg(long, value_name = "URL", env = "AUTOML_OTLP_ENDPOINT", value_parser = plain_http)]
    pub otlp_endpoint: Option<String>,
    /// Log lines as JSON, on standard error: one for each decision, unless RUST_LOG says otherwise
    #[arg(long, env = "AUTOML_LOG_JSON")]
    pub log_json: bool,
}

impl ObservingArguments {
    /// Tells in the metrics what a GPU costs.
    pub fn tell_prices(&self, operator: &Operator) {
        for price in &self.gpu_prices {
            operator.telemetry().gpu_price.with_label_values(&[&price.model]).set(price.dollars);
        }
    }
}

fn plain_http(url: &str) -> Result<String, String> {
    match url.parse::<http::Uri>() {
        Ok(parsed) if parsed.scheme_str() == Some("http") && parsed.host().is_some() => Ok(url.to_owned()),
        _ => {
            Err("it must be http://HOST:PORT of a collector, such as http://localhost:4318; there is no TLS here"
                .into())
        }
    }
}
