//! Whether an operator could work on this cluster: reachable, kinds installed, each right given, the Lease free.

use super::failure::Class;
use super::lease::LeaseName;
use super::rights::{ALWAYS, AUTHENTICATION, ELECTION, Right, Scope};
use super::wire::timed;
use crate::api::{GROUP, VERSION};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, PostParams};

/// The oldest Kubernetes that the project is tried on: 1.29 has sidecars.
const OLDEST_MINOR: u32 = 29;

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// It is as it must be.
    pub good: bool,
    /// What it is, and what to do where it is not good.
    pub sentence: String,
}

/// How the operator would be run.
#[derive(Clone, Debug, Default)]
pub struct Plans {
    /// The namespace to watch; `None`: all.
    pub namespace: Option<String>,
    /// The Lease, where a leader is elected.
    pub lease: Option<LeaseName>,
    /// Metrics are shown only to those who may see them.
    pub metrics_authentication: bool,
}

fn good(sentence: impl Into<String>) -> Finding {
    Finding { good: true, sentence: sentence.into() }
}

fn bad(sentence: impl Into<String>) -> Finding {
    Finding { good: false, sentence: sentence.into() }
}

/// Looks at everything. Nothing is changed on the cluster.
pub async fn checkup(client: &Client, plans: &Plans) -> Vec<Finding> {
    let mut found = Vec::new();
    match timed("read /version", client.apiserver_version()).await {
        Ok(version) => found.push(match version.minor.trim_end_matches('+').parse::<u32>() {
            Ok(minor) if minor < OLDEST_MINOR => bad(format!(
                "the API server is {}; Kubernetes 1.{OLDEST_MINOR} or newer is needed",
                version.git_version
            )),
            _ => good(format!("the API server is {}", version.git_version)),
        }),
        Err(failure) => {
            let sentence =
                format!("the API server cannot be reached: {}; look at KUBECONFIG and the network", failure.message);
            return vec![bad(sentence)];
        }
    }
    found.extend(kinds(client).await);
    let election = if plans.lease.is_some() { ELECTION } else { &[] };
    let authentication = if plans.metrics_authentication { AUTHENTICATION } else { &[] };
    for right in ALWAYS.iter().chain(election).chain(authentication) {
        for verb in right.verbs {
            match may(client, plans, right, verb).await {
                Some(finding) => found.push(finding),
                None => {
                    found.push(good("this API server keeps no permissions: it knows no SelfSubjectAccessReviews"));
                    found.extend(lease(client, plans).await);
                    return found;
                }
            }
        }
    }
    found.extend(lease(client, plans).await);
    found
}

async fn kinds(client: &Client) -> Vec<Finding> {
    let served = format!("{GROUP}/{VERSION}");
    let install = "install the CustomResourceDefinitions: automl crd | kubectl apply --server-side -f -, or the chart with crds.install";
    match timed(format!("read /apis/{served}"), client.list_api_group_resources(&served)).await {
        Ok(list) => ["experiments", "trials"]
            .into_iter()
            .map(|name| match list.resources.iter().any(|resource| resource.name == name) {
                true => good(format!("{name}.{GROUP} is served in version {VERSION}")),
                false => bad(format!("{name}.{GROUP} is not served in version {VERSION}; {install}")),
            })
            .collect(),
        Err(failure) if failure.class == Class::NotFound => vec![bad(format!("{served} is not served; {install}"))],
        Err(failure) => vec![bad(format!("whether {served} is served is not known: {}", failure.message))],
    }
}

/// Whether we may; `None`: this API server does not know the question.
async fn may(client: &Client, plans: &Plans, right: &Right, verb: &str) -> Option<Finding> {
    let (namespace, name, wherever) = match (right.scope, &plans.lease) {
        (Scope::Watched, _) => match &plans.namespace {
            Some(namespace) => (Some(namespace.clone()), None, format!("in namespace {namespace}")),
            None => (None, None, "in all namespaces".to_owned()),
        },
        (Scope::Lease, Some(lease)) => {
            (Some(lease.namespace.clone()), Some(lease.name.clone()), format!("{}/{}", lease.namespace, lease.name))
        }
        (Scope::LeaseNamespace, Some(lease)) => {
            (Some(lease.namespace.clone()), None, format!("in namespace {}", lease.namespace))
        }
        (Scope::Cluster | Scope::Lease | Scope::LeaseNamespace, _) => (None, None, "in the cluster".to_owned()),
    };
    let (resource, subresource) =
        right.resource.split_once('/').map_or((right.resource, None), |(resource, below)| (resource, Some(below)));
    let of =
        if right.group.is_empty() { right.resource.to_owned() } else { format!("{}.{}", right.resource, right.group) };
    let what = format!("{verb} {of} {wherever}");
    let attributes = ResourceAttributes {
        group: Some(right.group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: subresource.map(str::to_owned),
        verb: Some(verb.to_owned()),
        namespace,
        name,
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    match timed("create SelfSubjectAccessReview", api.create(&PostParams::default(), &review)).await {
        Ok(answer) if answer.status.as_ref().is_some_and(|status| status.allowed) => Some(good(format!("may {what}"))),
        Ok(_) => Some(bad(format!(
            "may not {what}; without it {}: give it with a rule {{apiGroups: [\"{}\"], resources: [{}], verbs: [{verb}]}}, or \
             the chart with rbac.create",
            right.without, right.group, right.resource
        ))),
        Err(failure) if failure.class == Class::NotFound => None,
        Err(failure) => Some(bad(format!("whether it may {what} is not known: {}", failure.message))),
    }
}

async fn lease(client: &Client, plans: &Plans) -> Option<Finding> {
    let LeaseName { namespace, name, .. } = plans.lease.as_ref()?;
    let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let label = format!("Lease {namespace}/{name}");
    Some(match timed(format!("read {label}"), api.get_opt(name)).await {
        Ok(None) => good(format!("{label} does not exist yet: whoever starts first leads")),
        Ok(Some(lease)) => {
            let holder = lease.spec.and_then(|spec| spec.holder_identity).filter(|holder| !holder.is_empty());
            good(match holder {
                Some(holder) => format!("{label} is held by {holder}: another replica waits until that one is gone"),
                None => format!("{label} is free"),
            })
        }
        Err(failure) => bad(format!("{label} cannot be read: {}", failure.message)),
    })
}

#[cfg(test)]
mod tests;
