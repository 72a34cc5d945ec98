//! What the operator must be allowed to do. The chart's roles give the same, which a test holds against each other.

/// Where a right holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// In the namespaces that are watched.
    Watched,
    /// In the whole cluster, since such objects are in no namespace.
    Cluster,
    /// About the Lease of this operator.
    Lease,
    /// In the namespace of that Lease.
    LeaseNamespace,
}

/// Verbs on a resource.
#[derive(Clone, Copy, Debug)]
pub struct Right {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Resource, with its subresource.
    pub resource: &'static str,
    /// Verbs.
    pub verbs: &'static [&'static str],
    /// Where.
    pub scope: Scope,
    /// What cannot be done without.
    pub without: &'static str,
}

const fn right(
    (group, resource): (&'static str, &'static str),
    verbs: &'static [&'static str],
    scope: Scope,
    without: &'static str,
) -> Right {
    Right { group, resource, verbs, scope, without }
}

/// What every operator needs.
pub const ALWAYS: &[Right] = &[
    right(("automl.dev", "experiments"), &["get", "list", "watch"], Scope::Watched, "no Experiment is seen"),
    right(
        ("automl.dev", "trials"),
        &["get", "list", "watch", "create", "patch"],
        Scope::Watched,
        "no trial is made or followed",
    ),
    right(
        ("automl.dev", "trials"),
        &["delete"],
        Scope::Watched,
        "where OwnerReferencesPermissionEnforcement is on, no Trial made by hand is taken in",
    ),
    right(("automl.dev", "experiments/status"), &["patch"], Scope::Watched, "no Experiment says how it goes"),
    right(("automl.dev", "trials/status"), &["patch"], Scope::Watched, "no result is stored"),
    right(
        ("automl.dev", "experiments/finalizers"),
        &["update"],
        Scope::Watched,
        "where OwnerReferencesPermissionEnforcement is on, no Trial is made",
    ),
    right(
        ("automl.dev", "trials/finalizers"),
        &["update"],
        Scope::Watched,
        "where OwnerReferencesPermissionEnforcement is on, no Job is made",
    ),
    right(
        ("batch", "jobs"),
        &["get", "list", "watch", "create", "delete"],
        Scope::Watched,
        "no trial's Job is made or followed",
    ),
    right(
        ("", "persistentvolumeclaims"),
        &["get", "create"],
        Scope::Watched,
        "no Experiment with checkpoint.volumeClaimTemplate starts",
    ),
    right(("", "pods"), &["get", "list"], Scope::Watched, "reports are refused, and nobody is told why a trial waits"),
    right(("events.k8s.io", "events"), &["create"], Scope::Watched, "nothing is told as Events"),
    right(
        ("events.k8s.io", "events"),
        &["list"],
        Scope::Watched,
        "nobody is told which quota, LimitRange or policy keeps a trial from its pod",
    ),
    right(("authentication.k8s.io", "tokenreviews"), &["create"], Scope::Cluster, "reports of trials are refused"),
];

/// What one needs that elects a leader.
pub const ELECTION: &[Right] = &[
    right(("coordination.k8s.io", "leases"), &["get", "update"], Scope::Lease, "no replica leads, and nothing is done"),
    right(("coordination.k8s.io", "leases"), &["create"], Scope::LeaseNamespace, "no replica leads at first"),
];

/// What one needs that shows metrics only to those who may see them.
pub const AUTHENTICATION: &[Right] =
    &[right(("authorization.k8s.io", "subjectaccessreviews"), &["create"], Scope::Cluster, "nobody sees metrics")];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    type Flat = BTreeSet<(String, String, String)>;

    fn flat(rights: &[&[Right]]) -> Flat {
        let all = rights.iter().flat_map(|rights| *rights);
        let flat = all.flat_map(|right| right.verbs.iter().map(move |verb| (right.group, right.resource, *verb)));
        flat.map(|(group, resource, verb)| (group.to_owned(), resource.to_owned(), verb.to_owned())).collect()
    }

    /// What the roles of a render of the chart give to the operator's ServiceAccount.
    fn granted(snapshot: &str) -> Flat {
        let path = format!("{}/tests/chart/snapshots/{snapshot}", env!("CARGO_MANIFEST_DIR"));
        let objects: Vec<Value> = serde_saphyr::from_multiple(&std::fs::read_to_string(path).unwrap()).unwrap();
        let of = |kind: &str| -> Vec<&Value> {
            objects.iter().filter(|one| one["kind"].as_str().is_some_and(|found| found.ends_with(kind))).collect()
        };
        let account = of("Deployment")[0].pointer("/spec/template/spec/serviceAccountName").unwrap();
        let ours = |binding: &&Value| binding["subjects"].as_array().unwrap().iter().any(|one| one["name"] == *account);
        let bound: BTreeSet<String> =
            of("RoleBinding").into_iter().filter(ours).map(|one| one["roleRef"]["name"].to_string()).collect();
        let texts = |rule: &Value, field: &str| -> Vec<String> {
            let texts = rule[field].as_array().into_iter().flatten();
            texts.map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        let mut flat = Flat::new();
        for role in of("Role").into_iter().filter(|role| bound.contains(&role["metadata"]["name"].to_string())) {
            for rule in role["rules"].as_array().unwrap() {
                for group in texts(rule, "apiGroups") {
                    for resource in texts(rule, "resources") {
                        let verbs = texts(rule, "verbs").into_iter();
                        flat.extend(verbs.map(|verb| (group.clone(), resource.clone(), verb)));
                    }
                }
            }
        }
        flat
    }

    #[test]
    fn the_chart_gives_what_is_needed_and_no_more() {
        assert_eq!(granted("defaults.yaml"), flat(&[ALWAYS, ELECTION]));
        assert_eq!(granted("namespaced.yaml"), flat(&[ALWAYS, ELECTION]));
        let mut everything = granted("everything.yaml");
        everything.retain(|(group, ..)| !["ray.io", "jobset.x-k8s.io"].contains(&group.as_str()));
        assert_eq!(everything, flat(&[ALWAYS, ELECTION, AUTHENTICATION]));
    }
}
