//! Runs at a tracking server of MLflow. The program's are told from others by a tag that its environment has them written
//! with, since trials share an experiment of MLflow.

use super::super::mlflow::{PARENT, Server, TAG};
use crate::metrics::{MetricSeries, Mlflow, Observation};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// From one time to the next.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);
/// How long a server that does not answer is asked again once the program has ended, by itself or by force.
const PATIENCE: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(5)];
const AGAIN: Duration = Duration::from_secs(1);
/// Bounds: runs of one program, experiments they are looked for in, metrics of a run, values of one answer.
const MAX_RUNS: usize = 100;
const MAX_EXPERIMENTS: usize = 1000;
const MAX_METRICS: usize = 1024;
const PAGE: usize = 1000;

/// See the module.
pub(in super::super) struct Tracked {
    server: Server,
    /// Name of the experiment of MLflow where they should be.
    experiment: String,
    /// What stands in the tag.
    mark: String,
    parser: Mlflow,
    /// By run and name.
    metrics: BTreeMap<(String, String), History>,
    found: bool,
    error: Option<String>,
}

/// What was read of a metric.
struct History {
    series: MetricSeries,
    /// Where its last page begins.
    page: Option<String>,
    /// How many values of that page were taken.
    taken: usize,
    /// The newest value, when all up to it was taken.
    newest: Option<Value>,
}

impl Tracked {
    pub fn new(server: Server, experiment: String, mark: String, metrics: &[String]) -> Self {
        let parser = Mlflow::new(metrics.iter().cloned());
        Tracked { server, experiment, mark, parser, metrics: BTreeMap::new(), found: false, error: None }
    }

    /// Adds what is new, of each metric at most a page: true when there is more.
    pub fn poll(&mut self, observations: &mut Vec<Observation>) -> bool {
        let looked = self.look(observations);
        self.error = looked.as_ref().err().cloned();
        looked.unwrap_or(false)
    }

    /// What is left, now that no more comes: a server that was busy is asked again.
    pub fn finish(&mut self, by_itself: bool) -> Vec<Observation> {
        let [long, short] = PATIENCE;
        let (begun, patience) = (Instant::now(), if by_itself { long } else { short });
        let mut observations = Vec::new();
        while self.error.is_some() && begun.elapsed() < patience {
            std::thread::sleep(AGAIN);
            while self.poll(&mut observations) {}
        }
        observations
    }

    pub fn take_seen(&mut self) -> Option<Vec<String>> {
        self.parser.take_seen()
    }

    pub fn trouble(&self) -> Option<String> {
        self.error.clone().or_else(|| {
            let url = self.server.url();
            (!self.found).then(|| format!("{url} has no run of this program; does it log to another tracking URI?"))
        })
    }

    fn look(&mut self, observations: &mut Vec<Observation>) -> Result<bool, String> {
        let mut more = false;
        for run in self.runs()? {
            self.found = true;
            let id = run["info"]["run_id"].as_str().unwrap_or_default().to_owned();
            for metric in list(&run["data"]["metrics"]).iter().take(MAX_METRICS) {
                let name = metric["key"].as_str().unwrap_or_default();
                let history = self.metrics.entry((id.clone(), name.to_owned())).or_insert_with(|| History {
                    series: self.parser.series(name),
                    page: None,
                    taken: 0,
                    newest: None,
                });
                if history.series.is_wanted() && history.newest.as_ref() != Some(metric) {
                    let unread = history.read(&self.server, &id, name, observations)?;
                    history.newest = (!unread).then(|| metric.clone());
                    more |= unread;
                }
            }
        }
        Ok(more)
    }

    /// The program's own, parts of others left out: in the experiment where they should be, or wherever they are.
    fn runs(&self) -> Result<Vec<Value>, String> {
        let named = self.server.get("experiments/get-by-name", [("experiment_name", self.experiment.as_str())]);
        let there = match named {
            Ok(named) => self.runs_in(&[named["experiment"]["experiment_id"].clone()])?,
            Err(refused) if refused.code == "RESOURCE_DOES_NOT_EXIST" => Vec::new(),
            Err(refused) => return Err(refused.why),
        };
        if !there.is_empty() {
            return Ok(there);
        }
        let newest = json!({"max_results": MAX_EXPERIMENTS, "order_by": ["last_update_time DESC"]});
        let all = self.server.post("experiments/search", &newest).map_err(|refused| refused.why)?;
        let ids: Vec<Value> = list(&all["experiments"]).iter().map(|one| one["experiment_id"].clone()).collect();
        self.runs_in(&ids)
    }

    fn runs_in(&self, experiments: &[Value]) -> Result<Vec<Value>, String> {
        let search = json!({
            "experiment_ids": experiments,
            "filter": format!("tags.`{TAG}` = '{}'", self.mark),
            "order_by": ["attributes.start_time ASC"],
            "max_results": MAX_RUNS,
        });
        let mut found = self.server.post("runs/search", &search).map_err(|refused| refused.why)?;
        let Value::Array(mut runs) = found["runs"].take() else { return Ok(Vec::new()) };
        runs.retain(|run| list(&run["data"]["tags"]).iter().all(|tag| tag["key"] != PARENT));
        Ok(runs)
    }
}

impl History {
    /// Takes what is new on the last page: true when another follows.
    fn read(
        &mut self,
        server: &Server,
        run: &str,
        name: &str,
        observations: &mut Vec<Observation>,
    ) -> Result<bool, String> {
        let size = PAGE.to_string();
        let mut query = vec![("run_id", run), ("metric_key", name), ("max_results", &size)];
        query.extend(self.page.as_deref().map(|page| ("page_token", page)));
        let answer = server.get("metrics/get-history", query).map_err(|refused| refused.why)?;
        let values = list(&answer["metrics"]);
        let new = values.get(self.taken..).unwrap_or_default();
        observations.extend(new.iter().filter_map(|value| self.series.told(value)));
        let next = answer["next_page_token"].as_str().filter(|next| !next.is_empty() && !values.is_empty());
        match next {
            Some(next) => (self.page, self.taken) = (Some(next.to_owned()), 0),
            // What came in between in the order of time is not read twice.
            None => self.taken = self.taken.max(values.len()),
        }
        Ok(next.is_some())
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// Answers each request with the next of these; the requests, as they come.
    fn serve(answers: Vec<(u16, Value)>) -> (String, std::sync::mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (url, (said, requests)) =
            (format!("http://{}/", listener.local_addr().unwrap()), std::sync::mpsc::channel());
        std::thread::spawn(move || {
            for (stream, (status, answer)) in listener.incoming().zip(answers) {
                let (mut stream, mut buffer) = (stream.unwrap(), [0; 8192]);
                let count = stream.read(&mut buffer).unwrap();
                let line = String::from_utf8_lossy(&buffer[..count]).lines().next().unwrap().to_owned();
                said.send(line.strip_suffix(" HTTP/1.1").unwrap().to_owned()).unwrap();
                let answer = answer.to_string();
                let length = answer.len();
                let head = format!("HTTP/1.1 {status} S\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
                stream.write_all((head + &answer).as_bytes()).unwrap();
            }
        });
        (url, requests)
    }

    fn tracked(url: &str) -> Tracked {
        Tracked::new(Server::new(url), "digits".into(), "mine".into(), &["loss".into()])
    }

    fn named() -> (u16, Value) {
        (200, json!({"experiment": {"experiment_id": "7"}}))
    }

    fn found(latest: i64) -> (u16, Value) {
        let metrics = json!([
            {"key": "loss", "value": 0.5, "timestamp": latest, "step": latest},
            {"key": "other", "value": 1, "timestamp": 1, "step": 1},
        ]);
        let part =
            json!({"info": {"run_id": "b"}, "data": {"tags": [{"key": PARENT, "value": "a"}], "metrics": metrics}});
        let own =
            json!({"info": {"run_id": "a"}, "data": {"tags": [{"key": TAG, "value": "mine"}], "metrics": metrics}});
        (200, json!({"runs": [part, own]}))
    }

    fn history(steps: std::ops::RangeInclusive<i64>, next: Option<&str>) -> (u16, Value) {
        let points: Vec<Value> =
            steps.map(|step| json!({"key": "loss", "value": 0.5, "timestamp": step, "step": step})).collect();
        (200, json!({"metrics": points, "next_page_token": next}))
    }

    #[test]
    fn each_value_is_read_once_page_by_page() {
        let refused = (503, json!({"message": "busy"}));
        let (url, requests) = serve(vec![
            named(),
            found(3),
            history(1..=3, Some("p")),
            // There is more.
            named(),
            found(3),
            history(4..=5, None),
            // Nothing new.
            named(),
            found(3),
            // One more, after a time in which it is busy.
            refused,
            named(),
            found(6),
            history(4..=6, None),
        ]);
        let mut runs = tracked(&url);
        let mut steps = || {
            let mut observations = Vec::new();
            let more = runs.poll(&mut observations);
            let steps: Vec<u64> = observations.into_iter().map(|one| one.step.unwrap()).collect();
            (steps, more, runs.trouble().is_some(), runs.take_seen())
        };
        assert_eq!(steps(), (vec![1, 2, 3], true, false, Some(vec!["other".into()])));
        assert_eq!(steps(), (vec![4, 5], false, false, None));
        assert_eq!(steps(), (vec![], false, false, None));
        assert_eq!(steps(), (vec![], false, true, None), "busy");
        let left: Vec<_> = runs.finish(true).into_iter().map(|one| one.step).collect();
        assert_eq!((left, runs.trouble()), (vec![Some(6)], None));
        let paths: Vec<String> = requests.try_iter().collect();
        assert_eq!(paths[0], "GET /api/2.0/mlflow/experiments/get-by-name?experiment_name=digits");
        assert_eq!(paths[1], "POST /api/2.0/mlflow/runs/search");
        assert_eq!(paths[2], "GET /api/2.0/mlflow/metrics/get-history?run_id=a&metric_key=loss&max_results=1000");
        assert!(paths[5].ends_with("&page_token=p"), "{}", paths[5]);
    }

    #[test]
    fn runs_under_another_name_are_found_and_none_is_said() {
        let none = (404, json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "No Experiment with name"}));
        let (url, requests) = serve(vec![
            none,
            (200, json!({"experiments": [{"experiment_id": "8"}, {"experiment_id": "9"}]})),
            found(1),
            history(1..=1, None),
        ]);
        let (mut runs, mut observations) = (tracked(&url), Vec::new());
        assert!(!runs.poll(&mut observations));
        assert_eq!((observations.len(), runs.trouble()), (1, None));
        assert_eq!(requests.try_iter().nth(1).unwrap(), "POST /api/2.0/mlflow/experiments/search");

        let (url, _requests) = serve(vec![named(), (200, json!({})), (200, json!({})), (200, json!({}))]);
        let mut runs = tracked(&url);
        runs.poll(&mut observations);
        assert!(runs.trouble().unwrap().contains("has no run of this program"), "{:?}", runs.trouble());
        let (url, _requests) = serve(vec![(401, json!("who are you"))]);
        let mut runs = tracked(&url);
        runs.poll(&mut observations);
        assert!(runs.trouble().unwrap().contains("was asked in vain: 401"), "{:?}", runs.trouble());
    }
}
