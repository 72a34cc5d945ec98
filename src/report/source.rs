//! Where the agent reads a trial's metrics.

use crate::metrics::Format;
use serde::{Deserialize, Serialize};

/// As the operator tells the agent, in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Source {
    /// What the program prints.
    Stdout {
        /// Regular expressions of name and value; none: every known shape of line.
        filters: Vec<String>,
    },
    /// A file that the program writes.
    File {
        /// Of the program's own file system; relative to its working folder.
        path: String,
        /// How it is written.
        format: FileFormat,
        /// As for the program's output, in text.
        filters: Vec<String>,
    },
    /// A folder with event files of TensorBoard.
    Tensorboard {
        /// As of a file.
        path: String,
    },
    /// What the program offers to Prometheus.
    Prometheus {
        /// On the loopback interface of its pod.
        port: u16,
        /// Of the URL.
        path: String,
        /// From one scrape to the next, in seconds.
        interval_seconds: u32,
    },
    /// Runs of MLflow.
    Mlflow {
        /// The folder in which they are kept, as of a file.
        path: String,
        /// URL of the tracking server that keeps them instead of a folder.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<String>,
        /// Name of the Experiment, under which the program's runs are listed.
        experiment: String,
    },
    /// What the program posts to the agent.
    Push {},
    /// What trial code of NNI reports.
    Nni {
        /// What it is told about itself: the experiment's name, and the trial's number.
        experiment: String,
        /// As `experiment`.
        index: u32,
        /// Parameters that choose between dictionaries of further ones.
        nested: Vec<String>,
    },
}

impl Default for Source {
    fn default() -> Self {
        Source::Stdout { filters: Vec::new() }
    }
}

/// How a file of metrics is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileFormat {
    /// As a program prints.
    Text,
    /// One JSON object a line.
    JsonLines,
    /// Rows under a header.
    Csv,
}

impl From<FileFormat> for Format {
    fn from(format: FileFormat) -> Self {
        match format {
            FileFormat::Text => Format::Text,
            FileFormat::JsonLines => Format::JsonLines,
            FileFormat::Csv => Format::Csv,
        }
    }
}
