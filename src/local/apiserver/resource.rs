//! The kinds that the server knows: the built-in ones, and those that CustomResourceDefinitions add.

use std::{collections::BTreeMap, sync::Arc};

use super::{custom::CustomResource, status};

/// A kind as it is served at one group and version.
#[derive(Debug)]
pub(super) struct Resource {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    /// Whether `/status` is a subresource of its own.
    pub status_subresource: bool,
    /// Whether PUT may leave out `metadata.resourceVersion`.
    pub unconditional_update: bool,
    /// Whether `metadata.generation` counts changes of the spec.
    pub counts_generations: bool,
    /// Number of the table that holds the objects.
    pub table: usize,
    pub view: View,
    /// resourceVersion since which the kind is served in this form; 0: from the start.
    pub since: u64,
    /// What a CustomResourceDefinition says about the kind; `None` for a built-in kind.
    pub custom: Option<Arc<CustomResource>>,
}

/// How objects of a table are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// As stored.
    Stored,
    /// A core/v1 Event shown as an events.k8s.io/v1 Event.
    EventsV1,
    /// Only created, never stored: a question to the server.
    Review,
}

impl Resource {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }

    /// `experiments.automl.dev`
    pub fn qualified(&self) -> String {
        status::qualified(&self.plural, &self.group)
    }

    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    /// Whether the kind allows a field selector on `path`.
    pub fn selectable(&self, path: &str) -> bool {
        if path == "metadata.name" || (self.namespaced && path == "metadata.namespace") {
            return true;
        }
        if let Some(custom) = &self.custom {
            return custom.selectable_fields.iter().any(|field| field == path);
        }
        let fields: &[&str] = match self.kind.as_str() {
            "Pod" => &[
                "spec.nodeName",
                "spec.restartPolicy",
                "spec.schedulerName",
                "spec.serviceAccountName",
                "spec.hostNetwork",
                "status.phase",
                "status.podIP",
                "status.nominatedNodeName",
            ],
            "Job" => &["status.successful"],
            "Node" => &["spec.unschedulable"],
            "Secret" => &["type"],
            "Namespace" => &["status.phase"],
            "Event" => &[
                "involvedObject.kind",
                "involvedObject.namespace",
                "involvedObject.name",
                "involvedObject.uid",
                "involvedObject.apiVersion",
                "involvedObject.resourceVersion",
                "involvedObject.fieldPath",
                "reason",
                "reportingComponent",
                "source",
                "type",
                "regarding.kind",
                "regarding.namespace",
                "regarding.name",
                "regarding.uid",
                "regarding.apiVersion",
                "regarding.resourceVersion",
                "regarding.fieldPath",
                "reportingController",
            ],
            _ => &[],
        };
        fields.contains(&path)
    }
}

/// Every served kind, by group, version and plural name.
#[derive(Clone, Debug, Default)]
pub(super) struct Registry {
    resources: BTreeMap<(String, String, String), Arc<Resource>>,
}

/// Plural name and table of the CustomResourceDefinitions.
pub(super) const CRD_GROUP: &str = "apiextensions.k8s.io";

impl Registry {
    /// The built-in kinds; their tables are numbered from 0 in order.
    pub fn builtin() -> Self {
        let mut registry = Self::default();
        let mut table = 0;
        for builtin in BUILTIN {
            let shared = (builtin.group == "events.k8s.io").then(|| registry.get("", "v1", "events")).flatten();
            let resource = Resource {
                group: builtin.group.to_owned(),
                version: "v1".to_owned(),
                kind: builtin.kind.to_owned(),
                plural: builtin.plural.to_owned(),
                singular: builtin.kind.to_lowercase(),
                short_names: builtin.short_names.iter().map(|&name| name.to_owned()).collect(),
                categories: builtin.categories.iter().map(|&name| name.to_owned()).collect(),
                namespaced: builtin.namespaced,
                status_subresource: builtin.status,
                unconditional_update: builtin.kind != "Lease",
                counts_generations: matches!(builtin.kind, "Job" | "Pod" | "CustomResourceDefinition"),
                table: shared.as_ref().map_or(table, |events| events.table),
                view: match builtin.group {
                    "events.k8s.io" => View::EventsV1,
                    "authentication.k8s.io" => View::Review,
                    _ => View::Stored,
                },
                since: 0,
                custom: None,
            };
            table += usize::from(shared.is_none());
            registry.insert(resource);
        }
        registry
    }

    /// Number of tables in use.
    pub fn tables(&self) -> usize {
        self.resources.values().map(|resource| resource.table + 1).max().unwrap_or_default()
    }

    pub fn insert(&mut self, resource: Resource) {
        let key = (resource.group.clone(), resource.version.clone(), resource.plural.clone());
        self.resources.insert(key, Arc::new(resource));
    }

    pub fn remove(&mut self, group: &str, plural: &str) {
        self.resources.retain(|_, resource| resource.group != group || resource.plural != plural);
    }

    pub fn get(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        self.resources.get(&(group.to_owned(), version.to_owned(), plural.to_owned())).cloned()
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values()
    }

    /// The resource of a group and plural name, at whichever version it is stored.
    pub fn find(&self, group: &str, plural: &str) -> Option<Arc<Resource>> {
        self.all().find(|resource| resource.group == group && resource.plural == plural).cloned()
    }

    /// The resource that stores table `table`.
    pub fn of_table(&self, table: usize) -> Option<Arc<Resource>> {
        self.all().find(|resource| resource.table == table && resource.view != View::EventsV1).cloned()
    }
}

struct Builtin {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short_names: &'static [&'static str],
    categories: &'static [&'static str],
    namespaced: bool,
    status: bool,
}

const fn builtin(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short_names: &'static [&'static str],
    namespaced: bool,
) -> Builtin {
    Builtin { group, kind, plural, short_names, categories: &[], namespaced, status: false }
}

impl Builtin {
    const fn with_status(mut self) -> Self {
        self.status = true;
        self
    }

    const fn in_all(mut self) -> Self {
        self.categories = &["all"];
        self
    }
}

const BUILTIN: &[Builtin] = &[
    builtin("", "Namespace", "namespaces", &["ns"], false).with_status(),
    builtin("", "Node", "nodes", &["no"], false).with_status(),
    builtin("", "Pod", "pods", &["po"], true).with_status().in_all(),
    builtin("", "ConfigMap", "configmaps", &["cm"], true),
    builtin("", "Secret", "secrets", &[], true),
    builtin("", "PersistentVolumeClaim", "persistentvolumeclaims", &["pvc"], true).with_status(),
    builtin("", "ServiceAccount", "serviceaccounts", &["sa"], true),
    builtin("", "Event", "events", &["ev"], true),
    builtin("events.k8s.io", "Event", "events", &["ev"], true),
    builtin("batch", "Job", "jobs", &[], true).with_status().in_all(),
    builtin("coordination.k8s.io", "Lease", "leases", &[], true),
    builtin("authentication.k8s.io", "TokenReview", "tokenreviews", &[], false),
    builtin(CRD_GROUP, "CustomResourceDefinition", "customresourcedefinitions", &["crd", "crds"], false)
        .with_status()
        .in_extensions(),
];

impl Builtin {
    const fn in_extensions(mut self) -> Self {
        self.categories = &["api-extensions"];
        self
    }
}
