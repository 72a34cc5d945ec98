//! An endpoint that the program offers to Prometheus, scraped as Prometheus does.

use crate::metrics::{Misses, Observation, Prometheus};
use jiff::Timestamp;
use std::time::Duration;

/// How long a scrape may take, and how large it may be.
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_BYTES: u64 = 16 << 20;
/// The formats that are read, as Prometheus asks for them.
const ACCEPT: &str = "application/openmetrics-text;version=1.0.0;q=0.7,text/plain;version=0.0.4;q=0.5";

/// See the module.
pub(in super::super) struct Endpoint {
    url: String,
    interval: Duration,
    agent: ureq::Agent,
    parser: Prometheus,
    answered: bool,
    error: Option<String>,
}

impl Endpoint {
    pub fn new(port: u16, path: &str, interval: Duration, metrics: &[String]) -> Result<Self, String> {
        let parser = Prometheus::new(metrics.iter().cloned()).map_err(|error| error.to_string())?;
        let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).proxy(None).max_redirects(0);
        let url = format!("http://127.0.0.1:{port}/{}", path.trim_start_matches('/'));
        Ok(Endpoint { url, interval, agent: config.build().into(), parser, answered: false, error: None })
    }

    pub fn interval(&self) -> Duration {
        self.interval
    }

    pub fn poll(&mut self) -> Vec<Observation> {
        match self.scrape() {
            Ok(text) => {
                (self.answered, self.error) = (true, None);
                let found = self.parser.parse(&text, Timestamp::now());
                found.into_iter().map(|found| found.observation).collect()
            }
            Err(error) => {
                self.error = Some(error.to_string());
                Vec::new()
            }
        }
    }

    fn scrape(&self) -> Result<String, ureq::Error> {
        let mut response = self.agent.get(&self.url).header("accept", ACCEPT).call()?;
        response.body_mut().with_config().limit(MAX_BYTES).lossy_utf8(true).read_to_string()
    }

    pub fn take_misses(&mut self) -> Misses {
        self.parser.take_misses()
    }

    pub fn take_seen(&mut self) -> Option<Vec<String>> {
        self.parser.take_seen()
    }

    /// That it answers no more once the program has ended is as it should be.
    pub fn trouble(&self) -> Option<String> {
        let error = self.error.as_ref().filter(|_| !self.answered)?;
        Some(format!("{} was never scraped: {error}", self.url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// Answers each request with the next of these.
    fn serve(answers: Vec<&'static str>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for (stream, answer) in listener.incoming().zip(answers) {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        port
    }

    #[test]
    fn what_changes_is_news() {
        let answer = |body: &str| -> &'static str {
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            Box::leak((head + body).into_boxed_str())
        };
        let port = serve(vec![
            "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            answer("# TYPE loss gauge\nloss 0.5\nepoch 1\nother{a=\"b\"} 7\n"),
            answer("loss 0.5\nepoch 1\n"),
            answer("loss 0.25\nepoch 2\n"),
        ]);
        let mut endpoint = Endpoint::new(port, "metrics", Duration::from_secs(1), &["loss".into()]).unwrap();
        let mut said = || -> Vec<(Option<u64>, f64)> {
            endpoint.poll().into_iter().map(|observation| (observation.step, observation.value)).collect()
        };
        assert_eq!(said(), [], "it is not ready yet");
        assert_eq!(said(), [(Some(1), 0.5)]);
        assert_eq!(said(), []);
        assert_eq!(said(), [(Some(2), 0.25)]);
        assert_eq!(said(), [], "it has ended");
        assert_eq!(endpoint.trouble(), None);
        let mut nothing = Endpoint::new(port, "/metrics", Duration::from_secs(1), &["loss".into()]).unwrap();
        nothing.poll();
        assert!(nothing.trouble().unwrap().contains("/metrics was never scraped: "));
    }
}
