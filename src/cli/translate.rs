//! `automl tuner translate`: what a rule or an algorithm of Katib or NNI is in an Experiment.

use super::exit::Failure;
use crate::{stopping, tuner};
use clap::ValueEnum;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Where a name comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum System {
    /// Kubeflow Katib
    Katib,
    /// Microsoft NNI
    Nni,
}

/// Fields of an Experiment's spec in YAML, and a comment for each setting that was left out. `settings`: `name=value` each.
///
/// # Errors
/// A setting has no value, or there is nothing of this name to translate.
pub(super) fn translated(from: System, name: &str, settings: &[String]) -> Result<String, Failure> {
    let settings = settings.iter().map(|text| setting(text)).collect::<Result<BTreeMap<String, Value>, Failure>>()?;
    let (of_rules, of_algorithms) = match from {
        System::Katib => (stopping::System::Katib, tuner::Origin::Katib),
        System::Nni => (stopping::System::Nni, tuner::Origin::Nni),
    };
    let (fields, left_out) = if let Some(rule) = stopping::translate(of_rules, name, &settings) {
        (json!({"earlyStopping": [named(rule.name, rule.settings)]}), rule.left_out)
    } else if let Some(algorithm) = tuner::translate(of_algorithms, name, &settings) {
        let mut fields = json!({"algorithm": named(algorithm.name, algorithm.settings)});
        if !algorithm.fidelity.is_empty() {
            fields["fidelity"] = json!(algorithm.fidelity);
        }
        (fields, algorithm.left_out)
    } else {
        return Err(Failure::usage(format!(
            "{name:?} is no stopping rule of that system, nor an algorithm that hands out a resource; automl tuner list shows \
             what there is"
        )));
    };
    let yaml = serde_saphyr::to_string(&fields).map_err(Failure::other)?;
    let comments: String = left_out.iter().map(|sentence| format!("# {sentence}\n")).collect();
    Ok(yaml + &comments)
}

fn named(name: &str, settings: BTreeMap<String, Value>) -> Value {
    let mut fields = Map::from_iter([("name".to_owned(), json!(name))]);
    if !settings.is_empty() {
        fields.insert("settings".into(), json!(settings));
    }
    Value::Object(fields)
}

fn setting(text: &str) -> Result<(String, Value), Failure> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) =
        parts.ok_or_else(|| Failure::usage(format!("{text:?} is no setting; write SETTING=VALUE, such as eta=3")))?;
    // Whatever is no JSON is text.
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| json!(value))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(from: System, name: &str, settings: &[&str]) -> Result<String, String> {
        let settings: Vec<String> = settings.iter().map(|text| (*text).to_owned()).collect();
        translated(from, name, &settings).map_err(|failure| failure.to_string())
    }

    #[test]
    fn what_others_wrote_can_be_pasted_into_an_experiment() {
        assert_eq!(
            said(System::Katib, "medianstop", &["min_trials_required=5"]).unwrap(),
            "earlyStopping:\n- name: Median\n  settings:\n    minTrials: 5\n    warmUpSteps: 4\n"
        );
        assert_eq!(
            said(System::Katib, "hyperband", &["r_l=9", "resource_name=epochs"]).unwrap(),
            "algorithm:\n  name: Hyperband\nfidelity:\n  eta: 3\n  max: 9\n  min: 1\n  parameter: epochs\n"
        );
        let bohb = said(System::Nni, "BOHB", &["max_budget=27", "optimize_mode=maximize"]).unwrap();
        assert!(bohb.ends_with("# optimize_mode was left out: the objective has a direction\n"), "{bohb}");
        assert!(said(System::Nni, "TPE", &[]).unwrap_err().contains("automl tuner list"));
        assert_eq!(
            said(System::Nni, "PBT", &["factor"]).unwrap_err(),
            "\"factor\" is no setting; write SETTING=VALUE, such as eta=3"
        );
    }
}
