//! The algorithms of Katib and NNI that hand out a resource, in our own words.

use serde_json::Value;
use std::collections::BTreeMap;

/// Where an algorithm comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Kubeflow Katib.
    Katib,
    /// Microsoft NNI.
    Nni,
}

/// An algorithm of ours that stands for another system's.
#[derive(Clone, Debug, PartialEq)]
pub struct Translated {
    /// One of [`super::ALGORITHMS`].
    pub name: &'static str,
    /// `algorithm.settings`.
    pub settings: BTreeMap<String, Value>,
    /// `fidelity`, as far as the other system's settings say.
    pub fidelity: BTreeMap<String, Value>,
    /// Settings that were left out, and why: a sentence each.
    pub left_out: Vec<String>,
}

/// What a setting of another system is here.
enum Ours {
    /// A setting of the algorithm.
    Setting(&'static str),
    /// A field of `fidelity`.
    Fidelity(&'static str),
    /// Nothing, for this reason.
    Needless(&'static str),
}
use Ours::{Fidelity, Needless, Setting};

/// A setting's name there, what it is here, and its default there where that is to be kept (as JSON).
type Row = (&'static str, Ours, Option<&'static str>);

const TPE: &str = "TPE has its own split into good and other trials, number of draws and bandwidths";
const DIRECTION: Row = ("optimize_mode", Needless("the objective has a direction"), None);

const KATIB_HYPERBAND: &[Row] = &[
    ("r_l", Fidelity("max"), None),
    ("resource_name", Fidelity("parameter"), None),
    ("eta", Fidelity("eta"), Some("3")),
    ("", Fidelity("min"), Some("1")),
];
const KATIB_PBT: &[Row] = &[
    ("n_population", Setting("population"), None),
    ("truncation_threshold", Setting("truncation"), None),
    ("resample_probability", Setting("resampleProbability"), None),
    ("suggestion_trial_dir", Needless("each trial has a directory for its checkpoint"), None),
];
const NNI_HYPERBAND: &[Row] = &[
    ("R", Fidelity("max"), Some("60")),
    ("eta", Fidelity("eta"), Some("3")),
    ("", Fidelity("min"), Some("1")),
    ("exec_mode", Needless("free slots begin the next bracket of a round"), None),
    DIRECTION,
];
const NNI_BOHB: &[Row] = &[
    ("min_budget", Fidelity("min"), Some("1")),
    ("max_budget", Fidelity("max"), Some("3")),
    ("eta", Fidelity("eta"), Some("3")),
    ("min_points_in_model", Needless("the model learns from one result more than there are parameters"), None),
    ("random_fraction", Setting("randomShare"), None),
    ("top_n_percent", Needless(TPE), None),
    ("num_samples", Needless(TPE), None),
    ("bandwidth_factor", Needless(TPE), None),
    ("min_bandwidth", Needless(TPE), None),
    ("config_space", Needless("it describes the parameters, which the Experiment has"), None),
    DIRECTION,
];
const NNI_PBT: &[Row] = &[
    ("population_size", Setting("population"), Some("10")),
    ("factor", Setting("perturbation"), Some("0.2")),
    ("resample_probability", Setting("resampleProbability"), Some("0.25")),
    ("fraction", Setting("truncation"), Some("0.2")),
    ("all_checkpoint_dir", Needless("each trial has a directory for its checkpoint"), None),
    DIRECTION,
];

/// The algorithm of ours for another system's, by its name there, where it hands out a resource. `None`: it does not, or is
/// not known. Numbers may be given as text, as Katib does; what is no number is passed on as it is, for [`super::build`] to
/// refuse.
pub fn translate(origin: Origin, name: &str, settings: &BTreeMap<String, Value>) -> Option<Translated> {
    let (name, rows) = match (origin, name.to_ascii_lowercase().as_str()) {
        (Origin::Katib, "hyperband") => ("Hyperband", KATIB_HYPERBAND),
        (Origin::Katib, "pbt") => ("PBT", KATIB_PBT),
        (Origin::Nni, "hyperband") => ("Hyperband", NNI_HYPERBAND),
        (Origin::Nni, "bohb") => ("BOHB", NNI_BOHB),
        (Origin::Nni, "pbt" | "pbttuner") => ("PBT", NNI_PBT),
        _ => return None,
    };
    let mut translated =
        Translated { name, settings: BTreeMap::new(), fidelity: BTreeMap::new(), left_out: Vec::new() };
    for (theirs, ours, default) in rows {
        let given = settings.get(*theirs).filter(|value| !value.is_null()).map(number);
        let value = given.or_else(|| default.and_then(|text| serde_json::from_str(text).ok()));
        match (ours, value) {
            (Setting(ours), Some(value)) => drop(translated.settings.insert((*ours).to_owned(), value)),
            (Fidelity(ours), Some(value)) => drop(translated.fidelity.insert((*ours).to_owned(), value)),
            (Needless(why), Some(_)) => translated.left_out.push(format!("{theirs} was left out: {why}")),
            (_, None) => {}
        }
    }
    let unknown = settings.keys().filter(|setting| rows.iter().all(|(theirs, ..)| theirs != setting));
    translated.left_out.extend(unknown.map(|setting| format!("{setting} was left out: it is not known")));
    Some(translated)
}

fn number(value: &Value) -> Value {
    let parsed = value.as_str().and_then(|text| serde_json::from_str::<Value>(text.trim()).ok());
    parsed.filter(Value::is_number).unwrap_or_else(|| value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Domain, Parameter, Scale, SearchSpace};
    use crate::tuner::{Fidelity as Resource, build};
    use serde_json::json;

    #[test]
    fn algorithms_of_others() {
        let table = [
            (
                Origin::Katib,
                "hyperband",
                json!({"r_l": "9", "resource_name": "epochs", "eta": "3"}),
                ("Hyperband", json!({}), json!({"min": 1, "max": 9, "eta": 3, "parameter": "epochs"}), vec![]),
            ),
            (
                Origin::Katib,
                "pbt",
                json!({"n_population": "40", "truncation_threshold": "0.2", "suggestion_trial_dir": "/x", "y": "1"}),
                (
                    "PBT",
                    json!({"population": 40, "truncation": 0.2}),
                    json!({}),
                    vec![
                        "suggestion_trial_dir was left out: each trial has a directory for its checkpoint",
                        "y was left out: it is not known",
                    ],
                ),
            ),
            (
                Origin::Nni,
                "Hyperband",
                json!({"R": 81, "exec_mode": "serial"}),
                (
                    "Hyperband",
                    json!({}),
                    json!({"min": 1, "max": 81, "eta": 3}),
                    vec!["exec_mode was left out: free slots begin the next bracket of a round"],
                ),
            ),
            (
                Origin::Nni,
                "BOHB",
                json!({"optimize_mode": "maximize", "max_budget": 27, "random_fraction": 0.5, "min_points_in_model": null, "num_samples": 64}),
                (
                    "BOHB",
                    json!({"randomShare": 0.5}),
                    json!({"min": 1, "max": 27, "eta": 3}),
                    vec![
                        "num_samples was left out: TPE has its own split into good and other trials, number of draws and bandwidths",
                        "optimize_mode was left out: the objective has a direction",
                    ],
                ),
            ),
            (
                Origin::Nni,
                "PBTTuner",
                json!({"population_size": 20}),
                (
                    "PBT",
                    json!({"population": 20, "perturbation": 0.2, "resampleProbability": 0.25, "truncation": 0.2}),
                    json!({}),
                    vec![],
                ),
            ),
        ];
        let domain = Domain::Double { min: 0.0, max: 1.0, scale: Scale::Linear, step: None };
        let space = SearchSpace::unconstrained(vec![Parameter { name: "x".into(), domain, when: vec![] }]);
        for (origin, theirs, settings, (name, ours, fidelity, left_out)) in table {
            let found = translate(origin, theirs, &serde_json::from_value(settings).unwrap()).unwrap();
            assert_eq!((found.name, json!(found.settings), json!(found.fidelity)), (name, ours, fidelity), "{theirs}");
            assert_eq!(found.left_out, left_out, "{theirs}");
            assert!(
                build(name, &found.settings, &space, Some(Resource { min: 1.0, max: 27.0, eta: 3.0 })).is_ok(),
                "{theirs}"
            );
        }
        assert_eq!(translate(Origin::Nni, "TPE", &BTreeMap::new()), None);
    }
}
