//! create, update, and what every write has in common: identity, isolation of the status, generation.

use std::sync::Arc;

use rand::RngExt;
use serde_json::{Map, Value, json};

use super::{
    Inner, Outcome, builtin,
    clock::rfc3339,
    custom,
    fieldset::FieldSet,
    held::Held,
    managed, names,
    object::{self, Object},
    read,
    render::Renderer,
    request::Request,
    resource::{CRD_GROUP, Resource, View},
    shape::Shape,
    status::{FieldError, Status},
    store::Key,
    validate,
};

/// One write in progress.
pub(super) struct Writer<'a, 'b> {
    pub server: &'a Inner,
    pub held: &'a mut Held<'b>,
    pub request: &'a Request,
    pub resource: &'a Arc<Resource>,
    pub warnings: Vec<String>,
}

/// What a write came to.
pub(super) enum Written {
    Created(Arc<Object>),
    Updated(Arc<Object>),
}

impl Writer<'_, '_> {
    /// The object in the body.
    pub fn body(&self) -> Result<Value, Status> {
        let value: Value = match self.request.content_type.as_str() {
            "application/json" | "" => serde_json::from_slice(&self.request.body)
                .map_err(|error| Status::bad_request(format!("the object provided is unrecognized: {error}")))?,
            "application/yaml" => super::patch::yaml(&self.request.body)?,
            other => return Err(Status::unsupported_media_type(other, "application/json, application/yaml")),
        };
        self.check_identity(&value)?;
        Ok(match self.resource.view {
            View::EventsV1 => super::events::to_core_v1(&value),
            _ => value,
        })
    }

    /// Checks that an object is of the kind that the path names.
    pub fn check_identity(&self, value: &Value) -> Result<(), Status> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
        let (kind, api_version) = (text("kind"), text("apiVersion"));
        if !value.is_object() || kind.is_empty() {
            return Err(Status::bad_request(format!("Object 'Kind' is missing in '{value}'")));
        }
        if api_version != self.resource.api_version() {
            return Err(Status::bad_request(format!(
                "the API version in the data ({api_version}) does not match the expected API version ({})",
                self.resource.api_version()
            )));
        }
        if kind != self.resource.kind {
            return Err(Status::bad_request(format!(
                "{} in version {:?} cannot be handled as a {}: the kind in the data ({kind}) does not match",
                kind, self.resource.version, self.resource.kind
            )));
        }
        Ok(())
    }

    /// Serves POST.
    pub fn create(&mut self) -> Result<Written, Status> {
        self.let_go();
        let object = self.body()?;
        self.create_with_managers(object, None)
    }

    /// Creates an object that is of the right kind. `managed` are its managers if the caller knows them.
    pub fn create_with_managers(&mut self, mut object: Value, managed: Option<Value>) -> Result<Written, Status> {
        let resource = self.resource.clone();
        if !object::meta_text(&object, "resourceVersion").is_empty() {
            return Err(Status::new(500, "", "resourceVersion should not be set on objects to be created"));
        }
        self.settle_namespace(&mut object)?;
        self.generate_name(&mut object);
        let uid = self.held.state().new_uid();
        // An apply has seen that nothing is there; that is to hold until it has stored.
        if managed.is_none() {
            self.let_go();
        }
        self.decode(&mut object, None)?;
        let now = self.server.now();
        if resource.custom.is_some() && resource.status_subresource {
            object::as_map(&mut object).remove("status");
        }
        builtin::prepare_create(&resource, &mut object, &uid);
        let meta = object::metadata_mut(&mut object);
        for key in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"] {
            meta.remove(key);
        }
        meta.insert("uid".to_owned(), json!(uid));
        meta.insert("creationTimestamp".to_owned(), json!(rfc3339(now)));
        if resource.counts_generations {
            meta.insert("generation".to_owned(), json!(1));
        }
        self.validate(&object, None)?;
        let key = Key::new(object::namespace(&object), object::name(&object));
        match managed {
            Some(managed) => set_managed(&mut object, managed),
            None => self.track_create(&mut object),
        }
        self.held.take_for(&resource)?;
        if self.held.state().get(resource.table, &key).is_some() {
            return Err(Status::already_exists(&resource.plural, &resource.group, &key.name));
        }
        self.ensure_namespace(&resource, &key)?;
        if resource.is(CRD_GROUP, "CustomResourceDefinition") {
            self.establish(&mut object)?;
        }
        let state = self.held.state();
        let stored = state.put(resource.table, object);
        state.after_write(resource.table, &key);
        Ok(Written::Created(stored))
    }

    /// Serves PUT.
    pub fn update(&mut self) -> Result<Written, Status> {
        let new = self.body()?;
        let name = object::name(&new);
        if name != self.request.info.name {
            let path = &self.request.info.name;
            return Err(Status::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({path})"
            )));
        }
        let old = self.find()?;
        if object::meta_text(&new, "resourceVersion").is_empty() && !self.resource.unconditional_update {
            let error = FieldError::invalid("metadata.resourceVersion", json!(0), "must be specified for an update");
            // The one refusal that names the resource where the others name the kind.
            return Err(Status::invalid(&self.resource.plural, &self.resource.group, name, &[error]));
        }
        self.replace(&old, new, None)
    }

    /// The object that the path names.
    pub fn find(&mut self) -> Result<Arc<Object>, Status> {
        read::find(self.held.state(), self.request, self.resource).cloned()
    }

    /// Lets others at the state while an object is made ready. What defines kinds is looked at while all wait.
    pub fn let_go(&mut self) {
        if !self.resource.is(CRD_GROUP, "CustomResourceDefinition") {
            self.held.let_go();
        }
    }

    /// Stores `new` in place of `old`. `managed` are the managers of the fields if the caller already knows them.
    pub fn replace(&mut self, old: &Arc<Object>, mut new: Value, managed: Option<Value>) -> Result<Written, Status> {
        let resource = self.resource.clone();
        let name = object::name(&old.value).to_owned();
        self.check_preconditions(old, &new)?;
        self.settle_namespace(&mut new)?;
        self.decode(&mut new, Some(old))?;
        self.isolate(&old.value, &mut new);
        builtin::prepare_update(&resource, &old.value, &mut new);
        let meta = object::metadata_mut(&mut new);
        for key in [
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
            "namespace",
            "resourceVersion",
        ] {
            match object::metadata(&old.value).and_then(|meta| meta.get(key)) {
                Some(value) => meta.insert(key.to_owned(), value.clone()),
                None => meta.remove(key),
            };
        }
        meta.insert("name".to_owned(), json!(name));
        meta.remove("selfLink");
        if resource.counts_generations && spec_differs(&resource, &old.value, &new) {
            object::metadata_mut(&mut new).insert("generation".to_owned(), json!(object::generation(&old.value) + 1));
        }
        self.check_finalizers(&old.value, &new)?;
        self.validate(&new, Some(&old.value))?;
        match managed {
            Some(managed) => set_managed(&mut new, managed),
            None => self.track_update(&old.value, &mut new),
        }
        if new == *old.value {
            return Ok(Written::Updated(old.clone()));
        }
        self.held.take_where_still(&resource, old)?;
        if resource.is(CRD_GROUP, "CustomResourceDefinition") && self.request.info.subresource.is_empty() {
            self.establish(&mut new)?;
        }
        let key = Key::new(object::namespace(&new), &name);
        let state = self.held.state();
        let stored = state.put(resource.table, new);
        if object::is_terminating(&stored.value)
            && object::finalizers(&stored.value).is_empty()
            && builtin::may_go(&resource, &stored.value)
        {
            state.delete_now(resource.table, &key);
        } else {
            state.after_write(resource.table, &key);
        }
        Ok(Written::Updated(stored))
    }

    /// Serves the kinds of a new or changed CustomResourceDefinition.
    fn establish(&mut self, definition: &mut Value) -> Result<(), Status> {
        custom::accept(definition, &rfc3339(self.server.now()));
        if self.request.info.dry_run {
            return Ok(());
        }
        self.held.state().establish(definition).map_err(|why| {
            let error = FieldError::invalid("spec", Value::Null, why);
            self.invalid(object::name(definition), &[error])
        })
    }

    fn check_preconditions(&self, old: &Object, new: &Value) -> Result<(), Status> {
        let resource = self.resource;
        let name = object::name(&old.value);
        let (old_uid, new_uid) = (old.uid(), object::uid(new));
        if !new_uid.is_empty() && new_uid != old_uid {
            let group = if resource.custom.is_some() { format!("{}/", resource.group) } else { String::new() };
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: /registry/{group}{}/{}/{name}, ResourceVersion: 0, \
                 AdditionalErrorMsg: Precondition failed: UID in precondition: {new_uid}, UID in object meta: {old_uid}",
                resource.plural,
                object::namespace(&old.value)
            );
            return Err(Status::conflict(&resource.plural, &resource.group, name, &why));
        }
        let version = object::meta_text(new, "resourceVersion");
        if !version.is_empty() && version != old.resource_version.to_string() {
            return Err(Status::modified(&resource.plural, &resource.group, name));
        }
        Ok(())
    }

    /// Keeps the part of the object that this endpoint may not change.
    fn isolate(&self, old: &Value, new: &mut Value) {
        if !self.resource.status_subresource {
            return;
        }
        let (Some(old), new) = (old.as_object(), object::as_map(new)) else { return };
        if self.request.info.subresource != "status" {
            if new.get("status") != old.get("status") {
                set_or_remove(new, "status", old.get("status").cloned());
            }
            return;
        }
        new.retain(|key, _| key == "status" || old.contains_key(key));
        for (key, value) in old.iter().filter(|(key, _)| *key != "status") {
            if new.get(key) == Some(value) {
                continue;
            }
            let managed =
                (key == "metadata").then(|| new.get_mut(key)?.as_object_mut()?.remove("managedFields")).flatten();
            let mut value = value.clone();
            if let Some(managed) = managed {
                set_or_remove(object::as_map(&mut value), "managedFields", some_managed(managed));
            }
            new.insert(key.clone(), value);
        }
    }

    fn check_finalizers(&self, old: &Value, new: &Value) -> Result<(), Status> {
        if !object::is_terminating(old) {
            return Ok(());
        }
        let known = object::finalizers(old);
        let added: Vec<&str> = object::finalizers(new).into_iter().filter(|name| !known.contains(name)).collect();
        if added.is_empty() {
            return Ok(());
        }
        let quoted: Vec<String> = added.iter().map(|name| format!("{name:?}")).collect();
        let why = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            quoted.join(", ")
        );
        Err(self.invalid(object::name(old), &[FieldError::forbidden("metadata.finalizers", why)]))
    }

    /// Sets the namespace of the path on the object, or refuses another one.
    fn settle_namespace(&self, object: &mut Value) -> Result<(), Status> {
        let wanted = &self.request.info.namespace;
        let given = object::namespace(object);
        if !self.resource.namespaced {
            object::metadata_mut(object).remove("namespace");
            return Ok(());
        }
        if given.is_empty() {
            object::metadata_mut(object).insert("namespace".to_owned(), json!(wanted));
        } else if given != wanted {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        Ok(())
    }

    /// Makes sure that the namespace of a new object is there and not going.
    fn ensure_namespace(&mut self, resource: &Resource, key: &Key) -> Result<(), Status> {
        if !resource.namespaced {
            return Ok(());
        }
        let state = self.held.state();
        let Some(namespaces) = state.registry.get("", "v1", "namespaces") else { return Ok(()) };
        let namespace = Key::new("", &key.namespace);
        match state.get(namespaces.table, &namespace) {
            Some(found) if object::is_terminating(&found.value) => {
                let why = format!(
                    "unable to create new content in namespace {} because it is being terminated",
                    key.namespace
                );
                Err(Status::forbidden(&resource.plural, &resource.group, &key.name, &why))
            }
            Some(_) => Ok(()),
            None if self.server.creates_namespaces() => {
                let errors = names::label_errors(&key.namespace);
                if let Some(why) = errors.into_iter().next() {
                    let error = FieldError::invalid("metadata.namespace", json!(key.namespace), why);
                    return Err(self.invalid(&key.name, &[error]));
                }
                let uid = state.new_uid();
                let namespace = builtin::namespace(&key.namespace, &uid, &rfc3339(self.server.now()));
                state.put(namespaces.table, namespace);
                Ok(())
            }
            None => Err(Status::not_found("namespaces", "", &key.namespace)),
        }
    }

    fn generate_name(&mut self, object: &mut Value) {
        let prefix = object::meta_text(object, "generateName");
        if !object::name(object).is_empty() || prefix.is_empty() {
            return;
        }
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let mut name: String = prefix.chars().take(58).collect();
        for _ in 0..5 {
            let at = self.held.state().random.random_range(0..ALPHABET.len());
            name.push(char::from(ALPHABET.get(at).copied().unwrap_or(b'x')));
        }
        object::metadata_mut(object).insert("name".to_owned(), json!(name));
    }

    fn validate(&self, object: &Value, old: Option<&Value>) -> Result<(), Status> {
        let mut errors = names::metadata_errors(self.resource, object);
        match &self.resource.custom {
            Some(custom) => errors = validate::errors(&custom.schema, object, old, errors),
            None => errors.extend(builtin::errors(self.resource, object, old)),
        }
        if errors.is_empty() { Ok(()) } else { Err(self.invalid(object::name(object), &errors)) }
    }

    pub fn invalid(&self, name: &str, errors: &[FieldError]) -> Status {
        Status::invalid(&self.resource.kind, &self.resource.group, name, errors)
    }

    /// How server-side apply sees objects of this kind.
    pub fn shape(&self) -> Shape<'_> {
        Shape::Root(self.resource.custom.as_ref().map(|custom| &custom.schema))
    }

    /// Gives the fields of a new object to its creator.
    fn track_create(&self, object: &mut Value) {
        let comparison = managed::compare(&Value::Object(Map::new()), object, self.shape())
            .restrict("", self.resource.status_subresource);
        let mut list = Vec::new();
        managed::update(&mut list, self.manager("Update", FieldSet::default()), comparison);
        set_managed(object, Value::Array(list));
    }

    /// Gives the changed fields to the writer.
    fn track_update(&self, old: &Value, new: &mut Value) {
        if managed::is_reset(new) {
            object::metadata_mut(new).remove("managedFields");
            return;
        }
        let subresource = &self.request.info.subresource;
        let comparison =
            managed::compare(old, new, self.shape()).restrict(subresource, self.resource.status_subresource);
        let known = object::metadata(old).and_then(|meta| meta.get("managedFields"));
        let given = object::metadata_mut(new).remove("managedFields");
        let kept = given.as_ref() == known;
        let managed = match given {
            Some(given) if kept => given,
            // A client that brings managers of its own is believed, as far as it makes sense.
            Some(given) if subresource.is_empty() => {
                let managers = managed::parse(&given);
                if managers.is_empty() { known.cloned().unwrap_or_default() } else { managed::to_json(managers) }
            }
            _ => known.cloned().unwrap_or_default(),
        };
        let mut list = if let Value::Array(list) = managed { list } else { Vec::new() };
        managed::update(&mut list, self.manager("Update", FieldSet::default()), comparison);
        set_managed(new, Value::Array(list));
    }

    /// The answer of a finished write.
    pub fn answer(self, written: Written) -> Result<Outcome, Status> {
        let renderer = Renderer::new(self.resource.clone(), self.request, self.server.clock.clone())?;
        let (code, object) = match written {
            Written::Created(object) => (201, object),
            Written::Updated(object) => (200, object),
        };
        Ok(Outcome::object(code, renderer, object).with_warnings(self.warnings))
    }
}

fn set_or_remove(map: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    match value {
        Some(value) => map.insert(key.to_owned(), value),
        None => map.remove(key),
    };
}

fn set_managed(object: &mut Value, managed: Value) {
    set_or_remove(object::metadata_mut(object), "managedFields", some_managed(managed));
}

/// An empty list is none.
fn some_managed(managed: Value) -> Option<Value> {
    let empty = managed.as_array().is_some_and(Vec::is_empty) || managed.is_null();
    (!empty).then_some(managed)
}

/// Whether anything but metadata, and the status where it is a subresource, differs.
fn spec_differs(resource: &Resource, old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return old != new };
    let counts = |key: &str| key != "metadata" && !(key == "status" && resource.status_subresource);
    let of = |map: &Map<String, Value>| map.keys().filter(|key| counts(key)).count();
    of(old) != of(new) || old.iter().any(|(key, value)| counts(key) && new.get(key) != Some(value))
}
