//! The Prometheus that is asked about trials, as arguments say.

use super::exit::Failure;
use crate::engine::Prometheus;
use crate::server::Queries;
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;

/// Which Prometheus is asked for `spec.metrics.source.prometheusQuery`.
#[derive(Clone, Debug, Default, Args)]
pub struct PrometheusArguments {
    /// URL of the Prometheus that Experiments may ask about their trials (metrics.source.prometheusQuery)
    #[arg(long = "prometheus-url", value_name = "URL", env = "AUTOML_PROMETHEUS_URL")]
    url: Option<String>,
    /// Label in which series there have their namespace: Experiments see those of their own [default: namespace; on a
    /// laptop all are seen]
    #[arg(long = "prometheus-namespace-label", value_name = "LABEL", env = "AUTOML_PROMETHEUS_NAMESPACE_LABEL",
          value_parser = label, requires = "url")]
    namespace_label: Option<String>,
    /// File with the bearer token for it
    #[arg(long = "prometheus-token-file", value_name = "FILE", env = "AUTOML_PROMETHEUS_TOKEN_FILE", requires = "url")]
    token_file: Option<PathBuf>,
    /// File with the certificates that its own is to be signed by [default: the system's]
    #[arg(long = "prometheus-ca-file", value_name = "FILE", env = "AUTOML_PROMETHEUS_CA_FILE", requires = "url")]
    ca_file: Option<PathBuf>,
}

fn label(text: &str) -> Result<String, String> {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let good = text.starts_with(first) && text.chars().all(|c| first(c) || c.is_ascii_digit());
    good.then(|| text.to_owned()).ok_or_else(|| "it is no label's name; write for example namespace".into())
}

impl PrometheusArguments {
    /// For the engine; `None`: there is none. `label`: where none is given.
    pub fn settings(&self, label: Option<&str>) -> Option<Prometheus> {
        self.url.as_ref()?;
        let namespace_label = self.namespace_label.clone().or_else(|| label.map(str::to_owned));
        Some(Prometheus { namespace_label })
    }

    /// The way to it.
    ///
    /// # Errors
    /// The arguments lead nowhere.
    pub fn queries(&self) -> Result<Option<Arc<Queries>>, Failure> {
        let Some(url) = &self.url else { return Ok(None) };
        let usage = |why: &str| Failure::usage(format!("--prometheus-url {url}: {why}"));
        let uri: http::Uri = url.parse().map_err(|error| usage(&format!("{error}")))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() || uri.query().is_some() {
            return Err(usage("write for example http://prometheus.monitoring:9090"));
        }
        let secure = uri.scheme_str() == Some("https");
        let mut config = kube::Config::new(uri);
        // An image has no certificates of a system, and plain HTTP needs none.
        config.root_cert = (!secure).then(Vec::new);
        config.default_retry = false;
        config.auth_info.token_file = self.token_file.as_ref().map(|file| file.display().to_string());
        config.root_cert_file.clone_from(&self.ca_file);
        let client = kube::Client::try_from(config).map_err(|error| {
            let hint = if secure && self.ca_file.is_none() {
                "; --prometheus-ca-file names a file with certificates"
            } else {
                ""
            };
            usage(&format!("{error}{hint}"))
        })?;
        Ok(Some(Queries::new(client)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn urls_that_lead_somewhere() {
        let given = |url: &str| PrometheusArguments { url: Some(url.into()), ..PrometheusArguments::default() };
        for url in ["http://127.0.0.1:9090", "https://thanos.example/tenant/a/"] {
            assert!(given(url).queries().is_ok_and(|queries| queries.is_some()), "{url}");
        }
        for url in ["", "prometheus", "ftp://a", "http://", "http://a/?x=y", "/api", "http://a b"] {
            assert!(given(url).queries().is_err(), "{url}");
        }
        assert!(PrometheusArguments::default().queries().is_ok_and(|queries| queries.is_none()));
        assert_eq!(PrometheusArguments::default().settings(Some("namespace")), None);
        let of = |label| given("http://a").settings(label).unwrap().namespace_label;
        assert_eq!((of(Some("namespace")), of(None)), (Some("namespace".into()), None));
        assert!(label("exported_namespace").is_ok() && label("a\"b").is_err() && label("").is_err());
    }
}
