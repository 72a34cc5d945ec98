//! `as=Table`: what `kubectl get` prints.

use serde_json::Value;

/// A printer column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub name: String,
}

impl Column {
    /// The `additionalPrinterColumns` of a version of a CustomResourceDefinition.
    pub fn from_definition(version: &Value) -> Vec<Self> {
        let list = version.get("additionalPrinterColumns").and_then(Value::as_array);
        let named = list.into_iter().flatten().filter_map(|column| column.get("name").and_then(Value::as_str));
        named.map(|name| Self { name: name.to_owned() }).collect()
    }
}
