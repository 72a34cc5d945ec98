//! Directories for checkpoints: where they are in a pod, and which of them are still needed.
//!
//! Each experiment has a folder of its own in the volume that its spec names, and each trial a directory in it. The folder
//! is mounted whole, so that the agent can make the trial's directory out of its parent's, and delete what is not needed any
//! more; the parent's is mounted once more, to be read only.

use super::compile::Compiled;
use super::ledger::{Ledger, order};
use super::manifest::{Owner, array, escaped, set};
use super::membership::index_in;
use super::suggest::pending;
use crate::report::{self, ParentCheckpoint, env};
use crate::tuner::Request;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeSet;

const VOLUME: &str = "automl-checkpoints";
const FOLDER: &str = "/var/lib/automl.dev/checkpoints";
const PARENT_FOLDER: &str = "/var/lib/automl.dev/parent-checkpoint";
/// Most trials that have ended whose directories are kept for those to come, so that what a volume holds does not grow with the
/// experiment. Where more may be needed, those that matter most are kept; who goes on from another begins anew.
const MOST_KEPT: usize = 500;

/// What a trial's pod is told of checkpoints.
pub(super) struct Checkpoints<'a> {
    /// Source of the volume, as the spec says.
    pub volume: Cow<'a, Value>,
    /// Name of the trial it goes on from.
    pub parent: Option<&'a str>,
    /// See [`report::Checkpoint::keep`].
    pub keep: Option<BTreeSet<u32>>,
}

/// A trial's directory, in its container.
pub(super) fn directory_of(trial: &str) -> String {
    format!("{FOLDER}/{trial}")
}

/// Indices of the trials whose directories may still be needed: those that have not ended and what they go on from, the best,
/// and those that a trial to come may go on from. `None`: not known.
pub(super) fn kept(compiled: &Compiled, ledger: &Ledger, seed: u64) -> Option<BTreeSet<u32>> {
    let request = Request {
        space: &compiled.space,
        history: ledger.history()?,
        pending: &pending(compiled, ledger),
        seed,
        index: u64::from(ledger.next_index()),
    };
    let parents = super::caught(|| compiled.tuner.parents(&request, MOST_KEPT)).ok()?;
    let active = ledger.active().flat_map(|trial| {
        // Its object may be gone.
        let parent = trial.spec.parent.as_ref().and_then(|parent| index_in(&trial.spec.experiment, &parent.name));
        [Some(order(trial)), parent.map(u64::from)]
    });
    let best = ledger.best().map(|(_, best)| best.order);
    let orders = active.flatten().chain(best).chain(parents);
    // Nobody deletes what trials without an index have.
    Some(orders.filter_map(|order| u32::try_from(order).ok()).collect())
}

impl Checkpoints<'_> {
    fn folder(owner: &Owner<'_>) -> String {
        format!("{}-{}", owner.experiment, owner.experiment_uid)
    }

    /// Adds the volume.
    pub(super) fn add_to_pod(&self, pod: &mut Map<String, Value>) {
        let mut volume = json!({"name": VOLUME});
        if let (Some(volume), Some(source)) = (volume.as_object_mut(), self.volume.as_object()) {
            volume.extend(source.iter().map(|(kind, source)| (kind.clone(), source.clone())));
        }
        array(pod, "volumes").push(volume);
    }

    /// Mounts it, and says where.
    pub(super) fn mount(&self, container: &mut Map<String, Value>, owner: &Owner<'_>) -> Vec<Value> {
        let (folder, directory) = (Self::folder(owner), directory_of(owner.trial));
        let mounts = array(container, "volumeMounts");
        mounts.push(json!({"name": VOLUME, "mountPath": FOLDER, "subPath": folder}));
        let mut told = report::Checkpoint { directory: directory.clone(), parent: None, keep: self.keep.clone() };
        let mut variables = vec![set(env::CHECKPOINT_DIR, directory)];
        if let Some(parent) = self.parent {
            let path = format!("{folder}/{parent}");
            mounts.push(json!({"name": VOLUME, "mountPath": PARENT_FOLDER, "subPath": path, "readOnly": true}));
            variables.push(set(env::PARENT_CHECKPOINT_DIR, PARENT_FOLDER.into()));
            told.parent = Some(ParentCheckpoint { trial: parent.to_owned(), directory: PARENT_FOLDER.into() });
        }
        variables.push(set(env::CHECKPOINT, escaped(&json!(told).to_string())));
        variables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_has_a_directory_and_reads_its_parents() {
        let volume = json!({"persistentVolumeClaim": {"claimName": "c"}});
        let keep = Some([3].into());
        let checkpoints = Checkpoints { volume: Cow::Owned(volume), parent: Some("digits-00003"), keep };
        let (mut pod, mut container) = (Map::new(), Map::new());
        checkpoints.add_to_pod(&mut pod);
        let variables = checkpoints.mount(&mut container, &Owner::example());
        assert_eq!(
            pod["volumes"],
            json!([{"name": "automl-checkpoints", "persistentVolumeClaim": {"claimName": "c"}}])
        );
        let folder = "/var/lib/automl.dev";
        assert_eq!(
            container["volumeMounts"],
            json!([
                {"name": VOLUME, "mountPath": format!("{folder}/checkpoints"), "subPath": "digits-e-uid"},
                {
                    "name": VOLUME, "mountPath": format!("{folder}/parent-checkpoint"),
                    "subPath": "digits-e-uid/digits-00003", "readOnly": true,
                },
            ])
        );
        let told = json!({
            "directory": format!("{folder}/checkpoints/digits-00007"),
            "parent": {"trial": "digits-00003", "directory": format!("{folder}/parent-checkpoint")},
            "keep": [3],
        });
        assert_eq!(
            variables,
            [
                json!({"name": "AUTOML_CHECKPOINT_DIR", "value": format!("{folder}/checkpoints/digits-00007")}),
                json!({"name": "AUTOML_PARENT_CHECKPOINT_DIR", "value": format!("{folder}/parent-checkpoint")}),
                json!({"name": "AUTOML_CHECKPOINT", "value": told.to_string()}),
            ]
        );
    }
}
