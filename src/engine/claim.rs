//! The volume for checkpoints, and the claim of it that the operator makes.

use super::action::Action;
use super::membership::experiment_reference;
use super::plan::Planner;
use super::snapshot::Snapshot;
use super::status::later;
use crate::api::labels;
use jiff::SignedDuration;
use kube::ResourceExt;
use serde_json::{Value, json};
use std::borrow::Cow;

/// A claim that was seen so long ago is looked for again when a trial waits: it may be that which is missing.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// The source of the volume that trials keep their checkpoints on; `None` where they keep none.
pub(super) fn volume<'a>(snapshot: &Snapshot<'a>) -> Option<Cow<'a, Value>> {
    let checkpoint = snapshot.experiment.spec.checkpoint.as_ref()?;
    if let Some(path) = &snapshot.settings.checkpoints {
        return Some(Cow::Owned(json!({"hostPath": {"path": path, "type": "DirectoryOrCreate"}})));
    }
    let own = || json!({"persistentVolumeClaim": {"claimName": name_of(&snapshot.experiment.name_any())}});
    Some(checkpoint.volume.as_ref().map_or_else(|| Cow::Owned(own()), Cow::Borrowed))
}

/// The claim as it is to be made; `None` where there is none to make.
pub(super) fn claim(snapshot: &Snapshot<'_>) -> Option<Value> {
    let experiment = snapshot.experiment;
    let template = experiment.spec.checkpoint.as_ref()?.volume_claim_template.as_ref()?;
    if snapshot.settings.checkpoints.is_some() {
        return None;
    }
    let mut metadata = json!(template.metadata.clone().unwrap_or_default());
    let own = json!({
        "name": name_of(&experiment.name_any()),
        "namespace": experiment.namespace(),
        "labels": {
            labels::MANAGED_BY: labels::MANAGER,
            labels::EXPERIMENT: experiment.name_any(),
            labels::EXPERIMENT_UID: experiment.uid(),
        },
        "ownerReferences": [experiment_reference(experiment)],
    });
    json_patch::merge(&mut metadata, &own);
    Some(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template.spec}))
}

/// What of the checkpoints stays when the experiment has ended, and when it is deleted: a sentence's end. `None`: nothing does that
/// would not go with the Experiment.
pub(super) fn stays(snapshot: &Snapshot<'_>) -> Option<String> {
    let volume = snapshot.experiment.spec.checkpoint.as_ref()?.volume.as_ref()?;
    if snapshot.settings.checkpoints.is_some() || volume.get("emptyDir").is_some() || !snapshot.ledger.has_begun() {
        return None;
    }
    let claim = volume.pointer("/persistentVolumeClaim/claimName").and_then(Value::as_str);
    let place = claim.map_or("the volume of spec.checkpoint".into(), |claim| format!("PersistentVolumeClaim {claim}"));
    let name = snapshot.experiment.name_any();
    Some(format!("its checkpoints stay on {place}, in the folder {name}-UID (metadata.uid), until somebody deletes it"))
}

/// Of the experiment of this name. It cannot be that of another one: a Trial's and a Job's name ends with a number.
fn name_of(experiment: &str) -> String {
    format!("{experiment}-checkpoints")
}

impl Planner<'_> {
    /// Makes the claim that trials need. True: it is there, or there is none to make.
    pub(super) fn claim_is_there(&mut self) -> bool {
        let Some(claim) = claim(self.snapshot) else { return true };
        let seen = self.snapshot.facts.claim;
        let fresh = seen.is_some_and(|seen| self.waiting.is_none() || self.now < later(seen, LOOK_AGAIN));
        if !fresh {
            self.push(Action::CreateClaim { claim: Box::new(claim) });
        }
        seen.is_some()
    }
}
