//! What Prometheus is asked about a trial: queries with their placeholders filled in, each text in quotes a text still, and
//! each selection kept within the trial's namespace.

use super::compile::Problem;
use super::membership::index_of;
use super::pieces::{Piece, pieces};
use super::settings::Prometheus;
use super::stage::Resource;
use super::template::{flawed, plain};
use crate::api::conditions::reasons;
use crate::api::{Experiment, PrometheusQuerySource, Trial};
use crate::metrics::{PromQl, is_step};
use crate::space::Assignment;
use kube::ResourceExt;
use std::collections::BTreeSet;

/// A metric, and how it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its name.
    pub metric: String,
    /// In PromQL; or why it cannot be asked: a sentence.
    pub query: Result<String, String>,
}

/// What is asked about a trial that runs in this pod. A query that names a parameter which is not active is left out.
pub fn queries(experiment: &Experiment, trial: &Trial, pod: &str, prometheus: &Prometheus) -> Vec<Asked> {
    let Some(source) = &experiment.spec.metrics.source.prometheus_query else { return Vec::new() };
    let namespace = trial.namespace().unwrap_or_default();
    let within = prometheus.namespace_label.as_deref().map(|label| (label, namespace.as_str()));
    let resource = experiment.spec.fidelity.as_ref().map(Resource::new);
    let told = resource.map(|resource| resource.told(&trial.spec.assignments, trial.spec.fidelity));
    let told = told.as_ref().unwrap_or(&trial.spec.assignments);
    let filled =
        |query: &str| PromQl::new(query)?.filled(|text, pattern| fill(text, pattern, trial, told, pod), within);
    let asked = source.queries.iter().filter_map(|asked| {
        let query = filled(&asked.query).map_err(|error| error.to_string()).transpose()?;
        Some(Asked { metric: asked.metric.clone(), query })
    });
    asked.collect()
}

/// `None`: it names what this trial does not have.
fn fill(text: &str, pattern: bool, trial: &Trial, told: &Assignment, pod: &str) -> Option<String> {
    let mut filled = String::new();
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) | Piece::Flawed(text, _) => filled.push_str(text),
            Piece::Placeholder { scope, name, default } => {
                let known = match (scope, name) {
                    ("params", name) => told.get(name).map(plain),
                    ("trial", "name") => Some(trial.name_any()),
                    ("trial", "pod") => Some(pod.to_owned()),
                    ("trial", "index") => index_of(trial).map(|index| index.to_string()),
                    ("experiment", "name") => Some(trial.spec.experiment.clone()),
                    _ => None,
                };
                let value = known.or_else(|| default.map(str::to_owned))?;
                filled.push_str(&if pattern { escaped(&value) } else { value });
            }
        }
    }
    Some(filled)
}

/// A regular expression that matches this text alone.
fn escaped(text: &str) -> String {
    const SPECIAL: &str = r"\.+*?()|[]{}^$";
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if SPECIAL.contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// The metrics that are not asked for: they are read of the program.
///
/// # Errors
/// A query that cannot be asked, or whose metric nobody wants.
pub(super) fn unasked(
    source: &PrometheusQuerySource,
    metrics: Vec<String>,
    parameters: &BTreeSet<&str>,
) -> Result<Vec<String>, Problem> {
    for (at, asked) in source.queries.iter().enumerate() {
        let invalid = |field: &str, what: &str| {
            let place = format!("metrics.source.prometheusQuery.queries[{at}].{field}");
            Err(Problem::new(reasons::INVALID_METRICS, format!("{place}: {what}")))
        };
        if !metrics.contains(&asked.metric) && !is_step(&asked.metric) {
            let what =
                format!("{:?} is neither the objective nor one of additionalMetrics; add it there", asked.metric);
            return invalid("metric", &what);
        }
        let query = match PromQl::new(&asked.query) {
            Ok(query) => query,
            Err(error) if asked.query.contains("${") => {
                return invalid("query", &format!("{error}; placeholders stand within quotes"));
            }
            Err(error) => return invalid("query", &error.to_string()),
        };
        if let Some(what) = query.texts().find_map(|text| unknown(text, parameters)) {
            return invalid("query", &what);
        }
    }
    let asked = |metric: &String| source.queries.iter().any(|asked| &asked.metric == metric);
    Ok(metrics.into_iter().filter(|metric| !asked(metric)).collect())
}

/// A sentence about a placeholder that would not be filled in.
fn unknown(text: &str, parameters: &BTreeSet<&str>) -> Option<String> {
    pieces(text).into_iter().find_map(|piece| match piece {
        Piece::Text(_) => None,
        Piece::Flawed(text, flaw) => Some(flawed(text, flaw)),
        Piece::Placeholder { scope: "params", name, .. } if parameters.contains(name) => None,
        Piece::Placeholder { scope: "trial", name: "name" | "index" | "pod", .. } => None,
        Piece::Placeholder { scope: "experiment", name: "name", .. } => None,
        Piece::Placeholder { scope: "params", name, .. } => Some(format!("${{params.{name}}} names no parameter")),
        Piece::Placeholder { scope, name, .. } => Some(format!(
            "${{{scope}.{name}}} is not known; write ${{params.NAME}}, ${{trial.name}}, ${{trial.index}}, ${{trial.pod}} or \
             ${{experiment.name}}, or $${{ for a literal ${{"
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn asked(query: &str, assignments: Value) -> Option<Result<String, String>> {
        let source = json!({"prometheusQuery": {"queries": [{"metric": "m", "query": query}]}});
        let experiment: Experiment = serde_json::from_value(json!({
            "apiVersion": "automl.dev/v1alpha1", "kind": "Experiment", "metadata": {"name": "e", "namespace": "team-a"},
            "spec": {
                "objectives": [{"metric": "m", "direction": "Minimize"}], "metrics": {"source": source},
                "parameters": [], "limits": {"maxTrials": 1},
                "trialTemplate": {"primaryContainer": "c", "manifest": {}},
            },
        }))
        .unwrap();
        let trial: Trial = serde_json::from_value(json!({
            "apiVersion": "automl.dev/v1alpha1", "kind": "Trial",
            "metadata": {
                "name": "e-00007", "namespace": "team-a", "ownerReferences": [
                    {"apiVersion": "automl.dev/v1alpha1", "kind": "Experiment", "name": "e", "uid": "u", "controller": true},
                ],
            },
            "spec": {"experiment": "e", "index": 7, "manifest": {}, "assignments": assignments},
        }))
        .unwrap();
        let prometheus = Prometheus { namespace_label: Some("namespace".into()) };
        queries(&experiment, &trial, "e-00007-x1", &prometheus).pop().map(|asked| asked.query)
    }

    #[test]
    fn placeholders_are_filled_in_and_nothing_gets_out_of_the_quotes() {
        let evil = r#"a"} or x{b="c.*"#;
        let table = [
            (
                r#"max(loss{pod="${trial.pod}",t='${trial.name}',i="${trial.index}",e="${experiment.name}"})"#,
                json!({}),
                Some(r#"max(loss{pod="e-00007-x1",t="e-00007",i="7",e="e",namespace="team-a"})"#),
            ),
            (r#"x{v="${params.lr}"}"#, json!({"lr": 0.5}), Some(r#"x{v="0.5",namespace="team-a"}"#)),
            (r#"x{v=~"${params.lr}|b"}"#, json!({"lr": 0.5}), Some(r#"x{v=~"0\\.5|b",namespace="team-a"}"#)),
            (r#"x{v="${params.lr}"}"#, json!({}), None),
            (r#"x{v="${params.lr:-1}"}"#, json!({}), Some(r#"x{v="1",namespace="team-a"}"#)),
            (r#"x{v="$${trial.pod}"}"#, json!({}), Some(r#"x{v="${trial.pod}",namespace="team-a"}"#)),
            (r#"x{v="${params.o}"}"#, json!({"o": evil}), Some(r#"x{v="a\"} or x{b=\"c.*",namespace="team-a"}"#)),
            (
                r#"x{v!~"${params.o}"}"#,
                json!({"o": evil}),
                Some(r#"x{v!~"a\"\\} or x\\{b=\"c\\.\\*",namespace="team-a"}"#),
            ),
        ];
        for (query, assignments, expected) in table {
            let expected = expected.map(|query| Ok(query.to_owned()));
            assert_eq!(asked(query, assignments), expected, "{query}");
        }
    }

    #[test]
    fn queries_that_cannot_be_asked() {
        let table = [
            ("n", "up", "queries[0].metric: \"n\" is neither the objective nor one of additionalMetrics"),
            ("m", "up up", "queries[0].query: up is not expected there"),
            (
                "m",
                "up[${params.lr}]",
                "queries[0].query: '$' is nothing that a query has outside of quotes; placeholders",
            ),
            ("m", "up{a=\"${params.no}\"}", "queries[0].query: ${params.no} names no parameter"),
            ("m", "up{a=\"${trial.uid}\"}", "queries[0].query: ${trial.uid} is not known; write ${params.NAME}"),
            ("m", "up{a=\"${trial.name\"}", "queries[0].query: ${trial.name has no closing brace"),
        ];
        for (metric, query, expected) in table {
            let source = serde_json::from_value(json!({"queries": [{"metric": metric, "query": query}]})).unwrap();
            let problem = unasked(&source, vec!["m".into()], &["lr"].into()).unwrap_err();
            let expected = format!("metrics.source.prometheusQuery.{expected}");
            assert!(problem.message.starts_with(&expected), "{}", problem.message);
        }
        let source = json!({"queries": [{"metric": "m", "query": "up"}, {"metric": "epoch", "query": "up"}]});
        let source = serde_json::from_value(source).unwrap();
        let left = unasked(&source, vec!["loss".into(), "m".into()], &[].into()).unwrap();
        assert_eq!(left, ["loss"], "the others are read of the program");
    }
}
