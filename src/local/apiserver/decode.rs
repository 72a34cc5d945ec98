//! Bringing what a client sent into the form of its kind.

use std::sync::Arc;

use serde_json::Value;

use super::{
    coerce,
    fault::Verb,
    object::{self, Object},
    status::{FieldError, Status},
    typed,
    write::Writer,
};

impl Writer<'_, '_> {
    /// Prunes, defaults, and refuses or reports unknown fields. What is as in `old`, which it replaces, was decoded then.
    pub fn decode(&mut self, object: &mut Value, old: Option<&Arc<Object>>) -> Result<(), Status> {
        let strict = self.request.options.text("fieldValidation") == "Strict";
        let given = if strict { object.clone() } else { Value::Null };
        let decoded = old.map(|old| self.take_decoded(object, old)).unwrap_or_default();
        let unknown = match &self.resource.custom {
            Some(custom) => typed::check_metadata(object).map(|()| {
                let unknown = coerce::prune(object, &custom.schema);
                coerce::set_defaults(object, &custom.schema);
                unknown
            }),
            None => typed::decode(self.resource, object),
        };
        decoded.put_back(object);
        let unknown = unknown.map_err(|why| self.undecodable(object, &why))?;
        if !unknown.is_empty() {
            let sentences: Vec<String> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
            match self.request.options.text("fieldValidation") {
                "Strict" => {
                    let why = format!("strict decoding error: {}", sentences.join(", "));
                    return Err(self.undecodable(&given, &why));
                }
                "Ignore" => {}
                _ => self.warnings.extend(sentences),
            }
        }
        Ok(())
    }

    /// Takes out the fields that need no decoding, as they are those of `old`, which was stored in this form of its kind.
    fn take_decoded(&self, object: &mut Value, old: &Object) -> Decoded {
        let resource = self.resource;
        let same_form = old.resource_version > resource.since
            && old.value.get("apiVersion").and_then(Value::as_str) == Some(&resource.api_version());
        let whole = resource.custom.is_none() && !matches!(resource.kind.as_str(), "Job" | "Pod");
        let (Some(map), Some(old)) = (object.as_object_mut(), old.value.as_object()) else { return Decoded::default() };
        if !same_form || whole {
            return Decoded::default();
        }
        let part = |key: &str| !matches!(key, "apiVersion" | "kind" | "metadata");
        let same: Vec<String> = map
            .iter()
            .filter(|(key, value)| part(key) && old.get(*key) == Some(*value))
            .map(|(key, _)| key.clone())
            .collect();
        let fields = same.iter().filter_map(|key| map.remove_entry(key)).collect();
        let managed = map.get_mut("metadata").and_then(Value::as_object_mut).and_then(|meta| {
            let known = old.get("metadata")?.get("managedFields")?;
            if meta.get("managedFields")? == known { meta.remove("managedFields") } else { None }
        });
        Decoded { fields, managed }
    }

    /// The refusal of an object that is not of its kind: a patch is told apart from a whole object.
    fn undecodable(&self, object: &Value, why: &str) -> Status {
        if self.request.info.verb == Verb::Patch {
            let error = FieldError::invalid("patch", Value::String(object.to_string()), why);
            return Status::invalid("", "", "", &[error]);
        }
        let kind = &self.resource.kind;
        let version = &self.resource.version;
        Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
    }
}

/// Fields of an object that need no decoding.
#[derive(Default)]
struct Decoded {
    fields: Vec<(String, Value)>,
    managed: Option<Value>,
}

impl Decoded {
    fn put_back(self, object: &mut Value) {
        object::as_map(object).extend(self.fields);
        if let Some(managed) = self.managed {
            object::metadata_mut(object).insert("managedFields".to_owned(), managed);
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    use kube::{
        Api,
        api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    };
    use serde_json::json;

    use super::*;
    use crate::local::apiserver::ApiServer;

    fn versions(fields: Value) -> Value {
        let spec = json!({"type": "object", "properties": fields});
        let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}});
        json!([{"name": "v1", "served": true, "storage": true, "schema": schema}])
    }

    #[tokio::test]
    async fn what_did_not_change_is_decoded_anew_once_its_kind_has() {
        let (a, b) = (json!({"type": "integer"}), json!({"type": "integer", "default": 5}));
        let names = json!({"plural": "things", "singular": "thing", "kind": "Thing"});
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things.g"},
            "spec": {"group": "g", "scope": "Namespaced", "names": names, "versions": versions(json!({"a": a}))},
        });
        let server = ApiServer::builder().custom_resource_definition(definition).build().unwrap();
        let client = server.client("default");
        let kind = ApiResource {
            group: "g".into(),
            version: "v1".into(),
            api_version: "g/v1".into(),
            kind: "Thing".into(),
            plural: "things".into(),
        };
        let things: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &kind);
        let thing = DynamicObject::new("x", &kind).data(json!({"spec": {"a": 1}}));
        things.create(&PostParams::default(), &thing).await.unwrap();
        let label = async |value: &str| {
            let patch = Patch::Merge(json!({"metadata": {"labels": {"l": value}}}));
            things.patch("x", &PatchParams::default(), &patch).await.unwrap().data["spec"].clone()
        };
        assert_eq!(label("1").await, json!({"a": 1}));
        let definitions: Api<CustomResourceDefinition> = Api::all(client);
        let patch = Patch::Merge(json!({"spec": {"versions": versions(json!({"b": b}))}}));
        definitions.patch("things.g", &PatchParams::default(), &patch).await.unwrap();
        assert_eq!(label("2").await, json!({"b": 5}));
    }
}
