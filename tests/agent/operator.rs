//! A small operator.

use super::agent;
use automl_operator::report::{Answer, Batch, Body, Progress, Record, Stop};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// An operator that stores what comes, as its script says.
#[derive(Default)]
pub struct Operator {
    /// What of the reports is stored.
    pub progress: Progress,
    /// What was said, in the order in which it was stored.
    pub stored: Vec<Body>,
    /// All requests that were understood.
    pub batches: Vec<Batch>,
    pub tokens: Vec<String>,
    /// How many requests are answered 503 (before anything is stored), how many with a stranger's 404, and then how many
    /// lose their answer.
    pub unavailable: usize,
    pub strange: usize,
    pub deaf: usize,
    pub refuse: bool,
    /// Nothing is answered until this is false again.
    pub hangs: bool,
    /// How many requests have come.
    pub asked: usize,
    /// What is taken is held and not stored, until this is false again.
    pub holds: bool,
    /// What is held, of one session.
    pub held: Vec<Record>,
    pub stop: bool,
    /// What is answered to each question about Prometheus; then that there is nothing.
    pub queried: VecDeque<(u16, &'static str)>,
}

pub fn operator(operator: Operator) -> (String, Arc<Mutex<Operator>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let shared = Arc::new(Mutex::new(operator));
    let state = Arc::clone(&shared);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = Arc::clone(&state);
            std::thread::spawn(move || serve(stream, &state));
        }
    });
    (url, shared)
}

pub fn serve(stream: TcpStream, state: &Mutex<Operator>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let (mut length, mut token, mut line) = (0, String::new(), String::new());
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let asks = line.trim_end() == "POST /v1/query HTTP/1.1";
        assert!(asks || line.trim_end() == "POST /v1/report HTTP/1.1", "{line}");
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name.to_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "authorization" => token = value.to_owned(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        state.lock().unwrap().asked += 1;
        while state.lock().unwrap().hangs {
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut operator = state.lock().unwrap();
        operator.tokens.push(token);
        let (code, text) = if asks {
            let (code, text) = operator.queried.pop_front().unwrap_or((200, r#"{"observations": []}"#));
            (code, text.to_owned())
        } else {
            let Some(answer) = operator.hear(serde_json::from_slice(&body).unwrap()) else { return };
            answer
        };
        drop(operator);
        let answer = format!("HTTP/1.1 {code} x\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

impl Operator {
    /// The answer, unless it gets lost.
    fn hear(&mut self, batch: Batch) -> Option<(u16, String)> {
        if self.unavailable > 0 {
            self.unavailable -= 1;
            return Some((503, String::new()));
        }
        if self.strange > 0 {
            self.strange -= 1;
            return Some((404, "<html>nothing here</html>".into()));
        }
        if self.refuse {
            return Some((403, r#"{"error": "this token is another trial's"}"#.to_owned()));
        }
        let stored = self.progress.stored(&batch.session);
        let reached = |held: &[Record]| held.last().map_or(stored, |record| record.sequence);
        let before = reached(&self.held);
        if batch.after.unwrap_or(0) <= before {
            self.held.extend(batch.records.iter().filter(|record| record.sequence > before).cloned());
        }
        let taken = Some(reached(&self.held));
        if !self.holds {
            let held = Batch { records: std::mem::take(&mut self.held), ..batch.clone() };
            self.stored.extend(self.progress.news(&held).map(|record| record.body.clone()));
            self.progress = self.progress.after(&held);
        }
        let (stored, later) = (self.progress.stored(&batch.session), self.progress.later(&batch.session));
        self.batches.push(batch);
        if self.deaf > 0 {
            self.deaf -= 1;
            return None;
        }
        let stop = self.stop.then(|| Stop { reason: "EarlyStopped".into(), message: "enough".into() });
        Some((200, serde_json::to_string(&Answer { stored, taken, later, stop }).unwrap()))
    }
}

pub fn reporting(script: &str, url: &str) -> Command {
    let mut command = agent(script);
    command.env("AUTOML_REPORT_URL", url).env("AUTOML_METRICS", r#"["accuracy"]"#).env("AUTOML_TRIAL", "t");
    command
}

pub fn values(operator: &Mutex<Operator>) -> Vec<f64> {
    values_of(operator, "accuracy")
}

pub fn values_of(operator: &Mutex<Operator>, metric: &str) -> Vec<f64> {
    let operator = operator.lock().unwrap();
    let value = |body: &Body| match body {
        Body::Observation(observation) if observation.metric == metric => Some(observation.value),
        _ => None,
    };
    operator.stored.iter().filter_map(value).collect()
}

pub fn ended(operator: &Mutex<Operator>) -> Option<(Option<i32>, Option<i32>, String)> {
    let operator = operator.lock().unwrap();
    operator.stored.iter().find_map(|body| match body {
        Body::Ended { exit_code, signal, tail, .. } => Some((*exit_code, *signal, tail.clone())),
        _ => None,
    })
}
