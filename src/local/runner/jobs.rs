//! Carries out what the Job controller asks for.

use super::control::{Control, Key};
use super::desk::{Failure, Resource};
use super::job::{Action, Context, Event, sync};
use super::object::{Job, Pod};
use super::store::Name;
use rand::RngExt;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The characters of Kubernetes' random names: no vowels, nothing to mistake.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

impl Control {
    /// Brings a Job one step forward.
    pub async fn sync_job(&mut self, name: &Name) -> Result<(), Failure> {
        let Some(job) = self.store.job(name).filter(|_| self.stopping.is_none()) else { return Ok(()) };
        let now = self.now();
        let step = {
            let pods = self.store.pods_of(&job.meta.uid);
            let pods: Vec<&Pod> = pods.iter().map(Arc::as_ref).collect();
            let backoff = self.settings.job_backoff;
            sync(&job, &pods, &mut Context { now, backoff, suffix: &mut random_suffix })
        };
        let key = Key(Resource::Job, name.clone());
        if let Some(at) = step.wake_at {
            let pause = Duration::try_from(at.duration_since(now)).unwrap_or_default();
            self.enqueue_at(key.clone(), Instant::now() + pause);
        }
        let more = !step.actions.is_empty();
        for action in step.actions {
            self.act(&job, action).await?;
        }
        if more {
            self.enqueue(key);
        }
        Ok(())
    }

    async fn act(&mut self, job: &Job, action: Action) -> Result<(), Failure> {
        let (namespace, desk) = (&job.meta.namespace, &self.desk);
        match action {
            Action::CreatePod(pod) => {
                let name = pod.pointer("/metadata/name").and_then(|name| name.as_str()).unwrap_or_default();
                let created = desk.create(Resource::Pod, namespace, &pod).await;
                let (warning, reason, message) = match &created {
                    Ok(_) => (false, "SuccessfulCreate", format!("Created pod: {name}")),
                    Err(Failure::Refused(why)) => (true, "FailedCreate", format!("Error creating: {why}")),
                    Err(Failure::Unavailable(_)) => {
                        // It may have been created all the same, before the answer was lost.
                        let name = Name { namespace: namespace.clone(), name: name.to_owned() };
                        self.refresh(Resource::Pod, &name).await;
                        return created.map(drop);
                    }
                    Err(_) => return created.map(drop),
                };
                let event = Event { warning, reason: reason.to_owned(), message };
                desk.event(Resource::Job, &job.meta, &event, self.now()).await;
                self.saw(Resource::Pod, &created?);
            }
            Action::WriteStatus(status) => {
                let metadata = json!({"uid": job.meta.uid, "resourceVersion": job.meta.resource_version});
                let patch = json!({"metadata": metadata, "status": status.to_patch()});
                let stored = desk.patch(Resource::Job, namespace, &job.meta.name, true, &patch).await?;
                self.saw(Resource::Job, &stored);
            }
            Action::DeletePod { name, uid } => {
                let left = desk.delete(Resource::Pod, namespace, &name, &uid, None).await?;
                self.saw_deleted(Resource::Pod, namespace, &name, left.as_ref());
            }
            Action::RemoveFinalizer { name, resource_version, keep } => {
                let keep = (!keep.is_empty()).then_some(keep);
                let patch = json!({"metadata": {"resourceVersion": resource_version, "finalizers": keep}});
                let name = Name { namespace: namespace.clone(), name };
                self.patch_pod(&name, &patch).await?;
            }
            Action::DeleteJob => {
                let left = desk.delete(Resource::Job, namespace, &job.meta.name, &job.meta.uid, None).await?;
                self.saw_deleted(Resource::Job, namespace, &job.meta.name, left.as_ref());
            }
            Action::Event(event) => desk.event(Resource::Job, &job.meta, &event, self.now()).await,
        }
        Ok(())
    }

    /// Patches a pod outside its status. An older version of it, or none, is read anew.
    pub async fn patch_pod(&mut self, name: &Name, patch: &serde_json::Value) -> Result<(), Failure> {
        match self.desk.patch(Resource::Pod, &name.namespace, &name.name, false, patch).await {
            Ok(stored) => {
                self.saw(Resource::Pod, &stored);
                // The last finalizer of a deleted pod holds it no longer: it is gone with this write.
                let gone = stored.pointer("/metadata/deletionTimestamp").is_some()
                    && stored.pointer("/metadata/finalizers").is_none();
                if gone {
                    self.refresh(Resource::Pod, name).await;
                }
                Ok(())
            }
            Err(failure @ (Failure::Gone | Failure::Conflict(_))) => {
                self.refresh(Resource::Pod, name).await;
                if matches!(failure, Failure::Gone) { Ok(()) } else { Err(failure) }
            }
            Err(failure) => Err(failure),
        }
    }

    /// Takes in the answer to a DELETE.
    pub fn saw_deleted(&mut self, resource: Resource, namespace: &str, name: &str, left: Option<&serde_json::Value>) {
        match left {
            Some(object) => self.saw(resource, object),
            None => self.saw_gone(resource, &Name { namespace: namespace.to_owned(), name: name.to_owned() }),
        }
    }
}

fn random_suffix() -> String {
    let mut random = rand::rng();
    let one = || ALPHABET.get(random.random_range(0..ALPHABET.len())).copied().map_or('x', char::from);
    std::iter::repeat_with(one).take(5).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_five_characters_of_the_alphabet() {
        let suffixes: std::collections::BTreeSet<String> = std::iter::repeat_with(random_suffix).take(100).collect();
        assert!(suffixes.iter().all(|it| it.len() == 5 && it.bytes().all(|byte| ALPHABET.contains(&byte))));
        assert!(suffixes.len() > 90);
    }
}
