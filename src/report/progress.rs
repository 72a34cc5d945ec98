//! The operator's side of the numbering: what is stored.

use super::{Batch, Record, Session};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What of a trial's reports is stored in its status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The latest session that was heard.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub session: String,
    /// All its numbers up to this one are stored.
    #[serde(default)]
    pub sequence: u64,
}

impl Progress {
    /// The attempt that was heard last; `None` when none was.
    pub fn attempt(&self) -> Option<u32> {
        self.session.parse::<Session>().ok().map(|session| session.attempt())
    }

    /// The records of the batch that are not yet stored. None of an older session than the stored one.
    pub fn news<'a>(&self, batch: &'a Batch) -> impl Iterator<Item = &'a Record> {
        let after = match batch.session.as_str().cmp(&self.session) {
            std::cmp::Ordering::Less => u64::MAX,
            std::cmp::Ordering::Equal => self.sequence,
            std::cmp::Ordering::Greater => 0,
        };
        batch.records.iter().filter(move |record| record.sequence > after)
    }

    /// What is stored once the batch is.
    pub fn after(&self, batch: &Batch) -> Progress {
        if batch.session < self.session {
            return self.clone();
        }
        let known = if batch.session == self.session { self.sequence } else { 0 };
        let last = batch.records.iter().map(|record| record.sequence).max().unwrap_or(0);
        Progress { session: batch.session.clone(), sequence: known.max(last) }
    }

    /// The latest session, where it is greater than this one.
    pub fn later(&self, session: &str) -> Option<String> {
        (session < self.session.as_str()).then(|| self.session.clone())
    }

    /// What an agent of this session is told. One of an older session is told that all is stored: nobody waits for it.
    pub fn stored(&self, session: &str) -> u64 {
        match session.cmp(&self.session) {
            std::cmp::Ordering::Less => u64::MAX,
            std::cmp::Ordering::Equal => self.sequence,
            std::cmp::Ordering::Greater => 0,
        }
    }
}
