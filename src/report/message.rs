//! What is said on the report route, as JSON.

use crate::metrics::Observation;
use serde::{Deserialize, Serialize};

/// From the agent: what is not yet acknowledged, without what it knows to be held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// Namespace of the Trial.
    pub namespace: String,
    /// Name of the Trial.
    pub trial: String,
    /// UID of the Trial.
    pub trial_uid: String,
    /// How many attempts came before this one.
    pub attempt: u32,
    /// One agent process; later ones are greater: see [`super::Session`].
    pub session: String,
    /// All numbers up to this one were taken before, as an answer said: whoever does not hold or store them (any more) takes
    /// nothing of this, and says up to where it does. Absent: nothing is left out but what is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// In the order of their numbers, which may have gaps.
    pub records: Vec<Record>,
    /// The program has ended and this is all: the answer may wait until it is stored.
    pub end: bool,
}

/// One numbered thing to say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// From 1 on.
    pub sequence: u64,
    /// What is said.
    pub body: Body,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Body {
    /// A value of a wanted metric.
    Observation(Observation),
    /// Names of all other metrics seen so far.
    Seen(Vec<String>),
    /// Why metrics could not be read, the last time that was tried; empty: they could.
    Trouble(String),
    /// The program has ended.
    #[serde(rename_all = "camelCase")]
    Ended {
        /// Its exit code; absent when a signal ended it.
        exit_code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
        /// Its last lines, at most 2 KiB.
        tail: String,
        /// How many values were left out on the way, since they came faster than they could be stored.
        #[serde(default, skip_serializing_if = "is_zero")]
        left_out: u64,
        /// How many lines and the like looked like wanted metrics and could not be read.
        #[serde(default, skip_serializing_if = "is_zero")]
        parse_misses: u64,
    },
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// From the agent around the program to the one beside it, which has the token: to ask the operator what Prometheus knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ask {
    /// How long the answer is waited for, in milliseconds.
    pub ask_within_ms: u64,
}

/// What the agent beside the program hears.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Called {
    /// What is to be said on to the operator.
    Batch(Batch),
    /// What is to be asked.
    Ask(Ask),
}

/// From the operator: what Prometheus knows of the trial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Queried {
    /// As of now.
    pub observations: Vec<Observation>,
    /// Why some are missing or doubtful: a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// From the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// All numbers of the session up to this one are stored in the Trial's status.
    pub stored: u64,
    /// All up to this number are held by whoever answers, stored or not: it need not be told them again. What the agent beside
    /// the program holds it goes on saying; the operator's memory is gone with it, as its next life says here. Absent where
    /// the batch has no `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<u64>,
    /// The latest session that was heard, where it is greater than the caller's: nothing of the caller's is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later: Option<String>,
    /// The program is to be stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
}

/// Why a program is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// A condition's reason.
    pub reason: String,
    /// A sentence.
    pub message: String,
}
