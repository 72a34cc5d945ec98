//! The garbage collector: dependents follow their owners, namespaces take their content along.
//!
//! Work is queued by the writes and done in order, so the outcome is the same in every run.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    delete::{DeleteOptions, FOREGROUND, ORPHAN, Propagation},
    object::{self, Object},
    resource::CRD_GROUP,
    store::{Key, Locator, State},
};

/// User agent of the collector's writes in the audit log.
pub(super) const ACTOR: &str = "garbage-collector";

impl State {
    /// Queues what a stored object may have to do with the collector.
    pub fn after_write(&mut self, table: usize, key: &Key) {
        self.note_event(table, key);
        let locator = Locator { table, key: key.clone() };
        let Some(object) = self.locate(&locator) else { return };
        if object::is_terminating(&object.value) || !object::owners(&object.value).is_empty() {
            self.garbage.push_back(locator);
        }
    }

    /// Removes an object and queues those that its end concerns.
    pub fn delete_now(&mut self, table: usize, key: &Key) {
        let Some(removed) = self.remove(table, key) else { return };
        self.withdraw(table, &removed);
        for locator in self.dependents.get(removed.uid()).into_iter().flatten() {
            self.garbage.push_back(locator.clone());
        }
        for owner in object::owners(&removed.value) {
            self.garbage.extend(self.uids.get(owner.uid).cloned());
        }
        if let Some(namespaces) = self.registry.get("", "v1", "namespaces") {
            let namespace = Locator { table: namespaces.table, key: Key::new("", &key.namespace) };
            if self.locate(&namespace).is_some_and(|object| object::is_terminating(&object.value)) {
                self.garbage.push_back(namespace);
            }
        }
    }

    /// The end of a CustomResourceDefinition is the end of its objects.
    fn withdraw(&mut self, table: usize, removed: &Object) {
        if self.registry.find(CRD_GROUP, "customresourcedefinitions").is_none_or(|crds| crds.table != table) {
            return;
        }
        let text = |pointer: &str| removed.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (group, plural) = (text("/spec/group"), text("/spec/names/plural"));
        let Some(resource) = self.registry.find(group, plural) else { return };
        let keys: Vec<Key> =
            self.tables.get(resource.table).into_iter().flat_map(|rows| rows.objects.keys().cloned()).collect();
        for key in keys {
            self.delete_now(resource.table, &key);
        }
        self.registry.remove(group, plural);
    }

    /// Queues everything that an interrupted collector may have left.
    pub fn requeue_garbage(&mut self) {
        let places: Vec<(usize, Key)> = self
            .tables
            .iter()
            .enumerate()
            .flat_map(|(table, rows)| rows.objects.keys().map(move |key| (table, key.clone())))
            .collect();
        for (table, key) in places {
            self.after_write(table, &key);
        }
    }

    /// Works the queue off.
    pub fn collect_garbage(&mut self, now: Timestamp) {
        self.expire_events(now);
        while let Some(locator) = self.garbage.pop_front() {
            let Some(object) = self.locate(&locator).cloned() else { continue };
            if object::is_terminating(&object.value) {
                self.finish(&locator, &object, now);
            } else {
                self.judge_by_owners(&locator, &object, now);
            }
        }
    }

    /// Goes on with an object that is being deleted.
    fn finish(&mut self, locator: &Locator, object: &Arc<Object>, now: Timestamp) {
        let finalizers = object::finalizers(&object.value);
        if finalizers.contains(&FOREGROUND) {
            let blocked = self.delete_dependents(object.uid(), now);
            if !blocked {
                self.drop_finalizer(locator, FOREGROUND);
            }
        } else if finalizers.contains(&ORPHAN) {
            let dependents: Vec<Locator> = self.dependents.get(object.uid()).into_iter().flatten().cloned().collect();
            for dependent in dependents {
                self.drop_owners(&dependent, |uid| uid == object.uid());
            }
            self.drop_finalizer(locator, ORPHAN);
        } else if self.registry.of_table(locator.table).is_some_and(|resource| resource.is("", "Namespace")) {
            self.empty_namespace(locator, now);
        }
    }

    /// Deletes the dependents of an object in foreground deletion. True while one of them blocks it.
    fn delete_dependents(&mut self, uid: &str, now: Timestamp) -> bool {
        let dependents: Vec<Locator> = self.dependents.get(uid).into_iter().flatten().cloned().collect();
        for dependent in &dependents {
            if let Some(object) = self.locate(dependent).cloned()
                && !object::is_terminating(&object.value)
            {
                self.judge_by_owners(dependent, &object, now);
            }
        }
        let blocks = |object: &Arc<Object>| {
            object::owners(&object.value).iter().any(|owner| owner.uid == uid && owner.block_owner_deletion)
        };
        self.dependents.get(uid).into_iter().flatten().any(|locator| self.locate(locator).is_some_and(blocks))
    }

    /// Deletes an object whose owners are gone or going; forgets the missing ones if others are left.
    fn judge_by_owners(&mut self, locator: &Locator, object: &Arc<Object>, now: Timestamp) {
        let owners = object::owners(&object.value);
        if owners.is_empty() {
            return;
        }
        let owner_object = |uid: &str| self.uids.get(uid).and_then(|locator| self.locate(locator));
        let going = |uid: &str| {
            owner_object(uid).is_some_and(|owner| {
                object::is_terminating(&owner.value) && object::finalizers(&owner.value).contains(&FOREGROUND)
            })
        };
        let solid = owners.iter().any(|owner| owner_object(owner.uid).is_some() && !going(owner.uid));
        let waiting = owners.iter().any(|owner| going(owner.uid));
        let dangling = owners.iter().any(|owner| owner_object(owner.uid).is_none());
        if solid {
            if waiting || dangling {
                let lost: Vec<String> = owners
                    .iter()
                    .filter(|owner| owner_object(owner.uid).is_none() || going(owner.uid))
                    .map(|owner| owner.uid.to_owned())
                    .collect();
                self.drop_owners(locator, |uid| lost.iter().any(|lost| lost == uid));
            }
            return;
        }
        let finalizers = object::finalizers(&object.value);
        let propagation = if finalizers.contains(&ORPHAN) {
            Propagation::Orphan
        } else if finalizers.contains(&FOREGROUND) || (waiting && self.dependents.contains_key(object.uid())) {
            Propagation::Foreground
        } else {
            Propagation::Background
        };
        let options = DeleteOptions::with(propagation);
        self.delete(locator.table, &locator.key, &options, now);
    }

    fn drop_owners(&mut self, locator: &Locator, lost: impl Fn(&str) -> bool) {
        let Some(object) = self.locate(locator) else { return };
        let mut value = (*object.value).clone();
        let meta = object::metadata_mut(&mut value);
        let mut owners = meta.remove("ownerReferences").and_then(|list| list.as_array().cloned()).unwrap_or_default();
        owners.retain(|owner| !lost(owner.get("uid").and_then(Value::as_str).unwrap_or_default()));
        if !owners.is_empty() {
            meta.insert("ownerReferences".to_owned(), Value::Array(owners));
        }
        self.put(locator.table, value);
    }

    fn drop_finalizer(&mut self, locator: &Locator, finalizer: &str) {
        let Some(object) = self.locate(locator) else { return };
        let mut value = (*object.value).clone();
        let left: Vec<String> =
            object::finalizers(&value).into_iter().filter(|&name| name != finalizer).map(str::to_owned).collect();
        let last = left.is_empty();
        object::set_finalizers(&mut value, left);
        self.put(locator.table, value);
        if last {
            self.delete_now(locator.table, &locator.key);
        }
    }

    /// Deletes the content of a namespace that is being deleted, and the namespace once it is empty.
    fn empty_namespace(&mut self, locator: &Locator, now: Timestamp) {
        let namespace = locator.key.name.clone();
        let content: Vec<Locator> = self
            .tables
            .iter()
            .enumerate()
            .flat_map(|(table, rows)| {
                rows.range(&namespace, None).map(move |(key, _)| Locator { table, key: key.clone() })
            })
            .collect();
        let options = DeleteOptions::with(Propagation::Background);
        for place in &content {
            if self.locate(place).is_some_and(|object| !object::is_terminating(&object.value)) {
                self.delete(place.table, &place.key, &options, now);
            }
        }
        if content.iter().all(|place| self.locate(place).is_none()) {
            self.delete_now(locator.table, &locator.key);
        }
    }
}
