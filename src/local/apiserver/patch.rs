//! PATCH: JSON patch (RFC 6902), merge patch (RFC 7396), strategic merge patch, apply.

use std::sync::Arc;

use serde_json::Value;

use super::{
    object::{self, Object},
    status::Status,
    strategic,
    write::{Writer, Written},
};

/// Reads YAML, of which JSON is a part.
pub(super) fn yaml(body: &[u8]) -> Result<Value, Status> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    let text =
        std::str::from_utf8(body).map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))?;
    serde_saphyr::from_str(text).map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))
}

impl Writer<'_, '_> {
    /// Serves PATCH.
    pub fn patch(&mut self) -> Result<Written, Status> {
        match self.request.content_type.as_str() {
            "application/json-patch+json" | "application/merge-patch+json" => {}
            "application/strategic-merge-patch+json" if self.resource.custom.is_none() => {}
            "application/apply-patch+yaml" => return self.apply(),
            other => {
                let allowed = if self.resource.custom.is_none() {
                    "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml, application/apply-patch+cbor"
                } else {
                    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml, application/apply-patch+cbor"
                };
                return Err(Status::unsupported_media_type(other, allowed));
            }
        }
        let old = self.find()?;
        self.let_go();
        let mut new = self.patched(&old)?;
        self.check_identity_kept(&new)?;
        if self.resource.view == super::resource::View::EventsV1 {
            new = super::events::to_core_v1(&new);
        }
        self.replace(&old, new, None)
    }

    fn patched(&self, old: &Arc<Object>) -> Result<Value, Status> {
        let mut object = match self.resource.view {
            super::resource::View::EventsV1 => super::events::to_events_v1(&old.value),
            _ => (*old.value).clone(),
        };
        let body = &self.request.body;
        if self.request.content_type == "application/json-patch+json" {
            let patch: json_patch::Patch = serde_json::from_slice(body)
                .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
            json_patch::patch(&mut object, &patch).map_err(|_| {
                Status::new(422, "Invalid", "the server rejected our request due to an error in our request")
            })?;
            return Ok(object);
        }
        let patch: Value = serde_json::from_slice(body)
            .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
        if !patch.is_object() {
            return Err(Status::bad_request("error decoding patch: a patch is an object"));
        }
        if self.request.content_type == "application/merge-patch+json" {
            json_patch::merge(&mut object, &patch);
        } else {
            strategic::merge(&mut object, &patch)?;
        }
        Ok(object)
    }

    /// A patch may name the kind and the object, but not another one.
    fn check_identity_kept(&self, new: &Value) -> Result<(), Status> {
        self.check_identity(new)?;
        let (name, wanted) = (object::name(new), &self.request.info.name);
        if name != wanted {
            let why = format!("the name of the object ({name}) does not match the name on the URL ({wanted})");
            return Err(Status::bad_request(why));
        }
        Ok(())
    }
}
