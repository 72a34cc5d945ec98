//! A program that says by itself what it has measured: what its environment tells it, and where it is heard.

use super::door::{Door, Open, Tell, Words};
use super::folder::Folder;
use super::key::Key;
use super::nni;
use super::settings::Settings;
use crate::metrics::{Misses, Nni, Push};
use crate::report::{Source, env};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// By which Hugging Face's Trainer and others find where to post their progress, see KEP-2779 of Kubeflow.
const PROGRESS_URL: &str = "KUBEFLOW_TRAINER_SERVER_URL";
const PROGRESS_TOKEN_FILE: &str = "KUBEFLOW_TRAINER_SERVER_TOKEN";
/// Where a program pushes.
const PUSH: &str = "push";
/// Hosts for which no proxy is asked; programs know the one name or the other.
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];
const LOOPBACK: &str = "127.0.0.1,localhost";

/// Before the program starts.
pub(super) struct Channel {
    door: Door,
    words: Words,
    /// With what the program finds in it.
    folder: Option<Folder>,
    variables: Vec<(&'static str, OsString)>,
}

/// While the program runs.
pub(super) struct Hearing {
    door: Open,
    _folder: Option<Folder>,
}

impl Channel {
    /// `None` where the program is not to say anything by itself. `nni`: what reads its reports, where it is of NNI.
    ///
    /// # Errors
    /// There is no port, no place for files, or no token.
    pub fn prepare(settings: &Settings, nni: Option<Arc<Mutex<Nni>>>) -> std::io::Result<Option<Self>> {
        let (door, folder, mut variables);
        let words = match (&settings.source, nni) {
            (Source::Push {}, _) => {
                let token = settings.token_file.as_deref().ok_or_else(|| {
                    std::io::Error::new(ErrorKind::NotFound, format!("{} names no file", env::TOKEN_FILE))
                })?;
                // The program may have another working folder.
                let token = std::path::absolute(token)?;
                door = Door::named(PUSH)?;
                let url = door.url()?;
                variables = vec![(env::PUSH_URL, OsString::from(&url)), (env::TOKEN_FILE, token.clone().into())];
                // Whoever trains under another's eyes goes on telling it.
                if std::env::var_os(PROGRESS_URL).is_none_or(|url| url.is_empty()) {
                    variables.extend([(PROGRESS_URL, url.into()), (PROGRESS_TOKEN_FILE, token.clone().into())]);
                }
                folder = None;
                Words::Push(Box::new(Push::new(settings.metrics.iter().cloned())), Key::new(token))
            }
            (Source::Nni { experiment, index, nested }, Some(nni)) => {
                door = Door::secret()?;
                let files = Folder::create()?;
                let parameters = settings.parameters.as_deref().unwrap_or_default();
                let record = nni::record(*index, parameters, nested);
                let whose = nni::Whose { experiment, trial: &settings.whose.trial, index: *index };
                variables = nni::variables(&files, &door.url()?, &record, &whose)?;
                folder = Some(files);
                Words::Nni(nni, record)
            }
            _ => return Ok(None),
        };
        variables.extend(NO_PROXY.map(|name| (name, joined(std::env::var_os(name), ",", LOOPBACK.into()))));
        Ok(Some(Channel { door, words, folder, variables }))
    }

    /// What the program's environment is to have.
    pub fn variables(&self) -> Vec<(&'static str, OsString)> {
        self.variables.clone()
    }

    /// Hears the program from now on. `stopping`: it is to stop, and is told so.
    pub fn open(self, tell: Tell, stopping: Arc<AtomicBool>) -> Hearing {
        Hearing { door: self.door.open(self.words, tell, stopping), _folder: self.folder }
    }
}

impl Hearing {
    /// The program has ended: hears out what it is saying. What looked like metrics and was none.
    pub fn close(self) -> Misses {
        self.door.close()
    }
}

/// A list with one thing more.
pub(super) fn joined(list: Option<OsString>, separator: &str, more: OsString) -> OsString {
    match list.filter(|list| !list.is_empty()) {
        Some(mut list) => {
            list.push(separator);
            list.push(more);
            list
        }
        None => more,
    }
}
