//! A tracking server of MLflow, over its REST API.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Of one answer.
const MAX_BYTES: u64 = 16 << 20;
/// Of a server's own words in a sentence, in characters.
const MAX_SAID: usize = 200;

/// See the module.
pub(in super::super) struct Server {
    /// Ends without a slash.
    url: String,
    agent: ureq::Agent,
    authorization: Option<String>,
}

impl Server {
    /// With the credentials that MLflow's own client would take from the environment.
    pub fn new(url: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false);
        let given = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let user = given("MLFLOW_TRACKING_USERNAME").zip(given("MLFLOW_TRACKING_PASSWORD"));
        let token = given("MLFLOW_TRACKING_TOKEN");
        let authorization = user
            .map(|(user, password)| format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
            .or_else(|| token.map(|token| format!("Bearer {token}")));
        Server { url: url.trim_end_matches('/').to_owned(), agent: config.build().into(), authorization }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes an experiment, where there is none of this name.
    pub fn make_experiment(&self, name: &str) -> Result<(), String> {
        match self.post("experiments/create", &json!({ "name": name })) {
            Err(Refused { code, .. }) if code == "RESOURCE_ALREADY_EXISTS" => Ok(()),
            other => other.map(drop).map_err(|refused| refused.why),
        }
    }

    /// What it answers to a body.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Refused> {
        let request = self.agent.post(self.address(path)).header("content-type", "application/json");
        self.answer(self.signed(request).send(body.to_string().as_bytes()))
    }

    /// What it answers to a query.
    pub fn get<'a>(&self, path: &str, query: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Value, Refused> {
        self.answer(self.signed(self.agent.get(self.address(path)).query_pairs(query)).call())
    }

    fn address(&self, path: &str) -> String {
        format!("{}/api/2.0/mlflow/{path}", self.url)
    }

    fn signed<Body>(&self, request: ureq::RequestBuilder<Body>) -> ureq::RequestBuilder<Body> {
        match &self.authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        }
    }

    fn answer(&self, answer: Result<http::Response<ureq::Body>, ureq::Error>) -> Result<Value, Refused> {
        let read = answer.and_then(|mut answer| {
            let text = answer.body_mut().with_config().limit(MAX_BYTES).lossy_utf8(true).read_to_string()?;
            Ok((answer.status(), text))
        });
        let (status, text) = read.map_err(|error| self.refused(String::new(), &error.to_string()))?;
        let said = serde_json::from_str::<Value>(&text).ok();
        match said {
            Some(said) if status.is_success() => Ok(said),
            said => {
                let of = |name: &str| said.as_ref().and_then(|said| said[name].as_str()).unwrap_or_default().to_owned();
                let (code, message) = (of("error_code"), of("message"));
                let message: String = if message.is_empty() { text } else { message }.chars().take(MAX_SAID).collect();
                Err(self.refused(code, &format!("{status}: {message}")))
            }
        }
    }

    fn refused(&self, code: String, why: &str) -> Refused {
        Refused { code, why: format!("{}, a tracking server of MLflow, was asked in vain: {why}", self.url) }
    }
}

/// Why nothing came of a request.
pub(in super::super) struct Refused {
    /// In the words of MLflow's API, `RESOURCE_ALREADY_EXISTS`; empty where it did not say.
    pub code: String,
    /// A sentence.
    pub why: String,
}
