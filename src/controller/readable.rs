//! An object that may be unlike its type, so that it does not hide the others of its list.
//!
//! Own code in place of kube's `DeserializeGuard`, which builds two trees of each object before it is read: a list of ten
//! thousand Trials with their curves is a hundred megabytes.

use super::watch::Name;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use prometheus::IntGauge;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;

/// See the module. Only from JSON text: a watch's event names its `type` before its `object`, as API servers do.
#[derive(Clone, Debug)]
pub struct Readable<K> {
    /// The object, or what is known of it.
    pub object: Result<K, Broken>,
    /// How long it is as JSON.
    pub bytes: usize,
}

/// What is known of an object that cannot be read.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Why not.
    pub error: String,
    /// Its `metadata`.
    pub metadata: ObjectMeta,
}

/// How many of a kind cannot be read at present, for the page of metrics.
pub struct Misread {
    names: HashSet<Name>,
    gauge: IntGauge,
}

impl Misread {
    /// None so far.
    pub fn new(gauge: IntGauge) -> Self {
        Misread { names: HashSet::new(), gauge }
    }

    /// This one cannot be read.
    pub fn seen(&mut self, name: Name) {
        self.names.insert(name);
        self.tell();
    }

    /// This one can be, or is gone.
    pub fn mended(&mut self, name: &Name) {
        if self.names.remove(name) {
            self.tell();
        }
    }

    /// All others than these are gone.
    pub fn keep(&mut self, there: &HashSet<Name>) {
        self.names.retain(|name| there.contains(name));
        self.tell();
    }

    fn tell(&self) {
        self.gauge.set(i64::try_from(self.names.len()).unwrap_or(i64::MAX));
    }
}

#[derive(Deserialize)]
struct OnlyMetadata {
    metadata: ObjectMeta,
}

impl<K> Readable<K> {
    /// The object, for whoever can do nothing without it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn whole(self) -> kube::Result<K> {
        self.object.map_err(|broken| kube::Error::SerdeError(Error::custom(broken.error)))
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Readable<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let bytes = text.get().len();
        let error = match super::lean::object(text.get()) {
            Ok(object) => return Ok(Readable { object: Ok(object), bytes }),
            Err(error) => error.to_string(),
        };
        let OnlyMetadata { metadata } = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        Ok(Readable { object: Err(Broken { error, metadata }), bytes })
    }
}

impl<K: Resource> Resource for Readable<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::version(dynamic)
    }

    fn plural(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        match &self.object {
            Ok(object) => object.meta(),
            Err(broken) => &broken.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.object {
            Ok(object) => object.meta_mut(),
            Err(broken) => &mut broken.metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_cannot_be_read_are_counted() {
        let gauge = IntGauge::new("a", "b").unwrap();
        let mut misread = Misread::new(gauge.clone());
        let name = |name: &str| ("ns".to_owned(), name.to_owned());
        for (steps, count) in [(["a", "b", "a"], 2), (["c", "a", "c"], 3)] {
            steps.iter().for_each(|one| misread.seen(name(one)));
            assert_eq!(gauge.get(), count);
        }
        misread.mended(&name("b"));
        misread.mended(&name("unknown"));
        assert_eq!(gauge.get(), 2);
        misread.keep(&HashSet::from([name("c"), name("good")]));
        assert_eq!(gauge.get(), 1);
    }
    use crate::api::Trial;
    use kube::api::{ObjectList, WatchEvent};
    use serde_json::json;

    #[test]
    fn one_that_cannot_be_read_hides_no_other() {
        let trial = |name: &str, spec: serde_json::Value| {
            json!({
                "apiVersion": "automl.dev/v1alpha1", "kind": "Trial",
                "metadata": {"name": name, "namespace": "ns", "uid": "u", "resourceVersion": "7"}, "spec": spec,
            })
        };
        let good = trial("good", json!({"experiment": "e", "assignments": {"x": 1}}));
        let broken = trial("broken", json!("of an older version"));
        let list = json!({
            "apiVersion": "automl.dev/v1alpha1", "kind": "TrialList", "metadata": {"resourceVersion": "8"},
            "items": [broken, good],
        });
        let list: ObjectList<Readable<Trial>> = serde_json::from_str(&list.to_string()).unwrap();
        let [broken, good] = &list.items[..] else { panic!("two") };
        assert_eq!((broken.meta().name.as_deref(), good.meta().name.as_deref()), (Some("broken"), Some("good")));
        assert!(broken.object.as_ref().unwrap_err().error.contains("invalid type: string"), "{broken:?}");
        assert_eq!(good.object.as_ref().unwrap().spec.experiment, "e");
        assert_eq!(good.bytes, trial("good", json!({"experiment": "e", "assignments": {"x": 1}})).to_string().len());
        let event = format!(r#"{{"type": "DELETED", "object": {}}}"#, trial("broken", json!(5)));
        let event: WatchEvent<Readable<Trial>> = serde_json::from_str(&event).unwrap();
        let WatchEvent::Deleted(broken) = event else { panic!("{event:?}") };
        assert_eq!(broken.meta().resource_version.as_deref(), Some("7"));
        assert!(serde_json::from_str::<Readable<Trial>>("{}").is_err(), "no object at all");
    }
}
