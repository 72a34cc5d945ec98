//! Reads metrics that the program writes elsewhere than to its output, while it runs and once more at its end.

use super::feed::Feed;
use super::say::say;
use crate::metrics::{Misses, Observation};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

/// See the module.
pub(super) struct Collector {
    end: Sender<bool>,
    thread: JoinHandle<(Option<String>, Misses)>,
}

impl Collector {
    /// Reads from now on. `tell` takes what comes out, and the names of what nobody asked for.
    pub fn start(mut feed: Feed, tell: impl Fn(Vec<Observation>, Option<Vec<String>>) + Send + 'static) -> Self {
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || {
            let mut by_itself = None;
            while by_itself.is_none() {
                by_itself = match ended.recv_timeout(feed.interval()) {
                    Ok(by_itself) => Some(by_itself),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => Some(false),
                };
                // Much is told part by part.
                let mut more = true;
                while more {
                    let mut observations = Vec::new();
                    more = feed.poll(&mut observations);
                    let last = !more && by_itself.is_some();
                    if last {
                        observations.extend(feed.finish(by_itself == Some(true)));
                    }
                    let seen = feed.take_seen();
                    if !observations.is_empty() || seen.is_some() {
                        tell(observations, seen);
                    }
                }
            }
            let trouble = feed.trouble();
            trouble.iter().for_each(say);
            (trouble, feed.take_misses())
        });
        Collector { end, thread }
    }

    /// The program has ended, by itself or not: reads what is left. Why something could not be read, and what looked like
    /// metrics and was none.
    pub fn finish(self, by_itself: bool) -> (Option<String>, Misses) {
        let _ = self.end.send(by_itself);
        self.thread.join().unwrap_or_default()
    }
}
