//! Server-side apply.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    clock::rfc3339,
    coerce,
    fieldset::FieldSet,
    managed::{self, Manager},
    object::{self, Object},
    schema::ListType,
    shape::Shape,
    status::{Cause, FieldError, Status},
    write::{Writer, Written},
};

impl Writer<'_, '_> {
    /// Serves an apply patch.
    pub fn apply(&mut self) -> Result<Written, Status> {
        let resource = self.resource.clone();
        let mut applied = super::patch::yaml(&self.request.body)?;
        self.check_identity(&applied)?;
        if self.request.options.text("fieldManager").is_empty() {
            let error = FieldError::required("fieldManager", "is required for apply patch");
            return Err(Status::invalid("PatchOptions", "meta.k8s.io", "", &[error]));
        }
        let meta = object::metadata_mut(&mut applied);
        if meta.get("managedFields").is_some_and(|value| !value.is_null()) {
            return Err(Status::bad_request("metadata.managedFields must be nil"));
        }
        meta.remove("managedFields");
        meta.remove("creationTimestamp");
        let name = &self.request.info.name;
        let given = object::name(&applied);
        if !given.is_empty() && given != name {
            let why = format!("the name of the object ({given}) does not match the name on the URL ({name})");
            return Err(Status::bad_request(why));
        }
        self.refuse_undeclared(&applied)?;
        object::metadata_mut(&mut applied).insert("name".to_owned(), json!(name));
        if resource.namespaced && object::namespace(&applied).is_empty() {
            object::metadata_mut(&mut applied).insert("namespace".to_owned(), json!(self.request.info.namespace));
        }
        match self.find() {
            Ok(live) => self.apply_to(&live, &applied),
            Err(missing) if !self.request.info.subresource.is_empty() => Err(missing),
            Err(_) if !object::uid(&applied).is_empty() => {
                let why = format!(
                    "uid mismatch: the provided object specified uid {}, and no existing object was found",
                    object::uid(&applied)
                );
                Err(Status::conflict(&resource.plural, &resource.group, name, &why))
            }
            Err(_) => {
                let shape = self.shape();
                let fields = managed::field_set(&applied, shape);
                let writer = self.manager("Apply", managed::restricted(fields, "", resource.status_subresource));
                let managers = managed::to_json(vec![writer]);
                self.create_with_managers(applied, Some(managers))
            }
        }
    }

    /// Apply is strict: a field that the schema lacks is refused at once.
    fn refuse_undeclared(&self, applied: &Value) -> Result<(), Status> {
        let Some(custom) = &self.resource.custom else { return Ok(()) };
        let unknown = coerce::prune(&mut applied.clone(), &custom.schema);
        let sentences: Vec<String> =
            unknown.iter().map(|path| format!(".{path}: field not declared in schema")).collect();
        let joined = match sentences.as_slice() {
            [] => return Ok(()),
            [one] => one.clone(),
            many => format!("errors:\n  {}", many.join("\n  ")),
        };
        let message = format!(
            "failed to create typed patch object ({}/{}; {}, Kind={}): {joined}",
            object::namespace(applied),
            object::name(applied),
            self.resource.api_version(),
            self.resource.kind
        );
        Err(Status::new(500, "", message))
    }

    fn apply_to(&mut self, live: &Arc<Object>, applied: &Value) -> Result<Written, Status> {
        let (custom, subresource) = (self.resource.custom.clone(), self.request.info.subresource.clone());
        let shape = Shape::Root(custom.as_ref().map(|custom| &custom.schema));
        let has_status = self.resource.status_subresource;
        let mut managers = managed::of(&live.value);
        let fields = managed::restricted(managed::field_set(applied, shape), &subresource, has_status);
        let mut writer = self.manager("Apply", fields);
        let at = managers.iter().position(|manager| manager.is_same(&writer));
        let last = at.map(|at| managers.remove(at));

        let mut merged = (*live.value).clone();
        merge(&mut merged, applied, shape);
        if let Some(last) = &last {
            let mut kept = writer.fields.clone();
            managers.iter().for_each(|manager| kept.union(&manager.fields));
            remove_unowned(&mut merged, &last.fields, &kept, shape);
        }
        let comparison = managed::compare(&live.value, &merged, shape).restrict(&subresource, has_status);
        let conflicts: Vec<(Manager, FieldSet)> = managers
            .iter()
            .map(|manager| (manager.clone(), manager.fields.intersection(&comparison.changed)))
            .filter(|(_, fields)| !fields.is_empty())
            .collect();
        if !conflicts.is_empty() && !self.request.options.flag("force") {
            return Err(conflict(&conflicts));
        }
        for manager in &mut managers {
            manager.fields.subtract(&comparison.changed);
            manager.fields.subtract(&comparison.removed);
        }
        if let Some(last) = last.filter(|last| last.fields == writer.fields && comparison.is_empty()) {
            writer.time = last.time;
        }
        managers.push(writer);
        self.replace(live, merged, Some(managed::to_json(managers)))
    }

    /// This request as a manager.
    pub fn manager(&self, operation: &'static str, fields: FieldSet) -> Manager {
        let given = self.request.options.text("fieldManager");
        let agent = self.request.info.user_agent.split('/').next().unwrap_or_default();
        let name = if given.is_empty() { agent } else { given };
        Manager {
            name: if name.is_empty() { "unknown".to_owned() } else { name.chars().take(128).collect() },
            operation,
            api_version: self.resource.api_version(),
            subresource: self.request.info.subresource.clone(),
            time: rfc3339(self.server.now()),
            fields,
        }
    }
}

/// The refusal of an apply that would change what others own.
fn conflict(conflicts: &[(Manager, FieldSet)]) -> Status {
    let mut causes = Vec::new();
    let mut lines = Vec::new();
    for (manager, fields) in conflicts {
        lines.push(format!("conflicts with {}:", manager.words()));
        for path in fields.paths() {
            lines.push(format!("- {path}"));
            causes.push(Cause {
                reason: "FieldManagerConflict".to_owned(),
                message: format!("conflict with {}", manager.words()),
                field: path,
            });
        }
    }
    let message = match causes.as_slice() {
        [one] => format!("Apply failed with 1 conflict: {}: {}", one.message, one.field),
        many => format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n")),
    };
    Status::apply_conflict(message, causes)
}

/// Puts what `applied` names into `live`.
fn merge(live: &mut Value, applied: &Value, shape: Shape<'_>) {
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) if !shape.is_atomic_map() => {
            for (key, value) in applied {
                match live.get_mut(key) {
                    Some(slot) => merge(slot, value, shape.field(key).0),
                    None => {
                        live.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (Value::Array(live), Value::Array(applied)) if shape.list_type() != ListType::Atomic => {
            merge_lists(live, applied, shape);
        }
        (live, applied) => *live = applied.clone(),
    }
}

/// Items that both have keep the order of `applied`; those that only `live` has stay in front of what follows them.
fn merge_lists(live: &mut Vec<Value>, applied: &[Value], shape: Shape<'_>) {
    let left: Vec<(Option<String>, Value)> = live.drain(..).map(|item| (shape.element(&item), item)).collect();
    let right: Vec<(Option<String>, &Value)> = applied.iter().map(|item| (shape.element(item), item)).collect();
    let find = |element: &Option<String>| left.iter().find(|(found, _)| found == element).map(|(_, item)| item);
    let wanted = |element: &Option<String>| right.iter().any(|(found, _)| found == element);
    let mut shared = right.iter().map(|(element, _)| element).filter(|element| find(element).is_some());
    let mut next_shared = shared.next();
    let (mut at_left, mut at_right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        match (at_left.peek(), at_right.peek()) {
            (Some((element, item)), _) if !wanted(element) => {
                live.push(item.clone());
                at_left.next();
            }
            // A shared item out of turn: it comes where `applied` has it.
            (Some((element, _)), Some((other, _))) if element != other && next_shared != Some(element) => {
                at_left.next();
            }
            (_, Some((element, item))) => {
                match find(element) {
                    Some(old) => {
                        let mut merged = old.clone();
                        merge(&mut merged, item, shape.items());
                        live.push(merged);
                    }
                    None => live.push((*item).clone()),
                }
                if at_left.peek().is_some_and(|(found, _)| found == element) {
                    at_left.next();
                }
                if next_shared == Some(element) {
                    next_shared = shared.next();
                }
                at_right.next();
            }
            (Some(_), None) => {
                at_left.next();
            }
            (None, None) => return,
        }
    }
}

/// Removes what the last apply owned and nobody owns any more.
fn remove_unowned(value: &mut Value, last: &FieldSet, kept: &FieldSet, shape: Shape<'_>) {
    match value {
        Value::Object(map) => {
            let keys: Vec<String> =
                last.children.keys().filter_map(|element| element.strip_prefix("f:").map(str::to_owned)).collect();
            for key in keys {
                let element = format!("f:{key}");
                match (last.children.get(&element), kept.children.get(&element)) {
                    (Some(_), None) => {
                        map.remove(&key);
                    }
                    (Some(last), Some(kept)) => {
                        if let Some(below) = map.get_mut(&key) {
                            remove_unowned(below, last, kept, shape.field(&key).0);
                        }
                    }
                    (None, _) => {}
                }
            }
        }
        Value::Array(items) => items.retain_mut(|item| {
            let Some(element) = shape.element(item) else { return true };
            match (last.children.get(&element), kept.children.get(&element)) {
                (Some(_), None) => false,
                (Some(last), Some(kept)) => {
                    remove_unowned(item, last, kept, shape.items());
                    true
                }
                (None, _) => true,
            }
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_merge_by_key_in_the_applied_order() {
        let shape = Shape::BuiltIn("env");
        let list = |names: &[&str]| -> Vec<Value> { names.iter().map(|name| json!({"name": name})).collect() };
        let table: &[(&[&str], &[&str], &[&str])] = &[
            (&["a", "b"], &["b"], &["a", "b"]),
            (&["a", "b"], &["c"], &["a", "b", "c"]),
            (&["a", "b"], &["b", "a"], &["b", "a"]),
            (&["a", "b", "c"], &["x", "c"], &["a", "b", "x", "c"]),
            (&["x", "a", "y", "b", "z"], &["a", "b"], &["x", "a", "y", "b", "z"]),
            (&[], &["a"], &["a"]),
            (&["a"], &[], &["a"]),
        ];
        for (live, applied, expected) in table {
            let mut merged = list(live);
            merge_lists(&mut merged, &list(applied), shape);
            let names: Vec<&str> = merged.iter().filter_map(|item| item["name"].as_str()).collect();
            assert_eq!(names, expected.to_vec());
        }
    }
}
