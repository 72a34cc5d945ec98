//! Checkpoints on this machine: they go with their Experiment.

use super::sweep::after_deletions;
use crate::local::apiserver::{ApiServer, Write};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where they are kept, in the folder of all state.
pub fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("checkpoints")
}

/// Clears up now, and again after an Experiment was deleted, for as long as it is polled.
pub async fn keep_clear(server: ApiServer, folder: PathBuf) {
    let concerns = |_: &ApiServer, write: &Write| matches!(write.resource.as_str(), "experiments" | "pods");
    after_deletions(server, folder, concerns, clear).await;
}

/// Removes the folders of Experiments that are gone.
fn clear(server: &ApiServer, folder: &Path) {
    // Listed first: what comes later is nobody's loss.
    let entries: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().flatten().collect();
    let text = |object: &serde_json::Value, field: &str| object["metadata"][field].as_str().map(str::to_owned);
    let name = |object: &serde_json::Value| Some(format!("{}-{}", text(object, "name")?, text(object, "uid")?));
    let present: BTreeSet<String> =
        server.dump("experiments").iter().filter_map(|object| name(object.as_ref())).collect();
    for entry in entries {
        if !entry.file_name().to_str().is_some_and(|name| present.contains(name))
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            tracing::warn!(%error, folder = %entry.path().display(), "checkpoints of an experiment that is gone stay");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Experiment;
    use kube::api::{Api, DeleteParams, PostParams};
    use kube::{Resource, ResourceExt};
    use serde_json::json;

    #[tokio::test]
    async fn checkpoints_go_with_their_experiment() {
        let crds = crate::api::crds().unwrap();
        let builder =
            crds.into_iter().fold(ApiServer::builder(), |builder, crd| builder.custom_resource_definition(crd));
        let server = builder.build().unwrap();
        let api: Api<Experiment> = Api::namespaced(server.client("default"), "ns");
        let experiment: Experiment = serde_json::from_value(json!({
            "apiVersion": Experiment::api_version(&()), "kind": "Experiment", "metadata": {"name": "e"},
            "spec": {
                "objectives": [{"metric": "m", "direction": "Maximize"}],
                "parameters": [{"name": "x", "double": {"min": 0, "max": 1}}],
                "limits": {"maxTrials": 1},
                "trialTemplate": {
                    "primaryContainer": "main", "manifest": {"apiVersion": "batch/v1", "kind": "Job", "spec": {}},
                },
            },
        }))
        .unwrap();
        let experiment = api.create(&PostParams::default(), &experiment).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join(format!("e-{}", experiment.uid().unwrap()));
        let other = folder.path().join("e-of-another-uid");
        for folder in [&own, &other] {
            std::fs::create_dir_all(folder.join("e-00000")).unwrap();
        }
        clear(&server, folder.path());
        assert_eq!((own.exists(), other.exists()), (true, false));
        api.delete("e", &DeleteParams::default()).await.unwrap();
        clear(&server, folder.path());
        assert!(!own.exists());
    }
}
