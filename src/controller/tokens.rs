//! Who sends a report: a pod proves by its token that it belongs to a trial.

use super::act::{Hand, Learnt};
use super::failure::{Class, Failure};
use super::remembered::Remembered;
use super::watch::Name;
use super::wire::timed;
use crate::report::AUDIENCE;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus, UserInfo};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use thiserror::Error;

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
    /// The token's user may not do this.
    #[error(
        "user {user} may not {verb} {path}: it needs a ClusterRole with nonResourceURLs [\"{path}\"] and verbs [\"{verb}\"]"
    )]
    Forbidden {
        /// Name of the user.
        user: String,
        /// What it wanted to do, such as `get`.
        verb: &'static str,
        /// With which path.
        path: &'static str,
    },
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
    known: Remembered<Caller>,
}

impl Tokens {
    /// Nothing is remembered yet.
    pub fn new(client: Client, hand: Hand) -> Self {
        Tokens { client, hand, known: Remembered::default() }
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// When it is nobody's, no trial's, or the API server cannot be asked.
    pub async fn check(&self, token: &str) -> Result<Caller, Denied> {
        self.known.answer(token, "", self.ask(token)).await
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
        let status = review(&self.client, token, Some(AUDIENCE)).await?;
        // An API server that does not know audiences leaves them out: then the token may be for anyone.
        if !status.audiences.iter().flatten().any(|audience| audience == AUDIENCE) {
            return Err(Denied::Token(format!("its audience is not {AUDIENCE}")));
        }
        let user = status.user.unwrap_or_default();
        pod_of(&user).ok_or_else(|| Denied::Token("it was not made for a pod".into()))
    }
}

/// What the API server says about a token; `audience` `None`: one for the API server itself.
///
/// # Errors
/// It is nobody's, or the API server cannot be asked.
pub(super) async fn review(client: &Client, token: &str, audience: Option<&str>) -> Result<TokenReviewStatus, Denied> {
    let spec =
        TokenReviewSpec { audiences: audience.map(|audience| vec![audience.to_owned()]), token: Some(token.into()) };
    let review = TokenReview { spec, ..TokenReview::default() };
    let api: Api<TokenReview> = Api::all(client.clone());
    let status = match timed("create TokenReview", api.create(&PostParams::default(), &review)).await {
        Ok(answer) => answer.status.unwrap_or_default(),
        Err(failure) if failure.class == Class::Invalid => return Err(Denied::Token(failure.message)),
        Err(failure) => return Err(failure.into()),
    };
    if status.authenticated != Some(true) {
        return Err(Denied::Token(status.error.unwrap_or_else(|| "the API server does not know it".into())));
    }
    Ok(status)
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
