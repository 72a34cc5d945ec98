//! What is read off an object.

use super::super::watch::{Name, number};
use crate::api::{Trial, conditions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};
use std::sync::Arc;

/// Namespace and name.
pub fn name(object: &impl ResourceExt) -> Name {
    (object.namespace().unwrap_or_default(), object.name_any())
}

pub(super) fn name_in(metadata: &ObjectMeta) -> Name {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

pub(super) fn version(object: &impl Resource) -> u64 {
    version_in(object.meta())
}

pub(super) fn version_in(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().map_or(0, number)
}

/// Without what is of no use here, and more than half of an object: answers to our own writes come with it, too.
pub(super) fn pruned<K: Resource>(mut object: K) -> Arc<K> {
    let metadata = object.meta_mut();
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    Arc::new(object)
}

/// Its result is stored.
pub fn has_ended(trial: &Trial) -> bool {
    conditions::has_ended(trial.conditions())
}
