//! Who sends a report: a pod proves by its token that it belongs to a trial.

use super::act::{Hand, Learnt};
use super::failure::{Class, Failure};
use super::watch::Name;
use super::wire::timed;
use crate::report::AUDIENCE;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

const REMEMBER: Duration = Duration::from_secs(60);
const REMEMBER_DENIED: Duration = Duration::from_secs(5);
const CAPACITY: usize = 20_000;
const MAX_TOKEN: usize = 16 * 1024;
/// Tokens that are looked into at a time: a stranger with many must not make us flood the API server.
const CONCURRENCY: usize = 8;
/// How long a caller waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// A pod of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Namespace and name of the Trial.
    pub trial: Name,
    /// UID of the Trial.
    pub trial_uid: String,
    /// Name of the pod.
    pub pod: String,
}

/// Why a report is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Denied {
    /// The token proves nothing.
    #[error("the token is not valid here: {0}")]
    Token(String),
    /// The token is a pod's that belongs to no trial.
    #[error("pod {0} belongs to no trial: {1}")]
    Pod(String, &'static str),
    /// The API server cannot be asked now.
    #[error("the token cannot be checked now: {0}")]
    Unavailable(#[from] Failure),
    /// Too many others wait for it.
    #[error("the token cannot be checked now: too many others are being checked")]
    Busy,
}

/// Checks tokens, and remembers for a minute what came out.
pub struct Tokens {
    client: Client,
    hand: Hand,
    keys: (RandomState, RandomState),
    turns: Semaphore,
    known: Mutex<HashMap<u128, Known>>,
}

/// Until when an answer holds, and the answer.
type Known = (Instant, Result<Caller, Denied>);

impl Tokens {
    /// Nothing is remembered yet.
    pub fn new(client: Client, hand: Hand) -> Self {
        Tokens {
            client,
            hand,
            keys: (RandomState::new(), RandomState::new()),
            turns: Semaphore::new(CONCURRENCY),
            known: Mutex::default(),
        }
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// When it is nobody's, no trial's, or the API server cannot be asked.
    pub async fn check(&self, token: &str) -> Result<Caller, Denied> {
        if token.is_empty() || token.len() > MAX_TOKEN {
            return Err(Denied::Token("there is none, or it is too long".into()));
        }
        let key = self.key(token);
        if let Some(known) = self.remembered(key) {
            return known;
        }
        let Ok(Ok(_turn)) = timeout(PATIENCE, self.turns.acquire()).await else { return Err(Denied::Busy) };
        // Another call with the same token may have had its turn before.
        if let Some(known) = self.remembered(key) {
            return known;
        }
        let answer = self.ask(token).await;
        let keep = match &answer {
            Ok(_) => REMEMBER,
            Err(Denied::Unavailable(_) | Denied::Busy) => return answer,
            Err(_) => REMEMBER_DENIED,
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if known.len() >= CAPACITY {
            known.retain(|_, (until, _)| *until > now);
        }
        if known.len() >= CAPACITY {
            // Strangers must not push out our own.
            known.retain(|_, (_, answer)| answer.is_ok());
        }
        if known.len() >= CAPACITY {
            known.clear();
        }
        known.insert(key, (now + keep, answer.clone()));
        answer
    }

    fn remembered(&self, key: u128) -> Option<Result<Caller, Denied>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&key).filter(|(until, _)| *until > Instant::now()).map(|(_, answer)| answer.clone())
    }

    /// Tokens themselves are not kept. The keys of the hashes are this process's own and random.
    fn key(&self, token: &str) -> u128 {
        u128::from(self.keys.0.hash_one(token)) << 64 | u128::from(self.keys.1.hash_one(token))
    }

    async fn ask(&self, token: &str) -> Result<Caller, Denied> {
        let (namespace, pod, uid) = self.review(token).await?;
        let label = format!("{namespace}/{pod}");
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let found = timed(format!("read Pod {label}"), api.get_opt(&pod)).await?;
        let found = found.filter(|found| found.uid().as_deref() == Some(uid.as_str()));
        let Some(found) = found else { return Err(Denied::Pod(label, "it does not exist any more")) };
        // Labels are for anyone to write who may write pods; the chain of owners is the API server's and ours.
        let Some(job) =
            found.owner_references().iter().find(|owner| owner.controller == Some(true) && owner.kind == "Job")
        else {
            return Err(Denied::Pod(label, "no Job controls it"));
        };
        let Learnt::Job(owner) = self.hand.read_job(&namespace, &job.name).await? else {
            return Err(Denied::Pod(label, "its Job does not exist any more"));
        };
        if owner.uid().as_deref() != Some(job.uid.as_str()) {
            return Err(Denied::Pod(label, "its Job does not exist any more"));
        }
        let trial = owner.owner_references().iter().find(|owner| owner.controller == Some(true));
        match trial.filter(|trial| trial.kind == "Trial" && trial.api_version.starts_with("automl.dev/")) {
            Some(trial) => Ok(Caller { trial: (namespace, trial.name.clone()), trial_uid: trial.uid.clone(), pod }),
            None => Err(Denied::Pod(label, "its Job is no trial's")),
        }
    }

    /// Namespace, name and UID of the pod that the token was made for.
    async fn review(&self, token: &str) -> Result<(String, String, String), Denied> {
        let spec = TokenReviewSpec { audiences: Some(vec![AUDIENCE.into()]), token: Some(token.into()) };
        let review = TokenReview { spec, ..TokenReview::default() };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let answer = timed("create TokenReview", api.create(&PostParams::default(), &review)).await;
        let status = match answer {
            Ok(answer) => answer.status.unwrap_or_default(),
            Err(failure) if failure.class == Class::Invalid => return Err(Denied::Token(failure.message)),
            Err(failure) => return Err(failure.into()),
        };
        if status.authenticated != Some(true) {
            return Err(Denied::Token(status.error.unwrap_or_else(|| "the API server does not know it".into())));
        }
        // An API server that does not know audiences leaves them out: then the token may be for anyone.
        if !status.audiences.iter().flatten().any(|audience| audience == AUDIENCE) {
            return Err(Denied::Token(format!("its audience is not {AUDIENCE}")));
        }
        let user = status.user.unwrap_or_default();
        pod_of(&user).ok_or_else(|| Denied::Token("it was not made for a pod".into()))
    }
}

fn pod_of(user: &UserInfo) -> Option<(String, String, String)> {
    let account = user.username.as_deref()?.strip_prefix("system:serviceaccount:")?;
    let (namespace, _) = account.split_once(':')?;
    let extra = |key: &str| {
        let key = format!("authentication.kubernetes.io/{key}");
        user.extra.as_ref()?.get(&key)?.first().cloned()
    };
    Some((namespace.to_owned(), extra("pod-name")?, extra("pod-uid")?))
}

#[cfg(test)]
mod tests;
