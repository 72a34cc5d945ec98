//! What metrics are read from: a file, a folder of event files, runs of MLflow, an endpoint for Prometheus.

mod events;
mod file;
mod runs;
mod scrape;
mod tracked;

pub use events::event_files;

use super::mlflow::{Server, Store, Tracking};
use crate::metrics::{Misses, Observation};
use crate::report::Source;
use std::time::Duration;

/// From one look at files to the next.
const LOOK: Duration = Duration::from_millis(500);

/// See the module.
pub(super) enum Feed {
    File(file::Growing),
    Events(events::Folder),
    Scrape(scrape::Endpoint),
    Runs(runs::Runs),
    Tracked(tracked::Tracked),
}

impl Feed {
    /// Of a program that has not started yet; `None` where the program says it by itself. `mark`: what its runs are tagged
    /// with.
    ///
    /// # Errors
    /// Why it cannot be read as the source says: a sentence.
    pub fn new(source: &Source, metrics: &[String], mark: &str) -> Result<Option<Self>, String> {
        Ok(match source {
            Source::Stdout { .. } | Source::Push {} | Source::Nni { .. } => None,
            Source::File { path, format, filters } => {
                Some(Feed::File(file::Growing::new(path, *format, metrics, filters)?))
            }
            Source::Tensorboard { path } => Some(Feed::Events(events::Folder::new(path, metrics))),
            Source::Mlflow { .. } => Tracking::of(source).map(|tracking| match tracking.store {
                Store::Folder(root) => Feed::Runs(runs::Runs::new(root, mark.to_owned(), metrics)),
                Store::Server(url) => {
                    let server = Server::new(&url);
                    Feed::Tracked(tracked::Tracked::new(server, tracking.experiment, mark.to_owned(), metrics))
                }
            }),
            Source::Prometheus { port, path, interval_seconds } => {
                let interval = Duration::from_secs(u64::from((*interval_seconds).max(1)));
                Some(Feed::Scrape(scrape::Endpoint::new(*port, path, interval, metrics)?))
            }
        })
    }

    /// From one look to the next.
    pub fn interval(&self) -> Duration {
        match self {
            Feed::File(_) | Feed::Runs(_) => LOOK,
            Feed::Events(folder) => folder.interval().max(LOOK),
            Feed::Tracked(_) => tracked::INTERVAL,
            Feed::Scrape(endpoint) => endpoint.interval(),
        }
    }

    /// Adds what has come since the last look, up to a bound: true when there is more.
    pub fn poll(&mut self, found: &mut Vec<Observation>) -> bool {
        match self {
            Feed::File(file) => file.poll(found),
            Feed::Events(folder) => folder.poll(found),
            Feed::Runs(runs) => runs.poll(found),
            Feed::Tracked(tracked) => tracked.poll(found),
            Feed::Scrape(endpoint) => {
                found.extend(endpoint.poll());
                false
            }
        }
    }

    /// What is there without an end, now that no more comes. `by_itself`: the program was not killed, so that it is whole.
    pub fn finish(&mut self, by_itself: bool) -> Vec<Observation> {
        match self {
            Feed::File(file) if by_itself => file.finish(),
            Feed::File(_) => Vec::new(),
            Feed::Tracked(tracked) => tracked.finish(by_itself),
            Feed::Events(_) | Feed::Scrape(_) | Feed::Runs(_) => Vec::new(),
        }
    }

    /// Names that nobody asked for; `None` when there are no new ones since the last call.
    pub fn take_seen(&mut self) -> Option<Vec<String>> {
        match self {
            Feed::File(file) => file.take_seen(),
            Feed::Events(folder) => folder.take_seen(),
            Feed::Runs(runs) => runs.take_seen(),
            Feed::Tracked(tracked) => tracked.take_seen(),
            Feed::Scrape(endpoint) => endpoint.take_seen(),
        }
    }

    /// What looks like wanted metrics and says no number, since the last call.
    pub fn take_misses(&mut self) -> Misses {
        match self {
            Feed::File(file) => file.take_misses(),
            Feed::Scrape(endpoint) => endpoint.take_misses(),
            Feed::Events(_) | Feed::Runs(_) | Feed::Tracked(_) => Misses::default(),
        }
    }

    /// Why something could not be read, for the program's log; `None`: all could.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Feed::File(file) => file.trouble(),
            Feed::Events(folder) => folder.trouble(),
            Feed::Runs(runs) => runs.trouble(),
            Feed::Tracked(tracked) => tracked.trouble(),
            Feed::Scrape(endpoint) => endpoint.trouble(),
        }
    }
}
