//! A PersistentVolumeClaim that is there already under the name of the one that is to be made.

use super::failure::Class;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

/// Why a claim that was found cannot be used; `None`: it can.
pub(super) fn in_the_way(found: &ObjectMeta, wanted: &Value) -> Option<(Class, String)> {
    let owner = wanted.pointer("/metadata/ownerReferences/0/uid").and_then(Value::as_str);
    let owners = found.owner_references.iter().flatten();
    let controller = owners.filter(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str()).next();
    let name = found.name.as_deref().unwrap_or_default();
    if owner.is_none() || controller != owner {
        let message = format!(
            "a PersistentVolumeClaim of this name exists that is not this Experiment's; delete it (kubectl delete pvc \
             {name}), or name it in checkpoint.volume of another Experiment"
        );
        return Some((Class::AlreadyExists, message));
    }
    let message = "it is being deleted, and is made anew once it is gone; trials then start without checkpoints";
    found.deletion_timestamp.is_some().then(|| (Class::Conflict, message.into()))
}
