//! What trials have printed is kept as long as they are: a log goes with its Trial, and that of another pod with the pod.

use super::sweep::after_deletions;
use crate::local::apiserver::{ApiServer, Write};
use crate::local::runner::log::pod_of;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Clears up now, and again after each deletion that concerns a log, for as long as it is polled.
pub async fn keep_clear(server: ApiServer, state_dir: PathBuf) {
    after_deletions(server, state_dir, concerns_a_log, clear).await;
}

fn concerns_a_log(server: &ApiServer, write: &Write) -> bool {
    let trial_exists = |name: &str| server.peek("trials", &write.namespace, name).is_some();
    match write.resource.as_str() {
        "trials" => true,
        "pods" => !trials_of(&write.name).any(trial_exists),
        _ => false,
    }
}

/// Removes every log whose Trial and pod are gone.
fn clear(server: &ApiServer, state_dir: &Path) {
    // Listed first: what comes later is nobody's loss.
    let files: Vec<(String, PathBuf)> = entries(&state_dir.join("logs"))
        .flat_map(|(namespace, folder)| entries(&folder).map(move |(file, path)| (namespace.clone(), file, path)))
        .filter_map(|(namespace, file, path)| Some((format!("{namespace}/{}", pod_of(&file)?), path)))
        .collect();
    let names = |resource: &str| -> BTreeSet<String> {
        let name = |object: &Arc<serde_json::Value>| {
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
            format!("{}/{}", text("namespace"), text("name"))
        };
        server.dump(resource).iter().map(name).collect()
    };
    let (trials, pods) = (names("trials"), names("pods"));
    for (pod, path) in files {
        if !pods.contains(&pod) && !trials_of(&pod).any(|trial| trials.contains(trial)) {
            // A log that stays costs room, no more.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The Trials that a pod of this name can be of: the runner appends five characters to the Job's name, which is the
/// Trial's own, or that and the number of the attempt.
fn trials_of(pod: &str) -> impl Iterator<Item = &str> {
    let job = pod.rsplit_once('-').map_or(pod, |(job, _)| job);
    let trial = job.rsplit_once('-').filter(|(_, attempt)| attempt.parse::<u32>().is_ok());
    [Some(job), trial.map(|(trial, _)| trial)].into_iter().flatten()
}

fn entries(folder: &Path) -> impl Iterator<Item = (String, PathBuf)> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::api::{Api, DynamicObject, PostParams};
    use kube::discovery::ApiResource;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn a_log_stays_as_long_as_its_trial_or_its_pod() {
        let crds = crate::api::crds().unwrap();
        let builder =
            crds.into_iter().fold(ApiServer::builder(), |builder, crd| builder.custom_resource_definition(crd));
        let server = builder.build().unwrap();
        let create = async |group: &str, version: &str, kind: &str, metadata: Value, spec: Value| {
            let resource = ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(group, version, kind));
            let object = json!({"apiVersion": resource.api_version, "kind": kind, "metadata": metadata, "spec": spec});
            let api: Api<DynamicObject> = Api::namespaced_with(server.client("default"), "ns", &resource);
            api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        };
        let spec = json!({"experiment": "e", "index": 1, "assignments": {}, "manifest": {}});
        create("automl.dev", "v1alpha1", "Trial", json!({"name": "e-00001"}), spec).await;
        let spec = json!({"containers": [{"name": "main", "image": "i"}]});
        create("", "v1", "Pod", json!({"name": "bare"}), spec).await;
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("logs/ns");
        std::fs::create_dir_all(&logs).unwrap();
        let table = [
            ("e-00001-abcde.log", true),
            ("e-00001-2-abcde.log.0", true),
            ("e-00002-abcde.log", false),
            ("e-00002-1-abcde.log.1", false),
            ("bare.log", true),
            ("gone.log", false),
            ("notes.txt", true),
        ];
        for (file, _) in table {
            std::fs::write(logs.join(file), "").unwrap();
        }
        clear(&server, folder.path());
        for (file, stays) in table {
            assert_eq!(logs.join(file).exists(), stays, "{file}");
        }
    }
}
