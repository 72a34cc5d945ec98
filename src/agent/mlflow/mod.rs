//! MLflow: where the program's runs go, and under which name. What a program that keeps its runs with MLflow finds in its
//! environment, and the experiment of MLflow that they belong to.

mod folder;
mod server;

pub(super) use server::Server;

use super::settings::Whose;
use crate::report::Source;
use serde_json::{Map, Value};
use std::ffi::OsString;
use std::path::PathBuf;

const TRACKING_URI: &str = "MLFLOW_TRACKING_URI";
const EXPERIMENT_NAME: &str = "MLFLOW_EXPERIMENT_NAME";
const EXPERIMENT_ID: &str = "MLFLOW_EXPERIMENT_ID";
/// Without it newer versions of MLflow 3 keep no runs in a folder.
const ALLOW_FILE_STORE: &str = "MLFLOW_ALLOW_FILE_STORE";
/// Tags of each run, a JSON object.
const RUN_CONTEXT: &str = "MLFLOW_RUN_CONTEXT";
const RUN_NAME: &str = "mlflow.runName";

/// A tag of each run of this program.
pub(super) const TAG: &str = "automl.trial";
/// A tag of runs that are parts of another.
pub(super) const PARENT: &str = "mlflow.parentRunId";

/// Where runs are kept.
pub(super) enum Store {
    Folder(PathBuf),
    Server(String),
}

/// What an Experiment says of MLflow, and its manifest where that says otherwise.
pub(super) struct Tracking {
    pub store: Store,
    /// Name of the experiment of MLflow.
    pub experiment: String,
    /// The manifest names the store itself.
    own_store: bool,
    /// The manifest names the experiment itself, by name or by number.
    own_experiment: bool,
}

impl Tracking {
    /// `None`: metrics come from elsewhere.
    pub fn of(source: &Source) -> Option<Self> {
        let Source::Mlflow { path, server, experiment } = source else { return None };
        let given = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let uri = given(TRACKING_URI);
        let named = uri.clone().filter(|uri| uri.starts_with("http://")).or_else(|| server.clone());
        let store = match named {
            Some(url) => Store::Server(url),
            None => Store::Folder(std::path::absolute(path).unwrap_or_else(|_| path.into())),
        };
        let name = given(EXPERIMENT_NAME);
        let own_experiment = name.is_some() || given(EXPERIMENT_ID).is_some();
        let experiment = name.unwrap_or_else(|| experiment.clone());
        Some(Tracking { store, experiment, own_store: uri.is_some(), own_experiment })
    }

    /// Makes the experiment of MLflow before a program does: where two of them do at the same moment, MLflow lets one fail.
    ///
    /// # Errors
    /// Why it could not be made: a sentence. The program will try it itself.
    pub fn prepare(&self) -> Result<(), String> {
        match &self.store {
            _ if self.own_experiment => Ok(()),
            Store::Folder(_) if self.own_store => Ok(()),
            Store::Folder(root) => folder::prepare(root, &self.experiment)
                .map_err(|error| format!("{} cannot be made ready for MLflow: {error}", root.display())),
            Store::Server(url) => Server::new(url).make_experiment(&self.experiment),
        }
    }

    /// Environment variables for the program. What the manifest has said stays as it is.
    pub fn variables(&self, whose: &Whose) -> Vec<(&'static str, OsString)> {
        let mut variables = vec![(ALLOW_FILE_STORE, "true".into())];
        if !self.own_store {
            let store = match &self.store {
                Store::Folder(root) => root.into(),
                Store::Server(url) => url.into(),
            };
            variables.push((TRACKING_URI, store));
        }
        if !self.own_experiment {
            variables.push((EXPERIMENT_NAME, self.experiment.clone().into()));
        }
        let before = std::env::var(RUN_CONTEXT).ok().and_then(|context| serde_json::from_str(&context).ok());
        let mut tags: Map<String, Value> = before.unwrap_or_default();
        tags.insert(TAG.into(), whose.mark().into());
        tags.entry(RUN_NAME).or_insert_with(|| whose.trial.clone().into());
        variables.push((RUN_CONTEXT, Value::from(tags).to_string().into()));
        variables
    }
}
