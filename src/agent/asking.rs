//! Asks the operator what Prometheus knows of the trial, while the program runs and once more at its end.

use super::route::{Route, agent};
use super::say::say;
use crate::metrics::Observation;
use crate::report::{Body, Queried};
use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the operator is waited for; it has a bound of its own for each query.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The same once the program has been told to stop: its pod has little time left.
const HASTE: Duration = Duration::from_secs(2);
/// So long the last question is asked again where nobody answers it.
const LAST: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Asking {
    end: Sender<bool>,
    thread: JoinHandle<()>,
}

impl Asking {
    /// Asks from now on, and tells what comes out.
    pub fn start(route: Route, interval: Duration, tell: impl Fn(Body) + Send + 'static) -> Self {
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || {
            let (agent, mut heard) = (agent(), Heard::default());
            let by_itself = loop {
                match ended.recv_timeout(interval) {
                    Ok(by_itself) => break by_itself,
                    Err(RecvTimeoutError::Timeout) => heard.take(route.ask(&agent, TIMEOUT), &tell),
                    Err(RecvTimeoutError::Disconnected) => break false,
                }
            };
            let deadline = Instant::now() + if by_itself { LAST } else { HASTE };
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                let answer = route.ask(&agent, left.min(TIMEOUT).max(PAUSE));
                if answer.is_ok() || left < 2 * PAUSE {
                    break heard.take(answer, &tell);
                }
                std::thread::sleep(PAUSE);
            }
            if let Some(trouble) = heard.trouble {
                say(format_args!("not all metrics can be read: {trouble}"));
            }
        });
        Asking { end, thread }
    }

    /// The program has ended, by itself or because it was told to: asks once more.
    pub fn finish(self, by_itself: bool) {
        let _ = self.end.send(by_itself);
        let _ = self.thread.join();
    }
}

/// What was heard so far. What is the same as before is no news.
#[derive(Default)]
struct Heard {
    last: BTreeMap<String, (Option<u64>, u64)>,
    trouble: Option<String>,
}

impl Heard {
    fn take(&mut self, answer: Result<Queried, String>, tell: &impl Fn(Body)) {
        let Queried { observations, trouble } =
            answer.unwrap_or_else(|why| Queried { observations: Vec::new(), trouble: Some(why) });
        for observation in observations {
            if self.is_news(&observation) {
                tell(Body::Observation(observation));
            }
        }
        if trouble != self.trouble {
            tell(Body::Trouble(trouble.clone().unwrap_or_default()));
            self.trouble = trouble;
        }
    }

    fn is_news(&mut self, observation: &Observation) -> bool {
        let now = (observation.step, observation.value.to_bits());
        self.last.insert(observation.metric.clone(), now) != Some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use std::cell::RefCell;

    #[test]
    fn what_is_as_before_is_no_news() {
        let (mut heard, said) = (Heard::default(), RefCell::new(Vec::new()));
        let tell = |body: Body| {
            said.borrow_mut().push(match body {
                Body::Observation(found) => format!("{}={}", found.metric, found.value),
                Body::Trouble(why) => format!("trouble: {why}"),
                other => panic!("{other:?}"),
            });
        };
        let value = |value: f64, trouble: Option<&str>| {
            let found = Observation { metric: "m".into(), step: None, value, time: Timestamp::UNIX_EPOCH };
            Ok(Queried { observations: vec![found], trouble: trouble.map(str::to_owned) })
        };
        let table = [
            (Err("it is down".to_owned()), vec!["trouble: it is down"]),
            (Err("it is down".to_owned()), vec![]),
            (value(0.5, None), vec!["m=0.5", "trouble: "]),
            (value(0.5, None), vec![]),
            (value(0.25, Some("a store is down")), vec!["m=0.25", "trouble: a store is down"]),
            (value(f64::NAN, Some("a store is down")), vec!["m=NaN"]),
            (value(f64::NAN, Some("a store is down")), vec![]),
        ];
        for (answer, expected) in table {
            heard.take(answer, &tell);
            assert_eq!(said.take(), expected);
        }
    }
}
