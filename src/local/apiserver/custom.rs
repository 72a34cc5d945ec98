//! What a CustomResourceDefinition says about a kind.

use serde_json::{Value, json};

use super::{
    history::History,
    object,
    resource::{Resource, View},
    schema::Schema,
    store::{State, Table},
    table::Column,
};

/// A version of a CustomResourceDefinition, ready for use.
#[derive(Debug)]
pub(super) struct CustomResource {
    /// `openAPIV3Schema` of the version.
    pub document: Value,
    /// The same, ready for use.
    pub schema: Schema,
    /// `additionalPrinterColumns`.
    pub columns: Vec<Column>,
    /// Paths that a field selector may name, without the leading dot.
    pub selectable_fields: Vec<String>,
}

/// The served versions of a CustomResourceDefinition, all in table `table`.
///
/// # Errors
/// A sentence that names the missing or wrong field of the definition.
pub(super) fn resources(definition: &Value, table: usize) -> Result<Vec<Resource>, String> {
    let text = |pointer: &str| -> Result<String, String> {
        let value = definition.pointer(pointer).and_then(Value::as_str);
        value
            .map(str::to_owned)
            .ok_or_else(|| format!("the CustomResourceDefinition lacks {}", pointer.replace('/', ".")))
    };
    let texts = |pointer: &str| -> Vec<String> {
        let list = definition.pointer(pointer).and_then(Value::as_array);
        list.map(|items| items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()).unwrap_or_default()
    };
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
    let versions = versions.ok_or("the CustomResourceDefinition lacks .spec.versions")?;
    let mut resources = Vec::new();
    for version in versions.iter().filter(|version| version.get("served").and_then(Value::as_bool).unwrap_or(false)) {
        let document = version.pointer("/schema/openAPIV3Schema").cloned();
        let document = document.ok_or("a version has no schema.openAPIV3Schema")?;
        let schema = Schema::compile(&document);
        if let Some(why) = schema.broken_rules().into_iter().next() {
            return Err(why);
        }
        let kind = text("/spec/names/kind")?;
        let singular = text("/spec/names/singular").unwrap_or_else(|_| kind.to_lowercase());
        resources.push(Resource {
            group: text("/spec/group")?,
            version: version.get("name").and_then(Value::as_str).ok_or("a version has no name")?.to_owned(),
            kind,
            plural: text("/spec/names/plural")?,
            singular,
            short_names: texts("/spec/names/shortNames"),
            categories: texts("/spec/names/categories"),
            namespaced: text("/spec/scope")? == "Namespaced",
            status_subresource: version.pointer("/subresources/status").is_some(),
            unconditional_update: false,
            counts_generations: true,
            table,
            view: View::Stored,
            since: 0,
            custom: Some(std::sync::Arc::new(CustomResource {
                document,
                schema,
                columns: Column::from_definition(version),
                selectable_fields: selectable_fields(version),
            })),
        });
    }
    Ok(resources)
}

fn selectable_fields(version: &Value) -> Vec<String> {
    let list = version.get("selectableFields").and_then(Value::as_array);
    let paths = list.into_iter().flatten().filter_map(|field| field.get("jsonPath").and_then(Value::as_str));
    paths.map(|path| path.trim_start_matches('.').to_owned()).collect()
}

/// Writes into a definition's status that its names are accepted and it is served.
pub(super) fn accept(definition: &mut Value, now: &str) {
    let condition = |kind: &str, reason: &str, message: &str| json!({ "type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now });
    let names = definition.pointer("/spec/names").cloned().unwrap_or_default();
    let stored: Vec<Value> = definition
        .pointer("/spec/versions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|version| version.get("storage").and_then(Value::as_bool) == Some(true))
        .filter_map(|version| version.get("name").cloned())
        .collect();
    let status = json!({
        "acceptedNames": names,
        "storedVersions": stored,
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
    });
    object::as_map(definition).insert("status".to_owned(), status);
}

impl State {
    /// Serves the kinds of a definition from now on; the kinds of an older form of it give way.
    pub fn establish(&mut self, definition: &Value) -> Result<(), String> {
        let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (group, plural) = (text("/spec/group"), text("/spec/names/plural"));
        let table = self.registry.find(&group, &plural).map_or(self.tables.len(), |resource| resource.table);
        let resources = resources(definition, table)?;
        if table == self.tables.len() {
            // What was before the kind is not known of it.
            self.tables.push(Table { history: History::since(self.resource_version), ..Table::default() });
        }
        self.registry.remove(&group, &plural);
        let stored = object::meta_text(definition, "resourceVersion").parse().unwrap_or_default();
        let since = self.resource_version.max(stored);
        for resource in resources {
            self.registry.insert(Resource { since, ..resource });
        }
        Ok(())
    }
}
