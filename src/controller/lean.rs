//! Reads an object without `metadata.managedFields`: they are half of a small object, and nobody here asks for them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::value::StringDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use std::fmt;

/// Reads the object in this JSON text.
///
/// # Errors
/// It is not of this type.
pub fn object<'de, K: Deserialize<'de>>(text: &'de str) -> serde_json::Result<K> {
    let mut json = serde_json::Deserializer::from_str(text);
    K::deserialize(Lean { inner: &mut json, level: Level::Object })
}

/// For the field `metadata` of a type of our own.
///
/// # Errors
/// It is no metadata.
pub fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    ObjectMeta::deserialize(Lean { inner: deserializer, level: Level::Metadata })
}

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Object,
    Metadata,
}

/// What deserializes an object or its metadata.
struct Lean<D> {
    inner: D,
    level: Level,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Lean<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_any(Through { visitor, level: self.level })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_struct(name, fields, Through { visitor, level: self.level })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// A visitor that sees all fields but the one.
struct Through<V> {
    visitor: V,
    level: Level,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Through<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(formatter)
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<V::Value, M::Error> {
        self.visitor.visit_map(Fields { map, level: self.level, at_metadata: false })
    }
}

struct Fields<M> {
    map: M,
    level: Level,
    /// The next value is the metadata of the object.
    at_metadata: bool,
}

impl<'de, M: MapAccess<'de>> MapAccess<'de> for Fields<M> {
    type Error = M::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, M::Error> {
        while let Some(key) = self.map.next_key::<String>()? {
            if self.level == Level::Metadata && key == "managedFields" {
                self.map.next_value::<IgnoredAny>()?;
                continue;
            }
            self.at_metadata = self.level == Level::Object && key == "metadata";
            return seed.deserialize(StringDeserializer::new(key)).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, M::Error> {
        if self.at_metadata { self.map.next_value_seed(Metadata(seed)) } else { self.map.next_value_seed(seed) }
    }

    fn size_hint(&self) -> Option<usize> {
        self.map.size_hint()
    }
}

struct Metadata<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Metadata<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Lean { inner: deserializer, level: Level::Metadata })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Trial;
    use serde_json::json;

    #[test]
    fn all_but_the_managers_is_read() {
        let trial = json!({
            "apiVersion": "automl.dev/v1alpha1", "kind": "Trial",
            "metadata": {
                "name": "a", "labels": {"managedFields": "metadata"}, "resourceVersion": "7",
                "managedFields": [{"manager": "m", "fieldsV1": {"f:metadata": {}}}], "uid": "u",
            },
            "spec": {"experiment": "e", "assignments": {"managedFields": 1}, "manifest": {"metadata": {"managedFields": [1]}}},
            "status": {"attempt": 2},
        });
        let text = trial.to_string();
        let mut whole: Trial = serde_json::from_str(&text).unwrap();
        assert!(whole.metadata.managed_fields.take().is_some());
        let lean: Trial = object(&text).unwrap();
        assert_eq!(json!(lean), json!(whole));
    }

    #[test]
    fn what_is_wrong_is_said_as_ever() {
        for wrong in ["{}", r#"{"metadata": 5, "spec": {}}"#, r#"{"metadata": {"uid": {}}}"#, r#"{"spec": 1}"#, "{"] {
            let plain = serde_json::from_str::<Trial>(wrong).unwrap_err().to_string();
            let lean = object::<Trial>(wrong).unwrap_err().to_string();
            assert_eq!(lean.split(" at line").next(), plain.split(" at line").next(), "{wrong}");
        }
    }
}
