//! Reads metrics that the program writes elsewhere than to its output, while it runs and once more at its end.

use super::feed::Feed;
use super::say::say;
use crate::metrics::Observation;
use crate::report::Source;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

/// See the module.
pub(super) struct Collector {
    end: Sender<()>,
    thread: JoinHandle<()>,
}

impl Collector {
    /// Reads from now on; `None` where there is nothing to read but the program's output. `tell` takes what comes out, and
    /// the names of what nobody asked for.
    pub fn start(
        source: &Source,
        metrics: &[String],
        tell: impl Fn(Vec<Observation>, Option<Vec<String>>) + Send + 'static,
    ) -> Option<Self> {
        let mut feed = match Feed::new(source, metrics) {
            Ok(feed) => feed?,
            Err(why) => {
                say(format_args!("metrics cannot be read: {why}"));
                return None;
            }
        };
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || {
            loop {
                let last = !matches!(ended.recv_timeout(feed.interval()), Err(RecvTimeoutError::Timeout));
                let mut observations = feed.poll();
                if last {
                    observations.extend(feed.finish());
                }
                let seen = feed.take_seen();
                if !observations.is_empty() || seen.is_some() {
                    tell(observations, seen);
                }
                if last {
                    break;
                }
            }
            if let Some(trouble) = feed.trouble() {
                say(trouble);
            }
        });
        Some(Collector { end, thread })
    }

    /// The program has ended: reads what is left.
    pub fn finish(self) {
        drop(self.end);
        let _ = self.thread.join();
    }
}
