//! Events have two faces on one store: core/v1 and events.k8s.io/v1.

use serde_json::Value;

use super::object::as_map;

/// Field names in core/v1 (stored) and in events.k8s.io/v1.
const RENAMED: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// A stored Event as an events.k8s.io/v1 Event.
pub(super) fn to_events_v1(stored: &Value) -> Value {
    renamed(stored, "events.k8s.io/v1", |core, events| (core, events))
}

/// An events.k8s.io/v1 Event as it is stored.
pub(super) fn to_core_v1(event: &Value) -> Value {
    renamed(event, "v1", |core, events| (events, core))
}

fn renamed(
    event: &Value,
    api_version: &str,
    direction: impl Fn(&'static str, &'static str) -> (&'static str, &'static str),
) -> Value {
    let mut event = event.clone();
    let map = as_map(&mut event);
    map.insert("apiVersion".to_owned(), Value::from(api_version));
    for &(core, events) in RENAMED {
        let (from, to) = direction(core, events);
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
    event
}

/// A field path of an events.k8s.io/v1 selector as it is called in the store.
pub(super) fn stored_path(path: &str) -> String {
    for (core, events) in RENAMED {
        if let Some(rest) = path.strip_prefix(events)
            && (rest.is_empty() || rest.starts_with('.'))
        {
            return format!("{core}{rest}");
        }
    }
    path.to_owned()
}
