//! Jobs and Pods as last seen: by the watches, and in the answers to the runner's own writes. PURE.
//!
//! One loop reads and writes, so an own write is known before any event that came with it; older events change
//! nothing.

use super::object::{Job, Pod};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Namespace.
    pub namespace: String,
    /// Name within it.
    pub name: String,
}

/// What is known.
#[derive(Debug, Default)]
pub struct Store {
    jobs: BTreeMap<Name, Arc<Job>>,
    pods: BTreeMap<Name, Arc<Pod>>,
    pods_of_job: BTreeMap<String, BTreeSet<Name>>,
}

impl Store {
    /// Takes in a Job, unless a newer one is known.
    pub fn put_job(&mut self, mut job: Job) {
        let name = Name { namespace: job.meta.namespace.clone(), name: job.meta.name.clone() };
        if self.jobs.get(&name).is_some_and(|known| known.meta.version() > job.meta.version()) {
            return;
        }
        // Of thousands of finished Jobs only their fate is needed.
        if job.status.finished().is_some()
            && let Ok(spec) = &mut job.spec
        {
            Arc::make_mut(spec).template = serde_json::Value::Null;
        }
        self.jobs.insert(name, Arc::new(job));
    }

    /// Takes in a Pod, unless a newer one is known. Returns the UID of an earlier pod of this name that is gone.
    pub fn put_pod(&mut self, mut pod: Pod) -> Option<String> {
        let name = Name { namespace: pod.meta.namespace.clone(), name: pod.meta.name.clone() };
        let known = self.pods.get(&name);
        if known.is_some_and(|known| known.meta.version() > pod.meta.version()) {
            return None;
        }
        let replaced = known.filter(|known| known.meta.uid != pod.meta.uid).map(|known| known.meta.uid.clone());
        if replaced.is_some() {
            self.unlink(&name);
        }
        if pod.is_terminal() && pod.meta.finalizers.is_empty() {
            pod.spec = Arc::default();
        }
        if let Some(owner) = pod.meta.job_owner() {
            self.pods_of_job.entry(owner.uid.clone()).or_default().insert(name.clone());
        }
        self.pods.insert(name, Arc::new(pod));
        replaced
    }

    /// Forgets a Job that is gone, if it is the one that is known. Returns whether it was.
    pub fn remove_job(&mut self, name: &Name, uid: &str) -> bool {
        let known = self.jobs.get(name).is_some_and(|job| job.meta.uid == uid);
        known && self.jobs.remove(name).is_some()
    }

    /// Forgets a Pod that is gone, if it is the one that is known. Returns whether it was.
    pub fn remove_pod(&mut self, name: &Name, uid: &str) -> bool {
        let known = self.pods.get(name).is_some_and(|pod| pod.meta.uid == uid);
        known && {
            self.unlink(name);
            self.pods.remove(name).is_some()
        }
    }

    fn unlink(&mut self, name: &Name) {
        let owner = self.pods.get(name).and_then(|pod| pod.meta.job_owner()).map(|owner| owner.uid.clone());
        if let Some(owner) = owner
            && let Some(pods) = self.pods_of_job.get_mut(&owner)
        {
            pods.remove(name);
            if pods.is_empty() {
                self.pods_of_job.remove(&owner);
            }
        }
    }

    /// A Job.
    pub fn job(&self, name: &Name) -> Option<Arc<Job>> {
        self.jobs.get(name).cloned()
    }

    /// A Pod.
    pub fn pod(&self, name: &Name) -> Option<Arc<Pod>> {
        self.pods.get(name).cloned()
    }

    /// All Jobs.
    pub fn job_names(&self) -> impl Iterator<Item = &Name> {
        self.jobs.keys()
    }

    /// All Pods.
    pub fn pods(&self) -> impl Iterator<Item = (&Name, &Arc<Pod>)> {
        self.pods.iter()
    }

    /// The Pods that a Job controls, by its UID.
    pub fn pods_of(&self, job_uid: &str) -> Vec<Arc<Pod>> {
        let names = self.pods_of_job.get(job_uid).into_iter().flatten();
        names.filter_map(|name| self.pods.get(name).cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn name() -> Name {
        Name { namespace: "ns".into(), name: "x".into() }
    }

    fn pod(uid: &str, version: u64, owner: &str, phase: &str) -> Pod {
        Pod::read(&json!({
            "metadata": {
                "name": "x", "namespace": "ns", "uid": uid, "resourceVersion": version.to_string(),
                "ownerReferences": [{"kind": "Job", "name": "j", "uid": owner, "controller": true}],
            },
            "spec": {"containers": []}, "status": {"phase": phase},
        }))
    }

    #[test]
    fn older_news_changes_nothing() {
        let mut store = Store::default();
        assert_eq!(store.put_pod(pod("u", 5, "j", "Running")), None);
        store.put_pod(pod("u", 4, "j", "Pending"));
        assert_eq!(store.pod(&name()).unwrap().status.phase, "Running");
        assert!(!store.remove_pod(&name(), "before"));
        assert_eq!(store.put_pod(pod("v", 9, "k", "Pending")), Some("u".to_owned()));
        assert!(store.pods_of("j").is_empty());
        assert_eq!(store.pods_of("k").len(), 1);
        assert!(store.remove_pod(&name(), "v"));
        assert!(store.pods_of("k").is_empty());
        assert!(store.pod(&name()).is_none());
    }

    #[test]
    fn what_has_ended_is_kept_small() {
        let mut store = Store::default();
        store.put_pod(pod("u", 1, "j", "Running"));
        assert!(store.pod(&name()).unwrap().spec.is_object());
        store.put_pod(pod("u", 2, "j", "Failed"));
        assert!(store.pod(&name()).unwrap().spec.is_null());
        let job = |conditions: serde_json::Value| {
            let metadata = json!({"name": "x", "namespace": "ns", "uid": "j", "resourceVersion": "1"});
            let spec = json!({"template": {"spec": {}}, "ttlSecondsAfterFinished": 7});
            Job::read(&json!({"metadata": metadata, "spec": spec, "status": {"conditions": conditions}}))
        };
        store.put_job(job(json!([{"type": "Failed", "status": "True"}])));
        let kept = store.job(&name()).unwrap();
        let spec = kept.spec.as_ref().unwrap();
        assert_eq!((&spec.template, spec.ttl_seconds_after_finished), (&serde_json::Value::Null, Some(7)));
        assert!(store.remove_job(&name(), "j"));
    }
}
