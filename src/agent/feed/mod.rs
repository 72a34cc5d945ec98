//! What metrics are read from: a file, a folder of event files, an endpoint for Prometheus.

mod events;
mod file;
mod scrape;

use crate::metrics::Observation;
use crate::report::Source;
use std::time::Duration;

/// From one look at files to the next.
const LOOK: Duration = Duration::from_millis(500);

/// See the module.
pub(super) enum Feed {
    File(file::Growing),
    Events(events::Folder),
    Scrape(scrape::Endpoint),
}

impl Feed {
    /// `None` for the program's output.
    ///
    /// # Errors
    /// Why it cannot be read as the source says: a sentence.
    pub fn new(source: &Source, metrics: &[String]) -> Result<Option<Self>, String> {
        Ok(match source {
            Source::Stdout { .. } => None,
            Source::File { path, format, filters } => {
                Some(Feed::File(file::Growing::new(path, *format, metrics, filters)?))
            }
            Source::Tensorboard { path } => Some(Feed::Events(events::Folder::new(path, metrics))),
            Source::Prometheus { port, path, interval_seconds } => {
                let interval = Duration::from_secs(u64::from((*interval_seconds).max(1)));
                Some(Feed::Scrape(scrape::Endpoint::new(*port, path, interval, metrics)?))
            }
        })
    }

    /// From one look to the next.
    pub fn interval(&self) -> Duration {
        match self {
            Feed::File(_) | Feed::Events(_) => LOOK,
            Feed::Scrape(endpoint) => endpoint.interval(),
        }
    }

    /// What has come since the last look.
    pub fn poll(&mut self) -> Vec<Observation> {
        match self {
            Feed::File(file) => file.poll(),
            Feed::Events(folder) => folder.poll(),
            Feed::Scrape(endpoint) => endpoint.poll(),
        }
    }

    /// What is there without an end, now that no more comes.
    pub fn finish(&mut self) -> Vec<Observation> {
        match self {
            Feed::File(file) => file.finish(),
            Feed::Events(_) | Feed::Scrape(_) => Vec::new(),
        }
    }

    /// Names that nobody asked for; `None` when there are no new ones since the last call.
    pub fn take_seen(&mut self) -> Option<Vec<String>> {
        match self {
            Feed::File(file) => file.take_seen(),
            Feed::Events(folder) => folder.take_seen(),
            Feed::Scrape(endpoint) => endpoint.take_seen(),
        }
    }

    /// Why something could not be read, for the program's log; `None`: all could.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Feed::File(file) => file.trouble(),
            Feed::Events(folder) => folder.trouble(),
            Feed::Scrape(endpoint) => endpoint.trouble(),
        }
    }
}
