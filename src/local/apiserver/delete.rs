//! delete and deletecollection: preconditions, grace, finalizers, propagation.

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    Outcome, builtin,
    clock::rfc3339,
    object::{self, Object},
    read::Filter,
    render::{Renderer, text},
    request::Request,
    status::Status,
    store::{Key, State},
    write::Writer,
};

/// What happens to the dependents of a deleted object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

pub(super) const FOREGROUND: &str = "foregroundDeletion";
pub(super) const ORPHAN: &str = "orphan";

/// `meta.k8s.io/v1 DeleteOptions`, from the body or the query.
#[derive(Clone, Debug, Default)]
pub(super) struct DeleteOptions {
    pub propagation: Option<Propagation>,
    pub grace_seconds: Option<i64>,
    uid: Option<String>,
    resource_version: Option<String>,
    pub dry_run: bool,
}

impl DeleteOptions {
    /// A deletion without preconditions.
    pub fn with(propagation: Propagation) -> Self {
        Self { propagation: Some(propagation), ..Self::default() }
    }

    pub fn parse(request: &Request) -> Result<Self, Status> {
        let body: Value = if request.body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&request.body)
                .map_err(|error| Status::bad_request(format!("invalid DeleteOptions: {error}")))?
        };
        let given = |key: &str| -> Option<String> {
            let parameter = request.options.text(key);
            match body.get(key) {
                Some(Value::String(text)) => Some(text.clone()),
                Some(Value::Null) | None => (!parameter.is_empty()).then(|| parameter.to_owned()),
                Some(other) => Some(other.to_string()),
            }
        };
        let propagation = match given("propagationPolicy").as_deref() {
            None => match given("orphanDependents").as_deref() {
                Some("true") => Some(Propagation::Orphan),
                Some(_) => Some(Propagation::Background),
                None => None,
            },
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Orphan") => Some(Propagation::Orphan),
            Some(other) => {
                let why = format!(
                    "propagationPolicy: Unsupported value: {other:?}: supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
                );
                return Err(Status::new(422, "Invalid", format!("DeleteOptions.meta.k8s.io \"\" is invalid: {why}")));
            }
        };
        let text =
            |key: &str| body.pointer(&format!("/preconditions/{key}")).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            propagation,
            grace_seconds: given("gracePeriodSeconds").and_then(|seconds| seconds.parse().ok()),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            dry_run: body.get("dryRun").and_then(Value::as_array).is_some_and(|list| list.contains(&json!("All"))),
        })
    }

    fn check(&self, writer: &Writer<'_, '_>, object: &Object) -> Result<(), Status> {
        let resource = writer.resource;
        let conflict = |why: &str| Status::conflict(&resource.kind, &resource.group, object::name(&object.value), why);
        if let Some(uid) = self.uid.as_deref().filter(|&uid| uid != object.uid()) {
            return Err(conflict(&format!(
                "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
                object.uid()
            )));
        }
        let version = object.resource_version.to_string();
        if let Some(wanted) = self.resource_version.as_deref().filter(|&wanted| wanted != version) {
            return Err(conflict(&format!(
                "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({version}). The object might have been modified"
            )));
        }
        Ok(())
    }
}

impl Writer<'_, '_> {
    /// Serves DELETE of one object.
    pub fn delete(mut self, options: &DeleteOptions) -> Result<Outcome, Status> {
        let found = self.find()?;
        options.check(&self, &found)?;
        let key = Key::new(object::namespace(&found.value), object::name(&found.value));
        let now = self.server.now();
        let left = self.held.state().delete(self.resource.table, &key, options, now);
        Ok(match left {
            Some(object) => {
                let renderer = Renderer::new(self.resource.clone(), self.request, self.server.clock.clone())?;
                Outcome::object(200, renderer, object)
            }
            None => {
                let status = Status::deleted(&self.resource.plural, &self.resource.group, &key.name, found.uid());
                Outcome::json(200, text(&status))
            }
        })
    }

    /// Serves DELETE of every object that the selectors match.
    pub fn delete_collection(self, options: &DeleteOptions) -> Result<Outcome, Status> {
        let filter = Filter::new(self.request, self.resource)?;
        let renderer = Renderer::new(self.resource.clone(), self.request, self.server.clock.clone())?;
        let now = self.server.now();
        let state = self.held.state();
        let table = state.tables.get(self.resource.table).ok_or_else(Status::page_not_found)?;
        let found: Vec<(Key, Arc<Object>)> = table
            .range(&filter.namespace, None)
            .filter(|(_, object)| filter.matches(&object.value))
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect();
        let mut deleted = Vec::new();
        for (key, object) in found {
            let left = state.delete(self.resource.table, &key, options, now);
            deleted.push(left.unwrap_or(object));
        }
        let metadata = json!({ "resourceVersion": state.resource_version.to_string() });
        Ok(Outcome::list(renderer, deleted, metadata))
    }
}

impl State {
    /// Deletes an object as far as grace and finalizers allow. Returns it if it stays for now.
    pub fn delete(
        &mut self,
        table: usize,
        key: &Key,
        options: &DeleteOptions,
        now: jiff::Timestamp,
    ) -> Option<Arc<Object>> {
        let object = self.get(table, key)?.clone();
        let resource = self.registry.of_table(table)?;
        let grace = builtin::grace_seconds(&resource, &object.value, options.grace_seconds);
        let mut finalizers: Vec<String> = object::finalizers(&object.value).into_iter().map(str::to_owned).collect();
        let decided = finalizers.iter().any(|name| name == FOREGROUND || name == ORPHAN);
        // Jobs are the last kind that orphans its dependents unless told otherwise.
        let default = (resource.is("batch", "Job") && !decided).then_some(Propagation::Orphan);
        if let Some(propagation) = options.propagation.or(default) {
            finalizers.retain(|name| name != FOREGROUND && name != ORPHAN);
            match propagation {
                Propagation::Background => {}
                Propagation::Foreground => finalizers.push(FOREGROUND.to_owned()),
                Propagation::Orphan => finalizers.push(ORPHAN.to_owned()),
            }
        }
        let stays = !finalizers.is_empty() || grace > 0 || resource.is("", "Namespace");
        if !stays {
            self.delete_now(table, key);
            return None;
        }
        let mut value = (*object.value).clone();
        if resource.is("", "Namespace") && !object::is_terminating(&value) {
            object::child_mut(object::as_map(&mut value), "status").insert("phase".to_owned(), json!("Terminating"));
        }
        let was_terminating = object::is_terminating(&value);
        let generation = object::generation(&value);
        object::set_finalizers(&mut value, finalizers);
        let meta = object::metadata_mut(&mut value);
        let shorter =
            meta.get("deletionGracePeriodSeconds").and_then(Value::as_i64).is_none_or(|seconds| grace < seconds);
        if !was_terminating || shorter {
            let at = now.checked_add(SignedDuration::from_secs(grace)).unwrap_or(now);
            meta.insert("deletionTimestamp".to_owned(), json!(rfc3339(at)));
            meta.insert("deletionGracePeriodSeconds".to_owned(), json!(grace));
        }
        if !was_terminating && generation > 0 {
            meta.insert("generation".to_owned(), json!(generation + 1));
        }
        let stored = if value == *object.value { object } else { self.put(table, value) };
        self.after_write(table, key);
        Some(stored)
    }
}
