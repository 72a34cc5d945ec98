//! Objects and lists in the form that a client asked for.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

use super::{
    clock::Clock,
    events,
    object::Object,
    request::{Accept, Request},
    resource::{Resource, View},
    status::Status,
    table::{IncludeObject, table},
};

/// Shows objects of one resource to one client.
#[derive(Clone)]
pub(super) struct Renderer {
    pub resource: Arc<Resource>,
    accept: Accept,
    include: IncludeObject,
    clock: Arc<dyn Clock>,
}

impl Renderer {
    pub fn new(resource: Arc<Resource>, request: &Request, clock: Arc<dyn Clock>) -> Result<Self, Status> {
        let include = match request.options.text("includeObject") {
            "" | "Metadata" => IncludeObject::Metadata,
            "None" => IncludeObject::None,
            "Object" => IncludeObject::Object,
            other => return Err(Status::bad_request(format!("unrecognized includeObject value: {other:?}"))),
        };
        Ok(Self { resource, accept: request.accept, include, clock })
    }

    fn table(&self, objects: &[&Value], metadata: Value) -> Bytes {
        text(&table(&self.resource, objects, self.include, metadata, self.clock.now()))
    }

    /// The JSON text of one object.
    pub fn object(&self, object: &Object) -> Bytes {
        match (self.accept, self.resource.view) {
            (Accept::Table, _) => {
                let version = object.resource_version.to_string();
                self.table(&[&object.value], json!({ "resourceVersion": version }))
            }
            (Accept::PartialObjectMetadata, _) => text(&partial(&object.value)),
            (_, View::EventsV1) => text(&events::to_events_v1(&object.value)),
            _ => object.json(),
        }
    }

    /// The JSON text of a list.
    pub fn list(&self, objects: &[Arc<Object>], metadata: &Value) -> Bytes {
        if self.accept == Accept::Table {
            let values: Vec<&Value> = objects.iter().map(|object| &*object.value).collect();
            return self.table(&values, metadata.clone());
        }
        let (kind, version) = match self.accept {
            Accept::PartialObjectMetadata => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned()),
            _ => (self.resource.list_kind(), self.resource.api_version()),
        };
        let mut list = BytesMut::new();
        list.put_slice(format!("{{\"kind\":{},\"apiVersion\":{}", json!(kind), json!(version)).as_bytes());
        list.put_slice(format!(",\"metadata\":{metadata},\"items\":[").as_bytes());
        for (at, object) in objects.iter().enumerate() {
            if at > 0 {
                list.put_u8(b',');
            }
            list.put(self.object(object));
        }
        list.put_slice(b"]}");
        list.freeze()
    }

    /// One line of a watch.
    pub fn event(&self, kind: &str, object: &Object) -> Bytes {
        line(kind, &self.object(object))
    }

    /// A bookmark: nothing but a resourceVersion, and whether the initial events are complete.
    pub fn bookmark(&self, version: u64, initial_events_end: bool) -> Bytes {
        let mut metadata = json!({ "resourceVersion": version.to_string(), "creationTimestamp": null });
        if initial_events_end {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        if self.accept == Accept::Table {
            return line("BOOKMARK", &self.table(&[], metadata));
        }
        let (kind, api_version) = match self.accept {
            Accept::PartialObjectMetadata => ("PartialObjectMetadata".to_owned(), "meta.k8s.io/v1".to_owned()),
            _ => (self.resource.kind.clone(), self.resource.api_version()),
        };
        line("BOOKMARK", &text(&json!({ "kind": kind, "apiVersion": api_version, "metadata": metadata })))
    }
}

/// A failure inside a watch.
pub(super) fn error_event(status: &Status) -> Bytes {
    line("ERROR", &text(&status.to_json()))
}

fn line(kind: &str, object: &Bytes) -> Bytes {
    let mut line = BytesMut::with_capacity(object.len() + 32);
    line.put_slice(b"{\"type\":\"");
    line.put_slice(kind.as_bytes());
    line.put_slice(b"\",\"object\":");
    line.put_slice(object);
    line.put_slice(b"}\n");
    line.freeze()
}

pub(super) fn text(value: &Value) -> Bytes {
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}

pub(super) fn partial(object: &Value) -> Value {
    let metadata = object.get("metadata").cloned().unwrap_or_else(|| json!({}));
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata })
}
